"""Paired differences → intervals and verdicts (docs/concepts/protocol.md). Pure.

N test images in G groups, R repeats, S settings compared with real-only. A *family* is all
comparisons of one encoder × generator × head; its intervals and p-values hold simultaneously.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import stats

from xprobe.base.arrays import Bools, Floats, Ints

ALPHA = 0.05

DRAWS = 20_000

# A difference this many standard errors beyond the critical value is found with 80 % power.
POWER_QUANTILE = 0.84


@dataclass(frozen=True)
class Comparison:
    """The comparison of one setting with real-only.

    Attributes:
        difference: mean over test images of the mean over repeats of hit − hit of real-only.
        se: standard error of the difference.
        low, high: ends of the simultaneous 95 % interval of the difference.
        p_adjusted: single-step max-T p-value within the family.
        verdict: ``helps``, ``hurts``, ``equivalent within ±m`` or ``no detectable difference``.
        detectable: the difference that a study like this finds with a probability of 80 %.
    """

    difference: float
    se: float
    low: float
    high: float
    p_adjusted: float
    verdict: str
    detectable: float


@dataclass(frozen=True)
class Family:
    """The comparisons of one family.

    Attributes:
        comparisons: one for each setting, in the order in which the settings were given.
        critical: half-width of the simultaneous 95 % intervals in standard errors.
        df: degrees of freedom of the standard errors.
    """

    comparisons: tuple[Comparison, ...]
    critical: float
    df: float


def compare(
    hit_real: Bools,
    hit: Bools,
    group: Ints,
    rng: Generator,
    *,
    margin: float | None = None,
    model: Ints | None = None,
    draws: int = DRAWS,
) -> Family:
    """Compare settings with real-only, or each with its control, on the same test images.

    Args:
        hit_real: (R, N) whether real-only classified an image correctly in each repeat; or
            (S, R, N) the same of a control for each setting.
        hit: (S, R, N) whether each setting classified an image correctly.
        group: (N,) group of each test image; without groups all numbers differ.
        rng: draws from the multivariate t distribution.
        margin: differences up to this size count as equal; None makes no claim of equivalence.
        model: (R, N) number of the fitted model that tested an image, for fits that are
            stochastic; None for deterministic heads.
        draws: how many draws of the multivariate t distribution give p and the intervals.

    The order of the settings changes nothing, and exchanging the two arguments of a single
    comparison flips its sign exactly.
    """
    per_repeat = hit.astype(np.float64) - hit_real.astype(np.float64)  # Its shape is (S, R, N).
    d = per_repeat.mean(axis=1)
    difference = d.mean(axis=1)
    variance, U = _cluster_variance(d - difference[:, None], group)
    G, N = U.shape[1], d.shape[1]
    correlation = G / ((G - 1) * N**2) * (U @ U.T) / np.sqrt(np.outer(variance, variance))
    np.fill_diagonal(correlation, 1.0)
    df = float(G - 1)
    if model is not None:
        residual = per_repeat - difference[:, None, None]
        variance, df = _with_model_variance(variance, residual, group, model)
    se = np.sqrt(variance)
    largest = _max_t(correlation, d, df, rng, draws)
    exceed = draws - np.searchsorted(largest, np.abs(difference / se), side="left")
    p = (exceed + 1) / (draws + 1)
    critical, critical_90 = _critical_value(largest, ALPHA), _critical_value(largest, 2 * ALPHA)
    comparisons = tuple(
        Comparison(
            difference=float(difference[s]),
            se=float(se[s]),
            low=float(difference[s] - critical * se[s]),
            high=float(difference[s] + critical * se[s]),
            p_adjusted=float(p[s]),
            verdict=_verdict(difference[s], critical_90 * se[s], p[s], margin),
            detectable=float((critical + POWER_QUANTILE) * se[s]),
        )
        for s in range(len(difference))
    )
    return Family(comparisons, critical, df)


def with_control(comparison: Comparison, control: Comparison) -> Comparison:
    """Return a comparison with real-only that helps only if it beats its control, too.

    This is an intersection–union test: the larger p of the two keeps the error rate (Berger 1982).
    """
    if comparison.difference <= 0:
        return comparison
    p = max(comparison.p_adjusted, control.p_adjusted if control.difference > 0 else 1.0)
    lost = comparison.verdict == "helps" and control.verdict != "helps"
    words = "no detectable difference" if lost else comparison.verdict
    return replace(comparison, p_adjusted=p, verdict=words)


def _cluster_variance(
    residual: Floats, group: Ints
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the variances V (S,) of means, and the sums U (S, G) of residuals over each group.

    V = G/(G−1)·ΣU_g²/N² + 1/(N·G) for residuals (S, N). The second term keeps V above 0 where
    settings agree on every image (Agresti & Min 2005).
    """
    _, code = np.unique(group, return_inverse=True)
    G, N = int(code.max()) + 1, residual.shape[1]
    if G < 2:
        raise ValueError("a standard error needs two or more groups of test images")
    U = np.stack([np.bincount(code, weights=row, minlength=G) for row in residual]).astype(float)
    return np.asarray(G / (G - 1) * (U**2).sum(axis=1) / N**2 + 1 / (N * G)), U


