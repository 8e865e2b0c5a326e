"""Whether one number of each generator goes with another: a rank correlation. Pure."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from xprobe.base.arrays import Ints

# The rank correlation of two generators is 1 or −1, whatever they are.
FEWEST = 3

# Four generators have 24 orders, so that no two-sided p-value could be below 2/24.
FEWEST_TESTED = 5

# All orders of the generators are taken up to this many, and as many random ones beyond.
ORDERS = 10_000


@dataclass(frozen=True)
class Correlation:
    """How two numbers of g generators go together.

    Attributes:
        rho: Spearman's rank correlation over the generators, averaged over the encoders.
        p: two-sided p-value of a permutation test; None below `FEWEST_TESTED` generators.
        encoders, generators: numbers of those that take part.
    """

    rho: float
    p: float | None
    encoders: int
    generators: int


def rank_correlation(x: ArrayLike, y: ArrayLike, rng: Generator) -> Correlation | None:
    """Return the rank correlation of x and y over generators; equal values share their mean rank.

    Values are ranked within each encoder, since the scales of different encoders differ. The test
    exchanges generators, in the same way for all encoders: encoders see the same images, so that
    their rows are no independent draws. An interval would need generators that are a sample.

    Args:
        x, y: (encoders, g) numbers of each generator by each encoder, finite.
        rng: draws orders where there are more than `ORDERS`.

    Returns:
        None for fewer than `FEWEST` generators, or if x or y is constant for every encoder.

    Raises:
        ValueError: `x` and `y` are not of one shape, or not finite.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"values of shape {a.shape} on one side, {b.shape} on the other")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("values must be finite")
    varies = (a != a[:, :1]).any(axis=1) & (b != b[:, :1]).any(axis=1)
    a, b = a[varies], b[varies]
    if a.shape[1] < FEWEST or not len(a):
        return None
    products = _standard_ranks(a).T @ _standard_ranks(b) / len(a)
    orders = _orders(a.shape[1], rng) if a.shape[1] >= FEWEST_TESTED else np.empty((0, 0), int)
    rho = round(float(np.trace(products)), 12)
    p = None
    if len(orders):
        permuted = products[orders, np.arange(a.shape[1])].sum(axis=1)
        p = float(np.mean(np.abs(permuted) >= abs(rho) - 1e-9))
    return Correlation(rho, p, *a.shape)


def _standard_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks within each row, less their mean, of length 1."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    return np.asarray(ranks / np.linalg.norm(ranks, axis=1, keepdims=True))


def _orders(g: int, rng: Generator) -> Ints:
    """Return orders (o, g) of generators, the given one among them."""
    if math.factorial(g) <= ORDERS:
        return np.array(list(itertools.permutations(range(g))), dtype=np.intp)
    drawn = rng.permuted(np.tile(np.arange(g), (ORDERS - 1, 1)), axis=1)
    return np.concatenate([np.arange(g)[None], drawn])
