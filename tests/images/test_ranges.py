"""A small part of a range, and bands that are no transparency, are told over many images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import tiff_of
from PIL import Image

from xprobe.base.errors import XprobeError
from xprobe.images import geotiff, ranges
from xprobe.images.manifest import Manifest
from xprobe.images.samples import AS_IT_IS, Reading

SCENES = np.random.default_rng(0).random((12, 8, 9, 3))
DEEP = np.uint16


def save(folder: Path, samples: Sequence[np.ndarray], suffix: str = "tif") -> list[str]:
    folder.mkdir(exist_ok=True)
    files = [folder / f"{i}.{suffix}" for i in range(len(samples))]
    for file, pixels in zip(files, samples, strict=True):
        Image.fromarray(pixels).save(file)
    return [str(file) for file in files]


def save_bands(
    folder: Path, scenes: Sequence[np.ndarray], suffix: str = "tif", **profile: Any
) -> list[str]:
    """Save scenes (h, w, bands), by default as GeoTIFF."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{i}.{suffix}" for i in range(len(scenes))]
    for file, scene in zip(files, scenes, strict=True):
        file.write_bytes(tiff_of(np.moveaxis(scene, 2, 0), **profile))
    return [str(file) for file in files]


def save_rgb_16(folder: Path, scenes: Sequence[np.ndarray], **profile: Any) -> list[str]:
    return save_bands(folder, [s.astype(DEEP) for s in scenes], photometric="RGB", **profile)


def told(paths: Sequence[str], reading: Reading = AS_IT_IS) -> str:
    return "\n".join(ranges.problems_of(paths, reading))


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_small_part_of_the_range_is_told_with_the_option(tmp_path: Path, suffix: str) -> None:
    grey = [(scene[..., 0] * 2047).astype(DEEP) for scene in SCENES]
    text = told(save(tmp_path, grey, suffix))
    assert text.startswith("images of 16 bits use 3.1 % of the range of their samples (19 to")
    assert "of 65,535, in 12 looked at), so that 8 of 255 grey levels are left" in text
    assert "--stretch LOW:HIGH or --stretch percentile:2,98" in text
    assert told(save(tmp_path, grey, suffix), Reading(stretch=(0, 2047))) == ""


def test_a_small_part_of_several_bands_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = save_rgb_16(tmp_path, [scene * 2047 for scene in SCENES])
    text = told(files)
    assert "images of 16 bits use 3.1 % of the range of their samples (17.91 to 2,026.2 of" in text
    assert text.endswith("--stretch LOW:HIGH or --stretch percentile:2,98")
    monkeypatch.setattr(geotiff, "is_installed", lambda: False)
    text = told(files)
    assert "images of 16 bits use 2.7 % of the range of their samples (0 to 1,799 of 65,535" in text
    assert (
        "Pillow keeps the high byte of 16 bits alone; run: pip install 'xprobe[geo]', and" in text
    )


def test_a_small_part_of_png_of_several_bands_is_told_with_what_to_do(tmp_path: Path) -> None:
    scenes = [(scene * 2047).astype(DEEP) for scene in SCENES]
    text = told(save_bands(tmp_path, scenes, "png", driver="PNG"))
    assert "use 2.7 % of the range" in text and "gdal_translate" in text


def test_bands_that_are_chosen_are_looked_at_alone(tmp_path: Path) -> None:
    dark = [np.concatenate([s[..., :1] * 2e3] * 4 + [s * 5e4], axis=2) for s in SCENES]
    files = save_bands(tmp_path, [scene.astype(DEEP) for scene in dark])
    assert "use 3.0 % of the range" in told(files, Reading((4, 3, 2)))
    assert told(files, Reading((5, 6, 7))) == ""
    assert told(files, Reading((4, 3, 2), (0, 2000))) == ""


@pytest.mark.parametrize("dark", [0, 4, 11])
def test_dark_images_among_others_are_no_fault(tmp_path: Path, dark: int) -> None:
    """Eleven of twelve images may be dark: the range is judged over all of them."""
    scale = [0.02 if i < dark else 1 for i in range(len(SCENES))]
    grey = [(s[..., 0] * 65535 * k).astype(DEEP) for s, k in zip(SCENES, scale, strict=True)]
    assert told(save(tmp_path, grey)) == ""
    bands = [scene * 65535 * k for scene, k in zip(SCENES, scale, strict=True)]
    assert told(save_rgb_16(tmp_path / "rgb", bands)) == ""


def test_a_few_bright_samples_hide_no_small_range(tmp_path: Path) -> None:
    grey = [(scene[..., 0] * 2000).astype(DEEP) for scene in SCENES]
    grey[3][2, 2] = 65535
    assert "use 3.0 % of the range" in told(save(tmp_path, grey))


def test_a_range_that_differs_between_images_is_told(tmp_path: Path) -> None:
    scenes = [(scene[..., 0] * (1.3 if i % 2 else 0.9)) for i, scene in enumerate(SCENES)]
    text = told(save(tmp_path, [scene.astype(np.float32) for scene in scenes]))
    assert "which is 0 to 1 in some and 0 to 255 in others" in text


def test_images_of_8_bits_have_nothing_to_tell(tmp_path: Path) -> None:
    dark = [(scene * 9).astype(np.uint8) for scene in SCENES]
    for suffix in ("png", "tif", "jpg"):
        assert told(save(tmp_path, dark, suffix)) == ""
    assert told([str(tmp_path / "none.png"), str(tmp_path)]) == ""


# --- bands -------------------------------------------------------------------------------


