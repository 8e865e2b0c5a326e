"""Outlines of objects such as buildings: polygons → masks of an image as a network sees it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Polygon

from xprobe.errors import XprobeError
from xprobe.images import UnusableImageError, decode
from xprobe.towers import Encoder
from xprobe.types import Ints, Manifest, digest_of


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


class Masks:
    """Which pixels of an image, as an encoder sees it, lie within its polygons; drawn when read."""

    def __init__(self, manifest: Manifest, encoder: Encoder) -> None:
        """Take the images of a study, in its order."""
        self.path, self.polygons, self.encoder = manifest.path, manifest.polygons, encoder
        self.shape = encoder.spec.input_px
        self.drawn: dict[int, NDArray[np.uint8]] = {}  # a bit a pixel

    def __getitem__(self, rows: Ints) -> NDArray[np.bool_]:
        """Return masks (m, height, width); nothing of an image without polygons.

        Raises:
            XprobeError: polygons that cannot be read, or of an image that cannot.
        """
        return np.stack([self._mask(int(row)) for row in rows])

    def _mask(self, row: int) -> NDArray[np.bool_]:
        if not self.polygons[row]:
            return np.zeros(self.shape, dtype=bool)
        if row not in self.drawn:
            mask = self._draw(self.path[row], read_polygons(self.polygons[row]))
            self.drawn[row] = np.packbits(mask)
        bits = np.unpackbits(self.drawn[row], count=self.shape[0] * self.shape[1])
        return bits.reshape(self.shape).astype(bool)

    def _draw(self, path: str, polygons: list[Polygon]) -> NDArray[np.bool_]:
        try:
            canvas = Image.new("L", decode(path).size)
        except UnusableImageError as error:
            raise XprobeError(f"{path}: {error}") from error
        pen = ImageDraw.Draw(canvas)
        for polygon in polygons:
            pen.polygon([(x, y) for x, y, *_ in polygon.exterior.coords], fill=255)
            for hole in polygon.interiors:
                pen.polygon([(x, y) for x, y, *_ in hole.coords], fill=0)
        # the way of the pixels themselves: scaled and cut like them
        seen = self.encoder.preprocess(canvas.convert("RGB"))
        return np.asarray(seen[..., 0] > 127)
