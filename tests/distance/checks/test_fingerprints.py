"""Fingerprints of mirrored images, and what many real images share, which is masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import scene
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageDraw

from xprobe.distance.checks.fingerprints import (
    SIDE,
    common_parts,
    fingerprints,
    mirrored,
)
from xprobe.distance.checks.leaks import find_nearest

N, SHARING = 60, 5


def prints_of(folder: Path, images: list[Image.Image], real: int) -> np.ndarray:
    files = [folder / f"{i}.png" for i in range(len(images))]
    for image, file in zip(images, files, strict=True):
        image.save(file)
    return fingerprints(files, np.arange(len(images)) < real, 1)


def swath_edge(image: Image.Image) -> Image.Image:
    """The image beyond a slanting edge, black this side of it."""
    image = image.copy()
    width, height = image.size
    ImageDraw.Draw(image).polygon([(0, 0), (0.6 * width, 0), (0.3 * width, height), (0, height)], 0)
    return image


def logo(image: Image.Image) -> Image.Image:
    """The image with one emblem in its corner, in colours that photographs have, too."""
    image = image.copy()
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((50, 40, 119, 89), (230, 40, 60))
    drawing.ellipse((60, 45, 105, 85), (90, 200, 250))
    return image


def test_a_mirrored_fingerprint_is_that_of_the_mirrored_image(tmp_path: Path) -> None:
    images = [scene(i) for i in range(5)]
    flipped = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
    prints = prints_of(tmp_path, [*images, *flipped], 10)
    assert_allclose(mirrored(prints[:5]), prints[5:], atol=0.01)  # 8-bit rounding
    assert_array_equal(mirrored(mirrored(prints)), prints)


@pytest.mark.parametrize("mark", [swath_edge, logo])
def test_unlike_images_with_the_same_part_are_no_copies(mark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """As far apart as other images are; and a copy of an image with that part is still one."""
    real = [mark(scene(i)) if i < SHARING else scene(i) for i in range(N)]
    other = [mark(scene(N + i)) for i in range(SHARING)]
    copies = [image.resize((90, 66)) for image in real[:SHARING]]
    prints = prints_of(tmp_path, [*real, *other, *copies], N)
    database, queries = prints[:N], prints[N:]
    nearest, distance = find_nearest(queries, database)
    assert distance[:SHARING].min() > 0.4
    assert nearest[SHARING:].tolist() == list(range(SHARING))
    assert distance[SHARING:].max() < 0.08


def test_what_few_real_pictures_share_is_not_masked() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (600, SIDE, SIDE), dtype=np.uint8)
    real = np.arange(600) < 400
    for sharing, is_masked in ((4, False), (5, True)):  # One in a hundred of 400, and more.
        pictures[:sharing, 10:20, 10:20] = 7
        pictures[590:, 10:20, 10:20] = 7
        mask = common_parts(pictures, real)
        assert mask[0].any() == mask[599].any() == is_masked
        assert not mask[300].any()
    assert mask[0, 8:22, 8:22].all() and mask[0].sum() == 14**2


def test_a_picture_that_occurs_often_is_nothing_common() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (50, SIDE, SIDE), dtype=np.uint8)
    pictures[:20] = pictures[0]
    assert not common_parts(pictures, np.ones(50, dtype=bool)).any()


def test_without_real_images_nothing_is_common(tmp_path: Path) -> None:
    prints = prints_of(tmp_path, [swath_edge(scene(i)) for i in range(4)], 0)
    assert_allclose(np.linalg.norm(prints, axis=1), 1, atol=1e-6)
    assert fingerprints([], np.zeros(0, dtype=bool)).shape == (0, 256)
