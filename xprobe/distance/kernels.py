"""Mean differences of kernels between two samples: values, floors, permutations, bootstrap. Pure.

All of these differences are U-statistics of one kernel matrix,

    mean k(x, x') + mean k(y, y') − 2 mean k(x, y),

where a pair of rows of one *unit* (a row with itself, two real images of one scene, an image and
its edit) does not count: they are no two draws, and counting them would move the expectation away
from 0 where nothing differs. Kernels have a constant taken off, which cancels in the statistic,
so that float32 spends its digits on what varies. The energy distance is that of k = −‖x − y‖
(Székely & Rizzo 2013), MMD² that of Gretton et al. (2012).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from xprobe.base.arrays import Floats, Ints
from xprobe.engine.threads import in_threads

# Pairs are computed in square tiles of this many rows and columns, which bounds the memory.
BLOCK = 1024

# All squared distances are kept if both sides together have at most this many rows (144 MB).
CACHED_ROWS = 6000

# A squared distance below this share of the squared lengths is computed again from differences,
# since ‖a‖² + ‖b‖² − 2a·b has lost its digits there.
COPY = 1e-5

# The bandwidth is the median over the pairs of at most this many rows.
MEDIAN_ROWS = 2000

# A kernel function maps squared distances (a, b) and the squared lengths (a, 1) and (1, b) of the
# rows to the values (a, b) of the kernel.
KernelOf = Callable[[Floats, Floats, Floats], Floats]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Squared distances of pooled rows, real ones first, kept or computed tile by tile.

    Attributes:
        x: (N, d) float32 features less the mean of all rows, so that expanded squares lose fewer
            digits.
        length2: (N,) squared lengths of the rows before the mean was taken off.
        unit: (N,) number of the unit of each row; rows of both sides may share a unit.
        n_real: how many of the rows are real.
        kept: (N, N) float32 squared distances; None above `CACHED_ROWS` rows.
        block: number of rows of a tile.
    """

    x: Floats
    length2: Floats
    unit: Ints
    n_real: int
    kept: Floats | None
    block: int

    def tile(self, rows: slice, columns: slice) -> Floats:
        """Return squared distances (a, b) of two runs of rows; the caller must not change them."""
        if self.kept is not None:
            return np.asarray(self.kept[rows, columns])
        return _squared(self.x[rows], self.x[columns])

    def between(self, rows: Ints, columns: Ints) -> Floats:
        """Return the squared distances (a, b) of the rows with these numbers."""
        if self.kept is not None:
            return self.kept.take(rows, axis=0).take(columns, axis=1)
        return _squared(self.x[rows], self.x[columns])

    def tiles(self) -> Iterator[tuple[slice, slice]]:
        """Yield the tiles on and above the diagonal; no side mixes real and synthetic rows."""
        runs = [*_runs(0, self.n_real, self.block), *_runs(self.n_real, len(self.x), self.block)]
        for a, rows in enumerate(runs):
            for columns in runs[a:]:
                yield rows, columns

    def same(self, rows: slice, columns: slice) -> tuple[Ints, Ints]:
        """Return the positions in a tile of pairs that do not count, for they are of one unit."""
        one, other = self.unit[rows], self.unit[columns]
        if not np.isin(one, other).any():  # This is the rule, and takes less than all pairs do.
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        i, j = np.nonzero(one[:, None] == other)
        return i, j


def pair_up(
    real: Floats, synthetic: Floats, unit: Ints, *, block: int = BLOCK, keep: int = CACHED_ROWS
) -> Pairs:
    """Return the pairs of real rows (n, d) and synthetic rows (m, d).

    The squared distances are computed at once and kept if there are at most `keep` rows in all.

    Args:
        real, synthetic: the rows.
        unit: (n + m,) number of the unit of each row; (n,): synthetic rows are units by themselves.
        block: number of rows of a tile.
        keep: largest number of rows whose squared distances are kept.
    """
    x = np.concatenate([real, synthetic]).astype(np.float32)
    length2 = np.einsum("nd,nd->n", x, x, dtype=np.float64).astype(np.float32)
    x -= x.mean(axis=0, dtype=np.float64).astype(np.float32)
    if len(unit) < len(x):
        alone = np.arange(len(synthetic)) + (int(unit.max(initial=0)) + 1)
        unit = np.concatenate([unit, alone])
    pairs = Pairs(x, length2, unit, len(real), None, block)
    if len(x) > keep:
        return pairs
    kept = np.empty((len(x), len(x)), dtype=np.float32)

    def fill(tile: tuple[slice, slice]) -> None:
        rows, columns = tile
        kept[rows, columns] = pairs.tile(rows, columns)
        # Copying makes both halves equal to the last digit.
        kept[columns, rows] = kept[rows, columns].T

    in_threads(fill, pairs.tiles())
    np.fill_diagonal(kept, 0)
    return Pairs(x, length2, pairs.unit, len(real), kept, block)


