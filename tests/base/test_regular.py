"""Only regular files are opened, and nothing else is waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.base.regular import check_regular, opener


def read(path: Path) -> bytes:
    with open(path, "rb", opener=opener) as stream:  # A Path takes no opener.
        return stream.read()


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def point_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def test_a_regular_file_is_read_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    check_regular(tmp_path / "link")
    assert read(tmp_path / "link") == read(tmp_path / "file") == b"content"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("look", [read, check_regular])
@pytest.mark.parametrize(
    ("make", "what"),
    [(os.mkfifo, "a named pipe"), (bind, "a socket"), (point_to_zeros, "a device")],
)
def test_a_pipe_a_device_and_a_socket_are_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], what: str, look: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # The address of a socket must be short.
    make(Path("x.png"))
    with pytest.raises(OSError, match="not a regular file") as info:
        look(Path("x.png"))
    assert str(info.value) == f"x.png: not a regular file, but {what}"
    assert isinstance(info.value, XprobeError)


@pytest.mark.parametrize("look", [read, check_regular])
def test_a_folder_and_a_missing_file_are_the_errors_of_the_system(
    tmp_path: Path, look: Callable[[Path], object]
) -> None:
    with pytest.raises(IsADirectoryError):
        look(tmp_path)
    with pytest.raises(FileNotFoundError):
        look(tmp_path / "none")
