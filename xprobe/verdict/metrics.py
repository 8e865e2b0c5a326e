"""Predictions → values of metrics. Pure.

Shapes are written with n images, k classes and R repeats. Labels are class indices; the highest
entry of a row of scores is the prediction. A class without test images is left out of averages
over classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Floats, Ints
from xprobe.base.registry import by_name


def confusion(label: Ints, predicted: Ints, k: int) -> NDArray[np.intp]:
    """Return the confusion matrix (k, k): rows are true classes, columns predicted ones."""
    return np.bincount(label * k + predicted, minlength=k * k).reshape(k, k)


def accuracy(label: Ints, predicted: Ints) -> float:
    """Return the share of correct predictions."""
    return float(np.mean(label == predicted))


def macro_f1(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the unweighted mean over classes of F1 = 2·TP / (actual + predicted).

    Args:
        counts: confusion matrices (…, k, k).

    Returns:
        (…) means, to which a class that is never predicted adds 0; classes without test images do
        not count.
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
    """Return recall, precision and F1, (k,) each, from a confusion matrix; 0 where undefined."""
    true = np.diagonal(counts).astype(np.float64)
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)

    def share(part: Floats, whole: Floats) -> NDArray[np.float64]:
        return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))

    return share(true, actual), share(true, predicted), share(2 * true, actual + predicted)


@dataclass(frozen=True, eq=False)
class Scored:
    """Test images, and the scores and predictions that a classifier gave them.

    Attributes:
        label: (n,) true classes.
        score: (n, k) as the classifier gave it; the highest entry of a row is the prediction.
        log_p: (n, k) float64 log-probabilities.
        p: (n, k) probabilities.
        hit: (n,) 1 where the prediction is right, else 0.
    """

    label: Ints
    score: Floats
    log_p: NDArray[np.float64]
    p: NDArray[np.float64]
    hit: NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A metric that is a mean over test images, or is computed from all of them at once.

    Attributes:
        name: its name in results.
        words: its name as people read it.
        unit: ``%`` for a share, which people read in percent; else ``nats`` or ``""``.
        per_image: gives the values (n,) whose mean the metric is; None if it is no such mean.
        larger_is_better: whether larger values are better.
        largest: the value that its mean cannot exceed.
        digits: number of decimals that people see.
        fits: tells from the number of classes whether the metric says anything.
    """

    name: str
    words: str
    unit: str = "%"
    per_image: Callable[[Scored], NDArray[np.float64]] | None = None
    larger_is_better: bool = True
    largest: float = 1.0
    digits: int = 1
    fits: Callable[[int], bool] = lambda k: True

    @property
    def title(self) -> str:
        """The words with the unit, for the head of a column."""
        return f"{self.words}, {self.unit}" if self.unit else self.words


def _scored(label: Ints, score: Floats) -> Scored:
    log_p = score.astype(np.float64)
    log_p = log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True)
    hit = (score.argmax(axis=1) == label).astype(np.float64)
    return Scored(label, score, log_p, np.exp(log_p), hit)


def _hit(scored: Scored) -> NDArray[np.float64]:
    return scored.hit


def _balanced(scored: Scored) -> NDArray[np.float64]:
    """Return values (n,) whose mean is the mean over classes of recall.

    A value is that mean plus the weighted difference of the image's hit from the recall of its
    class. The values then spread so that their standard error is that of the mean over classes.
    """
    label, hit, (n, k) = scored.label, scored.hit, scored.score.shape
    count = np.bincount(label, minlength=k)
    recall = np.bincount(label, weights=hit, minlength=k) / np.maximum(count, 1)
    weight = n / ((count > 0).sum() * count[label])
    return np.asarray(recall[count > 0].mean() + weight * (hit - recall[label]))


def _top_hit(top: int) -> Callable[[Scored], NDArray[np.float64]]:
    """Return a function that tells whether the true class has one of the `top` highest scores."""

    def top_hit(scored: Scored) -> NDArray[np.float64]:
        true = scored.score[np.arange(len(scored.label)), scored.label]
        above = (scored.score > true[:, None]).sum(axis=1)
        return np.asarray((above < top).astype(np.float64))

    return top_hit


def _log_loss(scored: Scored) -> NDArray[np.float64]:
    return np.asarray(-scored.log_p[np.arange(len(scored.label)), scored.label])


def _brier(scored: Scored) -> NDArray[np.float64]:
    """Return the squared distances (n,) of the probabilities to the truth, 0 to 2."""
    p = scored.p
    return np.asarray((p**2).sum(axis=1) - 2 * p[np.arange(len(p)), scored.label] + 1)