def _squared(a: Floats, b: Floats) -> Floats:
    """Return ‖a_i − b_j‖² in its expanded form, and the smallest ones from direct differences.

    Rounding of the expanded form is some 5·10⁻⁷ of the squared lengths, which is nothing to most
    pairs, but is the whole distance of copies.
    """
    length2_a, length2_b = np.einsum("nd,nd->n", a, a), np.einsum("nd,nd->n", b, b)
    out = (-2 * a) @ b.T
    out += length2_a[:, None]
    out += length2_b
    small = COPY * (length2_a.max(initial=0) + length2_b.max(initial=0))
    if out.min(initial=np.inf) >= small:
        return out
    i, j = np.nonzero(out < small)
    for start in range(0, len(i), BLOCK):
        part = slice(start, start + BLOCK)
        off = a[i[part]] - b[j[part]]
        out[i[part], j[part]] = np.einsum("nd,nd->n", off, off)
    return out


def _runs(start: int, stop: int, block: int) -> list[slice]:
    return [slice(i, min(i + block, stop)) for i in range(start, stop, block)]


# --- kernels -------------------------------------------------------------------------------


def median_distance(pairs: Pairs, rng: Generator) -> float:
    """Return the median distance of two pooled rows, of `MEDIAN_ROWS` drawn ones at most."""
    n = len(pairs.x)
    rows = np.arange(n) if n <= MEDIAN_ROWS else np.sort(rng.choice(n, MEDIAN_ROWS, replace=False))
    squared = pairs.between(rows, rows)
    return float(np.sqrt(np.median(squared[~np.tri(len(rows), dtype=bool)])))


def gaussian(sigma: float, scale: float = 1.0, shift: float = 0.0) -> KernelOf:
    """Return the kernel scale · (exp(−d²/2σ²) − exp(−shift)), which is 0 where d² = 2σ²·shift."""

    def kernel(squared: Floats, _a: Floats, _b: Floats) -> Floats:
        out = squared * np.float32(-0.5 / sigma**2)
        out += np.float32(shift)
        np.expm1(out, out=out)
        out *= np.float32(scale * np.exp(-shift))
        return out

    return kernel


def negative_distance(shift: float) -> KernelOf:
    """Return the kernel shift − d, whose U-statistic is the energy distance."""

    def kernel(squared: Floats, _a: Floats, _b: Floats) -> Floats:
        out = np.sqrt(squared)
        return np.subtract(np.float32(shift), out, out=out)

    return kernel


def cubic(d: int) -> KernelOf:
    """Return the kernel (x·y / d + 1)³ − 1 for width d (KID, Bińkowski et al. 2018)."""

    def kernel(squared: Floats, a: Floats, b: Floats) -> Floats:
        t = a + b
        t -= squared
        t *= np.float32(0.5 / d)
        out = t + 3
        out *= t
        out += 3
        out *= t
        return out

    return kernel


# --- statistics ----------------------------------------------------------------------------


def _count_pairs(unit: Ints, weight: Floats) -> NDArray[np.float64]:
    """Return Σ w_i w_j over pairs of rows of different units, for each column of weights (n, c)."""
    n = len(unit)
    units, code = np.unique(unit, return_inverse=True)
    if len(units) < n:
        weight = csr_matrix((np.ones(n), (code, np.arange(n)))) @ weight.astype(np.float64)
    return np.asarray(weight.sum(axis=0, dtype=np.float64) ** 2 - _dot(weight, weight))


