"""Paired differences → intervals and verdicts (docs/concepts/protocol.md). Pure.

N test images in G groups, R repeats, S settings compared with real-only. A *family* is all
comparisons of one encoder × generator × head; its intervals and p-values hold simultaneously.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import special

from xprobe.base.arrays import Bools, Ints
from xprobe.verdict.errors import Vector, mean_differences
from xprobe.verdict.joint import DRAWS, single_step

ALPHA = 0.05

POWER = 0.8
"""The probability with which the printed detectable difference is found."""

HELPS, HURTS, NOT_DETECTED = "helps", "hurts", "no detectable difference"
NOT_SEPARABLE = "not separable from training longer"


@dataclass(frozen=True)
class Comparison:
    """The comparison of one setting with real-only, or with a control.

    Attributes:
        difference: mean over test images of the mean over repeats of hit − hit of real-only.
        se, df: its standard error and degrees of freedom.
        low, high: ends of the simultaneous 95 % interval of the difference.
        low_90, high_90: those of the 90 % interval, by which a difference is called equivalent.
        p_adjusted: single-step max-T p-value within the family.
        detectable: the difference that a study like this finds with a probability of `POWER`.
    """

    difference: float
    se: float
    df: float
    low: float
    high: float
    low_90: float
    high_90: float
    p_adjusted: float
    detectable: float


@dataclass(frozen=True)
class Judgement:
    """What may be said of a setting, from one comparison, or from two that must agree.

    Attributes:
        low, high: ends of the 95 % interval that is judged. It excludes 0 if and only if the word
            is ``helps`` or ``hurts``.
        p_adjusted: the p that is judged, at most `ALPHA` for these words alone.
        verdict: ``helps``, ``hurts``, ``not separable from training longer``,
            ``equivalent within ±m`` or ``no detectable difference``.
        within_margin: whether the 90 % interval lies inside the margin; None without a margin.
    """

    low: float
    high: float
    p_adjusted: float
    verdict: str
    within_margin: bool | None


@dataclass(frozen=True)
class Family:
    """The comparisons of one family.

    Attributes:
        comparisons: one for each setting, in the order in which the settings were given.
        level: p of a single comparison at which its adjusted p is `ALPHA`.
        df: degrees of freedom of test images alone.
    """

    comparisons: tuple[Comparison, ...]
    level: float
    df: float

    @property
    def critical(self) -> float:
        """Half-width of the simultaneous 95 % intervals in standard errors, by test images."""
        return float(quantile(self.level, self.df))


def compare(
    hit_real: Bools,
    hit: Bools,
    group: Ints,
    rng: Generator,
    *,
    model: Ints | None = None,
    by_group: bool = False,
    draws: int = DRAWS,
) -> Family:
    """Compare settings with real-only, or each with its control, on the same test images.

    Args:
        hit_real: (R, N) whether real-only classified an image correctly in each repeat; or
            (S, R, N) the same of a control for each setting.
        hit: (S, R, N) whether each setting classified an image correctly.
        group: (N,) group of each test image; without groups all numbers differ.
        rng: draws from the multivariate t distribution.
        model: (R, N) number of the fitted model that tested an image, for fits that are
            stochastic; None for deterministic heads.
        by_group: whether the difference is a mean over groups ("a group never seen").
        draws: how many draws of the multivariate t distribution give p and the intervals.

    The order of the settings changes nothing, and exchanging the two arguments of a single
    comparison flips its sign exactly.
    """
    estimates = mean_differences(hit_real, hit, group, model=model, by_group=by_group)
    correction = single_step(
        estimates.t, estimates.df, estimates.scores, estimates.correlation, rng,
        alphas=(ALPHA, 2 * ALPHA), is_scale_shared=model is None or by_group, draws=draws,
    )  # fmt: skip
    level = correction.level[ALPHA]
    difference, se, df = estimates.difference, estimates.se, estimates.df
    critical = quantile(level, df)
    half, half_90 = critical * se, quantile(correction.level[2 * ALPHA], df) * se
    detectable = detectable_times(critical, df) * se
    columns = (
        difference, se, df, difference - half, difference + half, difference - half_90,
        difference + half_90, correction.p, detectable,
    )  # fmt: skip
    comparisons = tuple(Comparison(*row) for row in np.stack(columns, axis=1).tolist())
    n_groups = estimates.scores.shape[1]
    return Family(comparisons, level, float(n_groups - 1))


def quantile(level: float, df: Vector | float) -> Vector:
    """Return the |t| whose two-sided p is `level`."""
    return np.asarray(-special.stdtrit(df, level / 2))


def detectable_times(critical: Vector | float, df: Vector | float) -> Vector:
    """Return how many standard errors a difference has that is found with the chance `POWER`.

    It is found where |t| exceeds `critical`: the chance is that of a noncentral t.
    """
    return np.asarray(special.nctdtrinc(df, 1 - POWER, critical))


def judge(
    comparison: Comparison, control: Comparison | None = None, margin: float | None = None
) -> Judgement:
    """Return what may be said of a setting.

    With a control a word needs both comparisons. The judged interval is the hull of the two: it
    excludes 0 exactly if both do so on the same side. That is an intersection–union test, which
    keeps the error rate without a correction (Berger 1982).

    Args:
        comparison: the setting against real-only.
        control: the same setting against the real images alone, trained for as long.
        margin: differences up to this size count as equal; None makes no claim of equivalence.
    """
    both = (comparison,) if control is None else (comparison, control)
    low, high = min(c.low for c in both), max(c.high for c in both)
    signs = {np.sign(c.difference) for c in both}
    p = max(c.p_adjusted for c in both) if len(signs) == 1 else 1.0
    low_90, high_90 = min(c.low_90 for c in both), max(c.high_90 for c in both)
    inside = None if margin is None else bool(-margin <= low_90 and high_90 <= margin)
    if p <= ALPHA:
        verdict = HELPS if comparison.difference > 0 else HURTS
    elif all(c.p_adjusted <= ALPHA for c in both):  # They are certain in opposite directions.
        verdict = NOT_SEPARABLE
    elif inside and margin is not None:
        verdict = f"equivalent within ±{100 * margin:g} points"
    else:
        verdict = NOT_DETECTED
    return Judgement(low, high, p, verdict, inside)
