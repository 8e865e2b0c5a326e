"""What synthetic images are worth in real ones: where a learning curve has their accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import isotonic_regression

from xprobe.verdict.worth import (
    Worth,
    bootstrap_weights,
    isotonic,
    worth,
)

SIZES = (10, 20, 40, 80)
CURVE = (0.5, 0.6, 0.7, 0.8)
N = 240
LABEL = np.arange(N) % 3
ALONE = np.arange(N)  # Every image is its own group.


def hits(accuracy: tuple[float, ...], seed: int = 0, repeats: int = 2, n: int = N) -> np.ndarray:
    """Return hits (len(accuracy), R, n) that are independent of each other."""
    chance = np.random.default_rng(seed).random((len(accuracy), repeats, n))
    return np.asarray(chance < np.array(accuracy)[:, None, None])


def nested(accuracy: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """Return hits where a row of higher accuracy also hits what rows of lower accuracy hit."""
    chance = np.random.default_rng(seed).random((2, N))
    return np.asarray(chance < np.array(accuracy)[:, None, None])


def first(*right: int, n: int = 100) -> np.ndarray:
    """Return hits (len(right), 1, n) on the first `right` images of n."""
    return np.asarray(np.arange(n) < np.array(right)[:, None, None])


def worth_of(
    real: np.ndarray, mix: np.ndarray, base: float = 10, group: np.ndarray = ALONE,
    label: np.ndarray = LABEL, seed: int = 0, draws: int = 200, sizes: Any = SIZES,
) -> Worth:  # fmt: skip
    rng = np.random.default_rng(seed)
    return worth(sizes, real, base, mix, label, group, rng, draws)


def of_first(real: tuple[int, ...], mix: int, base: float = 10) -> Worth:
    """Return the worth where real-only and the mix hit the first of 100 images of one class."""
    hit = first(*real, mix)
    return worth_of(hit[:-1], hit[-1], base, np.arange(100), np.zeros(100, dtype=int))


# --- isotonic regression -------------------------------------------------------------------

VALUES = st.floats(-1, 1, allow_subnormal=False)


@given(arrays(float, array_shapes(min_dims=1, max_dims=3, max_side=7), elements=VALUES))
def test_isotonic_regression_is_scipys(value: np.ndarray) -> None:
    expected = np.apply_along_axis(lambda row: isotonic_regression(row).x, -1, value)
    assert_allclose(isotonic(value), expected, atol=1e-12)


@given(arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=VALUES))
def test_a_curve_that_rises_stays_as_it_is(value: np.ndarray) -> None:
    rising = np.sort(value, axis=-1)
    assert_allclose(isotonic(rising), rising, atol=1e-12)


# --- sizes that are far apart --------------------------------------------------------------


def test_a_line_between_sizes_that_are_far_apart_is_below_the_curve() -> None:
    """Accuracies 1 − 1/n of 10,000 images; synthetic images are worth 20 real ones, at 40.

    The line between 20 and 80 reaches 1 − 1/40 two thirds of the way: 20·4^⅔ is 50, and not 40.
    """
    n = 10_000
    close, wide = (20, 30, 45, 60, 80), (20, 80)
    right = {size: round(n * (1 - 1 / size)) for size in (*close, 40)}
    value = {}
    for sizes in (close, wide):
        hit = first(*[right[size] for size in (*sizes, 40)], n=n)
        images = np.arange(n), np.zeros(n, dtype=int)
        value[sizes] = worth_of(hit[:-1], hit[-1], 20, *images, sizes=sizes, draws=2).value
    assert value[close] == pytest.approx(20, rel=0.06)
    assert value[wide] == pytest.approx(20 * 4 ** (2 / 3) - 20, rel=0.01)


# --- the value -----------------------------------------------------------------------------


@pytest.mark.parametrize("base", [0, 1, 2])
def test_a_mix_that_hits_what_a_point_hits_is_worth_what_that_point_has_more(base: int) -> None:
    """Curve and mix share every bootstrap draw, so that the interval has no width."""
    real = nested(CURVE)
    for size, hit in zip(SIZES[base:], real[base:], strict=True):
        one = worth_of(real, hit, SIZES[base])
        more = size - SIZES[base]
        assert_allclose((one.value, one.low, one.high), more, rtol=1e-9, atol=1e-9)
        assert one.at_least == (size == SIZES[-1])
        assert one.at_most == (size == SIZES[base])


def test_between_two_points_the_curve_is_linear_in_the_logarithm_of_the_size() -> None:
    real = (40, 50, 60, 70)
    assert of_first(real, 55).value == pytest.approx(np.sqrt(20 * 40) - 10)
    assert of_first(real, 52).value == pytest.approx(20**0.8 * 40**0.2 - 10)
    assert of_first(real, 65, base=20).value == pytest.approx(np.sqrt(40 * 80) - 20)


def test_a_curve_that_falls_is_levelled_and_a_level_stands_for_its_middle() -> None:
    assert of_first((40, 62, 58, 70), 60).value == pytest.approx(np.sqrt(20 * 40) - 10)
    assert of_first((40, 62, 58, 70), 50).value == pytest.approx(np.sqrt(10 * 20) - 10)
    assert of_first((60, 60, 60, 60), 60).value == pytest.approx(np.sqrt(10 * 80) - 10)


def test_the_order_of_the_images_and_the_number_of_equal_repeats_do_not_matter() -> None:
    real, mix = hits(CURVE), hits((0.65,), 1)[0]
    order = np.random.default_rng(0).permutation(N)
    one = worth_of(real, mix)
    other = worth_of(real[..., order], mix[:, order], label=LABEL[order], group=ALONE[order])
    assert other.value == pytest.approx(one.value)
    assert (other.low, other.high) == pytest.approx((one.low, one.high))
    assert worth_of(real.repeat(3, 1), mix.repeat(3, 0)).value == pytest.approx(one.value)


# --- its ends ------------------------------------------------------------------------------


def test_beyond_the_curve_it_is_at_least_what_the_largest_size_has_more() -> None:
    one = worth_of(hits(CURVE), np.ones((2, N), dtype=bool))
    assert (one.value, one.low, one.high) == pytest.approx((70, 70, 70))
    assert one.at_least
    assert not one.at_most


@pytest.mark.parametrize("base", SIZES[:-1])
def test_below_real_images_alone_it_is_at_most_nothing(base: int) -> None:
    one = worth_of(hits(CURVE), np.zeros((2, N), dtype=bool), base)
    assert (one.value, one.low, one.high) == pytest.approx((0, 0, 0))
    assert one.at_most
    assert not one.at_least


def test_a_mix_between_the_ends_is_neither_at_least_nor_at_most() -> None:
    one = worth_of(hits((0.2, 0.4, 0.6, 0.8)), hits((0.5,), 1)[0])
    assert not one.at_least
    assert not one.at_most
    assert 0 < one.low < one.value < one.high < 70


def test_a_flat_curve_says_nothing() -> None:
    one = worth_of(hits((0.7,) * 4), hits((0.7,), 1)[0])
    assert one.low < 1
    assert one.high == pytest.approx(70)


@given(
    seed=st.integers(0, 10_000),
    accuracy=st.lists(st.floats(0, 1), min_size=3, max_size=6),
    base=st.integers(0, 4),
    scenes=st.booleans(),
)
@settings(max_examples=60)
def test_it_is_never_beyond_the_curve(
    seed: int, accuracy: list[float], base: int, scenes: bool
) -> None:
    every = hits(tuple(accuracy), seed, n=30)
    sizes = tuple(np.cumsum(np.random.default_rng(seed).uniform(1, 50, len(every) - 1)))
    base_size = sizes[base % len(sizes)]
    group = np.arange(30) // (3 if scenes else 1)
    label = np.arange(30) // 15
    one = worth_of(every[:-1], every[-1], base_size, group, label, draws=40, sizes=sizes)
    most = sizes[-1] - base_size
    assert 0 <= one.value <= most
    assert 0 <= one.low <= one.high <= most
    assert one.at_least == (one.high == pytest.approx(most, abs=1e-6))
    assert one.at_most == (one.low == pytest.approx(0, abs=1e-6))


# --- the interval --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_the_interval_holds_the_value(seed: int) -> None:
    every = hits((*CURVE, 0.67), seed)
    one = worth_of(every[:-1], every[-1], seed=seed)
    assert one.low <= one.value <= one.high
    assert one.low < one.high


def test_the_interval_holds_the_truth_in_about_nineteen_of_twenty_studies() -> None:
    """Of 150 studies at least 95 % − 3 Monte-Carlo errors hold the truth."""
    curve, mix, truth = (0.4, 0.55, 0.7, 0.85), 0.625, np.sqrt(20 * 40) - 10
    held = 0
    for seed in range(150):
        every = hits((*curve, mix), seed)
        one = worth_of(every[:-1], every[-1], seed=seed)
        held += one.low <= truth <= one.high
    assert held / 150 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 150)


def test_groups_are_drawn_as_a_whole() -> None:
    """Every image stands four times in a scene: the interval is that of the scenes."""
    real, mix = hits(CURVE), hits((0.65,), 1)[0]
    one = worth_of(real, mix)
    many = worth_of(
        real.repeat(4, 2), mix.repeat(4, 1), group=ALONE.repeat(4), label=LABEL.repeat(4)
    )
    assert (many.value, many.low, many.high) == pytest.approx((one.value, one.low, one.high))
    apart = worth_of(
        real.repeat(4, 2), mix.repeat(4, 1), group=np.arange(4 * N), label=LABEL.repeat(4)
    )
    assert apart.value == pytest.approx(one.value)
    assert apart.high - apart.low < 0.7 * (one.high - one.low)


def test_the_interval_follows_its_generator_and_the_value_does_not() -> None:
    real, mix = hits(CURVE), hits((0.65,), 1)[0]
    one, same, other = (worth_of(real, mix, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.value == other.value
    assert (one.low, one.high) != (other.low, other.high)


def test_hits_are_left_as_they_are() -> None:
    real, mix = hits(CURVE), hits((0.65,), 1)[0]
    before = real.copy(), mix.copy()
    worth_of(real, mix)
    assert_array_equal(real, before[0])
    assert_array_equal(mix, before[1])


# --- the bootstrap -------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(0, 99),
)
def test_weights_draw_as_many_groups_of_each_class_as_there_are(
    table: list[tuple[int, int]], seed: int
) -> None:
    """Each group whole, and within the class of its first image."""
    label, group = np.array(table, dtype=np.intp).T
    weight = bootstrap_weights(label, group, np.random.default_rng(seed), 7)
    assert weight.shape == (7, len(label))
    first = {g: int(np.flatnonzero(group == g)[0]) for g in group}
    for c in range(4):
        heads = [i for i in first.values() if label[i] == c]
        assert (weight[:, heads].sum(axis=1) == len(heads)).all()
    assert_array_equal(weight, weight[:, [first[g] for g in group]])


def test_each_group_is_drawn_once_on_average_and_with_the_spread_of_a_bootstrap() -> None:
    group = np.arange(60) // 2
    weight = bootstrap_weights(np.arange(60) // 20, group, np.random.default_rng(0), 4000)
    assert_allclose(weight.mean(axis=0), 1, atol=4 / np.sqrt(4000))
    assert_allclose(weight.var(axis=0), 1 - 1 / 10, rtol=0.15)
