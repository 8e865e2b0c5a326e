"""Fixtures of the tests of reports."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from xprobe.report import write
from xprobe.report.figures.drawing import Drawing
from xprobe.report.figures.plot import Plot


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out of reports whose words alone are tested: drawing takes the time."""

    def draw_none(plots: Iterable[Plot], folder: Path) -> list[Drawing]:
        folder.mkdir(parents=True, exist_ok=True)
        assert all(plot.key for plot in plots)
        return []

    monkeypatch.setattr(write, "draw_all", draw_none)
