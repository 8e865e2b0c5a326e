"""Outlines of the objects in an image, as well-known text or xBD label files."""

from __future__ import annotations

import json
from pathlib import Path

import shapely
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Polygon

from xprobe.base.arrays import digest_of
from xprobe.base.errors import XprobeError
from xprobe.images.manifest import Manifest


def read_polygons(text: str) -> list[Polygon]:
    """Return the polygons of a manifest's cell, in pixels of the upright image.

    Args:
        text: well-known text, ``POLYGON (…)`` or ``MULTIPOLYGON (…)``; or the path of an xBD label
            file (.json), all buildings of which are taken; empty: none.

    Raises:
        XprobeError: neither.
    """
    if not text:
        return []
    known = [text]
    if text.endswith(".json"):
        try:
            label = json.loads(Path(text).read_text(encoding="utf-8"))
            known = [each["wkt"] for each in label["features"]["xy"]]
        except OSError as error:
            raise XprobeError(f"{text}: {(error.strerror or str(error)).lower()}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise XprobeError(f"{text}: not an xBD label file with features.xy[].wkt") from error
    found: list[Polygon] = []
    for wkt in known:
        try:
            shape = shapely.from_wkt(wkt)
        except ShapelyError as error:
            raise XprobeError(f"polygons {wkt[:60]!r}: no well-known text ({error})") from error
        if not isinstance(shape, (Polygon, MultiPolygon)):
            raise XprobeError(f"polygons {wkt[:60]!r}: {shape.geom_type} is no polygon")
        found += shape.geoms if isinstance(shape, MultiPolygon) else [shape]
    return found


def outlines_digest(manifest: Manifest) -> str:
    """Return a digest of the polygons of all images, wherever they are written down."""
    return digest_of([[each.wkt for each in read_polygons(text)] for text in manifest.polygons])
