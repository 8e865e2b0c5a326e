"""The nearest rows of one set to each row of another, and metrics that count them. Pure.

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

# Neighbours come from an approximate index where there are more rows than this.
EXACT_ROWS = 200_000

# The recall of an approximate index is measured with this many queries.
RECALL_QUERIES = 200

# So many candidates beyond k are searched, since expanded squares may put copies in wrong order.
SPARE = 4

# A squared distance below this share of the squared lengths is computed again from differences.
CLOSE = 0.02

# An approximate index looks through this many of its lists for a row.
PROBED = 48

# A tile of two sets is this many blocks wide.
WIDE = 8


def check_comparable(x: Floats, y: Floats) -> None:
    """Raise an XprobeError unless x (n, d) and y (m, d) are finite and of one width."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise XprobeError(
            f"features of shapes {x.shape} and {y.shape} cannot be compared; "
            "embed both sets with the same encoder"
        )
    # A finite sum proves that all values are finite in a third of the time that a check of each
    # value takes. An infinite one may have overflowed, and then each value is checked.
    if not all(np.isfinite(part.sum()) or np.isfinite(part).all() for part in (x, y)):
        raise XprobeError("features must be finite; embed these images again")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest rows of y for each of n queries.

    Attributes:
        distances: (n, k) Euclidean distances, ascending; small ones are from direct differences.
        rows: (n, k) positions in y.
        recall: share of the true k nearest rows that the index returned, measured on
            `RECALL_QUERIES` of the queries; an exact index has 1.
    """

    distances: Floats
    rows: Ints
    recall: float


def search(x: Floats, y: Floats, k: int, *, exact_rows: int | None = None) -> Neighbours:
    """Find the k nearest rows of y (m, d) for each row of x (n, d).

    An approximate, inverted-file index whose recall is measured searches more than `exact_rows`
    (`EXACT_ROWS`) rows of y. FAISS uses GPUs if the installed version can.

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
    # The index expands squares, which loses fewer digits of short rows: the mean of y is taken off.
    mean = y.mean(axis=0, dtype=np.float32)
    base, query = (np.ascontiguousarray(part - mean, dtype=np.float32) for part in (y, x))
    candidates = min(m, k + SPARE)
    if m <= (exact_rows or EXACT_ROWS):
        return Neighbours(
            *_nearest_candidates(query, base, _exact_index(base).search(query, candidates), k), 1.0
        )
    index = _train_index(base)
    index.add(base)
    distances, rows = _nearest_candidates(query, base, _on_gpus(index).search(query, candidates), k)
    queries = _recall_queries(n)
    true = _exact_index(base).search(query[queries], k)[1]
    hits = [
        len(set(a) & set(b)) for a, b in zip(true.tolist(), rows[queries].tolist(), strict=True)
    ]
    return Neighbours(distances, rows, float(np.sum(hits) / true.size))


def _exact_index(base: Floats) -> Any:
    import faiss

    index = _on_gpus(faiss.IndexFlatL2(base.shape[1]))
    index.add(base)
    return index


