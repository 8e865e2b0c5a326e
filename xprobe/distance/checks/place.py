"""Does a head know the event, or the place? Images of test scenes from before the event tell.

A head is trained on real images and tested on unseen scenes, and on what the same scenes looked
like before. What it gets right there, beyond chance, it knew from the place.
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
from xprobe.learners.problem import Options, Pool, Problem
from xprobe.verdict.metrics import interval_of_mean


@dataclass(frozen=True)
class Place:
    """How much of a head's accuracy the place explains.

    Attributes:
        after: accuracy on images of unseen scenes.
        before: accuracy on images of the same scenes before the event, the class after it.
        chance: that of the most frequent class.
        share: (before − chance) / (after − chance), at least 0; None if `after` is not above.
        low, high: 95 % bootstrap interval of `before`, scenes drawn whole; None of one scene.
        n: scenes.
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
        manifest: images with a feature; those of split ``pre`` show scenes (their group) before.
        x: (n, d) features in its order.
        config: how C is chosen.
        rng: of folds and bootstrap.
        workers: processes.
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
        train, test = (_rows(row, ids) for ids in (fold.train_real, fold.test_real))
        before = pre[np.isin(group[pre], np.intersect1d(group[test], both))]
        inner = tuple((_rows(row, a), _rows(row, b)) for a, b in fold.inner)
        problems.append(Problem(train, np.concatenate([test, before]), inner))
    pool = Pool(x, np.searchsorted(classes, label), len(classes))
    options = Options(config.c_grid, config.c_rule, config.balanced)
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


def _rows(row: dict[str, int], ids: Floats) -> Ints:
    return np.sort(np.array([row[i] for i in ids], dtype=np.intp))
