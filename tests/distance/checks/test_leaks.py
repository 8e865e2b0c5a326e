"""Planted copies are found, other images are not; the threshold, the kinds, the search."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from makers import MakeManifest, scene
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from xprobe.distance.checks import leaks
from xprobe.distance.checks.fingerprints import WEIGHT, fingerprints, mirrored
from xprobe.distance.checks.leaks import find_leaks, find_nearest


def jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def cut(image: Image.Image, x: float, y: float) -> Image.Image:
    w, h = round(0.95 * image.width), round(0.95 * image.height)
    left, top = round(x * (image.width - w)), round(y * (image.height - h))
    return image.crop((left, top, left + w, top + h))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "exact": lambda image: image,
    "jpeg": jpeg,
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "cut centre": lambda image: cut(image, 0.5, 0.5),
    "cut corner": lambda image: cut(image, 0, 1),
    "flipped": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}
N = 60


@pytest.fixture(scope="module")
def prints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Fingerprints of N scenes, of N others, and of each kind of copy of the first."""
    folder = tmp_path_factory.mktemp("scenes")

    def of(name: str, images: list[Image.Image]) -> np.ndarray:
        files = [folder / f"{name}{i}.png" for i in range(len(images))]
        for image, file in zip(images, files, strict=True):
            image.save(file)
        return fingerprints(files, np.ones(len(files), dtype=bool), 1)

    scenes = [scene(i) for i in range(N)]
    out = {"real": of("real", scenes), "other": of("other", [scene(N + i) for i in range(N)])}
    return out | {k: of(k, [copy(s) for s in scenes]) for k, copy in COPIES.items()}


def table(make_manifest: MakeManifest, real: int, synthetic: int, **columns: list[str]) -> object:
    source = ["real"] * real + ["synthetic"] * synthetic
    return make_manifest(["a"] * (real + synthetic), source=source, **columns)


@pytest.mark.parametrize("kind", COPIES)
def test_planted_copies_are_found_and_name_the_right_image(
    kind: str, prints: dict[str, np.ndarray], make_manifest: MakeManifest
) -> None:
    found = find_leaks(table(make_manifest, N, N), np.vstack([prints["real"], prints[kind]]))
    right = [r for r in found.rows if int(r.id[1:]) - N == int(r.nearest[1:])]
    assert len(right) >= 0.95 * N
    assert set(found.counts) == {"copy of a training image"}


def test_other_images_are_no_copies(
    prints: dict[str, np.ndarray], make_manifest: MakeManifest
) -> None:
    found = find_leaks(table(make_manifest, N, N), np.vstack([prints["real"], prints["other"]]))
    assert found.rows == ()
    assert len(found.nearest) == N
    assert min(row.distance for row in found.nearest) > found.threshold


