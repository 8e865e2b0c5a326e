"""Fast decoders give Pillow's pixels, or none."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xprobe.images import decoders
from xprobe.images.decode import MAX_PIXELS, UnusableImageError, decode, decode_by_pillow


@pytest.fixture(autouse=True)
def few_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "_PNG_PAYS", True)


def test_many_cores_leave_png_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "_PNG_PAYS", False)
    assert fast(PLAIN["png"]) is None
    assert fast(PLAIN["jpeg 4:4:4"]) is not None


def picture(width: int = 61, height: int = 45, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=int)
    noisy = smooth + rng.integers(-9, 10, smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def fast(content: bytes) -> np.ndarray | None:
    return decoders.decode(content, MAX_PIXELS)


PLAIN = {
    "png": encoded(picture(), "PNG"),
    "png of one pixel": encoded(picture(1, 1), "PNG"),
    "png, stored": encoded(picture(), "PNG", compress_level=0),
    "png, optimised": encoded(picture(130, 7), "PNG", optimize=True),
    "png with a text": encoded(picture(), "PNG", pnginfo=(about := PngInfo())),
    "png with a gamma and a profile": encoded(picture(), "PNG", icc_profile=b"not a profile"),
    "jpeg 4:4:4": encoded(picture(), "JPEG", subsampling="4:4:4", quality=95),
    "jpeg 4:2:2": encoded(picture(63, 31), "JPEG", subsampling="4:2:2"),
    "jpeg 4:2:0": encoded(picture(17, 33), "JPEG", subsampling="4:2:0"),
    "jpeg of one pixel": encoded(picture(1, 1), "JPEG"),
    "jpeg, worst quality": encoded(picture(), "JPEG", quality=1),
    "jpeg, progressive": encoded(picture(), "JPEG", progressive=True),
    "jpeg, grey": encoded(picture().convert("L"), "JPEG"),
    "jpeg, restart markers": encoded(picture(), "JPEG", restart_marker_blocks=2),
    "jpeg with exif, upright": encoded(picture(), "JPEG", exif=(exif := Image.Exif())),
    "jpeg with a comment": encoded(picture(), "JPEG", comment=b"tiff"),
}


def turned(tag: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = tag
    return exif


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


def png_with(extra: bytes) -> bytes:
    """Return a PNG with a further chunk behind its header."""
    whole = PLAIN["png"]
    return whole[:33] + extra + whole[33:]


ODD = {
    "png, grey": encoded(picture().convert("L"), "PNG"),
    "png, palette": encoded(picture().convert("P"), "PNG"),
    "png, alpha": encoded(picture().convert("RGBA"), "PNG"),
    "png, transparent colour": encoded(picture(), "PNG", transparency=(1, 2, 3)),
    "png, turned by exif": encoded(picture(), "PNG", exif=turned(6)),
    "png, turned by xmp": png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
    "png, 16 bits": encoded(Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4)), "PNG"),
    "jpeg, turned": encoded(picture(), "JPEG", exif=turned(3)),
    "jpeg, turned by xmp": encoded(picture(), "JPEG", xmp=XMP),
    "jpeg, cmyk": encoded(picture().convert("CMYK"), "JPEG"),
    "jpeg, rgb": encoded(picture(), "JPEG", keep_rgb=True),
    "webp": encoded(picture(), "WEBP"),
    "tiff": encoded(picture(), "TIFF"),
    "bmp": encoded(picture(), "BMP"),
    "gif": encoded(picture(), "GIF"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_file_is_decoded_fast_to_the_pixels_of_pillow(name: str) -> None:
    pixels = fast(PLAIN[name])
    assert pixels is not None
    np.testing.assert_array_equal(pixels, np.asarray(decode_by_pillow(PLAIN[name])))
    np.testing.assert_array_equal(pixels, np.asarray(decode(PLAIN[name])))


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_left_to_pillow(name: str) -> None:
    assert fast(ODD[name]) is None
    np.testing.assert_array_equal(
        np.asarray(decode(ODD[name])), np.asarray(decode_by_pillow(ODD[name]))
    )


# --- one decision, however many cores there are -----------------------------------------------


def small_png(*more: bytes, packed: bytes = zlib.compress(bytes(13 * 4))) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
    body = b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def unsealed(name: bytes, data: bytes) -> bytes:
    return chunk(name, data)[:-4] + bytes(4)


PACKED = zlib.compress(bytes(13 * 4))

DOUBTFUL = {
    "adler": small_png(packed=PACKED[:-4] + bytes(4)),
    "no adler": small_png(packed=PACKED[:-4]),
    "cut": small_png(packed=PACKED[:-6]),
    "checksum": small_png(unsealed(b"gAMA", b"\0\0\xb1\x8f")),
    "checksum of an unknown chunk": small_png(unsealed(b"abCd", b"1")),
    "checksum behind the pixels": small_png()[:-12]
    + unsealed(b"tEXt", b"a\0b")
    + small_png()[-12:],
    "length": small_png(chunk(b"cHRM", bytes(31))),
    "empty": small_png(chunk(b"sRGB", b"")),
    "two headers": small_png(chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))),
    "packed text": small_png(chunk(b"zTXt", b"a\0\0no zlib")),
    "profile of another method": small_png(chunk(b"iCCP", b"a\0\1" + PACKED)),
    "profile without an end": small_png(chunk(b"iCCP", b"a")),
    "large profile": small_png(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**21)))),
}


def decision(content: bytes) -> bytes | None:
    """Return the pixels of an image, or None if it is refused."""
    try:
        return decode(content).tobytes()
    except UnusableImageError:
        return None


@pytest.mark.parametrize("name", DOUBTFUL)
def test_the_number_of_cores_decides_of_no_image(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_few_cores = decision(DOUBTFUL[name])
    monkeypatch.setattr(decoders, "_PNG_PAYS", False)
    assert decision(DOUBTFUL[name]) == on_few_cores
    assert on_few_cores is not None or name not in ("adler", "no adler")


def test_a_changed_byte_is_judged_alike_on_any_number_of_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    plain = small_png(
        chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"tEXt", b"Comment\0text"),
        packed=zlib.compress(rng.bytes(13 * 4)),
    )  # fmt: skip
    changed = []
    for place in range(8, len(plain)):
        content = bytearray(plain)
        content[place] ^= 1 << int(rng.integers(8))
        changed.append(bytes(content))
    few = [decision(content) for content in changed]
    monkeypatch.setattr(decoders, "_PNG_PAYS", False)
    assert [decision(content) for content in changed] == few


def test_a_large_png_is_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "_MOST_PNG_PIXELS", 61 * 45 - 1)
    assert fast(PLAIN["png"]) is None


def test_every_filter_of_png_is_undone() -> None:
    """The rows of the file have each of the five filters, written by hand."""
    rng = np.random.default_rng(3)
    rows = [bytes([kind]) + rng.bytes(3 * 11) for kind in (0, 1, 2, 3, 4) * 3]
    header = struct.pack(">IIBBBBB", 11, len(rows), 8, 2, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    )  # fmt: skip
    pixels = fast(content)
    assert pixels is not None
    np.testing.assert_array_equal(pixels, np.asarray(decode_by_pillow(content)))


def test_sizes_of_every_remainder() -> None:
    for width in range(1, 34, 3):
        for height in (1, 2, 7, 8, 16, 17):
            image = picture(width, height, seed=width)
            for kind, options in (("PNG", {}), ("JPEG", {"subsampling": "4:2:0"})):
                content = encoded(image, kind, **options)
                pixels = fast(content)
                assert pixels is not None
                assert np.array_equal(pixels, np.asarray(decode_by_pillow(content)))


def by_pillow(content: bytes) -> np.ndarray | None:
    try:
        return np.asarray(decode_by_pillow(content))
    except UnusableImageError:
        return None


@pytest.mark.parametrize("name", ["png", "jpeg 4:2:0", "jpeg, progressive"])
def test_a_damaged_file_is_used_as_pillow_uses_it_or_not_at_all(name: str) -> None:
    """The file is cut anywhere, or has one bit flipped anywhere."""
    whole, rng = PLAIN[name], np.random.default_rng(5)
    damaged = [whole[:n] for n in range(0, len(whole), max(1, len(whole) // 60))]
    for position in rng.integers(0, len(whole), 300).tolist():
        bits = bytearray(whole)
        bits[position] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(bits))
    for content in damaged:
        pixels, expected = fast(content), by_pillow(content)
        assert pixels is None or (expected is not None and np.array_equal(pixels, expected))


def test_an_image_of_too_many_pixels_is_not_decoded_fast() -> None:
    assert decoders.decode(PLAIN["png"], 61 * 45) is not None
    assert decoders.decode(PLAIN["png"], 61 * 45 - 1) is None
    assert decoders.decode(PLAIN["jpeg 4:4:4"], 61 * 45 - 1) is None


def test_a_decoder_that_is_not_here_or_not_exact_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_content: bytes) -> Any:
        raise ImportError

    for broken in (missing, lambda content: np.asarray(decode_by_pillow(content)) ^ 1):
        monkeypatch.setattr(decoders, "_DECODERS", {"jpeg": broken, "png": broken})
        decoders._equals_pillow.cache_clear()
        assert fast(PLAIN["png"]) is None and fast(PLAIN["jpeg 4:4:4"]) is None
        assert decode(PLAIN["png"]).size == (61, 45)
    decoders._equals_pillow.cache_clear()
