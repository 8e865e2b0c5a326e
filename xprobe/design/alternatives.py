"""Alternatives to synthetic images for heads: augmented views embedded once, Mixup of features.

Their rows stand behind the rows of a study's images in the pool of features. A training part takes
the rows that were made from its own images alone, so that no test image hides in one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from xprobe.base.arrays import Floats, Ints
from xprobe.images.augment import MIXUP

# The share of the first image of a mixed pair is drawn from Beta(α, α), as in Mixup of pixels.
_ALPHA = 0.2


@dataclass(frozen=True, eq=False)
class Made:
    """The rows of one alternative in the pool of features.

    Attributes:
        name: the augmentation.
        start: number of the first row; images and other alternatives have the rows before it.
        source: (m, 2) rows of the two images that are mixed; for a view both are its image.
        share: (m,) share of the first image in the mixed features; 1 for a view.
        per_image: how many rows of `source` an image has; they stand together, image after image.
    """

    name: str
    start: int
    source: Ints
    share: Floats
    per_image: int

    @property
    def copies(self) -> int:
        """How many rows stand for a row of `source`: a mixed pair needs one for each label."""
        return 2 if self.name == MIXUP else 1

    @property
    def stop(self) -> int:
        """The number after that of the last row."""
        return self.start + self.copies * len(self.source)

    @property
    def label_of(self) -> Ints:
        """(rows,) the image whose label a row has."""
        return self.source[:, : self.copies].ravel()

    @property
    def weight(self) -> Floats:
        """(rows,) how much a row counts in training."""
        if self.copies == 1:
            return np.ones(len(self.source))
        return np.stack([self.share, 1 - self.share], axis=1).ravel()

    def rows(self, train: Ints, most: int) -> Ints:
        """Return the rows that are made of training images alone, at most `most` an image."""
        inside = np.zeros(int(max(self.source.max(), train.max())) + 1, dtype=bool)
        inside[train] = True
        usable = inside[self.source].all(axis=1).reshape(-1, self.per_image)
        usable &= usable.cumsum(axis=1) <= most
        chosen = np.flatnonzero(usable)[:, None] * self.copies + np.arange(self.copies)
        return np.asarray(self.start + chosen.ravel(), dtype=np.intp)


def lay_out(
    images: Ints, names: Sequence[str], views: Mapping[str, int], most: int, n: int, rng: Generator
) -> dict[str, Made]:
    """Return where the rows of each alternative stand.

    Args:
        images: (m,) rows of the real images that may be trained on.
        names: the augmentations.
        views: how many views of each image were embedded, by augmentation.
        most: how many views or mixed pairs of an image a training part takes.
        n: number of rows before those of the alternatives.
        rng: draws the mixed pairs.
    """
    layout: dict[str, Made] = {}
    # Mixup comes last, so that the other alternatives have the same rows without it.
    for name in sorted(names, key=lambda name: name == MIXUP):
        if name == MIXUP:
            # A training part cannot take pairs with a partner outside of it. Twice as many pairs
            # as it takes leave it enough.
            source, per_image = _draw_pairs(images, 2 * most, rng), 2 * most
            share = rng.beta(_ALPHA, _ALPHA, size=len(source))
        else:
            per_image = min(views[name], most)
            source = np.repeat(np.stack([images, images], axis=1), per_image, axis=0)
            share = np.ones(len(source))
        layout[name] = Made(name, n, source, share, per_image)
        n = layout[name].stop
    return layout


def _draw_pairs(images: Ints, per_image: int, rng: Generator) -> Ints:
    """Return pairs (m · per_image, 2) of an image and a random partner, image after image."""
    partner = np.stack([rng.permutation(images) for _ in range(per_image)], axis=1)
    return np.stack([np.repeat(images, per_image), partner.ravel()], axis=1)
