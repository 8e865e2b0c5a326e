"""Masks of the objects in an image, such as buildings, drawn from their polygons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Ints
from xprobe.base.errors import XprobeError
from xprobe.encoders.base import Encoder
from xprobe.images.decode import UnusableImageError, decode
from xprobe.images.manifest import Manifest
from xprobe.images.polygons import paint_polygons, read_polygons


class Masks:
    """Masks of the pixels, of images as an encoder sees them, that lie within their polygons.

    A mask is drawn when it is first read.
    """

    def __init__(self, manifest: Manifest, encoder: Encoder) -> None:
        """Take the images of a study, in its order."""
        self.path, self.polygons, self.encoder = manifest.path, manifest.polygons, encoder
        self.shape = encoder.spec.input_px
        self.drawn: dict[int, NDArray[np.uint8]] = {}  # A pixel takes one bit.

    def __getitem__(self, rows: Ints) -> NDArray[np.bool_]:
        """Return masks (m, height, width); that of an image without polygons is empty.

        Raises:
            XprobeError: the polygons cannot be read, or their image.
        """
        return np.stack([self._mask_of(int(row)) for row in rows])

    def _mask_of(self, row: int) -> NDArray[np.bool_]:
        if not self.polygons[row]:
            return np.zeros(self.shape, dtype=bool)
        if row not in self.drawn:
            self.drawn[row] = np.packbits(self._draw_mask(row))
        bits = np.unpackbits(self.drawn[row], count=self.shape[0] * self.shape[1])
        return bits.reshape(self.shape).astype(bool)

    def _draw_mask(self, row: int) -> NDArray[np.bool_]:
        path, polygons = self.path[row], read_polygons(self.polygons[row])
        try:
            size = decode(path, self.encoder.spec.reading).size
        except UnusableImageError as error:
            raise XprobeError(f"{path}: {error}") from error
        # The mask is scaled and cut in the same way as the pixels of the image.
        seen = self.encoder.preprocess(paint_polygons(polygons, size).convert("RGB"))
        return np.asarray(seen[..., 0] > 127)
