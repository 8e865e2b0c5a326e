"""Standard errors: equal to scipy's, and to the formulas by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from makers import random_hits
from numpy.testing import assert_allclose
from scipy import linalg, stats

from xprobe.verdict.errors import cr2_df, mean_differences, means

S, R, N = 3, 4, 120
RNG, REAL, HIT = random_hits(S, R, N)
ALONE = np.arange(N)  # Every image is its own group.
SCENES = np.arange(N) // 4
UNEQUAL = np.repeat(np.arange(7), [60, 20, 15, 10, 8, 5, 2])


def cr2_by_brute_force(d: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Variance and degrees of freedom of a mean, with the matrices written out.

    Bell & McCaffrey (2002): A_g = (I − H_gg)^(−1/2); the degrees of freedom are those of the
    quadratic form Σ (x'A_g e_g)² of independent errors.
    """
    n = len(d)
    H = np.full((n, n), 1 / n)
    residual = (np.eye(n) - H) @ d
    variance, rows = 0.0, []
    for g in np.unique(group):
        inside = np.flatnonzero(group == g)
        A = linalg.inv(linalg.sqrtm(np.eye(len(inside)) - H[np.ix_(inside, inside)])).real
        weight = np.zeros(n)
        weight[inside] = np.ones(len(inside)) @ A / n
        variance += float(weight @ residual) ** 2
        rows.append((np.eye(n) - H).T @ weight)
    form = np.array(rows) @ np.array(rows).T
    return variance, float(np.trace(form) ** 2 / np.trace(form @ form))


def test_of_one_repeat_without_groups_it_is_the_paired_t_of_scipy_and_the_floor() -> None:
    for s in range(S):
        estimates = mean_differences(REAL[:1], HIT[s : s + 1, :1], ALONE)
        paired = stats.ttest_rel(HIT[s, 0].astype(float), REAL[0].astype(float))
        d = HIT[s, 0].astype(float) - REAL[0]
        assert_allclose(estimates.difference[0], d.mean(), rtol=1e-12)
        se2 = (d.mean() / paired.statistic) ** 2
        assert_allclose(estimates.variance[0], se2 + 1 / N**2, rtol=1e-12)
        assert_allclose(estimates.df[0], paired.df, rtol=1e-12)


@pytest.mark.parametrize("group", [ALONE, SCENES, UNEQUAL, RNG.integers(0, 30, N)])
def test_groups_have_the_cr2_variance_and_its_degrees_of_freedom(group: np.ndarray) -> None:
    estimates = mean_differences(REAL, HIT, group)
    for s in range(S):
        d = (HIT[s].astype(float) - REAL).mean(axis=0)
        variance, df = cr2_by_brute_force(d, group)
        assert_allclose(estimates.variance[s], variance + 1 / N**2, rtol=1e-9)
        assert_allclose(estimates.df[s], df, rtol=1e-9)


def test_degrees_of_freedom_are_those_of_equal_groups_or_fewer() -> None:
    assert cr2_df(np.full(12, 30)) == pytest.approx(11)
    assert 1 < cr2_df(np.array([300, *[30] * 11])) < 6


def test_a_mean_over_groups_is_one_of_their_means() -> None:
    estimates = mean_differences(REAL, HIT, UNEQUAL, by_group=True)
    for s in range(S):
        d = (HIT[s].astype(float) - REAL).mean(axis=0)
        by_group = np.array([d[UNEQUAL == g].mean() for g in range(7)])
        harmonic = 7 / sum(1 / (UNEQUAL == g).sum() for g in range(7))
        assert_allclose(estimates.difference[s], by_group.mean(), atol=1e-15)
        expected = by_group.var(ddof=1) / 7 + 1 / (7 * harmonic) ** 2
        assert_allclose(estimates.variance[s], expected, rtol=1e-12)
        assert estimates.df[s] == 6


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("group", [ALONE, SCENES, UNEQUAL])
def test_the_scores_give_the_covariance(group: np.ndarray, by_group: bool) -> None:
    """Of a sum of two settings the variance is what the scores of both say, but for the floor."""
    d = (HIT.astype(float) - REAL).mean(axis=1)
    estimates = means(np.stack([d[0], d[1], d[0] + d[1]]), group, by_group=by_group)
    both = estimates.scores[0] + estimates.scores[1]
    assert_allclose(both, estimates.scores[2], atol=1e-14)
    assert_allclose(np.diag(estimates.correlation), 1)
    assert abs(estimates.correlation).max() <= 1 + 1e-12


def test_clusters_of_equal_images_count_once() -> None:
    """Every image stands four times in a scene, so that scenes alone count, but for the floor."""
    once, real = HIT[..., :30], REAL[:, :30]
    few = mean_differences(real, once, np.arange(30)).variance - 1 / 30**2
    repeated = mean_differences(real.repeat(4, 1), once.repeat(4, 2), SCENES)
    assert_allclose(repeated.variance - 1 / N**2, few, rtol=1e-9)


