"""How far synthetic features lie from real ones, each metric beside its floor. Pure.

n real rows (in groups), m synthetic rows, width d. Both comparisons, real against synthetic and
real against real (the *floor*), are made at the same size, min(⌊n/2⌋, m), over random splits of
the real rows that never split a group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.base.errors import XprobeError, nearest
from xprobe.distance import fidelity, kernels, neighbours
from xprobe.distance.fidelity import NoValueError
from xprobe.distance.kernels import BLOCK, CACHED_ROWS, Pairs
from xprobe.distance.neighbours import check_comparable
from xprobe.engine import threads

METRICS = (
    "mmd", "energy", "frechet", "frechet_infinity", "kid", "cmmd", "sliced_wasserstein",
    "precision", "recall", "density", "coverage", "authenticity", "vendi", "auc",
)  # fmt: skip

# The larger the nearer: their floor is the 5 % quantile of real against real, not the 95 % one.
LARGER_IS_NEARER = frozenset(
    {"precision", "recall", "density", "coverage", "authenticity", "vendi"}
)

KERNELS = ("mmd", "energy", "kid", "cmmd")

HEADLINE = ("mmd", "energy")

NEIGHBOURS = ("precision", "recall", "density", "coverage", "authenticity")

KERNEL_SPLITS = 200  # splits whose floor costs a matrix product, not a pass

FEW_SPLITS = 5  # of metrics that take a second for each, and of sets above `CACHED_ROWS`

CHOICES = 250  # permutations that one thread draws at a time

BLIND = "blind to lost diversity on features of length 1"

SATURATES = "near 1 already for modest shifts"


@dataclass(frozen=True)
class Distance:
    """One metric of a synthetic set against a real one.

    Attributes:
        metric: one of `METRICS`.
        value: of real against synthetic; None if it cannot be computed. Unbiased kernel metrics
            are of all rows, the others the mean over splits at `size`.
        ci_low, ci_high: pointwise 95 % bootstrap interval, groups respected; or None.
        floor: 95 % quantile of real against real at `size` (5 % if `LARGER_IS_NEARER`); None if
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


Rows = tuple[list[float], list[float]]  # of each split: real–synthetic, real–real


@dataclass(frozen=True, eq=False)
class _Split:
    """Rows of one split, `size` each: two halves of the real ones, and synthetic ones."""

    one: Ints
    other: Ints
    synthetic: Ints


@dataclass(frozen=True, eq=False)
class _Sides:
    """What all metrics are given; synthetic rows are numbered after the real ones, in `x`, too."""

    x: Floats
    n: int
    pairs: Pairs
    splits: list[_Split]
    size: int
    n_neighbors: int
    seeds: dict[str, int]
    frechet_at: dict[int, Rows] = field(default_factory=dict)  # by size, found once

    @property
    def group(self) -> Ints:
        """(N,) group of each row; synthetic ones are alone."""
        return self.pairs.unit

    def few(self) -> list[_Split]:
        """Return the splits of a metric that is slow."""
        return self.splits[:FEW_SPLITS]


