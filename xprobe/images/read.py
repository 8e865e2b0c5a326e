"""DATA → the image table: reads rows, hashes contents, ties images, and checks classes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from xprobe.base.errors import OptionError, XprobeError
from xprobe.images import contents
from xprobe.images.classes import check_classes
from xprobe.images.config import DataConfig
from xprobe.images.manifest import (
    DEFAULT_GENERATOR,
    LAYOUT,
    OPTIONAL,
    REQUIRED,
    SCENE,
    WIDER,
    Manifest,
    Row,
    id_of,
)
from xprobe.images.parents import tie
from xprobe.images.selection import choose_generators, settle_validation, take_few
from xprobe.images.sources.named import read_named
from xprobe.images.sources.registry import read_rows


def read(
    data: str | Path | None = None,
    *,
    whole: bool = True,
    hashed: bool = True,
    group: str = "",
    config: DataConfig = DataConfig(),
) -> Manifest:
    """Return the manifest of a folder or of a CSV, JSONL or Parquet file, contents hashed.

    `sources.registry` lists all sources that can be read; ``<source>:<path>`` chooses one by name.

    A folder holds ``real/<class>/…`` and ``synthetic/[<generator>/]<class>/…``, optionally
    ``test/<class>/…`` (the fixed hold-out) and ``extra/<class>/…``, nested as deep as wished; a
    first folder below ``synthetic`` is a class exactly if it is a class of real. The columns of a
    file are `REQUIRED` and `OPTIONAL`, others are kept; its paths are relative to its own folder.
    `sources.layout` says which other layouts of folders are understood. With `config` folders may
    stand in place of DATA, and fewer generators take part.

    Images with equal content share a group (real) or count as made from each other (synthetic),
    so that no copy of a test image is ever trained on. Parents are the ids or groups of real
    images, however the data spell them (`parents.tie`); others name a source outside the table.

    With `whole` every generator must have images of every class, as a sweep needs. Without
    `hashed` no file is read: digests are empty, and no image is tied to another. With `group`
    images of one value in that column of a file are a group, such as all images of an event,
    instead of the scenes of the column group.

    Raises:
        XprobeError: the data cannot be read as a whole, or lack images that a study needs.
    """
    place = config.data_named(data)
    if group not in ("", *WIDER):
        raise OptionError(f"--group {group}: it takes the column {' or '.join(WIDER)}")
    rows, base = (read_named(config, group), Path()) if place is None else read_rows(place, group)
    where = config.words(data)
    rows = take_few(settle_validation(rows, config.val), config.limit)
    manifest = replace(_manifest_of_rows(rows, base, hashed, where), limit=config.limit)
    if not len(manifest):
        raise XprobeError(f"{where}: no images found; put them into {where}/{LAYOUT}")
    if hashed and not any(manifest.sha256):
        raise XprobeError(
            f"{where}: none of the {len(manifest)} files can be read, the first is "
            f"{manifest.path[0]}; paths are relative to the folder of the manifest"
        )
    manifest = choose_generators(manifest, config, where)
    check_classes(manifest, where, whole)
    return manifest


def _manifest_of_rows(rows: Iterable[Row], base: Path, hashed: bool, place: str) -> Manifest:
    rows = list(rows)
    columns: dict[str, list[str]] = {name: [] for name in Manifest.columns()}
    paths: list[str] = []  # as the data spell them
    scenes: list[str] = []
    further = _further_columns(rows)
    root = base.resolve()
    for row in rows:
        synthetic = row["source"] == "synthetic"
        id_ = id_of(row)
        columns["id"].append(id_)
        columns["path"].append(os.path.join(root, row["path"]))  # noqa: PTH118  # A Path is slow.
        paths.append(row["path"])
        scenes.append(row.get(SCENE, ""))
        columns["label"].append(row["label"])
        columns["source"].append(row["source"])
        columns["group"].append(row.get("group") or ("" if synthetic else id_))
        columns["parent"].append(row.get("parent", ""))
        generator = (row.get("generator") or DEFAULT_GENERATOR) if synthetic else ""
        columns["generator"].append(generator)
        columns["split"].append(row.get("split") or "train")
        columns["prompt"].append(row.get("prompt", ""))
        polygons = row.get("polygons", "")
        columns["polygons"].append(str(root / polygons) if polygons.endswith(".json") else polygons)
    columns["sha256"] = [""] * len(columns["id"])
    if hashed:
        with ThreadPoolExecutor() as pool:
            columns["sha256"] = list(pool.map(_content_digest, columns["path"]))
        tie(columns, paths, scenes, place)
    order = sorted(range(len(columns["id"])), key=columns["id"].__getitem__)
    for name in columns:
        columns[name] = [columns[name][i] for i in order]
    further = {name: [values[i] for i in order] for name, values in further.items()}
    return Manifest(**columns, further=further)  # type: ignore[arg-type]  # Manifest freezes them.


def _further_columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the columns of a table that are no column of an image table, by name."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: [row.get(name, "") for row in rows]
        for name in names
        if name not in (*REQUIRED, *OPTIONAL, SCENE)
    }


def _content_digest(path: str) -> str:
    try:
        return hashlib.sha256(contents.read(path)).hexdigest()
    except OSError:
        return ""
