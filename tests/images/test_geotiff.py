"""TIFF that Pillow does not give whole: its samples, and nothing but its samples, decide pixels."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import tarfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import tiff_of
from numpy.testing import assert_array_equal
from PIL import Image
from rasterio.io import MemoryFile

from xprobe.images import decode as images
from xprobe.images import geotiff
from xprobe.images.decode import AS_IT_IS, Reading, UnusableImageError, decode, probe

RNG = np.random.default_rng(0)
SCENE = RNG.integers(0, 2750, (13, 9, 11)).astype(np.uint16)
RGB_16 = SCENE[:3]
EUROSAT = Reading((4, 3, 2), (0, 2750))


def stretched(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return samples (k, h, w) as a picture (h, w, 3), by the formula of the documentation."""
    share = (samples.astype(np.float64) - low) * (255 / (high - low))
    picture = np.rint(np.clip(share, 0, 255)).astype(np.uint8)
    return np.moveaxis(np.repeat(picture, 3 // len(picture), axis=0), 0, 2)


def pixels_of(content: bytes, reading: Reading = AS_IT_IS) -> np.ndarray:
    return np.asarray(decode(content, reading))


def refused(content: bytes, reading: Reading = AS_IT_IS) -> UnusableImageError:
    with pytest.raises(UnusableImageError) as info:
        decode(content, reading)
    return info.value


# --- the samples become the picture ----------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    [{}, {"compress": "lzw"}, {"compress": "deflate", "predictor": 2}, {"compress": "zstd"},
     {"interleave": "band"}, {"tiled": True, "blockxsize": 16, "blockysize": 16},
     {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}],
    ids=str,
)  # fmt: skip
def test_13_bands_of_16_bits_are_the_chosen_bands_stretched(layout: dict[str, Any]) -> None:
    picture = pixels_of(tiff_of(SCENE, **layout), EUROSAT)
    assert_array_equal(picture, stretched(SCENE[[3, 2, 1]], 0, 2750))


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_samples_of_every_type_are_scaled_alike(dtype: str) -> None:
    picture = pixels_of(
        tiff_of(SCENE[:3].astype(dtype), photometric="RGB"), Reading((), (90, 2100))
    )
    assert_array_equal(picture, stretched(RGB_16, 90, 2100))


@pytest.mark.parametrize("bands", [(7,), (2, 2, 5)])
def test_one_band_is_grey_and_a_band_may_be_taken_twice(bands: tuple[int, ...]) -> None:
    chosen = SCENE[[band - 1 for band in bands]]
    assert_array_equal(
        pixels_of(tiff_of(SCENE), Reading(bands, (0, 2750))), stretched(chosen, 0, 2750)
    )


def test_a_large_image_is_scaled_as_a_small_one() -> None:
    """From so many pixels on each value of 16 bits is scaled once, and looked up."""
    large = RNG.integers(0, 65536, (3, 300, 301)).astype(np.uint16)
    picture = pixels_of(tiff_of(large, photometric="RGB"), Reading((), (100, 60_000)))
    assert_array_equal(picture, stretched(large, 100, 60_000))
    content = tiff_of(large, photometric="RGB", nodata=50_000)
    large[large == 50_000] = 0
    assert_array_equal(
        pixels_of(content, Reading((), (100, 60_000))), stretched(large, 100, 60_000)
    )


def test_bands_share_one_range() -> None:
    """Each by its own would turn the colours."""
    samples = np.stack([np.full((2, 3), value, np.float32) for value in (0.5, 1.0, 200.0)])
    assert_array_equal(pixels_of(tiff_of(samples, photometric="RGB"))[0, 0], [0, 1, 200])