def measure(
    real: Floats,
    synthetic: Floats,
    group: Ints,
    rng: Generator,
    *,
    metrics: Sequence[str] = METRICS,
    permutations: int = 1000,
    splits: int = 20,
    bootstrap: int = 200,
    n_neighbors: int = 5,
    block: int = BLOCK,
) -> list[Distance]:
    """Measure how far synthetic rows lie from real ones; one row of results a metric, in order.

    Args:
        real: (n, d) features, finite, of length 1 by convention.
        synthetic: (m, d) features of the same encoder.
        group: (n,) group of each real row, never split.
        rng: of splits, permutations, bootstrap and projections; a metric's numbers do not depend
            on which others are asked for.
        metrics: names out of `METRICS`.
        permutations: of the test of mmd and energy.
        splits: of metrics that need a pass for each; at most `FEW_SPLITS` of the slow ones (and
            of all above `CACHED_ROWS` pooled rows), one above `neighbours.EXACT_ROWS` rows a side.
            Kernel metrics take `KERNEL_SPLITS`.
        bootstrap: draws of the intervals of mmd and energy.
        n_neighbors: k of precision, recall, density and coverage.
        block: rows of a tile of pairs; bounds the memory, changes nothing.

    Raises:
        XprobeError: features are not finite or of different widths, or an unknown metric.
    """
    _check(real, synthetic, group, metrics)
    n, m = len(real), len(synthetic)
    blank = Distance("", None, None, None, None, None, n, m, 0, None)
    reason = _useless(real, synthetic, group)
    if reason:
        return [replace(blank, metric=name, reason=reason) for name in metrics]
    _, unit = np.unique(group, return_inverse=True)
    names = ("splits", "median", "permutations", "bootstrap", "projections", "folds")
    rngs = dict(zip(names, rng.spawn(len(names)), strict=True))
    pairs = kernels.pair_up(real, synthetic, unit, block=block)
    kept = pairs.kept is not None
    drawn = _splits(unit, m, max(splits, KERNEL_SPLITS) if kept else splits, rngs["splits"])
    size = len(drawn[0].one)
    x = np.concatenate([real, synthetic]).astype(np.float32)
    seeds = {name: int(rngs[name].integers(2**31)) for name in ("projections", "folds")}
    few = drawn[
        : splits if kept else min(splits, FEW_SPLITS if size <= neighbours.EXACT_ROWS else 1)
    ]
    sides = _Sides(x, n, pairs, few, size, n_neighbors, seeds)
    blank = replace(blank, size=size)
    wanted = [name for name in KERNELS if name in metrics]
    found = _kernel_metrics(sides, wanted, drawn, rngs, permutations, bootstrap, blank)
    wanted = [name for name in NEIGHBOURS if name in metrics]
    found |= _neighbour_metrics(sides, wanted, blank)
    for name, function in _OTHERS.items():
        if name in metrics:
            note = SATURATES if name == "auc" else None
            found[name] = _row(replace(blank, metric=name, reason=note), function, sides)
    return [found[name] for name in metrics]


def _check(real: Floats, synthetic: Floats, group: Ints, metrics: Sequence[str]) -> None:
    check_comparable(real, synthetic)
    if len(group) != len(real):
        raise ValueError(f"{len(real)} real rows, but groups of {len(group)}")
    for name in metrics:
        if name not in METRICS:
            raise XprobeError(f"there is no metric {name!r}{nearest(name, METRICS)}")


def _useless(real: Floats, synthetic: Floats, group: Ints) -> str | None:
    """Return why nothing at all can be computed, or None."""
    if len(real) < 2 or len(synthetic) < 2:
        return f"{len(real)} real and {len(synthetic)} synthetic rows; two or more of each needed"
    if (group == group[0]).all():
        return "all real rows are of one group"
    return "all real rows are the same" if (real == real[0]).all() else None


def _splits(unit: Ints, m: int, count: int, rng: Generator) -> list[_Split]:
    """Return splits of one size: the largest that all halves reach, and at most m."""
    n = len(unit)
    halves = list(kernels.shuffles(unit, n / 2, rng, max(count, 1)))
    size = min(m, *(min(len(one), len(other)) for one, other in halves))
    return [
        _Split(one[:size], other[:size], n + rng.permutation(m)[:size]) for one, other in halves
    ]


def _row(blank: Distance, function: Callable[[_Sides], Rows], sides: _Sides) -> Distance:
    try:
        values, null = function(sides)
    except NoValueError as refusal:
        return replace(blank, reason=str(refusal))
    return replace(blank, value=float(np.mean(values)), floor=_floor(blank.metric, np.array(null)))


def _floor(metric: str, null: NDArray[np.float64]) -> float | None:
    """Return the quantile of real against real: of fewer than 20 values a normal one."""
    null = null[np.isfinite(null)]
    if not len(null):
        return None
    sign = -1 if metric in LARGER_IS_NEARER else 1
    if len(null) >= 20:
        return float(np.quantile(null, 0.5 + 0.45 * sign))
    spread = null.std(ddof=1) if len(null) > 1 else 0.0
    return float(null.mean() + sign * 1.645 * spread)


