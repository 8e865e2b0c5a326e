"""Which rows of one set are nearest to which of another, and metrics that count them. Pure.

FAISS does the search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.base.errors import XprobeError
from xprobe.distance.kernels import BLOCK, Pairs
from xprobe.engine.threads import in_threads

EXACT_ROWS = 200_000  # above so many rows neighbours come from an approximate index

RECALL_QUERIES = 200  # queries that measure what the approximate index finds

SPARE = 4  # candidates beyond k, since expanded squares may put copies in the wrong order

CLOSE = 0.02  # share of the squared lengths below which expanded squares are recomputed

PROBED = 48  # lists of an approximate index that are looked through for a row

WIDE = 8  # blocks that a tile of two sets is wide


def check_comparable(x: Floats, y: Floats) -> None:
    """Raise an XprobeError unless x (n, d) and y (m, d) are finite and of one width."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise XprobeError(
            f"features of shapes {x.shape} and {y.shape} cannot be compared; "
            "embed both sets with the same encoder"
        )
    # A sum is finite if all is, but for overflow; looking at each value takes three times as long.
    if not all(np.isfinite(part.sum()) or np.isfinite(part).all() for part in (x, y)):
        raise XprobeError("features must be finite; embed these images again")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest rows.

    Attributes:
        distances: (n, k) Euclidean, ascending, small ones from direct differences.
        rows: (n, k) positions in y.
        recall: share of the true k nearest that were found, measured on `RECALL_QUERIES` of the
            queries; 1 of an exact index.
    """

    distances: Floats
    rows: Ints
    recall: float


def search(x: Floats, y: Floats, k: int, *, exact_rows: int | None = None) -> Neighbours:
    """Find the k nearest rows of y (m, d) for each row of x (n, d).

    Above `exact_rows` (`EXACT_ROWS`) rows of y by an inverted-file index, whose recall is measured.
    On GPUs if the FAISS that is installed can use them.

    Raises:
        XprobeError: fewer than k rows in y, features not finite or of different widths.
    """
    check_comparable(x, y)
    n, m = len(x), len(y)
    if m < k:
        raise XprobeError(
            f"{k} neighbours were asked for among {m} rows; add rows or ask for fewer"
        )
    if not n:
        return Neighbours(np.empty((0, k)), np.empty((0, k), dtype=np.intp), 1.0)
    # Less the mean of y: the index expands squares, and keeps more digits of short rows.
    mean = y.mean(axis=0, dtype=np.float32)
    base, query = (np.ascontiguousarray(part - mean, dtype=np.float32) for part in (y, x))
    candidates = min(m, k + SPARE)
    if m <= (exact_rows or EXACT_ROWS):
        return Neighbours(*_rechecked(query, base, _flat(base).search(query, candidates), k), 1.0)
    index = _trained(base)
    index.add(base)
    distances, rows = _rechecked(query, base, _placed(index).search(query, candidates), k)
    asked = _asked(n)
    true = _flat(base).search(query[asked], k)[1]
    hits = [len(set(a) & set(b)) for a, b in zip(true.tolist(), rows[asked].tolist(), strict=True)]
    return Neighbours(distances, rows, float(np.sum(hits) / true.size))


def _flat(base: Floats) -> Any:
    import faiss

    index = _placed(faiss.IndexFlatL2(base.shape[1]))
    index.add(base)
    return index


def _trained(base: Floats) -> Any:
    """Return an empty inverted-file index whose lists are centred on what is there."""
    import faiss

    lists = int(2 * np.sqrt(len(base)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(base.shape[1]), base.shape[1], lists)
    index.nprobe = min(lists, PROBED)
    index.cp.niter = 10  # centres need not be the best ones, and cost more than the search
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 64
    index.train(base)
    return index


def _placed(index: Any) -> Any:
    import faiss

    gpus = getattr(faiss, "get_num_gpus", int)()
    return faiss.index_cpu_to_all_gpus(index) if gpus else index


def _asked(n: int) -> Ints:
    """Return the rows of n that measure a recall."""
    return np.unique(np.linspace(0, n - 1, min(n, RECALL_QUERIES)).astype(np.intp))


def _rechecked(
    x: Floats, y: Floats, candidates: tuple[Floats, Ints], k: int
) -> tuple[Floats, Ints]:
    """Return the k nearest of the candidates (n, c), close ones by direct difference.

    Expanded squares give copies a distance of 5·10⁻⁴ of their lengths, and pairs that are not
    close one that is off by 10⁻⁶ at most. Row −1 is no candidate.
    """
    squared, rows = candidates
    distances = np.sqrt(np.maximum(squared, 0), dtype=np.float64)
    length2_x, length2_y = (np.einsum("nd,nd->n", part, part) for part in (x, y))
    close = squared < CLOSE * (length2_x[:, None] + length2_y[rows])
    i, j = np.nonzero(close & (rows >= 0))

    def recheck(start: int) -> None:
        pairs = i[start : start + BLOCK], j[start : start + BLOCK]
        off = x[pairs[0]] - y[rows[pairs]]
        distances[pairs] = np.sqrt(np.einsum("nd,nd->n", off, off))

    if len(i):
        in_threads(recheck, range(0, len(i), BLOCK))
    distances[rows < 0] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(rows, order, axis=1).astype(np.intp)
    return np.take_along_axis(distances, order, axis=1), near


def nearest(x: Floats, y: Floats, k: int) -> tuple[Floats, Ints]:
    """Return distances (n, k), ascending, and rows (n, k) of the k nearest rows of y to each of x.

    See `search`, which also tells the recall above `EXACT_ROWS` rows of y.
    """
    neighbours = search(x, y, k)
    return neighbours.distances, neighbours.rows


def near_duplicates(x: Floats, y: Floats, threshold: float) -> Bools:
    """Return which rows of x (n, d) have a row of y within Euclidean distance `threshold`."""
    if not len(y):
        return np.zeros(len(x), dtype=bool)
    return np.asarray(nearest(x, y, 1)[0][:, 0] <= threshold)


# --- metrics -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Radii:
    """Squared distances of each row of a set to its nearest and its k-th nearest other row."""

    first: Floats
    kth: Floats
    recall: float


def radii(pairs: Pairs, x: Floats, rows: Ints, k: int) -> Radii:
    """Return the distances of named rows of x to each other; from the pairs, if they are kept."""
    if pairs.kept is None:
        near = search(x[rows], x[rows], k + 1)
        # A row finds itself, unless k + 1 copies of it come first.
        itself = near.rows == np.arange(len(rows))[:, None]
        itself[~itself.any(axis=1), -1] = True
        squared = near.distances[~itself].reshape(-1, k) ** 2
        return Radii(squared[:, 0], squared[:, -1], near.recall)
    parts = []
    for start in range(0, len(rows), pairs.block):
        part = np.arange(start, min(start + pairs.block, len(rows)))
        squared = pairs.between(rows[part], rows)
        squared[np.arange(len(part)), part] = np.inf
        parts.append(np.sort(np.partition(squared, k - 1, axis=1)[:, :k], axis=1)[:, [0, -1]])
    both = np.concatenate(parts)
    return Radii(both[:, 0], both[:, 1], 1.0)


@dataclass(frozen=True, eq=False)
class Counts:
    """What neighbour metrics count, of n real and m synthetic rows ("fakes").

    Attributes:
        k: which neighbour's distance is the radius of a row.
        within: (m,) within the radius of how many real rows a fake lies.
        covered: (n,) whether any fake lies within the radius of a real row.
        recalled: (n,) whether a real row lies within the radius of any fake.
        is_new: (m,) whether a fake is farther from the nearest real row than that is from the
            nearest other one.
    """

    k: int
    within: Ints
    covered: Bools
    recalled: Bools
    is_new: Bools


def precision(counts: Counts) -> float:
    """Return the share of the fakes within the radius of a real row (Kynkäänniemi et al. 2019)."""
    return float((counts.within > 0).mean())


def recall(counts: Counts) -> float:
    """Return the share of the real rows within the radius of a fake (Kynkäänniemi et al. 2019)."""
    return float(counts.recalled.mean())


def density(counts: Counts) -> float:
    """Return within the radius of how many real rows a fake lies, over k (Naeem et al. 2020)."""
    return float(counts.within.sum() / (counts.k * len(counts.within)))


def coverage(counts: Counts) -> float:
    """Return the share of the real rows with a fake within their radius (Naeem et al. 2020)."""
    return float(counts.covered.mean())


def authenticity(counts: Counts) -> float:
    """Return the share of the fakes that are no near copy of a real row (Alaa et al. 2022)."""
    return float(counts.is_new.mean())


def counts(
    pairs: Pairs,
    real: Ints,
    fake: Ints,
    of_real: Radii,
    of_fake: Radii,
    k: int,
    *,
    exact_rows: int | None = None,
) -> tuple[Counts, float]:
    """Return what neighbour metrics count in one split, and the share of the pairs that were found.

    Above `exact_rows` (`EXACT_ROWS`) real rows, a fake is compared with those of near lists alone;
    the share is of the pairs within a real row's k-th neighbour, of `RECALL_QUERIES` fakes.
    """
    within = np.zeros(len(fake), dtype=np.int64)
    nearest_real, squared_to_it = np.zeros(len(fake), dtype=np.intp), np.full(len(fake), np.inf)
    covered, recalled = np.zeros((2, len(real)), dtype=bool)
    approximate = len(real) > (exact_rows or EXACT_ROWS)
    tiles = _near_tiles if approximate else _all_tiles
    for rows, columns in tiles(pairs, real, fake):
        squared = pairs.between(real[rows], fake[columns])
        inside = squared < of_real.kth[rows, None]
        within[columns] += inside.sum(axis=0)
        covered[rows] |= inside.any(axis=1)
        recalled[rows] |= (squared < of_fake.kth[columns]).any(axis=1)
        best = squared.argmin(axis=0)
        least = squared[best, np.arange(len(columns))]
        nearer = least < squared_to_it[columns]
        improved = columns[nearer]
        nearest_real[improved], squared_to_it[improved] = rows[best[nearer]], least[nearer]
    share = 1.0
    if approximate:
        asked, pairs_within = _asked(len(fake)), 0
        for rows, columns in _all_tiles(pairs, real, fake[asked]):
            squared = pairs.between(real[rows], fake[asked[columns]])
            pairs_within += int((squared < of_real.kth[rows, None]).sum())
        share = float(within[asked].sum() / pairs_within) if pairs_within else 1.0
    is_new = squared_to_it > of_real.first[nearest_real]
    return Counts(k, within, covered, recalled, is_new), share


def _all_tiles(pairs: Pairs, real: Ints, fake: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield positions in real and in fake that make up tiles of all pairs."""
    yield from _tiles(np.arange(len(real)), np.arange(len(fake)), pairs.block)