def test_bands_of_8_bits_are_taken_as_they_are() -> None:
    samples = (SCENE % 256).astype(np.uint8)
    assert_array_equal(
        pixels_of(tiff_of(samples), Reading((4, 3, 2), (0, 20))),
        np.moveaxis(samples[[3, 2, 1]], 0, 2),
    )
    flat = samples[:, :1, :1].repeat(64, 1).repeat(64, 2)
    lossy = pixels_of(tiff_of(flat, compress="jpeg", interleave="band"), Reading((4, 3, 2)))
    assert np.abs(lossy.astype(int) - samples[[3, 2, 1], 0, 0]).max() <= 1


def test_the_fourth_band_of_rgb_can_be_chosen() -> None:
    for dtype in (np.uint8, np.uint16):
        samples = (SCENE[:4] % 256).astype(dtype)
        picture = pixels_of(tiff_of(samples, photometric="RGB"), Reading((4, 2, 1), (0, 255)))
        assert_array_equal(picture, np.moveaxis(samples[[3, 1, 0]], 0, 2))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_transparency_is_laid_on_white_and_bands_that_are_chosen_are_not(dtype: type) -> None:
    alpha: np.ndarray = np.zeros((1, 9, 11), dtype)
    alpha[0, :3] = np.iinfo(dtype).max
    content = tiff_of(np.concatenate([RGB_16.astype(dtype), alpha]), photometric="RGB", ALPHA="YES")
    picture = pixels_of(content, Reading((), (0, 2750)))
    whole = stretched(RGB_16, 0, 2750)
    assert_array_equal(picture[3:], np.full((6, 11, 3), 255))
    if dtype is np.uint16:
        assert_array_equal(picture[:3], whole[:3])
    assert_array_equal(pixels_of(content, Reading((1, 2, 3), (0, 2750))), whole)


def test_an_orientation_turns_the_picture_upright() -> None:
    content = bytearray(tiff_of(SCENE))
    tag = content.index(b"\x15\x01\x03\x00")  # Samples per pixel, behind which none stands yet.
    entries = int.from_bytes(content[8:10], "little")
    assert content[10 + 12 * entries : 14 + 12 * entries] == bytes(4) and tag > 0
    planar = content.index(b"\x1c\x01\x03\x00")  # Planar configuration, 1: its default.
    content[planar : planar + 12] = b"\x12\x01\x03\x00\x01\x00\x00\x00\x03\x00\x00\x00"
    fields = sorted(bytes(content[10 + 12 * i : 22 + 12 * i]) for i in range(entries))
    fields.sort(key=lambda field: int.from_bytes(field[:2], "little"))
    content[10 : 10 + 12 * entries] = b"".join(fields)
    assert_array_equal(
        pixels_of(bytes(content), EUROSAT), stretched(SCENE[[3, 2, 1]], 0, 2750)[::-1, ::-1]
    )


# --- what the file does not say is not guessed ------------------------------------------------


@pytest.mark.parametrize("bands", [2, 4, 13])
def test_bands_without_colours_are_listed_with_the_remedy(bands: int) -> None:
    error = refused(tiff_of(SCENE[:bands].astype(np.float32), photometric="MINISBLACK"))
    assert str(error) == (
        f"{bands} bands, and the file does not say which are red, green and blue; choose them, "
        f"such as with --bands 3,2,1"
    )
    assert not error.passing


def test_colours_are_where_the_file_says() -> None:
    content = tiff_of(SCENE[:4].astype(np.int16), ("blue", "green", "red", "undefined"))
    assert_array_equal(pixels_of(content, Reading((), (0, 2750))),
                       stretched(SCENE[[2, 1, 0]], 0, 2750))  # fmt: skip


@pytest.mark.parametrize("reading", [Reading((14,)), Reading((14, 1, 2), (0, 1))])
def test_a_band_that_is_not_there_is_said(reading: Reading) -> None:
    error = refused(tiff_of(SCENE), reading)
    assert str(error) == "13 bands, of which --bands asks for number 14"
    assert not error.passing