METRICS: dict[str, Metric] = by_name(
    Metric("accuracy", "Accuracy", per_image=_hit),
    Metric("balanced_accuracy", "Balanced accuracy", per_image=_balanced),
    Metric("top2_accuracy", "Top-2 accuracy", per_image=_top_hit(2), fits=lambda k: 2 < k < 10),
    Metric("top5_accuracy", "Top-5 accuracy", per_image=_top_hit(5), fits=lambda k: k >= 10),
    Metric(
        "log_loss", "Log-loss", "nats", _log_loss,
        larger_is_better=False, largest=np.inf, digits=3,
    ),
    Metric("brier", "Brier score", "", _brier, larger_is_better=False, largest=2.0, digits=3),
    Metric(
        "squared_ece", "Squared calibration error, without its bias", "",
        larger_is_better=False, digits=4,
    ),
)  # fmt: skip


def per_image(label: Ints, score: Floats) -> dict[str, NDArray[np.float64]]:
    """Return the values (n,) of test images, of which metrics are the means.

    Args:
        label: (n,) true classes.
        score: (n, k) log-probabilities.

    Returns:
        Values by the name of the metric, for the metrics out of `METRICS` that fit k classes; and
        under ``confidence``, which is no metric, the probability of the predicted class.
    """
    scored = _scored(label, score)
    values = {
        metric.name: metric.per_image(scored)
        for metric in METRICS.values()
        if metric.per_image is not None and metric.fits(score.shape[1])
    }
    return values | {"confidence": scored.p.max(axis=1)}


def squared_calibration_error(
    confidence: Floats, hit: Floats, weight: Floats, bins: int = 15
) -> NDArray[np.float64]:
    """Return the squared calibration error (draws,) of the predicted class, without its bias.

    It is the mean over bins of equal size of (accuracy − confidence)², less what chance alone adds
    (Kumar et al. 2019); so it may be negative, and is 0 on average if confidences are right. With
    the bias, a calibrated classifier would have .07² instead of 0 at 180 images.

    Args:
        confidence: (n,) probabilities of the predicted classes.
        hit: (n,) whether the predictions are right.
        weight: (draws, n) how often each image counts.
        bins: number of bins of equal size; it is lowered until a bin has ten images.
    """
    n = len(confidence)
    bins = max(1, min(bins, n // 10))
    order = np.argsort(confidence, kind="stable")
    bin_of = np.empty(n, dtype=np.intp)
    bin_of[order] = np.arange(n) * bins // n
    count = _per_class(weight, bin_of, bins)
    right = _per_class(weight * hit, bin_of, bins)
    sure = _per_class(weight * confidence, bin_of, bins)
    at_least_two = np.maximum(count, 2)
    accuracy = right / at_least_two
    chance = accuracy * (1 - accuracy) / (at_least_two - 1)
    error = (accuracy - sure / at_least_two) ** 2 - chance
    return np.asarray((count * error).sum(axis=1) / count.sum(axis=1))


def bootstrap_macro_f1(
    label: Ints, predicted: NDArray[np.intp], weight: Floats, k: int
) -> NDArray[np.float64]:
    """Return macro-F1 (S, draws) of S settings under one class-stratified bootstrap of groups.

    All settings share the draws, so that differences of settings are paired. Percentiles of
    macro-F1 are biased on small samples, unlike the standard deviation of the draws.

    Args:
        label: (n,) true classes.
        predicted: (S, R, n) predicted classes; macro-F1 is averaged over the R repeats.
        weight: (draws, n) how often each image counts, from `bootstrap_weights`.
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
    """Return how often each image counts, (draws, n), when groups are drawn with replacement.

    Groups are drawn whole, from those whose first image has the same class.
    """
    _, first, group_of = np.unique(group, return_index=True, return_inverse=True)
    stratum = label[first]
    times = np.empty((draws, len(first)), dtype=np.float32)
    for c in np.unique(stratum):
        groups = np.flatnonzero(stratum == c)
        n = len(groups)
        times[:, groups] = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    return np.asarray(times[:, group_of])


def _per_class(weight: Floats, code: Ints, k: int) -> Floats:
    """Return sums (draws, k) of weights (draws, n) over the images of each class code (n,)."""
    one_hot = np.zeros((len(code), k), dtype=np.float32)
    one_hot[np.arange(len(code)), code] = 1
    return np.asarray((weight @ one_hot).astype(np.float64))


def interval_of_mean(
    value: Floats, group: NDArray[Any], rng: Generator, draws: int = 2000
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % bootstrap interval of the mean of values (n,); groups are drawn whole.

    A single group allows no interval.
    """
    _, code = np.unique(group, return_inverse=True)
    total, count = np.bincount(code, weights=value), np.bincount(code)
    if len(total) < 2:
        return None, None
    drawn = rng.integers(len(total), size=(draws, len(total)))
    low, high = np.quantile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)