def _train_index(base: Floats) -> Any:
    """Return an empty inverted-file index whose lists are centred on clusters of these rows."""
    import faiss

    lists = int(2 * np.sqrt(len(base)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(base.shape[1]), base.shape[1], lists)
    index.nprobe = min(lists, PROBED)
    index.cp.niter = 10  # Better centres would cost more time than the search.
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 64
    index.train(base)
    return index


def _on_gpus(index: Any) -> Any:
    import faiss

    gpus = getattr(faiss, "get_num_gpus", int)()
    return faiss.index_cpu_to_all_gpus(index) if gpus else index


def _recall_queries(n: int) -> Ints:
    """Return which of n rows are the queries that measure a recall."""
    return np.unique(np.linspace(0, n - 1, min(n, RECALL_QUERIES)).astype(np.intp))


def _nearest_candidates(
    x: Floats, y: Floats, candidates: tuple[Floats, Ints], k: int
) -> tuple[Floats, Ints]:
    """Return the k nearest of the candidates (n, c), with close ones measured by difference.

    From expanded squares, copies have a distance of 5·10⁻⁴ of their lengths; the error of pairs
    that are not close is 10⁻⁶ at most. Row −1 stands for no candidate.
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


def nearest_neighbours(x: Floats, y: Floats, k: int) -> tuple[Floats, Ints]:
    """Return the k nearest rows of y to each row of x: distances, ascending, and positions (n, k).

    `search` also tells the recall, which is below 1 above `EXACT_ROWS` rows of y.
    """
    neighbours = search(x, y, k)
    return neighbours.distances, neighbours.rows


def near_duplicates(x: Floats, y: Floats, threshold: float) -> Bools:
    """Return (n,) whether a row of y lies within distance `threshold` of each row of x (n, d)."""
    if not len(y):
        return np.zeros(len(x), dtype=bool)
    return np.asarray(nearest_neighbours(x, y, 1)[0][:, 0] <= threshold)


# --- metrics -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Radii:
    """Squared distances (n,) of each row of a set to its nearest and its k-th nearest other row."""

    first: Floats
    kth: Floats
    recall: float


def radii(pairs: Pairs, x: Floats, rows: Ints, k: int) -> Radii:
    """Return the radii within the set of the rows of x with these numbers.

    They are read from the pairs if these are kept, and searched for otherwise.
    """
    if pairs.kept is None:
        near = search(x[rows], x[rows], k + 1)
        # The search returns a row itself, too, unless k + 1 copies of it come first.
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
    """What neighbour metrics count on n real rows and m synthetic rows, called fakes.

    Attributes:
        k: the radius of a row is the distance to its k-th neighbour.
        within: (m,) number of real rows within whose radius a fake lies.
        covered: (n,) whether any fake lies within the radius of a real row.
        recalled: (n,) whether a real row lies within the radius of any fake.
        is_new: (m,) whether the real row nearest to a fake is nearer to another real row than to
            the fake.
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
    """Return the mean number of real rows whose radius holds a fake, over k (Naeem et al. 2020)."""
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
    real_radii: Radii,
    fake_radii: Radii,
    k: int,
    *,
    exact_rows: int | None = None,
) -> tuple[Counts, float]:
    """Return what neighbour metrics count in one split, and the recall of that count.

    Above `exact_rows` (`EXACT_ROWS`) real rows, a fake is compared only with the real rows of the
    lists nearest to it. The recall is the share that was counted of the pairs of a real row and a
    fake within its radius, measured on `RECALL_QUERIES` fakes; it is 1 if all are compared.

    Args:
        pairs: the rows of both sides.
        real, fake: (n,) and (m,) numbers of the rows of the split.
        real_radii, fake_radii: their radii.
        k: neighbour that gave the radii.
        exact_rows: number of real rows above which counts are approximate.
    """
    within = np.zeros(len(fake), dtype=np.int64)
    nearest_real, squared_to_it = np.zeros(len(fake), dtype=np.intp), np.full(len(fake), np.inf)
    covered, recalled = np.zeros((2, len(real)), dtype=bool)
    approximate = len(real) > (exact_rows or EXACT_ROWS)
    tiles = _near_tiles if approximate else _all_tiles
    for rows, columns in tiles(pairs, real, fake):
        squared = pairs.between(real[rows], fake[columns])
        inside = squared < real_radii.kth[rows, None]
        within[columns] += inside.sum(axis=0)
        covered[rows] |= inside.any(axis=1)
        recalled[rows] |= (squared < fake_radii.kth[columns]).any(axis=1)
        best = squared.argmin(axis=0)
        least = squared[best, np.arange(len(columns))]
        nearer = least < squared_to_it[columns]
        improved = columns[nearer]
        nearest_real[improved], squared_to_it[improved] = rows[best[nearer]], least[nearer]
    share = 1.0
    if approximate:
        queries, pairs_within = _recall_queries(len(fake)), 0
        for rows, columns in _all_tiles(pairs, real, fake[queries]):
            squared = pairs.between(real[rows], fake[queries[columns]])
            pairs_within += int((squared < real_radii.kth[rows, None]).sum())
        share = float(within[queries].sum() / pairs_within) if pairs_within else 1.0
    is_new = squared_to_it > real_radii.first[nearest_real]
    return Counts(k, within, covered, recalled, is_new), share


def _all_tiles(pairs: Pairs, real: Ints, fake: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield tiles of all pairs, as positions in `real` and positions in `fake`."""
    yield from _tiles(np.arange(len(real)), np.arange(len(fake)), pairs.block)


def _near_tiles(pairs: Pairs, real: Ints, fake: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield tiles of each list of real rows with the fakes to which that list is near.

    A whole list is compared at a time, so that matrix products do the work: an index that scans
    lists for one query after the other takes many times as long.
    """
    index = _train_index(pairs.x[real])
    list_of_real = index.quantizer.search(pairs.x[real], 1)[1][:, 0]
    probed = index.quantizer.search(pairs.x[fake], index.nprobe)[1].astype(np.int32).ravel()
    by_list, by_probed = np.argsort(list_of_real, kind="stable"), np.argsort(probed, kind="stable")
    lists = np.arange(index.nlist + 1)
    real_ends, fake_ends = (
        np.searchsorted(list_of_real[by_list], lists),
        np.searchsorted(probed[by_probed], lists),
    )
    for a, b, c, d in zip(
        real_ends[:-1], real_ends[1:], fake_ends[:-1], fake_ends[1:], strict=True
    ):
        yield from _tiles(by_list[a:b], by_probed[c:d] // index.nprobe, pairs.block)


def _tiles(rows: Ints, columns: Ints, block: int) -> Iterator[tuple[Ints, Ints]]:
    for i in range(0, len(rows), block):
        for j in range(0, len(columns), WIDE * block):
            yield rows[i : i + block], columns[j : j + WIDE * block]
