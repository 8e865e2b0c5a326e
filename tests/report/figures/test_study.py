"""Figures of studies say what the page says."""

from __future__ import annotations

from makers import changed, make_study, with_null_edits

from xprobe.report.figures.study import curves, forest
from xprobe.results.rows import Result


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


def test_null_edits_are_a_line_beside_that_of_their_generator() -> None:
    def words(rows: tuple[Result, ...]) -> list[str]:
        accuracy = [row for row in rows if row.metric == "accuracy"]
        (legend,) = curves(accuracy, "Accuracy", "over the ratios").legends
        return [text.get_text() for text in legend.get_texts()]

    plain = make_study()
    without = words(plain.results)
    assert without[-1] == "real + default"
    assert words(with_null_edits(plain, 0.01, 0.03, 1, 2).results) == [
        *without, "null edits of default",
    ]  # fmt: skip