# --- kernel metrics ------------------------------------------------------------------------


def _kernel_metrics(
    sides: _Sides, wanted: list[str], splits: list[_Split], rngs: dict[str, Generator],
    permutations: int, draws: int, blank: Distance,
) -> dict[str, Distance]:  # fmt: skip
    pairs, n = sides.pairs, sides.n
    if not wanted:
        return {}
    median = kernels.median_distance(pairs, rngs["median"])
    notes = {"kid": BLIND, "cmmd": BLIND}
    chosen = {
        "energy": kernels.negative_distance(median),
        "kid": kernels.cubic(sides.x.shape[1]),
        "cmmd": kernels.gaussian(10.0, scale=1000.0),
    }
    if median > 0:
        chosen["mmd"] = kernels.gaussian(median, at=0.5)
    else:
        notes["mmd"] = "more than half of the pairs of rows are equal, so there is no bandwidth"
    one, other = (np.zeros((n, len(splits)), dtype=np.float32) for _ in range(2))
    for c, split in enumerate(splits):
        one[split.one, c] = other[split.other, c] = 1
    wanted_kernels = {name: chosen[name] for name in wanted if name in chosen}
    headline = {name: kernel for name, kernel in wanted_kernels.items() if name in HEADLINE}
    again = _draw(pairs, permutations, draws, rngs) if headline else None
    if again and again.pairs is pairs:
        sums = kernels.add_up(
            pairs, wanted_kernels, (one, other), again.weight, headline, again.inside
        )
        of_drawn = sums
    else:
        sums = kernels.add_up(pairs, wanted_kernels, (one, other))
        of_drawn = again.sums(headline) if again else {}
    found = {}
    for name in wanted:
        row = replace(blank, metric=name, reason=notes.get(name))
        if name in sums:
            value, null = kernels.value_and_null(pairs, sums[name], (one, other))
            row = replace(row, value=value, floor=_floor(name, null))
        if again and name in headline:
            row = again.complete(row, of_drawn[name])
        found[name] = row
    return found


@dataclass(frozen=True, eq=False)
class _Again:
    """What gives p and interval: rows few enough to keep, on which side and how often drawn.

    Attributes:
        pairs: of as many rows as are kept.
        share: which share of a side they are, the larger of the two.
        note: what to know about it.
        sides: (N, 1 + permutations) float32, which rows are on the first side.
        inside: (N,) float32, which rows are on any side.
        drawn: (N, 1 + draws) float32, all rows once, then how often each is drawn.
    """

    pairs: Pairs
    share: float
    note: str | None
    sides: Floats
    inside: Floats
    drawn: Floats

    @property
    def weight(self) -> Floats:
        return np.concatenate([self.sides, self.drawn], axis=1)

    def sums(self, wanted: dict[str, kernels.KernelOf]) -> dict[str, kernels.Sums]:
        return kernels.add_up(
            self.pairs, wanted, weight=self.weight, weighted=wanted, inside=self.inside
        )

    def complete(self, row: Distance, sums: kernels.Sums) -> Distance:
        """Return the row with p and interval.

        An interval of fewer rows than there are is narrowed by the root of their share.
        """
        row, count = replace(row, reason=self.note), self.sides.shape[1]
        if count > 1:
            of_sides = replace(sums, drawn=sums.drawn[:, :count])
            p = kernels.permutation_p(self.pairs, of_sides, self.sides, self.inside)
            row = replace(row, p=p)
        if self.drawn.shape[1] > 1 and row.value is not None:
            of_drawn = replace(sums, drawn=sums.drawn[:, count:])
            drawn = kernels.bootstrap(self.pairs, of_drawn, self.drawn)
            off = np.sqrt(self.share) * np.nanquantile(drawn[1:] - drawn[0], [0.025, 0.975])
            low, high = (row.value + float(each) for each in off)
            row = replace(row, ci_low=low, ci_high=high)
        return row


