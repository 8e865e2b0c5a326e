"""Which figures a report has."""

from __future__ import annotations

import subprocess
import sys

from makers import make_study

from xprobe.report.figures.plots import study_plots


def test_naming_figures_loads_no_matplotlib() -> None:
    code = (
        "import sys, xprobe.report.figures.plots, xprobe.report.figures.kept\n"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_a_long_study_gets_several_pages_of_differences() -> None:
    study = make_study(generators=tuple(f"g{i}" for i in range(12)), ratios=(1, 2, 3, 4))
    pages = [plot for plot in study_plots([study], None) if plot.kind == "differences"]
    assert [plot.name for plot in pages] == ["differences", "differences-2"]
    assert pages[0].title.endswith("(1 of 2)")


def test_synthetic_only_has_an_axis_of_its_own() -> None:
    study = make_study()
    for plot in study_plots([study], None):
        if plot.kind in ("differences", "in-place"):
            settings = {row.setting for _, _, rows in plot.args[0] for row in rows}
            assert settings == {"mix" if plot.kind == "differences" else "synthetic-only"}


def test_confusions_of_one_comparison_or_of_every_setting() -> None:
    study = make_study(generators=("a", "b"), ratios=(1, 2))
    few, many = (
        [plot for plot in study_plots([study], study, every) if plot.kind == "confusion"]
        for every in (False, True)
    )
    assert (len(few), len(many)) == (1, 1 + len(study.settings))
    assert not [plot for plot in study_plots([study], None) if plot.kind == "confusion"]
