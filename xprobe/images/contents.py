"""The bytes of images in files and in members of tar archives, ``shard.tar::member``."""

from __future__ import annotations

import errno
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from xprobe.base.errors import XprobeError

_MEMBER_SEPARATOR = ".tar::"

# A network file system that is away for a moment gives one of these errors.
_PASSING_ERRORS = frozenset(
    (errno.EIO, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT, errno.ESTALE, errno.ENETDOWN,
     errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET)
)  # fmt: skip

# A reader waits so many seconds before the second, third and last attempt.
PATIENCE_S = (0.1, 0.5, 2.0)

Span = tuple[int, int]
"""Offset and size of a member in its archive, in bytes."""


def read(path: str, span: Span | None = None, wait: Callable[[float], None] = time.sleep) -> bytes:
    """Return the content of a file or of a member of an archive.

    Args:
        path: ``file``, or ``archive.tar::member``.
        span: offset and size of the member in the archive, if they are known.
        wait: function that waits so many seconds, after a network file system failed for a moment.

    Raises:
        OSError: the content cannot be read even at the fourth attempt, or there is no such member.
    """
    file, separator, member = path.partition(_MEMBER_SEPARATOR)
    if separator:
        file += ".tar"
    for pause in (*PATIENCE_S, None):
        try:
            if separator and span is None:
                span = _locate_member(file, member)
            with open(file, "rb") as stream:  # noqa: PTH123  # A Path costs as much as opening.
                if span is None:
                    return stream.read()
                stream.seek(span[0])
                return stream.read(span[1])
        except OSError as error:
            if error.errno not in _PASSING_ERRORS or pause is None:
                raise
            wait(pause)
    raise AssertionError("the last attempt returns or raises")


def members(archive: str | Path) -> Iterator[tuple[str, Span]]:
    """Yield the name and the span of each file in an uncompressed tar, in constant memory.

    Raises:
        XprobeError: the archive is compressed or no tar.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all.
                if member.isfile():
                    yield member.name, (member.offset_data, member.size)
    except tarfile.TarError as error:
        raise XprobeError(
            f"{archive}: no tar archive that can be read ({error}); compressed ones must be "
            f"unpacked to .tar first"
        ) from error


@lru_cache(maxsize=64)
def _spans_of_members(archive: str, _mtime_ns: int, _size: int) -> dict[str, Span]:
    """Return the spans in an archive by name; a new time or size renews what is cached."""
    return dict(members(archive))


def _locate_member(archive: str, member: str) -> Span:
    status = Path(archive).stat()
    try:
        return _spans_of_members(archive, status.st_mtime_ns, status.st_size)[member]
    except KeyError:
        raise FileNotFoundError(errno.ENOENT, "no such member", f"{archive}::{member}") from None


def is_of_shard(name: str, shard: int, shards: int) -> bool:
    """Return whether an image of this id belongs to one of `shards` parts, counted from 1.

    The id alone decides, so that an image that is added moves no other to another part.
    """
    return crc32(name.encode(errors="surrogateescape")) % shards == shard - 1


def is_member(path: str) -> bool:
    """Return whether a path names a member of an archive."""
    return _MEMBER_SEPARATOR in path
