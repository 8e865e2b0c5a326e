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

POWER_QUANTILE = 0.84  # normal quantile of 80 % power


@dataclass(frozen=True)
class Comparison:
    """One setting against real-only.

    Attributes:
        difference: mean over test images of the mean over repeats of hit − hit of real-only.
        se: its standard error.
        low, high: simultaneous 95 % interval.
        p_adjusted: single-step max-T p-value within the family.
        verdict: ``helps``, ``hurts``, ``equivalent within ±m`` or ``no detectable difference``.
        detectable: the difference that a study like this finds with 80 % probability.
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
        comparisons: one a setting, in the order given.
        critical: half-width of the simultaneous 95 % intervals in standard errors.
        df: degrees of freedom.
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
        hit_real: (R, N) whether real-only was right, per repeat; (S, R, N): each one's control.
        hit: (S, R, N) the same for each setting.
        group: (N,) group of each test image, or all different.
        margin: differences up to this size count as equal; None makes no claim of equivalence.
        model: (R, N) number of the fitted model that tested an image, for fits that are
            stochastic; None for deterministic heads.
        draws: of the multivariate t distribution.

    The order of the settings changes nothing, and exchanging the two arguments of a single
    comparison flips its sign exactly.
    """
    per_repeat = hit.astype(np.float64) - hit_real.astype(np.float64)  # (S, R, N)
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
    critical, critical_90 = _critical(largest, ALPHA), _critical(largest, 2 * ALPHA)
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

    An intersection–union test: the larger p of the two, and no loss of error rate (Berger 1982).
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
    """V = G/(G−1)·ΣU_g²/N² + 1/(N·G) with U_g the sum of residuals (S, N) over a group.

    The second term keeps V from 0 where settings agree on every image (Agresti & Min 2005).
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
    """Add the model-to-model component of stochastic fits; return V and the smallest df.

    V += max(0, V_model − V_cell): what the J fitted models vary beyond what their test images
    do. Satterthwaite degrees of freedom, the smallest of the family for all.
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
    """Return draws of max|T|, T multivariate t, ascending.

    The settings are put into the order of their differences d (S, N) first, so that the order in
    which they were given does not matter.
    """
    order = sorted(range(len(d)), key=lambda s: (np.abs(d[s]).tobytes(), d[s].tobytes()))
    values, vectors = np.linalg.eigh(correlation[np.ix_(order, order)])
    root = vectors * np.sqrt(np.clip(values, 0, None))
    root = root / np.sqrt((root**2).sum(axis=1, keepdims=True))
    normal = rng.standard_normal((draws, len(d))) @ root.T
    scale = np.sqrt(rng.chisquare(df, size=draws) / df)
    return np.sort(np.abs(normal).max(axis=1) / scale)


def _critical(largest: NDArray[np.float64], alpha: float) -> float:
    """The value that |t| must exceed for an adjusted p of at most alpha: the two never disagree."""
    draws = len(largest)
    may_exceed = max(int(np.floor(alpha * (draws + 1) + 1e-9)) - 1, 0)
    return float(largest[draws - 1 - may_exceed])


def _verdict(difference: float, half_width_90: float, p: float, margin: float | None) -> str:
    if p <= ALPHA:
        return "helps" if difference > 0 else "hurts"
    if margin is not None and abs(difference) + half_width_90 <= margin:
        return f"equivalent within ±{100 * margin:g} points"
    return "no detectable difference"


def interval(value: Bools | Floats, group: Ints) -> tuple[float, float, float]:
    """Return (mean, low, high) of values (R, N) of test images: pointwise 95 %, groups respected.

    What cannot be negative, such as hits or losses, has no low end below 0; the caller knows
    what it cannot exceed.
    """
    mean, se, df = _mean(value.astype(np.float64).mean(axis=0), group)
    half = float(stats.t.ppf(1 - ALPHA / 2, df)) * se
    return mean, max(0.0, mean - half), mean + half


def difference_of(
    value_real: Floats, value: Floats, group: Ints, critical: float
) -> tuple[float, float, float]:
    """Return (difference, low, high) of the means of values (R, N), paired by test image.

    For what stands beside accuracy: `critical` is that of the family's intervals.
    """
    mean, se, _ = _mean((value - value_real).mean(axis=0), group)
    return mean, mean - critical * se, mean + critical * se


def _mean(per_image: Floats, group: Ints) -> tuple[float, float, float]:
    """Return mean, standard error and degrees of freedom of values (N,)."""
    mean = float(per_image.mean())
    variance, U = _cluster_variance(per_image[None] - mean, group)
    return mean, float(np.sqrt(variance[0])), float(U.shape[1] - 1)


@dataclass(frozen=True)
class ClassComparison:
    """Recall of one class under a setting against real-only.

    Attributes:
        difference, low, high: of recall, with a 95 % interval that holds for all classes and
            settings together (Bonferroni's).
        p_adjusted: Holm's over these.
        verdict: ``helps``, ``hurts`` or ``no detectable difference``, by `p_adjusted`.
        n_test, n_groups: test images of the class, and their groups.
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
    """Compare recall per class: (setting, class) → comparison; classes of one group have none.

    Args:
        hit_real: (R, N) of real-only.
        hit: (S, R, N) of each setting.
        label: (N,) class of each test image.
        group: (N,) its group.
    """
    classes = [int(c) for c in np.unique(label) if len(np.unique(group[label == c])) > 1]
    places = [(s, c) for s in range(len(hit)) for c in classes]
    found = []
    for s, c in places:
        own = label == c
        d = (hit[s][:, own].astype(np.float64) - hit_real[:, own]).mean(axis=0)
        found.append((*_mean(d, group[own]), int(own.sum())))
    p = holm([float(2 * stats.t.sf(abs(mean) / se, df)) for mean, se, df, _ in found])
    level = ALPHA / max(1, len(places))
    compared = {}
    for place, (mean, se, df, n), adjusted in zip(places, found, p, strict=True):
        half = float(stats.t.ppf(1 - level / 2, df)) * se
        compared[place] = ClassComparison(
            mean, mean - half, mean + half, adjusted, _verdict(mean, half, adjusted, None), n,
            round(df) + 1,
        )  # fmt: skip
    return compared


def mcnemar(hit_real: Bools, hit: Bools) -> float:
    """Return the exact two-sided p of McNemar's test of one fit each on the same images (N,).

    It takes test images for independent, and says nothing of other training sets.
    """
    gained, lost = int((hit & ~hit_real).sum()), int((hit_real & ~hit).sum())
    if gained == lost:
        return 1.0
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm-adjusted p-values: over several families, each by its smallest adjusted p."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    return [float(a) for a in adjusted]
