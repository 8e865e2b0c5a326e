"""Decoders that are faster than Pillow and give the same pixels, and what they may be given.

Only plain files: 8-bit RGB PNG, and 8-bit JPEG in grey or YCbCr, upright. Whatever is odd about a
file is left to Pillow, and so is a file that a fast decoder refuses: it is Pillow that says
whether an image can be used. A decoder is used only if it reproduces a few images on this machine.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

Pixels = NDArray[np.uint8]

_PNG = b"\x89PNG\r\n\x1a\n"

_JPEG = b"\xff\xd8\xff"

_ODD_CHUNKS = frozenset((b"tRNS", b"eXIf", b"acTL", b"PLTE"))

_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))

# kornia-rs takes a third of Pillow's time for a PNG, but holds Python's lock for all of it: on more
# cores than that one decoder at a time, with all forward passes waiting, is slower than Pillow's.
_PNG_PAYS = joblib.cpu_count() <= 3

# Baseline, extended and progressive; and what stands alone or ends the headers.
_FRAMES, _SCAN = frozenset((0xC0, 0xC1, 0xC2)), 0xDA

_OTHER_FRAMES = frozenset((0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))


def decode(content: bytes, most: int) -> Pixels | None:
    """Return the pixels (h, w, 3) of a plain file of at most so many; None: ask Pillow."""
    if content.startswith(_JPEG):
        kind, is_plain = "jpeg", _is_plain_jpeg
    elif content.startswith(_PNG) and _PNG_PAYS:
        kind, is_plain = "png", _is_plain_png
    else:
        return None
    if not is_plain(content, most):
        return None
    return _decoded(kind, content) if _is_exact(kind) else None


def _decoded(kind: str, content: bytes) -> Pixels | None:
    try:
        return np.asarray(_DECODERS[kind](content))
    except Exception:  # damaged in some way, on which Pillow has the last word
        return None


def _jpeg(content: bytes) -> Any:
    import simplejpeg  # type: ignore[import-untyped]

    return simplejpeg.decode_jpeg(content, "RGB", fastdct=False, fastupsample=False)


def _png(content: bytes) -> Any:
    from kornia_rs import io

    width, height = struct.unpack(">II", content[16:24])
    return io.decode_image_png_u8(content, (height, width), "rgb")


_DECODERS: dict[str, Callable[[bytes], Any]] = {"jpeg": _jpeg, "png": _png}


@cache
def _is_exact(kind: str) -> bool:
    """Return whether a decoder is here and gives Pillow's pixels of a few images."""
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(smooth).resize((61, 45), Image.Resampling.BICUBIC)
    options: list[dict[str, Any]] = [{}]
    if kind == "jpeg":
        options = [{"quality": 90, "subsampling": s} for s in ("4:4:4", "4:2:2", "4:2:0")]
    for option in options:
        buffer = io.BytesIO()
        image.save(buffer, kind.upper(), **option)
        expected = np.asarray(Image.open(buffer).convert("RGB"))
        found = _decoded(kind, buffer.getvalue())
        if found is None or not np.array_equal(found, expected):
            return False
    return True


# --- what is plain -------------------------------------------------------------------------


def _is_plain_png(content: bytes, most: int) -> bool:
    """Return whether a PNG is 8-bit RGB, in one pass, opaque, and says nothing of a rotation."""
    if len(content) < 33 or content[12:16] != b"IHDR":
        return False
    width, height, *kind = struct.unpack(">IIBBBBB", content[16:29])
    if kind != [8, 2, 0, 0, 0] or not 0 < width * height <= most:
        return False
    at = 33
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name = content[at + 4 : at + 8]
        if name == b"IEND":
            return True
        # Pillow takes the orientation from metadata in texts, too
        if name in _ODD_CHUNKS or (name in _TEXTS and _may_turn(content[at + 8 : at + 8 + length])):
            return False
        at += 12 + length
    return False


def _may_turn(text: bytes) -> bool:
    return text.startswith((b"Raw profile type", b"XML:com.adobe.xmp"))


def _is_plain_jpeg(content: bytes, most: int) -> bool:
    """Return whether a JPEG has 8-bit samples, grey or YCbCr, and is upright."""
    at, has_frame = 2, False
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _SCAN:
            return has_frame
        (length,) = struct.unpack_from(">H", content, at + 2)
        body = content[at + 4 : at + 2 + length]
        if marker in _OTHER_FRAMES or not _is_plain_segment(marker, body, most):
            return False
        has_frame |= marker in _FRAMES
        at += 2 + length
    return False


def _is_plain_segment(marker: int, body: bytes, most: int) -> bool:
    if marker in _FRAMES:
        if len(body) < 6:
            return False
        precision, height, width, channels = struct.unpack_from(">BHHB", body)
        names = bytes(body[6::3])
        return (
            precision == 8 and channels in (1, 3) and names != b"RGB" and 0 < width * height <= most
        )
    if marker == 0xE1:
        return _is_upright(body)
    if marker == 0xEE and body.startswith(b"Adobe"):
        return len(body) >= 12 and body[11] == 1  # YCbCr
    return True


def _is_upright(body: bytes) -> bool:
    if not body.startswith(b"Exif\0\0"):
        return b"tiff:Orientation" not in body
    exif = Image.Exif()
    try:
        exif.load(body)
        return bool(exif.get(ExifTags.Base.Orientation, 1) == 1)
    except Exception:  # Pillow will find what it can in it
        return False
