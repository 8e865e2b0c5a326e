"""Files of tables: separators, encodings, and what no table is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.sources.cells import read_cells

COLUMNS = ("path", "label", "source")
NAMES = ["path", "label", "source", "note"]
ROWS = [
    {"path": "1.png", "label": "é", "source": "real", "note": "a,b;c|d"},
    {"path": "2.png", "label": "b", "source": "synthetic", "note": ""},
]


def put(file: Path, text: str, encoding: str = "utf-8") -> Path:
    file.write_bytes(text.encode(encoding, "surrogatepass"))
    return file


def as_csv(separator: str, end: str = "\n") -> str:
    cells = [NAMES, *([f'"{row[name]}"' for name in NAMES] for row in ROWS)]
    return "".join(separator.join(line) + end for line in cells)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_line_ends_and_encodings_of_csv(
    tmp_path: Path, separator: str, end: str, encoding: str
) -> None:
    for suffix in (".csv", ".tsv"):
        file = put(tmp_path / f"m{suffix}", as_csv(separator, end), encoding)
        assert read_cells(file, COLUMNS) == (NAMES, ROWS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_json_is_an_object_a_line_or_a_list(tmp_path: Path, end: str, encoding: str) -> None:
    lines = [json.dumps(row) for row in ROWS]
    for suffix in (".jsonl", ".ndjson", ".json"):
        for text in (end.join(lines), end.join(["", *lines, ""]), f"[{','.join(lines)}]"):
            file = put(tmp_path / f"m{suffix}", text, encoding)
            assert read_cells(file, COLUMNS) == (NAMES, ROWS)


def test_excel_names_its_separator_in_a_line_of_its_own(tmp_path: Path) -> None:
    file = put(tmp_path / "m.csv", "sep=;\r\n" + as_csv(";", "\r\n"))
    assert read_cells(file, COLUMNS) == (NAMES, ROWS)


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_the_index_of_pandas_is_no_column(tmp_path: Path, name: str) -> None:
    file = put(tmp_path / "m.csv", f"{name},path,label\n0,1.png,a\n1,2.png,b\n")
    names, rows = read_cells(file, COLUMNS)
    assert names == ["path", "label"]
    assert rows[1] == {"path": "2.png", "label": "b"}
    pq.write_table(pa.table({"path": ["1.png"], "__index_level_0__": [7]}), tmp_path / "m.parquet")
    assert read_cells(tmp_path / "m.parquet")[0] == ["path"]


def test_blank_lines_and_separators_alone_are_no_rows(tmp_path: Path) -> None:
    file = put(tmp_path / "m.csv", "\n\npath,label,,\n1.png,a,,\n\n,,,\n2.png,b\n")
    names, rows = read_cells(file, COLUMNS)
    assert names == ["path", "label"]
    assert [row["path"] for row in rows] == ["1.png", "2.png"]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    file = put(tmp_path / "m.csv", f"path,polygons\n1.png,{'x' * 200_000}\n")
    assert len(read_cells(file, COLUMNS)[1][0]["polygons"]) == 200_000


def test_a_row_that_ends_early_is_told(tmp_path: Path) -> None:
    file = put(tmp_path / "m.csv", "path,label,source\n1.png,a,real\n2.png,b\n")
    with pytest.warns(XprobeWarning, match=r"m.csv: rows have fewer cells .*: line 3"):
        assert read_cells(file, COLUMNS)[1][1] == {"path": "2.png", "label": "b", "source": None}


def test_folders_above_a_parquet_file_are_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "split=test"
    folder.mkdir()
    pq.write_table(pa.table({"path": ["1.png"]}), folder / "m.parquet")
    assert read_cells(folder / "m.parquet")[0] == ["path"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "path,label\n1.png,a,more\n", "line 2: 3 cells, but there are 2 columns"),
        ("m.csv", "path,,label\n1.png,x,a\n", "line 2: 'x' is in a column without a name"),
        ("m.csv", "path,label,label\n1.png,a,b\n", "the column 'label' is there twice"),
        ("m.csv", 'path,label\n"1.png,a\n', "line 2: cannot be read as a manifest"),
        ("m.jsonl", '"path"\n', "line 1: a row is an object"),
        ("m.jsonl", '{"path": "1.png"}\n\n17\n', "line 3: a row is an object"),
        ("m.jsonl", '["path", "label", "source"]\n', "row 1: a row is an object"),
        ("m.jsonl", '{"path": "1"}\n{"path": "2", "path": "3"}', "line 2: .*'path' is there twice"),
        ("m.jsonl", "[" * 200_000, "nested too deeply"),
        ("m.jsonl", '{"path": 1}\n{"path": ' + "[" * 200_000, "line 2: nested too deeply"),
        ("m.jsonl", '{"path": 1}\n{"path": ' + "1" * 5000 + "}", "line 2: cannot be read"),
        ("m.json", '{"images": [\n1]}', "line 1: cannot be read"),
        ("m.json", '[{"path": 1}, 2]', "row 2: a row is an object"),
        ("m.parquet", "PAR1", "cannot be read as a manifest"),
    ],
)
def test_what_is_no_table_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(XprobeError, match=f"{name}[,:] .*{message}|{name}, {message}"):
        read_cells(put(tmp_path / name, text), COLUMNS)


def test_columns_of_parquet_keep_their_values(tmp_path: Path) -> None:
    table: dict[str, list[Any]] = {"path": ["1.png"], "label": [1.5], "box": [[1, 2]]}
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    assert read_cells(tmp_path / "m.parquet")[1] == [{"path": "1.png", "label": 1.5, "box": [1, 2]}]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(XprobeError, match="a named pipe"):
            read_cells(tmp_path / name)
