"""Populations of images that are known, and studies that are made up from them.

Heads are linear discriminants with shrinkage, in closed form: they follow from the count, the sum
and XᵀX of the training images of each class, which add up, so that a mix costs one small solve. No
strength is chosen, so that the interval alone is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy import stats

from xprobe.design import folds
from xprobe.verdict import family as verdict

FOLDS, REPEATS, RATIOS = 5, 5, (1, 2, 3, 4)
DRAWS = 4000
SHRINKAGE = 0.2
DIVISIONS = 25  # Images are drawn anew each time, so that the divisions into folds may come again.

Counts = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Images:
    """The images of one replication, class after class.

    Attributes:
        x, y: (N, D) and (N,) real images and their classes.
        scene: (N,) scene of each.
        pool, pool_y: (M, D) and (M,) synthetic images.
        parent: (M,) the real image that a synthetic one was made from, −1 without.
        fresh, fresh_y: (T, D) and (T,) further real images, to test on.
    """

    x: np.ndarray
    y: np.ndarray
    scene: np.ndarray
    pool: np.ndarray
    pool_y: np.ndarray
    parent: np.ndarray
    fresh: np.ndarray
    fresh_y: np.ndarray


class Population(Protocol):
    """What real and synthetic images are drawn from."""

    @property
    def title(self) -> str:
        """What it is called in the table."""

    @property
    def counts(self) -> Counts:
        """(K,) real images of each class."""

    def images(self, rng: np.random.Generator, times: int, test: int = 0) -> Images:
        """Draw these real images, so many times as many synthetic ones, and `test` a class."""


@dataclass(frozen=True)
class World:
    """A population of normal vectors around the means of classes.

    Attributes:
        title, counts: as in `Population`.
        dims: D, the number of dimensions.
        apart: length of the class means; the variances have mean 1.
        decay: how fast standard deviations fall from axis to axis.
        modes, spread: clusters of a class, and the length of their offsets.
        shift: how far the means of synthetic images are off, in directions of their own.
        toward: by which part of the way to the next class synthetic images are off.
        scale: standard deviation of synthetic images.
        scene, rho: images that share a scene, and its share of the variance.
        edits: how many synthetic images are made from each real one; 0: they are made of nothing.
    """

    title: str
    counts: Counts
    dims: int = 24
    apart: float = 2.0
    decay: float = 0.0
    modes: int = 1
    spread: float = 0.0
    shift: float = 0.0
    toward: float = 0.0
    scale: float = 1.0
    scene: int = 1
    rho: float = 0.0
    edits: int = 0

    @property
    def labels(self) -> np.ndarray:
        """(N,) the classes of the real images."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def images(self, rng: np.random.Generator, times: int, test: int = 0) -> Images:
        """Draw images as `Population.images` does."""
        y, classes = self.labels, np.arange(len(self.counts))
        scene = np.arange(len(y)) // self.scene
        common = rng.standard_normal((scene[-1] + 1, self.dims))[scene] if self.rho else 0.0
        noise = rng.standard_normal((len(y), self.dims))
        noise = np.sqrt(1 - self.rho) * noise + np.sqrt(self.rho) * common
        x = self._vectors(rng, y, noise)
        if self.edits:
            parent = np.repeat(np.arange(len(y)), self.edits)
            pool_y = y[parent]
            pool = self._edited(rng, x[parent], pool_y)
        else:
            pool_y = np.repeat(classes, times * np.array(self.counts))
            parent = np.full(len(pool_y), -1)
            pool = self._synthetic(rng, pool_y)
        return Images(x, y, scene, pool, pool_y, parent, *self.test(rng, test))

    def test(self, rng: np.random.Generator, per_class: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw real images (n, D) of all classes alike, and their classes (n,)."""
        y = np.repeat(np.arange(len(self.counts)), per_class)
        return self._vectors(rng, y, rng.standard_normal((len(y), self.dims))), y

    def _vectors(self, rng: np.random.Generator, y: np.ndarray, noise: np.ndarray) -> np.ndarray:
        scale = np.arange(1, self.dims + 1) ** -self.decay
        x = noise * (scale / np.sqrt((scale**2).mean())) + self.apart * self._axes(1)[y]
        if self.modes > 1:
            offset = np.random.default_rng(3).standard_normal(
                (len(self.counts), self.modes, self.dims)
            )
            offset *= self.spread / np.linalg.norm(offset, axis=-1, keepdims=True)
            offset -= offset.mean(axis=1, keepdims=True)
            x += offset[y, rng.integers(self.modes, size=len(y))]
        return x

    def _synthetic(self, rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
        x = self._vectors(rng, y, self.scale * rng.standard_normal((len(y), self.dims)))
        x += self.shift * self._axes(2)[y]
        means = self.apart * self._axes(1)
        return np.asarray(x + self.toward * (np.roll(means, -1, axis=0) - means)[y])

    def _edited(self, rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return half of an image, half of another of its class, and .3 of some deviation."""
        other = self._vectors(rng, y, rng.standard_normal(x.shape))
        any_class = rng.integers(len(self.counts), size=len(y))
        random = self._vectors(rng, any_class, rng.standard_normal(x.shape))
        deviation = random - self.apart * self._axes(1)[any_class]
        return np.asarray(0.5 * x + 0.5 * other + 0.3 * deviation)

    def _axes(self, seed: int) -> np.ndarray:
        """Return unit vectors (K, D), one for each class, at right angles."""
        return _axes(len(self.counts), self.dims, seed)


@lru_cache(maxsize=32)
def _axes(classes: int, dims: int, seed: int) -> np.ndarray:
    square = np.random.default_rng(seed).standard_normal((dims, dims))
    return np.asarray(np.linalg.qr(square)[0][:classes])


def six(n: int, title: str = "", **other: object) -> World:
    """Return six classes of n normal images in 24 dimensions."""
    return replace(World(title or f"6 × {n}", (n,) * 6), **other)


def ten(n: int, title: str = "", **other: object) -> World:
    """Return ten classes of n images of four clusters each, with falling variances."""
    world = World(
        title or f"10 × {n}", (n,) * 10, dims=48, apart=2.3, decay=0.3, modes=4, spread=1.0
    )
    return replace(world, **other)


def two(n: int, title: str = "", **other: object) -> World:
    """Return two classes of n images of four clusters each."""
    return ten(n, title or f"2 × {n}", **({"counts": (n,) * 2} | other))


# --- heads ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Moments:
    """What a head is made of: sums that add up over parts of a training set.

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
        return Moments(
            self.count - other.count, self.total - other.total, self.square - other.square
        )


def moments(x: np.ndarray, y: np.ndarray, classes: int) -> Moments:
    """Return the moments of images (n, D) of classes (n,)."""
    one_hot = np.eye(classes)[y]
    return Moments(one_hot.sum(axis=0), one_hot.T @ x, x.T @ x)


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


# --- studies --------------------------------------------------------------------------------


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
    classes, dims = len(per_class), images.pool.shape[1]
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
        parts.append(moments(images.pool[rows], images.pool_y[rows], classes))
    stack = Moments(*(np.stack([getattr(p, name) for p in parts]) for name in (
        "count", "total", "square")))  # fmt: skip
    if null:
        return stack
    nothing = np.zeros((1, classes)), np.zeros((1, classes, dims)), np.zeros((1, dims, dims))
    nested = Moments(*(np.concatenate([zero, np.cumsum(part, axis=0)]) for zero, part in zip(
        nothing, (stack.count, stack.total, stack.square), strict=True)))  # fmt: skip
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


# --- what a study claims --------------------------------------------------------------------

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
