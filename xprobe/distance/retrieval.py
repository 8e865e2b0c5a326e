"""How well synthetic images find their own prompts among those of all images. Pure.

m images, c different texts that are the candidates, width d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Floats, Ints
from xprobe.distance.metrics import R_AT_1
from xprobe.distance.sides import Distance
from xprobe.verdict.intervals import share_interval

# Cosines of so many images with all texts are in memory at once.
_BLOCK = 1024

# Cosines of equal features may differ in the last digits of float32, and count as equal.
_SLACK = 1e-6


def retrieval(image: Floats, text: Floats, prompts: Sequence[Ints], unit: Ints) -> Distance:
    """Return R@1: the share of images whose nearest text, by cosine, is one of their own.

    Where several texts are equally near, an image counts as the share of its own among these. The
    floor is the chance level, the mean share of an image's own texts among all.

    Args:
        image: (m, d) features of images, of length 1.
        text: (c, d) features of different texts in the same space, of length 1.
        prompts: (m,) rows of the texts that each image was made with, one or more.
        unit: (m,) number of the unit of each image, such as its scene; the interval takes units
            for independent, and not images.
    """
    m, c = len(image), len(text)
    units = len(np.unique(unit))
    blank = Distance(R_AT_1.name, None, None, None, None, None, 0, m, c, None, 0, units)
    if c < 2:
        return replace(blank, reason="all images have one prompt, and there is none to choose from")
    hit = _hits(image, text, prompts)
    low = high = None
    if units > 1:
        low, high = map(float, share_interval(hit, unit)[1:])
    chance = float(np.mean([len(rows) / c for rows in prompts]))
    return replace(
        blank, value=float(hit.mean()), ci_low=low, ci_high=high, floor=chance,
        reason=f"among {c:,} prompts; the floor is chance",
    )  # fmt: skip


def _hits(image: Floats, text: Floats, prompts: Sequence[Ints]) -> NDArray[np.float64]:
    """Return (m,) of each image the share of its own texts among those that are nearest to it."""
    hit = np.zeros(len(image))
    for start in range(0, len(image), _BLOCK):
        cosine = image[start : start + _BLOCK] @ text.T
        is_nearest = cosine >= cosine.max(axis=1, keepdims=True) - _SLACK
        for i, nearest in enumerate(is_nearest, start):
            hit[i] = nearest[prompts[i]].sum() / nearest.sum()
    return hit
