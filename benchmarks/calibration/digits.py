"""The same on real images: handwritten digits of scikit-learn, or any folder of images.

Pixels are reduced to principal axes: the images are brought to unit length and one overall
variance. All replications draw from the same images, so that they are not independent, and the
Monte-Carlo errors are somewhat too small. Synthetic images are other real images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from calibration.contrasts import misses, wrong_labels
from calibration.rows import Row, share, stacked
from calibration.studies import FOLDS, RATIOS, P, Replication
from calibration.worlds import Counts, Images

MOST, DIMS, PIXELS = 30, 24, 32
EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@lru_cache(maxsize=2)
def features(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, D) and classes (n,) of a folder <class>/<image>; "" are the digits."""
    if not folder:
        x, y = load_digits(return_X_y=True)
    else:
        x, y = _read(Path(folder))
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    x = x - x.mean(axis=0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    x = x @ axes[:DIMS].T
    return x / x.std(), np.asarray(y)


def _read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    pixels, label = [], []
    for c, path in enumerate(classes):
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in EXTENSIONS:
                with Image.open(file) as image:
                    small = image.convert("RGB").resize((PIXELS, PIXELS))
                pixels.append(np.asarray(small, dtype=np.float64).ravel())
                label.append(c)
    if not pixels:
        raise SystemExit(f"{folder}: no images in folders of classes")
    return np.stack(pixels), np.array(label)


@dataclass(frozen=True)
class Photos:
    """Images that are at hand, of which every replication draws some.

    Attributes:
        title, counts: as in `worlds.Population`.
        folder: where they are; "" for the digits.
    """

    title: str
    counts: Counts
    folder: str = ""

    def images(self, rng: np.random.Generator, times: int, test: int = 0) -> Images:
        """Draw images as `worlds.Population.images` does, but as many synthetic ones as folds need.

        All that is left is to test on, where that is asked for.
        """
        x, y = features(self.folder)
        parts: list[list[np.ndarray]] = [[], [], []]
        for c, n in enumerate(self.counts):
            rows = rng.permutation(np.flatnonzero(y == c))
            end = n + times * _train(n)
            for part, chosen in zip(parts, (rows[:n], rows[n:end], rows[end:]), strict=True):
                part.append(chosen)
        real, pool, rest = (np.concatenate(part) for part in parts)
        rest = rest[: len(rest) if test else 0]
        return Images(
            x[real], y[real], np.arange(len(real)), x[pool], y[pool], np.full(len(pool), -1),
            x[rest], y[rest],
        )  # fmt: skip


def _train(n: int) -> int:
    """Return the most images of a class that a fold trains on."""
    return n - n // FOLDS


def photos(folder: str) -> Photos:
    """Return the images of a folder, with as many real ones of each class as it allows."""
    _, y = features(folder)
    count = np.bincount(y)
    fitting = [n for n in range(5, MOST + 1) if n + (1 + max(RATIOS)) * _train(n) <= count.min()]
    if not fitting:
        raise SystemExit(f"{folder}: a class has {count.min()} images; 25 or more are needed")
    name = Path(folder).name if folder else "digits"
    return Photos(f"{name}, {len(count)} × {fitting[-1]}", (fitting[-1],) * len(count), folder)


def real_images(folder: str, B: int) -> Iterator[Row]:
    """Yield errors under the exact null and under calibrated wrong labels."""
    world = photos(folder)
    results = stacked(Replication(world, null=True), B)
    yield share("family-wise error", f"{world.title}, exact null", "≤ 0.05",
                (results[..., P] <= 0.05).any(axis=1))  # fmt: skip
    yield from wrong_labels(world, B, None)
    results = stacked(Replication(world), B)
    yield from misses(f"{world.title}, same distribution", results, None, "≤ 0.05")


handwritten = partial(real_images, "")
