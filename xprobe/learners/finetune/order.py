"""In which order a fine-tune sees its training images."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.learners.finetune.recipe import Recipe


def draw_order(
    real: NDArray[np.intp],
    synthetic: NDArray[np.intp],
    steps: int,
    recipe: Recipe,
    rng: Generator,
) -> NDArray[np.intp]:
    """Return the images (S, B) of each step.

    Batches are cut from one shuffled list of all training images after the other; every image
    comes once before any comes again. With a share of synthetic images, or in two stages, real and
    synthetic ones have lists of their own.
    """
    size = recipe.batch_size
    if not len(real) or not len(synthetic):
        return _shuffled(np.concatenate([real, synthetic]), steps * size, rng).reshape(steps, size)
    if recipe.two_stage:
        first = round(steps * len(synthetic) / (len(real) + len(synthetic)))
        stages = [(synthetic, first), (real, steps - first)]
        return np.concatenate([_shuffled(r, n * size, rng).reshape(n, size) for r, n in stages])
    if recipe.synthetic_share is not None:
        n_synthetic = round(recipe.synthetic_share * size)
        parts = [(synthetic, n_synthetic), (real, size - n_synthetic)]
        return np.concatenate(
            [_shuffled(r, steps * n, rng).reshape(steps, n) for r, n in parts], axis=1
        )
    every = np.concatenate([real, synthetic])
    return _shuffled(every, steps * size, rng).reshape(steps, size)


def _shuffled(rows: NDArray[np.intp], n: int, rng: Generator) -> NDArray[np.intp]:
    times = math.ceil(n / len(rows))
    drawn = [rng.permutation(rows) for _ in range(times)]
    return np.concatenate([*drawn, rows[:0]])[:n]
