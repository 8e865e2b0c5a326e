"""What the report says of a study beside its answer."""

from __future__ import annotations

import pytest
from makers import make_row, make_study

from xprobe.base.documents import replace
from xprobe.report import study_section
from xprobe.results.rows import Result
from xprobe.verdict import metrics


def row_of(metric: str, value: float) -> Result:
    names = {"setting": "real-only", "ratio": None, "generator": None}
    return replace(make_row("clip", names, metric, None, 0.0, None, "5-fold"), value=value)


def test_a_metric_is_shown_by_the_words_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = metrics.Metric("margin", "Margin", "nats", digits=2)
    monkeypatch.setitem(metrics.METRICS, "margin", row)
    results = (row_of("margin", 1.234), row_of("accuracy", 0.5), row_of("top2_accuracy", 0.875))
    table = study_section.study_view(0, make_study(results=results), []).others
    assert table.titles == ["Top-2 accuracy, %", "Margin, nats"]
    assert [cell and cell.value for cell in table.rows[0][1]] == ["87.5", "1.23"]


def test_metrics_of_which_less_is_better_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    less = {
        name: metrics.Metric(name, name.upper(), per_image=lambda x: x.hit, larger_is_better=False)
        for name in "abc"
    }
    rows = {**less, "d": metrics.METRICS["accuracy"], "e": metrics.METRICS["squared_ece"]}
    for names, words in (("abcde", "A, B and C"), ("abde", "A and B"), ("ade", "A")):
        monkeypatch.setattr(metrics, "METRICS", {name: rows[name] for name in names})
        others = study_section.study_view(0, make_study(), []).others
        assert others.lower == words


def test_the_words_are_those_of_log_loss_and_brier_score_too() -> None:
    lower = study_section.study_view(0, make_study(), []).others.lower
    assert "Log-loss" in lower and "Brier score" in lower
