"""What files say, and whether that alone tells a generator from real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import MakeManifest, tiff_of
from numpy.testing import assert_allclose
from PIL import Image
from sklearn.metrics import roc_auc_score

from xprobe.distance.checks.shortcuts import (
    NAMES,
    Facts,
    all_facts,
    auc_interval,
    file_facts,
    find_shortcuts,
)
from xprobe.images.decode import Reading, UnusableImageError


def picture(seed: int = 0, size: tuple[int, int] = (96, 64)) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 12, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def facts_of(rng: np.random.Generator, n: int, **fixed: object) -> list[Facts]:
    """Made-up facts: numbers at random, words constant, but for what is fixed."""
    words = {"format": "PNG", "quantisation": "", "subsampling": "", "mode": "RGB"}
    plain = {"has_exif": False, "has_alpha": False, "jpeg_quality": 0, "width": 64, "height": 64}
    rows = []
    for _ in range(n):
        numbers = {k: float(rng.random()) for k in NAMES if k not in words and k not in plain}
        rows.append({**words, **plain, **numbers, **fixed})
    return rows


@pytest.mark.parametrize("quality", [10, 50, 75, 92, 100])
def test_the_quality_of_a_jpeg_is_read_back(quality: int, tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", quality=quality, subsampling="4:2:2")
    facts = file_facts(tmp_path / "a.jpg")
    assert facts["jpeg_quality"] == quality
    assert facts["format"] == "JPEG" and facts["subsampling"] == "4:2:2"
    picture(1).save(tmp_path / "b.jpg", quality=quality)
    assert file_facts(tmp_path / "b.jpg")["quantisation"] == facts["quantisation"] != ""


def test_facts_of_a_tiff_of_many_bands(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_bytes(tiff_of(np.random.default_rng(0).integers(0, 99, (13, 64, 96)).astype("u2")))
    facts = file_facts(file, Reading((4, 3, 2), (0, 99)))
    assert (facts["format"], facts["mode"]) == ("TIFF", "13 bands of 16 bits")
    assert (facts["width"], facts["height"], facts["jpeg_quality"]) == (96, 64, 0)
    assert not facts["has_exif"] and not facts["has_alpha"]


def test_facts_of_a_png(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    picture().convert("RGBA").save(file)
    facts = file_facts(file)
    assert list(facts) == list(NAMES)
    assert facts["quantisation"] == facts["subsampling"] == "" and facts["jpeg_quality"] == 0
    assert facts["has_alpha"] and not facts["has_exif"] and facts["mode"] == "RGBA"
    assert (facts["width"], facts["height"], facts["aspect"]) == (96, 64, 1.5)
    assert facts["bytes_per_pixel"] == file.stat().st_size / (96 * 64)


def test_exif_turns_width_and_height(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture().save(tmp_path / "a.jpg", exif=exif)
    facts = file_facts(tmp_path / "a.jpg")
    assert facts["has_exif"] and (facts["width"], facts["height"]) == (64, 96)


def test_energy_and_blocks(tmp_path: Path) -> None:
    y, x = np.mgrid[:160, :160]
    for name, period in (("fine", 3), ("coarse", 32)):
        wave = 128 + 100 * np.sin(2 * np.pi * x / period)
        Image.fromarray(wave.astype(np.uint8)).save(tmp_path / f"{name}.png")
    assert file_facts(tmp_path / "fine.png")["high_frequency"] > 0.95
    assert file_facts(tmp_path / "coarse.png")["high_frequency"] < 0.01
    steps = np.random.default_rng(0).integers(0, 256, (20, 20)).repeat(8, 0).repeat(8, 1)
    shifted = steps[3:, 3:]  # the grid may lie anywhere
    Image.fromarray(shifted.astype(np.uint8)).save(tmp_path / "blocks.png")
    assert file_facts(tmp_path / "blocks.png")["blockiness"] > 100
    smooth = 60 + 0.5 * x + 0.5 * y
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / "smooth.png")
    assert file_facts(tmp_path / "smooth.png")["blockiness"] < 1.2
    Image.new("L", (5, 3), 7).save(tmp_path / "tiny.png")
    tiny = file_facts(tmp_path / "tiny.png")
    assert (tiny["high_frequency"], tiny["blockiness"]) == (0, 1)


def test_compression_shows_in_the_pixels_after_saving_as_png(tmp_path: Path) -> None:
    picture(size=(256, 256)).save(tmp_path / "a.jpg", quality=8)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    picture(size=(256, 256)).save(tmp_path / "b.png")
    was_jpeg, never = all_facts([tmp_path / "a.png", tmp_path / "b.png"], 1)
    assert was_jpeg and never and was_jpeg["blockiness"] > 1.5 * never["blockiness"]


def test_unusable_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    assert all_facts([tmp_path / "a.png", tmp_path / "none.png"]) == [None, None]
    with pytest.raises(UnusableImageError, match="no such file"):
        file_facts(tmp_path / "none.png")


def test_a_shortcut_is_found_and_equal_files_have_none(make_manifest: MakeManifest) -> None:
    rng = np.random.default_rng(0)
    n = 60
    generator = [""] * n + ["jpg"] * n + ["same"] * n
    source = ["real"] * n + ["synthetic"] * 2 * n
    manifest = make_manifest(["a"] * 3 * n, source=source, generator=generator)
    facts = facts_of(rng, n) + facts_of(rng, n, format="JPEG") + facts_of(rng, n)
    found = {(s.generator, s.property): s for s in find_shortcuts(manifest, facts, rng)}
    assert len(found) == 2 * (len(NAMES) + 1)
    told = found["jpg", "format"]
    assert (
        told.verdict == "real and generator jpg can be told apart by file format alone (AUC 1.00)"
    )
    assert told.tells_apart and told.auc == 1 and told.low is not None and 0.9 < told.low < 1
    assert {key for key, s in found.items() if s.tells_apart} == {("jpg", "format"), ("jpg", "all")}
    same = found["same", "format"]
    assert same.auc is None
    assert same.verdict == "file format: left out, it is the same everywhere (PNG)"
    fair = found["same", "all"]
    assert fair.auc is not None and 0.3 < fair.auc < 0.7 and "no sign" in fair.verdict


def test_the_folds_keep_groups_whole(make_manifest: MakeManifest) -> None:
    """A property that tells groups, and nothing else, tells nothing of images from new groups."""
    rng = np.random.default_rng(1)
    groups, each = 30, 8
    label = ["a"] * (groups * each)
    half = groups * each // 2
    source = ["real"] * half + ["synthetic"] * half
    group = [f"g{i // each}" for i in range(groups * each)]
    manifest = make_manifest(label, source=source, group=group)
    value = rng.random(groups)
    facts = facts_of(rng, groups * each)
    for i, row in enumerate(facts):
        row["aspect"] = value[i // each]
    (shortcut,) = [s for s in find_shortcuts(manifest, facts, rng) if s.property == "aspect"]
    assert shortcut.auc is not None and shortcut.auc < 0.75 and not shortcut.tells_apart


def test_a_property_of_a_class_is_not_taken_for_one_of_a_source(
    make_manifest: MakeManifest,
) -> None:
    """Ships are wide, frogs are not; one side has nine ships to a frog, the other the reverse."""
    rng = np.random.default_rng(3)
    label = ["ship"] * 90 + ["frog"] * 10 + ["ship"] * 10 + ["frog"] * 90
    manifest = make_manifest(label, source=["real"] * 100 + ["synthetic"] * 100)
    facts = facts_of(rng, 200)
    for name, row in zip(label, facts, strict=True):
        row["width"] = 300 if name == "ship" else 100
    (width,) = [s for s in find_shortcuts(manifest, facts, rng) if s.property == "width"]
    assert width.n_real == width.n_synthetic == 20
    assert width.auc is not None and 0.2 < width.auc < 0.8 and not width.tells_apart
    other = make_manifest(["a"] * 9 + ["b"] * 9, source=["real"] * 9 + ["synthetic"] * 9)
    found = find_shortcuts(other, facts_of(rng, 18), rng)
    assert all(s.auc is None for s in found)  # no class on both sides


def test_too_few_images_are_said(make_manifest: MakeManifest) -> None:
    manifest = make_manifest(["a"] * 4, source=["real"] * 3 + ["synthetic"])
    rng = np.random.default_rng(0)
    found = find_shortcuts(manifest, facts_of(rng, 4), rng)
    assert all(s.auc is None and "fewer than two groups" in s.verdict for s in found)
    few = make_manifest(["a"] * 6, source=["real"] * 3 + ["synthetic"] * 3)
    facts = facts_of(rng, 3) + facts_of(rng, 3, format="JPEG")
    shortcuts = find_shortcuts(few, facts, rng)
    assert not any(s.tells_apart for s in shortcuts)
    assert shortcuts[0].auc == 1 and shortcuts[0].verdict.startswith("too few images to say that")
    with pytest.raises(ValueError, match="5 facts for 4 images"):
        find_shortcuts(manifest, facts_of(rng, 5), rng)


def test_auc_is_scikit_learns_and_its_interval_covers() -> None:
    rng = np.random.default_rng(0)
    group = np.array([f"{i // 2}" for i in range(160)], dtype=object)
    positive = np.arange(160) >= 80
    truth, hits = 0.7602, 0  # Φ(1 / √2)
    for _ in range(300):
        scene = rng.normal(size=80).repeat(2)  # two images of a group are the same
        score = scene + positive
        auc, low, high = auc_interval(score, positive, group)
        hits += low <= truth <= high
    assert_allclose(auc, roc_auc_score(positive, score))
    assert 0.9 <= hits / 300 <= 0.99
    tied = np.round(score)
    assert_allclose(auc_interval(tied, positive, group)[0], roc_auc_score(positive, tied))
