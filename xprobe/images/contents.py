"""The bytes of images in files and in members of tar archives, ``shard.tar::member``."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from xprobe.base.errors import XprobeWarning, first_few
from xprobe.base.regular import open_regular, opener
from xprobe.images.archives import ArchiveError, Span, members

_MEMBER_SEPARATOR = ".tar::"

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
            return _read_span(file, span)
        except OSError as error:
            if error.errno not in _PASSING_ERRORS or pause is None:
                raise
            wait(pause)
    raise AssertionError("the last attempt returns or raises")


def digest(path: str) -> str:
    """Return the SHA-256 of a content as hex digits; ``""`` if it cannot be read."""
    try:
        return hashlib.sha256(read(path)).hexdigest()
    except OSError:
        return ""


def stream_of(path: str) -> BinaryIO:
    """Open a file, or the content of a member of an archive, to read its beginning.

    Raises:
        OSError: as in `read`.
    """
    if is_member(path):
        return io.BytesIO(read(path))
    return open(path, "rb", opener=opener)  # A Path takes no opener.


def reason_of(error: OSError) -> str:
    """Return in a few words, without a capital, why the system cannot read a file."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _read_span(file: str, span: Span | None) -> bytes:
    """Return the content of a file, or of a member that the file must be long enough for.

    A file object would cost as much again as reading a small image does.
    """
    descriptor, whole = open_regular(file)
    try:
        offset, size = span or (0, whole)
        if size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"{size:,} bytes, more than {MOST_BYTES:,} allowed", file)
        if offset + size > whole:
            raise OSError(errno.EINVAL, "the archive ends before this member does", file)
        if offset:
            os.lseek(descriptor, offset, os.SEEK_SET)
        content = os.read(descriptor, size)
        while len(content) < size and (more := os.read(descriptor, size - len(content))):
            content += more  # A call may return less than the whole.
        return content
    finally:
        os.close(descriptor)


@lru_cache(maxsize=64)
def _spans_of_members(archive: str, _mtime_ns: int, _size: int) -> tuple[dict[str, Span], str]:
    """Return the spans in an archive by name, and why it was not read to its end; ``""``: it was.

    A new time or size renews what is cached. Of members that share a name the last one counts, as
    it does when they are unpacked.
    """
    spans: dict[str, Span] = {}
    doubled = []
    try:
        for name, span in members(archive):
            if name in spans:
                doubled.append(name)
            spans[name] = span
    except ArchiveError as error:
        return spans, str(error)
    if doubled:
        warnings.warn(
            f"{archive}: {len(doubled)} members have the name of an earlier one, which they "
            f"replace: {first_few(doubled, 3)}",
            XprobeWarning,
            stacklevel=2,
        )
    return spans, ""


def _locate_member(archive: str, member: str) -> Span:
    status = Path(archive).stat()
    spans, damage = _spans_of_members(archive, status.st_mtime_ns, status.st_size)
    try:
        return spans[member]
    except KeyError:
        reason = f"no such member; {damage}" if damage else "no such member"
        raise FileNotFoundError(errno.ENOENT, reason, f"{archive}::{member}") from None


def is_of_shard(name: str, shard: int, shards: int) -> bool:
    """Return whether an image of this id belongs to one of `shards` parts, counted from 1.

    The id alone decides, so that an image that is added moves no other to another part.
    """
    return crc32(name.encode(errors="surrogateescape")) % shards == shard - 1


def is_member(path: str) -> bool:
    """Return whether a path names a member of an archive."""
    return _MEMBER_SEPARATOR in path
