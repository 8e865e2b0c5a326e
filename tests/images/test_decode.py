"""From files of every kind to pixels, and the reasons why a file is no picture."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from open_clip.transform import image_transform
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from xprobe.base.errors import XprobeError
from xprobe.images import decode as images
from xprobe.images import formats, geotiff
from xprobe.images import resize as resize_module
from xprobe.images.decode import Reading, UnusableImageError, decode, probe
from xprobe.images.resize import resize

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (10, 14, 3), dtype=np.uint8)
GRAY = np.ascontiguousarray(RGB[..., 0])
GRAY[0, :2] = 0, 255
for constant in (RGB, GRAY):
    constant.flags.writeable = False


def stored(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    """Return the file of a picture."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels_of(file: bytes | Path) -> np.ndarray:
    image = decode(file)
    assert image.mode == "RGB"
    return np.asarray(image)


def gray_rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


def png_with_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds no more than its header."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return EXIF data of entries (tag, type, count, the four bytes of its value)."""
    table = b"".join(struct.pack(">HHI", *e[:3]) + e[3] for e in entries)
    head = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries))
    return head + table + b"\0\0\0\0"


# --- colour modes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("TIFF", {}),
     ("TIFF", {"compression": "tiff_lzw"})],
)  # fmt: skip
def test_lossless_formats_give_the_pixels_that_were_stored(
    kind: str, options: dict[str, Any]
) -> None:
    assert_array_equal(pixels_of(stored(RGB, kind, **options)), RGB)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_near_the_picture(kind: str) -> None:
    smooth = np.add.outer(np.arange(32), 4 * np.arange(32))
    picture = gray_rgb(smooth.astype(np.uint8))
    assert_allclose(pixels_of(stored(picture, kind)).astype(int), picture, atol=6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_by_257_not_clipped(kind: str) -> None:
    file = stored(GRAY.astype(np.uint16) * 257, kind)
    assert Image.open(io.BytesIO(file)).mode == "I;16"
    assert_array_equal(pixels_of(file), gray_rgb(GRAY))


def test_16_bit_gray_is_not_stretched_to_its_own_brightest_sample() -> None:
    file = stored(np.full((3, 3), 100, dtype=np.uint16), "PNG")
    assert (pixels_of(file) == 0).all()


@pytest.mark.parametrize("full", [255, 65535])
def test_32_bit_integers_are_scaled_by_the_range_that_holds_them(full: int) -> None:
    samples = GRAY.astype(np.int32) * (full // 255)
    assert_array_equal(pixels_of(stored(samples, "TIFF")), gray_rgb(GRAY))


@pytest.mark.parametrize("full", [1.0, 255.0, 65535.0])
def test_float_tiff_is_scaled_by_the_range_that_holds_it(full: float) -> None:
    samples = (GRAY / 255 * full).astype(np.float32)
    assert_array_equal(pixels_of(stored(samples, "TIFF")), gray_rgb(GRAY))


@pytest.mark.parametrize(
    ("sample", "reason"),
    [(np.nan, "not finite"), (np.inf, "not finite"), (-1, "outside"), (70000, "outside")],
)
def test_float_samples_without_a_brightness_are_refused(sample: float, reason: str) -> None:
    samples = np.zeros((3, 3), dtype=np.float32)
    samples[1, 1] = sample
    with pytest.raises(UnusableImageError, match=reason):
        decode(stored(samples, "TIFF"))


def test_gray_and_1_bit_fill_all_three_channels() -> None:
    assert_array_equal(pixels_of(stored(GRAY, "PNG")), gray_rgb(GRAY))
    bits = GRAY > 127
    assert_array_equal(pixels_of(stored(bits, "PNG")), gray_rgb(bits.astype(np.uint8) * 255))


def test_cmyk_jpeg_is_subtractive_colour() -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    black = Image.new("CMYK", (8, 8), (0, 0, 0, 255))
    assert_allclose(pixels_of(stored(cyan, "JPEG"))[0, 0].astype(int), (0, 255, 255), atol=3)
    assert_allclose(pixels_of(stored(black, "JPEG"))[0, 0], (0, 0, 0), atol=3)


def test_palette_gives_the_colours_behind_the_numbers() -> None:
    palette = Image.fromarray(RGB).quantize(16)
    assert_array_equal(pixels_of(stored(palette, "PNG")), np.asarray(palette.convert("RGB")))


def test_transparent_palette_entry_becomes_white_and_the_others_stay() -> None:
    palette = Image.fromarray(RGB).quantize(16)
    clear = np.asarray(palette) == 3
    expected = np.where(clear[..., None], 255, np.asarray(palette.convert("RGB")))
    assert clear.any()
    assert_array_equal(pixels_of(stored(palette, "PNG", transparency=3)), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("colours", [3, 1], ids=["RGBA", "LA"])
def test_transparent_is_white_and_opaque_is_the_colour_alone(kind: str, colours: int) -> None:
    alpha = np.where(GRAY > 127, 255, 0).astype(np.uint8)
    file = stored(np.dstack([RGB[..., :colours], alpha]), kind)
    colour = np.broadcast_to(RGB[..., :colours], RGB.shape)
    assert_array_equal(pixels_of(file), np.where(alpha[..., None] > 0, colour, 255))


def test_half_transparent_is_mixed_with_white_by_its_alpha() -> None:
    alpha = np.full_like(GRAY, 51)  # The opacity is a fifth.
    mixed = 0.2 * RGB.astype(float) + 0.8 * 255
    assert_allclose(pixels_of(stored(np.dstack([RGB, alpha]), "PNG")), mixed, atol=1)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_a_colour_declared_transparent_becomes_white(mode: str) -> None:
    pixels: np.ndarray = np.array(RGB if mode == "RGB" else GRAY)
    if mode == "I;16":
        pixels = pixels.astype(np.uint16) * 257
    pixels[0, 0] = 0
    clear = (0, 0, 0) if mode == "RGB" else 0
    file = stored(pixels, "PNG", transparency=clear)
    assert Image.open(io.BytesIO(file)).mode == mode
    assert_array_equal(pixels_of(file)[0, 0], (255, 255, 255))


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "green", "blue")]
    file = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_array_equal(pixels_of(file), np.asarray(frames[0]))


# --- orientation and other metadata ------------------------------------------------------

# A camera stores the upright image changed in this way for each EXIF orientation.
UPRIGHT_TO_STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", UPRIGHT_TO_STORED)
def test_every_orientation_gives_the_same_upright_picture(orientation: int) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    pixels = np.ascontiguousarray(UPRIGHT_TO_STORED[orientation](RGB))
    assert_array_equal(pixels_of(stored(pixels, "PNG", exif=tags)), RGB)


@pytest.mark.parametrize(
    "odd",
    [
        (0x0128, 2, 2, b"x\0\0\0"),  # A text stands where a number belongs.
        (0x0100, 9, 1, b"\xff" * 4),  # The width is negative.
        (0x010E, 11, 1, b"\0" * 4),  # A number stands where a text belongs.
        (0x011A, 2, 2, b"x\0\0\0"),  # A text stands where a fraction belongs.
        (0x8769, 9, 1, b"\xff" * 4),  # A further table starts before the file.
    ],
    ids=["text", "negative", "number", "fraction", "pointer"],
)
def test_odd_metadata_changes_no_pixel(odd: tuple[int, int, int, bytes]) -> None:
    turned = (0x0112, 3, 1, struct.pack(">HH", 6, 0))
    file = stored(np.ascontiguousarray(np.rot90(RGB)), "PNG", exif=exif(turned, odd))
    assert_array_equal(pixels_of(file), RGB)


def test_odd_metadata_is_not_worth_a_warning() -> None:
    broken = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 40)  # 40 entries are announced, none follows.
    assert_array_equal(pixels_of(stored(RGB, "PNG", exif=broken)), RGB)


