"""Whether a head knows the event or the place, told by test scenes from before the event.

A head is trained on real images and tested on unseen scenes, and on what the same scenes looked
like before. What it gets right in these, beyond chance, it knows from the place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from xprobe.base.arrays import Floats, Ints
from xprobe.design import folds
from xprobe.design.config import SweepConfig
from xprobe.images.manifest import Manifest
from xprobe.learners import solve as heads
from xprobe.learners.problem import Pool, Problem
from xprobe.verdict.metrics import interval_of_mean


@dataclass(frozen=True)
class Place:
    """How much of a head's accuracy the place explains.

    Attributes:
        after: accuracy on images of unseen scenes after the event.
        before: accuracy on images of the same scenes before the event; right is the class that
            the scene has after it.
        chance: accuracy of always naming the most frequent class.
        share: (before − chance) / (after − chance), at least 0; None if `after` is not above
            `chance`.
        low, high: ends of the 95 % bootstrap interval of `before`, with scenes drawn whole; None
            if there is one scene.
        n: number of scenes.
    """

    after: float
    before: float
    chance: float
    share: float | None
    low: float | None
    high: float | None
    n: int


def place_share(
    manifest: Manifest, x: Floats, config: SweepConfig, rng: Generator, workers: int | None = None
) -> Place | None:
    """Return how far a logistic head knows the place, or None without images from before.

    Args:
        manifest: images that have features; a scene is a group, and images of split ``pre`` show
            it before the event.
        x: (n, d) features in the order of the manifest.
        config: how C of the head is chosen.
        rng: draws the folds and the bootstrap.
        workers: number of processes; None leaves it to `learners.solve`.
    """
    label, group = manifest.label.astype(str), manifest.group.astype(str)
    pre = np.flatnonzero(manifest.split == "pre")
    real = np.flatnonzero((manifest.source == "real") & np.isin(manifest.split, ("train", "test")))
    both = np.intersect1d(group[pre], group[real])
    both = both[both != ""]
    k = folds.count_folds(manifest.label[real], manifest.group[real], folds.MOST_FOLDS)
    if not len(both) or k < 2:
        return None
    images = manifest.select(real)
    row = dict(zip(images.id, real.tolist(), strict=True))
    classes = np.array(manifest.classes)
    problems = []
    for fold in folds.cross_validation(images, k, 0, config.inner_folds, rng):
        train, test = (_sorted_rows(row, ids) for ids in (fold.train_real, fold.test_real))
        before = pre[np.isin(group[pre], np.intersect1d(group[test], both))]
        inner = tuple((_sorted_rows(row, a), _sorted_rows(row, b)) for a, b in fold.inner)
        problems.append(Problem(train, np.concatenate([test, before]), inner))
    pool = Pool(x, np.searchsorted(classes, label), len(classes))
    options = config.head_options
    hit = np.full(len(manifest), np.nan)
    for number, fit in heads.solve("logistic", pool, problems, options, workers):
        rows = problems[number].test
        hit[rows] = fit.score.argmax(axis=1) == pool.y[rows]
    after, before = real[np.isin(group[real], both)], pre[~np.isnan(hit[pre])]
    _, counts = np.unique(label[real], return_counts=True)
    chance = float(counts.max() / counts.sum())
    low, high = interval_of_mean(hit[before], group[before], rng)
    gain = float(hit[after].mean()) - chance
    known = float(hit[before].mean())
    share = max(0.0, known - chance) / gain if gain > 0 else None
    n = len(set(group[before]))
    return Place(float(hit[after].mean()), known, chance, share, low, high, n)


def _sorted_rows(row: dict[str, int], ids: Floats) -> Ints:
    return np.sort(np.array([row[i] for i in ids], dtype=np.intp))
