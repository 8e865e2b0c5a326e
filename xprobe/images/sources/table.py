"""The image table as a CSV, JSONL or Parquet file."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.base.regular import check_regular
from xprobe.images.manifest import (
    OPTIONAL,
    REQUIRED,
    SOURCES,
    SPLITS,
    WIDER,
    Manifest,
    Row,
    as_text,
    id_of,
)

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")


def write_table(manifest: Manifest, file: str | Path) -> None:
    """Write a manifest as CSV, JSONL or Parquet by the file's suffix; paths are relative to it."""
    file = Path(file)
    base = file.parent.resolve()
    names = ("id", *REQUIRED, "group", "parent", "generator", "split", "prompt", "polygons")
    rows = []
    for i in range(len(manifest)):
        row = {name: getattr(manifest, name)[i] for name in names}
        row["path"] = _path_relative_to(Path(row["path"]), base)
        if row["polygons"].endswith(".json"):
            row["polygons"] = _path_relative_to(Path(row["polygons"]), base)
        if row["source"] == "real" and row["group"] == row["id"]:
            row["group"] = ""  # An empty group means this default.
        if as_text(row["path"]) != row["path"]:
            raise XprobeError(
                f"{row['id']}: a file name that is no UTF-8 cannot stand in a manifest; rename it"
            )
        rows.append(row)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix.lower() == ".csv":
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)
    elif file.suffix.lower() in (".jsonl", ".ndjson"):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.write_text("".join(lines), encoding="utf-8")
    elif file.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({name: [row[name] for row in rows] for name in names}), file)
    else:
        raise XprobeError(f"{file}: name a manifest .csv, .jsonl or .parquet")


def read_table(file: Path, group: str = "") -> tuple[list[Row], Path]:
    """Return the rows of a manifest file, and its folder, which their paths are relative to.

    With `group` images of one value in that column are a group.

    Raises:
        XprobeError: the file cannot be read, columns are missing or unknown, or cells do not fit.
    """
    return _read_rows(file, group), file.parent


def _read_rows(file: Path, group: str) -> list[Row]:
    suffix = file.suffix.lower()
    check_regular(file)
    try:
        if suffix == ".csv":
            with file.open(newline="", encoding="utf-8-sig") as stream:
                reader = csv.DictReader(stream, strict=True)
                columns: Iterable[str] = reader.fieldnames or ()
                rows: list[dict[str, Any]] = list(reader)
        elif suffix in (".jsonl", ".ndjson"):
            # A line of text may hold U+2028, at which splitlines would divide it.
            lines = file.read_text(encoding="utf-8-sig").split("\n")
            rows = [json.loads(line) for line in lines if line.strip()]
            columns = dict.fromkeys(name for row in rows for name in row)
        elif suffix == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(file)
            columns, rows = table.column_names, table.to_pylist()
        else:
            raise XprobeError(f"{file}: a manifest is a .csv, .jsonl or .parquet file")
    except (csv.Error, ValueError, AttributeError, TypeError) as error:
        raise XprobeError(f"{file}: cannot be read as a manifest: {error}") from error
    columns = [str(name) for name in columns]
    if len(set(columns)) < len(columns) or any(None in row for row in rows):
        raise XprobeError(f"{file}: a column is there twice, or a row has more cells than columns")
    missing = [name for name in REQUIRED if name not in columns]
    if group and group not in columns:
        raise XprobeError(
            f"{file}: --group {group}: no such column; add it, with a name for every real image"
        )
    unknown = [name for name in columns if name not in (*REQUIRED, *OPTIONAL, *WIDER)]
    if unknown:
        hints = "".join(did_you_mean(name, REQUIRED + OPTIONAL, 1) for name in unknown[:1])
        raise XprobeError(
            f"{file}: unknown column {first_few(map(repr, unknown))}{hints}; the columns are "
            f"{', '.join(REQUIRED)} and optionally {', '.join(OPTIONAL)}"
        )
    if missing:
        raise XprobeError(f"{file}: the column {first_few(missing)} is missing")
    clean = [_clean_row(row, f"{file}, row {i}") for i, row in enumerate(rows, 1)]
    return _regroup(clean, group, file) if group else clean


def _regroup(rows: list[Row], column: str, file: Path) -> list[Row]:
    """Return rows whose group is their value in another column; no scene may have two values.

    A synthetic image that names a scene, as group or parent, gets the value of that scene.
    """
    wider: dict[str, str] = {}
    for i, row in enumerate(rows, 1):
        if row["source"] != "real":
            continue
        if not row.get(column):
            raise XprobeError(f"{file}, row {i}: {column} is empty, and it is to be the group")
        scene = row.get("group") or id_of(row)
        if wider.setdefault(scene, row[column]) != row[column]:
            raise XprobeError(
                f"{file}, row {i}: images of the group {scene} are of several {column}s, "
                f"{wider[scene]} and {row[column]}"
            )
    regrouped = []
    for i, row in enumerate(rows, 1):
        scene, parent = row.get("group", ""), row.get("parent", "")
        group = row.get(column) or wider.get(scene, scene)
        if wider.get(scene, group) != group:
            raise XprobeError(
                f"{file}, row {i}: {column} is {group}, but that of its group {scene} is "
                f"{wider[scene]}"
            )
        regrouped.append({**row, "group": group, "parent": wider.get(parent, parent)})
    return regrouped


def _clean_row(row: dict[str, Any], where: str) -> Row:
    clean = {name: str(value).strip() for name, value in row.items() if value is not None and name}
    for name in REQUIRED:
        if not clean.get(name):
            raise XprobeError(f"{where}: {name} is empty")
    if clean["source"] not in SOURCES:
        raise XprobeError(
            f"{where}: source {clean['source']!r}{did_you_mean(clean['source'], SOURCES, 1)}; "
            f"it is {' or '.join(SOURCES)}"
        )
    split = clean.get("split") or "train"
    if split not in SPLITS:
        raise XprobeError(f"{where}: split {split!r}; it is {', '.join(SPLITS)} or empty")
    if clean["source"] == "synthetic" and split != "train":
        raise XprobeError(
            f"{where}: a synthetic image of split {split!r}; tests are always on real images, so "
            f"leave the split of synthetic images empty"
        )
    return clean


def _path_relative_to(path: Path, base: Path) -> str:
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        return os.path.relpath(path, base).replace(os.sep, "/")
