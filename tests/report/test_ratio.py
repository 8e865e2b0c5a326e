"""Which ratio is enough: the smallest that is not shown to be worse than the best."""

from __future__ import annotations

import pytest
from makers import changed, claimed, make_comparison, make_study, with_comparisons

from xprobe.report.panel import panels
from xprobe.report.ratio import ratio_rows, ratio_sentence
from xprobe.results.study import Study


def compared(encoder: str, *effects: float) -> Study:
    """A study that has compared 1:1, 1:2 and 1:4, of a difference ± 2 points."""
    study = claimed(make_study(encoder))
    gains = dict(zip((1, 2, 4), effects, strict=True))
    for ratio, gain in gains.items():
        study = changed(study, "results", lambda row, r=ratio: row.ratio == r, value=0.7 + gain)
    rows = [
        make_comparison(
            "ratios", f"1:{b}", f"1:{a}", gains[b] - gains[a], generator="default"
        )
        for a, b in ((1, 2), (1, 4), (2, 4))
    ]  # fmt: skip
    return with_comparisons(study, *rows)


@pytest.mark.parametrize(
    ("effects", "ratio", "end"),
    [
        (
            (0.01, 0.04, 0.05),
            "1:2",
            "1:2 is not shown to be worse than 1:4, the best (−1.0 points [−3.0, +1.0]).",
        ),
        (
            (0.04, 0.05, 0.01),
            "1:1",
            "1:1 is not shown to be worse than 1:2, the best (−1.0 points [−3.0, +1.0]).",
        ),
        ((0.05, 0.04, 0.01), "1:1", "1:1 is the smallest and the best."),
        ((0.0, 0.0, 0.05), "1:4", "1:4 is the best; the smaller ones are shown to be worse."),
    ],
)
def test_of_one_encoder(effects: tuple[float, ...], ratio: str, end: str) -> None:
    (panel,) = panels([compared("clip", *effects)])
    (row,) = ratio_rows(panel)
    assert row.ratio == ratio
    beginning = "Ratio of generator default with 40 real images a class (clip): "
    assert row.sentence == ratio_sentence(panel) == beginning + end


def test_of_several_encoders_it_is_enough_for_all_of_them() -> None:
    (panel,) = panels([compared("a", 0.04, 0.05, 0.05), compared("b", 0.0, 0.04, 0.05)])
    assert [row.ratio for row in ratio_rows(panel)] == ["1:1", "1:2"]
    assert ratio_sentence(panel) == (
        "Ratio of generator default with 40 real images a class: 1:2 is the smallest that is not "
        "shown to be worse than the best with any of the 2 encoders (−1.0 … 0.0 points to the "
        "best, all intervals in [−3.0, +1.0])."
    )


def test_encoders_that_share_no_ratio_are_told_apart() -> None:
    (panel,) = panels([compared("a", 0.05, 0.0, 0.0), compared("b", 0.0, 0.0, 0.05)])
    assert ratio_sentence(panel).endswith(
        "none is enough for every encoder; the smallest are 1:1 with a, 1:4 with b."
    )


def test_ratios_that_were_not_compared_have_no_answer() -> None:
    (panel,) = panels([claimed(make_study())])
    assert ratio_rows(panel) == []
    assert ratio_sentence(panel) == ""
