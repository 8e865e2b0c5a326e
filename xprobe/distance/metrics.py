"""The metrics of how far synthetic rows lie from real ones: a row each.

A metric is of one of three kinds, by what it is computed from: a kernel over all pairs of rows,
counts of neighbours, or anything over a few splits of both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from xprobe.base.registry import by_name
from xprobe.distance import fidelity, kernels, neighbours
from xprobe.distance.kernels import KernelOf
from xprobe.distance.neighbours import Counts
from xprobe.distance.sides import NoValueError, Sides, Values


@dataclass(frozen=True)
class Metric:
    """What is known of every metric.

    Attributes:
        name: as in results.
        title: as people read it.
        larger_is_nearer: its floor is then the 5 % quantile of real against real, else the 95 %
            one.
        is_headline: it is measured of single classes, too; a kernel metric then has an interval
            and a p-value.
        note: what the reader must know about its values, or None.
    """

    name: str
    title: str
    larger_is_nearer: bool = field(default=False, kw_only=True)
    is_headline: bool = field(default=False, kw_only=True)
    note: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class KernelMetric(Metric):
    """A U-statistic of a kernel.

    Attributes:
        kernel: the kernel for rows of which two lie the given median distance apart, and which
            have the given number of features; it may raise a NoValueError.
    """

    kernel: Callable[[float, int], KernelOf]


@dataclass(frozen=True)
class NeighbourMetric(Metric):
    """A share or mean of what lies within the k-th neighbour of what.

    Attributes:
        value: its value from the counts of one split.
    """

    value: Callable[[Counts], float]


@dataclass(frozen=True)
class SplitMetric(Metric):
    """Anything that is computed of splits.

    Attributes:
        values: its values of each split, real against synthetic and real against real; it may
            raise a NoValueError.
    """

    values: Callable[[Sides], Values]


def _by_median(median: float, _d: int) -> KernelOf:
    if not median > 0:
        raise NoValueError(
            "more than half of the pairs of rows are equal, so there is no bandwidth"
        )
    return kernels.gaussian(median, shift=0.5)


_BLIND = "blind to lost diversity on features of length 1"
_SATURATES = "near 1 already for modest shifts"

DISTANCES: dict[str, Metric] = by_name(
    KernelMetric("mmd", "MMD²", _by_median, is_headline=True),
    KernelMetric(
        "energy", "Energy distance", lambda median, _d: kernels.negative_distance(median),
        is_headline=True,
    ),
    SplitMetric("frechet", "Fréchet distance", fidelity.frechet_of),
    SplitMetric(
        "frechet_infinity", "Fréchet distance, extrapolated to infinitely many images",
        fidelity.frechet_infinity_of,
    ),
    KernelMetric("kid", "KID", lambda _median, d: kernels.cubic(d), note=_BLIND),
    KernelMetric(
        "cmmd", "CMMD", lambda _median, _d: kernels.gaussian(10.0, scale=1000.0), note=_BLIND
    ),
    SplitMetric(
        "sliced_wasserstein", "Sliced Wasserstein distance", fidelity.sliced_wasserstein_of
    ),
    NeighbourMetric("precision", "Precision", neighbours.precision, larger_is_nearer=True),
    NeighbourMetric("recall", "Recall", neighbours.recall, larger_is_nearer=True),
    NeighbourMetric("density", "Density", neighbours.density, larger_is_nearer=True),
    NeighbourMetric("coverage", "Coverage", neighbours.coverage, larger_is_nearer=True),
    NeighbourMetric("authenticity", "Authenticity", neighbours.authenticity, larger_is_nearer=True),
    SplitMetric("vendi", "Vendi score", fidelity.vendi_of, larger_is_nearer=True),
    SplitMetric(
        "auc", "AUC of a classifier of real and synthetic", fidelity.auc_of, note=_SATURATES
    ),
)  # fmt: skip

METRICS = tuple(DISTANCES)


def headline() -> list[str]:
    """Return the names of the headline metrics, in order."""
    return [name for name, metric in DISTANCES.items() if metric.is_headline]


# Measured by `run` where synthetic images are edits of real ones; it cannot be asked for by name.
PAIRED = Metric("paired", "Edits to the true image of their scene")
