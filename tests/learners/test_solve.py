"""The heads are the optimum, whatever they are solved beside and however they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from xprobe.base.errors import XprobeError
from xprobe.learners import kinds, knn
from xprobe.learners import problem as problems
from xprobe.learners import solve as heads
from xprobe.learners.kinds import kind_of
from xprobe.learners.logistic import basis, rows, solver
from xprobe.learners.logistic import head as logistic
from xprobe.learners.logistic.solver import Batch, Solution, Start
from xprobe.learners.problem import Fit, Options, Pool, Problem, fit_temperature

GAP = 1e-6  # of the objective above its minimum, relative: what a head promises
GRID = (0.01, 0.1, 1.0, 10.0, 100.0)


@pytest.fixture(autouse=True, scope="module")
def one_core() -> Iterator[None]:
    """Threads cost more than they bring where everything is small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def data(
    n: int = 90, d: int = 12, k: int = 3, spread: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % k)
    x = rng.normal(size=(k, d))[y] + spread * rng.normal(size=(n, d))
    return x.astype(np.float32), y.astype(np.intp)


def halves(n: int, folds: int = 3) -> Problem:
    train, test = np.arange(0, n, 2), np.arange(1, n, 2)
    inner = tuple((np.delete(train, np.s_[i::folds]), train[i::folds]) for i in range(folds))
    return Problem(train, test, inner)


def fixed(train: np.ndarray, test: np.ndarray) -> Problem:
    return Problem(train, test, ())


def only(
    pool: Pool,
    problem: Problem,
    c: float | tuple[float, ...],
    name: str = "logistic",
    *,
    rule: str = "best",
    balanced: bool = False,
) -> Fit:
    grid = c if isinstance(c, tuple) else (c,)
    ((number, fit),) = heads.solve(name, pool, [problem], Options(grid, rule, balanced), workers=1)
    assert number == 0
    return fit


# Reading coefficients off scores, and comparing objectives


def probed(x: np.ndarray, y: np.ndarray, k: int) -> Pool:
    """Return a pool with d + 1 rows more, at which the scores are the coefficients."""
    d = x.shape[1]
    probes = np.vstack([np.eye(d, dtype=x.dtype), np.zeros((1, d), dtype=x.dtype)])
    stratum = np.repeat([0, 1], [len(x), d + 1])  # no problem is drawn from these
    return Pool(np.vstack([x, probes]), np.r_[y, np.zeros(d + 1, dtype=np.intp)], k, stratum)


