"""Distances: closed forms, identities, definitions by loop in float64, and the error rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg, stats
from scipy.spatial.distance import cdist, pdist

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError
from xprobe.distance import fidelity, kernels, neighbours, resampling
from xprobe.distance import measure as distance
from xprobe.distance.fidelity import frechet, vendi
from xprobe.distance.measure import measure
from xprobe.distance.metrics import (
    DISTANCES,
    KernelMetric,
    NeighbourMetric,
    SplitMetric,
)
from xprobe.distance.names import METRICS
from xprobe.distance.neighbours import near_duplicates, nearest_neighbours, search
from xprobe.distance.sides import Distance, Sides, Values
from xprobe.learners.problem import unit_rows

KERNELS = [name for name, row in DISTANCES.items() if isinstance(row, KernelMetric)]
NEIGHBOURS = [name for name, row in DISTANCES.items() if isinstance(row, NeighbourMetric)]

RNG = np.random.default_rng(0)
D = 8
SPECTRUM = np.arange(1, D + 1) ** -0.7


def draw(rng: np.random.Generator, n: int, shift: float = 0.0, d: int = D) -> np.ndarray:
    """Rows (n, d) of length 1 with a power-law spectrum about a mean that `shift` turns."""
    x = rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.7
    x[:, 0] += 1
    x[:, 1] += shift
    return unit_rows(x).astype(np.float32)


REAL, SYNTHETIC = draw(RNG, 80), draw(RNG, 60, 0.5)
ALONE = np.arange(80)


def rows(
    real: np.ndarray = REAL, synthetic: np.ndarray = SYNTHETIC, group: np.ndarray | None = None,
    seed: int = 0, **options: Any,
) -> dict[str, Distance]:  # fmt: skip
    group = np.arange(len(real)) if group is None else group
    options = {"permutations": 99, "splits": 4, "bootstrap": 50} | options
    found = measure(real, synthetic, group, np.random.default_rng(seed), **options)
    return {row.metric: row for row in found}


def kernel_reference(name: str, real: np.ndarray, synthetic: np.ndarray) -> float:
    """The U-statistic by its definition, in float64."""
    x, y = real.astype(np.float64), synthetic.astype(np.float64)
    sigma = np.median(pdist(np.concatenate([x, y])))
    kernel = {
        "mmd": lambda a, b: np.exp(-cdist(a, b, "sqeuclidean") / (2 * sigma**2)),
        "energy": lambda a, b: -cdist(a, b),
        "kid": lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3,
        "cmmd": lambda a, b: 1000 * np.exp(-cdist(a, b, "sqeuclidean") / 200),
    }[name]

    def within(a: np.ndarray) -> float:
        k = kernel(a, a)
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())


# --- agreement with float64 references -----------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_metrics_agree_with_their_definition(name: str) -> None:
    largest = 1000 if name == "cmmd" else 1
    found = rows(metrics=[name])[name].value
    assert_allclose(found, kernel_reference(name, REAL, SYNTHETIC), atol=1e-6 * largest)


@pytest.mark.parametrize("keep", [0, 6000])
@pytest.mark.parametrize("block", [7, 64])
def test_blocks_and_kept_distances_change_nothing(
    block: int, keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [*KERNELS, *NEIGHBOURS]
    whole = rows(metrics=names, splits=200)
    monkeypatch.setattr(distance, "FEW_SPLITS", 200)
    original = kernels.pair_up
    monkeypatch.setattr(kernels, "pair_up", lambda *a, **k: original(*a, **k | {"keep": keep}))
    monkeypatch.setattr(resampling, "_thinned", lambda pairs, _: (original(
        REAL, SYNTHETIC, pairs.unit[:80], block=block), 1.0, None))  # fmt: skip
    parts = rows(metrics=names, splits=200, block=block)
    for name in names:
        for field in ("value", "floor", "ci_low", "ci_high", "p"):
            one, other = getattr(whole[name], field), getattr(parts[name], field)
            scale = 1000 if name == "cmmd" else 1
            assert (one is None) == (other is None)
            if one is not None:
                assert_allclose(one, other, atol=1e-6 * scale, err_msg=f"{name} {field}")


def neighbour_reference(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """By the definitions: Kynkäänniemi 2019, Naeem 2020, Alaa 2022."""
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    n, m = len(real), len(fake)

    def ascending(x: np.ndarray) -> list[np.ndarray]:
        return [
            np.sort(np.linalg.norm(np.delete(x, i, axis=0) - x[i], axis=1)) for i in range(len(x))
        ]

    of_real, of_fake = ascending(real), ascending(fake)
    d = cdist(real, fake)
    counted = [[d[i, j] < of_real[i][k - 1] for j in range(m)] for i in range(n)]
    return {
        "precision": np.mean([any(counted[i][j] for i in range(n)) for j in range(m)]),
        "recall": np.mean([any(d[i, j] < of_fake[j][k - 1] for j in range(m)) for i in range(n)]),
        "density": np.sum(counted) / (k * m),
        "coverage": np.mean([min(d[i]) < of_real[i][k - 1] for i in range(n)]),
        "authenticity": np.mean([min(d[:, j]) > of_real[d[:, j].argmin()][0] for j in range(m)]),
    }


@pytest.mark.parametrize("k", [1, 5])
def test_neighbour_metrics_agree_with_their_definition(k: int) -> None:
    sides = make_sides(k)
    split = sides.splits[0]
    real, fake = sides.x[split.one], sides.x[split.synthetic]
    found = rows(metrics=NEIGHBOURS, splits=1, n_neighbors=k)
    for name, expected in neighbour_reference(real, fake, k).items():
        assert_allclose(found[name].value, expected, atol=1e-12, err_msg=name)
    for name, expected in neighbour_reference(real, sides.x[split.other], k).items():
        assert_allclose(found[name].floor, expected, atol=1e-12, err_msg=name)


def make_sides(k: int = 5) -> Sides:
    """What ``rows(splits=1, seed=0)`` computes its metrics of."""
    streams = np.random.default_rng(0).spawn(6)
    pairs = kernels.pair_up(REAL, SYNTHETIC, ALONE)
    splits = distance._splits(ALONE, len(SYNTHETIC), distance.KERNEL_SPLITS, streams[0])[:1]
    seeds = {"projections": int(streams[4].integers(2**31)), "folds": 0}
    x = np.concatenate([REAL, SYNTHETIC])
    return Sides(x, 80, pairs, splits, len(splits[0].one), k, seeds)


def frechet_reference(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x.T.astype(np.float64)), np.cov(y.T.astype(np.float64))
    off = x.mean(0, dtype=np.float64) - y.mean(0, dtype=np.float64)
    return float(off @ off + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real))


def test_frechet_agrees_with_the_matrix_square_root() -> None:
    assert_allclose(frechet(REAL, SYNTHETIC), frechet_reference(REAL, SYNTHETIC), atol=1e-8)
    split = make_sides().splits[0]
    x = np.concatenate([REAL, SYNTHETIC])
    found = rows(metrics=["frechet"], splits=1)["frechet"]
    assert_allclose(found.value, frechet_reference(x[split.one], x[split.synthetic]), atol=1e-8)
    assert_allclose(found.floor, frechet_reference(x[split.one], x[split.other]), atol=1e-8)


def test_frechet_of_few_rows_is_that_of_the_long_way() -> None:
    """Of 6 rows in 8 dimensions, and the same ones in 5 dimensions and three empty ones."""
    x, y = REAL[:6].copy(), SYNTHETIC[:7].copy()
    x[:, 5:] = y[:, 5:] = 0
    assert_allclose(frechet(x, y), frechet(x[:, :5], y[:, :5]), atol=1e-9)


def test_the_extrapolation_is_the_line_through_its_sizes() -> None:
    split = make_sides().splits[0]
    x = np.concatenate([REAL, SYNTHETIC])
    sizes = np.rint(1 / np.linspace(1 / 20, 1 / 40, fidelity.EXTRAPOLATION)).astype(int)
    at = [frechet_reference(x[split.one[:s]], x[split.synthetic[:s]]) for s in sizes]
    line = stats.linregress(1 / sizes, at)
    found = rows(metrics=["frechet_infinity"], splits=1)["frechet_infinity"]
    assert_allclose(found.value, line.intercept, atol=1e-8)


def test_sliced_wasserstein_agrees_with_quantiles() -> None:
    sides = make_sides()
    split = sides.splits[0]
    rng = np.random.default_rng(sides.seeds["projections"])
    directions = rng.standard_normal((fidelity.PROJECTIONS, D))
    squares = []
    for v in directions:
        a, b = (np.sort(sides.x[r] @ (v / np.linalg.norm(v))) for r in (split.one, split.synthetic))
        squares.append(np.mean((a - b) ** 2))
    found = rows(metrics=["sliced_wasserstein"], splits=1)["sliced_wasserstein"]
    assert_allclose(found.value, np.sqrt(np.mean(squares)), rtol=1e-5)


def test_vendi_counts_different_rows() -> None:
    basis = np.eye(D)[:4].repeat(3, axis=0)
    assert_allclose(vendi(basis), 4)
    assert_allclose(vendi(basis[:6, :4]), 2)
    assert_allclose(vendi(np.ones((5, 3))), 1)
    share = np.linalg.eigvalsh(REAL.astype(np.float64) @ REAL.T / 80)
    share = share[share > 1e-9]
    assert_allclose(vendi(REAL), np.exp(-(share * np.log(share)).sum()), rtol=1e-6)


def test_auc_is_half_of_like_sets_and_one_of_sets_apart() -> None:
    like = rows(REAL, draw(RNG, 80), metrics=["auc"])["auc"]
    apart = rows(REAL + 3, REAL - 3, metrics=["auc"])["auc"]
    # AUC of n + n rows under the null: variance (2n + 1)/(12 n²); halves of 40 rows.
    sd = np.sqrt(81 / 12) / 40
    assert abs(like.value - 0.5) < 4 * sd
    assert apart.value == 1
    assert apart.floor < 0.5 + 4 * sd


# --- closed forms --------------------------------------------------------------------------


def test_mmd_of_a_gaussian_shift_has_its_closed_form() -> None:
    """N(0, I) and N(μ, I) in d dimensions under exp(−‖·‖²/2s²): E k over a difference of mean δ
    and covariance 2I is c·exp(−‖δ‖²/(2(s² + 2))), c = (s²/(s² + 2))^{d/2}.
    """
    n, d, mu = 1500, 3, 0.8
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((n, d))
    y[:, 0] += mu
    found = rows(x, y, metrics=["mmd"], permutations=0)["mmd"]
    s2 = np.median(pdist(np.concatenate([x, y]))) ** 2
    expected = 2 * (s2 / (s2 + 2)) ** (d / 2) * (1 - np.exp(-(mu**2) / (2 * (s2 + 2))))
    # The witness lies in [−1, 1], so the standard error is at most 2·√(2/n)·its spread; its spread
    # is at most √MMD², as |E k(x, ·) − E k(y, ·)| ≤ MMD. Five of them.
    assert_allclose(found.value, expected, atol=5 * 2 * np.sqrt(2 / n) * np.sqrt(expected))
    assert found.ci_low < expected < found.ci_high


def test_frechet_of_gaussians_has_its_closed_form() -> None:
    """N(0, diag a²) and N(μ, diag b²): ‖μ‖² + Σ(a − b)², of samples that have these moments."""
    a, b, mu = np.array([1.0, 2, 0.5]), np.array([1.5, 1, 0.5]), np.array([0.3, 0, -1])
    white = np.random.default_rng(2).standard_normal((50, 3))
    white -= white.mean(axis=0)
    white = white @ linalg.inv(linalg.cholesky(np.cov(white.T))).astype(float)
    expected = mu @ mu + ((a - b) ** 2).sum()
    assert_allclose(frechet(white * a, white * b + mu), expected, rtol=1e-10)


def test_a_v_statistic_of_a_set_to_itself_is_zero() -> None:
    """U of x and x is V less the diagonal: V = 0 gives U = 2(mean − trace share)/(n − 1)."""
    n = len(REAL)
    for name, diagonal in {"mmd": 1.0, "energy": 0.0, "cmmd": 1000.0}.items():
        u = rows(REAL, REAL, metrics=[name], permutations=0)[name].value
        x = REAL.astype(np.float64)
        d = cdist(x, x)
        sigma = np.median(pdist(np.concatenate([x, x])))
        k = {"mmd": np.exp(-(d**2) / (2 * sigma**2)), "energy": -d,
             "cmmd": 1000 * np.exp(-(d**2) / 200)}[name]  # fmt: skip
        assert_allclose(u + 2 * (diagonal - k.mean()) / (n - 1), 0, atol=1e-6 * (diagonal or 1))
    assert frechet(REAL, REAL) == pytest.approx(0, abs=1e-9)


# --- properties ----------------------------------------------------------------------------


def test_kernel_metrics_are_symmetric() -> None:
    there, back = rows(metrics=KERNELS), rows(SYNTHETIC, REAL, metrics=KERNELS)
    for name in KERNELS:
        scale = 1000 if name == "cmmd" else 1
        assert_allclose(there[name].value, back[name].value, atol=1e-6 * scale)
    assert_allclose(frechet(REAL, SYNTHETIC), frechet(SYNTHETIC, REAL), atol=1e-9)


def test_distances_grow_with_a_planted_shift() -> None:
    names = [*KERNELS, "frechet", "sliced_wasserstein", "auc", "coverage"]
    found = []
    for shift in (0.0, 0.5, 1.0, 2.0):
        found.append(rows(synthetic=draw(np.random.default_rng(3), 80, shift), metrics=names))
    for name in names:
        values = np.array([f[name].value for f in found])
        assert (np.diff(values) * (-1 if DISTANCES[name].larger_is_nearer else 1) > 0).all(), name
        floor = found[-1][name].floor
        assert (values[-1] < floor) if DISTANCES[name].larger_is_nearer else (values[-1] > floor), (
            name
        )


def test_p_is_about_uniform_and_unbiased_values_about_zero_where_nothing_differs() -> None:
    p: dict[str, list[float]] = {"mmd": [], "energy": []}
    values: dict[str, list[float]] = {"mmd": [], "energy": []}
    rng = np.random.default_rng(4)
    for seed in range(40):
        found = rows(draw(rng, 30), draw(rng, 30), seed=seed, metrics=list(p), bootstrap=0)
        for name in p:
            p[name].append(found[name].p)
            values[name].append(found[name].value)
    for name in p:
        assert stats.kstest(p[name], "uniform").pvalue > 0.001
        assert abs(np.mean(values[name])) < 4 * np.std(values[name]) / np.sqrt(40)


def clustered(rng: np.random.Generator, groups: int, size: int) -> np.ndarray:
    centre = draw(rng, groups).repeat(size, axis=0)
    return unit_rows(centre + 0.05 * rng.standard_normal(centre.shape)).astype(np.float32)


def test_images_of_one_group_are_no_new_draws() -> None:
    """Real rows in tight groups, synthetic ones alone, one distribution: still mean 0, honest p."""
    p, with_groups, without = [], [], []
    group = np.arange(48) // 6
    for seed in range(40):
        rng = np.random.default_rng(seed)
        real, synthetic = clustered(rng, 8, 6), clustered(rng, 60, 1)
        options: dict[str, Any] = {"metrics": ["mmd"], "bootstrap": 0}
        found = rows(real, synthetic, group, seed, **options)["mmd"]
        p.append(found.p)
        with_groups.append(found.value)
        without.append(rows(real, synthetic, seed=seed, **options)["mmd"].value)
    se = np.std(with_groups) / np.sqrt(40)
    assert abs(np.mean(with_groups)) < 4 * se
    assert np.mean(without) > 4 * se
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 40)


def test_splits_permutations_and_draws_never_split_a_group() -> None:
    unit = np.array([0] * 5 + [1] * 3 + [2] * 4 + list(range(3, 15)))
    rng = np.random.default_rng(5)
    for split in distance._splits(unit, 9, 20, rng):
        assert not set(unit[split.one]) & set(unit[split.other])
        assert len(split.one) == len(split.other) == len(split.synthetic) == 9
        assert len({*split.one, *split.other}) == 18
    for _ in range(20):
        one, other = kernels.shuffled(unit, 12, rng)
        assert not set(unit[one]) & set(unit[other])
        assert_array_equal(np.sort(np.concatenate([one, other])), np.arange(len(unit)))


def test_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(6)
    real, synthetic = clustered(rng, 12, 8), draw(rng, 96, 1.0)
    options: dict[str, Any] = {"metrics": ["energy"], "bootstrap": 200, "permutations": 0}
    alone = rows(real, synthetic, **options)["energy"]
    grouped = rows(real, synthetic, np.arange(96) // 8, **options)["energy"]
    assert grouped.ci_high - grouped.ci_low > 1.3 * (alone.ci_high - alone.ci_low)


def test_lost_diversity_shows_in_the_headline_and_not_in_kid() -> None:
    rng = np.random.default_rng(7)
    real, other = (draw(rng, 600, d=32) for _ in range(2))
    mean = other.mean(axis=0)
    narrow = mean + 0.6 * (other - mean)
    found = rows(real, narrow, metrics=["mmd", "energy", "kid"])
    assert found["mmd"].p == found["energy"].p == 0.01
    assert "blind" in str(found["kid"].reason)


def test_a_metric_is_the_same_whatever_else_is_asked_for() -> None:
    everything = rows()
    assert list(everything) == list(METRICS)
    for name in METRICS:
        assert rows(metrics=[name])[name] == everything[name]
        assert everything[name].value is not None


def test_one_seed_gives_one_result_and_another_one_another_p() -> None:
    near = draw(np.random.default_rng(8), 60, 0.05)
    one, again, other = (rows(synthetic=near, seed=s, metrics=["mmd"])["mmd"] for s in (1, 1, 2))
    assert one == again
    assert one.p != other.p
    assert one.value == other.value


def test_large_sets_are_thinned_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    original = kernels.pair_up
    monkeypatch.setattr(kernels, "pair_up", lambda *a, **k: original(*a, **{"keep": 100} | k))
    monkeypatch.setattr(resampling, "CACHED_ROWS", 100)
    found = rows(metrics=["mmd"])["mmd"]
    assert found.reason == "p and interval from 50 real and 50 synthetic rows, drawn"
    assert found.p == 0.01
    assert found.ci_low < found.value < found.ci_high


# --- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_give_reasons(n: int) -> None:
    for found in (rows(REAL[:n]), rows(synthetic=SYNTHETIC[:n])):
        assert list(found) == list(METRICS)
        assert all(row.value is None and "two or more" in str(row.reason) for row in found.values())


def test_fewer_rows_than_neighbours_give_reasons() -> None:
    found = rows(REAL, SYNTHETIC[:5])
    for name in (*NEIGHBOURS, "frechet", "frechet_infinity"):
        assert found[name].value is None
        assert "5 rows a side" in str(found[name].reason)
    assert found["mmd"].value is not None
    assert rows(REAL, SYNTHETIC[:6])["density"].value is not None


def test_constant_features_give_reasons_or_numbers() -> None:
    flat = REAL[:1].repeat(40, axis=0)
    assert all(row.reason == "all real rows are the same" for row in rows(flat).values())
    collapsed = rows(synthetic=flat)
    assert collapsed["mmd"].p == 0.01
    assert collapsed["recall"].value == 0
    assert collapsed["vendi"].value == pytest.approx(1)
    assert all(np.isfinite(row.value) for row in collapsed.values())


def test_one_group_gives_reasons() -> None:
    found = rows(group=np.zeros(80, dtype=int))
    assert all(row.value is None and row.reason for row in found.values())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    broken = REAL.copy()
    broken[3, 2] = bad
    for arguments in ((broken, SYNTHETIC), (SYNTHETIC, broken)):
        with pytest.raises(XprobeError, match="embed these images again"):
            rows(*arguments)
        with pytest.raises(XprobeError, match="embed these images again"):
            nearest_neighbours(*arguments, 1)


def test_different_widths_and_unknown_metrics_are_refused() -> None:
    with pytest.raises(XprobeError, match="same encoder"):
        rows(synthetic=SYNTHETIC[:, :4])
    with pytest.raises(XprobeError, match="did you mean energy"):
        rows(metrics=["enery"])
    with pytest.raises(ValueError, match="groups of 3"):
        rows(group=np.arange(3))


# --- neighbour search ----------------------------------------------------------------------


def test_nearest_agrees_with_all_distances() -> None:
    d = cdist(SYNTHETIC.astype(np.float64), REAL.astype(np.float64))
    distances, found = nearest_neighbours(SYNTHETIC, REAL, 4)
    assert_array_equal(found, np.argsort(d, axis=1)[:, :4])
    assert_allclose(distances, np.sort(d, axis=1)[:, :4], atol=1e-6)
    everything, _ = nearest_neighbours(SYNTHETIC, REAL[:3], 3)
    assert_allclose(everything, np.sort(d[:, :3], axis=1), atol=1e-6)
    with pytest.raises(XprobeError, match="4 neighbours"):
        nearest_neighbours(SYNTHETIC, REAL[:3], 4)


def test_copies_are_at_distance_zero_and_near_copies_at_theirs() -> None:
    rng = np.random.default_rng(9)
    y = draw(rng, 300, d=256)
    x = draw(rng, 50, d=256)
    x[:10] = y[20:30]
    x[10:20] = y[30:40]
    x[10:20, 0] += np.float32(1e-4)
    distances, found = nearest_neighbours(x, y, 1)
    assert_array_equal(found[:20, 0], np.arange(20, 40))
    assert (distances[:10] == 0).all()
    assert_allclose(distances[10:20, 0], 1e-4, rtol=1e-2)
    assert_array_equal(near_duplicates(x, y, 5e-5), np.arange(50) < 10)
    assert_array_equal(near_duplicates(x, y, 2e-4), np.arange(50) < 20)
    assert not near_duplicates(x, y[:0], 1.0).any()
    assert near_duplicates(x[:0], y, 1.0).shape == (0,)


def test_an_approximate_index_tells_its_recall() -> None:
    rng = np.random.default_rng(10)
    x, y = draw(rng, 300), draw(rng, 2000)
    exact, found = search(x, y, 3), search(x, y, 3, exact_rows=1000)
    assert exact.recall == 1
    asked = np.unique(np.linspace(0, 299, neighbours.RECALL_QUERIES).astype(int))
    hits = [len(set(exact.rows[i]) & set(found.rows[i])) / 3 for i in asked]
    assert found.recall == pytest.approx(np.mean(hits))
    assert found.recall > 0.5
    assert (found.distances >= exact.distances - 1e-6).all()


def neighbour_counts(x: Floats, y: Floats, **options: int) -> tuple[dict[str, float], float]:
    pairs = kernels.pair_up(x, y, np.arange(len(x)), block=64, keep=0)
    rows = np.arange(len(x)), len(x) + np.arange(len(y))
    of_real, of_fake = (neighbours.radii(pairs, pairs.x, own, 5) for own in rows)
    counts, share = neighbours.counts(pairs, *rows, of_real, of_fake, 5, **options)
    metrics = [row for row in DISTANCES.values() if isinstance(row, NeighbourMetric)]
    return {row.name: row.value(counts) for row in metrics}, share


def test_counts_by_lists_are_those_of_all_pairs_if_all_lists_are_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(11)
    x, y = draw(rng, 700), draw(rng, 500)
    exact, share = neighbour_counts(x, y)
    assert share == 1
    monkeypatch.setattr(neighbours, "PROBED", 3)
    few, found = neighbour_counts(x, y, exact_rows=100)
    assert 0 < found < 1
    assert all(few[name] <= exact[name] for name in ("precision", "density", "coverage", "recall"))
    monkeypatch.setattr(neighbours, "PROBED", 1000)
    assert neighbour_counts(x, y, exact_rows=100) == (exact, 1.0)


# --- a metric is a row ---------------------------------------------------------------------


def between_means(sides: Sides) -> Values:
    """The distance of the means of both sides, of each split."""
    pairs = [
        [np.linalg.norm(sides.x[split.one].mean(0) - sides.x[rows].mean(0)) for rows in others]
        for split in sides.splits
        for others in [(split.synthetic, split.other)]
    ]
    return [float(near) for near, _ in pairs], [float(floor) for _, floor in pairs]


def test_a_metric_of_each_kind_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    toys = (
        SplitMetric("means", "Distance of means", between_means, note="a toy"),
        KernelMetric(
            "linear", "Linear MMD", lambda _m, _d: lambda sq, a, b: (a + b - sq) / 2,
            is_headline=True,
        ),
        NeighbourMetric(
            "missed", "Missed", lambda c: float(1 - c.covered.mean()), larger_is_nearer=True
        ),
    )  # fmt: skip
    for toy in toys:
        monkeypatch.setitem(DISTANCES, toy.name, toy)
    plain = rows(metrics=["coverage", "mmd"])
    values = rows(metrics=["linear", "coverage", "missed", "means", "mmd"])
    assert list(values) == ["linear", "coverage", "missed", "means", "mmd"]
    assert plain == {name: values[name] for name in plain}  # others change no number
    assert values["means"].reason == "a toy"
    assert values["means"].value > values["means"].floor
    assert_allclose(values["missed"].value, 1 - values["coverage"].value)
    # Unbiased: the squared distance of the means, less what both means vary by.
    x, y = REAL.astype(np.float64), SYNTHETIC.astype(np.float64)
    noise = x.var(0, ddof=1).sum() / len(x) + y.var(0, ddof=1).sum() / len(y)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() - noise
    assert_allclose(values["linear"].value, expected, atol=1e-6)
    assert values["linear"].p == 0.01 and values["linear"].ci_low < values["linear"].value


def test_the_floor_is_the_quantile_of_the_direction_of_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same numbers, the larger the nearer or the farther: 5 % and 95 % of real against real."""
    turned = NeighbourMetric("turned", "Turned", neighbours.coverage)
    monkeypatch.setitem(DISTANCES, "turned", turned)
    both = rows(metrics=["coverage", "turned"], splits=20)
    assert both["coverage"].value == both["turned"].value
    assert both["coverage"].floor < both["turned"].floor
