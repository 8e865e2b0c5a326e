"""Rows of one table as rows among others: with absolute paths, ids, and the table that they are of.

Generators number their files alike, so that tables of synthetic images alone often have the same
ids. Beside other tables such images get the ids that they would have in the folder of a study,
``synthetic/<generator>/<id>``, which depend on no other table.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from xprobe.base.errors import XprobeWarning
from xprobe.images.manifest import (
    DEFAULT_GENERATOR,
    GUESSED,
    PARENT_PATH,
    SPELT,
    TABLE,
    WRITTEN,
    Row,
    id_of,
)
from xprobe.images.sources.cells import SUFFIXES

MANIFEST = "manifest.csv"
"""The table of a folder of images, in it; whatever makes or adopts images writes it."""

SYNTHETIC = "synthetic"


def located(rows: Iterable[Row], base: Path, table: str) -> Iterator[Row]:
    """Yield rows with ids, and with absolute paths; those of a table in the table stay as they are.

    Args:
        rows: rows of a table, with paths relative to `base`.
        base: folder of the table.
        table: what messages call the table.
    """
    root = str(base.resolve())
    for row in rows:
        if TABLE in row:
            yield row
            continue
        further = {
            "id": id_of(row), "path": absolute(root, row["path"]), SPELT: row["path"], TABLE: table,
        }  # fmt: skip
        polygons = row.get("polygons", "")
        if polygons.endswith(".json"):
            further["polygons"] = absolute(root, polygons)
        if parent := row.get("parent", ""):
            further[PARENT_PATH] = absolute(root, parent)
        yield row | further


def absolute(root: str, path: str) -> str:
    """Return a path below a folder; an absolute one stays."""
    return os.path.join(root, path)  # noqa: PTH118  # A Path is slow.


def below_synthetic(rows: Sequence[Row], prefix: str = "") -> list[Row]:
    """Return rows of synthetic images with the ids that they would have in the folder of a study.

    Rows without a generator are of the one that `name_of` calls the table. Ids that begin with
    ``synthetic/`` are such ids already, and a generator that ids begin with is not written twice.

    Args:
        rows: rows that are `located`.
        prefix: what ids begin with; by default ``synthetic/<generator>``.
    """
    named = []
    unnamed = generator_of(rows[0][TABLE]) if rows else ""
    for row in rows:
        generator = row.get("generator") or unnamed
        further = {"generator": generator}
        if not row.get("generator"):
            further[GUESSED] = generator
        if not row["id"].startswith(f"{SYNTHETIC}/"):
            name = row["id"].removeprefix(f"{generator}/")
            further["id"] = f"{prefix or f'{SYNTHETIC}/{generator}'}/{name}"
            further[WRITTEN] = row["id"]
        named.append(row | further)
    return named


def once(places: Iterable[str | Path]) -> list[Path]:
    """Return different paths, and warn of those that are named twice."""
    first: dict[Path, Path] = {}
    for place in map(Path, places):
        earlier = first.setdefault(place.resolve(), place)
        if earlier is not place:
            said = "twice" if str(earlier) == str(place) else f"as {earlier}, too"
            warnings.warn(f"{place}: named {said}, and read once", XprobeWarning, stacklevel=4)
    return [*first.values()]


def name_of(table: str) -> str:
    """Return what a DATA is called beside others: its folder or file, without a table's suffix.

    A table that is called `MANIFEST`, as many are, has the name of its folder.
    """
    path = Path(table).resolve()
    if path.suffix.lower() not in SUFFIXES:
        return path.name
    return path.parent.name if path.stem.lower() == Path(MANIFEST).stem else path.stem


def generator_of(table: str) -> str:
    """Return the generator of a table of synthetic images whose rows name none."""
    name = name_of(table)
    return DEFAULT_GENERATOR if name.lower() == SYNTHETIC else name
