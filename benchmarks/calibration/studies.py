"""Studies that are made up from known populations, with heads in closed form.

Heads are linear discriminants with shrinkage: they follow from the counts, the sums and XᵀX of
their training images, which add up, so that a mix costs one small solve. No strength is chosen, so
that the interval alone is tested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from calibration.worlds import Counts, Images, Population
from xprobe.design import folds
from xprobe.verdict import family as verdict

FOLDS, REPEATS, RATIOS = 5, 5, (1, 2, 3, 4)
DRAWS = 4000
SHRINKAGE = 0.2
DIVISIONS = 25  # Images are drawn anew each time, so that the divisions into folds may come again.


@dataclass(frozen=True, eq=False)
class Moments:
    """What heads are made of: sums that add up over parts of a training set.

    Attributes:
        count: (…, K) images of each class.
        total: (…, K, D) their sums.
        square: (…, D, D) XᵀX of all of them.
    """

    count: np.ndarray
    total: np.ndarray
    square: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count, self.total + other.total, self.square + other.square
        )

    def __sub__(self, other: Moments) -> Moments:
        return self + other.mapped(np.negative)

    def __getitem__(self, part: slice) -> Moments:
        return self.mapped(lambda sums: sums[part])

    def mapped(self, change: Callable[[np.ndarray], np.ndarray]) -> Moments:
        """Return the same after a change of all three sums."""
        return Moments(change(self.count), change(self.total), change(self.square))


def joined(*parts: Moments) -> Moments:
    """Return moments one after the other, along their first axis."""
    return Moments(
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.total for part in parts]),
        np.concatenate([part.square for part in parts]),
    )


def moments(x: np.ndarray, y: np.ndarray, classes: int) -> Moments:
    """Return the moments of images (n, D) of classes (n,)."""
    one_hot = np.eye(classes)[y]
    return Moments(one_hot.sum(axis=0), one_hot.T @ x, x.T @ x)


def equal_moments(x: np.ndarray) -> Moments:
    """Return the moments (S, …) of images (S, K, n, D), n of each class."""
    flat = x.reshape(len(x), -1, x.shape[-1])
    count = np.full(x.shape[:2], float(x.shape[2]))
    return Moments(count, x.sum(axis=2), flat.swapaxes(-1, -2) @ flat)


def discriminant(of: Moments, shrinkage: float = SHRINKAGE) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (…, D, K) and offsets (…, K) of heads with a shrunk covariance."""
    dims, classes = of.total.shape[-1], of.count.shape[-1]
    count = np.maximum(of.count, 1)[..., None]
    mean, n = of.total / count, of.count.sum(axis=-1)
    between = np.swapaxes(of.total, -1, -2) @ mean
    within = (of.square - between) / np.maximum(1, n - classes)[..., None, None]
    trace = np.trace(within, axis1=-2, axis2=-1)[..., None, None]
    within = (1 - shrinkage) * within + shrinkage * trace / dims * np.eye(dims)
    weight = np.linalg.solve(within, np.swapaxes(mean, -1, -2))
    prior = np.log(count[..., 0] / n[..., None])
    return weight, prior - 0.5 * (np.swapaxes(mean, -1, -2) * weight).sum(axis=-2)


