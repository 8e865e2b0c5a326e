"""The search for synthetic images that copy real ones, and for duplicates, from pixels alone.

Two images are compared by their fingerprints over ten cuts of the database's image (whole, or 95 %
of each side at nine places), upright and mirrored: a cut of 5 % moves what is at the border by more
than a low-pass filter forgives. Measured on 260 photographs and 800 images of 32 x 32 pixels,
calibrated on each: of exact copies, JPEG 50, half size, 5 % cuts and mirrored ones 98.6 to 100 %
are flagged, and of as many other real images none but three true duplicates. Without the search
over cuts it was 0 to 66 % of cut ones.

The search misses images that show more than the real one, cuts of 10 % and rotated copies. A
synthetic image made by a slight edit of a real one counts as a copy; lineage keeps it apart in
training.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.base.errors import counted
from xprobe.distance.checks.fingerprints import COSINES, KEPT, SIDE, WEIGHT, mirrored
from xprobe.images.manifest import Manifest

# This share of the real images may have a real image of another group below the threshold.
FALSE_ALARMS = 0.001

# No calibrated threshold is above this distance, since planted copies lie below 0.05.
LIMIT = 0.08

# Two real images nearer than this are taken for duplicates, if few real images are so near.
SURE = 0.05

# At most this share of the real images is taken for duplicates of others; CIFAR-10 has 3 %.
MOST_SET_ASIDE = 0.05

TEST, TRAINING, EXTRA = "test", "training", "extra"

_SPLITS = {"test": TEST, "train": TRAINING, "extra": EXTRA}  # The worst kind of copy comes first.

_EMPTY = hashlib.sha256(b"").hexdigest()

# The first look of the search takes so many frequencies of each axis.
_COARSE = 8

_CUT = 0.95  # A cut leaves this share of each side.

# The first look picks this many images; of 2,120, the copied one was always among the first 13.
_CANDIDATES = 32

# So many queries and images are compared at a time, with at most 32 MiB of similarities.
_QUERIES, _BLOCK = 512, 8192


@dataclass(frozen=True)
class Nearest:
    """The ids of a synthetic image and of the real image nearest to it; distance 0 is the same."""

    id: str
    nearest: str
    distance: float


@dataclass(frozen=True)
class Leak:
    """An image that is a copy or duplicate of another.

    Attributes:
        id: the id of the image.
        kind: ``copy of a test image``, ``copy of a training image`` or ``copy of an extra image``
            for a synthetic copy of a real image; ``duplicate inside real`` or ``duplicate inside
            synthetic`` (of one generator) for others. ``exact`` stands before it if both have the
            same bytes.
        nearest: the id of the image that it is a copy of.
        distance: distance of the two, from 0 (the same) to 1 (nothing in common).
    """

    id: str
    kind: str
    nearest: str
    distance: float


@dataclass(frozen=True, eq=False)
class Leaks:
    """The copies and duplicates among the images of a manifest.

    Attributes:
        rows: the flagged images. A synthetic image that is a copy has one row, of its worst kind:
            test before training before extra. Without a fixed hold-out every training image is
            tested in some fold.
        nearest: the nearest real image of every synthetic image with a fingerprint.
        threshold: the distance below which an image is a copy.
        reason: a sentence that says where the threshold comes from.
        unchecked: ids of images without a fingerprint (unusable or of one colour), which are
            compared by hash alone.
    """

    rows: tuple[Leak, ...]
    nearest: tuple[Nearest, ...]
    threshold: float
    reason: str
    unchecked: tuple[str, ...]

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of flagged images by kind, sorted by kind."""
        return dict(sorted(Counter(leak.kind for leak in self.rows).items()))

    def without(self, manifest: Manifest) -> Manifest:
        """Return the manifest without the synthetic images that are copies of real ones.

        Duplicates inside a set stay: they are no leak.
        """
        leaked = [leak.id for leak in self.rows if "copy of" in leak.kind]
        gone = np.isin(manifest.id.astype(str), leaked) & (manifest.source == "synthetic")
        return manifest.select(np.asarray(~gone, dtype=bool))


