"""Whether one number of each generator goes with another: a rank correlation. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from xprobe.verdict.family import ALPHA

FEWEST = 4  # points; of fewer nothing can be said


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float] | None:
    """Return Spearman's ρ of n pairs and its 95 % interval; equal values share their mean rank.

    The interval is Fisher's, with the variance of Bonett & Wright (2000) for ranks. It is taken
    half an exchange of neighbouring ranks inside ±1, where it would have no width, and there ends
    at ±1. It takes the pairs for independent of each other.

    Returns:
        ``(rho, low, high)``; None of fewer than `FEWEST` pairs, or if either side is constant.

    Raises:
        ValueError: `x` and `y` are not of one length, or not finite.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"{a.shape} values of one side, {b.shape} of the other")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("values must be finite")
    n = len(a)
    if n < FEWEST or (a == a[0]).all() or (b == b[0]).all():
        return None
    rho = round(float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1]), 12)
    most = 1 - 6 / (n**3 - n)  # one exchange takes off twice as much
    inside = float(np.clip(rho, -most, most))
    half = float(stats.norm.ppf(1 - ALPHA / 2)) * np.sqrt((1 + inside**2 / 2) / (n - 3))
    low, high = (float(np.tanh(np.arctanh(inside) + side * half)) for side in (-1, 1))
    return rho, -1.0 if rho < -most else low, 1.0 if rho > most else high