def coefficients(pool: Pool, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return (k, d) and (k,) of sum 0 over the classes, of a fit that scores a pool's all rows."""
    assert fit.score.min() > problems.IMPOSSIBLE  # or scores are no logits
    probes = fit.score[np.flatnonzero(pool.stratum)].astype(np.float64)
    probes -= probes.mean(axis=1, keepdims=True)
    return (probes[:-1] - probes[-1]).T, probes[-1]


def objective(
    w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, c: float, weight: np.ndarray
) -> float:
    """Return scikit-learn's; of two classes it penalises their difference only."""
    log_p = log_softmax(x @ w.T + b, axis=1)[np.arange(len(y)), y]
    penalty = ((w[1] - w[0]) ** 2).sum() / 2 if len(w) == 2 else (w**2).sum() / 2
    return float(penalty - c * (weight * log_p).sum())


def reference(
    x: np.ndarray, y: np.ndarray, c: float, weight: np.ndarray | None = None, balanced: bool = False
) -> LogisticRegression:
    """Return scikit-learn's optimum by Newton's method with the exact Hessian, in float64."""
    head = LogisticRegression(
        C=c,
        solver="newton-cholesky",
        tol=1e-10,
        max_iter=1000,
        class_weight="balanced" if balanced else None,
    )
    return head.fit(x.astype(np.float64), y, weight)


def gap(
    pool: Pool,
    train: np.ndarray,
    c: float,
    *,
    weight: np.ndarray | None = None,
    solved: Fit | None = None,
    balanced: bool = False,
) -> float:
    """Return how far a head trained on rows lies above the optimum, relative."""
    fit = solved or only(pool, fixed(train, np.arange(len(pool.y))), c, balanced=balanced)
    x, y = pool.rows(train).astype(np.float64), pool.y[train]
    best = reference(x, y, c, weight, balanced)
    w, b = best.coef_, best.intercept_
    if len(w) == 1:
        w, b = np.vstack([-w, w]) / 2, np.r_[-b, b] / 2
    weight = np.ones(len(y)) if weight is None else weight
    if balanced:
        weight = weight * len(y) / (pool.k * np.bincount(y)[y])
    least = objective(w, b, x, y, c, weight)
    return (objective(*coefficients(pool, fit), x, y, c, weight) - least) / least


def near(c: float, n: int, k: int) -> float:
    """Return how far scores may lie from the optimum's: F is 1-strongly convex in W.

    Where F is ε above its minimum, W is √(2ε) from its own, and a difference of logits twice that;
    F at its minimum is no larger than at W = 0.
    """
    return float(2 * np.sqrt(2 * GAP * c * n * np.log(k)))


def loss(fit: Fit, y: np.ndarray) -> float:
    """Return the sum of the cross-entropies of rows that a fit scored."""
    return float(-fit.score[np.arange(len(y)), y].astype(np.float64).sum())


# The optimum


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("spread", [0.3, 2.0])
@pytest.mark.parametrize("c", [1e-4, 0.01, 1.0, 100.0, 1e3])
def test_a_head_is_scikit_learns_optimum_at_the_same_c(k: int, spread: float, c: float) -> None:
    pool = probed(*data(k=k, spread=spread), k)
    assert gap(pool, np.arange(0, 90, 2), c) <= GAP


@pytest.mark.parametrize("k", [2, 3])
def test_scores_are_scikit_learns_log_probabilities(k: int) -> None:
    pool = Pool(*data(k=k), k)
    problem = halves(90)
    fit = only(pool, fixed(problem.train, problem.test), 1.0)
    x = pool.rows(problem.train).astype(np.float64)
    best = reference(x, pool.y[problem.train], 1.0)
    expected = best.predict_log_proba(pool.rows(problem.test).astype(np.float64))
    assert_allclose(fit.score, expected, atol=near(1.0, len(x), k))


@pytest.mark.parametrize("c", [0.1, 10.0, 1e3])
def test_more_columns_than_rows_and_repeated_and_constant_columns_lose_nothing(c: float) -> None:
    x, y = data(n=40, d=50)
    x = np.hstack([x, np.zeros((40, 7), np.float32), np.ones((40, 3), np.float32), x[:, :20]])
    assert gap(probed(x, y, 3), np.arange(0, 40, 2), c) <= GAP


def test_one_image_a_class_is_enough() -> None:
    x, y = data(k=4)
    train = np.unique(y, return_index=True)[1]
    pool = probed(x, y, 4)
    for c in (0.01, 1.0, 100.0):
        assert gap(pool, train, c) <= GAP


@pytest.mark.parametrize("k", [2, 3])
def test_naming_rows_twice_is_doubling_their_weight(k: int) -> None:
    pool = probed(*data(k=k), k)
    train = np.arange(0, 90, 2)
    twice = np.r_[train, train[:15]]
    everything = np.arange(len(pool.y))
    fit = only(pool, fixed(twice, everything), 3.0)
    weight = np.where(np.arange(len(train)) < 15, 2.0, 1.0)
    assert gap(pool, train, 3.0, weight=weight, solved=fit) <= GAP
    shuffled = only(pool, fixed(np.random.default_rng(0).permutation(twice), everything), 3.0)
    assert_array_equal(shuffled.score, fit.score)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("r", [1, 4])
def test_repeating_every_row_is_multiplying_c(k: int, r: int) -> None:
    pool = probed(*data(k=k), k)
    train, everything = np.arange(0, 90, 2), np.arange(len(pool.y))
    c = 2.0 * (r + 1)
    repeated = only(pool, fixed(np.tile(train, r + 1), everything), 2.0)
    scaled = only(pool, fixed(train, everything), c)
    assert gap(pool, train, c, solved=repeated) <= GAP
    assert_allclose(repeated.score, scaled.score, atol=2 * near(c, len(train), k))


def test_rotating_the_features_changes_nothing() -> None:
    x, y = data()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    train, everything = np.arange(0, 90, 2), np.arange(103)
    pool = probed(x, y, 3)
    turned = Pool(pool.rows() @ turn.astype(np.float32), pool.y, 3, pool.stratum)
    fit = only(turned, fixed(train, everything), 10.0)
    assert gap(pool, train, 10.0, solved=fit) <= GAP  # The probes are the same, rotated.


def test_balanced_classes_weigh_the_same() -> None:
    x, y = data(n=120)
    train = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10], np.flatnonzero(y == 2)[:5]]
    train = np.r_[train, train[:7]]  # These rows are named twice, and count twice.
    for k in (2, 3):
        part = train[y[train] < k]
        pool = probed(x[y < k], y[y < k], k)
        part = np.searchsorted(np.flatnonzero(y < k), part)
        assert gap(pool, part, 3.0, balanced=True) <= GAP
        assert gap(pool, part, 3.0) <= GAP
        plain, balanced = (only(pool, fixed(part, part), 3.0, balanced=b) for b in (False, True))
        assert np.abs(plain.score - balanced.score).max() > 0.1


# Limits


