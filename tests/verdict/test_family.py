"""Intervals and verdicts: closed forms, identities, and the error rate that is claimed."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from xprobe.verdict.family import (
    ALPHA,
    DRAWS,
    Comparison,
    Family,
    compare,
    compare_classes,
    difference_of,
    holm,
    interval,
    mcnemar,
)

S, R, N = 3, 4, 120
RNG = np.random.default_rng(0)
REAL = RNG.random((R, N)) < 0.7
HIT = RNG.random((S, R, N)) < np.array([0.65, 0.7, 0.9])[:, None, None]
ALONE = np.arange(N)  # Every image is its own group.
SCENES = np.arange(N) // 4


def family(
    real: np.ndarray = REAL, hit: np.ndarray = HIT, group: np.ndarray = ALONE, seed: int = 0,
    draws: int = 2000, **options: Any,
) -> Family:  # fmt: skip
    return compare(real, hit, group, np.random.default_rng(seed), draws=draws, **options)


def column(outcome: Family, name: str) -> np.ndarray:
    return np.array([getattr(c, name) for c in outcome.comparisons])


# --- the standard error --------------------------------------------------------------------


def variance_by_loop(d: np.ndarray, group: np.ndarray) -> float:
    """V = G/(G−1)·ΣU_g²/N² + 1/(N·G), as PROTOCOL.md has it."""
    delta, n, groups = d.mean(), len(d), sorted(set(group.tolist()))
    total = 0.0
    for g in groups:
        total += sum(d[i] - delta for i in range(n) if group[i] == g) ** 2
    return len(groups) / (len(groups) - 1) * total / n**2 + 1 / (n * len(groups))


@pytest.mark.parametrize("group", [ALONE, SCENES, RNG.integers(0, 30, N)])
def test_difference_and_standard_error_are_those_of_the_protocol(group: np.ndarray) -> None:
    outcome = family(group=group)
    for s, comparison in enumerate(outcome.comparisons):
        d = np.array([np.mean([int(HIT[s, r, i]) - int(REAL[r, i]) for r in range(R)])
                      for i in range(N)])  # fmt: skip
        assert_allclose(comparison.difference, d.mean(), atol=1e-15)
        assert_allclose(comparison.se, np.sqrt(variance_by_loop(d, group)), rtol=1e-12)
        assert_allclose(comparison.high - comparison.difference, outcome.critical * comparison.se)
        assert_allclose(comparison.difference - comparison.low, outcome.critical * comparison.se)
        assert_allclose(comparison.detectable, (outcome.critical + 0.84) * comparison.se)
    assert outcome.df == len(set(group.tolist())) - 1


def test_of_single_images_the_variance_is_that_of_a_mean_and_the_floor() -> None:
    d = (HIT.astype(float) - REAL).mean(axis=1)
    expected = d.var(axis=1, ddof=1) / N + 1 / N**2
    assert_allclose(column(family(), "se") ** 2, expected, rtol=1e-12)


def test_clusters_of_equal_images_count_once() -> None:
    """Every image stands four times in a scene, so that scenes alone count, but for the floor."""
    once, real = HIT[..., :30], REAL[:, :30]
    few = column(family(real, once, np.arange(30)), "se") ** 2 - 1 / 30**2
    repeated = family(real.repeat(4, 1), once.repeat(4, 2), SCENES)
    assert_allclose(column(repeated, "se") ** 2 - 1 / (N * 30), few, rtol=1e-9)


def test_positively_correlated_clusters_widen_the_interval() -> None:
    scene = RNG.normal(size=30).repeat(4)
    hit = RNG.normal(size=(1, R, N)) < scene + 0.5
    apart, together = (family(hit=hit, group=g).comparisons[0] for g in (ALONE, SCENES))
    assert together.difference == apart.difference
    assert together.se > 1.2 * apart.se
    assert together.high - together.low > apart.high - apart.low


def test_the_names_of_the_groups_do_not_matter() -> None:
    renamed = RNG.permutation(30)[SCENES] * 7 + 3
    one, other = family(group=SCENES), family(group=renamed)
    assert_allclose(column(one, "se"), column(other, "se"), rtol=1e-12)


def test_one_group_is_no_sample() -> None:
    with pytest.raises(ValueError, match="two or more groups"):
        family(group=np.zeros(N, dtype=int))


# --- identities ----------------------------------------------------------------------------


@pytest.mark.parametrize("group", [ALONE, SCENES])
def test_identical_settings_differ_by_exactly_nothing(group: np.ndarray) -> None:
    for comparison in family(hit=np.stack([REAL] * S), group=group).comparisons:
        assert comparison.difference == 0
        assert 0 < comparison.high < 0.2
        assert comparison.low == -comparison.high
        assert comparison.p_adjusted == 1
        assert comparison.verdict == "no detectable difference"


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
    forth = family(hit=HIT[2:], group=SCENES, margin=0.1)
    back = family(HIT[2], REAL[None], SCENES, margin=0.1)
    one, other = forth.comparisons[0], back.comparisons[0]
    assert one == Comparison(
        -other.difference, other.se, -other.high, -other.low, other.p_adjusted,
        {"helps": "hurts", "hurts": "helps"}.get(other.verdict, other.verdict), other.detectable,
    )  # fmt: skip
    assert one.verdict == "helps"


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
    outcome = family(real, hit, rng.integers(0, n // 2, n), draws=draws, margin=margin, model=model)
    for c in outcome.comparisons:
        significant = c.p_adjusted <= ALPHA
        assert significant == (c.low > 0 or c.high < 0)
        assert significant == (c.verdict in ("helps", "hurts"))
        assert (c.verdict == "helps") == (c.low > 0)
        assert (c.verdict == "hurts") == (c.high < 0)
        assert 0 < c.p_adjusted <= 1
        if c.verdict.startswith("equivalent"):
            assert margin is not None
            assert abs(c.difference) < margin


def test_a_margin_turns_a_narrow_interval_into_equivalence() -> None:
    wide = family().comparisons[1]
    assert wide.verdict == "no detectable difference"
    assert family(margin=0.3).comparisons[1].verdict == "equivalent within ±30 points"
    assert family(margin=wide.high / 2).comparisons[1].verdict == "no detectable difference"
    assert family(margin=0.9).comparisons[2].verdict == "helps"


def test_equivalence_is_the_90_percent_interval_within_the_margin() -> None:
    """The 90 % interval of a single comparison is difference ± t(.95)·se."""
    outcome = family(hit=HIT[1:2], draws=200_000)
    c = outcome.comparisons[0]
    edge = abs(c.difference) + stats.t.ppf(0.95, outcome.df) * c.se
    for margin, equal in ((edge * 1.01, True), (edge * 0.99, False)):
        verdict = family(hit=HIT[1:2], draws=200_000, margin=margin).comparisons[0].verdict
        assert verdict.startswith("equivalent") == equal


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


# --- stochastic fits -----------------------------------------------------------------------

MODEL = (np.arange(R)[:, None] * 5 + ALONE % 5).astype(int)  # Every repeat has five folds.


def test_models_that_do_not_vary_add_nothing() -> None:
    """Each image is right or wrong in every repeat, and each fold holds the same mixture."""
    per_fold = np.arange(N) // 5 % 2 == 0
    hit = np.broadcast_to(per_fold, (1, R, N))
    real = np.broadcast_to(np.arange(N) // 5 % 3 == 0, (R, N))
    without, with_model = family(real, hit), family(real, hit, model=MODEL)
    assert with_model.comparisons[0].se == without.comparisons[0].se
    assert with_model.df == without.df


def test_seed_noise_widens_and_costs_degrees_of_freedom() -> None:
    luck = RNG.normal(0, 0.8, 20)[MODEL]
    hit = RNG.normal(size=(1, R, N)) < 0.5 + luck
    without, with_model = family(hit=hit), family(hit=hit, model=MODEL)
    assert with_model.comparisons[0].se > 1.1 * without.comparisons[0].se
    assert with_model.df < without.df
    assert with_model.comparisons[0].difference == without.comparisons[0].difference


@pytest.mark.parametrize("group", [ALONE, SCENES])
def test_the_model_component_is_that_of_the_protocol(group: np.ndarray) -> None:
    luck = RNG.normal(0, 0.8, 20)[MODEL]
    hit = RNG.normal(size=(2, R, N)) < 0.5 + luck
    outcome = family(hit=hit, group=group, model=MODEL)
    dfs = []
    for s in range(2):
        per = hit[s].astype(float) - REAL
        base = variance_by_loop(per.mean(axis=0), group)
        residual, J, G = per - per.mean(), 20, len(set(group.tolist()))
        scale = J / (J - 1) / (R * N) ** 2
        v_model = scale * sum(residual[m == MODEL].sum() ** 2 for m in range(J))
        v_cell = scale * sum(
            residual[(m == MODEL) & (group == g)].sum() ** 2 for m in range(J) for g in set(group)
        )
        extra = max(0.0, v_model - v_cell)
        assert_allclose(outcome.comparisons[s].se ** 2, base + extra, rtol=1e-12)
        dfs.append((base + extra) ** 2 / (base**2 / (G - 1) + extra**2 / (J - 1)))
    assert_allclose(outcome.df, min(dfs), rtol=1e-12)


def test_the_numbers_of_the_models_do_not_matter() -> None:
    renamed = RNG.permutation(20)[MODEL] * 3 + 1
    hit = RNG.normal(size=(1, R, N)) < 0.5 + RNG.normal(0, 0.8, 20)[MODEL]
    one, other = (family(hit=hit, model=model) for model in (MODEL, renamed))
    assert_allclose(column(one, "se"), column(other, "se"), rtol=1e-12)
    assert_allclose(one.df, other.df, rtol=1e-12)


# --- one accuracy --------------------------------------------------------------------------


def test_the_interval_of_an_accuracy_is_students_on_the_groups() -> None:
    for group in (ALONE, SCENES):
        per_image = REAL.mean(axis=0)
        value, low, high = interval(REAL, group)
        half = stats.t.ppf(0.975, len(set(group.tolist())) - 1) * np.sqrt(
            variance_by_loop(per_image, group)
        )
        assert_allclose((value, low, high), (REAL.mean(), value - half, value + half), rtol=1e-12)


@pytest.mark.parametrize("right", [True, False])
def test_the_interval_of_a_perfect_accuracy_has_a_width_and_does_not_go_below_0(
    right: bool,
) -> None:
    """The caller cuts the upper end, which may exceed 1."""
    value, low, high = interval(np.full((R, N), right), ALONE)
    half = stats.t.ppf(0.975, N - 1) / N  # Only the variance floor is left.
    assert value == right
    assert_allclose((low, high), (max(0, value - half), value + half), rtol=1e-12)
    assert 0 <= low < high


@pytest.mark.parametrize("group", [ALONE, SCENES])
def test_the_interval_of_real_values_is_not_cut_at_1(group: np.ndarray) -> None:
    loss = RNG.exponential(1.5, (R, N))
    value, low, high = interval(loss, group)
    half = stats.t.ppf(0.975, len(set(group.tolist())) - 1) * np.sqrt(
        variance_by_loop(loss.mean(axis=0), group)
    )
    assert_allclose((value, low, high), (loss.mean(), value - half, value + half), rtol=1e-12)
    assert high > 1


# --- what stands beside --------------------------------------------------------------------

LOSS = RNG.exponential(1, (2, R, N))


@pytest.mark.parametrize("group", [ALONE, SCENES])
def test_the_difference_of_two_means_is_paired_by_image(group: np.ndarray) -> None:
    d = (LOSS[1] - LOSS[0]).mean(axis=0)
    half = 2.5 * np.sqrt(variance_by_loop(d, group))
    expected = (d.mean(), d.mean() - half, d.mean() + half)
    assert_allclose(difference_of(LOSS[0], LOSS[1], group, 2.5), expected, rtol=1e-12)


@pytest.mark.parametrize("group", [ALONE, SCENES])
def test_the_difference_of_hits_is_that_of_the_family(group: np.ndarray) -> None:
    outcome = family(group=group)
    for s, c in enumerate(outcome.comparisons):
        beside = difference_of(REAL.astype(float), HIT[s].astype(float), group, outcome.critical)
        assert_allclose(beside, (c.difference, c.low, c.high), rtol=1e-12, atol=1e-15)


def test_a_difference_has_the_opposite_sign_the_other_way_round() -> None:
    mean, low, high = difference_of(LOSS[0], LOSS[1], SCENES, 2.0)
    assert difference_of(LOSS[1], LOSS[0], SCENES, 2.0) == (-mean, -high, -low)
    assert difference_of(LOSS[0], LOSS[0], ALONE, 2.0) == pytest.approx((0, -2 / N, 2 / N))


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
        se = np.sqrt(variance_by_loop(d, group[rows_of_class]))
        df = len(set(group[rows_of_class].tolist())) - 1
        half = stats.t.ppf(1 - 0.05 / 2 / 9, df) * se
        assert_allclose(one.difference, d.mean(), atol=1e-15)
        assert_allclose((one.low, one.high), (d.mean() - half, d.mean() + half), rtol=1e-12)
        assert (one.n_test, one.n_groups) == (len(rows_of_class), df + 1)
        p.append(2 * stats.t.sf(abs(d.mean()) / se, df))
    assert_allclose([one.p_adjusted for one in outcome.values()], holm(p), rtol=1e-12)


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
def test_the_verdict_of_a_class_follows_its_p_and_holds_where_its_interval_excludes_0(
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
        assert significant or one.low <= 0 <= one.high  # Holm finds no less than Bonferroni


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


# --- several families ----------------------------------------------------------------------


def test_holm_is_the_example_worked_by_hand() -> None:
    # In ascending order .005·4, .01·3, .03·2, .04·1 give .02, .03, .06, .06: they never fall.
    assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_p_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a <= b <= min(1, len(p) * a) + 1e-15 for a, b in zip(p, adjusted, strict=True))
    assert min(adjusted) == min(1, len(p) * min(p))
    assert_array_equal(np.array(adjusted)[np.argsort(p)], np.sort(adjusted))
    assert holm(p[:1]) == p[:1]


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
        wrong += any(c.verdict in ("helps", "hurts") for c in outcome.comparisons)
    assert wrong / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong > 0


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
