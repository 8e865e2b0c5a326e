"""Rows → CSV and Parquet."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterable, Sequence

from xprobe.base.visible import visible
from xprobe.report.tables.columns import Columns, Row


def csv_bytes(columns: Iterable[str], rows: Iterable[Row]) -> bytes:
    """Return a CSV file of these columns of some rows, as UTF-8, with a line a row."""
    names = list(columns)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    shown = functools.cache(visible)  # A table says the same few names on thousands of rows.
    for row in rows:
        cells = map(row.get, names)
        writer.writerow([shown(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue().encode()


def parquet_bytes(columns: Columns, rows: Sequence[Row]) -> bytes:
    """Return a Parquet file of these columns of some rows; their types are the same in every file.

    A column without any value keeps its type, so that the files of many reports can be joined.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    arrays = {}
    for name, kind in columns.items():
        cells = [row.get(name) for row in rows]
        shown = [visible(cell) if isinstance(cell, str) else cell for cell in cells]
        arrays[name] = pa.array(shown, types[kind])
    stream = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), stream, store_schema=False, write_page_checksum=True)
    return bytes(stream.getvalue())
