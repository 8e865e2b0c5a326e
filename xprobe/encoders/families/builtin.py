"""Floor encoders: they have no weights, and learned encoders must beat them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import numpy as np

from xprobe.base.arrays import Floats
from xprobe.encoders.base import Encoder, Pixels, plain_spec
from xprobe.encoders.tower import Wish


class Hog(Encoder):
    """Histograms of oriented gradients (Dalal & Triggs 2005) beside histograms of colour.

    324 gradient features (9 orientations, 16 px cells, 2 x 2 blocks, L2-Hys) and 96 of colour
    (8 bins of each channel in each quadrant, square roots of shares), each part of length 1.
    """

    def __init__(self) -> None:
        version = ".".join(importlib.metadata.version("scikit-image").split(".")[:2])
        self.spec = plain_spec("builtin:hog", 420, (64, 64), f"scikit-image-{version}")

    def forward(self, pixels: Pixels) -> Floats:
        return np.stack([self._histograms(image) for image in pixels])

    def _histograms(self, image: Pixels) -> Floats:
        from skimage.feature import hog

        gray = image @ np.array([0.299, 0.587, 0.114])
        shape = hog(gray, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2))
        bins = (image >> 5).reshape(2, 32, 2, 32, 3)
        colour = (bins[..., None] == np.arange(8)).mean(axis=(1, 3)) / 12
        parts = (shape / max(np.linalg.norm(shape), 1e-6), np.sqrt(colour).ravel())
        return np.concatenate(parts).astype(np.float32)


class RawPixels(Encoder):
    """The image itself at 16 x 16 pixels, on the 0-1 scale."""

    def __init__(self) -> None:
        self.spec = plain_spec("builtin:pixels", 768, (16, 16), "")

    def forward(self, pixels: Pixels) -> Floats:
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 255


FLOORS: dict[str, Callable[[], Encoder]] = {"hog": Hog, "pixels": RawPixels}


def load(name: str, _wish: Wish) -> Encoder:
    """Return the encoder of a name of `FLOORS`."""
    return FLOORS[name]()