def test_decoding_in_threads_leaves_the_warning_filters_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two threads are inside Image.open at once, and the first to enter is the first to leave."""
    before, open_image = list(warnings.filters), Image.open
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def slow_open(path: io.BytesIO, **options: Any) -> Image.Image:
        is_first = path.getvalue() == one
        (first_in if is_first else second_in).set()
        assert (second_in if is_first else first_out).wait(10)
        return open_image(path, **options)

    one, two = stored(RGB, "BMP"), stored(GRAY, "BMP")
    monkeypatch.setattr(Image, "open", slow_open)

    def run_first() -> None:
        decode(one)
        first_out.set()

    def run_second() -> None:
        assert first_in.wait(10)
        decode(two)

    first, second = threading.Thread(target=run_first), threading.Thread(target=run_second)
    with warnings.catch_warnings():
        for thread in (first, second):
            thread.start()
        for thread in (first, second):
            thread.join()
        after = list(warnings.filters)
    assert first_out.is_set()
    assert after == before


# --- files that hold no picture ----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image"),
        (b"not a picture", "not an image"),
        (stored(RGB, "PNG")[:200], "truncated"),
        (stored(RGB, "JPEG")[:-40], "truncated"),
        (png_with_header(20_000, 20_000), "pixels"),
        (png_with_header(0, 5), "."),
    ],
    ids=["empty", "text", "truncated PNG", "truncated JPEG", "bomb", "no width"],
)
def test_a_file_without_a_picture_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(content)
    with pytest.raises(UnusableImageError, match=reason):
        decode(file)


@pytest.mark.parametrize("look", [decode, probe])
def test_a_missing_file_says_so(tmp_path: Path, look: Any) -> None:
    with pytest.raises(UnusableImageError, match="no such file"):
        look(tmp_path / "none.png")


def test_the_largest_picture_is_allowed_and_a_larger_one_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 140)
    assert decode(stored(RGB, "PNG")).size == (14, 10)
    monkeypatch.setattr(images, "MAX_PIXELS", 139)
    with pytest.raises(UnusableImageError, match="14 x 10 pixels, more than 139 allowed"):
        decode(stored(RGB, "PNG"))


def test_pillow_warns_of_no_picture_that_is_allowed() -> None:
    """Pillow warns from half of MAX_PIXELS on; the header alone makes a decoder stop later."""
    with pytest.raises(UnusableImageError, match="truncated"):
        decode(png_with_header(10_000, 10_000))


@given(st.integers(0, 500))
@settings(max_examples=60)
def test_a_png_cut_anywhere_is_whole_or_refused(n: int) -> None:
    content = stored(RGB, "PNG")[:n]
    try:
        pixels = pixels_of(content)
    except UnusableImageError as error:
        assert str(error)
    else:
        assert_array_equal(pixels, RGB)


DAMAGED = {
    kind: stored(RGB, kind, exif=exif((0x0112, 3, 1, b"\0\6\0\0"), (0x0128, 3, 1, b"\0\2\0\0")))
    for kind in ("PNG", "JPEG", "WEBP", "TIFF")
} | {kind: stored(RGB, kind) for kind in ("BMP", "GIF")}


@given(
    st.sampled_from(sorted(DAMAGED)),
    st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), min_size=1, max_size=4),
)
@example("JPEG", [(53, 2)])  # Byte 53 is the type of an EXIF entry.
@settings(max_examples=150)
def test_damaged_files_are_decoded_or_unusable_and_nothing_else(
    kind: str, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(DAMAGED[kind])
    for offset, byte in changes:
        content[offset % len(content)] = byte
    try:
        assert decode(bytes(content)).mode == "RGB"
    except UnusableImageError as error:
        assert str(error)


# --- what of a failure is the content's own -------------------------------------------------


def tiff_of_13_bands() -> bytes:
    """Return a TIFF of 13 bands of 16 bits as GDAL writes it, which Pillow does not read."""
    buffer = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in ((256, 2), (257, 2), (258, (16,) * 13), (259, 1), (262, 1), (273, 8),
                       (277, 13), (278, 2), (279, 104)):  # fmt: skip
        tags[tag] = value
    buffer.write(b"II*\0" + struct.pack("<I", 8))
    tags.save(buffer)
    return buffer.getvalue()


def lie(error: BaseException) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"text", "not an image"),
        (stored(RGB, "PNG")[:200], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript, which is not read; convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, which is not read"),
        (png_with_header(20_000, 20_000), "pixels"),
    ],
)
def test_what_the_content_decides_is_final(content: bytes, reason: str) -> None:
    with pytest.raises(UnusableImageError, match=reason) as info:
        decode(content)
    assert not info.value.passing


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError("out of memory error when reading image file")]
)
def test_a_lack_of_memory_passes(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lie(error))
    with pytest.raises(UnusableImageError, match="not enough memory") as info:
        decode(stored(RGB, "TIFF"))
    assert info.value.passing


def test_a_missing_decoder_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lie(OSError("decoder libtiff not available")))
    with pytest.raises(UnusableImageError, match="libtiff not available") as info:
        decode(stored(RGB, "TIFF"))
    assert info.value.passing
    monkeypatch.setattr(Image, "open", lie(UnidentifiedImageError()))
    monkeypatch.setattr(formats.features, "check", lambda name: False)
    with pytest.raises(UnusableImageError, match="WEBP, for which the installed Pillow") as info:
        decode(stored(RGB, "WEBP"))
    assert info.value.passing


def test_a_layout_that_pillow_lacks_is_named_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geotiff, "is_installed", lambda: False)
    with pytest.raises(UnusableImageError, match=r"a TIFF of 13 bands of 16 bits, .*\[geo\]") as e:
        decode(tiff_of_13_bands())
    assert e.value.passing
    with pytest.raises(UnusableImageError, match="not an image"):
        decode(tiff_of_13_bands()[:40])


def test_high_bytes_cannot_be_stretched() -> None:
    deep = b"".join(
        [b"\x89PNG\r\n\x1a\n"]
        + [
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in (
                (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)),
                (b"IDAT", zlib.compress(b"\0" + bytes(6))),
                (b"IEND", b""),
            )
        ]
    )
    assert decode(deep).size == (1, 1)
    with pytest.raises(UnusableImageError, match=r"3 bands of 16 bits, .* convert") as info:
        decode(deep, Reading(stretch=(0, 2047)))
    assert info.value.passing


@pytest.mark.parametrize("look", [decode, probe])
def test_what_the_file_system_decides_passes(tmp_path: Path, look: Any) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnusableImageError, match="not a regular file, but a named pipe") as info:
        look(tmp_path / "pipe.png")
    assert info.value.passing
    with pytest.raises(UnusableImageError, match="is a directory") as info:
        look(tmp_path)
    assert info.value.passing


def test_probe_reads_the_header_alone(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(stored(RGB, "PNG")[:60])
    assert probe(file) == ("PNG", 14, 10)


# --- resizing ----------------------------------------------------------------------------

SIZES_PX = [(40, 30), (30, 40), (37, 37), (224, 224), (225, 224), (301, 97), (5, 9), (512, 333)]


def open_clip_pixels(image: Image.Image, target: tuple[int, int], mode: str, name: str) -> Any:
    transform = image_transform(
        target, is_train=False, mean=(0,) * 3, std=(1,) * 3, resize_mode=mode, interpolation=name
    )
    return np.rint(transform(image).numpy() * 255).astype(np.uint8).transpose(1, 2, 0)


@pytest.mark.parametrize(
    ("target", "mode", "interpolation"),
    [
        (target, mode, interpolation)
        for target in [(224, 224), (32, 32), (48, 80), (80, 48)]
        for mode in ("shortest", "longest", "squash")
        for interpolation in ("bicubic", "bilinear")
        # In this mode open_clip ignores the interpolation and is always bicubic.
        if (mode, interpolation) != ("shortest", "bilinear") or target[0] == target[1]
    ],
)
def test_resize_is_open_clips_pixel_for_pixel(
    target: tuple[int, int], mode: str, interpolation: str
) -> None:
    rng = np.random.default_rng(1)
    for width, height in SIZES_PX:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected = open_clip_pixels(image, target, mode, interpolation)
        pixels = np.asarray(resize(image, target, mode, interpolation))
        assert_array_equal(pixels, expected, err_msg=f"{width} x {height}")


def test_a_picture_of_the_target_size_is_left_alone() -> None:
    image = Image.fromarray(RGB)
    for mode in ("shortest", "longest", "squash"):
        assert_array_equal(np.asarray(resize(image, (10, 14), mode, "bicubic")), RGB)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1)])
@pytest.mark.parametrize("target", [(224, 224), (48, 80)])
def test_the_thinnest_strip_is_still_a_picture(
    mode: str, size: tuple[int, int], target: tuple[int, int]
) -> None:
    pixels = resize(Image.new("RGB", size, "white"), target, mode, "bicubic")
    assert pixels.size == target[::-1]
    assert np.asarray(pixels).max() == 255


def test_an_extreme_strip_is_scaled_at_its_centre_alone() -> None:
    """Scaled as a whole, 1 x 100,000 pixels would become 5 billion."""
    strip = Image.new("RGB", (1, 100_000))
    strip.paste((255, 0, 0), (0, 49_000, 1, 51_000))
    assert_array_equal(
        np.asarray(resize(strip, (224, 224), "shortest", "bicubic"))[0, 0], [255, 0, 0]
    )
    assert resize(strip, (224, 224), "shortest", "bicubic").size == (224, 224)


def test_the_centre_alone_is_what_scaling_and_cutting_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = decode(stored(np.tile(RGB, (4, 9, 1)), "PNG"))
    whole = np.asarray(resize(image, (16, 16), "shortest", "bicubic")).astype(int)
    monkeypatch.setattr("xprobe.images.decode.MAX_PIXELS", 1)
    centre = np.asarray(resize(image, (16, 16), "shortest", "bicubic")).astype(int)
    assert np.abs(whole - centre).max() <= 2


def test_reencoding_is_a_round_through_jpeg(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.jpg", quality=90, subsampling="4:2:0")
    expected = np.asarray(decode(tmp_path / "a.jpg"))
    assert np.array_equal(np.asarray(resize_module.reencode(picture, "jpeg-90")), expected)
    assert not np.array_equal(np.asarray(resize_module.reencode(picture, "jpeg-50")), expected)


@pytest.mark.parametrize("codec", ["jpeg", "jpeg-0", "jpeg-101", "webp-90", "90"])
def test_other_codecs_are_refused(codec: str) -> None:
    with pytest.raises(XprobeError, match="it is jpeg-QUALITY"):
        resize_module.check_codec(codec)
