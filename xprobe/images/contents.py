"""The bytes of images: of files, and of members of tar archives, ``shard.tar::member``."""

from __future__ import annotations

import errno
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from xprobe.base.errors import XprobeError

_MEMBER = ".tar::"

# What a network file system says while it is away for a moment.
_PASSING = frozenset(
    (errno.EIO, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT, errno.ESTALE, errno.ENETDOWN,
     errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET)
)  # fmt: skip

PATIENCE_S = (0.1, 0.5, 2.0)  # waits before the second, third and last attempt

Span = tuple[int, int]  # offset and size in an archive, bytes


def read(path: str, span: Span | None = None, wait: Callable[[float], None] = time.sleep) -> bytes:
    """Return the content of a file or of a member of an archive.

    Args:
        path: ``file``, or ``archive.tar::member``.
        span: where the member stands, if that is known.
        wait: called with seconds where a network file system fails for a moment.

    Raises:
        OSError: it cannot be read, not at the fourth attempt either; or there is no such member.
    """
    file, inside, member = path.partition(_MEMBER)
    if inside:
        file += ".tar"
    for pause in (*PATIENCE_S, None):
        try:
            if inside and span is None:
                span = _span(file, member)
            with open(file, "rb") as stream:  # noqa: PTH123  # a Path costs as much as the opening
                if span is None:
                    return stream.read()
                stream.seek(span[0])
                return stream.read(span[1])
        except OSError as error:
            if error.errno not in _PASSING or pause is None:
                raise
            wait(pause)
    raise AssertionError("the last attempt returns or raises")


def members(archive: str | Path) -> Iterator[tuple[str, Span]]:
    """Yield (name, place) of the files in an uncompressed tar, without keeping them.

    Raises:
        XprobeError: it is compressed or no tar.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                if member.isfile():
                    yield member.name, (member.offset_data, member.size)
    except tarfile.TarError as error:
        raise XprobeError(
            f"{archive}: no tar archive that can be read ({error}); compressed ones must be "
            f"unpacked to .tar first"
        ) from error


@lru_cache(maxsize=64)
def _index(archive: str, _mtime_ns: int, _size: int) -> dict[str, Span]:
    return dict(members(archive))


def _span(archive: str, member: str) -> Span:
    about = Path(archive).stat()
    try:
        return _index(archive, about.st_mtime_ns, about.st_size)[member]
    except KeyError:
        raise FileNotFoundError(errno.ENOENT, "no such member", f"{archive}::{member}") from None


def is_of_shard(name: str, shard: int, shards: int) -> bool:
    """Return whether an image of this id belongs to one of `shards` parts, counted from 1.

    By the id alone, so that an image that is added moves no other.
    """
    return crc32(name.encode(errors="surrogateescape")) % shards == shard - 1


def is_member(path: str) -> bool:
    """Return whether a path is one of a member of an archive."""
    return _MEMBER in path
