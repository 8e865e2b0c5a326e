"""The image table as a CSV, TSV, JSON or Parquet file."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xprobe.base import atomic
from xprobe.base.errors import (
    XprobeError,
    XprobeWarning,
    cannot_read,
    did_you_mean,
    first_few,
)
from xprobe.images.config import FormConfig
from xprobe.images.containers.registry import member_of
from xprobe.images.events import unify_events
from xprobe.images.manifest import (
    CONTROLS,
    DESCRIBED,
    OPTIONAL,
    RECORDED,
    REQUIRED,
    SCENE,
    SOURCES,
    SPLITS,
    Manifest,
    Row,
    as_text,
    id_of,
    is_missing,
)
from xprobe.images.paths import as_on_disk, why_no_path, with_slashes
from xprobe.images.sources.cells import Cells, check_suffix, read_cells
from xprobe.images.sources.numbered import FILE_DIGEST, check_digests, digests_of
from xprobe.images.sources.splits import SPLIT_OF, VAL
from xprobe.images.text import is_encodable

_KNOWN = (*REQUIRED, *OPTIONAL, *RECORDED, FILE_DIGEST)

_POINTED = re.compile(r"([+-]?\d+)\.0+")


def write_table(manifest: Manifest, file: str | Path) -> None:
    """Write a manifest at once, in the form of the file's suffix; paths are relative to it.

    Raises:
        XprobeError: the suffix is unknown, or a name of a file is no text.
    """
    file = Path(file)
    check_suffix(file)
    suffix = file.suffix.lower()
    names, rows = _rows_of(manifest, file.parent.resolve())
    file.parent.mkdir(parents=True, exist_ok=True)
    if suffix in (".csv", ".tsv"):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, delimiter="," if suffix == ".csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)
        content = text.getvalue().encode()
    elif suffix == ".parquet":
        content = _as_parquet(names, rows)
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        whole = f"[{','.join(lines)}]\n" if suffix == ".json" else "".join(f"{x}\n" for x in lines)
        content = whole.encode()
    atomic.put(Path(os.path.realpath(file)), content)  # A link goes on leading to the table.


def _rows_of(manifest: Manifest, base: Path) -> tuple[list[str], list[Row]]:
    """Return the names of the columns of a manifest in a file, and its rows."""
    names = ("id", *REQUIRED, "group", "parent", "generator", "split", "prompt", "polygons")
    columns = {name: getattr(manifest, name) for name in names} | dict(manifest.further)
    if any(digests := digests_of(manifest.path)):
        columns[FILE_DIGEST] = digests
    rows = []
    for i in range(len(manifest)):
        row = {name: values[i] for name, values in columns.items()}
        row["path"] = _path_relative_to(row["path"], base)
        if row["polygons"].endswith(".json"):
            row["polygons"] = _path_relative_to(row["polygons"], base)
        if row["source"] == "real" and row["group"] == row["id"]:
            row["group"] = ""  # An empty group means this default.
        if as_text(row["path"]) != row["path"]:
            raise XprobeError(
                f"{row['id']}: a file name that is no UTF-8 cannot stand in a manifest; rename it"
            )
        for name in ("label", "generator"):
            if row[name] and is_missing(row[name]):
                raise XprobeError(_refusal_of_missing(row["id"], name, row[name]))
        rows.append(row)
    return list(columns), rows


def _as_parquet(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = pa.BufferOutputStream()
    columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in names}
    pq.write_table(pa.table(columns), stream, write_page_checksum=True)
    return bytes(stream.getvalue())


def read_table(
    file: Path, group: str = "", form: FormConfig = FormConfig()
) -> tuple[list[Row], Path]:
    """Return the rows of a manifest file, and its folder, which their paths are relative to.

    Columns that xprobe does not use are kept as they are, and named in a warning. With `group`
    images of one value in that column are a group.

    Raises:
        XprobeError: the file cannot be read, columns are missing or nearly have the name of
            another, cells do not fit, or a file whose rows it names was written anew.
    """
    try:
        names, cells = read_cells(file, _KNOWN)
    except PermissionError as error:
        raise cannot_read(file, error) from error
    _check_columns(file, names)
    if not cells:
        raise XprobeError(f"{file}: there are no images in it; add a row for each")
    rows = [_clean_row(row, f"{file}, row {i}") for i, row in enumerate(cells, 1)]
    if group and group not in names and any(row["source"] == "real" for row in rows):
        raise XprobeError(
            f"{file}: --group {group}: no such column; add it, with a name for every real image"
        )
    unify_labels(rows, file)
    unify_events(rows, file)
    _unify_numbers(rows)
    _unify_paths(rows, file)
    check_digests(rows, file)
    return regroup(rows, group, file) if group else rows, file.parent


def _check_columns(file: Path, names: Sequence[str]) -> None:
    further = [name for name in names if name not in (*_KNOWN, *DESCRIBED)]
    for name in further:
        if not is_encodable(name):
            raise XprobeError(f"{file}: the name of the column {name!r} is no text; rename it")
        for known in _KNOWN:
            if _is_misspelt(name, known):
                raise XprobeError(
                    f"{file}: unknown column {name!r} (did you mean {known}?); rename it, since a "
                    f"misspelt column would not be used"
                )
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        is_metadata = "path" in missing and "file_name" in names  # Of Hugging Face's imagefolder.
        remedy = "rename file_name to path; " if is_metadata else ""
        raise XprobeError(
            f"{file}: the column {first_few(missing)} is missing; {remedy}the columns are "
            f"{', '.join(REQUIRED)} and optionally {', '.join((*OPTIONAL, *RECORDED))}; there are "
            f"{first_few(names, 10) or 'none'}"
        )
    if further:
        warnings.warn(
            f"{file}: columns that xprobe does not use are kept: {first_few(further, 20)}",
            XprobeWarning,
            stacklevel=3,
        )


def _is_misspelt(name: str, known: str) -> bool:
    """Return whether the name of a column may be meant for a known one, within two slips.

    Names of four letters or fewer are near to many words and count only if they are equal. For a
    required column one slip counts: if it is misspelt, it is missing, which is told anyway.
    """
    name = name.strip().lower()
    slips = 1 if known in REQUIRED else 2
    long_enough = min(len(name), len(known)) > 4
    return name == known or (long_enough and _slips(name, known) <= slips)


def _slips(a: str, b: str) -> int:
    """Return how many letters are missing, too many, wrong or swapped with their neighbours.

    This is the restricted edit distance of Damerau and Levenshtein.
    """
    rows = [list(range(len(b) + 1))]
    for i in range(1, len(a) + 1):
        row = [i]
        for j in range(1, len(b) + 1):
            cost = rows[-1][j - 1] + (a[i - 1] != b[j - 1])
            if i > 1 and j > 1 and a[i - 2 : i] == b[j - 1] + b[j - 2]:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(min(cost, rows[-1][j] + 1, row[-1] + 1))
        rows.append(row)
    return rows[-1][-1]


def check_no_group(data: Path, group: str, why: str = "a folder has no columns") -> None:
    """Refuse a column of groups for DATA that is no table, with the way to make a table of it.

    Args:
        data: DATA.
        group: the column that ``--group`` names; empty: none.
        why: why DATA has no such column, for the message.

    Raises:
        XprobeError: there is a `group`.
    """
    if group:
        raise XprobeError(
            f"{data}: --group {group}: {why}; write a manifest with 'xprobe scan {data} -o "
            f"manifest.csv', add the column {group} to it, and name it as DATA"
        )


def regroup(rows: list[Row], column: str, file: Path) -> list[Row]:
    """Return rows whose group is their value in another column; no scene may have two values.

    The scene of a real image stays known, since synthetic images may name it. One that names it as
    its group gets the value of that scene.
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
        scene = row.get("group", "")
        group = row.get(column) or wider.get(scene, scene)
        if wider.get(scene, group) != group:
            raise XprobeError(
                f"{file}, row {i}: {column} is {group}, but that of its group {scene} is "
                f"{wider[scene]}"
            )
        scene = scene or id_of(row) if row["source"] == "real" else ""
        regrouped.append({**row, "group": group, SCENE: scene})
    return regrouped


