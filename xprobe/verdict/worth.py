"""How many real images synthetic ones are worth (docs/protocol.md, "Data value"). Pure.

T sizes of the real training part, N test images, R repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.verdict.metrics import bootstrap_weights

DRAWS = 1000


@dataclass(frozen=True)
class Worth:
    """What synthetic images are worth, in real training images of each class.

    Attributes:
        value: M: as many further real images give the accuracy that the synthetic ones gave.
        low, high: its 95 % interval.
        at_least: whether `high` is the end of the curve: it may be more.
        at_most: whether `low` is none at all: synthetic images may add nothing.
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
    """Compare real images with synthetic ones beside a learning curve over real images alone.

    The curve is made monotone (isotonic regression) and is linear in the logarithm of the size
    between its points. It is never extended: the value is between 0 and what the largest size has
    more than the base.

    Args:
        sizes: (T,) real training images of each class, ascending.
        hit_real: (T, R, N) whether real-only was right.
        base: how many of each class the synthetic images were added to, one of `sizes`.
        hit: (R, N) whether that mix was right.
        label, group: (N,) of the test images.
        rng, draws: of the bootstrap over groups, which the curve and the mix share.
    """
    per_image = np.concatenate([hit_real, hit[None]]).mean(axis=1, dtype=np.float64)  # (T + 1, N)
    weight = bootstrap_weights(label, group, rng, draws)
    weight = np.concatenate([np.ones((1, weight.shape[1]), weight.dtype), weight])
    accuracy = weight @ per_image.T / weight.sum(axis=1, keepdims=True)  # (1 + draws, T + 1)
    log_size = np.log(np.asarray(sizes, dtype=np.float64))
    curve = isotonic(accuracy[:, :-1])
    size = [
        float(np.exp(_inverse(a, points, log_size)))
        for a, points in zip(accuracy[:, -1], curve, strict=True)
    ]
    most = float(sizes[-1]) - base
    found = np.clip(np.array(size) - base, 0.0, most)
    tiny = 1e-9 * float(sizes[-1])  # what log and exp leave of an end
    found[found < tiny] = 0.0
    found[found > most - tiny] = most
    low, high = np.quantile(found[1:], [0.025, 0.975])
    return Worth(float(found[0]), float(low), float(high), bool(high >= most), bool(low <= 0))


def isotonic(value: Floats) -> NDArray[np.float64]:
    """Return the non-decreasing rows (…, T) nearest to those given in the sense of squares.

    By max over j ≤ i of min over k ≥ i of the mean of j … k, as T is small.
    """
    T = value.shape[-1]
    total = np.concatenate([np.zeros((*value.shape[:-1], 1)), np.cumsum(value, axis=-1)], axis=-1)
    found = np.empty(value.shape)
    for i in range(T):
        means = np.stack(
            [
                np.min([(total[..., k + 1] - total[..., j]) / (k + 1 - j) for k in range(i, T)], 0)
                for j in range(i + 1)
            ]
        )
        found[..., i] = means.max(axis=0)
    return found


def _inverse(accuracy: float, curve: Floats, log_size: Floats) -> float:
    """Return where a non-decreasing curve (T,) has an accuracy; the middle where it is flat."""
    left = int(np.searchsorted(curve, accuracy - 1e-12, side="left"))
    right = int(np.searchsorted(curve, accuracy + 1e-12, side="right"))
    if left < right:  # points of just this accuracy
        return float((log_size[left] + log_size[right - 1]) / 2)
    if left == 0:
        return float(log_size[0])
    if left == len(curve):
        return float(log_size[-1])
    share = (accuracy - curve[left - 1]) / (curve[left] - curve[left - 1])
    return float(log_size[left - 1] + share * (log_size[left] - log_size[left - 1]))