@pytest.mark.parametrize("k", [2, 3])
def test_at_c_near_0_every_image_gets_the_class_shares(k: int) -> None:
    """The shares are where the gradient vanishes that the solver takes to 1e-5 of the weights."""
    x, y = data(k=k)
    train = np.arange(0, 80, 2)
    fit = only(Pool(x, y, k), fixed(train, np.arange(90)), 1e-10)
    shares = np.bincount(y[train]) / len(train)
    assert_allclose(np.exp(fit.score), np.tile(shares, (90, 1)), atol=2e-5)


@pytest.mark.parametrize("k", [2, 3])
def test_at_huge_c_separable_rows_are_all_right(k: int) -> None:
    x, y = data(k=k, spread=0.2)
    train = np.arange(0, 90, 2)
    fit = only(Pool(x, y, k), fixed(train, train), 1e10)
    assert np.isfinite(fit.score).all()
    assert fit.unconverged <= fit.finished
    assert_array_equal(fit.score.argmax(axis=1), y[train])


@pytest.mark.parametrize("k", [2, 3])
def test_at_huge_c_other_rows_get_the_unpenalised_optimum(k: int) -> None:
    """At most its penalty, and the gap, can be lost in loss."""
    x, y = data(n=200, d=4, k=k, spread=3.0)
    pool = Pool(x, y, k)
    train, c = np.arange(0, 200, 2), 1e8
    fit = only(pool, fixed(train, train), c)
    unit = pool.rows(train).astype(np.float64)
    best = reference(unit, y[train], 1e12)
    least = -best.predict_log_proba(unit)[np.arange(len(train)), y[train]].sum()
    size = (best.coef_**2).sum() / 2
    assert fit.unconverged == 0
    rounding = len(train) * 1e-6  # of float32 scores
    assert -rounding <= loss(fit, y[train]) - least <= size / c + GAP * least + rounding


# Features


def test_the_length_of_features_does_not_matter() -> None:
    """Factors that are powers of two change no bit but those of the exponent."""
    x, y = data()
    problem = halves(90)
    one = only(Pool(x, y, 3), problem, GRID)
    factors = 2.0 ** np.array([-20, 0, 20])[np.arange(90) % 3]
    for factor in (2.0**-20, 2.0**20, factors[:, None]):
        scaled = (x * factor).astype(np.float32)
        assert_array_equal(only(Pool(scaled, y, 3), problem, GRID).score, one.score)


def test_features_that_are_not_finite_are_refused() -> None:
    x, y = data()
    x[3, 4] = np.nan
    with pytest.raises(XprobeError, match="finite"):
        Pool(x, y, 3)
    with pytest.raises(XprobeError, match="finite"):
        only(Pool(Source(x), y, 3), halves(90), 1.0)


@pytest.mark.parametrize("name", ["logistic", "ridge", "knn"])
def test_rows_of_zeros_stay_finite(name: str) -> None:
    x, y = data()
    x[:2] = 0
    assert np.isfinite(only(Pool(x, y, 3), halves(90), GRID, name).score).all()


# Classes


@pytest.mark.parametrize("name", ["logistic", "ridge", "knn"])
def test_a_class_without_training_images_is_never_predicted_and_the_score_is_finite(
    name: str,
) -> None:
    x, y = data(k=4)
    problem = halves(90)
    train = problem.train[y[problem.train] != 1]
    parts = tuple((a[y[a] != 1], b[y[b] != 1]) for a, b in problem.inner)
    for inner in ((), parts):
        fit = only(Pool(x, y, 4), Problem(train, problem.test, inner), GRID, name)
        assert np.isfinite(fit.score).all()
        assert (fit.score[:, 1] == problems.IMPOSSIBLE).all()
        assert not (fit.score.argmax(axis=1) == 1).any()


def test_a_class_without_training_images_changes_nothing_for_the_others() -> None:
    x, y = data()
    train, everything = np.arange(0, 90, 2), np.arange(103)
    with_all = probed(x, y, 3)
    more = Pool(with_all.rows(), np.array([0, 2, 3])[with_all.y], 5, with_all.stratum)
    fit = only(more, fixed(train, everything), 10.0)
    assert gap(with_all, train, 10.0, solved=replace(fit, score=fit.score[:, [0, 2, 3]])) <= GAP


@pytest.mark.parametrize("name", ["logistic", "ridge", "knn"])
def test_a_single_class_cannot_be_learned(name: str) -> None:
    x, y = data()
    problem = fixed(np.flatnonzero(y == 1), np.arange(9))
    with pytest.raises(XprobeError, match="fewer than two classes"):
        only(Pool(x, y, 3), problem, 1.0, name)