def classify(head: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the classes (…, n) that heads give images (n, D)."""
    return np.asarray((x @ head[0] + head[1][..., None, :]).argmax(axis=-1))


@dataclass(frozen=True, eq=False)
class Made:
    """A study that was made up.

    Attributes:
        hit_real, hit: (R, N) and (S, R, N) whether real-only and the mixes were right.
        group: (N,) groups of the images.
        fold: (R, N) fold in which each was tested.
        label: (N,) classes.
    """

    hit_real: np.ndarray
    hit: np.ndarray
    group: np.ndarray
    fold: np.ndarray
    label: np.ndarray


@lru_cache(maxsize=64)
def divisions(counts: Counts, scene: int, repeats: int, number: int) -> np.ndarray:
    """Return the folds (repeats, N) of `folds.divide`, from the generator of a number."""
    y = np.repeat(np.arange(len(counts)), counts)
    group = np.arange(len(y)) // scene
    k = folds.count_folds(y.astype(str), group.astype(str), FOLDS)
    rng = np.random.default_rng([number, 7])
    divided = [folds.divide(y.astype(str), group.astype(str), k, rng) for _ in range(repeats)]
    return np.stack(divided)


def study(
    world: Population, seed: int, *, null: bool = False, wrong: tuple[float, ...] | None = None,
    repeats: int = REPEATS, given: bool = True,
) -> Made:  # fmt: skip
    """Make up a study, and train and test every setting of it.

    Args:
        world: the population.
        seed: the number of the replication.
        null: whether every setting, real-only too, trains on the real images and an own draw of as
            many synthetic ones, so that all are alike.
        wrong: for each ratio, the share of synthetic labels that is drawn anew.
        repeats: how often folds and subsets are drawn.
        given: whether scenes are known.
    """
    rng = np.random.default_rng([seed, 17])
    images = world.images(rng, 1 + len(RATIOS) if null else max(RATIOS))
    y, classes = images.y, len(world.counts)
    group = images.scene if given else np.arange(len(y))
    scene = int(np.bincount(group)[0])
    fold = divisions(world.counts, scene, repeats, seed % DIVISIONS)
    hit = np.zeros((1 + len(RATIOS), repeats, len(y)), dtype=bool)
    every = moments(images.x, y, classes)
    for r in range(repeats):
        for f in range(int(fold[r].max()) + 1):
            test = fold[r] == f
            real = every - moments(images.x[test], y[test], classes)
            added = _added(images, test, real.count, rng, null=null, wrong=wrong)
            heads = discriminant(real + added)
            hit[:, r, test] = classify(heads, images.x[test]) == y[test]
    return Made(hit[0], hit[1:], group, fold, y)


def _added(
    images: Images, test: np.ndarray, per_class: np.ndarray, rng: np.random.Generator, *,
    null: bool, wrong: tuple[float, ...] | None,
) -> Moments:  # fmt: skip
    """Return the moments (1 + S, …) of what real-only and each mix get in a fold.

    Synthetic images that were made from test images are left out.
    """
    classes = len(per_class)
    free = (images.parent < 0) | ~test[images.parent]
    order = rng.permutation(np.flatnonzero(free))
    # The rank of an image among those of its class, in units of the real training images.
    rank = np.empty(len(order))
    for c in range(classes):
        rows = images.pool_y[order] == c
        rank[rows] = np.arange(rows.sum()) // max(1, int(per_class[c]))
    parts = []
    for j in range(1 + len(RATIOS) if null else max(RATIOS)):
        rows = order[rank == j]
        part = moments(images.pool[rows], images.pool_y[rows], classes)
        parts.append(part.mapped(lambda sums: sums[None]))
    drawn = joined(*parts)
    if null:
        return drawn
    nested = joined(drawn[:1].mapped(np.zeros_like), drawn.mapped(lambda sums: sums.cumsum(axis=0)))
    if wrong is None:
        return nested
    for s, (ratio, share) in enumerate(zip(RATIOS, wrong, strict=True), start=1):
        rows = order[rank < ratio]
        label = images.pool_y[rows].copy()
        redrawn = rng.random(len(rows)) < share
        label[redrawn] = rng.integers(classes, size=redrawn.sum())
        one_hot = np.eye(classes)[label]
        nested.count[s] = one_hot.sum(axis=0)
        nested.total[s] = one_hot.T @ images.pool[rows]
    return nested


DIFFERENCE, SE, P, LOW, HIGH, HALF = range(6)
"""Columns of `judged`."""


def judged(made: Made, seed: int, model: np.ndarray | None = None) -> np.ndarray:
    """Return difference, SE, adjusted p, low, high and half of the pointwise interval: (S, 6)."""
    family = verdict.compare(
        made.hit_real, made.hit, made.group, np.random.default_rng([seed, 3]), model=model,
        draws=DRAWS,
    )  # fmt: skip
    rows = []
    for c in family.comparisons:
        half = float(stats.t.ppf(0.975, c.df)) * c.se
        rows.append((c.difference, c.se, c.p_adjusted, c.low, c.high, half))
    return np.array(rows)


@dataclass(frozen=True)
class Replication:
    """One replication, by its seed: a study of a world, as it is judged."""

    world: Population
    null: bool = False
    wrong: tuple[float, ...] | None = None
    repeats: int = REPEATS
    given: bool = True

    def __call__(self, seed: int) -> np.ndarray:
        made = study(
            self.world, seed, null=self.null, wrong=self.wrong, repeats=self.repeats,
            given=self.given,
        )  # fmt: skip
        return judged(made, seed)


# --- labels that are wrong just so often that mixes gain nothing -----------------------------

SHARES = np.linspace(0.0, 0.7, 8)


def gains(world: Population, part: float, seed: int) -> np.ndarray:
    """Return the gain (shares, ratios) of mixes with wrong labels, on fresh test images.

    `part` is the share of the real images that a fold trains on.
    """
    rng = np.random.default_rng([seed, 83])
    images = world.images(rng, max(RATIOS), 4000 // len(world.counts))
    counts = np.array(world.counts)
    first = np.concatenate([np.arange(n) for n in counts])
    kept = first < np.round(part * counts)[images.y]
    real = moments(images.x[kept], images.y[kept], len(counts))
    nobody = np.zeros(len(images.y), dtype=bool)
    gain = []
    for share in SHARES:
        added = _added(images, nobody, real.count, rng, null=False, wrong=(share,) * len(RATIOS))
        heads = discriminant(real + added)
        right = (classify(heads, images.fresh) == images.fresh_y).mean(axis=-1)
        gain.append(right[1:] - right[0])
    return np.array(gain)


def shares_without_gain(gain: np.ndarray) -> tuple[float, ...]:
    """Return the share of wrong labels of each ratio at which a quadratic fit of gains is 0.

    `gain` is (draws, shares, ratios).
    """
    shares = []
    for column in gain.mean(axis=0).T:
        near = np.abs(column).argsort()[:5]  # A quadratic fits near its root.
        roots = np.roots(np.polyfit(SHARES[near], column[near], 2))
        real = roots[np.isreal(roots)].real
        inside = real[(real >= 0) & (real <= 1)]
        start = float(SHARES[near[0]])
        shares.append(float(inside[np.abs(inside - start).argmin()]) if len(inside) else start)
    return tuple(shares)