def _with_model_variance(
    variance: NDArray[np.float64], residual: Floats, group: Ints, model: Ints
) -> tuple[NDArray[np.float64], float]:
    """Return the variance V with that between fitted models added, and its degrees of freedom.

    Fits that are stochastic add max(0, V_model − V_cell): how much the J models vary beyond what
    their different test images explain. The degrees of freedom are Satterthwaite's, and the
    smallest of the family holds for all its comparisons.
    """
    _, group_code = np.unique(group, return_inverse=True)
    _, model_code = np.unique(model.ravel(), return_inverse=True)
    G, J = int(group_code.max()) + 1, int(model_code.max()) + 1
    if J < 2:
        return variance, float(G - 1)
    S, R, N = residual.shape
    flat = residual.reshape(S, R * N)
    cell = np.tile(group_code, R) * J + model_code
    scale = J / (J - 1) / (R * N) ** 2
    by_model = np.stack([np.bincount(model_code, weights=row, minlength=J) for row in flat])
    by_cell = np.stack([np.bincount(cell, weights=row, minlength=G * J) for row in flat])
    extra = np.maximum(0, scale * ((by_model**2).sum(axis=1) - (by_cell**2).sum(axis=1)))
    total = variance + extra
    df = total**2 / (variance**2 / (G - 1) + extra**2 / (J - 1))
    return total, float(df.min())


def _max_t(
    correlation: NDArray[np.float64],
    d: NDArray[np.float64],
    df: float,
    rng: Generator,
    draws: int,
) -> NDArray[np.float64]:
    """Return draws of the largest |T| over the settings, ascending; T is multivariate t.

    The settings are first sorted by their differences d (S, N), so that the order in which they
    were given does not change what is drawn.
    """
    order = sorted(range(len(d)), key=lambda s: (np.abs(d[s]).tobytes(), d[s].tobytes()))
    values, vectors = np.linalg.eigh(correlation[np.ix_(order, order)])
    root = vectors * np.sqrt(np.clip(values, 0, None))
    root = root / np.sqrt((root**2).sum(axis=1, keepdims=True))
    normal = rng.standard_normal((draws, len(d))) @ root.T
    scale = np.sqrt(rng.chisquare(df, size=draws) / df)
    return np.sort(np.abs(normal).max(axis=1) / scale)


def _critical_value(largest: NDArray[np.float64], alpha: float) -> float:
    """Return the value that |t| must exceed for an adjusted p of at most alpha.

    It is counted among the draws that give p, so that interval and p never disagree.
    """
    draws = len(largest)
    may_exceed = max(int(np.floor(alpha * (draws + 1) + 1e-9)) - 1, 0)
    return float(largest[draws - 1 - may_exceed])


def _verdict(difference: float, half_width_90: float, p: float, margin: float | None) -> str:
    """Return the word for a difference: p decides first, then whether it lies in the margin."""
    if p <= ALPHA:
        return "helps" if difference > 0 else "hurts"
    if margin is not None and abs(difference) + half_width_90 <= margin:
        return f"equivalent within ±{100 * margin:g} points"
    return "no detectable difference"


def interval(value: Bools | Floats, group: Ints) -> tuple[float, float, float]:
    """Return (mean, low, high) of values (R, N) of test images, a pointwise 95 % interval.

    The standard error respects the groups (N,). Hits and losses cannot be negative, so `low` ends
    at 0; the caller cuts `high` where the values have an upper limit.
    """
    mean, se, df = _mean_with_error(value.astype(np.float64).mean(axis=0), group)
    half_width = float(stats.t.ppf(1 - ALPHA / 2, df)) * se
    return mean, max(0.0, mean - half_width), mean + half_width


def difference_of(
    value_real: Floats, value: Floats, group: Ints, critical: float
) -> tuple[float, float, float]:
    """Return (difference, low, high) of the means of values (R, N), paired by test image.

    Metrics beside accuracy take `critical`, the half-width in standard errors, from their family.
    """
    mean, se, _ = _mean_with_error((value - value_real).mean(axis=0), group)
    return mean, mean - critical * se, mean + critical * se


def _mean_with_error(per_image: Floats, group: Ints) -> tuple[float, float, float]:
    """Return mean, standard error and degrees of freedom of values (N,)."""
    mean = float(per_image.mean())
    variance, U = _cluster_variance(per_image[None] - mean, group)
    return mean, float(np.sqrt(variance[0])), float(U.shape[1] - 1)


@dataclass(frozen=True)
class ClassComparison:
    """The comparison of a setting with real-only by the recall of one class.

    Attributes:
        difference: difference of recall.
        low, high: ends of its 95 % interval, which Bonferroni's correction makes hold for all
            classes and settings together.
        p_adjusted: p-value adjusted by Holm's method over all classes and settings.
        verdict: ``helps``, ``hurts`` or ``no detectable difference``, by `p_adjusted`.
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
    classes = [int(c) for c in np.unique(label) if len(np.unique(group[label == c])) > 1]
    pairs = [(s, c) for s in range(len(hit)) for c in classes]
    statistics = []
    for s, c in pairs:
        is_class = label == c
        d = (hit[s][:, is_class].astype(np.float64) - hit_real[:, is_class]).mean(axis=0)
        statistics.append((*_mean_with_error(d, group[is_class]), int(is_class.sum())))
    p = holm([float(2 * stats.t.sf(abs(mean) / se, df)) for mean, se, df, _ in statistics])
    level = ALPHA / max(1, len(pairs))
    compared = {}
    for pair, (mean, se, df, n), adjusted in zip(pairs, statistics, p, strict=True):
        half = float(stats.t.ppf(1 - level / 2, df)) * se
        compared[pair] = ClassComparison(
            mean, mean - half, mean + half, adjusted, _verdict(mean, half, adjusted, None), n,
            round(df) + 1,
        )  # fmt: skip
    return compared


def mcnemar(hit_real: Bools, hit: Bools) -> float:
    """Return the exact two-sided p of McNemar's test for two fits tested on the same images (N,).

    The test assumes independent test images, and says nothing about other training sets.
    """
    gained, lost = int((hit & ~hit_real).sum()), int((hit_real & ~hit).sum())
    if gained == lost:
        return 1.0
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's method.

    Over several families, the values are the smallest adjusted p of each family.
    """
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return [float(a) for a in adjusted]
