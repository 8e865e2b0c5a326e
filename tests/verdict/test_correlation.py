"""The rank correlation over generators: a published case, identities, and the rate of its test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from xprobe.verdict.correlation import Correlation, rank_correlation


def correlation(x: object, y: object) -> Correlation:
    found = rank_correlation(np.atleast_2d(x), np.atleast_2d(y), np.random.default_rng(0))
    assert found is not None
    return found


def test_a_published_case() -> None:
    # IQ and hours of television, the example of Wikipedia's article on Spearman's ρ: −29/165.
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    found = correlation(iq, hours)
    assert found.rho == pytest.approx(-29 / 165)
    # Of ten generators, 10,000 orders are drawn; p is about 0.63, whichever are.
    exact = stats.spearmanr(iq, hours).pvalue
    assert found.p == pytest.approx(exact, abs=0.03)


def test_it_sees_ranks_alone_and_is_odd() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 6))
    found = correlation(x, y)
    assert correlation(np.exp(x), y**3) == found
    assert correlation(y, x) == found
    assert correlation(x, -y) == Correlation(-found.rho, found.p, 1, 6)
    assert correlation([1, 1, 2, 3], [5, 5, 6, 7]).rho == 1


def test_p_is_the_share_of_all_orders() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 2, 5))
    found = correlation(x, y)
    rho = [
        np.mean([stats.spearmanr(a[list(order)], b).statistic for a, b in zip(x, y, strict=True)])
        for order in itertools.permutations(range(5))
    ]
    assert found.rho == pytest.approx(rho[0])
    assert found.p == pytest.approx(np.mean(np.abs(rho) >= abs(rho[0]) - 1e-9))
    assert (found.encoders, found.generators) == (2, 5)


def test_below_five_generators_there_is_no_p() -> None:
    assert correlation(range(4), range(4)) == Correlation(1, None, 1, 4)
    assert correlation(range(5), range(5)).p == pytest.approx(2 / 120)


def test_a_scale_of_its_own_changes_nothing_and_a_constant_encoder_is_left_out() -> None:
    x, y = np.random.default_rng(2).normal(size=(2, 3, 6))
    scaled = x * np.array([[1.0], [100], [0.01]]) + np.array([[0.0], [5], [9]])
    assert correlation(scaled, y) == correlation(x, y)
    constant = np.concatenate([x, np.ones((1, 6))])
    assert correlation(constant, np.concatenate([y, y[:1]])) == correlation(x, y)


def test_it_says_nothing_of_nothing() -> None:
    rng = np.random.default_rng(0)
    assert rank_correlation([[1, 2]], [[1, 2]], rng) is None
    assert rank_correlation([[1, 2, 3, 4]], [[5, 5, 5, 5]], rng) is None
    with pytest.raises(ValueError, match="finite"):
        rank_correlation([[1, 2, 3, math.nan]], [[1, 2, 3, 4]], rng)
    with pytest.raises(ValueError, match="other"):
        rank_correlation([[1, 2, 3, 4]], [[1, 2, 3]], rng)


def test_encoders_that_see_the_same_images_are_no_evidence_of_their_own() -> None:
    """Six encoders that agree on eight generators, and no relation: p ≤ .05 in .05 at most."""
    rng = np.random.default_rng(3)
    count, rejected = 400, 0
    for _ in range(count):
        x, y = (rng.normal(size=8) + 0.1 * rng.normal(size=(6, 8)) for _ in range(2))
        found = rank_correlation(x, y, rng)
        rejected += found is not None and found.p is not None and found.p <= 0.05
    assert rejected / count <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)
