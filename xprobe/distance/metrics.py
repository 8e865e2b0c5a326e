"""The registry of metrics that tell how far synthetic rows lie from real ones.

A metric is of one of three kinds, by what it is computed from: a kernel over all pairs of rows,
counts of neighbours, or anything else on a few splits of both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from xprobe.base.registry import by_name
from xprobe.distance import fidelity, kernels, neighbours
from xprobe.distance.kernels import KernelOf
from xprobe.distance.names import METRICS
from xprobe.distance.neighbours import Counts
from xprobe.distance.sides import NoValueError, Sides, Values


@dataclass(frozen=True)
class DistanceMetric:
    """What is known of every metric.

    Attributes:
        name: its name in results and options.
        title: its name as people read it.
        larger_is_nearer: whether larger values mean nearer sets; the real-to-real floor is then
            the 5 % quantile of real against real, otherwise the 95 % one.
        is_headline: whether single classes are measured, too; a headline kernel metric also has
            an interval and a p-value.
        note: what the reader must know about its values, or None.
    """

    name: str
    title: str
    larger_is_nearer: bool = field(default=False, kw_only=True)
    is_headline: bool = field(default=False, kw_only=True)
    note: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class KernelMetric(DistanceMetric):
    """A metric that is the U-statistic of a kernel.

    Attributes:
        kernel: gives the kernel from the median distance of two rows and the number of features;
            it may raise a NoValueError.
    """

    kernel: Callable[[float, int], KernelOf]


@dataclass(frozen=True)
class NeighbourMetric(DistanceMetric):
    """A metric that counts which rows lie within the distance of which rows' k-th neighbours.

    Attributes:
        value: gives its value from the counts of one split.
    """

    value: Callable[[Counts], float]


@dataclass(frozen=True)
class SplitMetric(DistanceMetric):
    """A metric that is computed on splits, whatever the way.

    Attributes:
        values: gives a value for each split, of real against synthetic and of real against real;
            it may raise a NoValueError.
    """

    values: Callable[[Sides], Values]


def _median_gaussian(median: float, _d: int) -> KernelOf:
    if not median > 0:
        raise NoValueError(
            "more than half of the pairs of rows are equal, so there is no bandwidth"
        )
    return kernels.gaussian(median, shift=0.5)


_BLIND = "blind to lost diversity on features of length 1"
_SATURATES = "near 1 already for modest shifts"

DISTANCES: dict[str, DistanceMetric] = by_name(
    KernelMetric("mmd", "MMD²", _median_gaussian, is_headline=True),
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

assert tuple(DISTANCES) == METRICS, "names.py names the metrics, in their order"


def headline() -> list[str]:
    """Return the names of the headline metrics, in the order of `DISTANCES`."""
    return [name for name, metric in DISTANCES.items() if metric.is_headline]


# These metrics are no options: `run` measures them wherever synthetic images are edits of real
# ones, and wherever the store has features of their prompts.
PAIRED = DistanceMetric("paired", "Edits to the true image of their scene")
R_AT_1 = DistanceMetric("r_at_1", "R@1 of images to their own prompts", larger_is_nearer=True)

MEASURED: dict[str, DistanceMetric] = {**DISTANCES, **by_name(PAIRED, R_AT_1)}
"""All metrics that rows of a document may be of."""
