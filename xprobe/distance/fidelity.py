"""Measures of likeness that papers report, computed on arrays of features. Pure.

These are the Fréchet distance, the sliced Wasserstein distance, the Vendi score, and how well a
classifier tells two sets apart. Functions on arrays come first; those whose names end in `_of`
apply them to the splits from which `measure` takes values and real-to-real floors.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Floats, Ints
from xprobe.distance.sides import NoValueError, Sides, Values
from xprobe.engine.threads import in_threads
from xprobe.learners.problem import unit_rows

# The sliced Wasserstein distance takes this many random directions.
PROJECTIONS = 256

FOLDS = 5  # A classifier is cross-validated in this many folds, or fewer if groups are few.

# Products of this many rows are added up in the features' type, and these sums in float64.
ROWS = 2048

# The line of `frechet_infinity` is fitted to this many sizes.
EXTRAPOLATION = 3


# --- Fréchet -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Moments:
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def _moments(x: Floats) -> _Moments:
    """Return the mean and covariance of features (n, d).

    Products of float32 features stay float32, which is twice as fast as float64 and errs by 10⁻⁹
    of the trace.
    """
    mean = x.mean(axis=0, dtype=np.float64)
    centred = x - mean.astype(x.dtype)
    covariance = np.zeros((x.shape[1],) * 2)
    for start in range(0, len(x), ROWS):
        part = centred[start : start + ROWS]
        covariance += part.T @ part
    return _Moments(mean, covariance / (len(x) - 1))


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix L (d, d) for which L Lᵀ is the covariance."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:  # A feature is constant or repeats others.
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def _frechet(a: _Moments, root: NDArray[np.float64], b: _Moments) -> float:
    """Return ‖μ_a − μ_b‖² + Tr S_a + Tr S_b − 2 Tr (S_a S_b)^½ for the root L of S_a.

    The last trace is computed as Σ √eig(Lᵀ S_b L).
    """
    values = np.linalg.eigvalsh(root.T @ b.covariance @ root)
    shared = np.sqrt(np.maximum(values, 0)).sum()
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return float(((a.mean - b.mean) ** 2).sum() + traces - 2 * shared)


def frechet(x: Floats, y: Floats) -> float:
    """Return the Fréchet distance of Gaussians with the moments of x (n, d) and y (m, d).

    It takes two rows or more, and works on their n × m products if rows are fewer than features.
    """
    if min(len(x), len(y)) > x.shape[1]:
        return frechets(x, [y])[0]
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = (x - mean_x) / np.sqrt(len(x) - 1), (y - mean_y) / np.sqrt(len(y) - 1)
    (values,) = in_threads(lambda product: np.linalg.svd(product, compute_uv=False), [x @ y.T])
    shared = values.sum()
    return float(((mean_x - mean_y) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * shared)


def frechets(x: Floats, others: Sequence[Floats]) -> list[float]:
    """Return the Fréchet distance of x (n, d) to each of the others, n > d."""
    a, *moments = map(_moments, [x, *others])  # Linear algebra runs threads by itself.
    root = _root(a.covariance)
    return in_threads(lambda b: _frechet(a, root, b), moments)


def extrapolation_sizes(size: int, d: int) -> list[int]:
    """Return sizes up to `size`, evenly spaced in 1 / size, whose distances are extrapolated.

    Raises:
        NoValueError: too few rows for a line.
    """
    least = max(size // 2, d + 1)
    if size < 1.25 * least:
        raise NoValueError(f"{size} rows a side are too few to extrapolate with {d} features")
    inverse = np.linspace(1 / least, 1 / size, EXTRAPOLATION)
    return [int(s) for s in np.rint(1 / inverse)]


def frechet_infinity(sizes: Sequence[int], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values at infinite size of lines in 1 / size (Chong & Forsyth 2020).

    Args:
        sizes: numbers of rows.
        values: (sizes, …) distances at each size, which the lines are fitted to.
    """
    inverse = 1 / np.asarray(sizes)
    lines = np.polynomial.polynomial.polyfit(inverse, values.reshape(len(sizes), -1), 1)
    return np.asarray(lines[0].reshape(values.shape[1:]))


# --- other measures ------------------------------------------------------------------------


def project(x: Floats, rng: Generator) -> Floats:
    """Return x (n, d) projected on `PROJECTIONS` random directions, (n, directions) float32."""
    directions = unit_rows(rng.standard_normal((PROJECTIONS, x.shape[1])))
    return np.asarray(x @ directions.T.astype(np.float32))


