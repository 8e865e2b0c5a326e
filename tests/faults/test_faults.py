"""Damaged files and killed processes, a few of each here; ``pytest -m long`` tries thousands.

The scripts beside this file say what they do and what is asked; each runs by itself, too:

    python tests/faults/mutate.py --tars 2000 --shards 2000 --manifests 300
    python tests/faults/kill.py --gc 50 --kills 300
    python tests/faults/paid.py --kills 100 --images 200
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MANY = [
    ("mutate.py", "--tars", "2000"),
    ("mutate.py", "--shards", "2000"),
    ("mutate.py", "--manifests", "300"),
    ("kill.py", "--gc", "50"),
    ("kill.py", "--kills", "300"),
    ("paid.py", "--kills", "100", "--images", "200"),
]


@pytest.mark.parametrize(
    "command", [("few.py",), *(pytest.param(command, marks=pytest.mark.long) for command in MANY)]
)
def test_no_difference_is_silent_and_nothing_is_lost(command: tuple[str, ...]) -> None:
    script, *options = command
    file = Path(__file__).with_name(script)
    done = subprocess.run([sys.executable, str(file), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
