"""TIFF files that Pillow does not give whole, read by GDAL, which comes with rasterio.

GDAL knows a hundred formats, of which some lead to other files or to a network. It is given the
bytes of one file, its driver of TIFF alone, and settings of its own, so that neither what lies
beside a file nor an environment variable decides a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from os import devnull
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xprobe.base.errors import counted
from xprobe.images.formats import QUIET
from xprobe.images.samples import (
    AS_IT_IS,
    Reading,
    UnusableImageError,
    check_size,
    limits_of,
    scaled,
    to_8_bit,
    to_rgb,
)

# The keys of encoders were made with this major version of GDAL. Another one may give other pixels,
# and must then stand in `resize.PREPROCESSING`, as Pillow's does.
_GDAL = "3"

# What decides which files and drivers GDAL opens and which samples it gives. An environment
# variable, or a file of settings in the user's folder, counts only for what is not named here.
_SETTINGS = {
    "GDAL_CONFIG_FILE": devnull,
    "GDAL_SKIP": "",
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_MAX_BAND_COUNT": "65536",
    "GDAL_NUM_THREADS": "1",
    "GDAL_FORCE_CACHING": "NO",
    "GDAL_ONE_BIG_READ": "NO",
    "GDAL_GTIFF_PREDICTOR_CHECKS": "YES",
    "GDAL_TIFF_INTERNAL_MASK_TO_8BIT": "YES",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "NO",
    "GTIFF_DIRECT_IO": "NO",
    "GTIFF_VIRTUAL_MEM_IO": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GTIFF_IMPLICIT_JPEG_OVR": "NO",
    "CONVERT_YCBCR_TO_RGB": "YES",
    "CPL_DEBUG": "OFF",
    "CPL_LOG": "",
}

_COLOURS = ("red", "green", "blue")

# A block is unpacked at once, with all bands that it has; no image needs a larger one.
_MOST_BLOCK_BYTES = 2**31


@dataclass(frozen=True)
class Bands:
    """The bands of a file that are its picture.

    Attributes:
        samples: (k, height, width), k = 1 (grey) or 3 (red, green, blue).
        is_data: (k, height, width) which samples are not nodata; None: all.
        opacity: (height, width) uint8, how opaque each pixel is; None: all are.
    """

    samples: NDArray[Any]
    is_data: NDArray[np.bool_] | None
    opacity: NDArray[np.uint8] | None


@cache
def is_installed() -> bool:
    """Return whether rasterio is installed, which comes with ``xprobe[geo]``."""
    return find_spec("rasterio") is not None


def decode(content: bytes, reading: Reading, most: int) -> Image.Image:
    """Return the picture of a TIFF as 8-bit RGB, as its samples are stored: not turned upright.

    Nodata is black, and decides no range; transparent pixels are laid on white.

    Args:
        content: the file.
        reading: the bands that are the picture, and the range that becomes black to white.
        most: so many pixels are allowed.

    Raises:
        UnusableImageError: the file cannot be read, has no such bands or does not say which are
            red, green and blue, is all nodata, or is too large.
    """
    bands = read(content, reading.bands, most)
    limits = limits_of(bands.samples, reading.stretch, bands.is_data)
    layers = [
        Image.fromarray(
            scaled(samples, limits, None if bands.is_data is None else bands.is_data[i])
        )
        for i, samples in enumerate(bands.samples)
    ]
    layers = layers * 3 if len(layers) == 1 else layers
    if bands.opacity is None:
        return Image.merge("RGB", layers)
    return to_rgb(Image.merge("RGBA", [*layers, Image.fromarray(bands.opacity)]), AS_IT_IS)


def read(content: bytes, bands: tuple[int, ...], most: int) -> Bands:
    """Return the bands of a TIFF that are its picture; `bands` as in `Reading`.

    Raises:
        UnusableImageError: as in `decode`.
    """
    try:
        with _opened(content) as file:
            check_size(file.width, file.height, most)
            _check_samples(file)
            chosen, alpha = _chosen(file, bands)
            samples = file.read(chosen)
            is_data = file.read_masks(chosen) > 0 if _has_nodata(file, chosen) else None
            return Bands(samples, is_data, to_8_bit(file.read(alpha), ()) if alpha else None)
    except (UnusableImageError, MemoryError):
        raise
    except Exception as error:  # rasterio raises errors of several kinds, of GDAL and its own.
        raise UnusableImageError(f"GDAL cannot read it: {_reason(error)}", passing=True) from error


@contextmanager
def _opened(content: bytes) -> Iterator[Any]:
    """Open the bytes of a TIFF as a dataset of rasterio, out of reach of all else.

    Where the image lies on the earth is not read, which would take PROJ and its files. What GDAL
    says of odd files goes to a logger of rasterio, which prints nothing unless it is told to.
    """
    from rasterio import __gdal_version__
    from rasterio.env import Env
    from rasterio.io import MemoryFile
    from rasterio.session import DummySession

    if __gdal_version__.partition(".")[0] != _GDAL:
        raise UnusableImageError(
            f"rasterio brings GDAL {__gdal_version__}, whose pixels may differ from those of GDAL "
            f"{_GDAL}; install a rasterio with that",
            passing=True,
        )
    # In a folder of its own in GDAL's memory nothing lies beside the file.
    with (
        QUIET,
        Env(session=DummySession(), **_SETTINGS),
        MemoryFile(content, filename=_NAME) as memory,
        memory.open(driver="GTiff", GEOREF_SOURCES="NONE") as file,
    ):
        yield file


_NAME = "image.tif"


def _reason(error: BaseException) -> str:
    """Return the first of the errors that led to this one, without the name in GDAL's memory."""
    while error.__cause__ is not None:
        error = error.__cause__
    return re.sub(rf"(/vsimem/[\w-]+/)?{_NAME}[:,]? ?", "", str(error)) or type(error).__name__