def _count_across(
    unit: Ints, weight: Floats, other_unit: Ints, other_weight: Floats
) -> NDArray[np.float64]:
    """Return Σ w_i v_j over pairs of rows of different units, for each column of both weights."""
    every = weight.sum(axis=0, dtype=np.float64) * other_weight.sum(axis=0, dtype=np.float64)
    shared = np.intersect1d(unit, other_unit)
    if not len(shared):
        return np.asarray(every)
    sums = []
    for units, weights in ((unit, weight), (other_unit, other_weight)):
        rows = np.flatnonzero(np.isin(units, shared))
        code = np.searchsorted(shared, units[rows])
        of_units = csr_matrix((np.ones(len(rows)), (code, rows)), (len(shared), len(units)))
        sums.append(of_units @ weights.astype(np.float64))
    return np.asarray(every - _dot(*sums))


def _dot(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Return Σ_i a_ic b_ic of each column, summed in float64."""
    return np.asarray((a * b).sum(axis=0, dtype=np.float64))


def _difference(
    xx: NDArray[np.float64], n_xx: NDArray[np.float64], yy: NDArray[np.float64],
    n_yy: NDArray[np.float64], xy: NDArray[np.float64], n_xy: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the U-statistic from sums over pairs and numbers of pairs; NaN where a number is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(xx / n_xx + yy / n_yy - 2 * xy / n_xy)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of a kernel over ordered pairs of rows of different units.

    Attributes:
        value: (3,) the sum over pairs of two real rows, of a real and a synthetic row (counted in
            one order), and of two synthetic rows.
        null: (3, splits) the same for the two halves of the real rows in each split.
        drawn: (3, draws) as `value`, with rows weighted as each draw weighs them.
        row: (N,) for each row, the sum over its pairs with all others.
    """

    value: NDArray[np.float64]
    null: NDArray[np.float64]
    drawn: NDArray[np.float64]
    row: NDArray[np.float64]

    def arrays(self) -> tuple[NDArray[np.float64], ...]:
        """Return the four arrays, in the order of the fields."""
        return self.value, self.null, self.drawn, self.row


def add_up(
    pairs: Pairs, kernels: Mapping[str, KernelOf], halves: tuple[Floats, Floats] | None = None,
    weight: Floats | None = None, weighted: Collection[str] = (),
) -> dict[str, Sums]:  # fmt: skip
    """Add up kernels over pairs of rows, all kernels in one pass over the tiles.

    Args:
        pairs: the rows of both sides.
        kernels: kernels by name; all are applied to a tile before the next tile is computed.
        halves: two arrays (n_real, splits) float32, 1 where a real row is in that half, else 0.
        weight: (N, draws) float32 weights of the rows in each draw.
        weighted: names of the kernels whose `Sums.drawn` and `Sums.row` are wanted.
    """
    n, N = pairs.n_real, len(pairs.x)
    splits = halves[0].shape[1] if halves else 0
    both = np.concatenate(halves, axis=1) if halves else np.empty((n, 0), dtype=np.float32)
    weight = np.empty((N, 0), dtype=np.float32) if weight is None else weight

    def empty(whole: bool) -> Sums:
        shapes = ((3,), (3, splits), (3, weight.shape[1] * whole), (N * whole,))
        return Sums(*(np.zeros(shape) for shape in shapes))

    def add_up_tile(tile: tuple[slice, slice]) -> dict[str, Sums]:
        rows, columns = tile
        twice = 1 if rows == columns else 2
        # A tile has real rows alone (0), both (1), or synthetic ones alone (2).
        side = int(rows.start >= n) + int(columns.start >= n)
        orders = 1 if side == 1 else twice
        squared, same = pairs.tile(rows, columns), pairs.same(rows, columns)
        length2 = pairs.length2[rows, None], pairs.length2[None, columns]
        part = {}
        for name, kernel in kernels.items():
            k = kernel(squared, *length2)
            k[same] = 0
            part[name] = sums = empty(name in weighted)
            sums.value[side] = orders * k.sum(axis=1).sum(dtype=np.float64)
            if side == 0 and splits:
                product, left = k @ both[columns], both[rows]
                within = twice * _dot(left, product)
                sums.null[0], sums.null[2] = within[:splits], within[splits:]
                across = _dot(left[:, splits:], product[:, :splits])
                across += _dot(left[:, :splits], product[:, splits:])
                sums.null[1] = twice / 2 * across
            if name in weighted:
                sums.drawn[side] = orders * _dot(weight[rows], k @ weight[columns])
                sums.row[rows] = k.sum(axis=1, dtype=np.float64)
                if twice == 2:
                    sums.row[columns] = k.sum(axis=0, dtype=np.float64)
        return part

    totals = {name: empty(name in weighted) for name in kernels}
    for part in in_threads(add_up_tile, pairs.tiles()):
        for name, sums in part.items():
            for total, tile_sum in zip(totals[name].arrays(), sums.arrays(), strict=True):
                total += tile_sum
    return totals


def value_and_null(
    pairs: Pairs, sums: Sums, halves: tuple[Floats, Floats]
) -> tuple[float, NDArray[np.float64]]:
    """Return the statistic of all rows, and that of one half of the real rows against the other.

    The statistic of all rows is unbiased, and so needs no average over subsamples.

    Returns:
        The value, and (splits,) values of real against real.
    """
    (xx, xy, yy), (aa, ab, bb) = sums.value[:, None], sums.null
    n, ones = pairs.n_real, np.ones((len(pairs.x), 1))
    unit, synthetic = pairs.unit[:n], pairs.unit[n:]
    value = _difference(
        xx, _count_pairs(unit, ones[:n]), yy, _count_pairs(synthetic, ones[n:]),
        xy, _count_across(unit, ones[:n], synthetic, ones[n:]),
    )  # fmt: skip
    one, other = halves
    pairs_across = one.sum(0) * other.sum(0, dtype=float)
    null = _difference(aa, _count_pairs(unit, one), bb, _count_pairs(unit, other), ab, pairs_across)
    return float(value[0]), null


def resampled(unit: Ints, n_real: int, draws: int, rng: Generator) -> Floats:
    """Return how often each row occurs, (N, draws) float32, when units are drawn again.

    Synthetic rows whose unit has real rows go with these; all other synthetic units are drawn by
    themselves.
    """
    real = unit[:n_real]
    weight = np.empty((len(unit), draws), dtype=np.float32)
    for rows in (np.isin(unit, real), ~np.isin(unit, real)):
        units, code = np.unique(unit[rows], return_inverse=True)
        if len(units):
            drawn = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), size=draws)
            weight[rows] = drawn[:, code].T
    return weight


