"""From an image file to the pixels that an encoder sees."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import ExifTags, Image

from xprobe.images import contents, decoders

SUFFIXES = frozenset(  # compared in lower case
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif")
)

MAX_PIXELS = 178_956_970  # where Pillow itself stops: half a GB as RGB

_WHITE = (255, 255, 255, 255)


class UnusableImageError(Exception):
    """The file holds no image that can be used; the message says why."""


def is_image(name: str) -> bool:
    """Return whether a file is one of an image, by its name."""
    stem, _, suffix = name.rpartition(".")  # a Path takes ten times as long
    return bool(stem) and f".{suffix.lower()}" in SUFFIXES


def probe(path: str | Path) -> tuple[str, int, int]:
    """Return (file format, width, height) from the header alone, sizes in pixels.

    Raises:
        UnusableImageError: no readable header.
    """
    try:
        member = contents.is_member(str(path))
        with QUIET, Image.open(io.BytesIO(contents.read(str(path))) if member else path) as image:
            return image.format or "?", image.width, image.height
    except Exception as error:  # Pillow's plugins raise anything on damaged input
        raise UnusableImageError(_reason(error)) from error


def decode(file: str | Path | bytes) -> Image.Image:
    """Return the first frame of a file, or of its content, as 8-bit RGB, upright.

    By a decoder that is faster than Pillow and gives the same pixels, where there is one
    (`decoders`), else by Pillow.

    EXIF orientation is applied; 16-bit and floating-point samples are scaled to 8 bits; CMYK and
    palettes are converted; transparent pixels are laid on white, because the colour stored behind
    them is not part of the picture.

    Raises:
        UnusableImageError: not an image, truncated, damaged, or more than `MAX_PIXELS` pixels.
    """
    try:
        content = file if isinstance(file, bytes) else contents.read(str(file))
    except OSError as error:
        raise UnusableImageError(_reason(error)) from error
    pixels = decoders.decode(content, MAX_PIXELS)
    return decode_by_pillow(content) if pixels is None else Image.fromarray(pixels)


def decode_by_pillow(content: bytes) -> Image.Image:
    """Return the image as `decode` defines it: the reference that every faster way must equal.

    Raises:
        UnusableImageError: as `decode`.
    """
    try:
        with QUIET, Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnusableImageError(
                    f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,} allowed"
                )
            image.load()
            upright = _orientation(image)
            rgb = _to_rgb(image)
            return rgb if upright is None else rgb.transpose(upright)
    except Exception as error:
        raise UnusableImageError(_reason(error)) from error


class _Quiet:
    """No warnings of Pillow's while any thread is inside: odd metadata does not change a pixel.

    `warnings.catch_warnings` alone is not made for threads: the last one out puts back what the
    first one in found.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


QUIET = _Quiet()

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """What puts the image upright. Metadata that cannot be read say nothing.

    (`PIL.ImageOps.exif_transpose` writes all metadata anew, and fails where one entry is odd.)
    """
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return None


def _reason(error: BaseException) -> str:
    if isinstance(error, PIL.UnidentifiedImageError):
        return "not an image, or in a format that Pillow cannot read"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"{error}" or type(error).__name__


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        samples = np.asarray(image)
        gray = _to_8_bit(samples)
        gray[samples == image.info.get("transparency")] = 255
        return Image.fromarray(gray).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, _WHITE)
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Scale samples by the narrowest full range that holds them: 1 (floats), 255 or 65535."""
    if not np.isfinite(samples).all():
        raise UnusableImageError("samples that are not finite")
    low, high = float(samples.min()), float(samples.max())
    is_float = samples.dtype.kind == "f"
    if low < 0 or high > 65535:
        raise UnusableImageError(f"samples from {low:g} to {high:g} lie outside 0 to 65535")
    if is_float and high <= 1:
        full = 1.0
    elif (is_float or samples.dtype.itemsize > 2) and high <= 255:
        full = 255.0
    else:
        full = 65535.0
    return np.rint(samples.astype(np.float64) * (255.0 / full)).astype(np.uint8)
