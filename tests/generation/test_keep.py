"""An image that was paid for is not lost to a full disk."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from xprobe.base import atomic
from xprobe.generation.keep import ElsewhereError, keep


def full_below(folder: Path, monkeypatch: pytest.MonkeyPatch, until: int) -> list[Path]:
    """Let the disk of a folder be full for so many writes; return what was tried."""
    tries: list[Path] = []
    put = atomic.put

    def put_if_room(file: Path, content: bytes) -> None:
        tries.append(file)
        if file.is_relative_to(folder) and len(tries) <= until:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(file, content)

    monkeypatch.setattr(atomic, "put", put_if_room)
    return tries


def test_it_is_written_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_below(tmp_path, monkeypatch, until=2)
    waited: list[float] = []
    keep(tmp_path / "a" / "k.png", b"image", waited.append)
    assert (tmp_path / "a" / "k.png").read_bytes() == b"image"
    assert waited == [0.5, 2.0]


def test_it_goes_elsewhere_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, other = tmp_path / "full", tmp_path / "tmp"
    other.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(other))
    full_below(full, monkeypatch, until=99)
    with pytest.raises(ElsewhereError, match=r"no space left on device.*run 'mv ") as caught:
        keep(full / "k.png", b"image", lambda _s: None)
    assert caught.value.file == other / "k.png"
    assert (other / "k.png").read_bytes() == b"image"
