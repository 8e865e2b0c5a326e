"""What is shown is chosen, and never changes what is claimed."""

from __future__ import annotations

import pytest
from makers import claimed, make_comparison, make_study, with_comparisons, with_null_edits
from msgspec import structs

from xprobe.base.errors import XprobeError
from xprobe.report.answer import answer
from xprobe.report.shown import of_generators


def test_a_generator_alone_is_shown_as_it_is_among_others() -> None:
    effect = {"A": 0.05, "B": 0.0}
    made = make_study(generators=("A", "B", "C"), effect=effect)
    keys = tuple(f"{run.generator} {run.ratio}" for run in made.runs)
    study = with_comparisons(
        claimed(structs.replace(made, predictions=keys), p=0.03),
        make_comparison("generators", "A", "B", 0.05, ratio=1),
        make_comparison("ratios", "1:2", "1:1", 0.01, generator="A"),
        make_comparison("pooled", "mix-pooled", "real-only", 0.05, ratio=1),
    )
    other = claimed(make_study("dino", generators=("C",)))
    (alone,) = of_generators([study, other], ["A"])
    assert alone.generators == ("A",)
    assert {row.generator for row in alone.results} == {None, "A"}
    assert {row.generator for row in alone.runs} == {None, "A"}
    assert [f"{run.generator} {run.ratio}" for (run,) in alone.blocks] == list(alone.predictions)
    assert [row.kind for row in alone.comparisons] == ["ratios"]
    whole = {(row.setting, row.ratio, row.generator, row.metric): row for row in study.results}
    assert all(
        whole[row.setting, row.ratio, row.generator, row.metric] == row for row in alone.results
    )
    said, of_all = answer([alone], [study]), answer([study], [study])
    assert said.generators == of_all.generators[:1]
    assert said.headline.endswith(of_all.generators[0].sentence)
    both = of_generators([study, other], ["A", "B"])[0]
    assert [row.kind for row in both.comparisons] == ["generators", "ratios"]
    assert of_generators([study, other], []) == [study, other]


def test_an_unknown_generator_is_an_error_that_names_the_others() -> None:
    studies = [make_study(generators=("sdxl", "flux"))]
    with pytest.raises(XprobeError, match=r"sdxk \(did you mean sdxl\?\); there are: flux, sdxl"):
        of_generators(studies, ["sdxk"])


def test_null_edits_are_shown_with_their_generator() -> None:
    study = with_null_edits(claimed(make_study(generators=("A", "B"))), 0.01, 0.03, 1)
    (alone,) = of_generators([study], ["A"])
    rows = [row for row in alone.results if row.setting == "null-edit"]
    assert [row.generator for row in rows] == ["A"]
    assert [(row.kind, row.generator) for row in alone.comparisons] == [("null-edit", "A")]
