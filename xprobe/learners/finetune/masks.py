"""Outlines of objects such as buildings: polygons → masks of an image as a network sees it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from shapely.geometry import Polygon

from xprobe.base.arrays import Ints
from xprobe.base.errors import XprobeError
from xprobe.encoders.base import Encoder
from xprobe.images.decode import UnusableImageError, decode
from xprobe.images.manifest import Manifest
from xprobe.images.polygons import read_polygons


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
