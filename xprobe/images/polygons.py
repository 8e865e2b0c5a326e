"""Outlines of the objects in an image, as well-known text or xBD label files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Polygon

from xprobe.base.arrays import digest_of
from xprobe.base.errors import XprobeError
from xprobe.base.regular import check_regular
from xprobe.images.manifest import Manifest


def read_polygons(text: str) -> list[Polygon]:
    """Return the polygons of a manifest's cell, in pixels of the upright image.

    Args:
        text: well-known text, ``POLYGON (…)`` or ``MULTIPOLYGON (…)``; or the path of an xBD label
            file (.json), of which all buildings are taken. An empty text has no polygons.

    Raises:
        XprobeError: the text is neither, or the label file cannot be read.
    """
    if not text:
        return []
    texts = [text]
    if text.endswith(".json"):
        try:
            check_regular(text)
            label = json.loads(Path(text).read_text(encoding="utf-8"))
            texts = [building["wkt"] for building in label["features"]["xy"]]
        except OSError as error:
            raise XprobeError(f"{text}: {(error.strerror or str(error)).lower()}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise XprobeError(f"{text}: not an xBD label file with features.xy[].wkt") from error
    polygons: list[Polygon] = []
    for wkt in texts:
        try:
            shape = shapely.from_wkt(wkt)
        except ShapelyError as error:
            raise XprobeError(f"polygons {wkt[:60]!r}: no well-known text ({error})") from error
        if not isinstance(shape, (Polygon, MultiPolygon)):
            raise XprobeError(f"polygons {wkt[:60]!r}: {shape.geom_type} is no polygon")
        polygons += shape.geoms if isinstance(shape, MultiPolygon) else [shape]
    return polygons


def are_outlines(texts: Sequence[str]) -> list[bool]:
    """Return whether each of some texts is a polygon, or several, as `read_polygons` takes them."""
    if not texts:
        return []
    shapes = shapely.from_wkt(np.array(texts, dtype=object), on_invalid="ignore")
    kinds = shapely.get_type_id(shapes)
    polygons = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
    return [bool(is_outline) for is_outline in np.isin(kinds, polygons)]


def outlines_digest(manifest: Manifest) -> str:
    """Return a digest of the polygons of all images, equal for equal polygons in any notation."""
    return digest_of(
        [[polygon.wkt for polygon in read_polygons(text)] for text in manifest.polygons]
    )
