"""Permutations and bootstrap draws: the p-value and interval of a kernel metric. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.distance import kernels
from xprobe.distance.kernels import CACHED_ROWS, Pairs
from xprobe.distance.sides import Distance
from xprobe.engine import threads

CHOICES = 250  # A thread draws this many permutations at a time, which bounds its memory.


@dataclass(frozen=True, eq=False)
class Resampled:
    """The N rows that p and the interval come from, few enough to keep all their pairs.

    Attributes:
        pairs: the pairs of these rows.
        share: the share of a side that these rows are, on the side where it is larger.
        note: what the reader must know about the choice of rows, or None.
        sides: (N, 1 + permutations) float32, 1 where a row is on the first side, else 0; the first
            column is what was observed, the others are permutations.
        inside: (N,) float32, 1 where a row takes part in the permutation test, else 0.
        drawn: (N, 1 + draws) float32, how often a row occurs; the first column has every row once,
            the others are bootstrap draws.
    """

    pairs: Pairs
    share: float
    note: str | None
    sides: Floats
    inside: Floats
    drawn: Floats

    @property
    def weight(self) -> Floats:
        """The weights of the rows in permutations, and beside them those in draws."""
        return np.concatenate([self.sides, self.drawn], axis=1)

    def sums(self, wanted: dict[str, kernels.KernelOf]) -> dict[str, kernels.Sums]:
        """Return the sums of kernels over the pairs, by the kernel's name, with these weights."""
        return kernels.add_up(
            self.pairs, wanted, weight=self.weight, weighted=wanted, inside=self.inside
        )

    def complete(self, row: Distance, sums: kernels.Sums) -> Distance:
        """Return the row of results with its p-value and interval.

        If only a share of the rows was kept, the interval is narrowed by the root of that share.
        """
        row, count = replace(row, reason=self.note), self.sides.shape[1]
        if count > 1:
            side_sums = replace(sums, drawn=sums.drawn[:, :count])
            p = kernels.permutation_p(self.pairs, side_sums, self.sides, self.inside)
            row = replace(row, p=p)
        if self.drawn.shape[1] > 1 and row.value is not None:
            draw_sums = replace(sums, drawn=sums.drawn[:, count:])
            drawn = kernels.bootstrap(self.pairs, draw_sums, self.drawn)
            off = np.sqrt(self.share) * np.nanquantile(drawn[1:] - drawn[0], [0.025, 0.975])
            low, high = (row.value + float(end) for end in off)
            row = replace(row, ci_low=low, ci_high=high)
        return row


def resample(pairs: Pairs, permutations: int, draws: int, rngs: dict[str, Generator]) -> Resampled:
    """Draw permutations and bootstrap draws of rows that are few enough to keep all their pairs."""
    test, share, note = _thinned(pairs, rngs["permutations"])
    rows, sides = _permute(test, permutations, rngs["permutations"])
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
    return Resampled(test, share, note, all_sides, inside, drawn)


def _thinned(pairs: Pairs, rng: Generator) -> tuple[Pairs, float, str | None]:
    """Return pairs few enough to keep, the share of a side that they are, and a note or None."""
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


def _permute(pairs: Pairs, count: int, rng: Generator) -> tuple[Ints, Bools]:
    """Return the rows of the permutation test, and (rows, 1 + count) which are on the first side.

    Units are exchanged whole. Where real units have several rows and there are more synthetic rows
    than real ones, only as many synthetic rows as real ones take part: a side of few large units
    would vary more than the permuted sides, to which many small units go.
    """
    n, N = pairs.n_real, len(pairs.x)
    rows = np.arange(N)
    if N - n > n > len(np.unique(pairs.unit[:n])):
        rows = np.concatenate([rows[:n], n + np.sort(rng.permutation(N - n)[:n])])
    observed = np.arange(len(rows)) < n
    # Where every row is a group by itself, all are shuffled at once, which is faster.
    if len(np.unique(pairs.unit[rows])) == len(rows):
        return rows, np.concatenate(
            [observed[:, None], _choose_rows(len(rows), n, count, rng)], axis=1
        )
    sides = np.zeros((len(rows), 1 + count), dtype=bool)
    sides[:, 0] = observed
    for c, (first, _) in enumerate(kernels.shuffles(pairs.unit[rows], n, rng, count), 1):
        sides[first, c] = True
    return rows, sides


def _choose_rows(total: int, n: int, count: int, rng: Generator) -> Bools:
    """Return `count` random choices (total, count) of n rows, those with the least random keys."""

    def choose(part: tuple[Generator, int]) -> Bools:
        stream, size = part
        key = stream.random((size, total), dtype=np.float32)
        return np.asarray(key < np.partition(key, n, axis=1)[:, n : n + 1])

    sizes = [min(CHOICES, count - start) for start in range(0, count, CHOICES)]
    if not sizes:
        return np.empty((total, 0), dtype=bool)
    parts = zip(rng.spawn(len(sizes)), sizes, strict=True)
    return np.concatenate(threads.in_threads(choose, parts)).T