def test_an_inner_fold_may_lack_a_class() -> None:
    x, y = data(spread=0.2)
    train = np.arange(90)
    inner = tuple((np.flatnonzero(y != i), np.flatnonzero(y == i)) for i in range(3))
    fit = only(Pool(x, y, 3), Problem(train, train, inner), GRID)
    assert fit.c == GRID[0]  # all are as wrong
    assert np.isfinite(fit.score).all()
    assert fit.unconverged == 0


# The choice of C


def hits(pool: Pool, problem: Problem, grid: tuple[float, ...]) -> np.ndarray:
    """Return how many inner validation images scikit-learn gets right at each C."""
    hits_at = np.zeros(len(grid), dtype=int)
    for i, c in enumerate(grid):
        for train, validation in problem.inner:
            best = reference(pool.rows(train), pool.y[train], c)
            right = best.predict(pool.rows(validation).astype(np.float64)) == pool.y[validation]
            hits_at[i] += right.sum()
    return hits_at


def noisy(seed: int, n: int = 80) -> tuple[Pool, Problem]:
    x, y = data(n=n, spread=1.5 + seed % 4, seed=seed, k=2 + seed % 3)
    return Pool(x, y, 2 + seed % 3), halves(n)


@pytest.mark.parametrize("seed", range(6))
def test_c_is_the_best_on_the_inner_validation_images(seed: int) -> None:
    pool, problem = noisy(seed)
    hits_at = hits(pool, problem, GRID)
    assert len(set(hits_at)) > 1  # Else any choice would pass.
    fit = only(pool, problem, GRID)
    assert fit.c == GRID[int(np.argmax(hits_at))]
    assert fit.at_edge == (fit.c in (GRID[0], GRID[-1]))
    assert fit.fits == len(GRID) * (len(problem.inner) + 1)
    assert (fit.finished, fit.unconverged) == (0, 0)


def test_the_chosen_c_is_fitted_to_full_tolerance() -> None:
    pool = probed(*data(spread=2.0), 3)
    problem = replace(halves(90), test=np.arange(103))
    fit = only(pool, problem, (0.1, 1.0, 10.0, 100.0))
    assert gap(pool, problem.train, fit.c, solved=fit) <= GAP


@pytest.mark.parametrize("seed", range(6))
def test_one_standard_error_takes_the_smallest_c_within_it(seed: int) -> None:
    pool, problem = noisy(seed)
    hits_at, n = hits(pool, problem, GRID), len(problem.train)
    share = hits_at.max() / n
    error = np.sqrt(share * (1 - share) / n)
    fit = only(pool, problem, GRID, rule="one-se")
    assert fit.c == GRID[int(np.argmax(hits_at / n >= share - error))]


def test_ranking_c_at_a_looser_tolerance_chooses_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = tuple(10.0 ** np.arange(-3, 4.1, 0.5))
    loose = [only(*noisy(seed), grid) for seed in range(12)]
    monkeypatch.setattr(logistic, "RANK_TOLERANCE", 3e-8)
    monkeypatch.setattr(logistic, "RANK_GRADIENT_TOLERANCE", 1e-5)
    tight = [only(*noisy(seed), grid) for seed in range(12)]
    assert [fit.c for fit in loose] == [fit.c for fit in tight]
    assert len({fit.c for fit in tight}) > 4  # Else any choice would pass.


def test_a_tie_takes_the_smallest_c_and_an_edge_is_told() -> None:
    fit = only(Pool(*data(spread=0.01), 3), halves(90), (1.0, 10.0, 100.0))
    assert (fit.c, fit.at_edge) == (1.0, True)


@pytest.mark.parametrize("name", ["logistic", "ridge"])
def test_without_inner_folds_c_is_fixed_and_no_temperature_known(name: str) -> None:
    problem = halves(90)
    fit = only(Pool(*data(), 3), fixed(problem.train, problem.test), (0.1, 1.0), name)
    assert (fit.c, fit.at_edge, fit.fits) == (problems.C_WITHOUT_CHOICE, False, 2 - 1)
    assert fit.temperature is None
    assert only(Pool(*data(), 3), problem, (0.1, 1.0), name).temperature is not None


# Company


def mixed() -> tuple[Pool, list[Problem]]:
    """Return a pool of real and synthetic rows, and problems of several mixtures of them."""
    x, y = data(n=160, spread=2.0)
    stratum = (np.arange(160) >= 80).astype(np.intp)
    real, synthetic = np.arange(80), np.arange(80, 160)
    drawn = []
    for i in range(3):
        train, test = np.delete(real, np.s_[i::4]), real[i::4]
        parts = [train[j::3] for j in range(3)]
        for more in (synthetic[:0], synthetic[: 10 * (i + 1)], synthetic):
            inner = tuple((np.r_[np.setdiff1d(train, part), more], part) for part in parts)
            drawn.append(Problem(np.r_[train, more], test, inner))
        inner = tuple((synthetic, part) for part in parts)
        drawn.append(Problem(synthetic, test, inner))
    return Pool(x, y, 3, stratum), drawn


