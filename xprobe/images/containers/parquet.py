"""Images in the rows of Parquet files: decoded in batches, of which the last ones are kept.

Values of a column can only be decoded one after the other. So a file is decoded forward, a batch at
a time, as its images are asked for in order, and the last batches stay in memory for threads that
lag behind. A row further back is decoded again from the start of its row group.
"""

from __future__ import annotations

import errno
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

from xprobe.base.arrays import UNREADABLE
from xprobe.base.errors import first_line
from xprobe.base.regular import check_regular
from xprobe.images.containers.columns import (
    BYTES,
    bytes_of,
    column_named,
    edges_of,
    is_struct_of_bytes,
    nulls_of,
)
from xprobe.images.containers.marks import Mark, mark_of

# So many bytes of decoded images stay in memory, of all files together: for threads that lag
# behind, and rows out of order. More would be slower: new memory costs 4 µs for each 4 KiB.
KEPT_BYTES = 16 * 2**20

# A batch has about so many bytes, and at least one image.
_BATCH_BYTES = 2**20

# So many files stay open.
_OPEN_FILES = 16

# A column is read in pieces of so many bytes, and never stands in memory as a whole. Pages of a MiB
# or so, which most are, are larger and not copied through this buffer: it is a twentieth faster.
_BUFFER_BYTES = 2**18


def read_member(file: str, member: str) -> bytes:
    """Return the image in a row, ``00017`` or ``00017/column``.

    Raises:
        OSError: there is no such row or column, there is no image in it, or the file cannot be
            read.
    """
    number, _, name = member.partition("/")
    row = int(number)
    try:
        key = file, name, mark_of(file)
        column = _COLUMNS.get(key)
        batch = column.kept(row) if column else None
        if batch is None:
            with _LOCK:
                batch = _column(key).batch(row)
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = f"damaged Parquet: {first_line(error)}"
        raise OSError(errno.EINVAL, reason, f"{file}::{member}") from error
    content = batch.images[row - batch.start]
    if content is None:
        raise OSError(errno.ENODATA, "no image: it is null", f"{file}::{member}")
    return content


class _Batch(NamedTuple):
    """Decoded images of the rows from `start` to before `stop`, None where there is none."""

    start: int
    stop: int
    images: list[bytes | None]


class _Column:
    """A column of images in a file that stays open."""

    def __init__(self, file: str, name: str) -> None:
        import pyarrow.parquet as pq

        check_regular(file)
        self._file = file
        self._parquet = pq.ParquetFile(
            file, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        )
        schema = self._parquet.schema_arrow
        self._field = column_named(name, schema, file)
        if is_struct_of_bytes(schema.field(self._field).type):
            self._field = f"{self._field}.{BYTES}"
        metadata = self._parquet.metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        # The number of the first row of each group, and behind the last one the number of rows.
        self._firsts = [0, *accumulate(group.num_rows for group in groups)]
        size = sum(
            group.column(j).total_uncompressed_size
            for group in groups
            for j in range(group.num_columns)
            if group.column(j).path_in_schema == self._field
        )
        self._batch_rows = max(1, _BATCH_BYTES * metadata.num_rows // max(size, 1))
        self._stream: Iterator[Any] = iter(())
        self._next = self._firsts[-1]  # the row that the stream goes on with
        self._batches: dict[int, _Batch] = {}
        self._starts: list[int] = []

    def kept(self, row: int) -> _Batch | None:
        """Return the batch of a row if it is in memory.

        Most images are so, and threads need not wait for each other: to take a lock for each image
        takes longer than to look for it. Meanwhile another thread may let go of the batch.
        """
        starts = self._starts
        position = bisect_right(starts, row) - 1
        batch = self._batches.get(starts[position]) if position >= 0 else None
        return batch if batch and row < batch.stop else None

    def batch(self, row: int) -> _Batch:
        """Return the batch of a row, for one thread at a time."""
        if row >= self._firsts[-1]:
            raise OSError(
                errno.ENOENT, f"no such row; the file has {self._firsts[-1]:,}", self._file
            )
        return self.kept(row) or self._decoded_to(row)

    def _decoded_to(self, row: int) -> _Batch:
        """Decode forward to a row, from where the stream is or from the start of its row group."""
        group = bisect_right(self._firsts, row) - 1
        if not self._firsts[group] <= self._next <= row:
            self._next = self._firsts[group]
            self._stream = self._parquet.iter_batches(
                self._batch_rows, row_groups=range(group, len(self._firsts) - 1),
                columns=[self._field], use_threads=False,
            )  # fmt: skip
        try:
            batch = self._decoded()
            while batch.stop <= row:
                batch = self._decoded()
            return batch
        except BaseException:
            self._next = self._firsts[-1]  # What follows damage is not what it says.
            raise

    def _decoded(self) -> _Batch:
        """Return the next batch of the stream, and keep it."""
        records = next(self._stream, None)
        if records is None:
            raise OSError("it has fewer rows than it says")
        images = _images_in(bytes_of(records.column(0)))
        batch = _Batch(self._next, self._next + len(images), images)
        self._next = batch.stop
        if batch.start in self._batches:
            return self._batches[batch.start]
        self._batches[batch.start] = batch
        self._starts = sorted(self._batches)
        _keep(self, batch)
        return batch

    def forget(self, start: int) -> None:
        """Let go of a batch."""
        del self._batches[start]
        self._starts = sorted(self._batches)

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()


def _images_in(values: Any) -> list[bytes | None]:
    """Return values of binary or large binary, None for null; Arrow's own lists are slow."""
    data = memoryview(values.buffers()[2] or b"")
    edges, nulls = edges_of(values).tolist(), nulls_of(values).tolist()
    return [
        None if is_null else data[start:end].tobytes()
        for start, end, is_null in zip(edges[:-1], edges[1:], nulls, strict=True)
    ]


class _Kept(NamedTuple):
    """A batch in memory: its column, its first row, and its bytes."""

    column: _Column
    start: int
    size: int


_Key = tuple[str, str, Mark]
"""A file, the name of a column in it, and the mark by which a changed file is another one."""

# One thread decodes at a time, which takes far less time than decoding the images does.
_LOCK = threading.Lock()
_COLUMNS: OrderedDict[_Key, _Column] = OrderedDict()
_KEPT: deque[_Kept] = deque()


def _column(key: _Key) -> _Column:
    """Return a column of a file, which is opened anew if it changed."""
    column = _COLUMNS.get(key)
    if column is None:
        column = _COLUMNS[key] = _Column(*key[:2])
        while len(_COLUMNS) > _OPEN_FILES:
            _close(_COLUMNS.popitem(last=False)[1])
    else:
        _COLUMNS.move_to_end(key)
    return column


def _close(column: _Column) -> None:
    """Let go of a column, of its batches and of its file."""
    for kept in [kept for kept in _KEPT if kept.column is column]:
        _KEPT.remove(kept)
    column.close()


def _keep(column: _Column, batch: _Batch) -> None:
    """Record that a batch is in memory, and remove the oldest batches beyond `KEPT_BYTES`."""
    _KEPT.append(_Kept(column, batch.start, sum(map(len, filter(None, batch.images)))))
    size = sum(kept.size for kept in _KEPT)
    while size > KEPT_BYTES and len(_KEPT) > 1:
        oldest = _KEPT.popleft()
        oldest.column.forget(oldest.start)
        size -= oldest.size