def test_samples_have_a_brightness_or_are_refused() -> None:
    assert "complex" in str(refused(tiff_of(SCENE[:3].astype(np.complex64)), EUROSAT))
    assert "13 bands of 4 bits" in str(
        refused(tiff_of((SCENE % 16).astype(np.uint8), nbits=4), EUROSAT)
    )
    small = (SCENE % 128).astype(np.int8)
    assert_array_equal(pixels_of(tiff_of(small), Reading((1,)))[..., 0], small[0])
    below = tiff_of(-RGB_16.astype(np.float32), photometric="RGB")
    assert "choose their range with --stretch" in str(refused(below))


# --- nodata --------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("nodata", [-9999.0, np.nan, 1e38, -3.4028234663852886e38])
@pytest.mark.parametrize("stretch", [(), (0, 1), (-25, 10)])
def test_nodata_of_floats_is_black_and_moves_no_other_pixel(
    bands: int, nodata: float, stretch: tuple[float, ...]
) -> None:
    samples = (SCENE[:bands] / 2750).astype(np.float32)
    holes = samples.copy()
    holes[:, :2] = nodata
    content = tiff_of(holes, nodata=nodata, **({"photometric": "RGB"} if bands == 3 else {}))
    expected = stretched(samples, *(stretch or (0, 1)))
    expected[:2] = 0
    assert_array_equal(pixels_of(content, Reading((), stretch)), expected)


@pytest.mark.parametrize("bands", [1, 4])
def test_nodata_of_integers_is_black(bands: int) -> None:
    samples = SCENE[:bands].copy()
    samples[:, 3:5] = 65535
    expected = stretched(samples[: 1 if bands == 1 else 3], 0, 2750)
    expected[3:5] = 0
    content = tiff_of(samples, nodata=65535, photometric="RGB" if bands == 4 else "MINISBLACK")
    assert_array_equal(pixels_of(content, Reading((), (0, 2750))), expected)


def test_a_mask_inside_the_file_is_nodata() -> None:
    samples = SCENE[:5].copy()
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore")
        with memory.open(driver="GTiff", width=11, height=9, count=5, dtype="uint16") as file:
            file.write(samples)
            file.write_mask(np.arange(99).reshape(9, 11) % 2 == 0)
        content = bytes(memory.getbuffer())
    picture = pixels_of(content, Reading((1, 2, 3), (0, 2750)))
    expected = stretched(samples[:3], 0, 2750)
    expected[np.arange(99).reshape(9, 11) % 2 == 1] = 0
    assert_array_equal(picture, expected)


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_nothing_but_nodata_is_unusable(bands: int) -> None:
    content = tiff_of(np.full((bands, 4, 5), 7, np.uint16), nodata=7)
    for reading in (Reading((1,), (0, 2750)), Reading((1,))):
        error = refused(content, reading)
        assert str(error) == "nothing but nodata" and not error.passing


# --- Pillow stays where it gives all --------------------------------------------------------

