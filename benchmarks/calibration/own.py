"""Own intervals of accuracy, macro-F1 and balanced accuracy; words of classes.

An own interval is asked to hold the value of these heads on new test images, given the training
images: that value is known from many fresh test images. Beside it stands the share that misses the
mean over replications, as it was measured before.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import stats

from calibration.rows import SHOWN, Row, bounded, share, stacked
from calibration.studies import DIVISIONS, classify, discriminant, divisions, moments, study
from calibration.worlds import Population, ten, two, unequal
from xprobe.verdict import metrics
from xprobe.verdict.family import NOT_DETECTED
from xprobe.verdict.intervals import compare_classes, share_interval

REPEATS = 3
FRESH = 20
"""Fresh test images for each image of a study, so that the truth hardly errs."""

METRICS = ("accuracy", "macro_f1", "balanced_accuracy")

WORLDS: tuple[tuple[Population, dict[str, float | str]], ...] = (
    (ten(10), {"accuracy": 0.118, "macro_f1": 0.160, "balanced_accuracy": 0.133}),
    (two(30), {"accuracy": "0.118–0.154"}),
    (ten(15, "7 × 15", counts=(15,) * 7), {"accuracy": 0.103}),
    (two(100), {"accuracy": 0.092}),
    (ten(30), {"accuracy": "0.05–0.07"}),
    (ten(100), {"accuracy": 0.05}),
    (unequal(), {}),
)


def _value(name: str, confusion: np.ndarray) -> float:
    """Return a metric of a confusion matrix (k, k) of shares."""
    if name == "macro_f1":
        return float(metrics.macro_f1(confusion))
    recall = np.diagonal(confusion) / confusion.sum(axis=1)
    if name == "balanced_accuracy":
        return float(recall.mean())
    return float(np.diagonal(confusion).sum() / confusion.sum())


def measured(world: Population, seed: int) -> np.ndarray:
    """Return value, low, high and truth of these heads, by metric: (metrics, 4)."""
    rng = np.random.default_rng([seed, 121])
    K = len(world.counts)
    images = world.images(rng, 1, max(3000, FRESH * sum(world.counts)) // K)
    x, y = images.x, images.y
    fold = divisions(world.counts, 1, REPEATS, seed % DIVISIONS)
    every, share_of_class = moments(x, y, K), np.array(world.counts) / len(y)
    values = {name: np.zeros(len(y)) for name in METRICS}
    truth = dict.fromkeys(METRICS, 0.0)
    for r in range(REPEATS):
        predicted, confusion = np.zeros(len(y), dtype=np.intp), np.zeros((K, K))
        for f in range(int(fold[r].max()) + 1):
            test = fold[r] == f
            head = discriminant(every - moments(x[test], y[test], K))
            predicted[test] = classify(head, x[test])
            confusion += metrics.confusion(images.fresh_y, classify(head, images.fresh), K)
        # Fresh images are as many of each class; those of the study need not be.
        confusion *= share_of_class[:, None] / confusion.sum(axis=1, keepdims=True)
        scored = metrics.scored(y, np.eye(K)[predicted])
        for name in METRICS:
            values[name] += metrics.METRICS[name].per_image(scored) / REPEATS
            truth[name] += _value(name, confusion) / REPEATS
    rows = [(*share_interval(values[name], np.arange(len(y))), truth[name]) for name in METRICS]
    return np.array(rows)


def own_intervals(B: int) -> Iterator[Row]:
    """Yield the misses of own intervals, given the training images and over new ones."""
    for world, before in WORLDS:
        results = stacked(partial(measured, world), B)
        for i, name in enumerate(METRICS):
            value, low, high, truth = results[:, i].T
            given = (truth < low) | (truth > high)
            yield share(f"own interval of {name}, given these heads", world.title, "≤ 0.05", given)
            mean = value.mean()
            over = (mean < low) | (mean > high)
            yield share(f"own interval of {name}, new training images too", world.title, SHOWN,
                        over, before=before.get(name))  # fmt: skip


def binomial(_: int) -> Iterator[Row]:
    """Yield misses of the interval of a share, exactly, where two images of N are wrong."""
    for n in (60, 180, 500, 1000):
        p, rows = 1 - 2 / n, np.arange(n)
        right = np.arange(n - 30, n + 1)
        ends = [share_interval(rows < number, rows) for number in right]
        inside = [low <= p <= high for _, low, high in ends]
        missed = 1 - float(stats.binom.pmf(right, n, p)[inside].sum())
        item, world = "own interval of a share, misses, exactly", f"N = {n}, p = {p:.4g}"
        yield bounded(item, world, "≤ 0.05", missed, before="0.13–0.14")
    _, low, _ = share_interval(np.ones(180), np.arange(180))
    yield bounded("lower end of 180 right of 180 (exactly .980)", "N = 180", "≤ 0.98", low,
                  before=0.989)  # fmt: skip


def _disagrees(seed: int) -> np.ndarray:
    """Return whether word, p and interval of some class disagree, and whether any has a word."""
    world = unequal(toward=0.6)
    made = study(world, seed, repeats=REPEATS)
    compared = compare_classes(made.hit_real, made.hit, made.label, made.group).values()
    words = [c.verdict != NOT_DETECTED for c in compared]
    disagree = [
        not (c.verdict != NOT_DETECTED) == (c.low > 0 or c.high < 0) == (c.p_adjusted <= 0.05)
        for c in compared
    ]
    return np.array([any(disagree), any(words)])


def classes(B: int) -> Iterator[Row]:
    """Yield whether words of classes and their intervals agree."""
    results = stacked(_disagrees, B)
    world = "shifted, 10 × 240 … 10"
    yield bounded("classes: studies in which a word and its interval disagree", world, "≤ 0",
                  float(results[:, 0].mean()), B=B, before=0.23)  # fmt: skip
    yield share("classes: studies with a word", world, SHOWN, results[:, 1])
