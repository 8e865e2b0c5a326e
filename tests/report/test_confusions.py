"""Confusions of what is shown, and of all settings as data."""

from __future__ import annotations

import numpy as np
from makers import changed, make_study
from msgspec import structs

from xprobe.report.confusions import confusions_data, confusions_view, shares, shown_mix


def test_shares_are_of_each_true_class() -> None:
    values = shares([[3, 1], [0, 0]])
    np.testing.assert_array_equal(values[0], [75, 25])
    assert np.isnan(values[1]).all()


def test_the_mix_looked_at_is_the_smallest_ratio_that_helps_or_the_one_that_differs_most() -> None:
    study = make_study(ratios=(1, 2, 4), effect=0.0)
    helping = changed(
        study, "results", lambda row: row.ratio in (2, 4) and row.metric == "accuracy",
        verdict="helps", difference=0.1,
    )  # fmt: skip
    mix = shown_mix(helping)
    assert mix is not None
    assert mix.ratio == 2
    hurting = changed(
        study, "results", lambda row: row.ratio == 4 and row.metric == "accuracy",
        verdict="hurts", difference=-0.1,
    )  # fmt: skip
    mix = shown_mix(hurting)
    assert mix is not None
    assert mix.ratio == 4


def test_real_only_the_mix_and_their_difference() -> None:
    study = make_study(ratios=(1,), generators=("g",))
    settings = [
        structs.replace(setting, confusion=counts)
        for setting, counts in zip(
            study.settings, [((8, 2), (0, 4)), ((9, 1), (4, 0)), ((1, 1), (1, 1))], strict=True
        )
    ]
    view = confusions_view(structs.replace(study, settings=tuple(settings)))
    assert view is not None
    assert (view.study, view.setting) == ("clip", "g · 1:1")
    real, mix, difference = view.views
    assert [row.n for row in real.rows] == [10, 4]
    assert [row.shares for row in real.rows] == [[80, 20], [0, 100]]
    assert [row.shares for row in mix.rows] == [[90, 10], [100, 0]]
    assert [row.shares for row in difference.rows] == [[10, -10], [100, -100]]


def test_too_many_classes_are_not_shown_and_are_no_data() -> None:
    study = make_study(ratios=(1,), classes=tuple(f"c{i}" for i in range(61)))
    view = confusions_view(study)
    assert view is not None
    assert (view.views, view.n) == ([], 61)
    assert confusions_data([study]) == []


def test_every_setting_is_data() -> None:
    study = make_study(ratios=(1,), generators=("g",))
    (data,) = confusions_data([study])
    assert [title for title, _ in data["settings"]] == [
        "real-only",
        "g · 1:1",
        "g · synthetic-only",
    ]
    assert data["settings"][0][1] == [list(row) for row in study.settings[0].confusion]
