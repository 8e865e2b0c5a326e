"""Tests whether two samples are of one distribution, by what may be exchanged if they are. Pure.

A unit is what was drawn: an image, a scene with its edits, the images of a prompt. Rows of one unit
depend on each other, so that units are exchanged whole:

- every unit has one row a side at most: units with both sides swap them, all others are shuffled
  among both sides (`RowTest`, exact);
- else units of both sides are joined to *items*, a unit with both sides being one by itself, and
  each item swaps its sides (`UnitTest`). Its statistic is that of the means of units, which is the
  mean over all draws of one row a unit and side, and it asks for no equal sizes or dependence;
- below `FEWEST_UNITS` units a side items have too few swaps for a small p-value. Then one row a
  unit and side is drawn, tested as in the first case, and twice the median p of `ROW_DRAWS` draws
  is valid under any dependence of the draws (`DrawTest`; Rüger 1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.distance.kernels import KernelOf, Pairs, Sums
from xprobe.engine.threads import in_threads

CHOICES = 250  # A thread draws this many permutations at a time, which bounds its memory.

# Swaps of five items have 16 different outcomes, so that no p-value below .06 would be possible.
FEWEST_UNITS = 6

ROW_DRAWS = 50

# Two equal permutations may differ in the last digits of float32, and must count as equal: in these
# shares of the largest statistic and of the mean kernel.
SLACK, KERNEL_SLACK = 1e-6, 1e-7


class Exchange(Protocol):
    """A permutation test of the two sides of some pairs.

    Attributes:
        weight: (N, c) float32 weights for which `p` needs the sums of the kernel; c may be 0.
    """

    @property
    def weight(self) -> Floats:
        """The weights (N, c)."""

    def p(self, pairs: Pairs, kernel: KernelOf, sums: Sums) -> float:
        """Return the p-value, from the sums of the kernel with these weights."""


def make_test(pairs: Pairs, count: int, rng: Generator) -> Exchange:
    """Return the test for the units of these pairs, with `count` permutations drawn."""
    n = pairs.n_real
    sides = pairs.unit[:n], pairs.unit[n:]
    units = [len(np.unique(unit)) for unit in sides]
    if units == [len(unit) for unit in sides]:
        return RowTest(_permute(pairs, count, rng))
    if min(units) >= FEWEST_UNITS:
        items = _join(pairs.unit, n, rng)
        signs = rng.integers(0, 2, (items.shape[1], 1 + count), dtype=np.int8) * np.float32(2) - 1
        signs[:, 0] = 1
        return UnitTest(items, signs)
    return _draw_rows(pairs.unit, n, count, rng)


def _p(statistic: NDArray[np.float64], sums: Sums) -> float:
    """Return (1 + #{permuted ≥ observed}) / (1 + P) of statistics (1 + P,), the observed first."""
    mean_kernel = np.abs(sums.row).max() / len(sums.row)
    slack = SLACK * np.nanmax(np.abs(statistic)) + KERNEL_SLACK * mean_kernel
    permuted = int(np.count_nonzero(statistic[1:] >= statistic[0] - slack))
    return (1 + permuted) / len(statistic)


def _statistic(
    aa: NDArray[np.float64], a_all: NDArray[np.float64], total: float, counts: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Return the statistics (1 + P,) of permutations with one row a unit and side.

    Args:
        aa: (1 + P,) sums of the kernel over pairs of rows of the first side.
        a_all: (1 + P,) sums over pairs of a row of the first side and any row.
        total: sum over all pairs.
        counts: rows of the first side, of the second side, and units with both.
    """
    a, b, both = counts
    within = aa / (a * (a - 1)) + (total - 2 * a_all + aa) / (b * (b - 1))
    return np.asarray(within - 2 * (a_all - aa) / (a * b - both))


# --- one row a unit and side ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RowTest:
    """Permutations of single rows.

    Attributes:
        weight: (N, 1 + P) 1 where a row is on the first side, else 0; the first column is what was
            observed, the others are permutations.
    """

    weight: Floats

    def p(self, pairs: Pairs, kernel: KernelOf, sums: Sums) -> float:
        """Return the p-value, from the sums of a kernel with these weights."""
        return _p(self.statistic(pairs, sums), sums)

    def statistic(self, pairs: Pairs, sums: Sums) -> NDArray[np.float64]:
        """Return the statistic (1 + P,) of each column of the weights."""
        aa = sums.drawn[0] + 2 * sums.drawn[1] + sums.drawn[2]
        real, synthetic = pairs.unit[: pairs.n_real], pairs.unit[pairs.n_real :]
        both = len(np.intersect1d(real, synthetic))
        a_all, total = sums.row @ self.weight, float(sums.row.sum())
        return _statistic(aa, a_all, total, (len(real), len(synthetic), both))


def _permute(pairs: Pairs, count: int, rng: Generator) -> Floats:
    """Return the weights of a `RowTest`."""
    n, N = pairs.n_real, len(pairs.x)
    sides = np.zeros((N, 1 + count), dtype=np.float32)
    sides[:n, 0] = 1
    _, real, synthetic = np.intersect1d(pairs.unit[:n], pairs.unit[n:], return_indices=True)
    alone = np.ones(N, dtype=bool)
    alone[real] = alone[n + synthetic] = False
    sides[alone, 1:] = _choose_rows(int(alone.sum()), n - len(real), count, rng)
    stays = rng.integers(0, 2, (len(real), count), dtype=np.int8)
    sides[real, 1:], sides[n + synthetic, 1:] = stays, 1 - stays
    return sides


def _choose_rows(total: int, n: int, count: int, rng: Generator) -> Bools:
    """Return `count` random choices (total, count) of n rows, those with the least random keys."""
    if n in (0, total):
        return np.full((total, count), n > 0)

    def choose(part: tuple[Generator, int]) -> Bools:
        stream, size = part
        key = stream.random((size, total), dtype=np.float32)
        return np.asarray(key < np.partition(key, n, axis=1)[:, n : n + 1])

    sizes = [min(CHOICES, count - start) for start in range(0, count, CHOICES)]
    parts = zip(rng.spawn(len(sizes)), sizes, strict=True)
    return np.concatenate(in_threads(choose, parts)).T


# --- several rows a unit -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class UnitTest:
    """Swaps of the two sides of items.

    Attributes:
        items: (N, I) float32; for the item of a row its share in the mean of its side there,
            negative if it is synthetic; 0 elsewhere.
        signs: (I, 1 + P) float32, −1 where an item has swapped its sides; nothing in column 0.
    """

    items: csr_matrix
    signs: Floats

    @property
    def weight(self) -> Floats:
        """No sums with weights are needed: (N, 0)."""
        return np.empty((self.items.shape[0], 0), dtype=np.float32)

    def p(self, pairs: Pairs, kernel: KernelOf, sums: Sums) -> float:
        """Return the p-value of the kernel: its items are summed up once, for all swaps."""
        products, items = self.products(pairs, kernel), len(self.signs)
        swapped = (self.signs * (products @ self.signs)).sum(axis=0, dtype=np.float64)
        return _p(swapped / (items * (items - 1)), sums)

    def products(self, pairs: Pairs, kernel: KernelOf) -> Floats:
        """Return the products (I, I) of the items' differences of sides, 0 of an item by itself."""
        whole, transposed = slice(0, len(pairs.x)), self.items.T.tocsr()

        def multiply(start: int) -> Floats:
            rows = slice(start, min(start + pairs.block, len(pairs.x)))
            length2 = pairs.length2[rows, None], pairs.length2[None, whole]
            return np.asarray((transposed @ kernel(pairs.tile(rows, whole), *length2).T).T)

        right = np.concatenate(in_threads(multiply, range(0, len(pairs.x), pairs.block)))
        products = np.asarray(transposed @ right)
        np.fill_diagonal(products, 0)
        return products


def _join(unit: Ints, n: int, rng: Generator) -> csr_matrix:
    """Return the items of a `UnitTest` of rows with these units, of which the first n are real.

    A unit with both sides is an item. Units of one side are dealt at random: one of each side makes
    an item, and those left over join the items in turn, so that all take part.
    """
    _, code = np.unique(unit, return_inverse=True)
    real, synthetic = np.unique(code[:n]), np.unique(code[n:])
    both = np.intersect1d(real, synthetic)
    alone = [rng.permutation(np.setdiff1d(side, both)) for side in (real, synthetic)]
    few, many = sorted(alone, key=len)
    count = len(both) + len(few)
    item = np.empty(int(code.max()) + 1, dtype=np.intp)
    item[both] = np.arange(len(both))
    item[few] = item[many[: len(few)]] = np.arange(len(both), count)
    item[many[len(few) :]] = np.resize(rng.permutation(count), len(many) - len(few))
    share = np.empty(len(unit), dtype=np.float32)
    for rows, units, sign in ((slice(n), real, 1), (slice(n, None), synthetic, -1)):
        rows_of_unit, units_of_item = np.bincount(code[rows]), np.bincount(item[units])
        share[rows] = sign / (rows_of_unit[code[rows]] * units_of_item[item[code[rows]]])
    return csr_matrix((share, (np.arange(len(unit)), item[code])), (len(unit), count))


# --- few units -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DrawTest:
    """Draws of one row a unit and side, each of them tested by the same permutations of units.

    Attributes:
        rows: (draws, a + b) the rows of each draw, of the side with fewer units first.
        chosen: (1 + P, a) positions of the rows on the first side; row 0 is what was observed.
        both: number of units with both sides.
        n_rows: number N of rows from which is drawn.
    """

    rows: Ints
    chosen: Ints
    both: int
    n_rows: int

    @property
    def weight(self) -> Floats:
        """No sums with weights are needed: (N, 0)."""
        return np.empty((self.n_rows, 0), dtype=np.float32)

    def p(self, pairs: Pairs, kernel: KernelOf, sums: Sums) -> float:
        """Return twice the median p-value of the draws, 1 at most."""
        whole = slice(0, len(pairs.x))
        k = kernel(pairs.tile(whole, whole), pairs.length2[:, None], pairs.length2[None])
        k[pairs.unit[:, None] == pairs.unit] = 0
        drawn = np.zeros((len(pairs.x), len(self.rows)), dtype=np.float32)
        np.put_along_axis(drawn, self.rows.T, 1, axis=0)
        of_rows = (k @ drawn).T
        values = [
            _p(self._statistic(k, *draw), sums) for draw in zip(self.rows, of_rows, strict=True)
        ]
        return min(1.0, 2 * float(np.median(values)))

    def _statistic(self, k: Floats, rows: Ints, of_row: Floats) -> NDArray[np.float64]:
        """Return the statistic (1 + P,) of a draw, from the sums of each row with those drawn."""
        first, few = rows[self.chosen], self.chosen.shape[1]
        aa = k[first[:, :, None], first[:, None]].sum(axis=(1, 2), dtype=np.float64)
        a_all = of_row[first].sum(axis=1, dtype=np.float64)
        total = float(of_row[rows].sum(dtype=np.float64))
        return _statistic(aa, a_all, total, (few, len(rows) - few, self.both))


def _draw_rows(unit: Ints, n: int, count: int, rng: Generator) -> DrawTest:
    """Return the draws of rows with these units, of which the first n are real."""
    sides = sorted((np.arange(n), np.arange(n, len(unit))), key=lambda s: len(np.unique(unit[s])))
    both = np.intersect1d(unit[:n], unit[n:])
    drawn = []
    for side in sides:
        rows = np.array([rng.permutation(side) for _ in range(ROW_DRAWS)])
        one = np.array([row[np.unique(unit[row], return_index=True)[1]] for row in rows])
        # Units with both sides come first, in one order on both sides.
        order = np.argsort(~np.isin(unit[one[0]], both), kind="stable")
        drawn.append(one[:, order])
    (few, many), shared = (part.shape[1] for part in drawn), len(both)
    pool = np.concatenate([np.arange(shared, few), few + np.arange(shared, many)])
    keys = rng.random((count, len(pool)), dtype=np.float32)
    swaps = np.arange(shared) + few * rng.integers(0, 2, (count, shared))
    permuted = np.concatenate([swaps, pool[np.argsort(keys, axis=1)[:, : few - shared]]], axis=1)
    chosen = np.concatenate([np.arange(few)[None], permuted])
    return DrawTest(np.concatenate(drawn, axis=1), chosen, shared, len(unit))