def test_the_names_of_the_groups_do_not_matter() -> None:
    renamed = RNG.permutation(30)[SCENES] * 7 + 3
    one, other = (mean_differences(REAL, HIT, group) for group in (SCENES, renamed))
    assert_allclose(one.se, other.se, rtol=1e-12)


@pytest.mark.parametrize("by_group", [False, True])
def test_one_group_is_no_sample(by_group: bool) -> None:
    with pytest.raises(ValueError, match="two or more groups"):
        mean_differences(REAL, HIT, np.zeros(N, dtype=int), by_group=by_group)


# --- stochastic fits -----------------------------------------------------------------------

MODEL = (np.arange(R)[:, None] * 5 + ALONE % 5).astype(int)  # Every repeat has five folds.
SEEDS = np.repeat(np.arange(R)[:, None], N, axis=1)  # Every repeat is one model of all images.


def lucky(model: np.ndarray, count: int = 1) -> np.ndarray:
    """Return hits (count, R, N) whose models have luck."""
    rng = np.random.default_rng(8)
    luck = rng.normal(0, 0.8, (count, int(model.max()) + 1))
    return rng.normal(size=(count, R, N)) < 0.5 + luck[:, model]


def test_models_that_do_not_vary_add_nothing() -> None:
    """Each image is right or wrong in every repeat, and each fold holds the same mixture."""
    per_fold = np.arange(N) // 5 % 2 == 0
    hit = np.broadcast_to(per_fold, (1, R, N))
    real = np.broadcast_to(np.arange(N) // 5 % 3 == 0, (R, N))
    for model in (MODEL, SEEDS):
        alone, modelled = (mean_differences(real, hit, ALONE, model=m) for m in (None, model))
        assert modelled.se == alone.se
        assert modelled.df == alone.df


@pytest.mark.parametrize("model", [MODEL, SEEDS])
def test_seed_noise_widens_and_costs_degrees_of_freedom(model: np.ndarray) -> None:
    hit = lucky(model)
    alone, modelled = (mean_differences(REAL, hit, ALONE, model=m) for m in (None, model))
    assert modelled.se > 1.1 * alone.se
    assert modelled.df < alone.df
    assert modelled.difference == alone.difference


@pytest.mark.parametrize("group", [ALONE, SCENES])
def test_the_model_component_is_that_of_the_protocol(group: np.ndarray) -> None:
    hit = lucky(MODEL, 2)
    estimates = mean_differences(REAL, hit, group, model=MODEL)
    images = mean_differences(REAL, hit, group)
    J, G = 20, len(set(group.tolist()))
    for s in range(2):
        per = hit[s].astype(float) - REAL
        residual = (per - per.mean()) / (R * N)
        v_model = J / (J - 1) * sum(residual[m == MODEL].sum() ** 2 for m in range(J))
        v_cell = sum(
            residual[(m == MODEL) & (group == g)].sum() ** 2 for m in range(J) for g in set(group)
        )
        base, extra = images.variance[s], max(0.0, v_model - v_cell)
        assert_allclose(estimates.variance[s], base + extra, rtol=1e-12)
        df = (base + extra) ** 2 / (base**2 / (G - 1) + v_model**2 / (J - 1))
        assert_allclose(estimates.df[s], df, rtol=1e-12)


def test_on_a_hold_out_what_an_image_adds_to_all_models_is_not_taken_off() -> None:
    """Images that are right for all models, or wrong, leave the luck of the models as it is.

    With hits that are a sum of image and seed there is no more in the cells, so that the variance
    of the models is the whole one of their means.
    """
    value = np.stack([ALONE % 4 == 0] * R).astype(float)
    share = np.array([0.0, 0.1, 0.3, 0.2])
    hit = value.astype(bool)
    real = np.zeros((R, N), dtype=bool)
    for r, part in enumerate(share):
        hit[r, ALONE < part * N] = True
    estimates = mean_differences(real, hit[None], ALONE, model=SEEDS)
    images = mean_differences(real, hit[None], ALONE)
    of_means = hit.mean(axis=1).var(ddof=1) / R
    e = hit - hit.mean(axis=0) - hit.mean(axis=1)[:, None] + hit.mean()
    rest = (e**2).sum() / (R * N) ** 2 * R / (R - 1) * N / (N - 1)
    assert_allclose(estimates.variance - images.variance, of_means - rest, rtol=1e-9)


def test_the_numbers_of_the_models_do_not_matter() -> None:
    renamed, hit = RNG.permutation(20)[MODEL] * 3 + 1, lucky(MODEL)
    one, other = (mean_differences(REAL, hit, ALONE, model=m) for m in (MODEL, renamed))
    assert_allclose(one.se, other.se, rtol=1e-12)
    assert_allclose(one.df, other.df, rtol=1e-12)
