"""The bytes of images, in files of their own and in files of many, ``shard.tar::member``."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO
from zlib import crc32

from xprobe.base.regular import open_regular, opener
from xprobe.images.containers.registry import Member, Span, member_of

# A network file system that is away for a moment gives one of these errors.
_PASSING_ERRORS = frozenset(
    (errno.EIO, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT, errno.ESTALE, errno.ENETDOWN,
     errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET)
)  # fmt: skip

# A reader waits so many seconds before the second, third and last attempt.
PATIENCE_S = (0.1, 0.5, 2.0)

# No image needs more; a larger file would fill the memory before a decoder refuses it.
MOST_BYTES = 2**31


def read(path: str, span: Span | None = None, wait: Callable[[float], None] = time.sleep) -> bytes:
    """Return the content of a file, or of a member of a file of many images.

    Args:
        path: ``file``, or ``file::member`` for a file of `containers.registry.CONTAINERS`.
        span: offset and size of the member in its file, if they are known.
        wait: function that waits so many seconds, after a network file system failed for a moment.

    Raises:
        OSError: the content cannot be read even at the fourth attempt, or there is no such member.
    """
    member = member_of(path)
    for pause in (*PATIENCE_S, None):
        try:
            if member is None:
                return _read_span(path, span)
            if span is None and not member.container.has_spans:
                return member.container.read_member(member.file, member.name)
            return _read_span(member.file, span or _locate(member))
        except OSError as error:
            if error.errno not in _PASSING_ERRORS or pause is None:
                raise
            wait(pause)
    raise AssertionError("the last attempt returns or raises")


def spans_of(paths: Iterable[str]) -> Iterator[Span | None]:
    """Yield where images lie in files of many; None: not as they are, or they cannot be read.

    Whoever hands paths to other processes hands these on with them, so that they need not look
    through the whole file again. Of members of one file in a row the first alone looks at it.
    """
    beginning = ""
    locate: Callable[[str], Span] = _nowhere
    for path in paths:
        if not beginning or not path.startswith(beginning):
            member = member_of(path)
            if member is None or not member.container.has_spans:
                yield None
                continue
            beginning, locate = f"{member.file}::", _nowhere
            with suppress(OSError):
                locate = member.container.locator(member.file)
        try:
            yield locate(path[len(beginning) :])
        except OSError:
            yield None


def _nowhere(_: str) -> Span:
    raise FileNotFoundError


def _locate(member: Member) -> Span:
    return member.container.locate(member.file, member.name)


def digest(path: str) -> str:
    """Return the SHA-256 of a content as hex digits; ``""`` if it cannot be read."""
    try:
        return hashlib.sha256(read(path)).hexdigest()
    except OSError:
        return ""


def stream_of(path: str, span: Span | None = None) -> BinaryIO:
    """Open a file, or the content of a member of a file of many, to read its beginning.

    Args:
        path, span: as in `read`.

    Raises:
        OSError: as in `read`.
    """
    if is_member(path):
        return io.BytesIO(read(path, span))
    return open(path, "rb", opener=opener)  # A Path takes no opener.


def reason_of(error: OSError) -> str:
    """Return in a few words, without a capital, why the system cannot read a file."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _read_span(file: str, span: Span | None) -> bytes:
    """Return the content of a file, or of a member that the file must be long enough for.

    A file object would cost as much again as reading a small image does.
    """
    if span is not None and _CAN_READ_ANYWHERE:
        return _read_archive(file, span)
    descriptor, whole = open_regular(file)
    try:
        offset, size = span or (0, whole)
        _check_size(file, offset, size, whole)
        if offset:
            os.lseek(descriptor, offset, os.SEEK_SET)
        content = os.read(descriptor, size)
        while len(content) < size and (more := os.read(descriptor, size - len(content))):
            content += more  # A call may return less than the whole.
        return content
    finally:
        os.close(descriptor)


def _check_size(file: str, offset: int, size: int, whole: int) -> None:
    if size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"{size:,} bytes, more than {MOST_BYTES:,} allowed", file)
    if offset + size > whole:
        raise OSError(errno.EINVAL, "the archive ends before this member does", file)


# --- archives ------------------------------------------------------------------------------

_CAN_READ_ANYWHERE = hasattr(os, "pread")


class _Archive:
    """An archive that is open to be read, until nobody refers to it."""

    def __init__(self, file: str) -> None:
        self._descriptor, _ = open_regular(file)
        self.identity = _identity(os.fstat(self._descriptor))

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # It may not have been opened.
            os.close(self._descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Return what lies there, or less at the end of the archive."""
        content = os.pread(self._descriptor, size, offset)
        while len(content) < size:
            more = os.pread(self._descriptor, size - len(content), offset + len(content))
            if not more:
                break
            content += more
        return content


# The archive that a thread has read last: to open it takes longer than to read a small image.
_LAST = threading.local()


def _read_archive(file: str, span: Span) -> bytes:
    """Return a member of an archive, which stays open for the next one."""
    offset, size = span
    status = os.stat(file)  # noqa: PTH116  # A Path is slow.
    archive: _Archive | None = getattr(_LAST, "archive", None)
    if archive is None or archive.identity != _identity(status):
        archive = _LAST.archive = _Archive(file)
    _check_size(file, offset, size, status.st_size)
    try:
        return archive.read(offset, size)
    except OSError:  # The file may be a stale one of a network, and is opened anew.
        _LAST.archive = None
        raise


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_of_shard(name: str, shard: int, shards: int) -> bool:
    """Return whether an image of this id belongs to one of `shards` parts, counted from 1.

    The id alone decides, so that an image that is added moves no other to another part.
    """
    return crc32(name.encode(errors="surrogateescape")) % shards == shard - 1


def is_member(path: str) -> bool:
    """Return whether a path names a member of a file of many images."""
    return member_of(path) is not None