def _check_samples(file: Any) -> None:
    """Refuse a file whose samples cannot be shown as shades, or whose blocks are too large.

    A complex number is no shade, and samples of fewer than 8 bits would come out too dark.
    GDAL unpacks a block, a tile or some lines of the image, as a whole in memory.
    """
    kind = np.dtype(file.dtypes[0])
    if kind.kind == "c":
        raise UnusableImageError("complex samples, which have no brightness")
    bits = file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", "8")
    if kind == np.uint8 and bits != "8":
        raise UnusableImageError(
            f"{counted(file.count, 'band', 'bands')} of {bits} bits; convert to 8 bits"
        )
    height, width = file.block_shapes[0]
    layers = file.count if file.interleaving and file.interleaving.name == "pixel" else 1
    size = height * width * layers * kind.itemsize
    if size > _MOST_BLOCK_BYTES:
        raise UnusableImageError(
            f"blocks of {size:,} bytes, more than {_MOST_BLOCK_BYTES:,} allowed; write it in tiles"
        )


def _chosen(file: Any, bands: tuple[int, ...]) -> tuple[list[int], int]:
    """Return the numbers of the bands that are the picture, and of that of transparency; 0: none.

    What the file does not say is never guessed.
    """
    count = counted(file.count, "band", "bands")
    if max(bands, default=0) > file.count:
        raise UnusableImageError(f"{count}, of which --bands asks for number {max(bands)}")
    if bands:
        return list(bands), 0
    meanings = [meaning.name for meaning in file.colorinterp]
    alpha = meanings.index("alpha") + 1 if "alpha" in meanings else 0
    if set(_COLOURS) <= set(meanings):
        return [meanings.index(colour) + 1 for colour in _COLOURS], alpha
    if file.count - bool(alpha) == 1 and meanings[0] != "palette":
        return [1], alpha
    raise UnusableImageError(
        f"{count}, and the file does not say which are red, green and blue; choose them, such as "
        f"with --bands 3,2,1"
    )


def _has_nodata(file: Any, chosen: list[int]) -> bool:
    """Return whether a value, or a mask in the file, marks samples that are no data."""
    flags_of = file.mask_flag_enums  # Of all bands, made anew whenever it is read.
    kinds = [{flag.name for flag in flags_of[band - 1]} for band in chosen]
    return any("nodata" in kind or kind == {"per_dataset"} for kind in kinds)
