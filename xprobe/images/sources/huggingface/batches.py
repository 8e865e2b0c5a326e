"""The rows of Parquet files and of Arrow streams in batches, without the bytes of the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from xprobe.base.arrays import UNREADABLE
from xprobe.base.errors import XprobeError, first_line
from xprobe.base.regular import check_regular
from xprobe.images.containers.arrow import Stream
from xprobe.images.containers.columns import BYTES, PATH, is_struct_of_bytes, nulls_of
from xprobe.images.sources.huggingface.tree import PARQUET

_ROWS = 10_000

# Where images must be decoded to see which ones are null, fewer stand in memory at a time.
_ROWS_WITH_IMAGES = 100

_ALL, _SOME, _NONE = "all", "some", "none"


class Batch(NamedTuple):
    """Some rows of a file.

    Attributes:
        n: how many there are.
        values: column → its values.
        paths: position of each image whose bytes are null → its path, None if that is null, too.
    """

    n: int
    values: dict[str, list[Any]]
    paths: dict[int, str | None]


def rows_in(file: Path) -> ParquetRows | ArrowRows:
    """Return a context manager that opens a file of rows and closes it again.

    Raises:
        XprobeError: it cannot be read.
    """
    return ParquetRows(file) if file.suffix == PARQUET else ArrowRows(file)


@contextmanager
def _errors_explained(file: Path) -> Iterator[None]:
    """Turn what the libraries say of a file that cannot be read into one line."""
    try:
        yield
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) else ""
        raise XprobeError(
            f"{file}: it cannot be read ({reason or first_line(error)}); copy or write it again"
        ) from error


class ParquetRows:
    """The rows of a Parquet file.

    Attributes:
        schema: Arrow's schema.
        n: how many there are.
    """

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq

        self._file = file
        with _errors_explained(file):
            check_regular(file)
            self._parquet = pq.ParquetFile(
                file, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True
            )
            self.schema: Any = self._parquet.schema_arrow
            self.n: int = self._parquet.metadata.num_rows

    def __enter__(self) -> ParquetRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._parquet.close()

    def batches(self, columns: Sequence[str], image: str) -> Iterator[Batch]:
        """Yield the rows, of these columns; images are decoded only where some are null.

        Args:
            columns: the columns.
            image: the column of images.

        Raises:
            XprobeError: the file is damaged.
        """
        is_struct = is_struct_of_bytes(self.schema.field(image).type)
        content = f"{image}.{BYTES}" if is_struct else image
        groups = range(self._parquet.metadata.num_row_groups)
        with _errors_explained(self._file):
            for nulls, alike in groupby(groups, key=lambda i: self._nulls(i, content)):
                fields = list(columns)
                if nulls != _NONE and is_struct:
                    fields.append(f"{image}.{PATH}")
                if nulls == _SOME or (not is_struct and nulls == _ALL):
                    fields.append(content)
                stream = self._parquet.iter_batches(
                    _ROWS_WITH_IMAGES if nulls == _SOME else _ROWS,
                    row_groups=list(alike), columns=fields, use_threads=False,
                )  # fmt: skip
                for records in stream:
                    yield _batch(records, columns, "" if nulls == _NONE else image)

    def _nulls(self, group: int, column: str) -> str:
        """Return how many values of a column in a row group are null, as far as the file says."""
        metadata = self._parquet.metadata.row_group(group)
        for i in range(metadata.num_columns):
            chunk = metadata.column(i)
            if chunk.path_in_schema == column and chunk.is_stats_set:
                statistics = chunk.statistics
                if statistics.has_null_count:
                    n = statistics.null_count
                    return _NONE if not n else _ALL if n == metadata.num_rows else _SOME
        return _SOME


class ArrowRows:
    """The rows of an Arrow stream.

    Attributes:
        schema: Arrow's schema.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with _errors_explained(file), Stream(file) as stream:
            self.schema: Any = stream.schema

    @cached_property
    def n(self) -> int:
        """How many rows there are; the whole stream is searched for its batches."""
        with _errors_explained(self._file), Stream(self._file) as stream:
            return sum(batch.num_rows for batch in stream.batches())

    def __enter__(self) -> ArrowRows:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def batches(self, columns: Sequence[str], image: str) -> Iterator[Batch]:
        """Yield the rows, of these columns, as `ParquetRows.batches` does."""
        with _errors_explained(self._file), Stream(self._file) as stream:
            for records in stream.batches():
                yield _batch(records, columns, image)


def _batch(records: Any, columns: Sequence[str], image: str) -> Batch:
    """Return some rows of a record batch.

    Args:
        records: the record batch.
        columns: columns that are read.
        image: column of images some of which may be null; empty: none is.
    """
    values = {name: records.column(name).to_pylist() for name in columns}
    return Batch(records.num_rows, values, _paths(records.column(image)) if image else {})


def _paths(images: Any) -> dict[int, str | None]:
    """Return the paths of the images whose bytes are null, or not even read, by position."""
    import pyarrow as pa

    fields = {"": images}
    if pa.types.is_struct(images.type):
        names = [images.type.field(i).name for i in range(images.type.num_fields)]
        fields = dict(zip(names, images.flatten(), strict=True))
    content, paths = fields.get(BYTES, fields.get("")), fields.get(PATH)
    rows: Sequence[int] = range(len(images))
    if content is not None:
        rows = nulls_of(content).nonzero()[0].tolist()
    return {i: paths[i].as_py() if paths is not None else None for i in rows}
