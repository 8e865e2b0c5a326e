"""Bands and ranges of samples, chosen or as they are."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, TiffImagePlugin

from xprobe.images.decode import decode
from xprobe.images.samples import Reading, UnusableImageError, bits_of, full_scale, to_8_bit

RNG = np.random.default_rng(0)
RGBA = RNG.integers(0, 256, (9, 11, 4), dtype=np.uint8)
RGB_BANDS = Reading(bands=(1, 2, 3))


def stored(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of(content: bytes, reading: Reading) -> np.ndarray:
    return np.asarray(decode(content, reading))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bands", [(1, 2, 3), (4, 3, 2), (4,), (2, 2, 1)])
def test_bands_are_taken_as_they_are_and_none_is_transparency(
    kind: str, bands: tuple[int, ...]
) -> None:
    chosen = RGBA[..., [band - 1 for band in (bands * 3)[:3]]]
    assert_array_equal(pixels_of(stored(RGBA, kind), Reading(bands)), chosen)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_the_bands_of_a_plain_image_are_the_image(kind: str) -> None:
    content = stored(RGBA[..., :3].copy(), kind)
    assert_array_equal(pixels_of(content, RGB_BANDS), np.asarray(decode(content)))
    turned = pixels_of(content, Reading((3, 2, 1)))
    assert_array_equal(turned, np.asarray(decode(content))[..., ::-1])


@pytest.mark.parametrize("pixels", [RGBA[..., 0].copy(), np.dstack([RGBA[..., 0], RGBA[..., 3]])])
def test_a_grey_image_has_three_equal_bands(pixels: np.ndarray) -> None:
    grey = np.repeat(RGBA[..., :1], 3, axis=2)
    for bands in ((1, 2, 3), (1,), (3,)):
        assert_array_equal(pixels_of(stored(pixels, "PNG"), Reading(bands)), grey)


def test_a_colour_that_is_declared_transparent_is_a_colour_among_bands() -> None:
    content = stored(RGBA[..., :3].copy(), "PNG", transparency=tuple(map(int, RGBA[0, 0, :3])))
    assert_array_equal(pixels_of(content, RGB_BANDS), RGBA[..., :3])
    deep = stored(np.array([[0, 65535]], np.uint16), "PNG", transparency=0)
    assert_array_equal(pixels_of(deep, Reading())[0, :, 0], [255, 255])
    assert_array_equal(pixels_of(deep, RGB_BANDS)[0, :, 0], [0, 255])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_band_that_is_not_there_is_said(kind: str) -> None:
    with pytest.raises(UnusableImageError, match=r"3 bands .* asks for number 4") as info:
        decode(stored(RGBA[..., :3].copy(), kind), Reading((4, 3, 2)))
    assert not info.value.passing
    with pytest.raises(UnusableImageError, match="asks for number 4"):
        decode(stored(RGBA[..., 0].astype(np.uint16), kind), Reading((4,)))


# --- ranges ------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16),
                                             ("TIFF", np.int32), ("TIFF", np.float32)])  # fmt: skip
def test_a_range_becomes_black_to_white_and_what_lies_outside_is_cut(
    kind: str, dtype: type
) -> None:
    samples = np.array([[100, 200, 300, 1124, 2148, 4000]], dtype)
    grey = pixels_of(stored(samples, kind), Reading(stretch=(100, 2148)))[0, :, 0]
    expected = [0, round(100 / 2048 * 255), round(200 / 2048 * 255), 128, 255, 255]
    assert_array_equal(grey, expected)


def test_a_range_changes_no_image_of_8_bits() -> None:
    content = stored(RGBA[..., :3].copy(), "PNG")
    stretched = pixels_of(content, Reading(stretch=(0, 20)))
    assert_array_equal(stretched, RGBA[..., :3])
    assert_array_equal(
        pixels_of(stored(RGBA[..., 0].copy(), "TIFF"), Reading(stretch=(0, 20)))[..., 0],
        RGBA[..., 0],
    )


def test_a_range_may_lie_where_no_full_range_does() -> None:
    samples = np.array([[-20.0, 0.0, 5.0]], np.float32)
    with pytest.raises(UnusableImageError, match="outside 0 to 65535; choose their range"):
        full_scale(samples)
    assert_array_equal(to_8_bit(samples, (-20, 5))[0], [0, 204, 255])
    with pytest.raises(UnusableImageError, match="not finite"):
        to_8_bit(np.array([np.nan]), (0, 1))


@pytest.mark.parametrize(
    ("dtype", "nodata", "stretch", "expected"),
    [
        ("uint16", "100", (), [0, 1, 255]),
        ("uint16", "100", (100, 356), [0, 199, 255]),
        ("uint16", "-1", (), [0, 1, 255]),  # No sample is.
        ("float32", "100", (), [0, 255, 255]),
        ("float32", "1.7976931348623157e+308", (100, 300), [0, 255, 255]),
        ("float32", "none", (100, 300), [0, 255, 255]),
    ],
)
def test_nodata_of_one_band_is_black(
    dtype: str, nodata: str, stretch: tuple[float, ...], expected: list[int]
) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[42113] = nodata
    is_unit = dtype == "float32" and nodata == "100"  # All but nodata lies in 0 to 1.
    samples = np.array([[100, 1, 1]] if is_unit else [[100, 300, 65535]])
    content = stored(samples.astype(dtype), "TIFF", tiffinfo=tags)
    assert pixels_of(content, Reading(stretch=stretch))[0, :, 0].tolist() == expected


def test_nothing_but_nodata_is_unusable() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[42113] = "nan"
    content = stored(np.full((2, 3), np.nan, np.float32), "TIFF", tiffinfo=tags)
    with pytest.raises(UnusableImageError, match="nothing but nodata") as info:
        decode(content)
    assert not info.value.passing


@pytest.mark.parametrize(
    ("pixels", "kind", "bits"),
    [
        (RGBA[..., 0].copy(), "PNG", 8),
        (RGBA, "TIFF", 8),
        (RGBA[..., 0].astype(np.uint16), "PNG", 16),
        (RGBA[..., 0].astype(np.uint16), "TIFF", 16),
        (RGBA[..., 0].astype(np.float32), "TIFF", 32),
    ],
)
def test_the_bits_of_a_sample_are_those_of_the_file(
    pixels: np.ndarray, kind: str, bits: int
) -> None:
    with Image.open(io.BytesIO(stored(pixels, kind))) as image:
        assert bits_of(image) == bits