def _draw(pairs: Pairs, permutations: int, draws: int, rngs: dict[str, Generator]) -> _Again:
    test, share, note = _thinned(pairs, rngs["permutations"])
    rows, sides = _permuted(test, permutations, rngs["permutations"])
    inside = np.zeros(len(test.x), dtype=np.float32)
    inside[rows] = 1
    all_sides = sides.astype(np.float32)
    if len(rows) < len(test.x):
        all_sides = np.zeros((len(test.x), sides.shape[1]), dtype=np.float32)
        all_sides[rows] = sides
    rng = np.random.default_rng(int(rngs["bootstrap"].integers(2**31)))
    drawn = kernels.resampled(test.unit, test.n_real, draws, rng)
    once = np.ones((len(test.x), 1), dtype=np.float32)
    drawn = np.concatenate([once, drawn], axis=1)
    return _Again(test, share, note, all_sides, inside, drawn)


def _thinned(pairs: Pairs, rng: Generator) -> tuple[Pairs, float, str | None]:
    """Return pairs that are few enough to keep, which share of a side they are, and a note."""
    if pairs.kept is not None:
        return pairs, 1.0, None
    n, m = pairs.n_real, len(pairs.x) - pairs.n_real
    few_real = min(n, max(CACHED_ROWS // 2, CACHED_ROWS - m))
    few_synthetic = min(m, CACHED_ROWS - few_real)
    real = kernels.shuffled(pairs.unit[:n], few_real, rng)[0][:few_real]
    synthetic = n + rng.permutation(m)[:few_synthetic]
    test = kernels.pair_up(pairs.x[real], pairs.x[synthetic], pairs.unit[real], block=pairs.block)
    note = f"p and interval from {len(real)} real and {few_synthetic} synthetic rows, drawn"
    return test, max(len(real) / n, few_synthetic / m), note


def _permuted(pairs: Pairs, count: int, rng: Generator) -> tuple[Ints, Bools]:
    """Return the rows of the permutation test, and which are on the first side (rows, 1 + count).

    Units are exchanged whole. Where real ones have several rows and there are more synthetic
    rows than real ones, as many are drawn: a side of few, large units among many small ones
    would vary more than the permuted ones.
    """
    n, N = pairs.n_real, len(pairs.x)
    rows = np.arange(N)
    if N - n > n > len(np.unique(pairs.unit[:n])):
        rows = np.concatenate([rows[:n], n + np.sort(rng.permutation(N - n)[:n])])
    observed = np.arange(len(rows)) < n
    if len(np.unique(pairs.unit[rows])) == len(rows):  # shuffled all at once, which is faster
        return rows, np.concatenate([observed[:, None], _chosen(len(rows), n, count, rng)], axis=1)
    sides = np.zeros((len(rows), 1 + count), dtype=bool)
    sides[:, 0] = observed
    for c, (first, _) in enumerate(kernels.shuffles(pairs.unit[rows], n, rng, count), 1):
        sides[first, c] = True
    return rows, sides


def _chosen(total: int, n: int, count: int, rng: Generator) -> Bools:
    """Return `count` random choices of n of `total` rows, (total, count): those of least keys."""

    def choose(part: tuple[Generator, int]) -> Bools:
        own, size = part
        key = own.random((size, total), dtype=np.float32)
        return np.asarray(key < np.partition(key, n, axis=1)[:, n : n + 1])

    sizes = [min(CHOICES, count - start) for start in range(0, count, CHOICES)]
    if not sizes:
        return np.empty((total, 0), dtype=bool)
    parts = zip(rng.spawn(len(sizes)), sizes, strict=True)
    return np.concatenate(threads.in_threads(choose, parts)).T


# --- neighbour metrics ---------------------------------------------------------------------


def _neighbour_metrics(sides: _Sides, wanted: list[str], blank: Distance) -> dict[str, Distance]:
    """Return the rows of what counts neighbours, all from one pass over each split's pairs."""
    if not wanted:
        return {}
    k = sides.n_neighbors
    if sides.size < k + 1:
        reason = f"{sides.size} rows a side, but {k} neighbours of each need {k + 1}"
        return {name: replace(blank, metric=name, reason=reason) for name in wanted}
    sets = [rows for split in sides.splits for rows in (split.one, split.other, split.synthetic)]
    if sides.pairs.kept is None:  # FAISS has its own threads
        radii = [neighbours.radii(sides.pairs, sides.x, rows, k) for rows in sets]
    else:
        radii = threads.in_threads(
            lambda rows: neighbours.radii(sides.pairs, sides.x, rows, k), sets
        )

    def counts(i: int) -> tuple[dict[str, float], float]:
        """Of an even i, split i / 2 against synthetic; of an odd one, against real."""
        real, fake = i // 2 * 3, i // 2 * 3 + (1 if i % 2 else 2)
        return neighbours.counts(sides.pairs, sets[real], sets[fake], radii[real], radii[fake], k)

    found_in = threads.in_threads(counts, range(2 * len(sides.splits)))
    values, null = ([found for found, _ in found_in[i::2]] for i in (0, 1))
    lowest = min([own.recall for own in radii] + [recall for _, recall in found_in])
    note = None if lowest == 1 else f"approximate index, recall of neighbours {lowest:.3f}"
    return {
        name: replace(
            blank,
            metric=name,
            value=float(np.mean([found[name] for found in values])),
            floor=_floor(name, np.array([found[name] for found in null])),
            reason=note,
        )
        for name in wanted
    }


# --- other metrics -------------------------------------------------------------------------


def _frechet_rows(sides: _Sides) -> Rows:
    d = sides.x.shape[1]
    if sides.size <= d:
        raise NoValueError(f"{sides.size} rows a side do not give a covariance of {d} features")
    return _frechet_at(sides, sides.size)


def _frechet_at(sides: _Sides, size: int) -> Rows:
    """Return Fréchet distances of the first `size` rows of each split's parts."""
    if size not in sides.frechet_at:
        found = []
        for split in sides.few():
            one, *others = (
                sides.x[rows[:size]] for rows in (split.one, split.synthetic, split.other)
            )
            found.append(fidelity.frechets(one, others))
        sides.frechet_at[size] = ([pair[0] for pair in found], [pair[1] for pair in found])
    return sides.frechet_at[size]


def _frechet_infinity_rows(sides: _Sides) -> Rows:
    sizes = fidelity.extrapolation_sizes(sides.size, sides.x.shape[1])
    found = np.array([_frechet_at(sides, size) for size in sizes])  # (sizes, 2, splits)
    values, null = fidelity.frechet_infinity(sizes, found)
    return values.tolist(), null.tolist()


def _sliced_rows(sides: _Sides) -> Rows:
    projected = fidelity.project(sides.x, np.random.default_rng(sides.seeds["projections"]))
    values, null = [], []
    for split in sides.splits:
        one, other, synthetic = (
            np.sort(projected[rows], axis=0) for rows in (split.one, split.other, split.synthetic)
        )
        values.append(fidelity.sliced_wasserstein(one, synthetic))
        null.append(fidelity.sliced_wasserstein(one, other))
    return values, null


def _vendi_rows(sides: _Sides) -> Rows:
    few = sides.few()
    return (
        [fidelity.vendi(sides.x[split.synthetic]) for split in few],
        [fidelity.vendi(sides.x[split.one]) for split in few],
    )


def _auc_rows(sides: _Sides) -> Rows:
    from threadpoolctl import threadpool_limits

    def auc(one: Ints, other: Ints) -> float:
        rows, y = np.concatenate([one, other]), np.repeat([0, 1], [len(one), len(other)])
        return fidelity.auc(sides.x[rows], y, sides.group[rows], sides.seeds["folds"])

    few = sides.few()
    with threadpool_limits(1):  # products are small: a second thread takes 40 times as long
        return (
            [auc(split.one, split.synthetic) for split in few],
            [auc(split.one, split.other) for split in few],
        )


_OTHERS: dict[str, Callable[[_Sides], Rows]] = {
    "frechet": _frechet_rows,
    "frechet_infinity": _frechet_infinity_rows,
    "sliced_wasserstein": _sliced_rows,
    "vendi": _vendi_rows,
    "auc": _auc_rows,
}
