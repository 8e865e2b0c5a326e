"""Tables of synthetic images alone: that of a folder, ``manifest.csv`` in it, or one that is named.

Such a table says what folders cannot: what an image was made from, its prompt, its licence. So it
decides which images of its folder there are, and what they are.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning, counted, first_few
from xprobe.images.classes import composed
from xprobe.images.manifest import Row, as_text
from xprobe.images.sources.leftovers import UNLISTED, LeftOut
from xprobe.images.sources.located import MANIFEST, below_synthetic, located
from xprobe.images.sources.pictures import pictures_of
from xprobe.images.sources.table import read_table
from xprobe.images.sources.tree import Folder


@dataclass(frozen=True)
class TabledFolder:
    """A folder of synthetic images with a table of them, and what rows are that do not say it."""

    folder: Folder
    generator: str
    split: str


# What `xprobe generate` writes into a folder before the first image, and the table after it.
_LEDGER = "requests.jsonl"


def has_manifest(folder: Folder) -> bool:
    """Return whether a folder has a table of its images."""
    return MANIFEST in folder.files


def is_begun(folder: Folder) -> bool:
    """Return whether images are being generated in a folder, and no table lists one yet."""
    return _LEDGER in folder.files and not has_manifest(folder)


def rows_of_manifest(part: TabledFolder, group: str, left_out: LeftOut) -> list[Row]:
    """Return the rows of the table in a folder of synthetic images, and warn that it was used.

    Ids are those that the folder gives where the table has none.

    Args:
        part: the folder, and what rows are that do not say it.
        group: column that says which images belong together.
        left_out: takes the pictures of the folder that the table does not list.

    Raises:
        XprobeError: the table cannot be read, or lists no synthetic image.
    """
    path = part.folder.path
    folder = Folder(path, part.folder.id, str(Path(path).resolve()))
    table = f"{path}/{MANIFEST}"
    try:
        rows, base = read_table(Path(table), group)
    except XprobeError as error:
        raise XprobeError(
            f"{error}; a {MANIFEST} in a folder of synthetic images says what they are: mend it, "
            f"or give it another name if it is something else"
        ) from error
    rows = only_of("synthetic", located(rows, base, table), table)
    for row in rows:
        row["generator"] = row.get("generator") or part.generator
        row["split"] = row.get("split") or part.split
    rows = below_synthetic(rows, folder.id)
    tell_use(folder, rows, left_out)
    return rows


def rows_of_whole(folder: Folder, group: str) -> list[Row]:
    """Return the rows of the table in a folder, and warn of pictures there that it does not list.

    Raises:
        XprobeError: the table cannot be read.
    """
    left_out = LeftOut()
    rows, base = read_table(Path(folder.path, MANIFEST), group)
    count_unlisted(folder, located(rows, base, folder.path), left_out)
    left_out.tell()
    return rows


def only_of(source: str, rows: Iterable[Row], table: str) -> list[Row]:
    """Return the rows of a source, and warn of others.

    Raises:
        XprobeError: there are none.
    """
    rows = list(rows)
    kept = [row for row in rows if row["source"] == source]
    if not kept:
        raise XprobeError(f"{table}: all of its images are of another source than {source}")
    if others := len(rows) - len(kept):
        warnings.warn(
            f"{table}: {counted(others, 'row is', 'rows are')} of another source than {source} and "
            f"left out",
            XprobeWarning,
            stacklevel=3,
        )
    return kept


def tell_use(folder: Folder, rows: Collection[Row], left_out: LeftOut) -> None:
    """Say that the table in a folder of synthetic images decides what they are, and how.

    Args:
        folder: the folder.
        rows: rows of its table.
        left_out: takes the pictures of the folder that the table does not list.
    """
    count_unlisted(folder, rows, left_out)
    sourced = sum(bool(row.get("parent") or row.get("group")) for row in rows)
    images = counted(len(rows), "image", "images")
    generators = first_few(sorted({row["generator"] for row in rows}), 3)
    text = (
        f"read {folder.path}/{MANIFEST}: {images} of {generators}, {sourced} with their source "
        f"(parent or group)"
    )
    labels = {composed(as_text(inner.name)) for inner in folder.folders}
    moved = [row for row in rows if _folder_of(row, folder) in labels - {row["label"]}]
    if moved:
        text += (
            f"; {len(moved)} lie in the folder of another class than that of the table, which is "
            f"taken, such as {moved[0]['path']} ({moved[0]['label']})"
        )
    warnings.warn(text, XprobeWarning, stacklevel=3)


def count_unlisted(folder: Folder, rows: Iterable[Row], left_out: LeftOut) -> None:
    """Count the pictures of a folder that its table does not list."""
    listed = {os.path.normpath(row["path"]) for row in rows}
    for inner, name in pictures_of(folder, LeftOut()):
        if os.path.normpath(f"{inner.place}/{name}") not in listed:
            left_out.add(UNLISTED, f"{inner.path}/{name}")


def _folder_of(row: Row, folder: Folder) -> str:
    """Return the first folder on the way from a folder to an image; ``""`` if it is elsewhere."""
    path, place = os.path.normpath(row["path"]), f"{os.path.normpath(folder.place)}/"
    below = path.removeprefix(place)
    return "" if below == path else composed(as_text(below.partition("/")[0]))
