"""From samples of any depth and number of bands to 8-bit RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

_WHITE = (255, 255, 255, 255)


class UnusableImageError(Exception):
    """The file holds no image that can be used; the message says why.

    Attributes:
        passing: whether another moment, machine or version may read the same content. What is not
            passing need never be tried again.
    """

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True)
class Reading:
    """Which samples of an image are its picture; the fields stand in the spec of an encoder.

    Attributes:
        bands: numbers of the bands, from 1 on, that are the picture: three (red, green, blue) or
            one; ``()``: all, of which the fourth is transparency if the file says so. A grey image
            counts as three equal bands.
        stretch: (low, high): samples of more than 8 bits from low to high become 0 to 255; ``()``:
            the full range of their type does.
    """

    bands: tuple[int, ...] = ()
    stretch: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # 2047 and 2047.0 must be one range in the key of a spec, too.
        limits = (int(limit) if limit == int(limit) else float(limit) for limit in self.stretch)
        object.__setattr__(self, "stretch", tuple(limits))


AS_IT_IS = Reading()
"""All bands, in the full range of their samples."""


def bits_of(image: Image.Image) -> int:
    """Return how many bits a sample of an opened image has in its file: 8 (or fewer), 16 or 32."""
    if image.mode in ("I", "F"):
        return 32
    raw_modes = [str(tile[3]) for tile in getattr(image, "tile", ())]  # As in ``RGB;16B``.
    return 16 if image.mode.startswith("I;") or any(";16" in mode for mode in raw_modes) else 8


def to_rgb(image: Image.Image, reading: Reading) -> Image.Image:
    """Return a loaded image of any mode as 8-bit RGB.

    Without a choice of bands, transparent pixels are laid on white.

    Raises:
        UnusableImageError: there is no such band, or samples have no brightness.
    """
    if is_deep(image):
        _check_bands(image, 3, reading.bands)
        samples = np.asarray(image)
        grey = to_8_bit(samples, reading.stretch)
        if not reading.bands:
            grey[samples == image.info.get("transparency")] = 255
        return Image.fromarray(grey).convert("RGB")
    if reading.bands:
        return _picked(image, reading.bands)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, _WHITE)
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Return whether Pillow gives the samples of more than 8 bits that an image has, in one band.

    Of several bands of 16 bits it gives the high bytes alone.
    """
    return image.mode in ("F", "I") or image.mode.startswith("I;")


def _picked(image: Image.Image, bands: tuple[int, ...]) -> Image.Image:
    colours = image.convert("RGBA" if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") else "RGB")
    planes = colours.split()
    _check_bands(image, len(planes), bands)
    chosen = [planes[band - 1] for band in bands]
    return Image.merge("RGB", chosen * 3 if len(chosen) == 1 else chosen)


def _check_bands(image: Image.Image, count: int, bands: tuple[int, ...]) -> None:
    if max(bands, default=0) > count:
        # Pillow leaves out some bands of a TIFF, which another version may give.
        raise UnusableImageError(
            f"{count} bands that Pillow gives, of which --bands asks for number {max(bands)}",
            passing=image.format == "TIFF",
        )


def to_8_bit(samples: np.ndarray[Any, Any], stretch: tuple[float, ...]) -> np.ndarray[Any, Any]:
    """Return samples as bytes, scaled from `stretch` or else from `full_scale` to 255.

    Raises:
        UnusableImageError: samples are not finite, or lie in no range that is known.
    """
    if not np.isfinite(samples).all():
        raise UnusableImageError("samples that are not finite")
    low, high = stretch or (0.0, full_scale(samples))
    share = (samples.astype(np.float64) - low) * (255.0 / (high - low))
    return np.rint(np.clip(share, 0, 255)).astype(np.uint8)


def full_scale(samples: np.ndarray[Any, Any]) -> float:
    """Return the narrowest full range that holds the samples: 1 (floats), 255 or 65535.

    Raises:
        UnusableImageError: none does.
    """
    low, high = float(samples.min()), float(samples.max())
    is_float = samples.dtype.kind == "f"
    if low < 0 or high > 65535:
        raise UnusableImageError(
            f"samples from {low:g} to {high:g} lie outside 0 to 65535; choose their range with "
            f"--stretch LOW:HIGH"
        )
    if is_float and high <= 1:
        return 1.0
    if (is_float or samples.dtype.itemsize > 2) and high <= 255:
        return 255.0
    return 65535.0
