"""Predictions → numbers. Pure.

n images, k classes, R repeats. Labels are class indices; a score row's highest entry is the
prediction. A class without test images is left out of averages over classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Floats, Ints


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


def per_image(label: Ints, score: Floats) -> dict[str, NDArray[np.float64]]:
    """Return what each test image (n,) adds to the metrics that are means over images.

    Args:
        label: (n,) true classes.
        score: (n, k) log-probabilities.

    Returns:
        ``accuracy``; ``balanced_accuracy``, the mean over classes of recall, plus what each hit is
        off its class's, weighted, so that the spread over images is that of the mean;
        ``top2_accuracy`` of 3 to 9 classes or ``top5_accuracy`` of more: whether the true class is
        among the highest scores; ``log_loss`` in nats; ``brier``, the squared distance of the
        probabilities to the truth, 0 to 2. And, which is no metric, ``confidence``: the
        probability of the predicted class.
    """
    n, k = score.shape
    log_p = score.astype(np.float64)
    log_p = log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True)
    p, rows = np.exp(log_p), np.arange(n)
    hit = (score.argmax(axis=1) == label).astype(np.float64)
    count = np.bincount(label, minlength=k)
    recall = np.bincount(label, weights=hit, minlength=k) / np.maximum(count, 1)
    weight = n / ((count > 0).sum() * count[label])
    found = {
        "accuracy": hit,
        "balanced_accuracy": recall[count > 0].mean() + weight * (hit - recall[label]),
    }
    if k > 2:
        top = 2 if k < 10 else 5
        above = (score > score[rows, label][:, None]).sum(axis=1)
        found[f"top{top}_accuracy"] = (above < top).astype(np.float64)
    found["log_loss"] = -log_p[rows, label]
    found["brier"] = (p**2).sum(axis=1) - 2 * p[rows, label] + 1
    found["confidence"] = p.max(axis=1)
    return found


def squared_calibration_error(
    confidence: Floats, hit: Floats, weight: Floats, bins: int = 15
) -> NDArray[np.float64]:
    """Return the squared calibration error of the predicted class, without its bias, per weighting.

    The mean over bins of equal size of (accuracy − confidence)², less what it is by chance alone
    (Kumar et al. 2019); so it may be negative, and is 0 on average if confidences are right. The
    plain estimate of a calibrated model at 180 images is .07² and not 0.

    Args:
        confidence: (n,) probabilities of the predicted classes.
        hit: (n,) whether these are right.
        weight: (draws, n) how often each image counts.
        bins: number of bins of equal size; fewer where there are less than ten images for each.
    """
    n = len(confidence)
    bins = max(1, min(bins, n // 10))
    order = np.argsort(confidence, kind="stable")
    bin_of = np.empty(n, dtype=np.intp)
    bin_of[order] = np.arange(n) * bins // n
    count = _per_class(weight, bin_of, bins)
    right = _per_class(weight * hit, bin_of, bins)
    sure = _per_class(weight * confidence, bin_of, bins)
    some = np.maximum(count, 2)
    accuracy = right / some
    chance = accuracy * (1 - accuracy) / (some - 1)
    error = (accuracy - sure / some) ** 2 - chance
    return np.asarray((count * error).sum(axis=1) / count.sum(axis=1))


def bootstrap_macro_f1(
    label: Ints, predicted: NDArray[np.intp], weight: Floats, k: int
) -> NDArray[np.float64]:
    """Return macro-F1 (S, draws) of S settings under one class-stratified bootstrap of groups.

    The draws are shared, so that differences of rows are paired. Percentiles of macro-F1 are
    biased on small samples: use the standard deviation of the draws.

    Args:
        label: (n,) true classes.
        predicted: (S, R, n) predicted classes; macro-F1 is averaged over the R repeats.
        weight: (draws, n) of `bootstrap_weights`.
        k: number of classes.
    """
    settings, repeats, _ = predicted.shape
    actual = _per_class(weight, label, k)
    out = np.zeros((settings, len(weight)))
    for s in range(settings):
        for r in range(repeats):
            guess = predicted[s, r]
            true = _per_class(weight * (guess == label), label, k)
            out[s] += _mean_f1(true, actual, _per_class(weight, guess, k)) / repeats
    return out


def bootstrap_weights(label: Ints, group: Ints, rng: Generator, draws: int) -> Floats:
    """Return how often each image (draws, n) counts when groups are drawn with replacement.

    They are drawn as a whole, within the class of their first image.
    """
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
