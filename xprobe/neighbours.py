"""Which rows of one set are nearest to which of another, and metrics that count them. Pure.

FAISS does the search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xprobe.errors import XprobeError
from xprobe.kernels import BLOCK, Pairs, in_threads
from xprobe.types import Bools, Floats, Ints

EXACT_ROWS = 200_000  # above so many rows neighbours come from an approximate index
RECALL_QUERIES = 200  # queries that measure what the approximate index finds
SPARE = 4  # candidates beyond k that are rechecked by direct difference


def check_comparable(x: Floats, y: Floats) -> None:
    """Raise an XprobeError unless x (n, d) and y (m, d) are finite and of one width."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise XprobeError(
            f"features of shapes {x.shape} and {y.shape} cannot be compared; "
            "embed both sets with the same encoder"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise XprobeError("features must be finite; embed these images again")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest rows.

    Attributes:
        distances: (n, k) Euclidean, ascending, from direct differences.
        rows: (n, k) positions in y.
        recall: share of the true k nearest that were found, measured on `RECALL_QUERIES` of the
            queries; 1 of an exact index.
    """

    distances: Floats
    rows: Ints
    recall: float


def search(x: Floats, y: Floats, k: int, *, exact_rows: int = EXACT_ROWS) -> Neighbours:
    """Find the k nearest rows of y (m, d) for each row of x (n, d).

    Above `exact_rows` rows of y by an inverted-file index, whose recall is measured.

    Raises:
        XprobeError: fewer than k rows in y, features not finite or of different widths.
    """
    import faiss

    check_comparable(x, y)
    n, m = len(x), len(y)
    if m < k:
        raise XprobeError(
            f"{k} neighbours were asked for among {m} rows; add rows or ask for fewer"
        )
    if not n:
        return Neighbours(np.empty((0, k)), np.empty((0, k), dtype=np.intp), 1.0)
    # Less the mean of y: the index expands squares, and keeps more digits of short rows.
    mean = y.mean(axis=0, dtype=np.float64).astype(np.float32)
    base, query = (np.ascontiguousarray(part - mean, dtype=np.float32) for part in (y, x))
    candidates = min(m, k + SPARE)
    flat = faiss.IndexFlatL2(base.shape[1])
    if m <= exact_rows:
        flat.add(base)
        return Neighbours(*_rechecked(x, y, flat.search(query, candidates)[1], k), 1.0)
    lists = int(4 * np.sqrt(m))
    index = faiss.IndexIVFFlat(flat, base.shape[1], lists)
    index.nprobe = max(1, lists // 16)
    index.cp.min_points_per_centroid = 1  # few rows a list are meant, not a mistake
    index.train(base)
    index.add(base)
    distances, rows = _rechecked(x, y, index.search(query, candidates)[1], k)
    asked = np.unique(np.linspace(0, n - 1, min(n, RECALL_QUERIES)).astype(int))
    exact = faiss.IndexFlatL2(base.shape[1])
    exact.add(base)
    true = exact.search(query[asked], k)[1]
    hits = [len(set(a) & set(b)) for a, b in zip(true.tolist(), rows[asked].tolist(), strict=True)]
    return Neighbours(distances, rows, float(np.sum(hits) / true.size))


def _rechecked(x: Floats, y: Floats, rows: Ints, k: int) -> tuple[Floats, Ints]:
    """Return the k nearest of the candidates (n, c) by direct difference; −1 is no candidate.

    Expanded squares give copies a distance of 5·10⁻⁴.
    """
    distances = np.empty(rows.shape)
    step = max(1, BLOCK // rows.shape[1])

    def recheck(start: int) -> None:
        part = slice(start, start + step)
        off = y[rows[part]]
        np.subtract(x[part, None, :], off, out=off)
        distances[part] = np.sqrt(np.einsum("ncd,ncd->nc", off, off))

    in_threads(recheck, range(0, len(x), step))
    distances[rows < 0] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(rows, order, axis=1).astype(np.intp)
    return np.take_along_axis(distances, order, axis=1), near


def nearest(x: Floats, y: Floats, k: int) -> tuple[Floats, Ints]:
    """Return distances (n, k), ascending, and rows (n, k) of the k nearest rows of y to each of x.

    See `search`, which also tells the recall above `EXACT_ROWS` rows of y.
    """
    found = search(x, y, k)
    return found.distances, found.rows


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
    found = []
    for start in range(0, len(rows), pairs.block):
        own = np.arange(start, min(start + pairs.block, len(rows)))
        squared = pairs.between(rows[own], rows)
        squared[np.arange(len(own)), own] = np.inf
        found.append(np.sort(np.partition(squared, k - 1, axis=1)[:, :k], axis=1)[:, [0, -1]])
    both = np.concatenate(found)
    return Radii(both[:, 0], both[:, 1], 1.0)


def counts(
    pairs: Pairs, real: Ints, fake: Ints, of_real: Radii, of_fake: Radii, k: int
) -> dict[str, float]:
    """Return the neighbour metrics of one split.

    Precision, recall: share of the fakes within the k-th neighbour's distance of a real row, and
    the reverse (Kynkäänniemi et al. 2019). Density, coverage: how many such real rows a fake has,
    over k, and share of the real rows that have a fake within it (Naeem et al. 2020).
    Authenticity: share of the fakes farther from the nearest real row than that is from the
    nearest other one (Alaa et al. 2022).
    """
    within = np.zeros(len(fake), dtype=np.int64)
    nearest_real, squared_to_it = np.zeros(len(fake), dtype=np.intp), np.full(len(fake), np.inf)
    recalled = covered = 0
    for start in range(0, len(real), pairs.block):
        rows = slice(start, min(start + pairs.block, len(real)))
        squared = pairs.between(real[rows], fake)
        inside = squared < of_real.kth[rows, None]
        within += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((squared < of_fake.kth).any(axis=1).sum())
        best = squared.argmin(axis=0)
        least = squared[best, np.arange(len(fake))]
        nearer = least < squared_to_it
        nearest_real[nearer], squared_to_it[nearer] = start + best[nearer], least[nearer]
    return {
        "precision": float((within > 0).mean()),
        "recall": recalled / len(real),
        "density": float(within.sum() / (k * len(fake))),
        "coverage": covered / len(real),
        "authenticity": float((squared_to_it > of_real.first[nearest_real]).mean()),
    }