WHOLE = {
    "RGB of 8 bits": (tiff_of(RGB_16.astype(np.uint8), photometric="RGB"), Reading()),
    "RGB of 8 bits with nodata": (
        tiff_of(RGB_16.astype(np.uint8), photometric="RGB", nodata=255), Reading()),
    "RGB of 8 bits, stretched": (
        tiff_of(RGB_16.astype(np.uint8), photometric="RGB"), Reading((), (0, 99))),
    "bands of RGB": (tiff_of(RGB_16.astype(np.uint8), photometric="RGB"), Reading((3, 2, 1))),
    "RGB as JPEG": (
        tiff_of(np.zeros((3, 16, 16), np.uint8), photometric="YCBCR", compress="jpeg"), Reading()),
    "grey of 16 bits": (tiff_of(SCENE[:1]), Reading((), (0, 2750))),
    "grey of floats with nodata": (
        tiff_of(SCENE[:1].astype(np.float32), nodata=5.0), Reading((1,), (0, 2750))),
    "RGB of 16 bits, not stretched": (tiff_of(RGB_16, photometric="RGB"), Reading()),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_what_pillow_gives_is_pillows_with_and_without_rasterio(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, reading = WHOLE[name]
    monkeypatch.setattr(geotiff, "decode", None)  # Calling it would fail.
    picture = pixels_of(content, reading)
    monkeypatch.setattr(geotiff, "is_installed", lambda: False)
    assert_array_equal(picture, pixels_of(content, reading))


def test_both_libraries_give_one_picture() -> None:
    """What is left to Pillow for the sake of stored features is no other picture in rasterio."""
    for content, reading in WHOLE.values():
        if reading.stretch:
            ours = geotiff.decode(content, reading, 10**6)
            assert_array_equal(np.asarray(ours), pixels_of(content, reading))
    high_bytes = pixels_of(tiff_of(RGB_16, photometric="RGB")).astype(int)
    whole = stretched(RGB_16, 0, 65535).astype(int)
    assert np.abs(high_bytes - whole).max() <= 1


@pytest.mark.parametrize(
    ("content", "reading", "reason"),
    [
        (tiff_of(SCENE), EUROSAT, "a TIFF of 13 bands of 16 bits, which Pillow cannot read"),
        (tiff_of(RGB_16, photometric="RGB"), Reading((), (0, 2750)), "3 bands of 16 bits, of which "
         "Pillow keeps the high bytes alone, so that --stretch comes too late"),
        (tiff_of(SCENE[:4].astype(np.uint8), photometric="RGB"), Reading((4, 3, 2)), "3 bands that "
         "Pillow gives, of which --bands asks for number 4"),
        (tiff_of(RGB_16.astype(np.uint8), photometric="RGB", compress="lerc"), Reading(),
         "a TIFF of 3 bands of 8 bits, which Pillow cannot read"),
    ],
)  # fmt: skip
def test_without_rasterio_the_remedy_is_the_extra(
    content: bytes, reading: Reading, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pixels_of(content, reading).shape == (9, 11, 3)
    monkeypatch.setattr(geotiff, "is_installed", lambda: False)
    error = refused(content, reading)
    assert str(error) == f"{reason}; run: pip install 'xprobe[geo]'"
    assert error.passing


def test_another_major_version_of_gdal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version in an encoder's key would no longer say whose pixels are embedded."""
    monkeypatch.setattr("rasterio.__gdal_version__", "4.0.1")
    error = refused(tiff_of(SCENE), EUROSAT)
    assert "GDAL 4.0.1, whose pixels may differ" in str(error) and error.passing


def test_probe_reads_the_size_of_what_rasterio_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.tif").write_bytes(tiff_of(SCENE))
    assert probe(tmp_path / "x.tif") == ("TIFF", 11, 9)
    monkeypatch.setattr(geotiff, "is_installed", lambda: False)
    with pytest.raises(UnusableImageError, match=r"13 bands of 16 bits, .*xprobe\[geo\]"):
        probe(tmp_path / "x.tif")


# --- one file, and nothing beside it ----------------------------------------------------------

VRT = """<VRTDataset rasterXSize="11" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize("head", ["", "\n", '<?xml version="1.0"?>\n'])
def test_a_virtual_raster_leads_nowhere(head: str, tmp_path: Path) -> None:
    (tmp_path / "secret.tif").write_bytes(tiff_of(SCENE[:1]))
    (tmp_path / "photo.tif").write_text(head + VRT.format(tmp_path / "secret.tif"))
    with pytest.raises(UnusableImageError, match="a virtual raster of GDAL, which is not read"):
        decode(tmp_path / "photo.tif", Reading((1,), (0, 2750)))
    with pytest.raises(UnusableImageError, match="GDAL cannot read it"):
        geotiff.read((head + VRT.format(tmp_path / "secret.tif")).encode(), (1,), 1000)


def test_files_beside_an_image_decide_nothing(tmp_path: Path) -> None:
    file = tmp_path / "x.tif"
    file.write_bytes(tiff_of(SCENE))
    expected = np.asarray(decode(file, EUROSAT))
    (tmp_path / "x.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="4"><NoDataValue>1</NoDataValue></PAMRasterBand>'
        "</PAMDataset>"
    )
    (tmp_path / "x.tif.msk").write_bytes(tiff_of(np.zeros((1, 9, 11), np.uint8)))
    (tmp_path / "x.tif.ovr").write_bytes(tiff_of(np.zeros((13, 4, 5), np.uint16)))
    (tmp_path / "x.tfw").write_text("1\n0\n0\n1\n0\n0\n")
    before = sorted(tmp_path.iterdir())
    assert_array_equal(np.asarray(decode(file, EUROSAT)), expected)
    assert sorted(tmp_path.iterdir()) == before


HOSTILE = {
    "GDAL_SKIP": "GTiff", "GDAL_DRIVER_PATH": "/nowhere", "GDAL_CONFIG_FILE": "{}/gdalrc",
    "GDAL_DATA": "/nowhere", "GDAL_MAX_BAND_COUNT": "2", "GDAL_NUM_THREADS": "ALL_CPUS",
    "GDAL_PAM_ENABLED": "YES", "GDAL_PAM_PROXY_DIR": "{}", "GTIFF_IGNORE_READ_ERRORS": "YES",
    "GTIFF_DIRECT_IO": "YES", "GTIFF_VIRTUAL_MEM_IO": "YES", "CONVERT_YCBCR_TO_RGB": "NO",
    "PROJ_DATA": "/nowhere", "PROJ_LIB": "/nowhere", "PROJ_NETWORK": "ON", "CPL_DEBUG": "ON",
    "CPL_LOG": "{}/log", "CPL_TIMESTAMP": "ON", "AWS_ACCESS_KEY_ID": "a", "PROJ_DEBUG": "3",
    "AWS_SECRET_ACCESS_KEY": "b", "GDAL_ONE_BIG_READ": "YES", "GDAL_FORCE_CACHING": "YES",
}  # fmt: skip

CHILD = """
import hashlib, sys
from concurrent.futures import ThreadPoolExecutor
from xprobe.images.decode import Reading, UnusableImageError, decode
def look(name):
    try:
        image = decode(name, Reading((4, 3, 2), (0, 2750)))
        return hashlib.sha256(image.tobytes()).hexdigest()
    except UnusableImageError as error:
        return str(error)
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(look, sys.argv[1:] * 3), sep="\\n")
"""


def test_the_environment_decides_nothing_and_nothing_is_printed(tmp_path: Path) -> None:
    whole = tiff_of(SCENE, crs="EPSG:32633", nodata=7)
    names = []
    for name, content in {
        "whole": whole, "cut": whole[:-200],
        "strange": whole.replace(b"\x02\x01\x03\0", b"\x02\x01\x99\0"),
        "four": tiff_of(np.zeros((4, 16, 16), np.uint8), photometric="RGB", compress="jpeg"),
    }.items():  # fmt: skip
        (tmp_path / f"{name}.tif").write_bytes(content)
        names.append(str(tmp_path / f"{name}.tif"))
    (tmp_path / "gdalrc").write_text(
        "[configoptions]\nGDAL_SKIP=GTiff\nGTIFF_IGNORE_READ_ERRORS=YES\n"
    )
    hostile = {name: value.format(tmp_path) for name, value in HOSTILE.items()}
    clean = {name: value for name, value in os.environ.items() if name not in HOSTILE}
    clean["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    ran = [
        subprocess.run(
            [sys.executable, "-c", CHILD, *names],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        for env in (clean, clean | hostile)
    ]
    assert ran[0].stdout == ran[1].stdout
    assert [run.stderr for run in ran] == ["", ""]
    assert not (tmp_path / "log").exists()
    lines = ran[0].stdout.splitlines()
    assert lines == lines[:4] * 3
    assert len(lines[0]) == len(lines[3]) == 64
    assert lines[1].startswith("GDAL cannot read it: ")


def test_an_image_without_a_place_is_worth_no_line(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        decode(tiff_of(SCENE), EUROSAT)
    assert [str(warning.message) for warning in recwarn] == []
    assert not [record for record in caplog.records if record.name.startswith("rasterio")]
    assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger("rasterio").handlers)


# --- damage, and sizes that are claimed ---------------------------------------------------------


def test_a_declared_size_is_refused_before_it_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = tiff_of_size(14_000, 14_000)
    assert len(sparse) < 2**20
    error = refused(sparse, EUROSAT)
    assert "14000 x 14000 pixels, more than 178,956,970 allowed" in str(error)
    monkeypatch.setattr(images, "MAX_PIXELS", 98)
    assert "11 x 9 pixels, more than 98 allowed" in str(refused(tiff_of(SCENE), EUROSAT))
    monkeypatch.setattr(geotiff, "_MOST_BLOCK_BYTES", 13 * 2 * 11 * 9 - 1)
    monkeypatch.setattr(images, "MAX_PIXELS", 99)
    assert "blocks of 2,574 bytes, more than 2,573" in str(refused(tiff_of(SCENE), EUROSAT))


def tiff_of_size(width: int, height: int) -> bytes:
    """Return a TIFF of five bands that claims a size, and of which no pixel is stored."""
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore")
        with memory.open(
            driver="GTiff", width=width, height=height, count=5, dtype="uint16", SPARSE_OK=True,
            tiled=True, blockxsize=4096, blockysize=4096,
        ):  # fmt: skip
            pass
        return bytes(memory.getbuffer())


@given(st.integers(0, 4000))
@settings(max_examples=30)
def test_a_file_cut_anywhere_is_whole_or_refused(n: int) -> None:
    content = tiff_of(SCENE, compress="lzw")
    try:
        picture = pixels_of(content[:n], EUROSAT)
    except UnusableImageError as error:
        assert str(error)
    else:
        assert_array_equal(picture, stretched(SCENE[[3, 2, 1]], 0, 2750))


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=60)
def test_damaged_files_are_decoded_or_unusable_and_nothing_else(
    changes: list[tuple[int, int]],
) -> None:
    content = bytearray(tiff_of(SCENE, compress="deflate", nodata=3))
    for offset, byte in changes:
        content[offset % len(content)] = byte
    try:
        assert decode(bytes(content), EUROSAT).mode == "RGB"
    except UnusableImageError as error:
        assert str(error) and geotiff._NAME not in str(error)


# --- threads and archives ------------------------------------------------------------------------


def test_threads_decode_side_by_side_and_leave_warnings_as_they_were(tmp_path: Path) -> None:
    scenes = [np.roll(SCENE, i, axis=2) for i in range(12)]
    contents = [tiff_of(scene, compress="deflate") for scene in scenes]
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for i, content in enumerate(contents):
            member = tarfile.TarInfo(f"{i}.tif")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda c: pixels_of(c, EUROSAT), contents * 4))
        members = list(pool.map(lambda i: decode(f"{tmp_path}/x.tar::{i}.tif", EUROSAT), range(12)))
    for i, picture in enumerate([*pictures, *map(np.asarray, members)]):
        assert_array_equal(picture, stretched(scenes[i % 12][[3, 2, 1]], 0, 2750))
    assert warnings.filters == before


def test_a_picture_by_another_program_differs_by_its_rounding_alone() -> None:
    """Two ways of rounding one number x differ by less than a level: both lie in (x - 1, x + 1).

    They are integers, so that they are at most one apart; ours is within half a level of x.
    """
    exact = np.moveaxis(SCENE[[3, 2, 1]].astype(np.float64), 0, 2) * (255 / 2750)
    ours = pixels_of(tiff_of(SCENE), EUROSAT).astype(np.float64)
    assert np.abs(ours - np.clip(exact, 0, 255)).max() <= 0.5
    rendered = io.BytesIO()
    Image.fromarray(np.floor(exact).astype(np.uint8)).save(rendered, "PNG")
    assert np.abs(ours - pixels_of(rendered.getvalue())).max() <= 1