def _clean_row(row: Cells, where: str) -> Row:
    clean = {name: _clean_cell(name, value, where) for name, value in row.items()}
    for name in REQUIRED:
        if not clean[name]:
            said = row[name] if isinstance(row[name], str) else ""
            raise XprobeError(_refusal_of_missing(where, name, said))
    if fault := why_no_path(clean["path"]):
        raise XprobeError(f"{where}: the path {clean['path']!r} {fault}")
    if clean["source"] not in SOURCES:
        raise XprobeError(
            f"{where}: source {clean['source']!r}{did_you_mean(clean['source'], SOURCES, 1)}; "
            f"it is {' or '.join(SOURCES)}"
        )
    split = clean.get("split") or "train"
    if SPLIT_OF.get(split.lower()) == VAL:
        return clean | {"split": VAL}
    if split not in SPLITS:
        raise XprobeError(f"{where}: split {split!r}; it is {', '.join((*SPLITS, VAL))} or empty")
    if clean["source"] == "synthetic" and split != "train":
        raise XprobeError(
            f"{where}: a synthetic image of split {split!r}; tests are always on real images, so "
            f"leave the split of synthetic images empty"
        )
    if control := clean.get("control"):
        if control not in CONTROLS:
            raise XprobeError(
                f"{where}: control {control!r}{did_you_mean(control, CONTROLS)}; it is "
                f"{' or '.join(CONTROLS)}, or empty"
            )
        if clean["source"] != "synthetic":
            raise XprobeError(
                f"{where}: a real image with the control {control}, which is for synthetic images: "
                f"leave it empty"
            )
    return clean


