"""What is exchanged: agreement with definitions by loop in float64, identities, and error rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from xprobe.distance import exchange, kernels, resampling
from xprobe.distance.exchange import DrawTest, RowTest, UnitTest, make_test
from xprobe.distance.kernels import Pairs
from xprobe.distance.measure import measure
from xprobe.distance.sides import Distance
from xprobe.learners.problem import unit_rows

D = 8
KERNEL = kernels.negative_distance(1.0)


def normal(rng: np.random.Generator, units: int, size: int, rho: float = 0.5) -> np.ndarray:
    """Rows (units · size, d) of length 1 that correlate by rho inside a unit."""
    centre, noise = rng.standard_normal((units, D)), rng.standard_normal((units * size, D))
    x = np.sqrt(rho) * centre.repeat(size, axis=0) + np.sqrt(1 - rho) * noise
    x[:, 0] += 1
    return unit_rows(x).astype(np.float32)


def make_pairs(real: Any, synthetic: Any) -> Pairs:
    """Pairs of rows with these units."""
    rng = np.random.default_rng(0)
    x, y = normal(rng, len(real), 1), normal(rng, len(synthetic), 1)
    return kernels.pair_up(x, y, np.array([*real, *synthetic]), block=7)


def statistic(pairs: Pairs, first: NDArray[np.bool_]) -> float:
    """The U-statistic of some rows against all others, by its definition."""
    x = pairs.x.astype(np.float64)
    sums, counts = np.zeros(3), np.zeros(3)
    for i in range(len(x)):
        for j in range(len(x)):
            if pairs.unit[i] != pairs.unit[j]:
                part = int(first[i]) + int(first[j])
                sums[part] -= np.linalg.norm(x[i] - x[j])
                counts[part] += 1
    below, across, above = sums / counts
    return float(below + above - 2 * across)


def sums_of(pairs: Pairs, weight: np.ndarray) -> kernels.Sums:
    return kernels.add_up(pairs, {"k": KERNEL}, weight=weight, weighted=["k"])["k"]


def p_of(pairs: Pairs, test: Any) -> float:
    return float(test.p(pairs, KERNEL, sums_of(pairs, test.weight)))


def share(values: list[float]) -> float:
    return float(np.mean(np.array(values) >= values[0] - 1e-6))


# --- one row a unit and side ---------------------------------------------------------------


def test_units_with_both_sides_swap_and_others_are_shuffled() -> None:
    pairs = make_pairs([0, 1, 2, 3, 4], [3, 10, 1, 11])
    test = make_test(pairs, 40, np.random.default_rng(1))
    assert isinstance(test, RowTest)
    side = test.weight
    assert_array_equal(side[:, 0], [1] * 5 + [0] * 4)
    assert_array_equal(side[3] + side[5], np.ones(41))  # The scene 3: one row on each side.
    assert_array_equal(side[1] + side[7], np.ones(41))
    assert_array_equal(side[[0, 2, 4, 6, 8]].sum(axis=0), np.full(41, 3))
    assert len(np.unique(side, axis=1).T) > 20
    values = [statistic(pairs, column == 1) for column in side.T]
    assert_allclose(test.statistic(pairs, sums_of(pairs, side)), values, atol=1e-5)
    assert p_of(pairs, test) == pytest.approx(share(values))


def test_all_units_with_both_sides() -> None:
    pairs = make_pairs(range(6), range(6))
    test = make_test(pairs, 30, np.random.default_rng(1))
    assert_array_equal(test.weight[:6] + test.weight[6:], np.ones((6, 31)))
    assert p_of(pairs, test) == pytest.approx(
        share([statistic(pairs, column == 1) for column in test.weight.T])
    )


# --- several rows a unit -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("real", "synthetic"),
    [
        ([0, 0, 1, 2, 3, 4, 5, 6], [20, 20, 21, 22, 23, 24, 25]),
        (list(range(7)), [0, 0, 1, 2, 3, 4, 5, 5, 5]),
        ([*range(9), 9, 9], [0, 0, 1, 30, 31, 32, 33]),
        ([*range(6), 0], [*range(6), *range(40, 50)]),
    ],
)
def test_items_hold_whole_units_and_both_sides(real: list[int], synthetic: list[int]) -> None:
    pairs = make_pairs(real, synthetic)
    test = make_test(pairs, 9, np.random.default_rng(2))
    assert isinstance(test, UnitTest)
    items, n = test.items.toarray(), len(real)
    assert ((items != 0).sum(axis=1) == 1).all()
    assert_allclose(items[:n].sum(axis=0), 1, rtol=1e-6)
    assert_allclose(items[n:].sum(axis=0), -1, rtol=1e-6)
    item = np.abs(items).argmax(axis=1)
    assert all(len(set(item[pairs.unit == unit])) == 1 for unit in set(pairs.unit))
    both = sorted(set(real) & set(synthetic))
    assert len({int(item[pairs.unit == unit][0]) for unit in both}) == len(both)
    assert items.shape[1] == min(len(set(real)), len(set(synthetic)))
    assert_array_equal(test.signs[:, 0], np.ones(items.shape[1]))
    # A unit counts as much as another of its side in the item, whatever its number of rows.
    for i in range(items.shape[1]):
        for rows in (np.flatnonzero(item[:n] == i), n + np.flatnonzero(item[n:] == i)):
            shares = [np.abs(items[rows[pairs.unit[rows] == u]]).sum() for u in pairs.unit[rows]]
            assert_allclose(shares, shares[0], rtol=1e-5)


def test_the_swaps_of_items_by_their_definition() -> None:
    pairs = make_pairs([0, 0, *range(1, 8)], [0, 1, 1, 1, *range(20, 24), 20])
    test = make_test(pairs, 25, np.random.default_rng(3))
    assert isinstance(test, UnitTest)
    x = pairs.x.astype(np.float64)
    k = 1 - np.linalg.norm(x[:, None] - x[None], axis=2)
    items = test.items.toarray().astype(np.float64)
    products = items.T @ k @ items
    np.fill_diagonal(products, 0)
    assert_allclose(test.products(pairs, KERNEL), products, atol=1e-5)
    values = [float(sign @ products @ sign) for sign in test.signs.T]
    assert p_of(pairs, test) == pytest.approx(share(values))


def test_of_equal_sizes_the_statistic_is_the_value() -> None:
    """Eight scenes with two real images and three edits each: the same means of the same pairs."""
    real, synthetic = np.arange(8).repeat(2), np.arange(8).repeat(3)
    pairs = make_pairs(real, synthetic)
    test = make_test(pairs, 9, np.random.default_rng(3))
    assert isinstance(test, UnitTest)
    expected = statistic(pairs, np.arange(40) < 16)
    assert test.products(pairs, KERNEL).sum() / (8 * 7) == pytest.approx(expected, abs=1e-5)


# --- few units -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("real", "synthetic"),
    [
        ([0, 0, 1, 2, 2], [1, 1, 10, 11, 12, 12, 13]),
        ([0, 1, 2, 3, 4, 5, 6], [5, 5, 5, 3, 3, 20]),
    ],
)
def test_draws_of_rows_by_their_definition(
    real: list[int], synthetic: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "ROW_DRAWS", 5)
    pairs, values = make_pairs(real, synthetic), []
    test = make_test(pairs, 19, np.random.default_rng(4))
    assert isinstance(test, DrawTest)
    a = test.chosen.shape[1]
    for rows in test.rows:
        few, many = rows[:a], rows[a:]
        assert len({*(few < len(real)), *(many >= len(real))}) == 1  # a side each
        assert len(set(pairs.unit[few])) == a and len(set(pairs.unit[many])) == len(many)
        drawn = kernels.pair_up(pairs.x[few], pairs.x[many], pairs.unit[rows], block=7)
        sides = [np.isin(np.arange(len(rows)), chosen) for chosen in test.chosen]
        values.append(share([statistic(drawn, side) for side in sides]))
        assert all(len(set(drawn.unit[side])) == a == side.sum() for side in sides)
    assert len(np.unique(test.rows, axis=0)) > 1
    assert len(np.unique(np.sort(test.chosen), axis=0)) > 5
    if test.both:  # Units with both sides stay or swap.
        assert len(np.unique(test.chosen[:, : test.both] >= a)) == 2
    assert p_of(pairs, test) == pytest.approx(min(1, 2 * np.median(values)))


# --- through measure -----------------------------------------------------------------------


def measured(
    real: np.ndarray, synthetic: np.ndarray, unit: Any, other: Any, seed: int = 0, **options: Any
) -> dict[str, Distance]:
    options = {"metrics": ("mmd", "energy"), "permutations": 99, "bootstrap": 50} | options
    found = measure(
        real, synthetic, np.array(unit), np.random.default_rng(seed), splits=1,
        synthetic_group=np.array(other), **options,
    )  # fmt: skip
    return {row.metric: row for row in found}


@pytest.mark.parametrize(
    ("real", "synthetic", "shared"),
    [((40, 1), (40, 4), False), ((40, 1), (10, 8), False), ((30, 1), (30, 4), True),
     ((7, 6), (60, 1), False)],
)  # fmt: skip
def test_units_of_the_synthetic_side_keep_the_rate(
    real: tuple[int, int], synthetic: tuple[int, int], shared: bool
) -> None:
    """One distribution, rows that correlate inside units: p ≤ .05 in .05, values of mean 0."""
    count, p, values = 150, [], []
    (n, size), (m, copies) = real, synthetic
    for seed in range(count):
        rng = np.random.default_rng(seed)
        if shared:
            rows = normal(rng, n, size + copies, 0.7).reshape(n, size + copies, D)
            x, y = rows[:, :size].reshape(-1, D), rows[:, size:].reshape(-1, D)
        else:
            x, y = normal(rng, n, size, 0.7), normal(rng, m, copies, 0.7)
        other = np.arange(m).repeat(copies) + (0 if shared else n)
        row = measured(x, y, np.arange(n).repeat(size), other, seed, bootstrap=0)["energy"]
        assert row.units_real == n and row.units_synthetic == m
        p.append(row.p)
        values.append(row.value)
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / count)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(count)


def test_units_of_one_row_are_the_plain_test() -> None:
    rng = np.random.default_rng(5)
    x, y = normal(rng, 30, 1), normal(rng, 25, 1)
    named = measured(x, y, np.arange(30), 30 + np.arange(25))
    rows = measure(x, y, np.arange(30), np.random.default_rng(0), splits=1,
                   metrics=("mmd", "energy"), permutations=99, bootstrap=50)  # fmt: skip
    assert named == {row.metric: row for row in rows}


def test_draws_keep_units_whole_on_both_sides() -> None:
    unit = np.array([0, 0, 1, 2, 3, 1, 1, 3, 8, 8, 9])
    weight = kernels.resampled(unit, 5, 60, np.random.default_rng(6))
    for number in set(unit):
        assert len(np.unique(weight[unit == number], axis=0)) == 1
    assert_array_equal(weight[[0, 2, 3, 4]].sum(axis=0), np.full(60, 4))  # four real units
    assert_array_equal(weight[[8, 10]].sum(axis=0), np.full(60, 2))  # two synthetic ones


def test_bootstrap_values_by_their_definition() -> None:
    """Rows of a unit that is drawn twice are copied, and still of one unit."""
    pairs = make_pairs([0, 0, 1, 2, 3], [1, 1, 3, 8, 9])
    weight = kernels.resampled(pairs.unit, 5, 12, np.random.default_rng(7))
    sums = sums_of(pairs, weight)
    values = kernels.bootstrap(pairs, sums, weight)
    assert np.isfinite(values).sum() > 5
    for value, w in zip(values, weight.T, strict=True):
        if np.isfinite(value):
            rows = np.arange(10).repeat(w.astype(int))
            n = int((rows < 5).sum())
            copied = kernels.pair_up(pairs.x[rows[:n]], pairs.x[rows[n:]], pairs.unit[rows])
            assert value == pytest.approx(statistic(copied, np.arange(len(rows)) < n), abs=1e-5)


def test_thinning_keeps_scenes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 scenes with four edits each, of which 100 rows are kept: 50 scenes, an edit of each."""
    unit = np.concatenate([np.arange(200), np.arange(200).repeat(4)])
    rng = np.random.default_rng(8)
    rows = normal(rng, 200, 5).reshape(200, 5, D)
    pairs = kernels.pair_up(rows[:, 0], rows[:, 1:].reshape(-1, D), unit, keep=0)
    monkeypatch.setattr(resampling, "CACHED_ROWS", 100)
    thin, kept, note = resampling._thinned(pairs, rng)
    assert set(thin.unit[:50]) == set(thin.unit[50:])
    assert len(set(thin.unit)) == 50
    assert kept == 0.25
    assert note == "p and interval from 50 real and 50 synthetic rows, drawn"


