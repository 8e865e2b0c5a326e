"""R@1 of images to their own prompts: closed forms, chance, and ties."""

from __future__ import annotations

import numpy as np
import pytest

from xprobe.base.arrays import Floats, Ints
from xprobe.distance import retrieval as module
from xprobe.distance.retrieval import retrieval


def unit_rows(n: int, d: int, rng: np.random.Generator) -> Floats:
    x = rng.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def one_each(m: int, c: int) -> list[Ints]:
    return [np.array([i % c]) for i in range(m)]


def test_images_that_have_the_features_of_their_prompts_all_find_them() -> None:
    text = unit_rows(30, 8, np.random.default_rng(0))
    row = retrieval(np.tile(text, (3, 1)), text, one_each(90, 30), np.arange(90) % 30)
    assert (row.metric, row.value, row.floor, row.p) == ("r_at_1", 1.0, pytest.approx(1 / 30), None)
    assert row.ci_high == pytest.approx(1)
    assert (row.size, row.n_real, row.n_synthetic) == (30, 0, 90)
    assert (row.units_real, row.units_synthetic) == (0, 30)
    assert row.ci_low is not None and 0.85 < row.ci_low < 0.95
    assert row.reason == "among 30 prompts; the floor is chance"


def test_each_image_counts_whose_best_prompt_is_one_of_its_own() -> None:
    text = np.eye(4, dtype=np.float32)
    image = np.array([[0.8, 0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 0.6, 0.8]], dtype=np.float32)
    row = retrieval(image, text, [np.array([0]), np.array([0]), np.array([2, 3])], np.arange(3))
    assert row.value == pytest.approx(2 / 3)
    assert row.floor == pytest.approx((1 + 1 + 2) / 4 / 3)


def test_random_features_give_chance_within_the_interval() -> None:
    rng = np.random.default_rng(1)
    covered, values = 0, []
    for _ in range(200):
        row = retrieval(
            unit_rows(200, 16, rng), unit_rows(25, 16, rng), one_each(200, 25), np.arange(200)
        )
        assert row.ci_low is not None and row.ci_high is not None and row.floor is not None
        covered += row.ci_low <= row.floor <= row.ci_high
        values.append(row.value)
    assert covered >= 180
    assert np.mean(values) == pytest.approx(0.04, abs=0.005)


def test_images_of_a_prompt_that_stand_or_fall_together_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    text = unit_rows(20, 16, rng)
    per_prompt = np.where(np.arange(20)[:, None] % 2 == 0, text, np.roll(text, 1, axis=0))
    image = np.repeat(per_prompt, 10, axis=0)
    prompts = [np.array([i // 10]) for i in range(200)]
    apart = retrieval(image, text, prompts, np.arange(200))
    together = retrieval(image, text, prompts, np.arange(200) // 10)
    assert apart.value == together.value == 0.5
    assert apart.ci_low is not None and together.ci_low is not None
    assert together.ci_low < apart.ci_low - 0.1


def test_of_prompts_that_are_equally_near_one_is_drawn() -> None:
    text = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    image = np.array([[1, 0], [0, 1]], dtype=np.float32)
    row = retrieval(image, text, [np.array([0]), np.array([2])], np.arange(2))
    assert row.value == pytest.approx((1 / 2 + 1) / 2)
    same = np.ones((4, 2), dtype=np.float32) / np.sqrt(np.float32(2))
    row = retrieval(same, same, one_each(4, 4), np.arange(4))
    assert row.value == row.floor == pytest.approx(1 / 4)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    text, noise = unit_rows(9, 8, rng), unit_rows(40, 8, rng)
    image = text[np.arange(40) % 9] + 0.8 * noise
    whole = retrieval(image, text, one_each(40, 9), np.arange(40))
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert retrieval(image, text, one_each(40, 9), np.arange(40)) == whole
    assert 0 < (whole.value or 0) < 1


def test_with_one_prompt_there_is_no_value_and_with_one_unit_no_interval() -> None:
    text = np.eye(2, dtype=np.float32)
    row = retrieval(text, text[:1], one_each(2, 1), np.arange(2))
    assert row.value is row.floor is row.ci_low is None
    assert row.reason == "all images have one prompt, and there is none to choose from"
    row = retrieval(text, text, one_each(2, 2), np.zeros(2, dtype=np.intp))
    assert (row.value, row.ci_low, row.ci_high, row.units_synthetic) == (1.0, None, None, 1)