def with_alpha(share: float, opaque: int) -> list[np.ndarray]:
    """Return RGBA images, all but `opaque` of which are transparent in a share of their pixels."""
    pictures = []
    for i, scene in enumerate(SCENES):
        alpha = np.where(SCENES[0, ..., :1] < (share if i >= opaque else 0), 40, 255)
        pictures.append(np.concatenate([scene * 255, alpha], 2).astype(np.uint8))
    return pictures


def test_a_band_that_is_called_transparency_is_told(tmp_path: Path) -> None:
    paths = save(tmp_path, with_alpha(0.9, opaque=5))
    text = told(paths)
    assert "not opaque in 7 of 12 looked at" in text and "--bands 1,2,3" in text
    assert told(paths, Reading(bands=(1, 2, 3))) == ""


def test_transparency_of_pictures_and_of_few_images_is_no_band(tmp_path: Path) -> None:
    assert told(save(tmp_path, with_alpha(0.9, opaque=0), "png")) == ""
    assert told(save(tmp_path, with_alpha(0.9, opaque=6))) == ""
    assert told(save(tmp_path, with_alpha(0, opaque=0))) == ""


def test_transparency_of_16_bits_is_told(tmp_path: Path) -> None:
    scenes = [np.concatenate([scene, scene[..., :1]], 2) * 65535 for scene in SCENES]
    text = told(save_rgb_16(tmp_path, scenes, ALPHA="YES"))
    assert "not opaque in 12 of 12 looked at" in text and "--bands 1,2,3" in text


# --- over a manifest -----------------------------------------------------------------------


def manifest_of(
    make_manifest: Callable[..., Manifest], real: list[str], synthetic: list[str]
) -> Manifest:
    paths = [*real, *synthetic]
    source = ["real"] * len(real) + ["synthetic"] * len(synthetic)
    return make_manifest(["a"] * len(paths), path=paths, source=source, id=paths)


def test_real_and_synthetic_images_are_told_apart(
    tmp_path: Path, make_manifest: Callable[..., Manifest]
) -> None:
    dark = save(tmp_path / "dark", [(scene[..., 0] * 2047).astype(DEEP) for scene in SCENES])
    plain = save(tmp_path / "plain", [(scene * 255).astype(np.uint8) for scene in SCENES], "png")
    (problem,) = ranges.problems(manifest_of(make_manifest, dark, plain), AS_IT_IS)
    assert problem.startswith("real images of 16 bits")
    (problem,) = ranges.problems(manifest_of(make_manifest, plain, dark), AS_IT_IS)
    assert problem.startswith("synthetic images of 16 bits")


def test_percentiles_are_those_of_real_training_images(
    tmp_path: Path, make_manifest: Callable[..., Manifest]
) -> None:
    grey = [(scene[..., 0] * 2047).astype(DEEP) for scene in SCENES]
    real = save(tmp_path / "real", grey)
    other = save(tmp_path / "synthetic", [pixels + DEEP(9000) for pixels in grey])
    table = manifest_of(make_manifest, real, other)
    low, high = ranges.percentiles(table, 2, 98)
    np.testing.assert_allclose((low, high), np.percentile(np.stack(grey), (2, 98)), rtol=1e-3)
    plain = save(tmp_path / "plain", [(scene * 255).astype(np.uint8) for scene in SCENES], "png")
    with pytest.raises(XprobeError, match="no real training image has more than 8 bits"):
        ranges.percentiles(manifest_of(make_manifest, plain, real), 2, 98)
    flat = save(tmp_path / "flat", [np.full((4, 4), 7, DEEP)] * 2)
    with pytest.raises(XprobeError, match="both percentiles are 7"):
        ranges.percentiles(manifest_of(make_manifest, flat, real), 2, 98)


def test_percentiles_are_those_of_the_bands_that_are_the_picture(
    tmp_path: Path, make_manifest: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = [np.concatenate([scene * 2750, scene + 9], 2).astype(DEEP) for scene in SCENES]
    files = save_bands(tmp_path, scenes)
    table = manifest_of(make_manifest, files, [])
    low, high = ranges.percentiles(table, 2, 98, (3, 2, 1))
    whole = np.stack(scenes)[..., :3]
    np.testing.assert_allclose((low, high), np.percentile(whole, (2, 98)), rtol=1e-3)
    with pytest.raises(XprobeError, match=r"can be read \(.*0.tif: 6 bands, .* --bands 3,2,1\)"):
        ranges.percentiles(table, 2, 98)
    monkeypatch.setattr(geotiff, "is_installed", lambda: False)
    with pytest.raises(XprobeError, match=r"can be read \(.*xprobe\[geo\]'\); leave"):
        ranges.percentiles(table, 2, 98, (3, 2, 1))


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("nodata", [-9999.0, float("nan")])
def test_nodata_enters_no_percentile(
    bands: int, nodata: float, tmp_path: Path, make_manifest: Callable[..., Manifest]
) -> None:
    """Samples below zero have no full range, and percentiles all the same."""
    scenes = [-25 * scene[..., :bands].astype(np.float32) for scene in SCENES]
    whole = np.stack(scenes)[:, 5:]
    for scene in scenes:
        scene[:5] = nodata
    profile = {"photometric": "RGB"} if bands == 3 else {}
    files = save_bands(tmp_path, scenes, nodata=nodata, **profile)
    limits = ranges.percentiles(manifest_of(make_manifest, files, []), 2, 98)
    np.testing.assert_allclose(limits, np.percentile(whole, (2, 98)), rtol=1e-3)
    assert told(files) == told(files, Reading((), limits)) == ""
