"""Adjusted p-values: bounds, and the error rate over many comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from xprobe.verdict.joint import single_step, step_down, two_sided


def holm(p: np.ndarray) -> np.ndarray:
    """Return p adjusted by Holm's method, which knows nothing of correlations."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return adjusted


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8), st.integers(0, 5))
def test_the_steps_keep_the_order_and_raise_every_p(p: list[float], seed: int) -> None:
    values = np.array(p)
    adjusted = step_down(values, np.eye(len(p)), np.random.default_rng(seed), 4000)
    order = np.argsort(values, kind="stable")
    assert_array_equal(adjusted[order], np.sort(adjusted))
    assert (adjusted >= values - 5 * np.sqrt(values / 4000) - 1e-3).all()
    assert (adjusted <= 1).all()


def test_independent_comparisons_are_sidaks_step_by_step() -> None:
    p = np.array([0.04, 0.001, 0.2, 0.012])
    adjusted = step_down(p, np.eye(4), np.random.default_rng(0), 400_000)
    expected = [1 - (1 - 0.04) ** 2, 1 - (1 - 0.001) ** 4, 0.2, 1 - (1 - 0.012) ** 3]
    assert_allclose(adjusted, expected, atol=0.002)
    assert (adjusted <= holm(p) + 0.002).all()


def test_copies_cost_nothing() -> None:
    adjusted = step_down(np.full(30, 0.03), np.ones((30, 30)), np.random.default_rng(0), 100_000)
    assert_allclose(adjusted, 0.03, atol=0.002)


def test_a_comparison_more_of_which_nothing_is_known_claims_no_more() -> None:
    p = np.array([0.004, 0.9])
    alone = step_down(p[:1], np.eye(1), np.random.default_rng(0))
    both = step_down(p, np.eye(2), np.random.default_rng(0))
    assert both[0] > alone[0]


def test_over_many_correlated_nulls_one_study_in_twenty_claims_something() -> None:
    """Of 300 studies of 18 comparisons at most 5 % + 3 Monte-Carlo errors claim anything."""
    rng, studies, n = np.random.default_rng(1), 300, 200
    wrong = 0
    for _ in range(studies):
        d = 0.7 * rng.normal(size=(6, 1, n)) + rng.normal(size=(6, 3, n))
        flat = d.reshape(18, n)
        t = flat.mean(axis=1) / (flat.std(axis=1, ddof=1) / np.sqrt(n))
        adjusted = step_down(two_sided(t, n - 1), np.corrcoef(flat), rng, 2000)
        wrong += adjusted.min() <= 0.05
    assert 0 < wrong / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_each_comparison_keeps_its_degrees_of_freedom() -> None:
    """Alone, its level is its own t's; together the one with few of them has the wider interval."""
    scores, rng = np.random.default_rng(0).normal(size=(2, 40)), np.random.default_rng(0)
    df = np.array([4.0, 400.0])
    outcome = single_step(
        np.array([2.6, 2.6]), df, scores, np.eye(2), rng, alphas=(0.05,), draws=100_000
    )
    critical = stats.t.isf(outcome.level[0.05] / 2, df)
    assert critical[0] > critical[1] + 0.5
    assert outcome.p[0] > outcome.p[1]
    assert outcome.level[0.05] == pytest.approx(0.025, abs=0.003)


def test_comparisons_with_scales_of_their_own_are_independent() -> None:
    """Šidák's level holds for independent t; one scale for all makes them go together."""
    scores = np.random.default_rng(0).normal(size=(3, 40))
    levels = {
        shared: single_step(
            np.zeros(3), np.full(3, 5.0), scores, np.eye(3), np.random.default_rng(0),
            alphas=(0.05,), is_scale_shared=shared, draws=200_000,
        ).level[0.05]
        for shared in (True, False)
    }  # fmt: skip
    assert levels[False] == pytest.approx(1 - 0.95 ** (1 / 3), abs=0.0006)
    assert levels[True] > levels[False] + 0.001
