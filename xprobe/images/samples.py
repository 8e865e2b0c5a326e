"""From samples of any depth and number of bands to 8-bit RGB."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

_WHITE = (255, 255, 255, 255)

# The tag of a TIFF in which GDAL keeps, as text, the value of samples that are no data.
_NODATA = 42113


INSTALL_GEO = "run: pip install 'xprobe[geo]'"
"""What to do where rasterio, which reads what Pillow does not, is not installed."""


class UnusableImageError(Exception):
    """The file holds no image that can be used; the message says why.

    Attributes:
        passing: whether another moment, machine or version may read the same content. What is not
            passing need never be tried again.
    """

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


class LayoutError(UnusableImageError):
    """Pillow does not give the samples of a TIFF that are asked for; `geotiff` may."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; {INSTALL_GEO}", passing=True)


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


def check_size(width: int, height: int, most: int) -> None:
    """Check the size that a file declares, before any memory is taken for it.

    Raises:
        UnusableImageError: it has more than `most` pixels.
    """
    if width * height > most:
        raise UnusableImageError(f"{width} x {height} pixels, more than {most:,} allowed")


def to_rgb(image: Image.Image, reading: Reading) -> Image.Image:
    """Return a loaded image of any mode as 8-bit RGB.

    Without a choice of bands, transparent pixels are laid on white. Nodata is black where samples
    have more than 8 bits.

    Raises:
        UnusableImageError: there is no such band, its samples are not finite or in no
            range that is known, or all of them are nodata.
    """
    if is_deep(image):
        _check_bands(image, 3, reading.bands)
        samples = np.asarray(image)
        grey = to_8_bit(samples, reading.stretch, data_of(image, samples))
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


def data_of(image: Image.Image, samples: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which samples of one band are not the value that a TIFF has for nodata; None: all."""
    try:
        nodata = float(getattr(image, "tag_v2", {})[_NODATA])
    except (KeyError, TypeError, ValueError):  # No nodata tag, or no number in it.
        return None
    if math.isnan(nodata):
        return np.asarray(~np.isnan(samples))
    with np.errstate(over="ignore"):  # The value may be none that such samples can have.
        return np.asarray(samples != nodata)


def _picked(image: Image.Image, bands: tuple[int, ...]) -> Image.Image:
    colours = image.convert("RGBA" if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") else "RGB")
    planes = colours.split()
    _check_bands(image, len(planes), bands)
    chosen = [planes[band - 1] for band in bands]
    return Image.merge("RGB", chosen * 3 if len(chosen) == 1 else chosen)


def _check_bands(image: Image.Image, count: int, bands: tuple[int, ...]) -> None:
    """Check that an image of which Pillow gives `count` bands has these; a TIFF may have more."""
    most = max(bands, default=0)
    if most > count:
        said = f"{count} bands that Pillow gives, of which --bands asks for number {most}"
        tags = getattr(image, "tag_v2", {})
        if most <= tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1):
            raise LayoutError(said)
        raise UnusableImageError(
            f"{said}; render the images of more bands as RGB once, and leave --bands out "
            f"(docs/guide/layouts.md, Satellite files)"
        )


def to_8_bit(
    samples: NDArray[Any], stretch: tuple[float, ...], is_data: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Return samples as bytes, scaled from `stretch` or else from `full_scale` to 255.

    Args:
        samples: numbers, of any shape.
        stretch: as in `Reading`.
        is_data: which of them are not nodata; None: all. Nodata is 0.

    Raises:
        UnusableImageError: as in `limits_of`.
    """
    return scaled(samples, limits_of(samples, stretch, is_data), is_data)


def limits_of(
    samples: NDArray[Any], stretch: tuple[float, ...], is_data: NDArray[np.bool_] | None = None
) -> tuple[float, float]:
    """Return the samples that become 0 and 255, with arguments as of `to_8_bit`.

    Raises:
        UnusableImageError: samples are not finite, lie in no range that is known, or are all
            nodata.
    """
    values = samples if is_data is None else samples[is_data]
    if not values.size:
        raise UnusableImageError("nothing but nodata")
    if samples.dtype == np.uint8:
        return 0.0, 255.0
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UnusableImageError("samples that are not finite")
    low, high = stretch or (0.0, full_scale(values))
    return low, high


def scaled(
    samples: NDArray[Any], limits: tuple[float, float], is_data: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Return samples as bytes: 0 to 255 from one limit to the other, cut outside; nodata is 0."""
    if samples.dtype.itemsize <= 2 and samples.dtype.kind == "u" and samples.size > _VALUES:
        # Each value is scaled once.
        levels = scaled(np.arange(_VALUES).astype(samples.dtype), limits)[samples]
        if is_data is not None:
            levels[~is_data] = 0
        return np.asarray(levels)
    low, high = limits
    share = samples.astype(np.float64)
    if is_data is not None:
        share[~is_data] = low
    share -= low
    share *= 255.0 / (high - low)
    return np.rint(np.clip(share, 0, 255, out=share), out=share).astype(np.uint8)


_VALUES = 2**16
"""So many values can a sample of 16 bits have."""


def full_scale(samples: NDArray[Any]) -> float:
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
    if (is_float or samples.dtype.itemsize != 2) and high <= 255:
        return 255.0
    return 65535.0
