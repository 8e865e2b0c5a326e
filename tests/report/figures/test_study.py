"""Figures of studies say what the page says."""

from __future__ import annotations

from makers import changed, make_study

from xprobe.report.figures.study import forest


def test_the_legend_has_the_words_of_the_page() -> None:
    study = changed(
        make_study(effect=-0.05), "results", lambda row: row.ratio == 4, setting="classic",
        generator=None, ratio=None,
    )  # fmt: skip
    rows = [row for row in study.results if row.verdict]
    (legend,) = forest([("family", None, rows)], "differences").legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["hurts", "worse than real-only"]
    (legend,) = forest([("family", None, rows[:2])], "differences").legends
    assert [text.get_text() for text in legend.get_texts()] == ["hurts"]
