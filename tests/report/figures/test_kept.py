"""Figures on disk: drawn once, and again only where something that decides them has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import make_study

from xprobe.report.figures import kept
from xprobe.report.figures.kept import INDEX, draw_all
from xprobe.report.figures.plot import Plot
from xprobe.report.figures.plots import study_plots

STUDY = make_study(ratios=(1,))
(MATRIX, *_) = study_plots([STUDY], STUDY)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the figures that were drawn."""
    names: list[str] = []
    draw = kept._draw

    def noted(plot: Plot) -> object:
        names.append(plot.name)
        return draw(plot)

    monkeypatch.setattr(kept, "_draw", noted)
    return names


def test_what_has_not_changed_is_read_and_equal(tmp_path: Path, drawn: list[str]) -> None:
    (first,) = draw_all([MATRIX], tmp_path)
    (second,) = draw_all([MATRIX], tmp_path)
    assert drawn == ["matrix"]
    assert (first.svg, first.png, first.title) == (second.svg, second.png, second.title)


def test_other_values_are_drawn_anew(tmp_path: Path, drawn: list[str]) -> None:
    draw_all([MATRIX], tmp_path)
    other = make_study(ratios=(1,), effect=0.2)
    (plot, *_) = study_plots([other], other)
    draw_all([plot], tmp_path)
    assert drawn == ["matrix", "matrix"]


@pytest.mark.parametrize("damage", ["changed", "gone", "index"])
def test_files_that_are_not_as_they_were_are_drawn_anew(
    tmp_path: Path, drawn: list[str], damage: str
) -> None:
    (whole,) = draw_all([MATRIX], tmp_path)
    if damage == "changed":
        (tmp_path / "matrix.svg").write_bytes(whole.svg + b"<!-- mine -->")
    elif damage == "gone":
        (tmp_path / "matrix.png").unlink()
    else:
        (tmp_path / INDEX).write_text("{")
    draw_all([MATRIX], tmp_path)
    assert drawn == ["matrix", "matrix"]
    assert (tmp_path / "matrix.svg").read_bytes() == whole.svg
    assert (tmp_path / "matrix.png").read_bytes() == whole.png


def test_another_version_of_the_code_draws_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from xprobe.report.figures import plot

    before = MATRIX.key
    monkeypatch.setattr(plot, "_drawing_code", lambda: "another")
    assert MATRIX.key != before