# --- the search ----------------------------------------------------------------------


def _cut(place: float) -> Floats:
    """Return the matrix (16, 16) by which a cut maps the coefficients of one axis.

    The cut leaves the first part of the axis at place 0, and the last part at place 1.
    """
    edges = place * SIDE * (1 - _CUT) + _CUT * np.arange(SIDE + 1)
    pixel = np.arange(SIDE)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    area = np.clip(overlap, 0, None) / _CUT
    return np.asarray(COSINES @ area @ COSINES.T)


_UNWEIGHT = np.divide(1, WEIGHT, out=np.zeros_like(WEIGHT), where=WEIGHT > 0)

_WHOLE = np.eye(KEPT)

_CUTS = [(_WHOLE, _WHOLE), *((_cut(y), _cut(x)) for y, x in product((0, 0.5, 1), repeat=2))]


def find_nearest(
    queries: NDArray[np.float32],
    database: NDArray[np.float32],
    query_code: Ints | None = None,
    database_code: Ints | None = None,
) -> tuple[Ints, Floats]:
    """Return the nearest row of the database of each query (m,), and its distance (m,).

    The distance is 1 - the correlation of the query with the best cut of the database's image; it
    is not symmetric. A first look at 8 x 8 frequencies picks 32 candidates. Rows of equal code are
    never each other's neighbours; a query without any neighbour gets row -1 at infinity.

    Args:
        queries, database: (m, 256) and (n, 256) fingerprints.
        query_code, database_code: (m,) and (n,) codes; by default no query shares one with a row.
    """
    best, distance = np.full(len(queries), -1, dtype=np.intp), np.full(len(queries), np.inf)
    if not len(database):
        return best, distance
    if query_code is None or database_code is None:
        query_code = np.zeros(len(queries), dtype=np.intp)
        database_code = np.ones(len(database), dtype=np.intp)
    lengths = _lengths(database)
    coarse = _coarse(database)
    for rows in _blocks(len(queries), _QUERIES):
        candidates = _candidates(queries[rows], coarse, query_code[rows], database_code)
        score = _best_cut(queries[rows], database[candidates], lengths[candidates])
        score[candidates < 0] = -np.inf
        first = score.argmax(axis=1)
        along = np.arange(len(first))
        best[rows] = candidates[along, first]
        distance[rows] = np.maximum(0, 1 - score[along, first])
    return best, distance


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _coarse(fingerprint: NDArray[np.float32]) -> NDArray[np.float32]:
    square = fingerprint.reshape(-1, KEPT, KEPT)[:, :_COARSE, :_COARSE]
    low = square.reshape(-1, _COARSE * _COARSE)
    return np.asarray(low / np.maximum(np.linalg.norm(low, axis=1, keepdims=True), 1e-9))


