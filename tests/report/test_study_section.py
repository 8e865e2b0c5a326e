"""What the report says of a study beside its answer."""

from __future__ import annotations

from typing import Any

import pytest
from makers import make_row, make_study, with_null_edits

from xprobe.base.documents import replace
from xprobe.report import study_section
from xprobe.results.rows import MixComparison, Result
from xprobe.verdict import metrics


def row_of(metric: str, value: float) -> Result:
    names = {"setting": "real-only", "ratio": None, "generator": None}
    return replace(make_row("clip", names, metric, None, 0.0, None, "5-fold"), value=value)


def test_a_metric_is_shown_by_the_words_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = metrics.Metric("margin", "Margin", lambda images: images.hit, "nats", digits=2)
    monkeypatch.setitem(metrics.METRICS, "margin", row)
    results = (row_of("margin", 1.234), row_of("accuracy", 0.5), row_of("top2_accuracy", 0.875))
    table = study_section.study_view(0, make_study(results=results), []).others
    assert table.titles == ["Top-2 accuracy, %", "Margin, nats"]
    assert [cell and cell.value for cell in table.rows[0][1]] == ["87.5", "1.23"]


def test_mixes_against_each_other_are_told_by_what_they_ask() -> None:
    def row(kind: str, of: str, against: str, verdict: str, **both: Any) -> MixComparison:
        names = {"generator": None, "ratio": None} | both
        return MixComparison(
            kind=kind, subject=of, against=against, **names, metric="accuracy", difference=0.1,
            low=0.05, high=0.15, p=0.01, verdict=verdict,
        )  # fmt: skip

    study = make_study(
        comparisons=(
            row("generators", "x", "y", "better", ratio=2),
            row("ratios", "1:4", "1:1", "equivalent within ±2 points", generator="x"),
            row("real-more", "mix", "real-more", "worse", generator="x", ratio=4),
            row("pooled", "mix-pooled", "real-only", "no detectable difference", ratio=1),
        )
    )
    views = study_section.study_view(0, study, []).comparisons
    assert [(view.what, view.shared, view.badge) for view in views] == [
        ("one generator or another", "1:2", "helps"),
        ("one ratio or another", "x", "equivalent"),
        ("synthetic, or as many further real images", "x, 1:4", "hurts"),
        ("all generators together", "1:1", "no"),
    ]


def test_metrics_of_which_less_is_better_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    less = {
        name: metrics.Metric(name, name.upper(), per_image=lambda x: x.hit, larger_is_better=False)
        for name in "abc"
    }
    rows = {**less, "d": metrics.METRICS["accuracy"]}
    for names, words in (("abcd", "A; B; C"), ("abd", "A; B"), ("ad", "A")):
        monkeypatch.setattr(metrics, "METRICS", {name: rows[name] for name in names})
        others = study_section.study_view(0, make_study(), []).others
        assert others.lower == words


def test_the_words_are_those_of_log_loss_and_brier_score_too() -> None:
    lower = study_section.study_view(0, make_study(), []).others.lower
    assert "Log-loss" in lower and "Brier score" in lower


def test_null_edits_stand_in_the_table_and_beside_their_mixes() -> None:
    view = study_section.study_view(0, with_null_edits(make_study(), 0.01, 0.03, 1, 2), [])
    assert view.has_null_edits
    lines = {line.title: line for group in view.groups for line in group.rows}
    assert [*lines] == [
        "real-only", "1:1", "1:2", "1:4", "synthetic-only", "1:1 null edit", "1:2 null edit",
    ]  # fmt: skip
    left = {title: line.left and line.left.difference for title, line in lines.items()}
    assert left == dict.fromkeys(lines) | {"1:1": 0.03, "1:2": 0.03}
    assert lines["1:1 null edit"].verdict == ""
    asked = "what is left without the generator's fingerprint"
    assert [row.what for row in view.comparisons] == [asked] * 2
    assert not study_section.study_view(0, make_study(), []).has_null_edits