def sliced_wasserstein(x: Floats, y: Floats) -> float:
    """Return the sliced 2-Wasserstein distance of projections (n, directions), sorted by direction.

    It is the root mean square over rows and directions.
    """
    return float(np.sqrt(np.mean((x - y) ** 2, dtype=np.float64)))


def vendi(x: Floats) -> float:
    """Return the Vendi score of x (n, d), the effective number of different rows, 1 … min(n, d).

    It is exp of the entropy of the eigenvalues of the cosine kernel over n (Friedman & Dieng 2023).
    """
    x = unit_rows(x.astype(np.float64))
    share = np.linalg.eigvalsh(x @ x.T if len(x) < x.shape[1] else x.T @ x)
    share = share[share > 1e-12 * share.max()]
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def auc(x: Floats, y: Ints, group: Ints, seed: int) -> float:
    """Return the AUC of a logistic classifier that tells rows (n, d) of y = 0 and y = 1 apart.

    It is the mean over folds of cross-validation, which keep the rows of a group together.

    Raises:
        NoValueError: too few groups, or too large ones.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    groups = min(len(np.unique(group[y == side])) for side in (0, 1))
    if groups < 2:
        raise NoValueError("one group of rows a side; a classifier cannot be cross-validated")
    folds = StratifiedGroupKFold(min(FOLDS, groups), shuffle=True, random_state=seed)
    scores = []
    for train, test in folds.split(x, y, group):
        if min(len(set(y[train])), len(set(y[test]))) < 2:
            continue  # Large groups may leave a fold with rows of one side alone.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # An unconverged classifier ranks rows well enough.
            model = LogisticRegression(max_iter=200).fit(x[train], y[train])
        scores.append(roc_auc_score(y[test], model.decision_function(x[test])))
    if not scores:
        raise NoValueError("groups too large to cross-validate a classifier")
    return float(np.mean(scores))


# --- over the splits of two sides ----------------------------------------------------------


def frechet_of(sides: Sides) -> Values:
    """Return Fréchet distances at the full size of the splits.

    Raises:
        NoValueError: there are no more rows than features, too few for a covariance.
    """
    d = sides.x.shape[1]
    if sides.size <= d:
        raise NoValueError(f"{sides.size} rows a side do not give a covariance of {d} features")
    return _frechet_at(sides, sides.size)


def _frechet_at(sides: Sides, size: int) -> Values:
    """Return Fréchet distances between the first `size` rows of the parts of each split."""
    if size not in sides.frechet_at:
        pairs = []
        for split in sides.few():
            one, *others = (
                sides.x[rows[:size]] for rows in (split.one, split.synthetic, split.other)
            )
            pairs.append(frechets(one, others))
        sides.frechet_at[size] = ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return sides.frechet_at[size]


def frechet_infinity_of(sides: Sides) -> Values:
    """Return Fréchet distances extrapolated to infinitely many rows.

    Raises:
        NoValueError: too few rows for a line.
    """
    sizes = extrapolation_sizes(sides.size, sides.x.shape[1])
    measured = np.array([_frechet_at(sides, size) for size in sizes])  # (sizes, 2, splits)
    values, null = frechet_infinity(sizes, measured)
    return values.tolist(), null.tolist()


def sliced_wasserstein_of(sides: Sides) -> Values:
    """Return sliced Wasserstein distances, for which all splits share their directions."""
    projected = project(sides.x, np.random.default_rng(sides.seeds["projections"]))
    values, null = [], []
    for split in sides.splits:
        one, other, synthetic = (
            np.sort(projected[rows], axis=0) for rows in (split.one, split.other, split.synthetic)
        )
        values.append(sliced_wasserstein(one, synthetic))
        null.append(sliced_wasserstein(one, other))
    return values, null


def vendi_of(sides: Sides) -> Values:
    """Return the Vendi scores of the synthetic rows, and those of as many real rows."""
    few = sides.few()
    return (
        [vendi(sides.x[split.synthetic]) for split in few],
        [vendi(sides.x[split.one]) for split in few],
    )


def auc_of(sides: Sides) -> Values:
    """Return how well a classifier tells both sides apart, and two halves of the real rows.

    Raises:
        NoValueError: too few groups, or too large ones.
    """
    from threadpoolctl import threadpool_limits

    def auc_between(one: Ints, other: Ints) -> float:
        rows, y = np.concatenate([one, other]), np.repeat([0, 1], [len(one), len(other)])
        return auc(sides.x[rows], y, sides.group[rows], sides.seeds["folds"])

    few = sides.few()
    with threadpool_limits(1):  # On such small products, a second thread takes 40 times as long.
        return (
            [auc_between(split.one, split.synthetic) for split in few],
            [auc_between(split.one, split.other) for split in few],
        )
