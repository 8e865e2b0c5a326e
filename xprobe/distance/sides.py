"""What metrics compare: two sets of rows, split at random, and what a metric gives of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from xprobe.base.arrays import Floats, Ints
from xprobe.distance.kernels import Pairs

FEW_SPLITS = 5  # of metrics that take a second for each, and of sets too large to keep all pairs


class NoValueError(Exception):
    """Why a metric has no value."""


@dataclass(frozen=True)
class Distance:
    """One metric of a synthetic set against a real one.

    Attributes:
        metric: a name of `metrics.DISTANCES`.
        value: of real against synthetic; None if it cannot be computed. Unbiased kernel metrics
            are of all rows, the others the mean over splits at `size`.
        ci_low, ci_high: pointwise 95 % bootstrap interval, groups respected; or None.
        floor: 95 % quantile of real against real at `size` (5 % where larger is nearer); None if
            the real rows cannot be halved.
        p: of the permutation test that both sides are of one distribution; or None.
        n_real, n_synthetic: rows given.
        size: rows of either side in the comparisons.
        reason: why there is no value, or what to know about it.
    """

    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    floor: float | None
    p: float | None
    n_real: int
    n_synthetic: int
    size: int
    reason: str | None


Values = tuple[list[float], list[float]]  # of each split: real–synthetic, real–real


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one split, `size` each: two halves of the real ones, and synthetic ones."""

    one: Ints
    other: Ints
    synthetic: Ints


@dataclass(frozen=True, eq=False)
class Sides:
    """What all metrics are given; synthetic rows are numbered after the real ones, in `x`, too."""

    x: Floats
    n: int
    pairs: Pairs
    splits: list[Split]
    size: int
    n_neighbors: int
    seeds: dict[str, int]
    frechet_at: dict[int, Values] = field(default_factory=dict)  # by size, computed once

    @property
    def group(self) -> Ints:
        """(N,) group of each row; synthetic ones are alone."""
        return self.pairs.unit

    def few(self) -> list[Split]:
        """Return the splits of a metric that is slow."""
        return self.splits[:FEW_SPLITS]