def same(one: Fit, other: Fit) -> bool:
    facts = (one.c, one.at_edge, one.fits, one.finished, one.unconverged, one.temperature)
    others = (other.c, other.at_edge, other.fits, other.finished, other.unconverged)
    return facts == (*others, other.temperature) and np.array_equal(one.score, other.score)


@pytest.mark.parametrize("name", ["logistic", "ridge", "knn"])
def test_company_and_order_do_not_change_a_bit(name: str) -> None:
    pool, several = mixed()
    options = Options(GRID)
    together = dict(heads.solve(name, pool, several, options, workers=1))
    backwards = dict(heads.solve(name, pool, several[::-1], options, workers=1))
    assert set(together) == set(range(len(several)))
    for i, problem in enumerate(several):
        assert same(together[i], only(pool, problem, GRID, name))
        assert same(together[i], backwards[len(several) - 1 - i])


def test_processes_do_not_change_a_bit() -> None:
    pool, several = mixed()
    several = several[:4]
    alone = dict(heads.solve("logistic", pool, several, Options(GRID), workers=1))
    together = dict(heads.solve("logistic", pool, several, Options(GRID), workers=2))
    assert all(same(alone[i], together[i]) for i in range(4))


def test_equal_problems_are_solved_once() -> None:
    pool, problem = Pool(*data(), 3), halves(90)
    again = Problem(problem.train.copy(), problem.test.copy(), problem.inner)
    fits = dict(heads.solve("logistic", pool, [problem, again], Options(GRID), workers=1))
    assert fits[0] is fits[1]


# Memory


class Source:
    """Rows that are read, as from a file; tells the most that were asked for at once."""

    def __init__(self, x: np.ndarray) -> None:
        self.x, self.most = x, 0

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.most = max(self.most, len(rows))
        return self.x[rows]


@pytest.mark.parametrize("k", [2, 3])
def test_little_memory_splits_the_work_and_changes_nothing(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, problem = Pool(*data(k=k, spread=2.0), k), halves(90)
    grid = tuple(10.0 ** np.arange(-2, 3.1, 0.5))
    sizes: list[int] = []
    minimise = solver.minimise

    def spy(batch: Batch, *args: float) -> Solution:
        sizes.append(len(batch.weight_of))
        return minimise(batch, *args)

    monkeypatch.setattr(solver, "minimise", spy)
    one = only(pool, problem, grid)
    most = max(sizes)
    sizes.clear()
    monkeypatch.setattr(logistic, "MEMORY_MIB", 0.05)
    other = only(pool, problem, grid)
    assert max(sizes) < most
    assert (one.c, one.fits) == (other.c, other.fits)
    assert_allclose(other.score, one.score, atol=1e-4)


@pytest.mark.parametrize("name", ["logistic", "text"])
def test_features_may_be_read_in_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basis, "_CHUNK", 64)
    monkeypatch.setattr(basis, "_AXES_OF", 64)
    monkeypatch.setattr(rows, "MANY", 64)
    pool, several = mixed()
    text = pool.rows() @ np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    pool = replace(pool, text_logits=text)
    source = Source(np.asarray(pool.rows()))
    streamed = replace(pool, x=source)
    assert not streamed.in_memory
    for problem in several[:4]:
        one, other = (only(p, problem, GRID, name) for p in (pool, streamed))
        assert (one.c, one.fits, other.unconverged) == (other.c, other.fits, 0)
        assert_allclose(other.score, one.score, atol=1e-4)
    assert source.most == 64


