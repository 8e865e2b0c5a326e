"""Images in the rows of Arrow's streams, as ``save_to_disk`` of Hugging Face writes them.

Values lie in such a file as they are, so that an image is a span of it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xprobe.base.arrays import UNREADABLE, Ints
from xprobe.base.errors import first_line
from xprobe.base.regular import check_regular
from xprobe.images.containers.columns import bytes_of, column_named, edges_of, nulls_of
from xprobe.images.containers.marks import Mark, mark_of
from xprobe.images.containers.registry import Span

# A stream ends with what begins a message, and the length 0 of a message that does not follow.
_END = b"\xff\xff\xff\xff\0\0\0\0"

# Files of the random-access form begin so.
_RANDOM_ACCESS = b"ARROW1"

_FEATHER = "an Arrow file of the random-access form (Feather); write it as a stream, or as Parquet"

_NOT_IN_PLACE = (
    "its buffers are compressed, or images are views, so that they cannot be read in place; write "
    "it uncompressed, or as Parquet"
)


def locate(file: str, member: str) -> Span:
    """Return where the image of a row, ``00017`` or ``00017/column``, lies.

    The first call looks where all images of the file lie.

    Raises:
        OSError: there is no such row or column, there is no image in it, or the file cannot be
            read in place.
    """
    number, _, column = member.partition("/")
    spans, row = _spans(file, column, mark_of(file)), int(number)
    if row >= len(spans.sizes):
        reason = f"no such row; the file has {len(spans.sizes):,}"
        raise OSError(errno.ENOENT, reason, f"{file}::{member}")
    size = int(spans.sizes[row])
    if size < 0:
        raise OSError(errno.ENODATA, "no image: it is null", f"{file}::{member}")
    return int(spans.offsets[row]), size


class Stream:
    """An Arrow file of record batches, open for reading; ``with`` closes it.

    Attributes:
        file: path of the file.
        schema: its schema.
        address, size: where the map of the file begins in memory, and how long it is, in bytes.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, file: str | Path) -> None:
        import pyarrow as pa

        self.file = str(file)
        check_regular(file)
        if not Path(file).stat().st_size:
            raise OSError(errno.EINVAL, "the file is empty", self.file)
        try:
            self._map = pa.memory_map(self.file)
            self.size = self._map.size()
            start = self._map.read_buffer(len(_RANDOM_ACCESS))
            self.address = start.address
            if start.to_pybytes() == _RANDOM_ACCESS:
                raise OSError(errno.EINVAL, _FEATHER, self.file)
            self._map.seek(0)
            self._reader = pa.ipc.open_stream(self._map)
            self.schema = self._reader.schema
        except UNREADABLE as error:
            raise self._damaged(error) from error

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()

    def batches(self) -> Iterator[Any]:
        """Yield the record batches, whose buffers lie in the map of the file.

        Raises:
            OSError: they are damaged, or the stream was cut off.
        """
        try:
            yield from self._reader
            self._map.seek(max(self.size - len(_END), 0))
            if self._map.read() != _END:
                raise OSError("its end is missing, and rows may be; copy or write it again")
        except UNREADABLE as error:
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> OSError:
        if isinstance(error, OSError) and error.errno:
            return error
        return OSError(errno.EINVAL, f"damaged Arrow stream: {first_line(error)}", self.file)


class _Spans(NamedTuple):
    """Where the images of a file lie: (n,) offsets and sizes in bytes; a size of -1 is null."""

    offsets: Ints
    sizes: Ints


@lru_cache(maxsize=64)
def _spans(file: str, column: str, _mark: Mark) -> _Spans:
    """Return where the images of a column lie; a new mark renews what is cached."""
    with Stream(file) as stream:
        name = column_named(column, stream.schema, file)
        parts = [_spans_in(batch.column(name), stream) for batch in stream.batches()]
    empty = np.zeros(0, np.int64)
    offsets = np.concatenate([empty, *(part.offsets for part in parts)])
    return _Spans(offsets, np.concatenate([empty, *(part.sizes for part in parts)]))


def _spans_in(values: Any, stream: Stream) -> _Spans:
    """Return where the images of a record batch lie.

    Raises:
        OSError: they do not lie in the file as they are.
    """
    images = bytes_of(values)
    n, (_, _, data) = len(images), images.buffers()
    is_null = nulls_of(images)
    if not n or data is None or not data.size:  # Images are empty or null.
        return _Spans(np.zeros(n, np.int64), np.where(is_null, -1, 0))
    start = data.address - stream.address
    if not 0 <= start < stream.size:
        raise OSError(errno.EINVAL, _NOT_IN_PLACE, stream.file)
    edges = edges_of(images)
    return _Spans(start + edges[:-1], np.where(is_null, -1, np.diff(edges)))
