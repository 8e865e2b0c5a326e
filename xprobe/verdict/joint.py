"""What many comparisons may claim together: p-values adjusted by their joint distribution. Pure.

Both ways compare each p with the smallest p that chance alone gives somewhere among the
comparisons. They know how comparisons on the same test images go together, so that they claim more
than a correction that does not, such as Holm's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import special

from xprobe.base.arrays import Floats

DRAWS = 20_000

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SingleStep:
    """The single-step correction of one family (max-T).

    Attributes:
        p: (S,) adjusted p of each comparison.
        level: the p of a single comparison below which its adjusted p is at most α, by α.
    """

    p: Vector
    level: dict[float, float]


def single_step(
    t: Vector, df: Vector, scores: Floats, correlation: Vector, rng: Generator, *,
    alphas: tuple[float, ...], is_scale_shared: bool = True, draws: int = DRAWS,
) -> SingleStep:  # fmt: skip
    """Return p adjusted by the largest |T| of a multivariate t distribution.

    Every comparison keeps its own degrees of freedom: where they differ, the smallest p takes the
    place of the largest |T|, which is the same where they do not.

    Args:
        t, df: (S,) the differences in standard errors, and their degrees of freedom.
        scores: (S, G) `Estimates.scores`, by which the comparisons are put in order, so that the
            order in which they were given changes nothing.
        correlation: (S, S) of the differences.
        rng: draws the distribution.
        alphas: the error rates for which a level is wanted.
        is_scale_shared: whether one chi-square scales all comparisons, as where their variances are
            estimated from the same images; else each has its own, as where they are those of fitted
            models.
        draws: how many draws give p and the levels.
    """
    order = _order(scores)
    normal = np.abs(_normal(correlation[np.ix_(order, order)], rng, draws))
    df_in_order = df[order]
    smallest = np.ones(draws)
    if is_scale_shared:
        u = rng.random(draws)
        for value in np.unique(df_in_order):
            largest = normal[:, df_in_order == value].max(axis=1)
            scale = np.sqrt(special.gammaincinv(value / 2, u) * 2 / value)
            smallest = np.minimum(smallest, two_sided(largest / scale, value))
    else:
        scale = np.sqrt(rng.chisquare(df_in_order, normal.shape) / df_in_order)
        smallest = two_sided(normal / scale, df_in_order).min(axis=1)
    smallest.sort()
    reached = np.searchsorted(smallest, two_sided(t, df), side="right")
    return SingleStep((reached + 1) / (draws + 1), {a: _level(smallest, a) for a in alphas})


def step_down(p: Vector, correlation: Vector, rng: Generator, draws: int = DRAWS) -> Vector:
    """Return p (S,) adjusted step by step, the smallest first (Romano & Wolf 2005, min-p).

    The smallest p is compared with the smallest that chance gives among all comparisons, the next
    one with the smallest among the others, and so on. The differences are taken to be normal with
    the given correlation (S, S); degrees of freedom are in p.
    """
    order = np.argsort(p, kind="stable")
    normal = np.abs(_normal(correlation[np.ix_(order, order)], rng, draws))
    # In each column the largest of this comparison and of all that have a larger p.
    largest = np.maximum.accumulate(normal[:, ::-1], axis=1)[:, ::-1]
    reached = (two_sided(largest, np.inf) <= p[order]).sum(axis=0)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate((reached + 1) / (draws + 1))
    return adjusted


def two_sided(t: Floats, df: Floats | float) -> Vector:
    """Return the two-sided p of differences of so many standard errors."""
    return np.asarray(2 * special.stdtr(df, -np.abs(t)))


def _level(smallest: Vector, alpha: float) -> float:
    """Return the p below which a comparison has an adjusted p of at most alpha.

    It is counted among the draws that give p, so that interval and p never disagree.
    """
    may_be_reached = max(int(np.floor(alpha * (len(smallest) + 1) + 1e-9)) - 1, 0)
    return float(smallest[may_be_reached])


def _order(scores: Floats) -> list[int]:
    return sorted(
        range(len(scores)), key=lambda s: (np.abs(scores[s]).tobytes(), scores[s].tobytes())
    )


def _normal(correlation: Vector, rng: Generator, draws: int) -> Vector:
    """Return draws (draws, S) of standard normal numbers with a correlation (S, S)."""
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    root = root / np.sqrt((root**2).sum(axis=1, keepdims=True))
    return np.asarray(rng.standard_normal((draws, len(correlation))) @ root.T)
