"""Which files are images: by their names, by their first bytes, and as Pillow opens them.

Pillow is given the formats below and no other. It knows some forty more, of which some start other
programs (PostScript) or lead to other files.
"""

from __future__ import annotations

import ctypes
import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import BinaryIO

from PIL import Image, TiffImagePlugin, features

# The suffix of a file's name is compared with these in lower case.
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif",
     ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm")
)  # fmt: skip

# So many first bytes of a file tell what it is.
HEAD_BYTES = 64

# Formats of pictures → how their files begin; the names of those that are read are Pillow's.
_BEGINNINGS = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WEBP": rb"RIFF.{4}WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}",
    "GIF": rb"GIF8[79]a",
    "PPM": rb"P[1-6]\s+[#\d]",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "AVIF": rb".{4}ftyp(avi[fs]|m[is]f1.{0,48}avi[fs])",
    "HEIC": rb".{4}ftyp(he[iv][a-z]|m[is]f1)",
    "JPEG XL": rb"\xff\x0a|\0{3}\x0cJXL \r\n\x87\n",
    "Photoshop": rb"8BPS",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "PDF": rb"%PDF-",
    "OpenEXR": rb"v/1\x01",
    "NITF": rb"NITF0",
    "a virtual raster of GDAL": rb"\s*(<\?xml[^>]*>\s*)?<VRTDataset",
}  # fmt: skip

_BEGINNING = {kind: re.compile(text, re.DOTALL) for kind, text in _BEGINNINGS.items()}

_PILLOW = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF")

Image.preinit()
for _module in ("Tiff", "WebP", "Jpeg2K", "Avif"):  # The others are registered by `preinit`.
    with suppress(ImportError):  # Pillow has AVIF from 11.3 on.
        import_module(f"PIL.{_module}ImagePlugin")

FORMATS = tuple(kind for kind in _PILLOW if kind in Image.OPEN)
"""The formats that Pillow may open."""

# Decoders that not every Pillow is built with.
_DECODERS = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}

# Pillow and libtiff write of odd files to standard error, without saying which file they mean. What
# is wrong with a file is listed with its name, so that these lines are not needed.
logging.getLogger("PIL").addHandler(logging.NullHandler())
with suppress(OSError, AttributeError):  # Where libtiff cannot be reached, its lines stay.
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


BESIDE_IMAGES = frozenset(
    (".json", ".jsonl", ".txt", ".cls", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".md", ".id",
     ".index", ".caption", ".npy", ".npz", ".pt", ".pth", ".pkl", ".pyd")
)  # fmt: skip
"""Suffixes of files that belong to images, as in WebDataset, and are no images themselves."""


def is_image(name: str) -> bool:
    """Return whether the name of a file has the suffix of an image."""
    stem, _, suffix = name.rpartition(".")  # Making a Path would take ten times as long.
    return bool(stem) and f".{suffix.lower()}" in SUFFIXES


def is_picture(name: str, head: bytes) -> bool:
    """Return whether a file is an image, by its suffix or else by its first `HEAD_BYTES` bytes.

    Files that macOS leaves beside others, ``._<name>`` and all below ``__MACOSX``, are none.
    """
    if is_leftover(name):
        return False
    return is_image(name) or kind_of(head) in _PILLOW


def is_leftover(name: str) -> bool:
    """Return whether macOS left a file of this path beside another, of which it holds metadata."""
    return ("._" in name and name.rpartition("/")[2].startswith("._")) or "__MACOSX/" in name


def kind_of(head: bytes) -> str:
    """Return the format of picture that a file with this beginning has; ``""``: none known."""
    return next((kind for kind, begin in _BEGINNING.items() if begin.match(head)), "")


def lacks_decoder(kind: str) -> bool:
    """Return whether xprobe reads this format, but the installed Pillow has no decoder for it."""
    if kind not in _PILLOW:
        return False
    return kind not in FORMATS or (kind in _DECODERS and not features.check(_DECODERS[kind]))


@contextmanager
def opened(content: bytes | BinaryIO) -> Iterator[Image.Image]:
    """Open an image with Pillow, in one of `FORMATS`, without a word of odd metadata.

    Raises:
        Exception: of any type, since Pillow's plugins raise whatever damaged input leads to.
    """
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    with QUIET, Image.open(stream, formats=FORMATS) as image:
        yield image


class _Quiet:
    """A context that silences warnings of Pillow and rasterio while any thread is inside it.

    They warn of odd metadata, or of an image without a place on the earth, which change no pixel.
    `warnings.catch_warnings` alone is not made for threads: the last thread to leave may restore
    filters that another thread has set.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|rasterio)\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


QUIET = _Quiet()
"""The context that silences libraries while they read a file."""


# --- the layout of a TIFF ------------------------------------------------------------------

_SAMPLE_KINDS = {1: "", 2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}


def tiff_tags(content: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Return the tags of the first image of a TIFF.

    Raises:
        Exception: of any type, if it has no header that can be read.
    """
    tags = TiffImagePlugin.ImageFileDirectory_v2(content[: 16 if b"+" in content[2:4] else 8])
    stream = io.BytesIO(content)
    stream.seek(tags.next)
    tags.load(stream)
    return tags


def tiff_layout(content: bytes) -> str:
    """Return the bands and bits of a TIFF in words, such as ``13 bands of 16 bits``.

    Raises:
        Exception: as in `tiff_tags`.
    """
    tags = tiff_tags(content)
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    kind = _SAMPLE_KINDS.get(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0], "")
    bands = int(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
    return f"{bands} band{'s' * (bands > 1)} of {bits[0]} {kind}bits"


def tiff_size(content: bytes) -> tuple[int, int]:
    """Return the width and height of a TIFF that `tiff_layout` reads, pixels; 0: it says none."""
    tags = tiff_tags(content)
    width, height = (tags.get(tag, 0) for tag in _SIZE)
    return int(width), int(height)


_SIZE = (TiffImagePlugin.IMAGEWIDTH, TiffImagePlugin.IMAGELENGTH)
