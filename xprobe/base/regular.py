"""Regular files, which alone are read: a pipe hangs its reader, and a device never ends."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from xprobe.base.errors import XprobeError

# What stands in the place of a file → its name. Folders have an error of the system.
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}

# Without waiting for somebody who writes into a pipe; a regular file does not mind.
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class IrregularFileError(OSError, XprobeError):
    """A path leads to a pipe, a device or a socket; as an `XprobeError` it is shown in one line."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def open_regular(path: str) -> tuple[int, int]:
    """Open a regular file to read; return its descriptor and its size in bytes.

    Raises:
        OSError: there is no such file, or it is no regular one, which is refused without waiting.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:  # A socket has a name, but cannot be opened by it.
            raise _irregular(path, stat.S_IFSOCK) from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        _check_mode(path, status.st_mode)
    return descriptor, status.st_size


def opener(path: str, _flags: int) -> int:
    """Open a regular file to read; this is the argument `opener` of `open`.

    Raises:
        OSError: as in `open_regular`.
    """
    return open_regular(path)[0]


def check_regular(path: str | Path) -> None:
    """Refuse a pipe, a device, a socket or a folder, for libraries that open a path themselves.

    Raises:
        OSError: there is no such file, or it is no regular one.
    """
    _check_mode(str(path), os.stat(path).st_mode)  # noqa: PTH116  # It is a path or text.


def _check_mode(path: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise _irregular(path, stat.S_IFMT(mode))


def _irregular(path: str, kind: int) -> IrregularFileError:
    what = _KINDS.get(kind, "something else")
    return IrregularFileError(errno.EINVAL, f"not a regular file, but {what}", path)
