"""The script that measures error rates: its heads, its adjustments and its last line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calibration.digits import features, photos
from calibration.families import holm
from calibration.rows import share
from calibration.studies import (
    P,
    Replication,
    classify,
    discriminant,
    equal_moments,
    joined,
    moments,
    shares_without_gain,
    study,
)
from calibration.worlds import World, six, ten
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "bench_calibration.py"


def test_a_head_follows_from_sums_of_parts_as_from_all_images() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 5)), np.arange(60) % 3
    parts = moments(x[:20], y[:20], 3) + moments(x[20:], y[20:], 3)
    weight, offset = discriminant(parts, 0.2)
    mean = np.stack([x[y == c].mean(axis=0) for c in range(3)])
    within = (x - mean[y]).T @ (x - mean[y]) / (60 - 3)
    shrunk = 0.8 * within + 0.2 * np.trace(within) / 5 * np.eye(5)
    inverse = np.linalg.inv(shrunk)
    np.testing.assert_allclose(weight, inverse @ mean.T, rtol=1e-10)
    expected = np.log(1 / 3) - 0.5 * np.einsum("kd,de,ke->k", mean, inverse, mean)
    np.testing.assert_allclose(offset, expected, rtol=1e-10)
    less = parts - moments(x[:20], y[:20], 3)
    np.testing.assert_allclose(less.square, x[20:].T @ x[20:], rtol=1e-10)


def test_heads_of_many_parts_are_those_of_each() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 3, 7, 5))
    together = equal_moments(x)
    y = np.repeat(np.arange(3), 7)
    apart = [moments(part.reshape(-1, 5), y, 3).mapped(lambda sums: sums[None]) for part in x]
    np.testing.assert_allclose(together.square, joined(*apart).square, rtol=1e-10)
    test = rng.standard_normal((11, 5))
    labels = classify(discriminant(together), test)
    for part, label in zip(apart, labels, strict=True):
        np.testing.assert_array_equal(classify(discriminant(part[0]), test), label)


def test_edits_of_test_images_are_not_trained_on() -> None:
    """An edit that all but equals its source gains nothing where its source is tested."""
    world = World("copies", (20,) * 4, dims=60, apart=0.5, edits=4)
    gain = [
        (made.hit.mean() - made.hit_real.mean())
        for made in (study(world, seed, repeats=1) for seed in range(12))
    ]
    assert abs(np.mean(gain)) < 0.05


def test_mixes_of_like_images_help_and_wrong_labels_take_it_back() -> None:
    right = study(ten(30), 3, repeats=2)
    wrong = study(ten(30), 3, repeats=2, wrong=(0.9,) * 4)
    assert right.hit.mean() > right.hit_real.mean() + 0.02
    assert wrong.hit.mean() < wrong.hit_real.mean() - 0.05
    np.testing.assert_array_equal(right.hit_real, wrong.hit_real)


def test_the_share_without_gain_is_where_the_gain_is_0() -> None:
    shares = np.linspace(0.0, 0.7, 8)
    gain = np.stack([0.08 - 0.2 * shares, 0.1 - 0.3 * shares**2], axis=1)
    first, second = shares_without_gain(gain[None])
    assert first == pytest.approx(0.4)
    assert second == pytest.approx(np.sqrt(1 / 3))


def test_holm_multiplies_the_smallest_p_by_most() -> None:
    np.testing.assert_allclose(holm(np.array([0.02, 0.5, 0.01, 0.04])), [0.06, 0.5, 0.04, 0.08])


def test_a_share_passes_within_two_errors_of_the_bound() -> None:
    hit = np.arange(1000) < 63
    assert share("a", "b", "≤ 0.05", hit).met is True
    assert share("a", "b", "≤ 0.05", np.arange(1000) < 64).met is False
    assert share("a", "b", "(shown)", hit).met is None
    assert share("a", "b", "≥ 0.935", np.arange(1000) < 920).met is True
    assert share("a", "b", "≥ 0.935", np.arange(1000) < 919).met is False


def test_a_replication_depends_on_its_seed_alone() -> None:
    replication = Replication(six(10), null=True, repeats=2)
    np.testing.assert_array_equal(replication(4), replication(4))
    assert not np.array_equal(replication(4)[:, P], replication(5)[:, P])


def test_the_script_ends_in_one_document_with_targets(tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    parts = ["symmetries", "leaks", "shares", "groups"]
    command = [sys.executable, "-W", "error", str(SCRIPT), "--quick", "--markdown", str(table)]
    done = subprocess.run([*command, "--only", *parts], capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    document = json.loads(last)
    assert set(document) == {"question", "machine", "versions", "rows", "targets"}
    assert len(document["rows"]) == len(lines) == 2 + 1 + 5 + 48
    assert set(document["targets"][0]) == {"name", "asked", "measured", "met"}
    assert len(document["targets"]) == len(lines) - 16  # What is shown only is no target.
    assert table.read_text().count("\n| ") == len(lines)


@pytest.mark.long
def test_every_part_runs() -> None:
    command = [sys.executable, "-W", "error", str(SCRIPT), "--quick"]
    subprocess.run(command, capture_output=True, check=True)


def test_a_folder_of_images_is_drawn_from_without_overlap(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(26):
            pixels = rng.integers(256, size=(6, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    world = photos(str(tmp_path))
    assert world.counts == (5, 5)
    images = world.images(rng, 5, 1)
    assert (len(images.x), len(images.pool), len(images.fresh)) == (10, 40, 2)
    rows = np.concatenate([images.x, images.pool, images.fresh])
    assert len(np.unique(rows.round(9), axis=0)) == len(rows)
    every, labels = features(str(tmp_path))
    assert every.std() == pytest.approx(1)
    np.testing.assert_array_equal(np.bincount(labels), [26, 26])
