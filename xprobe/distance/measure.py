"""How far synthetic features lie from real ones, each metric beside its floor. Pure.

n real rows (in groups), m synthetic rows, width d. Both comparisons, real against synthetic and
real against real (the *floor*), are made at the same size, min(⌊n/2⌋, m), over random splits of
the real rows that never split a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Floats, Ints
from xprobe.distance import kernels, neighbours
from xprobe.distance.kernels import BLOCK
from xprobe.distance.metrics import (
    DISTANCES,
    DistanceMetric,
    KernelMetric,
    NeighbourMetric,
    SplitMetric,
)
from xprobe.distance.names import METRICS, check_metrics
from xprobe.distance.neighbours import Counts, check_comparable
from xprobe.distance.resampling import resample
from xprobe.distance.sides import FEW_SPLITS, Distance, NoValueError, Sides, Split
from xprobe.engine import threads

# Kernel metrics get this many splits, since one more costs a product of matrices, and no pass over
# the features.
KERNEL_SPLITS = 200

ONE_UNIT = "all synthetic rows are of one scene or prompt"


def measure(
    real: Floats,
    synthetic: Floats,
    group: Ints,
    rng: Generator,
    *,
    synthetic_group: Ints | None = None,
    metrics: Sequence[str] = METRICS,
    permutations: int = 1000,
    splits: int = 20,
    bootstrap: int = 200,
    n_neighbors: int = 5,
    block: int = BLOCK,
) -> list[Distance]:
    """Return how far synthetic rows lie from real ones, by each metric in the order asked for.

    Args:
        real: (n, d) features, finite, of length 1 by convention.
        synthetic: (m, d) features of the same encoder.
        group: (n,) group of each real row; no split divides a group.
        synthetic_group: (m,) group of each synthetic row, numbered as those of the real rows; by
            default every synthetic row is a group by itself. Kernel metrics count no pair inside a
            group, and their tests and intervals keep groups whole.
        rng: draws splits, permutations, bootstrap and projections; the numbers of a metric do not
            depend on which others are asked for.
        metrics: names out of `metrics.DISTANCES`.
        permutations: number of permutations in the test of mmd and energy.
        splits: number of splits for metrics that need a pass over each. Slow ones get `FEW_SPLITS`
            at most, as all do above `CACHED_ROWS` pooled rows; all get one above
            `neighbours.EXACT_ROWS` rows a side. Kernel metrics get `KERNEL_SPLITS`.
        bootstrap: number of draws that give the intervals of mmd and energy.
        n_neighbors: k of precision, recall, density and coverage.
        block: number of rows of a tile of pairs, which bounds the memory and changes no number.

    Raises:
        XprobeError: features are not finite or of different widths, or an unknown metric.
    """
    _check_arguments(real, synthetic, group, synthetic_group, metrics)
    n, m = len(real), len(synthetic)
    blank = Distance("", None, None, None, None, None, n, m, 0, None)
    reason = _why_no_value(real, synthetic, group)
    if reason:
        return [replace(blank, metric=name, reason=reason) for name in metrics]
    groups = group if synthetic_group is None else np.concatenate([group, synthetic_group])
    _, unit = np.unique(groups, return_inverse=True)
    names = ("splits", "median", "permutations", "bootstrap", "projections", "folds")
    rngs = dict(zip(names, rng.spawn(len(names)), strict=True))
    pairs = kernels.pair_up(real, synthetic, unit, block=block)
    kept = pairs.kept is not None
    drawn = _splits(
        pairs.unit[:n], m, max(splits, KERNEL_SPLITS) if kept else splits, rngs["splits"]
    )
    size = len(drawn[0].one)
    x = np.concatenate([real, synthetic]).astype(np.float32)
    seeds = {name: int(rngs[name].integers(2**31)) for name in ("projections", "folds")}
    few = drawn[
        : splits if kept else min(splits, FEW_SPLITS if size <= neighbours.EXACT_ROWS else 1)
    ]
    sides = Sides(x, n, pairs, few, size, n_neighbors, seeds)
    units = len(np.unique(pairs.unit[:n])), len(np.unique(pairs.unit[n:]))
    blank = replace(blank, size=size, units_real=units[0], units_synthetic=units[1])
    rows = [DISTANCES[name] for name in metrics]
    kernel_metrics = [row for row in rows if isinstance(row, KernelMetric)]
    distances = _kernel_distances(
        sides, kernel_metrics, drawn, rngs, permutations, bootstrap, blank
    )
    distances += _neighbour_distances(
        sides, [row for row in rows if isinstance(row, NeighbourMetric)], blank
    )
    distances += [
        _split_distance(sides, row, blank) for row in rows if isinstance(row, SplitMetric)
    ]
    by_metric = {distance.metric: distance for distance in distances}
    return [by_metric[name] for name in metrics]


def _check_arguments(
    real: Floats, synthetic: Floats, group: Ints, synthetic_group: Ints | None,
    metrics: Sequence[str],
) -> None:  # fmt: skip
    check_comparable(real, synthetic)
    if len(group) != len(real):
        raise ValueError(f"{len(real)} real rows, but groups of {len(group)}")
    if synthetic_group is not None and len(synthetic_group) != len(synthetic):
        raise ValueError(f"{len(synthetic)} synthetic rows, but groups of {len(synthetic_group)}")
    check_metrics(metrics, DISTANCES)


def _why_no_value(real: Floats, synthetic: Floats, group: Ints) -> str | None:
    """Return the reason why no metric can be computed for these images, or None."""
    if len(real) < 2 or len(synthetic) < 2:
        return f"{len(real)} real and {len(synthetic)} synthetic rows; two or more of each needed"
    if (group == group[0]).all():
        return "all real rows are of one group"
    return "all real rows are the same" if (real == real[0]).all() else None


def _splits(unit: Ints, m: int, count: int, rng: Generator) -> list[Split]:
    """Return splits of one size, the largest that all halves allow, and at most m."""
    n = len(unit)
    halves = list(kernels.shuffles(unit, n / 2, rng, max(count, 1)))
    size = min(m, *(min(len(one), len(other)) for one, other in halves))
    return [Split(one[:size], other[:size], n + rng.permutation(m)[:size]) for one, other in halves]


def _floor(metric: DistanceMetric, null: NDArray[np.float64]) -> float | None:
    """Return the real-to-real floor, a quantile; that of a normal distribution below 20 values."""
    null = null[np.isfinite(null)]
    if not len(null):
        return None
    sign = -1 if metric.larger_is_nearer else 1
    if len(null) >= 20:
        return float(np.quantile(null, 0.5 + 0.45 * sign))
    spread = null.std(ddof=1) if len(null) > 1 else 0.0
    return float(null.mean() + sign * 1.645 * spread)


def _kernel_distances(
    sides: Sides, metrics: Sequence[KernelMetric], splits: list[Split],
    rngs: dict[str, Generator], permutations: int, draws: int, blank: Distance,
) -> list[Distance]:  # fmt: skip
    """Return the distances by kernel metrics, which share one pass over the pairs."""
    pairs, n = sides.pairs, sides.n
    if not metrics:
        return []
    median = kernels.median_distance(pairs, rngs["median"])
    chosen, notes = {}, {metric.name: metric.note for metric in metrics}
    for metric in metrics:
        try:
            chosen[metric.name] = metric.kernel(median, sides.x.shape[1])
        except NoValueError as refusal:
            notes[metric.name] = str(refusal)
    one, other = (np.zeros((n, len(splits)), dtype=np.float32) for _ in range(2))
    for c, split in enumerate(splits):
        one[split.one, c] = other[split.other, c] = 1
    headline = {m.name: chosen[m.name] for m in metrics if m.is_headline and m.name in chosen}
    resampled = resample(pairs, permutations, draws, rngs) if headline else None
    if resampled and resampled.pairs is pairs:
        sums = kernels.add_up(pairs, chosen, (one, other), resampled.weight, headline)
        resampled_sums = sums
    else:
        sums = kernels.add_up(pairs, chosen, (one, other))
        resampled_sums = resampled.sums(headline) if resampled else {}
    distances = []
    for metric in metrics:
        row = replace(blank, metric=metric.name, reason=notes[metric.name])
        if metric.name in sums:
            value, null = kernels.value_and_null(pairs, sums[metric.name], (one, other))
            row = replace(row, value=value, floor=_floor(metric, null))
            if not np.isfinite(value):  # There is no pair of synthetic rows of different units.
                row = replace(row, value=None, reason=ONE_UNIT)
        if resampled and metric.name in headline and row.value is not None:
            row = resampled.complete(row, chosen[metric.name], resampled_sums[metric.name])
        distances.append(row)
    return distances


def _neighbour_distances(
    sides: Sides, metrics: Sequence[NeighbourMetric], blank: Distance
) -> list[Distance]:
    """Return the distances by metrics that count neighbours, which share one pass over a split."""
    if not metrics:
        return []
    k = sides.n_neighbors
    if sides.size < k + 1:
        reason = f"{sides.size} rows a side, but {k} neighbours of each need {k + 1}"
        return [replace(blank, metric=metric.name, reason=reason) for metric in metrics]
    sets = [rows for split in sides.splits for rows in (split.one, split.other, split.synthetic)]
    if sides.pairs.kept is None:  # FAISS runs threads by itself.
        radii = [neighbours.radii(sides.pairs, sides.x, rows, k) for rows in sets]
    else:
        radii = threads.in_threads(
            lambda rows: neighbours.radii(sides.pairs, sides.x, rows, k), sets
        )

    def count(i: int) -> tuple[Counts, float]:
        """Compare split i / 2 with its synthetic rows if i is even, with its real ones if odd."""
        real, fake = i // 2 * 3, i // 2 * 3 + (1 if i % 2 else 2)
        return neighbours.counts(sides.pairs, sets[real], sets[fake], radii[real], radii[fake], k)

    counted = threads.in_threads(count, range(2 * len(sides.splits)))
    synthetic, real = ([counts for counts, _ in counted[i::2]] for i in (0, 1))
    lowest = min([rows.recall for rows in radii] + [recall for _, recall in counted])
    note = None if lowest == 1 else f"approximate index, recall of neighbours {lowest:.3f}"
    return [
        replace(
            blank,
            metric=metric.name,
            value=float(np.mean([metric.value(counts) for counts in synthetic])),
            floor=_floor(metric, np.array([metric.value(counts) for counts in real])),
            reason=note or metric.note,
        )
        for metric in metrics
    ]


def _split_distance(sides: Sides, metric: SplitMetric, blank: Distance) -> Distance:
    """Return the distance by a metric that is computed on splits."""
    row = replace(blank, metric=metric.name, reason=metric.note)
    try:
        values, null = metric.values(sides)
    except NoValueError as refusal:
        return replace(row, reason=str(refusal))
    return replace(row, value=float(np.mean(values)), floor=_floor(metric, np.array(null)))