# --- bad input -----------------------------------------------------------------------------


def test_one_unit_a_side_gives_reasons() -> None:
    x = normal(np.random.default_rng(9), 20, 1)
    for unit, other in (([0] * 10, [1] * 10), ([0] * 10, [0] * 10)):
        rows = measured(x[:10], x[10:], unit, other)
        assert all(r.value is None and "one group" in str(r.reason) for r in rows.values())
    rows = measured(x[:10], x[10:], np.arange(10), [10] * 10, metrics=("mmd", "sliced_wasserstein"))
    assert rows["mmd"].value is None and "one scene or prompt" in str(rows["mmd"].reason)
    assert rows["mmd"].p is None and rows["mmd"].ci_low is None
    assert rows["sliced_wasserstein"].value is not None


def test_two_units_a_side_have_a_value_and_an_honest_p() -> None:
    x = normal(np.random.default_rng(10), 20, 1)
    for other in (np.arange(10) % 2, 2 + np.arange(10) % 2):
        for row in measured(x[:10], x[10:] - 3, np.arange(10) % 2, other).values():
            assert row.value is not None and row.p is not None and row.p > 0.05
            assert row.ci_low is None and "too few for an interval" in str(row.reason)


def test_six_units_a_side_have_an_interval() -> None:
    x = normal(np.random.default_rng(11), 24, 1)
    for row in measured(x[:12], x[12:], np.arange(12) // 2, 6 + np.arange(12) // 2).values():
        assert row.value is not None and row.ci_low is not None and row.ci_high is not None
        assert row.ci_low < row.value < row.ci_high
        assert row.reason is None


def test_few_units_widen_the_interval() -> None:
    """The third of 119 draws from either end, times what t of 7 degrees is above a normal
    quantile, and the root of 8/7.
    """
    pairs = make_pairs(range(8), range(20, 40))
    rngs = {name: np.random.default_rng(14) for name in ("permutations", "bootstrap")}
    again = resampling.resample(pairs, 9, 119, rngs)
    blank = Distance("k", 5.0, None, None, None, None, 8, 20, 4, None)
    row = again.complete(blank, KERNEL, sums_of(pairs, again.weight))
    drawn = kernels.bootstrap(pairs, sums_of(pairs, again.drawn), again.drawn)
    off = np.sort(drawn[1:] - drawn[0])[[2, -3]] * 2.364624 / 1.959964 * np.sqrt(8 / 7)
    assert [row.ci_low, row.ci_high] == pytest.approx((5 + off).tolist(), rel=1e-5)


@pytest.mark.parametrize("copies", [1, 3])
def test_identical_features_are_not_told_apart(copies: int) -> None:
    """Every edit is its source: no difference, and no permutation that is one."""
    x = normal(np.random.default_rng(12), 12, 1)
    unit = np.arange(12).repeat(copies)
    for row in measured(x, x.repeat(copies, axis=0), np.arange(12), unit).values():
        assert row.value == pytest.approx(0, abs=1e-6)
        assert row.p is not None and row.p > 0.3


def test_groups_of_another_length_are_refused() -> None:
    x = normal(np.random.default_rng(13), 20, 1)
    with pytest.raises(ValueError, match="groups of 3"):
        measured(x[:10], x[10:], np.arange(10), np.arange(3))
