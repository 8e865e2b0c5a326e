"""Ridge heads are scikit-learn's, and what leaving rows out does is what a refit does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge as Reference
from sklearn.linear_model import RidgeClassifier

from xprobe.learners import problem as problems
from xprobe.learners import ridge
from xprobe.learners import solve as heads
from xprobe.learners.problem import Fit, Options, Pool, Problem
from xprobe.learners.ridge import Ridge, signs

# With some dozens of rows a condition number of at most 10⁶ leaves ten decimals in float64.
EXACT = 1e-9
GRID = (1e-2, 0.1, 1.0, 10.0, 100.0)


def rows(
    n: int, d: int, k: int, seed: int, weighted: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % k)
    x = rng.normal(size=(k, d))[y] + rng.normal(size=(n, d))
    return x, y, rng.choice([1.0, 2.0, 0.3], size=n) if weighted else np.ones(n)


def refit(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray, alpha: float, asked: np.ndarray
) -> np.ndarray:
    return np.asarray(Reference(alpha=alpha).fit(x, target, weight).predict(asked))


SHAPES = {
    "n": st.integers(8, 40),
    "d": st.integers(1, 40),
    "k": st.integers(2, 4),
    "alpha": st.sampled_from([1e-2, 0.1, 1.0, 100.0]),
    "seed": st.integers(0, 2**32 - 1),
}


@settings(max_examples=40)
@given(**SHAPES)
def test_decision_values_are_scikit_learns(n: int, d: int, k: int, alpha: float, seed: int) -> None:
    x, y, weight = rows(n, d, k, seed)
    asked = np.random.default_rng(seed).normal(size=(5, d))
    value = Ridge(x, signs(y, k), weight).predict(asked, alpha)
    assert_allclose(value, refit(x, signs(y, k), weight, alpha, asked), atol=EXACT)
    plain = RidgeClassifier(alpha=alpha).fit(x, y, weight).decision_function(asked)
    assert_allclose(value[:, 1] if k == 2 else value, plain, atol=EXACT)


@settings(max_examples=40)
@given(**SHAPES)
def test_leaving_each_row_out_is_a_refit_without_it(
    n: int, d: int, k: int, alpha: float, seed: int
) -> None:
    x, y, weight = rows(n, d, k, seed)
    target = signs(y, k)
    value = Ridge(x, target, weight).leave_one_out(alpha)
    for i in range(0, n, 3):
        rest = np.arange(n) != i
        expected = refit(x[rest], target[rest], weight[rest], alpha, x[[i]])[0]
        assert_allclose(value[i], expected, atol=EXACT)


@settings(max_examples=40)
@given(**SHAPES, share=st.floats(0.05, 0.9))
def test_leaving_a_set_of_rows_out_is_a_refit_without_it(
    n: int, d: int, k: int, alpha: float, seed: int, share: float
) -> None:
    x, y, weight = rows(n, d, k, seed)
    target = signs(y, k)
    out = np.random.default_rng(seed).permutation(n)[: max(1, int(share * n))]
    rest = np.setdiff1d(np.arange(n), out)
    value = Ridge(x, target, weight).left_out(out, alpha)
    expected = refit(x[rest], target[rest], weight[rest], alpha, x[out])
    assert_allclose(value, expected, atol=EXACT)


def test_a_row_of_weight_2_is_a_row_twice() -> None:
    x, y, _ = rows(20, 5, 3, 0)
    weight = np.ones(20)
    weight[:4] = 2
    twice = np.r_[np.arange(20), np.arange(4)]
    one = Ridge(x, signs(y, 3), weight).predict(x, 0.5)
    other = Ridge(x[twice], signs(y[twice], 3), np.ones(24)).predict(x, 0.5)
    assert_allclose(one, other, atol=EXACT)


def only(pool: Pool, problem: Problem, options: Options) -> Fit:
    ((_, fit),) = heads.solve("ridge", pool, [problem], options, workers=1)
    return fit


def balancing(y: np.ndarray) -> np.ndarray:
    counts = np.bincount(y)
    present = np.count_nonzero(counts)
    return np.asarray(len(y) / (present * counts[y]))


def chosen(pool: Pool, problem: Problem, balanced: bool) -> tuple[float, np.ndarray]:
    """Return the best C by refits on every inner fold, and the decision values of the test rows."""

    def values(train: np.ndarray, asked: np.ndarray, c: float) -> np.ndarray:
        y = pool.y[train]
        weight = balancing(y) if balanced else np.ones(len(train))
        x = pool.rows(train).astype(np.float64)
        return refit(x, signs(y, pool.k), weight, 1 / c, pool.rows(asked).astype(np.float64))

    hits = [
        sum(
            (values(train, validation, c).argmax(1) == pool.y[validation]).sum()
            for train, validation in problem.inner
        )
        for c in GRID
    ]
    assert len(set(hits)) > 1  # Else any choice would pass.
    c = GRID[int(np.argmax(hits))]
    return c, values(problem.train, problem.test, c)


def inner_folds(kind: str, train: np.ndarray, synthetic: np.ndarray) -> tuple[Problem, str]:
    """Return a problem whose inner folds are of one kind, and which way they must be solved."""
    real = np.setdiff1d(train, synthetic)
    parts = [real[i::3] for i in range(3)]
    test = np.arange(80, 120)
    if kind == "subset":
        inner = tuple((np.setdiff1d(train, part), part) for part in parts)
    elif kind == "more than half out":
        inner = tuple((np.r_[part, synthetic[:6]], np.setdiff1d(real, part)) for part in parts)
    elif kind == "not a subset":
        inner = tuple(
            (np.r_[part, 120 + np.arange(20)], np.setdiff1d(real, part)) for part in parts
        )
    elif kind == "trained on synthetic only":
        inner = tuple((synthetic, part) for part in parts)
    else:  # A row stands once in the problem, but twice in its inner fold.
        inner = tuple((np.r_[np.setdiff1d(train, part), synthetic], part) for part in parts)
    return Problem(train, test, inner), "left out" if kind == "subset" else "anew"


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        "subset",
        "more than half out",
        "not a subset",
        "trained on synthetic only",
        "counted otherwise",
    ],
)
def test_the_choice_is_that_of_a_refit_per_inner_fold(
    kind: str, balanced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[str] = []
    left_out = Ridge.left_out

    def spy(self: Ridge, rows: np.ndarray, alpha: float) -> np.ndarray:
        ways.append("left out")
        return left_out(self, rows, alpha)

    monkeypatch.setattr(ridge.Ridge, "left_out", spy)
    for seed in range(4):
        x, y, _ = rows(160, 20, 3, seed)
        y[:20] = 0  # The classes are unbalanced.
        pool = Pool((x + 2).astype(np.float32), y, 3, (np.arange(160) >= 60).astype(np.intp))
        problem, way = inner_folds(kind, np.arange(80), np.arange(60, 80))
        value = only(pool, problem, Options(GRID, balanced=balanced))
        c, values = chosen(pool, problem, balanced)
        assert value.c == c
        assert value.fits == len(GRID) * (len(problem.merged_inner()) + 1)
        expected = problems.as_scores(values, range(3))
        assert_allclose(value.score, expected, atol=1e-5)  # Scores are float32.
    assert bool(ways) == (way == "left out" and not balanced)


def test_a_row_named_twice_counts_twice() -> None:
    x, y, _ = rows(60, 8, 3, 0)
    pool = Pool(x, y, 3)
    train, test = np.arange(40), np.arange(40, 60)
    twice = only(pool, Problem(np.r_[train, train], test, ()), Options((1.0,)))
    doubled = only(pool, Problem(train, test, ()), Options((2.0,)))
    assert_allclose(twice.score, doubled.score, atol=1e-6)  # Scores are float32.


def test_a_class_without_training_images_is_never_predicted() -> None:
    x, y, _ = rows(60, 8, 3, 0)
    fit = only(Pool(x, y, 3), Problem(np.flatnonzero(y != 1), np.arange(60), ()), Options(GRID))
    assert np.isfinite(fit.score).all()
    assert not (fit.score.argmax(axis=1) == 1).any()
    assert (fit.c, fit.temperature) == (problems.C_WITHOUT_CHOICE, None)
