"""A small part of a range, and bands that are no transparency, are told over many images."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xprobe.base.errors import XprobeError
from xprobe.images import ranges
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


def save_rgb_16(folder: Path, samples: Sequence[np.ndarray]) -> list[str]:
    """Save RGB of 16 bits as TIFF, which Pillow does not write."""
    files = save(folder, [pixels.astype(np.uint8) for pixels in samples])
    for file, pixels in zip(files, samples, strict=True):
        height, width, _ = pixels.shape
        data = pixels.astype("<u2").tobytes()
        place = 8 + len(data)
        tags = ((256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, place), (259, 3, 1, 1),
                (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height),
                (279, 4, 1, len(data)))  # fmt: skip
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        directory = struct.pack("<H", len(tags)) + entries + bytes(4)
        head = b"II*\0" + struct.pack("<I", place + 6)
        Path(file).write_bytes(head + data + struct.pack("<3H", 16, 16, 16) + directory)
    return files


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


def test_a_small_part_of_several_bands_is_told_with_what_to_do(tmp_path: Path) -> None:
    text = told(save_rgb_16(tmp_path, [scene * 2047 for scene in SCENES]))
    assert "images of 16 bits use 2.7 % of the range of their samples (0 to 1,799 of 65,535" in text
    assert "Pillow keeps the high byte" in text and "gdal_translate" in text


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
