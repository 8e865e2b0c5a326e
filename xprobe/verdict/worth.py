"""How many real images synthetic ones, or an augmentation, are worth (docs/concepts/protocol.md,
"Data value"). Pure.

Shapes are written with T sizes of the real training part, N test images and R repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Floats, Ints

DRAWS = 1000


@dataclass(frozen=True)
class Worth:
    """What a mix, or an alternative to it, is worth, in real training images of each class.

    Attributes:
        value: M, the number of further real images that give the same accuracy.
        low, high: ends of the 95 % interval of M.
        at_least: whether `high` is the end of the curve, so that M may be larger.
        at_most: whether `low` is 0, so that it may add nothing.
    """

    value: float
    low: float
    high: float
    at_least: bool
    at_most: bool


def worth(
    sizes: Sequence[float],
    hit_real: Bools,
    base: float,
    hit: Bools,
    label: Ints,
    group: Ints,
    rng: Generator,
    draws: int = DRAWS,
) -> Worth:
    """Compare a mix, or an alternative, with a learning curve over real images alone.

    The curve is made monotone (isotonic regression) and is linear in the logarithm of the size
    between its points. It is never extended: the value lies between 0 and the largest size less
    the base.

    Args:
        sizes: (T,) numbers of real training images of each class, ascending; neighbours should be
            close (`design.sizes.are_close`).
        hit_real: (T, R, N) whether real-only of a size classified an image correctly.
        base: number of real images of each class that it trained on, one of `sizes`.
        hit: (R, N) whether it classified an image correctly.
        label, group: (N,) class and group of each test image.
        rng: draws the bootstrap over groups; all share its draws.
        draws: number of bootstrap draws.
    """
    # The rows (T + 1, N) are the sizes of the curve and then the mix.
    per_image = np.concatenate([hit_real, hit[None]]).mean(axis=1, dtype=np.float64)
    weight = bootstrap_weights(label, group, rng, draws)
    weight = np.concatenate([np.ones((1, weight.shape[1]), weight.dtype), weight])
    # The accuracies are (1 + draws, T + 1): the first row weighs all images alike, the others are
    # bootstrap draws; the columns are the sizes of the curve and then the mix.
    accuracy = weight @ per_image.T / weight.sum(axis=1, keepdims=True)
    log_size = np.log(np.asarray(sizes, dtype=np.float64))
    curve = isotonic(accuracy[:, :-1])
    size = [
        float(np.exp(_log_size_at(a, points, log_size)))
        for a, points in zip(accuracy[:, -1], curve, strict=True)
    ]
    largest = float(sizes[-1]) - base
    gain = np.clip(np.array(size) - base, 0.0, largest)
    # Rounding in log and exp must not move a value off an end of the curve.
    rounding = 1e-9 * float(sizes[-1])
    gain[gain < rounding] = 0.0
    gain[gain > largest - rounding] = largest
    low, high = np.quantile(gain[1:], [0.025, 0.975])
    return Worth(float(gain[0]), float(low), float(high), bool(high >= largest), bool(low <= 0))


def isotonic(value: Floats) -> NDArray[np.float64]:
    """Return the non-decreasing rows (…, T) with the least squared distance to the given rows.

    Entry i is the largest over j ≤ i of the smallest over k ≥ i of the mean of entries j to k.
    That takes T³ steps, few for the sizes of a curve.
    """
    T = value.shape[-1]
    total = np.concatenate([np.zeros((*value.shape[:-1], 1)), np.cumsum(value, axis=-1)], axis=-1)
    fitted = np.empty(value.shape)
    for i in range(T):
        means = np.stack(
            [
                np.min([(total[..., k + 1] - total[..., j]) / (k + 1 - j) for k in range(i, T)], 0)
                for j in range(i + 1)
            ]
        )
        fitted[..., i] = means.max(axis=0)
    return fitted


def _log_size_at(accuracy: float, curve: Floats, log_size: Floats) -> float:
    """Return the log size at which a non-decreasing curve (T,) reaches an accuracy.

    It is the middle of a part that is flat at this accuracy, and an end for what lies beyond.
    """
    left = int(np.searchsorted(curve, accuracy - 1e-12, side="left"))
    right = int(np.searchsorted(curve, accuracy + 1e-12, side="right"))
    if left < right:  # These points of the curve have just this accuracy.
        return float((log_size[left] + log_size[right - 1]) / 2)
    if left == 0:
        return float(log_size[0])
    if left == len(curve):
        return float(log_size[-1])
    share = (accuracy - curve[left - 1]) / (curve[left] - curve[left - 1])
    return float(log_size[left - 1] + share * (log_size[left] - log_size[left - 1]))


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