def _lengths(database: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lengths (n, 10) of the ten cuts of each fingerprint, before normalisation."""
    out = np.empty((len(database), len(_CUTS)), dtype=np.float32)
    for rows in _blocks(len(database), _BLOCK):
        plain = database[rows].reshape(-1, KEPT, KEPT) * _UNWEIGHT
        for v, (down, across) in enumerate(_CUTS):
            out[rows, v] = np.linalg.norm(WEIGHT * (down @ plain @ across.T), axis=(1, 2))
    return np.maximum(out, 1e-9)


def _candidates(
    queries: NDArray[np.float32],
    coarse: NDArray[np.float32],
    query_code: Ints,
    database_code: Ints,
) -> Ints:
    """Return the rows (m, k) nearest to each query at first look; -1 stands for no row."""
    upright, flipped = _coarse(queries), _coarse(mirrored(queries))
    rows_kept: NDArray[Any] = np.empty((len(queries), 0), dtype=np.intp)
    value: NDArray[Any] = np.empty((len(queries), 0), dtype=np.float32)
    for rows in _blocks(len(coarse), _BLOCK):
        near = np.maximum(upright @ coarse[rows].T, flipped @ coarse[rows].T)
        near[query_code[:, None] == database_code[None, rows]] = -np.inf
        place = np.broadcast_to(np.arange(rows.start, rows.stop), near.shape)
        value, rows_kept = np.hstack([value, near]), np.hstack([rows_kept, place])
        if value.shape[1] > _CANDIDATES:
            top = np.argpartition(-value, _CANDIDATES - 1, axis=1)[:, :_CANDIDATES]
            value = np.take_along_axis(value, top, axis=1)
            rows_kept = np.take_along_axis(rows_kept, top, axis=1)
    return np.where(np.isfinite(value), rows_kept, -1)


def _best_cut(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], lengths: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the correlations (m, k) of queries with the best cut of each candidate (m, k, 256).

    The transposed cut is applied to the query: ten products for a query, and none for a candidate.
    """
    best = np.full(candidates.shape[:2], -np.inf, dtype=np.float32)
    for view in (queries, mirrored(queries)):
        weighted = view.reshape(-1, KEPT, KEPT) * WEIGHT
        turned = [_UNWEIGHT * (down.T @ weighted @ across) for down, across in _CUTS]
        cuts = np.stack(turned, axis=-1).reshape(len(view), -1, len(_CUTS)).astype(np.float32)
        best = np.maximum(best, (candidates @ cuts / lengths).max(axis=2))
    return best


# --- the check -----------------------------------------------------------------------


def find_leaks(
    manifest: Manifest, fingerprints: NDArray[np.float32], threshold: float | None = None
) -> Leaks:
    """Return which synthetic images are copies of real ones, and which images occur twice.

    The threshold is calibrated on the real images: it is the distance below which at most 0.1 % of
    them have a real image of another group, and `LIMIT` at most. These images may be of any class,
    since the check looks through all classes, too. Real images nearer than `SURE` to one of another
    group count as unknown duplicates and are set aside, unless they are more than 5 % of all: such
    data simply look alike. Copies within a class of near-identical pictures are then found only by
    hash.

    Args:
        manifest: the images.
        fingerprints: (n, 256) fingerprints of these images, in their order.
        threshold: a distance to use instead of the calibrated one.
    """
    if fingerprints.shape != (len(manifest), KEPT * KEPT):
        raise ValueError(f"fingerprints of shape {fingerprints.shape} for {len(manifest)} images")
    if threshold is not None and not 0 < threshold <= 1:
        raise ValueError(f"a threshold of {threshold}; it lies above 0 and at most at 1")
    known = np.asarray(fingerprints.any(axis=1), dtype=bool)
    reason = "as asked"
    if threshold is None:
        threshold, reason = calibrate(manifest, fingerprints, known)
    flagged, nearest = _copies(manifest, fingerprints, known, threshold)
    real = np.asarray(manifest.source == "real", dtype=bool)
    inside = [("real", real)]
    inside += [("synthetic", manifest.generator == g) for g in sorted({*manifest.generator} - {""})]
    for name, members in inside:
        flagged += _duplicates(manifest, fingerprints, members, known, threshold, name)
    return Leaks(tuple(flagged), tuple(nearest), threshold, reason, tuple(manifest.id[~known]))


def calibrate(
    manifest: Manifest, fingerprints: NDArray[np.float32], known: Bools
) -> tuple[float, str]:
    """Return the threshold that the real images allow, and a sentence that says why.

    Args:
        manifest: the images.
        fingerprints: (n, 256) fingerprints of these images.
        known: (n,) whether an image has a fingerprint.
    """
    rows = np.flatnonzero((manifest.source == "real") & known)
    _, group = np.unique(manifest.group[rows].astype(str), return_inverse=True)
    distance = find_nearest(fingerprints[rows], fingerprints[rows], group, group)[1]
    distance = np.sort(distance[np.isfinite(distance)])
    n, close = len(distance), int((distance < SURE).sum())
    aside = close if close <= MOST_SET_ASIDE * n else 0
    rest = distance[aside:]
    if not len(rest):
        return SURE, f"there are no two groups of real images to compare: {SURE:g}, as a rule"
    allowed = int(FALSE_ALARMS * len(rest))
    smallest = float(rest[allowed])
    have = "has" if allowed == 1 else "have"
    words = f"{allowed} of {len(rest)} real images {have} one of another group below {smallest:.3f}"
    if aside:
        words += f" ({aside} nearer than {SURE:g} set aside as duplicates)"
    if close and not aside:
        near = counted(close, "real image is", "real images are")
        words += f"; {near} nearer than {SURE:g} to others, as these data are"
    if smallest > LIMIT:
        return LIMIT, f"{words}; {LIMIT:g} is the most that is used"
    return smallest, words


def _copies(
    manifest: Manifest, fingerprints: NDArray[np.float32], known: Bools, threshold: float
) -> tuple[list[Leak], list[Nearest]]:
    """Return the copies among synthetic images, and the real image nearest to each."""
    synthetic = np.flatnonzero(manifest.source == "synthetic")
    nearest, distance = np.full(len(synthetic), -1), np.full(len(synthetic), np.inf)
    flagged: dict[int, Leak] = {}
    for split, name in _SPLITS.items():
        part = (manifest.source == "real") & (manifest.split == split)
        rows = np.flatnonzero(part & known)
        by_content = {manifest.sha256[i]: i for i in np.flatnonzero(part)[::-1]}
        neighbour, far = find_nearest(fingerprints[synthetic], fingerprints[rows])
        far[~known[synthetic]] = np.inf
        for j, i in enumerate(synthetic.tolist()):
            article = "an" if name == EXTRA else "a"
            same = by_content.get(manifest.sha256[i])
            if same is not None and manifest.sha256[i] not in ("", _EMPTY):
                kind = f"exact copy of {article} {name} image"
                flagged.setdefault(i, _leak(manifest, i, kind, same, 0.0))
            elif far[j] < threshold:
                kind = f"copy of {article} {name} image"
                flagged.setdefault(i, _leak(manifest, i, kind, rows[neighbour[j]], far[j]))
            if far[j] < distance[j]:
                nearest[j], distance[j] = rows[neighbour[j]], far[j]
    every = [
        Nearest(manifest.id[i], manifest.id[nearest[j]], float(distance[j]))
        for j, i in enumerate(synthetic.tolist())
        if nearest[j] >= 0
    ]
    return [flagged[i] for i in sorted(flagged)], every


def _duplicates(
    manifest: Manifest,
    fingerprints: NDArray[np.float32],
    members: Bools,
    known: Bools,
    threshold: float,
    name: str,
) -> list[Leak]:
    """Return the images of a set that are duplicates of another image of the set."""
    by_content: dict[str, list[int]] = {}
    for i in np.flatnonzero(members).tolist():
        if manifest.sha256[i] not in ("", _EMPTY):
            by_content.setdefault(manifest.sha256[i], []).append(i)
    flagged: dict[int, Leak] = {}
    for same in by_content.values():
        for i in same if len(same) > 1 else ():
            other = same[1] if i == same[0] else same[0]
            flagged[i] = _leak(manifest, i, f"exact duplicate inside {name}", other, 0.0)
    rows = np.flatnonzero(members & known)
    code = np.arange(len(rows))
    nearest, distance = find_nearest(fingerprints[rows], fingerprints[rows], code, code)
    for j in np.flatnonzero(distance < threshold).tolist():
        i = int(rows[j])
        row = _leak(manifest, i, f"duplicate inside {name}", rows[nearest[j]], distance[j])
        flagged.setdefault(i, row)
    return [flagged[i] for i in sorted(flagged)]


def _leak(manifest: Manifest, i: int, kind: str, nearest: int, distance: float) -> Leak:
    return Leak(manifest.id[i], kind, manifest.id[nearest], float(distance))
