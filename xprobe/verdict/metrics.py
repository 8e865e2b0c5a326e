"""Predictions → values of metrics. Pure.

Every metric is given as a value of each test image: their mean is the metric, and the standard
error of that mean is the metric's. Where a metric is no mean, the values are those of its influence
function: what an image adds to it, to first order (Hampel 1974).

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
        predicted: (n,) predicted classes.
        hit: (n,) 1 where the prediction is right, else 0.
    """

    label: Ints
    score: Floats
    log_p: NDArray[np.float64]
    p: NDArray[np.float64]
    predicted: Ints
    hit: NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A metric of test images and their scores.

    Attributes:
        name: its name in results.
        words: its name as people read it.
        per_image: gives values (n,) whose mean is the metric.
        unit: ``%`` for a share, which people read in percent; else ``nats`` or ``""``.
        larger_is_better: whether larger values are better.
        is_mean: whether it is the plain mean of something of each image, so that it can be one over
            groups of images, too.
        of_probabilities: whether it depends on how sure a classifier is, and is thus computed from
            calibrated scores.
        digits: number of decimals that people see.
        fits: tells from the number of classes whether the metric says anything.
    """

    name: str
    words: str
    per_image: Callable[[Scored], NDArray[np.float64]]
    unit: str = "%"
    larger_is_better: bool = True
    is_mean: bool = True
    of_probabilities: bool = False
    digits: int = 1
    fits: Callable[[int], bool] = lambda k: True

    @property
    def title(self) -> str:
        """The words with the unit, for the head of a column."""
        return f"{self.words}, {self.unit}" if self.unit else self.words


def scored(label: Ints, score: Floats) -> Scored:
    """Return test images (n,) with their scores (n, k), which need not be normalised."""
    log_p = score.astype(np.float64)
    log_p = log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True)
    predicted = score.argmax(axis=1)
    hit = (predicted == label).astype(np.float64)
    return Scored(label, score, log_p, np.exp(log_p), predicted, hit)


def _hit(images: Scored) -> NDArray[np.float64]:
    return images.hit


def _balanced(images: Scored) -> NDArray[np.float64]:
    """Return values (n,) whose mean is the mean over classes of recall.

    Images count by the size of their class. With classes of equal size the values are the hits, so
    that balanced accuracy has just the standard error of accuracy.
    """
    label, hit, (n, k) = images.label, images.hit, images.score.shape
    count = np.bincount(label, minlength=k)
    recall = np.bincount(label, weights=hit, minlength=k) / np.maximum(count, 1)
    mean = recall[count > 0].mean()
    weight = n / ((count > 0).sum() * count[label])
    return np.asarray(mean + weight * (hit - mean))


def _macro_f1(images: Scored) -> NDArray[np.float64]:
    """Return values (n,) whose mean is macro-F1: its influence function, within true classes.

    An image of class y that is taken for g adds (2 − 2·F1)/total of its class if they are equal,
    else −F1/total of both, where total is the number of images that are of a class or taken for it.
    """
    label, predicted, (n, k) = images.label, images.predicted, images.score.shape
    counts = confusion(label, predicted, k)
    f1, total = per_class(counts)[2], counts.sum(axis=0) + counts.sum(axis=1)
    present = counts.sum(axis=1) > 0
    lost = np.where(present, f1 / np.maximum(total, 1), 0.0)
    added = 2 * images.hit / np.maximum(total, 1)[label] - lost[label] - lost[predicted]
    added *= n / present.sum()
    count = np.bincount(label, minlength=k)
    mean_of_class = np.bincount(label, weights=added, minlength=k) / np.maximum(count, 1)
    return np.asarray(float(macro_f1(counts)) + added - mean_of_class[label])


def _top_hit(top: int) -> Callable[[Scored], NDArray[np.float64]]:
    """Return a function that tells whether the true class has one of the `top` highest scores."""

    def top_hit(images: Scored) -> NDArray[np.float64]:
        true = images.score[np.arange(len(images.label)), images.label]
        above = (images.score > true[:, None]).sum(axis=1)
        return np.asarray((above < top).astype(np.float64))

    return top_hit


def _log_loss(images: Scored) -> NDArray[np.float64]:
    return np.asarray(-images.log_p[np.arange(len(images.label)), images.label])


def _brier(images: Scored) -> NDArray[np.float64]:
    """Return the squared distances (n,) of the probabilities to the truth, 0 to 2."""
    p = images.p
    return np.asarray((p**2).sum(axis=1) - 2 * p[np.arange(len(p)), images.label] + 1)


@dataclass(frozen=True, eq=False)
class _Bins:
    """Test images in bins of equal size, by the probability of the predicted class.

    Attributes:
        bin: (n,) bin of each image.
        confidence: (n,) probability of the predicted class.
        count: (bins,) images of each bin, two or more.
        right, sure: (bins,) sums of hits and of confidences.
    """

    bin: Ints
    confidence: NDArray[np.float64]
    count: NDArray[np.float64]
    right: NDArray[np.float64]
    sure: NDArray[np.float64]


def _bins(images: Scored) -> _Bins:
    """Divide images into at most 15 bins of ten images or more."""
    n = len(images.p)
    confidence = images.p[np.arange(n), images.predicted]
    bins = max(1, min(15, n // 10))
    number = _bin_numbers(confidence, bins)
    right = np.bincount(number, weights=images.hit).astype(np.float64)
    sure = np.bincount(number, weights=confidence).astype(np.float64)
    return _Bins(number, confidence, np.maximum(np.bincount(number), 2.0), right, sure)


def _bin_numbers(value: NDArray[np.float64], bins: int) -> Ints:
    """Return in which of so many bins each value (n,) lies, equal values in their order.

    It is what ranks in a stable order would give. Only values are sorted, which takes a twentieth
    of the time; equal ones that lie on both sides of a border are then dealt out by their order.
    """
    n, ascending = len(value), np.sort(value)
    start = -(-np.arange(1, bins) * n // bins)
    number = np.searchsorted(ascending[start], value, side="right")
    for divided in np.unique(ascending[start][ascending[start - 1] == ascending[start]]):
        equal = np.flatnonzero(value == divided)
        rank = np.searchsorted(ascending, divided) + np.arange(len(equal))
        number[equal] = rank * bins // n
    return number


def _squared_ece(images: Scored) -> NDArray[np.float64]:
    """Return values (n,) whose mean is the squared calibration error, without its bias.

    The error is the mean over bins of (accuracy − confidence)², less what chance alone adds (Kumar
    et al. 2019); so it may be negative, and is 0 on average if confidences are right. With the
    bias, a calibrated classifier would have .07² instead of 0 at 180 images. The values are those
    of its influence function; where confidences are right their standard error is √2 too large.
    """
    b = _bins(images)
    m, r, off, n = b.count, b.right, b.right - b.sure, len(b.bin)
    pairs = m * (m - 1)
    error = (off**2 / m - r * (m - r) / pairs).sum() / n
    # The derivatives of a bin's part by its right images, its confidences and its size.
    by_right = 2 * off / m - (m - 2 * r) / pairs
    by_sure = -2 * off / m
    by_size = -(off**2) / m**2 - (r * pairs - r * (m - r) * (2 * m - 1)) / pairs**2
    added = by_right[b.bin] * images.hit + by_sure[b.bin] * b.confidence + by_size[b.bin]
    return np.asarray(error + added - added.mean())


METRICS: dict[str, Metric] = by_name(
    Metric("accuracy", "Accuracy", _hit),
    Metric("macro_f1", "Macro-F1", _macro_f1, is_mean=False),
    Metric("balanced_accuracy", "Balanced accuracy", _balanced, is_mean=False),
    Metric("top2_accuracy", "Top-2 accuracy", _top_hit(2), fits=lambda k: 2 < k < 10),
    Metric("top5_accuracy", "Top-5 accuracy", _top_hit(5), fits=lambda k: k >= 10),
    Metric(
        "log_loss", "Log-loss", _log_loss, "nats",
        larger_is_better=False, of_probabilities=True, digits=3,
    ),
    Metric(
        "brier", "Brier score", _brier, "",
        larger_is_better=False, of_probabilities=True, digits=3,
    ),
    Metric(
        "squared_ece", "Squared calibration error, without its bias", _squared_ece, "",
        larger_is_better=False, is_mean=False, of_probabilities=True, digits=4,
    ),
)  # fmt: skip


def fitting(k: int) -> list[Metric]:
    """Return the metrics that say something of k classes."""
    return [metric for metric in METRICS.values() if metric.fits(k)]


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
