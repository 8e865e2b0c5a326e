"""Patterns of paths stand for the same texts as in a shell."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images import braces
from xprobe.images.braces import is_pattern, spelled_out

PATTERNS = (
    "a/{000000..000012}.tar", "{train,val}-{000..003}.tar", "{8..11}", "{08..11}", "{3..1}",
    "{0..0}", "{a,b{1..2},c{x,y}}.tar", "{,un}labelled.tar", "{00..2}",
)  # fmt: skip


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_patterns_stand_for_what_a_shell_makes_of_them() -> None:
    for pattern in PATTERNS:
        command = ["bash", "-c", f"printf '%s\\n' {pattern}"]
        shell = subprocess.run(command, capture_output=True, text=True, check=True)
        assert sorted(spelled_out(pattern)) == sorted(shell.stdout.splitlines())


def test_ranges_keep_their_width_and_lists_their_order() -> None:
    assert spelled_out("{train,val}-{08..10}.tar") == [
        f"{split}-{number}.tar" for split in ("train", "val") for number in ("08", "09", "10")
    ]


@pytest.mark.parametrize("text", ["x.tar", "{x}.tar", "{}.tar", "{0...2}", "{a..c}", "{0..1"])
def test_other_braces_stand_for_themselves(text: str) -> None:
    assert not is_pattern(text)
    assert spelled_out(text) == [text]


@pytest.mark.parametrize("text", ["{0..9999999999}.tar", "{00..19}{0..9}{a,b}"])
def test_a_slip_of_the_hand_fills_no_memory(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(braces, "_MOST_FILES", 100)
    with pytest.raises(XprobeError, match="more than 100 files"):
        spelled_out(text)
