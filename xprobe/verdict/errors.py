"""Standard errors of mean differences over test images that may come in groups. Pure.

Written for S comparisons on N test images in G groups of n_g images, over R repeats. U_g is the sum
of an estimate's residuals over the images of a group. The errors are those of docs/concepts/
protocol.md: CR2 with the degrees of freedom of Bell & McCaffrey (2002) where the mean is one over
images, the spread of the group means where it is one over groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Floats, Ints

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimates:
    """Mean differences and how far they are known.

    Attributes:
        difference: (S,) the means.
        variance: (S,) their variances, never 0: a floor is in them, since settings that agree on
            every image might not agree on the next one (Agresti & Min 2005).
        df: (S,) degrees of freedom of the variances.
        scores: (S, G) what each group adds: products of two rows sum to the covariance of two
            means, but for the floor and the variance between models.
    """

    difference: Vector
    variance: Vector
    df: Vector
    scores: Vector

    @property
    def se(self) -> Vector:
        """(S,) the standard errors."""
        return np.sqrt(self.variance)

    @property
    def t(self) -> Vector:
        """(S,) the differences in standard errors."""
        return self.difference / self.se

    @property
    def correlation(self) -> Vector:
        """(S, S) correlations of the means, 1 on the diagonal."""
        correlation = self.scores @ self.scores.T / np.outer(self.se, self.se)
        np.fill_diagonal(correlation, 1.0)
        return np.asarray(correlation)


def mean_differences(
    hit_real: Bools,
    hit: Bools,
    group: Ints,
    *,
    model: Ints | None = None,
    by_group: bool = False,
) -> Estimates:
    """Return the mean differences of hits to those of real-only, or of a control each.

    Args:
        hit_real: (R, N) whether real-only was right, or (S, R, N) the same of S controls.
        hit: (S, R, N) whether each setting was right.
        group: (N,) group of each test image; without groups all numbers differ.
        model: (R, N) number of the fitted model that tested an image, where fits are stochastic.
        by_group: whether the mean is one over groups, and not over images.
    """
    repeats = hit.shape[1]
    gained = hit.sum(axis=1, dtype=np.int32) - hit_real.sum(axis=-2, dtype=np.int32)
    estimates = means(gained / repeats, group, by_group=by_group)
    # Where each group is tested by models of its own, the spread of the groups holds theirs.
    if model is None or by_group:
        return estimates
    per_repeat = hit.astype(np.int8) - hit_real.astype(np.int8)
    residual = per_repeat - estimates.difference[:, None, None]
    return _with_models(estimates, residual, group, model)


def means(value: Floats, group: Ints, *, by_group: bool = False) -> Estimates:
    """Return the means of values (S, N) of test images whose groups are (N,).

    Raises:
        ValueError: all images are of one group.
    """
    _, code = np.unique(group, return_inverse=True)
    size = np.bincount(code)
    if len(size) < 2:
        raise ValueError("a standard error needs two or more groups of test images")
    if by_group:
        return _over_groups(_sums(value, code) / size, size)
    n = value.shape[1]
    mean = value.mean(axis=1)
    share = size / n
    scores = _sums(value - mean[:, None], code) / (n * np.sqrt(1 - share))
    variance = (scores**2).sum(axis=1) + 1 / n**2
    return Estimates(mean, variance, np.full(len(mean), cr2_df(size)), scores)


def _over_groups(group_mean: Vector, size: Ints) -> Estimates:
    """Return the means over groups of their means (S, G), each group of so many images (G,)."""
    G = len(size)
    mean = group_mean.mean(axis=1)
    scores = (group_mean - mean[:, None]) / np.sqrt(G * (G - 1))
    harmonic = G / (1 / size).sum()
    variance = (scores**2).sum(axis=1) + 1 / (G * harmonic) ** 2
    return Estimates(mean, variance, np.full(len(mean), G - 1.0), scores)


def cr2_df(size: Ints) -> float:
    """Return Bell & McCaffrey's degrees of freedom of a mean over images in groups of (G,) sizes.

    The variance is a quadratic form of independent errors with the matrix M; they are
    (tr M)² / tr M². With equal groups they are G − 1.
    """
    share = size / size.sum()
    weight = share**2 / (1 - share)
    # The squares of the entries of N·M: n_g/N on the diagonal, −n_g·n_h/N² / √… beside it.
    trace2 = (share**2).sum() + weight.sum() ** 2 - (weight**2).sum()
    return float(1 / trace2)


def _with_models(estimates: Estimates, residual: Floats, group: Ints, model: Ints) -> Estimates:
    """Add the variance between fitted models: how much they vary beyond what test images explain.

    It is max(0, V_model − V_cell). V_model is the variance that the sums over the J models show.
    V_cell is the part of it that is of the images: the sums over the cells of group × model. Where
    all models test the same images, as on a fixed hold-out, what an image adds to all of them
    cancels in their differences, and only what remains of it in the cells is taken off.

    The degrees of freedom are Satterthwaite's (1946) of the sum V_item + V_model − V_cell, in which
    V_model is the uncertain part: what is taken off it makes it smaller, but no better known.
    """
    _, group_code = np.unique(group, return_inverse=True)
    _, model_code = np.unique(model.ravel(), return_inverse=True)
    G, J = int(group_code.max()) + 1, int(model_code.max()) + 1
    if J < 2:
        return estimates
    S, R, N = residual.shape
    cell = np.tile(group_code, R) * J + model_code
    sums = _sums(residual.reshape(S, R * N), cell, G * J).reshape(S, G, J) / (R * N)
    by_model = (sums.sum(axis=1) ** 2).sum(axis=1) * J / (J - 1)
    if (model == model[:, :1]).all():
        sums = sums - sums.mean(axis=2, keepdims=True)
        share = (np.bincount(group_code) / N)[:, None]
        sums = sums - share * sums.sum(axis=1, keepdims=True)
        by_cell = (sums**2).sum(axis=(1, 2)) * J / (J - 1) * G / (G - 1)
    else:
        by_cell = (sums**2).sum(axis=(1, 2))
    extra = np.maximum(0, by_model - by_cell)
    total = estimates.variance + extra
    df = total**2 / (estimates.variance**2 / estimates.df + by_model**2 / (J - 1))
    return replace(estimates, variance=total, df=df)


def _sums(value: Floats, code: Ints, length: int = 0) -> Vector:
    """Return sums (S, length) of values (S, n) over equal codes (n,)."""
    return np.stack([np.bincount(code, weights=row, minlength=length) for row in value])
