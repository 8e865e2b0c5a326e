"""Image files, decoded to upright 8-bit RGB images."""

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

# The suffix of a file's name is compared with these in lower case.
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif")
)

# Pillow itself refuses larger images; one of this size takes half a GB as RGB.
MAX_PIXELS = 178_956_970

_WHITE = (255, 255, 255, 255)


class UnusableImageError(Exception):
    """The file holds no image that can be used; the message says why.

    Attributes:
        passing: whether another time the same content may be usable.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


def is_image(name: str) -> bool:
    """Return whether the name of a file has the suffix of an image."""
    stem, _, suffix = name.rpartition(".")  # Making a Path would take ten times as long.
    return bool(stem) and f".{suffix.lower()}" in SUFFIXES


def probe(path: str | Path) -> tuple[str, int, int]:
    """Return (file format, width, height) from the header alone, sizes in pixels.

    Raises:
        UnusableImageError: the header cannot be read.
    """
    try:
        member = contents.is_member(str(path))
        with QUIET, Image.open(io.BytesIO(contents.read(str(path))) if member else path) as image:
            return image.format or "?", image.width, image.height
    except Exception as error:  # Pillow's plugins raise errors of any type on damaged input.
        raise UnusableImageError(_reason(error)) from error


def decode(file: str | Path | bytes) -> Image.Image:
    """Return the first frame of a file, or of its content, as 8-bit RGB, upright.

    Where `decoders` has a decoder that is faster than Pillow and gives the same pixels, it is used
    instead of Pillow.

    EXIF orientation is applied; 16-bit and floating-point samples are scaled to 8 bits; CMYK and
    palettes are converted; transparent pixels are laid on white, because the colour stored behind
    them is not part of the picture.

    Raises:
        UnusableImageError: the file cannot be read, is no image, is truncated or damaged, or has
            more than `MAX_PIXELS` pixels.
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
        UnusableImageError: the content cannot be used, as in `decode`.
    """
    try:
        with QUIET, Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnusableImageError(
                    f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,} allowed"
                )
            image.load()
            upright = _upright_transposition(image)
            rgb = _to_rgb(image)
            return rgb if upright is None else rgb.transpose(upright)
    except Exception as error:
        raise UnusableImageError(_reason(error)) from error


class _Quiet:
    """A context that silences Pillow's warnings while any thread is inside it.

    They warn of odd metadata, which change no pixel. `warnings.catch_warnings` alone is not made
    for threads: the last thread to leave may restore filters that another thread has set.
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

# For every EXIF orientation but 1 (upright), the transposition that puts the image upright.
_TRANSPOSITION_OF = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright_transposition(image: Image.Image) -> Image.Transpose | None:
    """Return the transposition that puts an image upright, or None; unreadable metadata ask none.

    `PIL.ImageOps.exif_transpose` is no help, as it rewrites all metadata and fails on odd entries.
    """
    try:
        return _TRANSPOSITION_OF.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return None


def _reason(error: BaseException) -> str:
    """Return in words why an image cannot be used."""
    if isinstance(error, PIL.UnidentifiedImageError):
        return "not an image, or in a format that Pillow cannot read"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"{error}" or type(error).__name__


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB, its transparent pixels laid on white."""
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
        full_scale = 1.0
    elif (is_float or samples.dtype.itemsize > 2) and high <= 255:
        full_scale = 255.0
    else:
        full_scale = 65535.0
    return np.rint(samples.astype(np.float64) * (255.0 / full_scale)).astype(np.uint8)
