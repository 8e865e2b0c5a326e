"""Metrics agree with scikit-learn, and the bootstrap with a slow one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from xprobe import metrics

K = 4
PAIRS = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1)), min_size=1, max_size=40)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    label, predicted = np.array(pairs, dtype=np.intp).T
    return label, predicted


@given(PAIRS)
def test_confusion_and_accuracy_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    label, predicted = columns(pairs)
    expected = confusion_matrix(label, predicted, labels=range(K))
    assert_array_equal(metrics.confusion(label, predicted, K), expected)
    assert metrics.accuracy(label, predicted) == accuracy_score(label, predicted)


@given(PAIRS)
def test_macro_f1_is_scikit_learns_over_the_classes_that_are_tested(
    pairs: list[tuple[int, int]],
) -> None:
    label, predicted = columns(pairs)
    expected = f1_score(
        label, predicted, labels=sorted(set(label)), average="macro", zero_division=0
    )
    found = metrics.macro_f1(metrics.confusion(label, predicted, K))
    assert_allclose(found, expected, rtol=1e-12)


@given(PAIRS)
def test_values_per_class_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    label, predicted = columns(pairs)
    precision, recall, f1, _ = precision_recall_fscore_support(
        label, predicted, labels=range(K), zero_division=0
    )
    found = metrics.per_class(metrics.confusion(label, predicted, K))
    assert_allclose(found, (recall, precision, f1), rtol=1e-12)


def test_macro_f1_of_many_matrices_is_that_of_each() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (5, 2, K, K))
    each = [[metrics.macro_f1(c) for c in pair] for pair in counts]
    assert_allclose(metrics.macro_f1(counts), each)


def test_perfect_is_one_and_always_wrong_is_zero() -> None:
    label = np.arange(K).repeat(3)
    assert metrics.macro_f1(metrics.confusion(label, label, K)) == 1
    assert metrics.macro_f1(metrics.confusion(label, (label + 1) % K, K)) == 0


# --- bootstrap ---------------------------------------------------------------------------

RNG = np.random.default_rng(1)
LABEL = np.sort(RNG.integers(0, 3, 60))
PREDICTED = np.where(RNG.random((2, 2, 60)) < 0.7, LABEL, RNG.integers(0, 3, (2, 2, 60)))


def plain_bootstrap(group: np.ndarray, draws: int) -> np.ndarray:
    """Draw groups with replacement within their class, one after another: macro-F1 (S, draws)."""
    rng = np.random.default_rng(2)
    members = [np.flatnonzero(group == g) for g in np.unique(group)]
    class_of = np.array([LABEL[m[0]] for m in members])
    out = np.zeros((len(PREDICTED), draws))
    for b in range(draws):
        drawn = [rng.choice(own) for c in range(3) for own in [np.flatnonzero(class_of == c)]
                 for _ in own]  # fmt: skip
        rows = np.concatenate([members[g] for g in drawn])
        for s, repeats in enumerate(PREDICTED):
            values = [f1_of(LABEL[rows], predicted[rows]) for predicted in repeats]
            out[s, b] = np.mean(values)
    return out


def f1_of(label: np.ndarray, predicted: np.ndarray) -> float:
    hit = label == predicted
    return float(np.mean([
        2 * (hit & (label == c)).sum() / ((label == c).sum() + (predicted == c).sum())
        for c in np.unique(label)
    ]))  # fmt: skip


@pytest.mark.parametrize("size", [1, 4], ids=["images", "groups"])
def test_the_standard_error_is_that_of_a_plain_bootstrap(size: int) -> None:
    """Both are estimates: an SD of B draws has a relative standard error of about 1/√(2B)."""
    group = np.arange(60) // size
    found = metrics.bootstrap_macro_f1(LABEL, PREDICTED, group, 3, np.random.default_rng(3), 4000)
    plain = plain_bootstrap(group, 600)
    tolerance = 4 * np.sqrt(1 / (2 * 600) + 1 / (2 * 4000))
    assert_allclose(found.std(axis=1), plain.std(axis=1), rtol=tolerance)
    assert_allclose(np.diff(found, axis=0).std(), np.diff(plain, axis=0).std(), rtol=tolerance)
    se_of_mean = plain.std(axis=1) * np.sqrt(1 / 600 + 1 / 4000)
    assert (abs(found.mean(axis=1) - plain.mean(axis=1)) < 4 * se_of_mean).all()


def test_draws_are_paired() -> None:
    twins = np.stack([PREDICTED[0], PREDICTED[0], PREDICTED[1]])
    group = np.arange(60)
    found = metrics.bootstrap_macro_f1(LABEL, twins, group, 3, np.random.default_rng(0), 200)
    assert (found[0] == found[1]).all()
    assert np.corrcoef(found[0], found[2])[0, 1] < 1
    alone = metrics.bootstrap_macro_f1(LABEL, twins[2:], group, 3, np.random.default_rng(0), 200)
    assert_array_equal(alone[0], found[2])


def test_groups_are_drawn_as_a_whole() -> None:
    """One group a class: there is nothing to draw."""
    found = metrics.bootstrap_macro_f1(LABEL, PREDICTED, LABEL, 3, np.random.default_rng(0), 50)
    counts = [[metrics.confusion(LABEL, p, 3) for p in repeats] for repeats in PREDICTED]
    expected = metrics.macro_f1(np.array(counts)).mean(axis=1)
    assert_allclose(found, np.repeat(expected[:, None], 50, axis=1), rtol=1e-6)


def test_a_class_without_test_images_does_not_count() -> None:
    args = (LABEL, PREDICTED, np.arange(60))
    three, five = (
        metrics.bootstrap_macro_f1(*args, k, np.random.default_rng(0), 50) for k in (3, 5)
    )
    assert_allclose(three, five, rtol=1e-12)


def test_the_bootstrap_follows_its_generator() -> None:
    args = (LABEL, PREDICTED, np.arange(60), 3)
    one, same, other = (
        metrics.bootstrap_macro_f1(*args, np.random.default_rng(seed), 50) for seed in (1, 1, 2)
    )
    assert_array_equal(one, same)
    assert (one != other).any()


def test_the_interval_of_a_mean_draws_groups_whole() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 5)
    value = np.repeat(rng.normal(size=40), 5)
    low, high = metrics.interval_of_mean(value, group, np.random.default_rng(1))
    alone = metrics.interval_of_mean(value, np.arange(200), np.random.default_rng(1))
    assert low is not None and high is not None and alone[0] is not None and alone[1] is not None
    assert low < value.mean() < high
    assert (high - low) / (alone[1] - alone[0]) == pytest.approx(np.sqrt(5), rel=0.2)
    assert metrics.interval_of_mean(value, np.zeros(200), rng) == (None, None)
