"""A lock that survives kills: one holds it, others wait, what is left behind is taken over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xprobe.base import lock
from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.base.lock import Lock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gc.lock"


def never(_: float) -> None:
    raise AssertionError("waits for a lock that is free")


def test_a_free_lock_is_held_and_given_back(file: Path) -> None:
    for _ in range(2):
        with Lock(file, never) as held:
            held.check()
            assert b"process" in file.read_bytes()
        assert list(file.parent.iterdir()) == []


def test_it_is_given_back_after_an_error(file: Path) -> None:
    with pytest.raises(KeyError), Lock(file, never):
        raise KeyError
    assert not file.exists()


def test_the_second_waits_until_the_first_has_ended_and_says_for_whom(file: Path) -> None:
    first = Lock(file, never)
    first.__enter__()
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            first.__exit__()

    told = pytest.warns(XprobeWarning, match=r"gc.lock: waiting for process \d+ on ")
    with told, Lock(file, wait) as second:
        second.check()
    assert len(waited) == 3


def waiting(times: list[float]) -> Callable[[float], None]:
    return times.append


@pytest.mark.filterwarnings("ignore:.*waiting for")
def test_a_lock_that_nobody_renews_is_taken_over(file: Path) -> None:
    file.write_bytes(b"process 1 on elsewhere\nkilled\n7\n")
    waited: list[float] = []
    with Lock(file, waiting(waited)) as held:
        held.check()
    assert lock.STALE_S <= sum(waited) < lock.STALE_S + 2 * lock.BEAT_S
    assert not file.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say who is there")
def test_a_lock_of_a_process_that_was_killed_is_taken_over_at_once(file: Path) -> None:
    holding = f"""
import os, pathlib, signal
from xprobe.base.lock import Lock
Lock(pathlib.Path({str(file)!r})).__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", holding], check=False)
    assert file.exists()
    waited: list[float] = []
    with Lock(file, waiting(waited)) as held:
        held.check()
    assert waited == [lock.BEAT_S]


@pytest.mark.filterwarnings("ignore:.*waiting for")
def test_a_lock_that_is_renewed_is_not_taken_over(file: Path) -> None:
    beats = [0]

    def wait(_: float) -> None:
        beats[0] += 1
        if beats[0] > 3 * lock.STALE_S:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(f"process 1 on elsewhere\nalive\n{beats[0] // 5}\n".encode())

    file.write_bytes(b"process 1 on elsewhere\nalive\n0\n")
    with Lock(file, wait):
        assert beats[0] > 3 * lock.STALE_S


@pytest.mark.filterwarnings("ignore:.*waiting for")
def test_of_two_who_take_over_the_last_one_has_it(file: Path) -> None:
    file.write_bytes(b"killed")
    waited = [0.0]

    def wait(seconds: float) -> None:
        waited[0] += seconds
        if seconds == lock.BEAT_S:  # The other one takes over at the same moment, and ends later.
            file.write_bytes(b"other")
        elif waited[0] > lock.STALE_S + lock.BEAT_S + 2:
            file.unlink()

    with Lock(file, wait) as held:
        held.check()
    assert waited[0] > lock.STALE_S + lock.BEAT_S + 2


def test_who_lost_the_lock_is_told_and_leaves_it_to_the_other(file: Path) -> None:
    with Lock(file, never) as held:
        file.write_bytes(b"other")
        with pytest.raises(XprobeError, match=r"another process took over.*run the command again"):
            held.check()
    assert file.read_bytes() == b"other"


def test_the_holder_renews_its_lock(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.001)
    with Lock(file, never):
        before = content = file.read_bytes()
        while content == before:
            content = file.read_bytes()
    assert content.split(b"\n")[:2] == before.split(b"\n")[:2]


@pytest.mark.parametrize("content", [b"", b"\xff\x1b[31m\n", b"\x1b]0;owned\x07"])
@pytest.mark.filterwarnings("ignore:.*waiting for another process")
def test_a_lock_of_any_content_is_waited_for(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with Lock(file, lambda _: None):
        assert file.read_bytes() != content