def _refusal_of_missing(where: str, name: str, text: str) -> str:
    if not text.strip():
        return f"{where}: {name} is empty; fill it in, or leave the row out"
    return (
        f"{where}: {name} is {text!r}, which says that there is none; fill it in, or choose "
        f"another word if a {name} is truly called so"
    )


def _clean_cell(name: str, value: Any, where: str) -> str:
    """Return a cell as text, empty if it holds no value.

    Raises:
        XprobeError: it is no text.
    """
    is_used = name in _KNOWN
    text = value if isinstance(value, str) else _text_of(value)
    if is_used and isinstance(value, dict | list):
        raise XprobeError(f"{where}: {name} is {value!r:.40}, and no text")
    if not text.isascii() and not is_encodable(text):
        raise XprobeError(f"{where}: {name} {text!r:.40} holds characters that are no text")
    if not is_used:
        return text
    text = text.strip()
    if name != "prompt" and "\0" in text:
        raise XprobeError(
            f"{where}: {name} {text!r:.40} holds a NUL character; is the text UTF-16? save it as "
            f"UTF-8"
        )
    if name == "control" and text.lower() == "null":
        return text  # It may be meant for null edits, which must not pass for other images.
    return "" if is_missing(text) else text


def _text_of(value: Any) -> str:
    """Return what stands in JSON or Parquet in place of a text."""
    if value is None or value != value:  # NaN, which pandas writes where there is no value.
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def unify_labels(rows: Sequence[Row], file: object) -> None:
    """Give labels one spelling that differ in their bytes alone: é and é, 1 and 1.0."""
    labels = {row["label"] for row in rows}
    composed = {label: unicodedata.normalize("NFC", label) for label in labels}
    spelling = {
        label: _whole(text) if _whole(text) in labels else text for label, text in composed.items()
    }
    for row in rows:
        row["label"] = spelling[row["label"]]
    several = {label for label, text in spelling.items() if text != label and text in labels}
    if several:
        warnings.warn(
            f"{file}: labels that are spelt in two ways, such as 1 and 1.0, are one class: "
            f"{first_few(sorted({spelling[label] for label in several}))}",
            XprobeWarning,
            stacklevel=3,
        )


def _unify_numbers(rows: Sequence[Row]) -> None:
    """Write groups and parents that are numbers as the images are named: 3.0 and 3 are one name."""
    columns = ("id", "group", "parent")
    if not any(_POINTED.fullmatch(row.get(column, "")) for row in rows for column in columns):
        return
    ids = {id_of(row) for row in rows}
    names = ids | {row.get("group", "") for row in rows}
    # Of two spellings of a number the one without a point is written.
    spelling = {_whole(name): name for name in sorted(names, key=len, reverse=True)}
    for row in rows:
        for column in ("group", "parent"):
            if (name := row.get(column, "")) not in ids:
                row[column] = spelling.get(_whole(name), name)


def _whole(text: str) -> str:
    """Return a whole number that is written with a point without it, else the text."""
    whole = _POINTED.fullmatch(text)
    return whole[1] if whole else text


def _unify_paths(rows: Sequence[Row], file: Path) -> None:
    """Write paths as the disk spells them."""
    slashed = ""
    for row in rows:
        for column in ("path", "polygons"):
            path = row.get(column, "")
            if column == "path" or path.endswith(".json"):
                row[column] = as_on_disk(file.parent, path)
                if "\\" in path and row[column] != path:
                    slashed = slashed or row[column]
    if slashed:
        warnings.warn(with_slashes(file, slashed), XprobeWarning, stacklevel=3)


def _path_relative_to(path: str, base: Path) -> str:
    """Return a path relative to a folder; the name of a member in its file stays as it is."""
    member = member_of(path)
    if member is not None:
        _, archive, name = member
        return f"{_path_relative_to(archive, base)}::{name}"
    try:
        return Path(path).relative_to(base).as_posix()
    except ValueError:
        return os.path.relpath(path, base).replace(os.sep, "/")
