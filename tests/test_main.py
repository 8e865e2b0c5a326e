"""``python -m xprobe`` in a folder whose files have the names of modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from makers import put_traps

import xprobe


def test_files_of_the_working_folder_are_not_run(tmp_path: Path) -> None:
    put_traps(tmp_path, "typer", "statistics", "numpy")
    done = subprocess.run(
        [sys.executable, "-m", "xprobe", "--version"], cwd=tmp_path, text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(Path(xprobe.__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert xprobe.__version__ in done.stdout
    assert not (tmp_path / "ran").exists()


def test_a_checkout_is_found_in_the_working_folder() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xprobe", "--version"], text=True, capture_output=True,
        cwd=Path(xprobe.__file__).parents[1],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
