"""DATA → the image table: reads rows, hashes contents, ties copies, and checks classes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.images import contents
from xprobe.images.classes import check_classes
from xprobe.images.config import DataConfig
from xprobe.images.manifest import (
    DEFAULT_GENERATOR,
    EMPTY_FILE,
    LAYOUT,
    WIDER,
    Manifest,
    Row,
    id_of,
)
from xprobe.images.selection import choose_generators, settle_validation
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
    file are `REQUIRED` and `OPTIONAL`, its paths relative to its own folder.
    `sources.layout` says which other layouts of folders are understood. With `config` folders may
    stand in place of DATA, and fewer generators take part.

    Images with equal content share a group (real) or count as made from each other (synthetic),
    so that no copy of a test image is ever trained on.

    With `whole` every generator must have images of every class, as a sweep needs. Without
    `hashed` no file is read: digests are empty, and equal contents share no group. With `group`
    images of one value in that column of a file are a group, such as all images of an event,
    instead of the scenes of the column group.

    Raises:
        XprobeError: the data cannot be read as a whole, or lack images that a study needs.
    """
    place = config.data_named(data)
    if group not in ("", *WIDER):
        raise XprobeError(f"--group {group}: it takes the column {' or '.join(WIDER)}")
    rows, base = (read_named(config, group), Path()) if place is None else read_rows(place, group)
    data = place or ", ".join(config.real)
    manifest = _manifest_of_rows(settle_validation(rows, config.val), base, hashed)
    if not len(manifest):
        raise XprobeError(f"{data}: no images found; put them into {data}/{LAYOUT}")
    if hashed and not any(manifest.sha256):
        raise XprobeError(
            f"{data}: none of the {len(manifest)} files can be read, the first is "
            f"{manifest.path[0]}; paths are relative to the folder of the manifest"
        )
    manifest = choose_generators(manifest, config, data)
    check_classes(manifest, data, whole)
    return manifest


def _manifest_of_rows(rows: Iterable[Row], base: Path, hashed: bool) -> Manifest:
    columns: dict[str, list[str]] = {name: [] for name in Manifest.columns()}
    root = base.resolve()
    for row in rows:
        synthetic = row["source"] == "synthetic"
        id_ = id_of(row)
        columns["id"].append(id_)
        columns["path"].append(os.path.join(root, row["path"]))  # noqa: PTH118  # A Path is slow.
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
    _tie_copies(columns)
    order = sorted(range(len(columns["id"])), key=columns["id"].__getitem__)
    for name in columns:
        columns[name] = [columns[name][i] for i in order]
    return Manifest(**columns)  # type: ignore[arg-type]  # Manifest checks and freezes.


def _content_digest(path: str) -> str:
    try:
        return hashlib.sha256(contents.read(path)).hexdigest()
    except OSError:
        return ""


def _tie_copies(columns: dict[str, list[str]]) -> None:
    """Give real images of equal content one group, and synthetic copies of them that group."""
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        while (above := parent.get(group, group)) != group:
            group = above
        return group

    first: dict[str, str] = {}
    real = [i for i, source in enumerate(columns["source"]) if source == "real"]
    for i in real:
        digest = columns["sha256"][i]
        if digest and digest != EMPTY_FILE:
            a, b = root(first.setdefault(digest, columns["group"][i])), root(columns["group"][i])
            parent[max(a, b)] = min(a, b)
    for i, source in enumerate(columns["source"]):
        group = columns["group"][i]
        if source == "synthetic":  # A copy of a real image belongs to that image's group.
            group = first.get(columns["sha256"][i], group)
            columns["parent"][i] = root(columns["parent"][i])
        columns["group"][i] = root(group)
