"""Predictions → numbers. Pure.

n images, k classes, R repeats. Labels are class indices; a score row's highest entry is the
prediction. A class without test images is left out of averages over classes.
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


@dataclass(frozen=True, eq=False)
class Scored:
    """Test images and what a classifier says of them.

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
    """A metric that is a mean over test images, or of all of them at once.

    Attributes:
        name: as in results.
        words: as people read it.
        unit: ``%`` of a share, which is shown as one; ``nats``, or ``""``.
        per_image: what each image (n,) adds to the mean; None of a metric of all images at once.
        larger_is_better: its direction.
        largest: what its mean cannot exceed.
        digits: decimals that it is shown with.
        fits: of how many classes it tells something.
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
        """The words with the unit, as a column is headed."""
        return f"{self.words}, {self.unit}" if self.unit else self.words


def _scored(label: Ints, score: Floats) -> Scored:
    log_p = score.astype(np.float64)
    log_p = log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True)
    hit = (score.argmax(axis=1) == label).astype(np.float64)
    return Scored(label, score, log_p, np.exp(log_p), hit)


def _hit(scored: Scored) -> NDArray[np.float64]:
    return scored.hit


def _balanced(scored: Scored) -> NDArray[np.float64]:
    """Return the mean over classes of recall, plus by how much an image's hit is off that of its
    class, weighted: so the spread over images is that of the mean over classes."""
    label, hit, (n, k) = scored.label, scored.hit, scored.score.shape
    count = np.bincount(label, minlength=k)
    recall = np.bincount(label, weights=hit, minlength=k) / np.maximum(count, 1)
    weight = n / ((count > 0).sum() * count[label])
    return np.asarray(recall[count > 0].mean() + weight * (hit - recall[label]))


def _among(top: int) -> Callable[[Scored], NDArray[np.float64]]:
    """Return whether the true class is among the `top` highest scores, as a function of images."""

    def among(scored: Scored) -> NDArray[np.float64]:
        true = scored.score[np.arange(len(scored.label)), scored.label]
        above = (scored.score > true[:, None]).sum(axis=1)
        return np.asarray((above < top).astype(np.float64))

    return among


def _log_loss(scored: Scored) -> NDArray[np.float64]:
    return np.asarray(-scored.log_p[np.arange(len(scored.label)), scored.label])


def _brier(scored: Scored) -> NDArray[np.float64]:
    """Return the squared distance of the probabilities to the truth, 0 to 2."""
    p = scored.p
    return np.asarray((p**2).sum(axis=1) - 2 * p[np.arange(len(p)), scored.label] + 1)


METRICS: dict[str, Metric] = by_name(
    Metric("accuracy", "Accuracy", per_image=_hit),
    Metric("balanced_accuracy", "Balanced accuracy", per_image=_balanced),
    Metric("top2_accuracy", "Top-2 accuracy", per_image=_among(2), fits=lambda k: 2 < k < 10),
    Metric("top5_accuracy", "Top-5 accuracy", per_image=_among(5), fits=lambda k: k >= 10),
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
    """Return what each test image (n,) adds to the metrics that are means over images.

    Args:
        label: (n,) true classes.
        score: (n, k) log-probabilities.

    Returns:
        By name, those of `METRICS` that fit k classes. And, which is no metric, ``confidence``:
        the probability of the predicted class.
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
        groups = np.flatnonzero(stratum == c)
        n = len(groups)
        times[:, groups] = rng.multinomial(n, np.full(n, 1 / n), size=draws)
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