def test_many_rows_have_the_optimum_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples for axes and curvature, blocks, and a first quarter change the speed alone."""
    pool, _ = mixed()
    every = np.arange(len(pool.y))
    once = logistic.solve_path(pool, every, GRID)
    monkeypatch.setattr(basis, "_AXES_OF", 30)
    monkeypatch.setattr(rows, "MANY", 30)
    monkeypatch.setattr(rows, "_BLOCK", 16)
    monkeypatch.setattr(logistic, "_QUARTER_FROM", 30)
    again = logistic.solve_path(pool, every, GRID)
    x, ones = pool.rows().astype(np.float64), np.ones(len(every))
    for i, c in enumerate(GRID):
        value, best = (objective(w[i], b[i], x, pool.y, c, ones) for w, b in (again, once))
        assert abs(value - best) <= 1e-6 * best


def test_the_order_of_a_gpu_has_the_same_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """All values of C in one wave, from nothing, on axes that the device found."""
    pool, several = mixed()
    every = np.arange(len(pool.y))
    options = Options(GRID)
    once = logistic.solve_path(pool, every, GRID)
    fits = [logistic.Logistic(pool, options).solve(problem) for problem in several]
    monkeypatch.setattr(rows.InMemory, "is_on_gpu", True)
    monkeypatch.setattr(basis.Basis, "is_on_gpu", True)
    again = logistic.solve_path(pool, every, GRID)
    x, ones = pool.rows().astype(np.float64), np.ones(len(every))
    for i, c in enumerate(GRID):
        value, best = (objective(w[i], b[i], x, pool.y, c, ones) for w, b in (again, once))
        assert (again[0][i] != once[0][i]).any()
        assert abs(value - best) <= 1e-6 * best
    for problem, fit in zip(several, fits, strict=True):
        other = logistic.Logistic(pool, options).solve(problem)
        assert (other.c, other.fits, other.unconverged) == (fit.c, fit.fits, 0)
        assert_allclose(other.score, fit.score, atol=1e-3)


# What float32 does not reach


def stop_early(monkeypatch: pytest.MonkeyPatch, types: tuple[torch.dtype, ...]) -> None:
    """Let the solver give up after two passes in some types."""
    minimise = solver.minimise

    def stopped(batch: Batch, start: Start, tolerance: float, gradient: float) -> Solution:
        if batch.target.dtype not in types:
            return minimise(batch, start, tolerance, gradient)
        solution = minimise(batch, start, tolerance, gradient, 2)
        return replace(solution, converged=torch.zeros_like(solution.converged))

    monkeypatch.setattr(solver, "minimise", stopped)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("by", ["float64", "scikit-learn"])
def test_what_float32_leaves_is_finished(k: int, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    solve = logistic.reference

    def spy(
        x: np.ndarray, y: np.ndarray, weight: np.ndarray, penalty: float, k: int
    ) -> tuple[np.ndarray, bool]:
        asked.append(1)
        return solve(x, y, weight, penalty, k)

    pool = probed(*data(k=k, spread=2.0), k)
    problem = replace(halves(90), test=np.arange(103))
    plain = only(pool, problem, GRID)
    types = (torch.float32,) if by == "float64" else (torch.float32, torch.float64)
    stop_early(monkeypatch, types)
    monkeypatch.setattr(logistic, "reference", spy)
    fit = only(pool, problem, GRID)
    assert fit.c == plain.c
    assert gap(pool, problem.train, fit.c, solved=fit) <= GAP
    assert fit.finished >= fit.fits  # those of the path, and the last one once more
    assert fit.unconverged == 0
    assert bool(asked) == (by == "scikit-learn")


@pytest.mark.parametrize("k", [2, 3])
def test_finished_heads_know_classes_without_images(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leave the optimum of the others in place."""
    x, y = data(k=k)
    pool = probed(x, y, k)
    more = Pool(pool.rows(), pool.y + 1, k + 1, pool.stratum)
    train = np.arange(0, 90, 2)
    stop_early(monkeypatch, (torch.float32, torch.float64))
    fit = only(more, fixed(train, np.arange(103)), 10.0)
    assert (fit.score[:, 0] == problems.IMPOSSIBLE).all()
    assert gap(pool, train, 10.0, solved=replace(fit, score=fit.score[:, 1:])) <= GAP


def test_a_head_that_nothing_finishes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = with_text(spread=2.0)
    stop_early(monkeypatch, (torch.float32, torch.float64))
    problem = halves(90)
    fit = only(pool, fixed(problem.train, problem.test), 1.0, "text")
    assert fit.unconverged > 0


# Heads that start from text


def with_text(spread: float = 1.0, n: int = 90, d: int = 12) -> Pool:
    """Return a pool whose zero-shot logits are linear in its features, as they are in CLIP's."""
    x, y = data(n=n, d=d, spread=spread)
    toward = 5 * np.random.default_rng(9).normal(size=(d, 3)).astype(np.float32)
    pool = Pool(x, y, 3, np.arange(n) % 2)
    return replace(pool, text_logits=pool.rows() @ toward)


def test_at_c_near_0_the_text_head_is_zero_shot_but_for_intercepts() -> None:
    """Intercepts make the mean probability of each class its share of the training rows."""
    pool, train = with_text(), np.arange(0, 80)
    assert pool.text_logits is not None
    fit = only(pool, fixed(train, np.arange(90)), 1e-10, "text")
    moved = fit.score - pool.text_logits
    moved -= moved.mean(axis=1, keepdims=True)
    assert_allclose(moved, np.tile(moved[0], (90, 1)), atol=1e-5)  # float32 logits up to 20
    shares = np.bincount(pool.y[train]) / len(train)
    assert_allclose(np.exp(fit.score[train]).mean(axis=0), shares, atol=2e-5)


