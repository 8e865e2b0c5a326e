"""Tiles of xBD → rows of an image table: images from after an event, and twins from before."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.config import FormConfig
from xprobe.images.manifest import SCENE, Manifest, Row
from xprobe.images.sources.xbd.splits import Division
from xprobe.images.sources.xbd.tiles import Tile, group_of
from xprobe.images.sources.xbd.tree import read_tiles

LICENCE = "xBD"

FURTHER = ("event", "licence", "damage")
"""Columns of the table that are no column of every image table."""


def rows_of(tiles: Iterable[Tile], unit: str, split: str) -> list[Row]:
    """Return the rows of tiles: of each the image after the event, and its twin of split ``pre``.

    Args:
        tiles: the tiles.
        unit: what images are grouped by, one of `tiles.GROUPS`.
        split: split of the images after the event; ``pre``: only the twins, as sources of others.
    """
    rows = []
    for tile in tiles:
        alike = {
            "label": tile.label, "source": "real", "group": group_of(tile, unit),
            "event": tile.event, "licence": LICENCE,
        }  # fmt: skip
        if split != "pre":
            rows.append(
                alike
                | {"id": f"{tile.name}_post", "path": tile.post, "split": split}
                | {"polygons": tile.post_label, "damage": str(tile.damage)}
            )
        if tile.pre:
            rows.append(
                alike
                | {"id": f"{tile.name}_pre", "path": tile.pre, "split": "pre"}
                | {"polygons": tile.pre_label, "damage": ""}
            )
    return rows


def table_of(division: Division, unit: str) -> Manifest:
    """Return the image table of a study; no file is hashed.

    Args:
        division: the parts of the study.
        unit: what images are grouped by, one of `tiles.GROUPS`.
    """
    rows = [
        *rows_of(division.train, unit, "train"),
        *rows_of(division.test, unit, "test"),
        *rows_of(division.sources, unit, "pre"),
    ]
    for row in rows:
        for column in ("path", "polygons"):
            row[column] = os.path.abspath(row[column]) if row[column] else ""  # noqa: PTH100
    columns = {name: [row.get(name, "") for row in rows] for name in Manifest.columns()}
    further = {name: [row[name] for row in rows] for name in FURTHER}
    return Manifest(**columns, further=further)  # type: ignore[arg-type]  # It freezes them.


def read_xbd(
    root: Path, group: str = "", form: FormConfig = FormConfig()
) -> tuple[Sequence[Row], Path]:
    """Return the rows of all tiles of xBD, and the folder that their paths are relative to.

    Warnings name what is wrong in the tree. With `group` ``event`` all images of an event are a
    group.

    Raises:
        XprobeError: the folder is none of xBD, or is to be grouped by something else.
    """
    if group not in ("", "event"):
        raise XprobeError(f"{root}: --group {group}: xBD has events")
    tiles, remarks = read_tiles(root)
    for remark in remarks:
        warnings.warn(f"{root}: {remark}", XprobeWarning, stacklevel=2)
    rows = rows_of(tiles, "tile", "train")
    if group:
        rows = [{**row, "group": row["event"], SCENE: row["group"]} for row in rows]
    for row in rows:
        for column in ("path", "polygons"):
            row[column] = os.path.relpath(row[column], root) if row[column] else ""
    return rows, root
