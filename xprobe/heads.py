"""Heads on frozen features: a whole grid of problems on one pool of rows → scores.

The head is multinomial logistic regression with an L2 penalty on features of unit length, solved
to the optimum: at scikit-learn's default tolerance the solver stops early by amounts that differ
between settings, an error larger than the effects a study looks for.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import joblib
import numpy as np
from scipy.special import log_softmax

from xprobe.errors import XprobeError
from xprobe.types import Floats, Ints

HEADS = ("logistic",)
TOLERANCE = 1e-7  # on the largest component of the gradient of the mean loss
MOST_ITERATIONS = 1000
C_WITHOUT_CHOICE = 10.0  # the middle of the default grid, where no inner fold can be made
IMPOSSIBLE = -80.0  # log-probability of a class without training images; exp() of it is not 0


@dataclass(frozen=True, eq=False)
class Problem:
    """One head to train and to test; rows are positions in the pool.

    Attributes:
        train: rows to train on, real and synthetic.
        test: rows to score.
        inner: pairs (train, validation) for the choice of C; validation rows are real. Empty: no
            choice, `C_WITHOUT_CHOICE`.
    """

    train: Ints
    test: Ints
    inner: tuple[tuple[Ints, Ints], ...]


@dataclass(frozen=True, eq=False)
class Fit:
    """A solved problem.

    Attributes:
        score: (n_test, k) log-probabilities, finite.
        c: the chosen C.
        at_edge: whether it is the smallest or largest of the grid, chosen among several.
        fits: logistic regressions solved.
        unconverged: of these, how many stopped at `MOST_ITERATIONS`.
    """

    score: Floats
    c: float
    at_edge: bool
    fits: int
    unconverged: int


def unit_rows(x: Floats) -> Floats:
    """Return features (n, d) scaled to length 1; rows of zeros stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1))


def _without_null_columns(x: Floats) -> Floats:
    """Rotate a pool (n, d) into the r ≤ d columns that it spans, to float32 precision.

    The penalised optimum is the same in any orthogonal basis, and lies in the span of the rows.
    """
    if len(x) <= x.shape[1]:
        return x  # each problem rotates its own, even fewer rows
    gram = x.T.astype(np.float64) @ x
    values, vectors = np.linalg.eigh(gram)
    kept = values > values[-1] * 1e-12
    return x if kept.all() else np.asarray(x @ vectors[:, kept], dtype=np.float32)


def solve(
    x: Floats,
    y: Ints,
    k: int,
    problems: Sequence[Problem],
    c_grid: Sequence[float],
    workers: int | None = None,
) -> Iterator[tuple[int, Fit]]:
    """Solve a grid of problems on one pool; yield (number of the problem, its fit) as they end.

    C is the one with the highest accuracy on the inner validation images, all folds together; the
    smallest such C on ties.

    Args:
        x: (n, d) features of the pool.
        y: (n,) class indices below `k`.
        k: number of classes; columns of the scores.
        problems: what to solve; equal ones are solved once.
        c_grid: values of C, ascending, as in scikit-learn (C multiplies a sum of losses).
        workers: processes, each with one thread; default one a core.
    """
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for number, problem in enumerate(problems):
        groups.setdefault(_identity(problem), []).append(number)
    unique = [numbers[0] for numbers in groups.values()]
    same = dict(zip(unique, groups.values(), strict=True))
    workers = min(workers or joblib.cpu_count(), len(unique)) or 1
    x = _without_null_columns(unit_rows(x))
    grid = tuple(map(float, c_grid))
    if workers == 1:
        solved: Iterator[tuple[int, Fit]] = (
            (i, _solve_one(x, y, k, problems[i], grid)) for i in unique
        )
        yield from _spread(solved, same)
        return
    with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        solved = parallel(joblib.delayed(_numbered)(i, x, y, k, problems[i], grid) for i in unique)
        yield from _spread(solved, same)


def _spread(
    solved: Iterator[tuple[int, Fit]], same: dict[int, list[int]]
) -> Iterator[tuple[int, Fit]]:
    for first, fit in solved:
        for number in same[first]:
            yield number, fit


def _identity(problem: Problem) -> tuple[bytes, ...]:
    parts = [problem.train, problem.test, *(part for pair in problem.inner for part in pair)]
    return tuple(np.asarray(part).tobytes() for part in parts)


def _numbered(
    number: int, x: Floats, y: Ints, k: int, problem: Problem, c_grid: tuple[float, ...]
) -> tuple[int, Fit]:
    return number, _solve_one(x, y, k, problem, c_grid)


def _solve_one(x: Floats, y: Ints, k: int, problem: Problem, c_grid: tuple[float, ...]) -> Fit:
    fits = unconverged = 0
    if not problem.inner or len(c_grid) == 1:
        c, at_edge = (c_grid[0] if len(c_grid) == 1 else C_WITHOUT_CHOICE), False
    else:
        hits = np.zeros(len(c_grid))
        for train, validations in _by_training_part(problem.inner):
            path, failed = _path(x, y, k, train, validations, c_grid)
            hits += [(scores.argmax(axis=1) == y[validations]).sum() for scores in path]
            fits += len(c_grid)
            unconverged += failed
        best = int(hits.argmax())
        c, at_edge = c_grid[best], best in (0, len(c_grid) - 1)
    (score,), failed = _path(x, y, k, problem.train, problem.test, (c,))
    return Fit(score.astype(np.float32), c, at_edge, fits + 1, unconverged + failed)


def _by_training_part(inner: Sequence[tuple[Ints, Ints]]) -> list[tuple[Ints, Ints]]:
    """Merge inner folds that train on the same rows, as all of synthetic-only's may do."""
    merged: dict[bytes, tuple[Ints, list[Ints]]] = {}
    for train, validation in inner:
        merged.setdefault(train.tobytes(), (train, []))[1].append(validation)
    return [(train, np.concatenate(parts)) for train, parts in merged.values()]


def _path(
    x: Floats, y: Ints, k: int, train: Ints, test: Ints, c_grid: Sequence[float]
) -> tuple[list[Floats], int]:
    """Return log-probabilities (n_test, k) at each C, and how many fits did not converge."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(y[train])
    if len(present) < 2:
        raise XprobeError("a training part has fewer than two classes; nothing can be learned")
    rows, held, labels = x[train].astype(np.float64), x[test].astype(np.float64), y[train]
    if len(rows) < rows.shape[1]:
        # The penalised optimum lies in the span of the rows: rotate it into as many columns.
        _, _, basis = np.linalg.svd(rows, full_matrices=False)
        rows, held = rows @ basis.T, held @ basis.T
    head = LogisticRegression(
        solver="newton-cg", tol=TOLERANCE, max_iter=MOST_ITERATIONS, warm_start=True
    )
    scores, unconverged = [], 0
    for c in c_grid:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # counted instead
            # Newton's line search gives up where rounding hides the last decimals of progress.
            warnings.filterwarnings("ignore", message=".*[Ll]ine [Ss]earch.*")
            head.set_params(C=c).fit(rows, labels)
        unconverged += int(max(head.n_iter_) >= MOST_ITERATIONS)
        logits = head.decision_function(held)
        if len(present) == 2:
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        full = np.full((len(test), k), IMPOSSIBLE)
        full[:, present] = np.maximum(log_softmax(logits, axis=1), IMPOSSIBLE)
        scores.append(full)
    return scores, unconverged
