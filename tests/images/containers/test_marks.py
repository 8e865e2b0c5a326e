"""Marks of files: asked of the disk again after a moment, and few stay in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.images.containers import marks


def test_a_mark_is_asked_again_after_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    file = tmp_path / "x"
    file.write_bytes(b"a")
    first = marks.mark_of(str(file))
    status = file.stat()
    assert first == (status.st_dev, status.st_ino, status.st_mtime_ns, 1)
    file.write_bytes(b"ab")
    now[0] += marks.FRESH_S / 2
    assert marks.mark_of(str(file)) == first
    now[0] += marks.FRESH_S
    assert marks.mark_of(str(file))[2:] == (file.stat().st_mtime_ns, 2)
    file.unlink()
    now[0] += marks.FRESH_S
    with pytest.raises(FileNotFoundError):
        marks.mark_of(str(file))


def test_few_marks_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "_MOST_MARKS", 2)
    monkeypatch.setattr(marks, "_marks", {})
    for name in "abc":
        (tmp_path / name).touch()
        marks.mark_of(str(tmp_path / name))
    assert [Path(name).name for name in marks._marks] == ["c"]