def _near_tiles(pairs: Pairs, real: Ints, fake: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield tiles of each list of real rows and the fakes that it is one of the nearest lists of.

    Whole lists at a time, and so by matrix products: an index that scans them for one query
    after the other takes many times as long.
    """
    index = _trained(pairs.x[real])
    list_of_real = index.quantizer.search(pairs.x[real], 1)[1][:, 0]
    probed = index.quantizer.search(pairs.x[fake], index.nprobe)[1].astype(np.int32).ravel()
    of_real, of_fake = np.argsort(list_of_real, kind="stable"), np.argsort(probed, kind="stable")
    lists = np.arange(index.nlist + 1)
    real_ends, fake_ends = (
        np.searchsorted(list_of_real[of_real], lists),
        np.searchsorted(probed[of_fake], lists),
    )
    for a, b, c, d in zip(
        real_ends[:-1], real_ends[1:], fake_ends[:-1], fake_ends[1:], strict=True
    ):
        yield from _tiles(of_real[a:b], of_fake[c:d] // index.nprobe, pairs.block)


def _tiles(rows: Ints, columns: Ints, block: int) -> Iterator[tuple[Ints, Ints]]:
    for i in range(0, len(rows), block):
        for j in range(0, len(columns), WIDE * block):
            yield rows[i : i + block], columns[j : j + WIDE * block]
