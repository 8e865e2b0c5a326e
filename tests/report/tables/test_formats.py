"""CSV and Parquet hold the same cells, whatever stands in them."""

from __future__ import annotations

import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq

from xprobe.report.tables.columns import Columns, Row
from xprobe.report.tables.formats import csv_bytes, parquet_bytes

COLUMNS: Columns = {"name": str, "n": int, "value": float, "is_so": bool, "empty": float}
NASTY = ("a\0b", "\ud800", "=1+1", 'q"u,o\n', "日本\u202e", "\x1b[0m", "a;b")
VISIBLE = (r"a\x00b", r"\ud800", "=1+1", r'q"u,o\n', r"日本\u202e", r"\x1b[0m", "a;b")
ROWS: list[Row] = [
    {"name": name, "n": i, "value": i, "is_so": i > 1, "else": 1} for i, name in enumerate(NASTY)
]


def test_a_csv_is_a_line_a_row_that_holds_no_hidden_character() -> None:
    text = csv_bytes(COLUMNS, ROWS).decode()
    assert len(text.splitlines()) == len(text.split("\n")) - 1 == 1 + len(ROWS)
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == list(COLUMNS)
    assert [row[0] for row in rows[1:]] == list(VISIBLE)
    assert rows[2] == [VISIBLE[1], "1", "1", "False", ""]


def test_parquet_has_types_and_empty_cells() -> None:
    table = pq.read_table(io.BytesIO(parquet_bytes(COLUMNS, ROWS)))
    assert [(f.name, f.type) for f in table.schema] == [
        ("name", pa.string()), ("n", pa.int64()), ("value", pa.float64()), ("is_so", pa.bool_()),
        ("empty", pa.float64()),
    ]  # fmt: skip
    rows = table.to_pylist()
    assert [row["name"] for row in rows] == list(VISIBLE)
    assert rows[1] == {"name": VISIBLE[1], "n": 1, "value": 1.0, "is_so": False, "empty": None}


def test_a_table_without_rows_has_its_columns() -> None:
    assert csv_bytes(COLUMNS, []) == b"name,n,value,is_so,empty\n"
    assert pq.read_table(io.BytesIO(parquet_bytes(COLUMNS, []))).schema.names == list(COLUMNS)
