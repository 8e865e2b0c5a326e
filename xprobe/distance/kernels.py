"""Mean differences of kernels between two samples: values, floors, permutations, bootstrap. Pure.

All of these differences are U-statistics of one kernel matrix,

    mean k(x, x') + mean k(y, y') − 2 mean k(x, y),

where a pair of rows of one *unit* (a row with itself, or two real images of one group) does not
count: two images of one scene are no two draws, and counting them would lift the expectation
above 0 where nothing differs. Kernels have a constant taken off, which cancels in the statistic,
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
        unit: (N,) number of the unit of each row; every synthetic row is a unit by itself.
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
        if columns.stop > self.n_real and rows != columns:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        i, j = np.nonzero(self.unit[rows, None] == self.unit[None, columns])
        return i, j


def pair_up(
    real: Floats, synthetic: Floats, unit: Ints, *, block: int = BLOCK, keep: int = CACHED_ROWS
) -> Pairs:
    """Return the pairs of real rows (n, d), whose units are (n,), and synthetic rows (m, d).

    The squared distances are computed at once and kept if there are at most `keep` rows in all.
    """
    x = np.concatenate([real, synthetic]).astype(np.float32)
    length2 = np.einsum("nd,nd->n", x, x, dtype=np.float64).astype(np.float32)
    x -= x.mean(axis=0, dtype=np.float64).astype(np.float32)
    alone = np.arange(len(synthetic)) + (int(unit.max(initial=0)) + 1)
    pairs = Pairs(x, length2, np.concatenate([unit, alone]), len(real), None, block)
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
    """Return Σ w_i w_j over pairs of different units, for each column of weights (n, c)."""
    n = len(unit)
    units, code = np.unique(unit, return_inverse=True)
    if len(units) < n:
        weight = csr_matrix((np.ones(n), (code, np.arange(n)))) @ weight.astype(np.float64)
    return np.asarray(weight.sum(axis=0, dtype=np.float64) ** 2 - _dot(weight, weight))


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
        row: (N,) for each row, the sum over its pairs with the rows that `add_up` names `inside`.
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
    weight: Floats | None = None, weighted: Collection[str] = (), inside: Floats | None = None,
) -> dict[str, Sums]:  # fmt: skip
    """Add up kernels over pairs of rows, all kernels in one pass over the tiles.

    Args:
        pairs: the rows of both sides.
        kernels: kernels by name; all are applied to a tile before the next tile is computed.
        halves: two arrays (n_real, splits) float32, 1 where a real row is in that half, else 0.
        weight: (N, draws) float32 weights of the rows in each draw.
        weighted: names of the kernels whose `Sums.drawn` and `Sums.row` are wanted.
        inside: (N,) float32, 1 for the rows that `Sums.row` pairs each row with, else 0.
    """
    n, N = pairs.n_real, len(pairs.x)
    splits = halves[0].shape[1] if halves else 0
    both = np.concatenate(halves, axis=1) if halves else np.empty((n, 0), dtype=np.float32)
    weight = np.empty((N, 0), dtype=np.float32) if weight is None else weight
    inside = np.ones(N, dtype=np.float32) if inside is None else inside

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
                sums.row[rows] = k @ inside[columns]
                if twice == 2:
                    sums.row[columns] = inside[rows] @ k
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
    (xx, xy, yy), (aa, ab, bb) = sums.value, sums.null
    n, m = pairs.n_real, len(pairs.x) - pairs.n_real
    value = _difference(
        np.array([xx]), _count_pairs(pairs.unit[:n], np.ones((n, 1))),
        np.array([yy]), np.array([m * (m - 1.0)]), np.array([xy]), np.array([float(n) * m]),
    )  # fmt: skip
    one, other = halves
    unit, pairs_across = pairs.unit[:n], one.sum(0) * other.sum(0, dtype=float)
    null = _difference(aa, _count_pairs(unit, one), bb, _count_pairs(unit, other), ab, pairs_across)
    return float(value[0]), null


def permutation_p(pairs: Pairs, sums: Sums, sides: Floats, inside: Floats) -> float:
    """Return the p-value (1 + #{permuted ≥ observed}) / (1 + P).

    Args:
        pairs: the rows of both sides.
        sums: sums of a kernel whose weights were `sides`.
        sides: (N, 1 + P) 1 where a row is on the first side, else 0; the first column is what was
            observed, the others are permutations.
        inside: (N,) 1 where a row takes part in the test, on either side, else 0.
    """
    aa = sums.drawn[0] + 2 * sums.drawn[1] + sums.drawn[2]
    a_all, total = sums.row @ sides, sums.row @ inside
    n_a = sides.sum(axis=0, dtype=np.float64)
    statistic = _difference(
        aa, _count_pairs(pairs.unit, sides),
        total - 2 * a_all + aa, _count_pairs(pairs.unit, inside[:, None] - sides),
        a_all - aa, n_a * (inside.sum(dtype=np.float64) - n_a),
    )  # fmt: skip
    # Two equal permutations may differ in the last digits of float32, and must count as equal.
    slack = 1e-6 * np.nanmax(np.abs(statistic))
    permuted = int(np.count_nonzero(statistic[1:] >= statistic[0] - slack))
    return (1 + permuted) / len(statistic)


def resampled(unit: Ints, n_real: int, draws: int, rng: Generator) -> Floats:
    """Return how often each row occurs, (N, draws) float32, when units are drawn again."""
    counts = []
    for side in (unit[:n_real], unit[n_real:]):
        _, code = np.unique(side, return_inverse=True)
        units = int(code.max()) + 1
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=draws)
        counts.append(drawn[:, code].T.astype(np.float32))
    return np.concatenate(counts)


def bootstrap(pairs: Pairs, sums: Sums, weight: Floats) -> NDArray[np.float64]:
    """Return the statistic (draws,) of bootstrap draws with these weights, from sums with them.

    Two copies of one row are of one unit, so that their pair does not count; otherwise the mean
    over draws would lie above the statistic.
    """
    xx, xy, yy = sums.drawn
    n, unit = pairs.n_real, pairs.unit
    w, v = weight[:n], weight[n:]
    return _difference(
        xx, _count_pairs(unit[:n], w), yy, _count_pairs(unit[n:], v),
        xy, w.sum(0, dtype=float) * v.sum(0, dtype=float),
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
