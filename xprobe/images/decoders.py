"""Decoders that are faster than Pillow and give the same pixels.

They are given plain files alone: upright 8-bit RGB PNG, and upright 8-bit JPEG in grey or YCbCr.
Pillow decodes all other files, and those that a fast decoder refuses. A plain file can be used if
either can read it, on all machines alike. A decoder is used only if it reproduces a few images on
this machine.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any
from zlib import crc32

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

ImageArray = NDArray[np.uint8]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_JPEG_SIGNATURE = b"\xff\xd8\xff"

# The chunks that a plain PNG may have beside its pixels → their lengths; None: any. Pillow refuses
# a chunk with another length or a wrong checksum, which kornia-rs passes over. With other chunks,
# such as transparency, EXIF metadata, animation or a palette, a PNG is left to Pillow.
_LENGTHS: dict[bytes, int | None] = {
    b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"tIME": 7, b"bKGD": 6, b"sBIT": 3,
    b"iCCP": None, b"tEXt": None, b"caBX": None,
}  # fmt: skip

# Longer texts and profiles are left to Pillow, which has limits for what they unpack to.
_LONGEST_CHUNK, _LONGEST_PROFILE = 2**18, 2**19

# kornia-rs ends the process where it gets no memory for an image; a larger one is left to Pillow.
_MOST_PNG_PIXELS = 2**24

# kornia-rs decodes a PNG in a third of Pillow's time, but holds Python's lock meanwhile. With more
# than three cores, on which Pillow decodes several images at once, kornia-rs is slower.
_PNG_PAYS = joblib.cpu_count() <= 3

# JPEG markers: baseline, extended and progressive frames; and the first scan, after the headers.
_FRAMES, _SCAN = frozenset((0xC0, 0xC1, 0xC2)), 0xDA

# JPEG markers of lossless, hierarchical and arithmetically coded frames, which Pillow decodes.
_OTHER_FRAMES = frozenset((0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))


def decode(content: bytes, most: int, *, pays: bool | None = None) -> ImageArray | None:
    """Return the pixels (h, w, 3) of a plain file with at most `most` pixels, else None.

    `pays` says whether a PNG is tried; by default it is on few cores.
    """
    if content.startswith(_JPEG_SIGNATURE):
        kind, is_plain = "jpeg", _is_plain_jpeg
    elif content.startswith(_PNG_SIGNATURE) and (_PNG_PAYS if pays is None else pays):
        kind, is_plain = "png", _is_plain_png
    else:
        return None
    if not is_plain(content, most):
        return None
    return _decode_as(kind, content) if _equals_pillow(kind) else None


def _decode_as(kind: str, content: bytes) -> ImageArray | None:
    try:
        return np.asarray(_DECODERS[kind](content))
    except Exception:  # Pillow has the last word on damaged files.
        return None


def _decode_jpeg(content: bytes) -> Any:
    import simplejpeg  # type: ignore[import-untyped]

    return simplejpeg.decode_jpeg(content, "RGB", fastdct=False, fastupsample=False)


def _decode_png(content: bytes) -> Any:
    from kornia_rs import io

    width, height = struct.unpack(">II", content[16:24])
    return io.decode_image_png_u8(content, (height, width), "rgb")


_DECODERS: dict[str, Callable[[bytes], Any]] = {"jpeg": _decode_jpeg, "png": _decode_png}


@cache
def _equals_pillow(kind: str) -> bool:
    """Return whether a decoder is installed and gives Pillow's pixels for a few images."""
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(smooth).resize((61, 45), Image.Resampling.BICUBIC)
    options: list[dict[str, Any]] = [{}]
    if kind == "jpeg":
        options = [{"quality": 90, "subsampling": s} for s in ("4:4:4", "4:2:2", "4:2:0")]
    for option in options:
        buffer = io.BytesIO()
        image.save(buffer, kind.upper(), **option)
        with Image.open(buffer, formats=(kind.upper(),)) as stored:
            expected = np.asarray(stored.convert("RGB"))
        pixels = _decode_as(kind, buffer.getvalue())
        if pixels is None or not np.array_equal(pixels, expected):
            return False
    return True


