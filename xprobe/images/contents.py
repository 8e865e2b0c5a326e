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
from functools import lru_cache
from typing import BinaryIO
from zlib import crc32

from xprobe.base.regular import open_regular, opener
from xprobe.images.containers.marks import Mark, mark_of
from xprobe.images.containers.registry import Span, member_of

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
                return _read_file(path) if span is None else _read_span(path, span)
            container, file, name = member
            if span is None and not container.has_spans:
                return container.read_member(file, name)
            return _read_span(file, span or container.locate(file, name))
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
    locate: Callable[[str], Span] | None = None
    for path in paths:
        if not beginning or not path.startswith(beginning):
            member = member_of(path)
            if member is None:
                yield None
                continue
            container, file, _ = member
            beginning, locate = f"{file}::", None
            if container.has_spans:
                with suppress(OSError):
                    locate = container.locator(file)
        try:
            yield locate(path[len(beginning) :]) if locate else None
        except OSError:
            yield None


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


def _read_file(file: str) -> bytes:
    """Return the content of a file.

    A file object would cost as much again as reading a small image does.
    """
    descriptor, size = open_regular(file)
    try:
        _check_size(size, file)
        content = os.read(descriptor, size)
        while len(content) < size and (more := os.read(descriptor, size - len(content))):
            content += more  # A call may return less than the whole.
        return content
    finally:
        os.close(descriptor)


def _check_size(size: int, file: str) -> None:
    if size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"{size:,} bytes, more than {MOST_BYTES:,} allowed", file)


def _read_span(file: str, span: Span) -> bytes:
    """Return a part of a file, which stays open for the next one."""
    offset, size = span
    _check_size(size, file)
    try:
        opened = _opened(file, mark_of(file))
        content = opened.read(size, offset)
        while len(content) < size and (
            more := opened.read(size - len(content), offset + len(content))
        ):
            content += more
    except OSError:
        _opened.cache_clear()  # A network file system may have lost what was open.
        raise
    if len(content) < size:
        raise OSError(errno.EINVAL, "the archive ends before this member does", file)
    return content


class _OpenFile:
    """A file that is closed when nobody holds it any more, in whatever thread."""

    def __init__(self, file: str) -> None:
        self._descriptor, _ = open_regular(file)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def read(self, size: int, offset: int) -> bytes:
        """Return bytes from an offset on, fewer where the file ends."""
        return _pread(self._descriptor, size, offset)


_SEEKING = threading.Lock()


def _seek_and_read(descriptor: int, size: int, offset: int) -> bytes:
    """Do what ``os.pread`` does, where a system lacks it."""
    with _SEEKING:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


_pread = getattr(os, "pread", _seek_and_read)


@lru_cache(maxsize=16)
def _opened(file: str, _mark: Mark) -> _OpenFile:
    """Return a file that stays open, since that takes longer than to read a small image.

    Another file that takes its name has another mark, and is opened anew.
    """
    return _OpenFile(file)


def is_of_shard(name: str, shard: int, shards: int) -> bool:
    """Return whether an image of this id belongs to one of `shards` parts, counted from 1.

    The id alone decides, so that an image that is added moves no other to another part.
    """
    return crc32(name.encode(errors="surrogateescape")) % shards == shard - 1


def is_member(path: str) -> bool:
    """Return whether a path names a member of a file of many images."""
    return member_of(path) is not None