def bootstrap(pairs: Pairs, sums: Sums, weight: Floats) -> NDArray[np.float64]:
    """Return the statistic (draws,) of bootstrap draws with these weights, from sums with them.

    Two copies of one unit are of one unit, so that their pairs do not count; otherwise the mean
    over draws would lie above the statistic.
    """
    xx, xy, yy = sums.drawn
    n = pairs.n_real
    unit, synthetic = pairs.unit[:n], pairs.unit[n:]
    w, v = weight[:n], weight[n:]
    return _difference(
        xx, _count_pairs(unit, w), yy, _count_pairs(synthetic, v),
        xy, _count_across(unit, w, synthetic, v),
    )  # fmt: skip


def shuffles(unit: Ints, target: float, rng: Generator, count: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield `count` random divisions of the rows (positions) into two parts of whole units.

    Units in random order go to the first part while their middle is below `target` rows. The first
    part then has `target` rows if units are single rows, and is off by half a unit at most if not.
    The rows of a part are in the random order of their units.
    """
    _, code, size = np.unique(unit, return_inverse=True, return_counts=True)
    if len(size) == len(unit):
        by_unit = np.argsort(code)
        cut = int(np.searchsorted(np.arange(len(unit)) + 0.5, target, side="left"))
        for _ in range(count):
            rows = by_unit[rng.permutation(len(size))]
            yield rows[:cut], rows[cut:]
        return
    for _ in range(count):
        order = rng.permutation(len(size))
        end = np.cumsum(size[order])
        first = int(np.searchsorted(end - size[order] / 2, target, side="left"))
        place = np.empty(len(size), dtype=np.intp)
        place[order] = np.arange(len(size))
        rows = np.argsort(place[code], kind="stable")
        cut = int(end[first - 1]) if first else 0
        yield rows[:cut], rows[cut:]


def shuffled(unit: Ints, target: float, rng: Generator) -> tuple[Ints, Ints]:
    """Return one division of the rows into two parts, as `shuffles` yields them."""
    return next(shuffles(unit, target, rng, 1))