def test_the_search_is_that_of_every_pair_when_all_are_candidates(
    prints: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against cuts made of each database image, one by one."""
    queries, database = prints["cut corner"][:5], prints["real"][:20]
    w, back = WEIGHT, leaks._UNWEIGHT
    expected = np.empty((5, 20))
    for j, row in enumerate(database):
        views = [w * (d @ (row.reshape(16, 16) * back) @ a.T) for d, a in leaks._CUTS]
        views = [v.ravel() / np.linalg.norm(v) for v in views]
        both = [q @ v for q in (queries, mirrored(queries)) for v in views]
        expected[:, j] = 1 - np.max(both, axis=0)
    found, distance = find_nearest(queries, database)
    assert_array_equal(found, expected.argmin(axis=1))
    assert_allclose(distance, expected.min(axis=1), atol=1e-5)


def test_blocks_of_any_size_give_the_same(
    prints: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = find_nearest(prints["jpeg"], prints["real"])
    monkeypatch.setattr(leaks, "_QUERIES", 7)
    monkeypatch.setattr(leaks, "_BLOCK", 11)
    found, distance = find_nearest(prints["jpeg"], prints["real"])
    assert_array_equal(found, whole[0])
    assert_allclose(distance, whole[1], atol=1e-6)


def test_rows_of_equal_code_are_no_neighbours(prints: dict[str, np.ndarray]) -> None:
    x = np.vstack([prints["real"][:3], prints["jpeg"][:3]])
    code = np.arange(6)
    assert find_nearest(x, x, code, code)[0].tolist() == [3, 4, 5, 0, 1, 2]
    group = np.array([0, 1, 2, 0, 1, 2])
    assert find_nearest(x, x, group, group)[1].min() > 0.1
    alone = find_nearest(x, x, group * 0, group * 0)
    assert alone[0].tolist() == [-1] * 6 and np.isinf(alone[1]).all()
    assert find_nearest(x, x[:0])[0].tolist() == [-1] * 6


def test_kinds_worst_first_and_what_is_dropped(
    prints: dict[str, np.ndarray], make_manifest: MakeManifest
) -> None:
    real, other = prints["real"], prints["other"]
    rows = [*real[:4], real[0], real[1], prints["jpeg"][2], other[0], other[0], other[1]]
    manifest = table(
        make_manifest, 4, 6,
        split=["test", "train", "train", "extra"] + ["train"] * 6,
        sha256=["0", "1", "2", "3", "0", "x", "y", "z", "z", "w"],
    )  # fmt: skip
    found = find_leaks(manifest, np.array(rows))
    kinds = {row.id: (row.kind, row.nearest) for row in found.rows}
    assert kinds == {
        "i4": ("exact copy of a test image", "i0"),
        "i5": ("copy of a training image", "i1"),
        "i6": ("copy of a training image", "i2"),
        "i7": ("exact duplicate inside synthetic", "i8"),
        "i8": ("exact duplicate inside synthetic", "i7"),
    }
    assert found.counts["copy of a training image"] == 2
    clean = found.without(manifest)
    assert clean.id.tolist() == ["i0", "i1", "i2", "i3", "i7", "i8", "i9"]
    assert clean.classes == manifest.classes


def test_a_copy_of_a_test_image_counts_before_a_nearer_training_image(
    prints: dict[str, np.ndarray], make_manifest: MakeManifest
) -> None:
    rows = np.array([prints["jpeg"][0], prints["real"][0], prints["real"][0]])
    manifest = table(make_manifest, 2, 1, split=["test", "train", "train"])
    (row,) = [r for r in find_leaks(manifest, rows, 0.1).rows if r.id == "i2"]
    assert row.kind == "copy of a test image" and row.nearest == "i0"
    assert find_leaks(manifest, rows, 0.1).nearest[0].nearest == "i1"


def test_duplicates_of_two_generators_are_none(
    prints: dict[str, np.ndarray], make_manifest: MakeManifest
) -> None:
    rows = np.vstack([prints["real"][:2], prints["other"][[0, 0]]])
    apart = table(make_manifest, 2, 2, generator=["", "", "g", "h"])
    assert find_leaks(apart, rows).rows == ()
    together = find_leaks(table(make_manifest, 2, 2), rows)
    assert together.counts == {"duplicate inside synthetic": 2}


def test_the_threshold_follows_the_real_images(
    prints: dict[str, np.ndarray], make_manifest: MakeManifest
) -> None:
    real = prints["real"]
    apart = find_leaks(table(make_manifest, N, 0), real)
    assert apart.threshold == leaks.LIMIT and "most that is used" in apart.reason

    # two unknown duplicates among many: set aside; a close group of its own: never compared
    double = np.vstack([real, prints["jpeg"][:1]])
    found = find_leaks(table(make_manifest, N + 1, 0), double)
    assert found.threshold == leaks.LIMIT and "2 nearer than 0.05 set aside" in found.reason
    assert found.counts == {"duplicate inside real": 2}

    # nearly everything is alike: the data are so, and the threshold goes down to where they lie
    alike = np.vstack([real, prints["jpeg"]])
    group = [f"g{i}" for i in range(2 * N)]
    found = find_leaks(table(make_manifest, 2 * N, 0, group=group), alike)
    assert found.threshold < 0.01 and "as these data are" in found.reason
    group = [f"g{i % N}" for i in range(2 * N)]
    found = find_leaks(table(make_manifest, 2 * N, 0, group=group), alike)
    assert found.threshold == leaks.LIMIT
    assert find_leaks(table(make_manifest, N, 0, group=["g"] * N), real).threshold == leaks.SURE


def test_files_that_cannot_be_compared_are_named(
    tmp_path: Path, make_manifest: MakeManifest
) -> None:
    Image.new("RGB", (20, 20), "white").save(tmp_path / "flat.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    scene(1).save(tmp_path / "good.png")
    names = ["flat.png", "broken.png", "missing.png", "good.png"]
    rows = fingerprints([tmp_path / name for name in names], np.ones(4, dtype=bool), 2)
    assert rows.shape == (4, 256) and rows.dtype == np.float32
    assert_allclose(np.linalg.norm(rows, axis=1), [0, 0, 0, 1], atol=1e-6)
    found = find_leaks(table(make_manifest, 2, 2, id=names), rows)
    assert found.unchecked == tuple(names[:3]) and found.rows == ()


def test_wrong_arguments(make_manifest: MakeManifest) -> None:
    manifest = table(make_manifest, 2, 0)
    with pytest.raises(ValueError, match="for 2 images"):
        find_leaks(manifest, np.zeros((3, 256), dtype=np.float32))
    with pytest.raises(ValueError, match="a threshold of 0"):
        find_leaks(manifest, np.zeros((2, 256), dtype=np.float32), 0)
