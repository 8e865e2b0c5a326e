"""Outlines of the objects in an image, as well-known text or xBD label files, and painted."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
import shapely
from PIL import Image, ImageDraw
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Polygon

from xprobe.base.arrays import digest_of
from xprobe.base.errors import XprobeError
from xprobe.images import contents
from xprobe.images.manifest import Manifest

# GEOS reads collections within collections by recursion, until the process is out of stack and
# dies. So nothing else is given to it.
_OUTLINE = re.compile(r"\s*(MULTI)?POLYGON", re.IGNORECASE)


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
            label = json.loads(contents.read(text))
            texts = [str(building["wkt"]) for building in label["features"]["xy"]]
        except OSError as error:
            raise XprobeError(f"{text}: {contents.reason_of(error)}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise XprobeError(f"{text}: not an xBD label file with features.xy[].wkt") from error
    return [polygon for wkt in texts for polygon in _polygons_of(wkt)]


def _polygons_of(wkt: str) -> list[Polygon]:
    """Return the polygons of a well-known text (WKT), without empty ones.

    Raises:
        XprobeError: it is none, or one of something else.
    """
    if not _OUTLINE.match(wkt):
        raise XprobeError(f"polygons {wkt[:60]!r}: no well-known text of a polygon")
    try:
        with np.errstate(invalid="ignore"):
            shape = shapely.from_wkt(wkt)
    except ShapelyError as error:
        raise XprobeError(f"polygons {wkt[:60]!r}: no well-known text ({error})") from error
    if not (shape.is_empty or np.isfinite(shape.bounds).all()):
        raise XprobeError(f"polygons {wkt[:60]!r}: corners that are no finite numbers")
    shapes = shape.geoms if isinstance(shape, MultiPolygon) else [shape]
    return [polygon for polygon in shapes if not polygon.is_empty]


def paint_polygons(polygons: Sequence[Polygon], size: tuple[int, int]) -> Image.Image:
    """Return a mask of `size` = (width, height): grey levels, 255 within the polygons, else 0."""
    canvas = Image.new("L", size)
    pen = ImageDraw.Draw(canvas)
    for polygon in polygons:
        pen.polygon([(x, y) for x, y, *_ in polygon.exterior.coords], fill=255)
        for hole in polygon.interiors:
            pen.polygon([(x, y) for x, y, *_ in hole.coords], fill=0)
    return canvas


def are_outlines(texts: Sequence[str]) -> list[bool]:
    """Return whether each of some texts is a polygon, or several, as `read_polygons` takes them."""
    if not texts:
        return []
    plain = [text if _OUTLINE.match(text) else "" for text in texts]
    with np.errstate(invalid="ignore"):
        shapes = shapely.from_wkt(np.array(plain, dtype=object), on_invalid="ignore")
    kinds = shapely.get_type_id(shapes)
    polygons = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
    is_finite = np.isfinite(shapely.bounds(shapes)).all(axis=1) | shapely.is_empty(shapes)
    return [bool(is_outline) for is_outline in np.isin(kinds, polygons) & is_finite]


def outlines_digest(manifest: Manifest) -> str:
    """Return a digest of the polygons of all images, equal for equal polygons in any notation."""
    return digest_of(
        [[polygon.wkt for polygon in read_polygons(text)] for text in manifest.polygons]
    )