# --- what is plain -------------------------------------------------------------------------


def _is_plain_png(content: bytes, most: int) -> bool:
    """Return whether a PNG is opaque 8-bit RGB, not interlaced, and states no orientation."""
    if len(content) < 33 or content[12:16] != b"IHDR":
        return False
    width, height, *layout = struct.unpack(">IIBBBBB", content[16:29])
    if layout != [8, 2, 0, 0, 0] or not 0 < width * height <= min(most, _MOST_PNG_PIXELS):
        return False
    offset = 8
    while offset + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, offset)
        name, end = content[offset + 4 : offset + 8], offset + 12 + length
        if name == b"IEND":
            return True
        is_header = name == b"IHDR" and offset == 8 and length == 13
        if name != b"IDAT" and not (is_header or _is_plain_chunk(name, content[offset + 4 : end])):
            return False
        offset = end
    return False


def _is_plain_chunk(name: bytes, chunk: bytes) -> bool:
    """Return whether a chunk of a PNG, from its name to its checksum, leaves the image as it is."""
    body, check = chunk[4:-4], chunk[-4:]
    if name not in _LENGTHS or len(body) > _LONGEST_CHUNK or crc32(chunk[:-4]) != _number(check):
        return False
    if name == b"tEXt":
        # Pillow reads the orientation from metadata in text chunks, too.
        return not body.startswith((b"Raw profile type", b"XML:com.adobe.xmp"))
    if name == b"iCCP":
        return _is_plain_profile(body)
    return _LENGTHS[name] in (None, len(body))


def _is_plain_profile(body: bytes) -> bool:
    """Return whether a colour profile, which changes no pixel, is one that Pillow passes over."""
    _, _, packed = body.partition(b"\0")
    try:
        unpacker = zlib.decompressobj()
        unpacker.decompress(packed[1:], _LONGEST_PROFILE)
    except zlib.error:
        return packed[:1] == b"\0"
    return packed[:1] == b"\0" and not unpacker.unconsumed_tail


def _number(check: bytes) -> int:
    return int.from_bytes(check, "big")


def _is_plain_jpeg(content: bytes, most: int) -> bool:
    """Return whether a JPEG has 8-bit samples, grey or YCbCr, and is upright."""
    offset, has_frame = 2, False
    while offset + 4 <= len(content) and content[offset] == 0xFF:
        marker = content[offset + 1]
        if marker == 0xFF:  # Fill bytes may stand before a marker.
            offset += 1
            continue
        if marker == _SCAN:
            return has_frame
        (length,) = struct.unpack_from(">H", content, offset + 2)
        body = content[offset + 4 : offset + 2 + length]
        if marker in _OTHER_FRAMES or not _is_plain_segment(marker, body, most):
            return False
        has_frame |= marker in _FRAMES
        offset += 2 + length
    return False


def _is_plain_segment(marker: int, body: bytes, most: int) -> bool:
    """Return whether a segment of a JPEG's headers allows the fast decoder."""
    if marker in _FRAMES:
        if len(body) < 6:
            return False
        precision, height, width, channels = struct.unpack_from(">BHHB", body)
        components = bytes(body[6::3])
        is_plain = precision == 8 and channels in (1, 3) and components != b"RGB"
        return is_plain and 0 < width * height <= most
    if marker == 0xE1:
        return _is_upright(body)
    if marker == 0xEE and body.startswith(b"Adobe"):
        return len(body) >= 12 and body[11] == 1  # Adobe's 1 stands for YCbCr.
    return True


def _is_upright(body: bytes) -> bool:
    """Return whether the metadata in a JPEG's APP1 segment leave the image as it is stored."""
    if not body.startswith(b"Exif\0\0"):
        return b"tiff:Orientation" not in body
    exif = Image.Exif()
    try:
        exif.load(body)
        return bool(exif.get(ExifTags.Base.Orientation, 1) == 1)
    except Exception:  # Pillow decides what damaged metadata say.
        return False
