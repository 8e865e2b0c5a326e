"""Predictions → numbers. Pure.

n images, k classes, R repeats. Labels are class indices; a score row's highest entry is the
prediction. A class without test images is left out of averages over classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.types import Floats, Ints


def confusion(label: Ints, predicted: Ints, k: int) -> NDArray[np.intp]:
    """Return counts (k, k): row the true class, column the predicted one."""
    return np.bincount(label * k + predicted, minlength=k * k).reshape(k, k)


def accuracy(label: Ints, predicted: Ints) -> float:
    """Return the share of correct predictions."""
    return float(np.mean(label == predicted))


def macro_f1(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the unweighted mean over classes of F1 = 2·TP / (actual + predicted).

    Args:
        counts: confusion matrices (…, k, k).

    Returns:
        (…), 0 for a class that is never predicted; classes without test images do not count.
    """
    true = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    return _mean_f1(true, counts.sum(axis=-1), counts.sum(axis=-2))


def _mean_f1(true: Floats, actual: Floats, predicted: Floats) -> NDArray[np.float64]:
    total = actual + predicted
    f1 = np.divide(2 * true, total, out=np.zeros_like(true), where=total > 0)
    present = actual > 0
    return np.asarray((f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1))


def per_class(
    counts: NDArray[np.number],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return recall, precision and F1 (k,) each of a confusion matrix (k, k); 0 where undefined."""
    true = np.diagonal(counts).astype(np.float64)
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)

    def share(part: Floats, whole: Floats) -> NDArray[np.float64]:
        return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))

    return share(true, actual), share(true, predicted), share(2 * true, actual + predicted)


def bootstrap_macro_f1(
    label: Ints,
    predicted: NDArray[np.intp],
    group: Ints,
    k: int,
    rng: Generator,
    draws: int = 1000,
) -> NDArray[np.float64]:
    """Return macro-F1 (S, draws) of S settings under one class-stratified bootstrap of groups.

    The draws are shared, so that differences of rows are paired. Percentiles of macro-F1 are
    biased on small samples: use the standard deviation of the draws.

    Args:
        label: (n,) true classes.
        predicted: (S, R, n) predicted classes; macro-F1 is averaged over the R repeats.
        group: (n,) group of each image, drawn as a whole within the class of its first image.
        k: number of classes.
    """
    settings, repeats, _ = predicted.shape
    weight = _bootstrap_weights(label, group, rng, draws)  # (draws, n)
    actual = _per_class(weight, label, k)
    out = np.zeros((settings, draws))
    for s in range(settings):
        for r in range(repeats):
            guess = predicted[s, r]
            true = _per_class(weight * (guess == label), label, k)
            out[s] += _mean_f1(true, actual, _per_class(weight, guess, k)) / repeats
    return out


def _bootstrap_weights(label: Ints, group: Ints, rng: Generator, draws: int) -> Floats:
    _, first, group_of = np.unique(group, return_index=True, return_inverse=True)
    stratum = label[first]
    times = np.empty((draws, len(first)), dtype=np.float32)
    for c in np.unique(stratum):
        own = np.flatnonzero(stratum == c)
        times[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=draws)
    return np.asarray(times[:, group_of])


def _per_class(weight: Floats, code: Ints, k: int) -> Floats:
    """Sum weights (draws, n) over the images of each class code (n,): (draws, k)."""
    one_hot = np.zeros((len(code), k), dtype=np.float32)
    one_hot[np.arange(len(code)), code] = 1
    return np.asarray((weight @ one_hot).astype(np.float64))


def interval_of_mean(
    value: Floats, group: NDArray[Any], rng: Generator, draws: int = 2000
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % bootstrap interval of the mean of (n,) values; groups are drawn whole.

    Of a single group there is none.
    """
    _, code = np.unique(group, return_inverse=True)
    total, count = np.bincount(code, weights=value), np.bincount(code)
    if len(total) < 2:
        return None, None
    drawn = rng.integers(len(total), size=(draws, len(total)))
    low, high = np.quantile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)
