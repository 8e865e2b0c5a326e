"""Whether one number of each generator goes with another: a rank correlation. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from xprobe.verdict.family import ALPHA

# The variance of the interval has n − 3 in its denominator, so that fewer points allow none.
FEWEST = 4


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float] | None:
    """Return Spearman's ρ of n pairs and its 95 % interval; equal values share their mean rank.

    The interval is Fisher's, with the variance of Bonett & Wright (2000) for ranks. It assumes
    independent pairs. At ρ = ±1 it would have no width: it is then computed half an exchange of
    neighbouring ranks inside ±1, and its outer end is ±1.

    Returns:
        ``(rho, low, high)``; None for fewer than `FEWEST` pairs, or if either side is constant.

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
    # One exchange of neighbouring ranks lowers ρ = 1 by 12/(n³ − n), and half of that is taken.
    limit = 1 - 6 / (n**3 - n)
    inside = float(np.clip(rho, -limit, limit))
    half_width = float(stats.norm.ppf(1 - ALPHA / 2)) * np.sqrt((1 + inside**2 / 2) / (n - 3))
    low, high = (float(np.tanh(np.arctanh(inside) + side * half_width)) for side in (-1, 1))
    return rho, -1.0 if rho < -limit else low, 1.0 if rho > limit else high
