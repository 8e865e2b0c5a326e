"""Files of tables → the names of their columns, and a cell of each column for every row."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from xprobe.base.arrays import UNREADABLE
from xprobe.base.errors import XprobeError, XprobeWarning, first_few, first_line
from xprobe.base.regular import check_regular
from xprobe.images.text import read_text, unified

SEPARATORS = ",;\t|"

_JSON = (".jsonl", ".ndjson", ".json")

SUFFIXES = (".csv", ".tsv", *_JSON, ".parquet")

# A cell may hold the outlines of all objects in an image; csv would stop at 131,072 characters.
_MOST_CHARACTERS = 2**31 - 1

_LONGEST_HEADER = 2**16

# The index that pandas writes beside the columns of a table, which says nothing of the images.
_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")

Cells = dict[str, Any]
"""A row of a file: column → text, or what JSON and Parquet have in its place."""


def check_suffix(file: Path) -> None:
    """Check that a file's suffix is that of a table.

    Raises:
        XprobeError: it is not.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise XprobeError(f"{file}: name a table {', '.join(SUFFIXES)}")


def read_cells(file: Path, columns: Sequence[str] = ()) -> tuple[list[str], list[Cells]]:
    """Return the names of the columns of a table in a file, and its rows.

    Text is in the encodings of `text.read_text`. The separator of a .csv or .tsv is whichever of
    comma, semicolon, tab and bar divides the first line into the most of `columns`.

    Raises:
        XprobeError: the file cannot be read, or a row does not fit its columns.
        OSError: there is no such file.
    """
    check_regular(file)
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        names, rows = _read_parquet(file)
    elif suffix in _JSON:
        names, rows = _read_json(file, read_text(file))
    else:
        names, rows = _read_csv(file, read_text(file), columns)
    names = [name for name in names if not _INDEX.fullmatch(name)]
    twice = [repr(name) for name, n in Counter(names).items() if n > 1]
    if twice:
        raise XprobeError(f"{file}: the column {first_few(twice)} is there twice; keep one")
    return names, [{name: row.get(name) for name in names} for row in rows]


def _read_csv(file: Path, text: str, columns: Sequence[str]) -> tuple[list[str], list[Cells]]:
    csv.field_size_limit(_MOST_CHARACTERS)
    text = text.lstrip("\r\n")
    if named := re.match(f"sep=([{SEPARATORS}])[\r\n]+", text, re.IGNORECASE):
        separator, text = named[1], text[named.end() :]  # Excel says its separator so.
    else:
        separator = _separator(text, columns)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    rows: list[Cells] = []
    short: list[int] = []
    try:
        for cells in reader:
            if not names:
                names = _without_end([cell.strip() for cell in cells])
            elif any(map(str.strip, cells)):
                rows.append(_row_of_csv(names, cells, f"{file}, line {reader.line_num}"))
                if len(cells) < len(names):
                    short.append(reader.line_num)
    except csv.Error as error:
        raise XprobeError(
            f"{file}, line {reader.line_num}: cannot be read as a manifest: {error}"
        ) from error
    if short:
        warnings.warn(
            f"{file}: rows have fewer cells than there are columns, the rest is taken as empty: "
            f"line {first_few(map(str, short))}",
            XprobeWarning,
            stacklevel=2,
        )
    return names, rows


def _separator(text: str, columns: Sequence[str]) -> str:
    """Return the separator that finds the most of `columns` in the first line of a text."""
    known = {column.lower() for column in columns}
    first = text[:_LONGEST_HEADER]

    def hits(separator: str) -> int:
        header = next(csv.reader(io.StringIO(first, newline=""), delimiter=separator), [])
        return len(known & {name.strip().lower() for name in header})

    return max(SEPARATORS, key=hits)


def _without_end(names: list[str]) -> list[str]:
    """Return the names of columns without the separators that end some lines."""
    while names and not names[-1]:
        names.pop()
    return names


def _row_of_csv(names: Sequence[str], cells: Sequence[str], where: str) -> Cells:
    if any(map(str.strip, cells[len(names) :])):
        raise XprobeError(
            f"{where}: {len(cells)} cells, but there are {len(names)} columns; quote cells that "
            f"hold the separator"
        )
    for name, cell in zip(names[1:], cells[1:], strict=False):
        if not name and cell.strip():
            raise XprobeError(f"{where}: {cell!r} is in a column without a name; give it one")
    return dict(zip(names, cells, strict=False))


def _read_json(file: Path, text: str) -> tuple[list[str], list[Cells]]:
    """Read an object a line, or a list of objects."""
    if text.lstrip().startswith("["):
        values = _parse(text, f"{file}")
        places = [f"{file}, row {i}" for i in range(1, len(values) + 1)]
    else:
        lines = enumerate(unified(text).split("\n"), 1)
        numbered = [(f"{file}, line {i}", line) for i, line in lines if line.strip()]
        places = [place for place, _ in numbered]
        values = [_parse(line, place) for place, line in numbered]
    for place, value in zip(places, values, strict=True):
        if not isinstance(value, dict):
            raise XprobeError(f'{place}: a row is an object, {{"path": …}}, not {value!r:.40}')
    return list(dict.fromkeys(name for value in values for name in value)), values


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise XprobeError(f"{where}: nested too deeply for a manifest") from error
    except ValueError as error:
        raise XprobeError(f"{where}: cannot be read as a manifest: {error}") from error


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, of whose repeated keys json would keep the last without a word."""
    pairs = list(pairs)
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = [repr(name) for name, n in Counter(name for name, _ in pairs).items() if n > 1]
        raise ValueError(f"the key {first_few(twice)} is there twice")
    return values


def _read_parquet(file: Path) -> tuple[list[str], list[Cells]]:
    import pyarrow.parquet as pq

    try:
        # Other readers of pyarrow take folders named column=value above the file for columns.
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            table = parquet.read()
        return table.column_names, table.to_pylist()
    except UNREADABLE as error:
        raise XprobeError(f"{file}: cannot be read as a manifest: {first_line(error)}") from error