def test_at_large_c_the_text_head_is_the_logistic_one() -> None:
    """Both lose no more than their penalty at the optimum that is common to them without one."""
    pool, train, c = with_text(n=300, d=4, spread=3.0), np.arange(0, 300, 2), 1e7
    plain, text = (only(pool, fixed(train, train), c, name) for name in ("logistic", "text"))
    unit = pool.rows(train).astype(np.float64)
    best = reference(unit, pool.y[train], 1e12)
    least = -best.predict_log_proba(unit)[np.arange(len(train)), pool.y[train]].sum()
    toward = np.linalg.lstsq(unit, pool.text_logits[train], rcond=None)[0].T  # type: ignore[index]
    rounding = len(train) * 1e-6  # of float32 scores
    for fit, w in ((plain, best.coef_), (text, best.coef_ - toward)):
        allowed = (w**2).sum() / 2 / c + GAP * least + rounding
        assert -rounding <= loss(fit, pool.y[train]) - least <= allowed
    far = only(pool, fixed(train, train), 0.1, "text").score
    assert np.abs(far - only(pool, fixed(train, train), 0.1).score).max() > 1


def test_the_text_head_is_the_optimum_of_the_deviation() -> None:
    """Its gradient vanishes: C·Σ (p − t) xᵀ + W = 0, so W comes back from the residuals."""
    pool, train, c = with_text(spread=2.0), np.arange(0, 90, 2), 5.0
    assert pool.text_logits is not None
    fit = only(pool, fixed(train, train), c, "text")
    x = pool.rows(train).astype(np.float64)
    residual = np.exp(fit.score.astype(np.float64)) - np.eye(3)[pool.y[train]]
    w = -c * residual.T @ x
    moved = fit.score - pool.text_logits[train] - x @ w.T
    moved -= moved.mean(axis=1, keepdims=True)
    # ‖∇f‖ ≤ 1e-5 of the mean loss, C·n times that of the sum
    allowed = 2 * solver.GRADIENT_TOLERANCE * c * len(train) + 1e-5
    assert_allclose(moved, np.tile(moved.mean(axis=0), (len(train), 1)), atol=allowed)
    assert_allclose(residual.sum(axis=0), 0, atol=len(train) * 2 * solver.GRADIENT_TOLERANCE)


def test_soft_targets_change_what_synthetic_rows_teach() -> None:
    pool, problem = with_text(), halves(90)
    everything = replace(problem, train=np.arange(90))
    hard, soft = (only(pool, everything, GRID, name) for name in ("text", "text-soft"))
    assert np.isfinite(soft.score).all()
    assert np.abs(hard.score - soft.score).max() > 0.1
    real = Problem(np.arange(0, 90, 2), np.arange(90), ())  # of stratum 0 only
    one, other = (only(pool, real, 1.0, name) for name in ("text", "text-soft"))
    assert_allclose(one.score, other.score, atol=1e-3)


@pytest.mark.parametrize("name", [k.name for k in kinds.KINDS.rows.values() if k.needs_text])
def test_a_text_head_without_text_says_how_to_get_it(name: str) -> None:
    with pytest.raises(XprobeError, match="embed --prompts"):
        only(Pool(*data(), 3), halves(90), 1.0, name)


def test_an_unknown_head_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(XprobeError, match="logistic"):
        only(Pool(*data(), 3), halves(90), 1.0, "logistics")


# Nearest neighbours


def neighbours(pool: Pool, train: np.ndarray, asked: np.ndarray, n: int) -> np.ndarray:
    """Return scikit-learn's votes (m, k), in shares."""

    def votes(distance: np.ndarray) -> np.ndarray:
        return np.exp((distance.min(axis=1, keepdims=True) - distance) / 0.07)

    head = KNeighborsClassifier(n, metric="cosine", weights=votes)
    head.fit(pool.rows(train).astype(np.float64), pool.y[train])
    return np.asarray(head.predict_proba(pool.rows(asked).astype(np.float64)))


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_vote_as_in_scikit_learn(seed: int) -> None:
    pool, problem = Pool(*data(n=240, k=4, spread=2.0, seed=seed), 4), halves(240)
    hits_at = []
    for n in knn.NEIGHBORS[:-1]:  # An inner fold has too few rows for the largest number.
        right = [
            neighbours(pool, a, b, n).argmax(axis=1) == pool.y[b] for a, b in problem.merged_inner()
        ]
        hits_at.append(np.concatenate(right).sum())
    fit = only(pool, problem, GRID, "knn")
    assert fit.c == knn.NEIGHBORS[int(np.argmax(hits_at))]
    assert fit.fits == len(hits_at) * len(problem.inner) + 1
    votes = neighbours(pool, problem.train, problem.test, int(fit.c))
    assert_array_equal(fit.score.argmax(axis=1), votes.argmax(axis=1))


