"""Intervals of what stands beside the verdict: own values, other metrics, recall by class. Pure.

N test images, G groups of them. Values are means over repeats, one of each test image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.verdict.errors import means
from xprobe.verdict.family import ALPHA, HELPS, HURTS, NOT_DETECTED, quantile
from xprobe.verdict.joint import two_sided


def share_interval(
    value: Floats, group: Ints, *, by_group: bool = False
) -> tuple[float, float, float]:
    """Return (mean, low, high) of a share, such as accuracy: Wilson's 95 % interval.

    It counts as many independent images as have the variance that the groups show, at most G; all
    G where the share is 0 or 1. It holds for new test images, given these training images.

    Args:
        value: (N,) share of repeats in which an image was right, or another value whose mean is a
            share.
        group: (N,) group of each test image.
        by_group: whether the mean is one over groups.
    """
    estimates = means(value[None], group, by_group=by_group)
    p, G = float(np.clip(estimates.difference[0], 0, 1)), estimates.scores.shape[1]
    variance = float((estimates.scores**2).sum())  # without the floor, which Wilson has no need of
    n = min(G, p * (1 - p) / variance) if variance > 0 and 0 < p < 1 else G
    z = float(quantile(ALPHA, float(estimates.df[0])))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return p, max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(
    value: Floats, group: Ints, *, by_group: bool = False, level: float = ALPHA
) -> tuple[float, float, float]:
    """Return (mean, low, high) of values (N,) of test images: a t interval.

    Args:
        value: (N,) values, or differences of values.
        group: (N,) group of each test image.
        by_group: whether the mean is one over groups.
        level: two-sided error rate of the interval; that of a family makes it simultaneous.
    """
    estimates = means(value[None], group, by_group=by_group)
    mean, df = float(estimates.difference[0]), float(estimates.df[0])
    half = float(quantile(level, df)) * float(estimates.se[0])
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class ClassComparison:
    """The comparison of a setting with real-only by the recall of one class.

    Attributes:
        difference: difference of recall.
        low, high: ends of its 95 % interval, which Bonferroni's correction makes hold for all
            classes and settings together.
        p_adjusted: p-value with the same correction, so that word, p and interval agree.
        verdict: ``helps``, ``hurts`` or ``no detectable difference``.
        n_test, n_groups: number of test images of the class, and of their groups.
    """

    difference: float
    low: float
    high: float
    p_adjusted: float
    verdict: str
    n_test: int
    n_groups: int


def compare_classes(
    hit_real: Bools, hit: Bools, label: Ints, group: Ints
) -> dict[tuple[int, int], ClassComparison]:
    """Return comparisons of recall by (setting, class); a class with one group has none.

    Args:
        hit_real: (R, N) whether real-only classified an image correctly in each repeat.
        hit: (S, R, N) whether each setting did.
        label: (N,) class of each test image.
        group: (N,) group of each test image.
    """
    by_class = {int(c): np.flatnonzero(label == c) for c in np.unique(label)}
    by_class = {c: rows for c, rows in by_class.items() if len(np.unique(group[rows])) > 1}
    number = len(hit) * len(by_class)
    real = hit_real.mean(axis=0)
    gained = np.stack([one.mean(axis=0) for one in hit]) - real
    compared = {}
    for c, rows in by_class.items():
        estimates = means(gained[:, rows], group[rows])
        p = np.minimum(1, number * two_sided(estimates.t, estimates.df))
        half = quantile(ALPHA / number, estimates.df) * estimates.se
        n_groups = estimates.scores.shape[1]
        for s, mean in enumerate(estimates.difference.tolist()):
            word = (HELPS if mean > 0 else HURTS) if p[s] <= ALPHA else NOT_DETECTED
            compared[s, c] = ClassComparison(
                mean, mean - float(half[s]), mean + float(half[s]), float(p[s]), word, len(rows),
                n_groups,
            )  # fmt: skip
    return dict(sorted(compared.items()))


def mcnemar(hit_real: Bools, hit: Bools) -> float:
    """Return the exact two-sided p of McNemar's test for two fits tested on the same images (N,).

    The test assumes independent test images, and says nothing about other training sets.
    """
    gained, lost = int((hit & ~hit_real).sum()), int((hit_real & ~hit).sum())
    fewer, more = sorted((gained, lost))
    if more - fewer < 2:
        return 1.0
    # The sum of the binomial probabilities of 0 to `fewer` heads among all coins is a value of the
    # incomplete beta function.
    return float(2 * betainc(more, fewer + 1, 0.5))
