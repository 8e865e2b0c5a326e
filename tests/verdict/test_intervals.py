"""Intervals beside the verdict: closed forms, and that words and intervals agree."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import random_hits
from numpy.testing import assert_allclose
from scipy import stats

from xprobe.verdict.errors import means
from xprobe.verdict.family import ALPHA
from xprobe.verdict.intervals import compare_classes, mcnemar, mean_interval, share_interval

S, R, N = 3, 4, 120
RNG, REAL, HIT = random_hits(S, R, N)
ALONE = np.arange(N)  # Every image is its own group.
SCENES = np.arange(N) // 4


def variance_of(d: np.ndarray, group: np.ndarray) -> float:
    return float(means(d[None], group).variance[0])


# --- shares --------------------------------------------------------------------------------


@pytest.mark.parametrize("right", [0, 1, 37, 119, 120])
def test_the_interval_of_independent_hits_is_wilsons(right: int) -> None:
    """Up to the quantile, which is Student's, and the images, which are one fewer in V."""
    hit = (np.arange(N) < right).astype(float)
    p, low, high = share_interval(hit, ALONE)
    z, n = stats.t.ppf(0.975, N - 1), N if right in (0, N) else N - 1
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert p == right / N
    assert_allclose((low, high), (max(0, centre - half), min(1, centre + half)), rtol=1e-12)
    assert 0 <= low <= p <= high <= 1
    assert low < high


