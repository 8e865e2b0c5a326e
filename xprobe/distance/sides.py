"""What metrics compare, two sets of rows split at random, and the result of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field

from xprobe.base.arrays import Floats, Ints
from xprobe.distance.kernels import Pairs

# Metrics that take a second for a split get this many; so do all metrics of sets that are too large
# to keep all pairs.
FEW_SPLITS = 5


class NoValueError(Exception):
    """A metric has no value for these rows; the message says why."""


@dataclass(frozen=True)
class Distance:
    """One metric of a synthetic set against a real one.

    Attributes:
        metric: a name of `metrics.DISTANCES`.
        value: the metric of real against synthetic; None if it cannot be computed. Kernel metrics
            are unbiased and take all rows; others are the mean over splits at `size`.
        ci_low, ci_high: ends of the pointwise 95 % bootstrap interval, whose draws keep units
            whole; None of metrics without one, and for few units.
        floor: real-to-real floor, the 95 % quantile of real against real at `size` (the 5 % one
            where larger is nearer); None if the real rows cannot be halved.
        p: p-value of the permutation test that both sides have one distribution; None of metrics
            without one.
        n_real, n_synthetic: numbers of rows that were given.
        units_real, units_synthetic: numbers of their units; None if nothing was measured.
        size: number of rows of either side in a comparison; of texts, where images are compared
            with these.
        reason: why there is no value, or what the reader must know about it; or None.
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
    units_real: int | None = None
    units_synthetic: int | None = None


# A metric's values, one a split: those of real against synthetic, and those of real against real.
Values = tuple[list[float], list[float]]


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split: two halves of the real rows and as many synthetic rows, (size,)."""

    one: Ints
    other: Ints
    synthetic: Ints


@dataclass(frozen=True, eq=False)
class Sides:
    """What every metric is computed from; synthetic rows are numbered after the real ones.

    Attributes:
        x: (N, d) float32 features.
        n: number of real rows, which come first.
        pairs: squared distances of the rows.
        splits: the splits that metrics are averaged over.
        size: number of rows of either side in a split.
        n_neighbors: k of the metrics that count neighbours.
        seeds: seeds of random directions and of cross-validation.
        frechet_at: Fréchet distances by size, which two metrics share and compute once.
    """

    x: Floats
    n: int
    pairs: Pairs
    splits: list[Split]
    size: int
    n_neighbors: int
    seeds: dict[str, int]
    frechet_at: dict[int, Values] = field(default_factory=dict)

    @property
    def group(self) -> Ints:
        """(N,) number of the unit of each row, which no fold of a classifier divides."""
        return self.pairs.unit

    def few(self) -> list[Split]:
        """Return the first splits, for a metric that is too slow for all of them."""
        return self.splits[:FEW_SPLITS]