def test_without_inner_folds_five_neighbours_vote() -> None:
    pool, problem = Pool(*data(spread=2.0), 3), halves(90)
    fit = only(pool, fixed(problem.train, problem.test), GRID, "knn")
    votes = neighbours(pool, problem.train, problem.test, 5)
    assert (fit.c, fit.fits, fit.temperature) == (5, 1, None)
    assert_array_equal(fit.score.argmax(axis=1), votes.argmax(axis=1))


# Temperature


@pytest.mark.parametrize("t", [0.25, 1.0, 3.0])
def test_the_temperature_of_logits_that_were_multiplied_by_it_is_found(t: float) -> None:
    """Rows are as frequent as their probabilities say, so that no other T is as likely."""
    logits = np.repeat(np.log([[3.0, 1.0, 1e-9], [9.0, 1.0, 1e-9]]), [8, 20], axis=0)
    y = np.repeat([0, 1, 0, 1], [6, 2, 18, 2])
    temperature = fit_temperature(t * logits, y, np.array([0, 1]))
    assert temperature == pytest.approx(t, rel=2e-3)  # The search ends at 1e-3 in log T.
    absent = np.full((50, 3), 7.0)
    more = np.vstack([t * logits, absent]), np.r_[y, np.full(50, 2)]
    assert fit_temperature(*more, np.array([0, 1])) == temperature


def test_a_temperature_is_recovered_from_simulated_labels() -> None:
    """Within four standard errors, 1/√(Σ Var(z/T)) in log T."""
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(4000, 4))
    p = np.exp(log_softmax(z, axis=1))
    y = (rng.random(4000)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    information = ((p * z**2).sum(axis=1) - (p * z).sum(axis=1) ** 2).sum()
    temperature = fit_temperature(1.7 * z, y, np.arange(4))
    assert abs(np.log(temperature / 1.7)) <= 4 / np.sqrt(information) + 1e-3


@pytest.mark.parametrize("name", ["logistic", "ridge", "knn"])
def test_an_inner_fold_of_one_class_takes_part(name: str) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = (rng.normal(size=(2, 12))[y] + 0.2 * rng.normal(size=(60, 12))).astype(np.float32)
    zeros, ones = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    inner = ((zeros, ones[:3]), (np.arange(1, 60), np.array([0])))
    problem = Problem(np.arange(60), np.arange(60), inner)
    fits = heads.solve(name, Pool(x, y, 2), [problem], Options((0.01, 1.0, 100.0)), workers=1)
    ((_, fit),) = fits
    assert np.isfinite(fit.score).all()
    assert fit.finished == fit.unconverged == 0


def test_balanced_votes_count_by_the_size_of_their_class() -> None:
    x = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    pool = Pool(x, np.array([0, 0, 0, 1, 1]), 2)
    problem = Problem(np.arange(4), np.array([4]), ())
    score = {}
    for balanced in (False, True):
        options = Options((1.0,), balanced=balanced)
        ((_, fit),) = heads.solve("knn", pool, [problem], options, workers=1)
        score[balanced] = fit.score[0]
    assert score[False][0] > score[False][1]
    assert score[True][0] == pytest.approx(score[True][1])


def test_a_gpu_takes_large_pools_and_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(heads, "GPU_ROWS", 90)
    pools = {n: Pool(*data(n, 4, 3), 3) for n in (60, 90)}
    streamed = replace(pools[90], x=Source(pools[90].rows()))
    logistic_kind, other = kind_of("logistic"), kind_of("ridge")
    assert heads.place(logistic_kind, pools[90], "auto", 6) == ("cuda", 1)
    assert heads.place(logistic_kind, pools[60], "auto", 6) == ("cpu", 6)
    assert heads.place(logistic_kind, streamed, "auto", 6) == ("cpu", 6)
    assert heads.place(other, pools[90], "auto", 6) == ("auto", 6)
    assert heads.place(logistic_kind, pools[60], "cuda:1", 6) == ("cuda:1", 1)
    assert heads.place(other, pools[90], "cuda:1", 6) == ("cuda:1", 6)
    assert heads.place(logistic_kind, pools[60], "cpu", None) == ("cpu", joblib.cpu_count())


def test_without_a_gpu_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(heads, "GPU_ROWS", 1)
    pool = Pool(*data(60, 4, 3), 3)
    assert heads.place(kind_of("logistic"), pool, "auto", 6) == ("cpu", 6)


def test_a_device_that_is_not_there_is_refused() -> None:
    pool = Pool(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]), 2)
    problem = Problem(np.arange(4), np.arange(4), ())
    with pytest.raises(XprobeError, match="device 'abacus' is not usable here"):
        list(heads.solve("logistic", pool, [problem], Options((1.0,)), 1, "abacus"))