def test_scenes_of_equal_images_count_once() -> None:
    once = RNG.random(30) < 0.7
    apart = share_interval(once.astype(float), np.arange(30))
    together = share_interval(once.repeat(4).astype(float), np.arange(N) // 4)
    assert_allclose(together, apart, rtol=1e-9)


def test_repeats_that_disagree_narrow_the_interval() -> None:
    half = np.full(N, 0.5)
    half[::2] += 0.01
    p, low, high = share_interval(half, ALONE)
    assert high - low == pytest.approx(2 * stats.norm.ppf(0.975) * np.sqrt(0.25 / N), rel=0.05)
    assert p == pytest.approx(0.505)


def test_a_share_over_groups_is_the_mean_of_theirs() -> None:
    group = np.repeat(np.arange(3), [100, 10, 10])
    hit = (group > 0).astype(float)
    assert share_interval(hit, group, by_group=True)[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("n", "p"), [(60, 0.967), (300, 0.99), (180, 1.0)])
def test_the_interval_of_a_high_accuracy_holds_it(n: int, p: float) -> None:
    """An interval of p ± t·se misses in 13 to 14 of a hundred such cases."""
    counts = np.arange(n + 1)
    chance = stats.binom.pmf(counts, n, p)
    missed = 0.0
    for k, weight in zip(counts, chance, strict=True):
        if weight > 1e-9:
            _, low, high = share_interval((np.arange(n) < k).astype(float), np.arange(n))
            missed += weight * (not low <= p <= high)
    assert missed <= 0.075


# --- means ---------------------------------------------------------------------------------

LOSS = RNG.exponential(1, (2, N))


@pytest.mark.parametrize("group", [ALONE, SCENES])
def test_the_interval_of_a_mean_is_students(group: np.ndarray) -> None:
    d = LOSS[1] - LOSS[0]
    mean, low, high = mean_interval(d, group, level=0.01)
    df = means(d[None], group).df[0]
    half = stats.t.ppf(0.995, df) * np.sqrt(variance_of(d, group))
    assert_allclose((mean, low, high), (d.mean(), d.mean() - half, d.mean() + half), rtol=1e-12)


def test_a_difference_has_the_opposite_sign_the_other_way_round() -> None:
    mean, low, high = mean_interval(LOSS[1] - LOSS[0], SCENES)
    assert mean_interval(LOSS[0] - LOSS[1], SCENES) == (-mean, -high, -low)


# --- classes -------------------------------------------------------------------------------

CLASS = np.arange(N) % 3
ONE_SCENE = np.where(CLASS == 2, 1000, SCENES)  # All of class 2 is one scene.


@pytest.mark.parametrize("group", [ALONE, SCENES, np.arange(N) // 12])
def test_recall_is_compared_with_the_standard_error_of_the_class(group: np.ndarray) -> None:
    outcome = compare_classes(REAL, HIT, CLASS, group)
    assert list(outcome) == [(s, c) for s in range(S) for c in range(3)]
    p = []
    for (s, c), one in outcome.items():
        rows_of_class = [i for i in range(N) if CLASS[i] == c]
        d = np.array([np.mean([int(HIT[s, r, i]) - int(REAL[r, i]) for r in range(R)])
                      for i in rows_of_class])  # fmt: skip
        se = np.sqrt(variance_of(d, group[rows_of_class]))
        df = means(d[None], group[rows_of_class]).df[0]
        half = stats.t.ppf(1 - 0.05 / 2 / 9, df) * se
        assert_allclose(one.difference, d.mean(), atol=1e-15)
        assert_allclose((one.low, one.high), (d.mean() - half, d.mean() + half), rtol=1e-12)
        assert (one.n_test, one.n_groups) == (
            len(rows_of_class),
            len(set(group[rows_of_class].tolist())),
        )
        p.append(2 * stats.t.sf(abs(d.mean()) / se, df))
    adjusted = [min(1, 9 * value) for value in p]
    assert_allclose([one.p_adjusted for one in outcome.values()], adjusted, rtol=1e-12)


def test_a_class_of_a_single_group_has_no_comparison_and_costs_the_others_nothing() -> None:
    outcome = compare_classes(REAL, HIT, CLASS, ONE_SCENE)
    assert list(outcome) == [(s, c) for s in range(S) for c in range(2)]
    rest = CLASS < 2
    assert outcome == compare_classes(REAL[:, rest], HIT[..., rest], CLASS[rest], ONE_SCENE[rest])
    assert compare_classes(REAL, HIT, CLASS, CLASS) == {}


def test_what_helps_one_class_is_found_there_alone() -> None:
    better = np.where(CLASS == 1, True, REAL)
    outcome = compare_classes(REAL, np.stack([REAL, better]), CLASS, SCENES)
    assert {place for place, one in outcome.items() if one.verdict == "helps"} == {(1, 1)}
    assert outcome[1, 1].difference == pytest.approx(1 - REAL[:, CLASS == 1].mean())
    assert {one.p_adjusted for place, one in outcome.items() if place != (1, 1)} == {1}


def test_a_class_is_compared_whatever_the_others_do() -> None:
    """Other classes count only in the number of comparisons that Bonferroni divides by."""
    other = HIT.copy()
    other[:, :, CLASS == 1] = False
    one, changed = (compare_classes(REAL, hit, CLASS, SCENES) for hit in (HIT, other))
    for s in range(S):
        assert (one[s, 0].low, one[s, 0].high) == (changed[s, 0].low, changed[s, 0].high)
        assert changed[s, 1].verdict == "hurts"


@given(
    seed=st.integers(0, 10_000), k=st.integers(1, 4), count=st.integers(1, 3),
    shift=st.floats(-0.4, 0.4), scenes=st.booleans(),
)  # fmt: skip
@settings(max_examples=60)
def test_word_p_and_interval_of_a_class_never_disagree(
    seed: int, k: int, count: int, shift: float, scenes: bool
) -> None:
    rng = np.random.default_rng(seed)
    real = rng.random((2, 60)) < 0.5
    hit = rng.random((count, 2, 60)) < 0.5 + shift * rng.random((count, 1, 1))
    group = rng.integers(0, 20, 60) if scenes else np.arange(60)
    for one in compare_classes(real, hit, rng.integers(0, k, 60), group).values():
        significant = one.p_adjusted <= ALPHA
        assert 0 <= one.p_adjusted <= 1
        assert one.low < one.difference < one.high
        assert significant == (one.verdict in ("helps", "hurts"))
        assert not significant or (one.verdict == "helps") == (one.difference > 0)
        assert significant == (one.low > 0 or one.high < 0)


# --- McNemar's test ------------------------------------------------------------------------


def discordant(gained: int, lost: int, both: int = 0, none: int = 0) -> tuple[np.ndarray, ...]:
    """Return hits of real-only and of a setting that gained and lost so many images."""
    pairs = [(0, 1)] * gained + [(1, 0)] * lost + [(1, 1)] * both + [(0, 0)] * none
    real, hit = np.array(pairs, dtype=bool).reshape(-1, 2).T
    return real, hit


@given(
    gained=st.integers(0, 40), lost=st.integers(0, 40), both=st.integers(0, 9),
    none=st.integers(0, 9),
)  # fmt: skip
def test_mcnemars_p_is_that_of_the_coins_that_fell_differently(
    gained: int, lost: int, both: int, none: int
) -> None:
    p = mcnemar(*discordant(gained, lost, both, none))
    n, few = gained + lost, min(gained, lost)
    assert p == pytest.approx(min(1, 2 * sum(comb(n, i) for i in range(few + 1)) / 2**n))
    if n:
        assert p == pytest.approx(stats.binomtest(few, n, 0.5).pvalue)
    assert p == mcnemar(*discordant(lost, gained))
    assert (p == 1) == (abs(gained - lost) <= 1)


@pytest.mark.parametrize(
    ("gained", "lost", "p", "digits"),
    [(11, 1, 26 / 4096, 12), (25, 15, 0.154, 3), (25, 12, 0.047, 3), (121, 59, 4.434e-06, 9)],
)
def test_mcnemars_p_is_that_of_worked_examples(
    gained: int, lost: int, p: float, digits: int
) -> None:
    """The examples are worked by hand, or stand in mlxtend's guide and statsmodels' tests."""
    assert round(mcnemar(*discordant(gained, lost, both=90)), digits) == pytest.approx(p)


# --- the claim -----------------------------------------------------------------------------


def test_under_a_null_classes_and_settings_together_err_in_at_most_one_of_twenty() -> None:
    """Three settings, three classes; of 400 studies at most 5 % + 3 Monte-Carlo errors err."""
    studies, n = 400, 180
    rng = np.random.default_rng(4)
    group = np.arange(n) // 4
    wrong = 0
    for _ in range(studies):
        skill = rng.normal(0.5, 1, n)
        luck = rng.normal(0, 0.5, (4, group[-1] + 1))[:, None, group]
        hit = skill + luck + rng.normal(0, 0.5, (4, 3, n)) > 0
        outcome = compare_classes(hit[0], hit[1:], group % 3, group)
        wrong += any(c.verdict in ("helps", "hurts") for c in outcome.values())
    assert wrong / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong > 0
