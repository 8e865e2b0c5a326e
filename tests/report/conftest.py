"""Fixtures of the tests of reports."""

from __future__ import annotations

import pytest

from xprobe.report.figures import distance as distance_figures
from xprobe.report.figures import study as figures


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out of reports whose words alone are tested: drawing takes the time."""
    for module in (figures, distance_figures):
        monkeypatch.setattr(module, "draw", lambda _: iter(()))
