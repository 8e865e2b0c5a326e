"""How much of their range the samples of many images use, and what their fourth band is.

A dark image is no fault, so that all this is judged over many images, never by the brightest sample
of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError
from xprobe.images import contents, geotiff
from xprobe.images.containers.registry import Span
from xprobe.images.decode import CONVERT, decode
from xprobe.images.formats import HEAD_BYTES, kind_of, opened
from xprobe.images.manifest import SOURCES, Manifest
from xprobe.images.samples import (
    INSTALL_GEO,
    Reading,
    UnusableImageError,
    bits_of,
    data_of,
    full_scale,
    is_deep,
)

# So many images of a source are looked at, evenly over its ids.
SAMPLED = 32

# A percentile is measured over so many images.
_MEASURED = 200

# So many samples of each image are looked at, evenly over its pixels.
_SAMPLES = 4096

# Nearly all samples lie in less than this share of the range: it is probably not theirs.
LEAST_SHARE = 1 / 8

# Percentiles between which nearly all samples lie, whatever single bright pixels there are.
_NEARLY_ALL = (1, 99)

# Files with these suffixes have no more than 8 bits, and are not opened.
_OF_8_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif")

# What a high byte of 255 stands for, and what one of 1 does.
_FULL_SCALE, _OF_HIGH_BYTE = 65535.0, 257.0

# A larger image is not looked at, since several are in memory at once.
_MOST_PIXELS = 2**25

# Formats in which bands of sensors come, and transparency hardly ever.
_OF_SENSORS = ("TIFF", "JPEG2000")

# What to do where all bits of the samples can be had, and where Pillow keeps the high byte alone.
_STRETCH = "choose the range for all images with --stretch LOW:HIGH or --stretch percentile:2,98"
_OF_HIGH_BYTES = f"Pillow keeps the high byte of 16 bits alone, so {CONVERT}"
_OF_HIGH_BYTES_OF_TIFF = (
    f"Pillow keeps the high byte of 16 bits alone; {INSTALL_GEO}, and {_STRETCH}"
)

_NO_SPANS: Mapping[str, Span | None] = {}


@dataclass(frozen=True)
class Look:
    """What an image says of its samples.

    Attributes:
        bits: bits of a sample in the file.
        remedy: what to do if its samples use little of their range.
        scale: what becomes 255 by default: 1, 255 or 65535; 0: no such range holds its samples.
        samples: some of its samples (n,) but nodata; empty if they have 8 bits.
        transparent: share of its pixels that are not opaque; None: no band says so.
        is_of_sensor: whether its format is one of sensors.
    """

    bits: int
    remedy: str
    scale: float
    samples: NDArray[Any]
    transparent: float | None
    is_of_sensor: bool


def problems(manifest: Manifest, reading: Reading) -> list[str]:
    """Return warnings about the samples of real and of synthetic images, read as `reading` says."""
    warnings = []
    for source in SOURCES:
        paths = manifest.path[manifest.source == source].tolist()
        warnings += problems_of(paths, reading, f"{source} images")
    return warnings


def problems_of(
    paths: Sequence[str],
    reading: Reading,
    name: str = "images",
    spans: Mapping[str, Span | None] = _NO_SPANS,
) -> list[str]:
    """Return the same about any images, which the warnings call `name`.

    Args:
        paths, reading, name: the images.
        spans: where members of archives lie, by path; others are looked for.
    """
    looks = list(_looks(paths, SAMPLED, reading.bands, spans))
    return [*_range_problems(looks, reading, name), *_band_problems(looks, reading, name)]


def _range_problems(looks: Sequence[Look], reading: Reading, name: str) -> Iterator[str]:
    deep = [] if reading.stretch else [look for look in looks if look.bits > 8 and look.scale]
    for remedy in dict.fromkeys(look.remedy for look in deep):
        alike = [look for look in deep if look.remedy == remedy]
        scales = sorted({look.scale for look in alike})
        if len(scales) > 1:
            yield (
                f"{name} of more than 8 bits are scaled by the range that holds their samples, "
                f"which is 0 to {' in some and 0 to '.join(f'{s:g}' for s in scales)} in others, "
                f"of {len(alike)} looked at; {remedy}"
            )
        shares = np.concatenate([look.samples / look.scale for look in alike])
        low, high = np.percentile(shares, _NEARLY_ALL)
        if high - low < LEAST_SHARE:
            yield (
                f"{name} of {alike[0].bits} bits use {100 * (high - low):.1f} % of the range of "
                f"their samples ({low * scales[-1]:,.5g} to {high * scales[-1]:,.5g} of "
                f"{scales[-1]:,g}, in {len(alike)} looked at), so that {255 * (high - low):.0f} of "
                f"255 grey levels are left of them; {remedy}"
            )


def _band_problems(looks: Sequence[Look], reading: Reading, name: str) -> Iterator[str]:
    shares = [look.transparent for look in looks if look.is_of_sensor]
    shown = [share for share in shares if share is not None]
    if not reading.bands and sum(share > 0 for share in shown) > len(shown) / 2:
        yield (
            f"{name} have a band that their files call transparency, and that is not opaque in "
            f"{sum(share > 0 for share in shown)} of {len(shown)} looked at: "
            f"{100 * float(np.mean(shown)):.0f} % of their pixels are mixed with white; if it is "
            f"another band, such as near infrared, take the picture alone with --bands 1,2,3"
        )


def percentiles(
    manifest: Manifest, low: float, high: float, bands: tuple[int, ...] = ()
) -> tuple[float, float]:
    """Return two percentiles of the samples of real training images of more than 8 bits.

    Those of all `bands` that are the picture are taken together, and nodata is left out.

    Raises:
        XprobeError: there are no such images, or their samples are all equal.
    """
    rows = (manifest.source == "real") & (manifest.split == "train")
    paths = manifest.path[rows].tolist()
    looks = [look for look in _looks(paths, _MEASURED, bands) if look.remedy == _STRETCH]
    if not looks:
        raise XprobeError(
            f"--stretch percentile: no real training image has more than 8 bits in bands that can "
            f"be read{_first_reason(paths, bands)}; leave --stretch out"
        )
    samples = np.concatenate([look.samples for look in looks])
    first, last = (float(f"{value:.4g}") for value in np.percentile(samples, (low, high)))
    if first >= last:
        raise XprobeError(
            f"--stretch percentile: both percentiles are {first:g}; name a range with --stretch "
            f"LOW:HIGH"
        )
    return first, last


_ANY_RANGE = (0.0, 1.0)


def _first_reason(paths: Sequence[str], bands: tuple[int, ...]) -> str:
    """Return why the first of some images cannot be stretched; nothing if it can."""
    try:
        if paths:
            decode(paths[0], Reading(bands, _ANY_RANGE))
    except UnusableImageError as error:
        return f" ({paths[0]}: {error})"
    return ""


def _looks(
    paths: Sequence[str],
    most: int,
    bands: tuple[int, ...],
    spans: Mapping[str, Span | None] = _NO_SPANS,
) -> Iterator[Look]:
    """Yield looks at some images of those that may have more than 8 bits or four bands."""
    candidates = [path for path in paths if not path.lower().endswith(_OF_8_BITS)]
    step = max(1, len(candidates) / most)
    chosen = [candidates[int(i * step)] for i in range(min(most, len(candidates)))]
    with ThreadPoolExecutor() as pool:
        for look in pool.map(partial(_look, bands=bands), chosen, map(spans.get, chosen)):
            if look is not None:
                yield look


def _look(path: str, span: Span | None, bands: tuple[int, ...]) -> Look | None:
    """Return a look at an image, or None at what cannot be used, which is listed elsewhere."""
    try:
        with contents.stream_of(path, span) as stream:
            suits_gdal = kind_of(stream.read(HEAD_BYTES)) == "TIFF" and geotiff.is_installed()
            stream.seek(0)
            with suppress(UnidentifiedImageError), opened(stream) as image:
                if not (suits_gdal and bits_of(image) > 8 and not is_deep(image)):
                    return _look_by_pillow(image)
        return _look_by_gdal(contents.read(path, span), bands) if suits_gdal else None
    except Exception:  # As in `decode`.
        return None


def _look_by_pillow(image: Image.Image) -> Look | None:
    """Return a look at an opened image, or None if it is too large."""
    bits, is_whole = bits_of(image), is_deep(image)
    is_of_sensor = image.format in _OF_SENSORS
    has_alpha = image.mode in ("RGBA", "RGBa", "LA", "La") and is_of_sensor
    if image.width * image.height > _MOST_PIXELS:
        return None
    samples: Floats = np.empty(0)
    transparent, scale, remedy = None, 255.0, ""
    if bits > 8 or has_alpha:
        image.load()
    if bits > 8:
        pixels = np.asarray(image)
        if is_whole:
            is_data = data_of(image, pixels)
            pixels = pixels if is_data is None else pixels[is_data]
        scale = _scale_of(pixels) if is_whole else _FULL_SCALE
        samples = _some(pixels) * (1 if is_whole else _OF_HIGH_BYTE)
        in_part = _OF_HIGH_BYTES_OF_TIFF if image.format == "TIFF" else _OF_HIGH_BYTES
        remedy = _STRETCH if is_whole else in_part
    if has_alpha:
        transparent = float((np.asarray(image.getchannel("A")) < 255).mean())
    return Look(bits, remedy, scale, samples, transparent, is_of_sensor)


def _look_by_gdal(content: bytes, bands: tuple[int, ...]) -> Look | None:
    """Return a look at the bands of a TIFF that are its picture, or None if they have 8 bits."""
    picture = geotiff.read(content, bands, _MOST_PIXELS)
    samples, opacity = picture.samples, picture.opacity
    if samples.dtype == np.uint8:
        return None
    is_data = np.ones(samples.shape, bool) if picture.is_data is None else picture.is_data
    values = samples[is_data if opacity is None else is_data & (opacity > 0)]
    transparent = None if opacity is None else float((opacity < 255).mean())
    bits = 8 * samples.dtype.itemsize
    return Look(bits, _STRETCH, _scale_of(values), _some(values), transparent, is_of_sensor=True)


def _scale_of(samples: NDArray[Any]) -> float:
    """Return `full_scale`, or 0 if there is none: such images need --stretch, and can have it."""
    try:
        return full_scale(samples)
    except UnusableImageError:
        return 0.0


def _some(samples: NDArray[Any]) -> Floats:
    """Return a few of some samples (n,), evenly over the image."""
    return samples.reshape(-1)[:: max(1, samples.size // _SAMPLES)].astype(np.float64)
