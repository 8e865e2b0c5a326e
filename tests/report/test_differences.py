"""Studies that share a title are told apart by what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import Page, changed_config, claimed, make_study
from msgspec import structs

from xprobe.report.differences import told_apart
from xprobe.report.left_out import NO_CURVE
from xprobe.report.words import study_title
from xprobe.report.write import write_report
from xprobe.results.study import Study, save_study


def titles(*studies: Study) -> list[str]:
    return [study_title(study) for study in told_apart(studies)]


def test_a_title_that_two_have_says_which_options_differ() -> None:
    study = make_study(generators=("A",), seeds=(0,))
    other = structs.replace(study, key="ab" * 16, generators=("B",))
    assert titles(study, make_study("dino")) == ["clip", "dino"]
    assert titles(changed_config(study, per_class=8), other, make_study("dino")) == [
        "clip · 8 real images of each class", "clip · all real images of each class", "dino",
    ]  # fmt: skip
    assert titles(changed_config(study, seed=3, holdout=0.5), other) == [
        "clip · holdout 0.5, seed 3", "clip · no holdout, seed 0"
    ]  # fmt: skip
    assert titles(changed_config(study, errors_by="event"), other) == [
        "clip · errors by event", "clip · errors by group"
    ]  # fmt: skip
    # Of the same options they are told by their generators, and else by their ids.
    assert titles(study, other) == ["clip · A", "clip · B"]
    same = structs.replace(other, generators=("A",))
    assert titles(study, same) == [f"clip · {study.key}", f"clip · {'ab' * 16}"]
    # What somebody has called a study stays.
    assert titles(structs.replace(study, name="mine"), other) == ["mine", "clip"]


@pytest.mark.usefixtures("no_figures")
def test_no_two_studies_of_a_report_have_one_title(tmp_path: Path) -> None:
    new = claimed(make_study(generators=("A",), ratios=(1,)))
    old = changed_config(
        claimed(make_study(generators=("B",), ratios=(1,), created="2025", key="ab" * 16)),
        per_class=8,
    )
    for study in (new, old):
        save_study(tmp_path / "results", study)
    said = write_report(tmp_path / "results", tmp_path / "out")
    page = " ".join(Page((tmp_path / "out/index.html").read_text(encoding="utf-8")).texts)
    assert "clip · all real images of each class A 1:1" in page
    assert "clip · 8 real images of each class B 1:1" in page
    assert NO_CURVE in page and NO_CURVE in said.brief
    (tmp_path / "results" / "studies" / f"{old.key}.json").unlink()
    assert NO_CURVE not in write_report(tmp_path / "results", tmp_path / "out").brief
