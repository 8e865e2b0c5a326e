"""Intervals and verdicts: closed forms, identities, and the error rate that is claimed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import random_hits
from numpy.testing import assert_allclose
from scipy import stats

from xprobe.verdict.errors import means
from xprobe.verdict.family import ALPHA, POWER, Comparison, Family, Judgement, compare, judge
from xprobe.verdict.joint import DRAWS

S, R, N = 3, 4, 120
RNG, REAL, HIT = random_hits(S, R, N)
ALONE = np.arange(N)  # Every image is its own group.
SCENES = np.arange(N) // 4


def family(
    real: np.ndarray = REAL, hit: np.ndarray = HIT, group: np.ndarray = ALONE, seed: int = 0,
    draws: int = 2000, **options: Any,
) -> Family:  # fmt: skip
    return compare(real, hit, group, np.random.default_rng(seed), draws=draws, **options)


def column(outcome: Family, name: str) -> np.ndarray:
    return np.array([getattr(c, name) for c in outcome.comparisons])


def judged(outcome: Family, margin: float | None = None) -> list[Judgement]:
    return [judge(comparison, None, margin) for comparison in outcome.comparisons]


@pytest.mark.parametrize("group", [ALONE, SCENES, RNG.integers(0, 30, N)])
def test_intervals_have_the_standard_errors_of_the_means(group: np.ndarray) -> None:
    outcome = family(group=group)
    for s, comparison in enumerate(outcome.comparisons):
        estimates = means((HIT[s].astype(float) - REAL).mean(axis=0)[None], group)
        half = stats.t.isf(outcome.level / 2, estimates.df[0]) * estimates.se[0]
        assert_allclose(comparison.se, estimates.se[0], rtol=1e-12)
        assert_allclose(comparison.high - comparison.difference, half)
        assert_allclose(comparison.difference - comparison.low, half)
        assert comparison.low < comparison.low_90 < comparison.high_90 < comparison.high
    assert outcome.df == len(set(group.tolist())) - 1


@pytest.mark.parametrize("df", [3, 5, 59, 5999])
def test_the_detectable_difference_is_found_as_often_as_it_says(df: int) -> None:
    n = df + 1
    hit = np.arange(n) % 3 == 0
    comparison = family(np.zeros((1, n), dtype=bool), hit[None, None], np.arange(n)).comparisons[0]
    critical = (comparison.high - comparison.difference) / comparison.se
    shift = comparison.detectable / comparison.se
    found = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    assert found == pytest.approx(POWER, abs=1e-5)


def test_positively_correlated_clusters_widen_the_interval() -> None:
    scene = RNG.normal(size=30).repeat(4)
    hit = RNG.normal(size=(1, R, N)) < scene + 0.5
    apart, together = (family(hit=hit, group=g).comparisons[0] for g in (ALONE, SCENES))
    assert together.difference == apart.difference
    assert together.se > 1.2 * apart.se
    assert together.high - together.low > apart.high - apart.low


# --- identities ----------------------------------------------------------------------------


@pytest.mark.parametrize("group", [ALONE, SCENES])
def test_identical_settings_differ_by_exactly_nothing(group: np.ndarray) -> None:
    for comparison in family(hit=np.stack([REAL] * S), group=group).comparisons:
        assert comparison.difference == 0
        assert 0 < comparison.high < 0.2
        assert comparison.low == -comparison.high
        assert comparison.p_adjusted == 1
        assert judge(comparison, None).verdict == "no detectable difference"


def test_one_identical_setting_leaves_the_others_finite() -> None:
    outcome = family(hit=np.concatenate([REAL[None], HIT]))
    assert outcome.comparisons[0].difference == 0
    assert np.isfinite([column(outcome, n) for n in ("se", "low", "high", "p_adjusted")]).all()


@given(st.permutations(range(5)), st.integers(0, 9))
@settings(max_examples=30)
def test_the_order_of_the_settings_changes_nothing(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    hit = rng.random((5, R, N)) < 0.7
    hit[3] = hit[1]  # Two settings are alike.
    one, other = family(hit=hit), family(hit=hit[order])
    assert [one.comparisons[s] for s in order] == list(other.comparisons)
    assert one.critical == other.critical


def test_the_order_of_settings_with_equal_t_changes_nothing() -> None:
    """Two settings have one error each; only what they share with the third one differs."""
    real = np.ones((1, N), dtype=bool)
    hit = np.ones((3, 1, N), dtype=bool)
    hit[0, 0, 0] = hit[1, 0, 1] = hit[2, 0, 1:4] = False
    one, other = family(real, hit), family(real, hit[[1, 0, 2]])
    assert column(one, "se")[0] == column(one, "se")[1]
    assert one.critical == other.critical
    assert column(one, "p_adjusted").tolist() == column(other, "p_adjusted")[[1, 0, 2]].tolist()


def test_the_order_of_two_pairs_of_like_settings_changes_nothing() -> None:
    """Two pairs of settings share one error within the pair and none with the other pair."""
    real = np.ones((1, N), dtype=bool)
    hit = np.ones((4, 1, N), dtype=bool)
    for s, wrong in enumerate([(0, 1), (1, 2), (10, 11), (11, 12)]):
        hit[s, 0, wrong] = False
    one, other = family(real, hit), family(real, hit[[0, 2, 1, 3]])
    assert one.critical == other.critical


def test_exchanging_the_two_sides_flips_the_sign_exactly() -> None:
    forth, back = family(hit=HIT[2:], group=SCENES), family(HIT[2], REAL[None], SCENES)
    one, other = forth.comparisons[0], back.comparisons[0]
    assert one == Comparison(
        -other.difference, other.se, other.df, -other.high, -other.low, -other.high_90,
        -other.low_90, other.p_adjusted, other.detectable,
    )  # fmt: skip
    assert (judge(one).verdict, judge(other).verdict) == ("helps", "hurts")


def test_the_generator_decides() -> None:
    assert family(seed=1) == family(seed=1)
    assert family(seed=1).critical != family(seed=2).critical


# --- verdict, p-value and interval ---------------------------------------------------------


@given(
    seed=st.integers(0, 10_000),
    n=st.sampled_from([8, 20, 60, 200]),
    settings_=st.integers(1, 5),
    shift=st.floats(-0.35, 0.35),
    margin=st.none() | st.floats(0.01, 0.5),
    draws=st.sampled_from([19, 39, 99, 2000]),
    stochastic=st.booleans(),
)
@settings(max_examples=200)
def test_verdict_p_value_and_interval_never_disagree(
    seed: int, n: int, settings_: int, shift: float, margin: float | None, draws: int,
    stochastic: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    skill = rng.normal(size=n)
    real = rng.normal(size=(2, n)) * 0.5 < skill + 0.5
    hit = rng.normal(size=(settings_, 2, n)) * 0.5 < skill + 0.5 + shift
    model = np.arange(2 * n).reshape(2, n) % 4 if stochastic else None
    outcome = family(real, hit, rng.integers(0, n // 2, n), draws=draws, model=model)
    for c in judged(outcome, margin):
        significant = c.p_adjusted <= ALPHA
        assert significant == (c.low > 0 or c.high < 0)
        assert significant == (c.verdict in ("helps", "hurts"))
        assert (c.verdict == "helps") == (c.low > 0)
        assert (c.verdict == "hurts") == (c.high < 0)
        assert 0 < c.p_adjusted <= 1
        if c.verdict.startswith("equivalent"):
            assert margin is not None and c.within_margin


def test_a_margin_turns_a_narrow_interval_into_equivalence() -> None:
    outcome = family()
    wide = outcome.comparisons[1]
    assert judged(outcome)[1].verdict == "no detectable difference"
    assert judged(outcome, 0.3)[1].verdict == "equivalent within ±30 points"
    assert judged(outcome, wide.high / 2)[1].verdict == "no detectable difference"


def test_a_certain_difference_inside_the_margin_keeps_its_word_and_says_so() -> None:
    outcome = family()
    inside, outside, without = (judged(outcome, margin)[2] for margin in (0.9, 0.1, None))
    assert (inside.verdict, inside.within_margin) == ("helps", True)
    assert (outside.verdict, outside.within_margin) == ("helps", False)
    assert without.within_margin is None


def test_equivalence_is_the_90_percent_interval_within_the_margin() -> None:
    """The 90 % interval of a single comparison is difference ± t(.95)·se."""
    outcome = family(hit=HIT[1:2], draws=200_000)
    c = outcome.comparisons[0]
    edge = abs(c.difference) + stats.t.ppf(0.95, outcome.df) * c.se
    for margin, equal in ((edge * 1.01, True), (edge * 0.99, False)):
        assert judge(c, None, margin).verdict.startswith("equivalent") == equal


# --- controls ------------------------------------------------------------------------------


def certain(difference: float, half: float, p: float) -> Comparison:
    low, high = difference - half, difference + half
    return Comparison(
        difference, half / 2, 50, low, high, low + half / 6, high - half / 6, p, 2 * half
    )


@pytest.mark.parametrize(
    ("against_real", "against_control", "word"),
    [
        ((0.06, 0.02, 0.001), (0.05, 0.02, 0.002), "helps"),
        ((0.06, 0.02, 0.001), (0.01, 0.02, 0.4), "no detectable difference"),
        ((-0.06, 0.02, 0.001), (-0.05, 0.02, 0.002), "hurts"),
        ((-0.06, 0.02, 0.001), (-0.01, 0.02, 0.4), "no detectable difference"),
        ((-0.06, 0.02, 0.001), (0.074, 0.02, 0.001), "not separable from training longer"),
        ((0.06, 0.02, 0.001), (-0.05, 0.02, 0.002), "not separable from training longer"),
        ((0.001, 0.02, 0.9), (-0.066, 0.02, 0.001), "no detectable difference"),
        ((0.001, 0.02, 0.9), (-0.002, 0.02, 0.8), "equivalent within ±3 points"),
    ],
)
def test_a_word_needs_both_comparisons(
    against_real: tuple[float, ...], against_control: tuple[float, ...], word: str
) -> None:
    judgement = judge(certain(*against_real), certain(*against_control), 0.03)
    assert judgement.verdict == word
    assert (judgement.low > 0 or judgement.high < 0) == (word in ("helps", "hurts"))
    assert (judgement.p_adjusted <= ALPHA) == (word in ("helps", "hurts"))
    assert judgement.low <= min(d - h for d, h, _ in (against_real, against_control))
    assert judgement.high >= max(d + h for d, h, _ in (against_real, against_control))


@given(seed=st.integers(0, 10_000), shift=st.floats(-0.3, 0.3), other=st.floats(-0.3, 0.3))
@settings(max_examples=100)
def test_with_a_control_word_p_and_interval_never_disagree(
    seed: int, shift: float, other: float
) -> None:
    rng = np.random.default_rng(seed)
    skill, n = rng.normal(size=60), 60
    real, control, hit = (
        rng.normal(size=(1, 2, n)) * 0.5 < skill + 0.5 + by for by in (0, other, shift)
    )
    model = np.arange(2 * n).reshape(2, n) % 4
    one = family(real[0], hit, np.arange(n), model=model).comparisons[0]
    two = family(control, hit, np.arange(n), model=model).comparisons[0]
    judgement = judge(one, two)
    significant = judgement.verdict in ("helps", "hurts")
    assert significant == (judgement.p_adjusted <= ALPHA)
    assert significant == (judgement.low > 0 or judgement.high < 0)


# --- the multivariate t --------------------------------------------------------------------


def quantile_error(level: float, density: float, draws: int) -> float:
    """Return four standard errors of an empirical quantile."""
    return float(4 * np.sqrt(level * (1 - level) / draws) / density)


@pytest.mark.parametrize("n", [6, 30, 120])
def test_the_critical_value_of_one_comparison_is_students(n: int) -> None:
    outcome = family(REAL[:, :n], HIT[1:2, :, :n], np.arange(n), draws=DRAWS)
    expected = stats.t.ppf(0.975, n - 1)
    error = quantile_error(0.95, 2 * stats.t.pdf(expected, n - 1), DRAWS)
    assert abs(outcome.critical - expected) < error


def test_the_p_value_of_one_comparison_is_students() -> None:
    for s in range(S):
        c = family(hit=HIT[s : s + 1], draws=DRAWS).comparisons[0]
        expected = 2 * stats.t.sf(abs(c.difference) / c.se, N - 1)
        error = 4 * np.sqrt(expected * (1 - expected) / DRAWS) + 2 / DRAWS
        assert abs(c.p_adjusted - expected) < error


def test_the_critical_value_of_independent_comparisons_is_sidaks() -> None:
    """The settings differ on disjoint images; with many images t is almost normal."""
    n = 4000
    hit = np.zeros((4, 1, n), dtype=bool)
    real = np.zeros((1, n), dtype=bool)
    for s in range(4):
        hit[s, 0, s * 1000 : s * 1000 + 500] = True
    d = hit[:, 0].astype(float)
    correlation = np.corrcoef(d)[0, 1]
    assert abs(correlation) < 0.15
    outcome = family(real, hit, np.arange(n), draws=DRAWS)
    level = 0.95 ** (1 / 4)
    expected = stats.t.ppf((1 + level) / 2, n - 1)
    density = 4 * level**3 * 2 * stats.norm.pdf(expected)
    slack = 0.01  # The correlations are −1/7 and not 0.
    assert abs(outcome.critical - expected) < quantile_error(0.95, density, DRAWS) + slack


def test_correlated_comparisons_miss_together_in_one_of_twenty() -> None:
    """The multivariate t distribution within the critical values has 95 %, by integration."""
    hit = REAL ^ (RNG.random((1, R, N)) < 0.2) ^ (RNG.random((4, R, N)) < 0.05)
    d = (hit.astype(float) - REAL).mean(axis=1)
    covariance = np.cov(d) / N
    scale = np.sqrt(np.diag(covariance) + 1 / N**2)
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1)
    outcome = family(hit=hit, draws=100_000)
    box = np.full(4, outcome.critical)
    inside = stats.multivariate_t(shape=correlation, df=N - 1, seed=0).cdf(
        box, lower_limit=-box, random_state=0
    )
    assert 0.4 < correlation[0, 1] < 0.9
    assert abs(inside - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 100_000)


def test_a_family_of_copies_costs_nothing() -> None:
    """With many images the variance floor vanishes, and copies have a correlation of 1."""
    n = 100_000
    rng = np.random.default_rng(0)
    real, hit = rng.random((2, 1, n)) < 0.7
    one, many = (compare(real, np.stack([hit] * s), np.arange(n), rng, draws=DRAWS) for s in (1, 6))
    error = quantile_error(0.95, 2 * stats.norm.pdf(one.critical), DRAWS)
    assert abs(one.critical - many.critical) < np.sqrt(2) * error


def test_a_larger_family_has_wider_intervals() -> None:
    assert family(draws=DRAWS).critical > family(hit=HIT[:1], draws=DRAWS).critical + 0.1


# --- the claim -----------------------------------------------------------------------------


@pytest.mark.parametrize("scenes", [False, True])
def test_under_a_null_a_family_errs_in_at_most_one_of_twenty(scenes: bool) -> None:
    """Four settings share effects; of 400 studies at most 5 % + 3 Monte-Carlo errors err."""
    studies, n = 400, 180
    rng = np.random.default_rng(3)
    group = np.arange(n) // (6 if scenes else 1)
    wrong = 0
    for _ in range(studies):
        skill = rng.normal(0.7, 1, n)
        luck = rng.normal(0, 0.5, (5, group[-1] + 1))  # Each setting has luck with a scene.
        luck[1:] += rng.normal(0, 0.4, group[-1] + 1)  # The mixes share luck.
        luck[0] += rng.normal(0, 0.4, group[-1] + 1)
        hit = skill + luck[:, None, group] + rng.normal(0, 0.5, (5, 3, n)) > 0
        outcome = compare(hit[0], hit[1:], group, rng, draws=1000)
        wrong += any(c.p_adjusted <= ALPHA for c in outcome.comparisons)
    assert wrong / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong > 0
