"""Populations of images that are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

Counts = tuple[int, ...]

UNEQUAL: Counts = (240, 160, 120, 100, 80, 60, 40, 30, 20, 10)


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


def unequal(title: str = "", **other: object) -> World:
    """Return ten such classes of very different size."""
    return ten(1, title or "10 × 240 … 10", counts=UNEQUAL, **other)


def two(n: int, title: str = "", **other: object) -> World:
    """Return two classes of n images of four clusters each."""
    return ten(n, title or f"2 × {n}", **({"counts": (n,) * 2} | other))
