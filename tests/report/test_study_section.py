"""What the report says of a study beside its answer."""

from __future__ import annotations

from typing import Any

import pytest

from xprobe.report import study_section
from xprobe.verdict import metrics


def row_of(metric: str, value: float) -> dict[str, Any]:
    row = {"setting": "real-only", "generator": None, "ratio": None, "difference": None}
    return row | {"metric": metric, "value": value}


def test_a_metric_is_shown_by_the_words_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = metrics.Metric("margin", "Margin", "nats", digits=2)
    monkeypatch.setitem(metrics.METRICS, "margin", row)
    results = [row_of("margin", 1.234), row_of("accuracy", 0.5), row_of("top2_accuracy", 0.875)]
    table = study_section._others({"results": results})
    assert table["titles"] == ["Top-2 accuracy, %", "Margin, nats"]
    assert [cell["value"] for cell in table["rows"][0][1]] == ["87.5", "1.23"]


def test_metrics_of_which_less_is_better_are_told() -> None:
    assert study_section._others({"results": []})["lower"] == "Log-loss and Brier score"
