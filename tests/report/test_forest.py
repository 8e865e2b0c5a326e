"""Forest plots as rows: where intervals lie along an axis."""

from __future__ import annotations

import pytest
from makers import changed, make_study

from xprobe.report.forest import Forest, forests_of


def only(forests: list[Forest]) -> Forest:
    (forest,) = forests
    return forest


def test_what_is_another_question_has_an_axis_of_its_own() -> None:
    study = changed(
        make_study(effect=0.02, half=0.01), "results",
        lambda row: row.setting == "synthetic-only" and row.metric == "accuracy",
        difference=-0.5, difference_low=-0.52, difference_high=-0.48, verdict="hurts",
    )  # fmt: skip
    mixes, in_place = forests_of([study])
    assert {line.row.setting for line in mixes.rows} == {"mix"}
    assert [line.setting for line in in_place.rows] == ["synthetic-only"]
    # The mixes use the whole of their axis, however far away synthetic-only lies.
    assert mixes.rows[0].shown.width > 25


def test_places_are_proportional_and_ticks_round() -> None:
    study = make_study(effect=0.05, half=0.05, ratios=(1,))
    forest = forests_of([study])[0]
    (line,) = forest.rows
    assert line.place == pytest.approx(line.shown.left + line.shown.width / 2, abs=0.02)
    assert line.shown.left == pytest.approx(forest.zero, abs=0.02)  # the interval begins at 0
    words = [words for _, words in forest.ticks]
    assert words == ["0", "+2", "+4", "+6", "+8", "+10"]
    steps = {round(b[0] - a[0], 1) for a, b in zip(forest.ticks, forest.ticks[1:], strict=False)}
    assert len(steps) <= 2  # equal but for rounding


def test_rows_go_by_generator_then_encoder_then_ratio_floors_last() -> None:
    studies = [
        make_study("hog", source="builtin:hog", generators=("a", "b"), ratios=(2, 1)),
        make_study("clip", generators=("a", "b"), ratios=(2, 1)),
    ]
    rows = forests_of(studies)[0].rows
    assert [(r.generator, r.study, r.setting) for r in rows] == [
        (generator, encoder, ratio)
        for generator in "ab"
        for encoder in ("clip", "hog")
        for ratio in ("1:1", "1:2")
    ]


def test_a_control_and_a_margin_are_laid_out_too() -> None:
    study = changed(
        make_study(ratios=(1,), margin=0.01, effect=0.0, half=0.005), "results",
        lambda row: row.setting == "mix" and row.metric == "accuracy",
        control_difference=-0.03, control_low=-0.04, control_high=-0.02, judged_low=-0.04,
        judged_high=0.005,
    )  # fmt: skip
    forest = forests_of([study])[0]
    (line,) = forest.rows
    assert forest.controlled
    assert line.judged is not None
    assert line.judged.left < line.shown.left
    (margin,) = forest.margins
    assert margin.left + margin.width / 2 == pytest.approx(forest.zero, abs=0.02)


def test_nothing_judged_is_nothing_shown() -> None:
    assert forests_of([]) == []
    study = changed(make_study(), "results", lambda row: True, verdict=None)
    assert forests_of([study]) == []
