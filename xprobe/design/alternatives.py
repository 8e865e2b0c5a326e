"""Alternatives to synthetic images for heads: augmented views embedded once, Mixup of features.

Such rows stand behind those of the images of a study. A training part takes those that are made
from its own images alone, so that no test image is in any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from xprobe.base.arrays import Floats, Ints
from xprobe.images.augment import MIXUP

_ALPHA = 0.2  # of the share of a mixed pair, as for pixels


@dataclass(frozen=True, eq=False)
class Made:
    """The rows of one alternative.

    Attributes:
        name: of the augmentation.
        start: the first row; before it come those of the images and of other alternatives.
        source: (m, 2) images that are mixed; of a view twice the one it is of.
        share: (m,) of the first one in the features; 1 in a view.
        each: rows of `source` for each image, one image after the other.
    """

    name: str
    start: int
    source: Ints
    share: Floats
    each: int

    @property
    def copies(self) -> int:
        """How many rows stand for one of `source`: a mixed one has two labels, each with a part."""
        return 2 if self.name == MIXUP else 1

    @property
    def stop(self) -> int:
        """The row behind the last one."""
        return self.start + self.copies * len(self.source)

    @property
    def label_of(self) -> Ints:
        """(rows,) the image whose label each row has."""
        return self.source[:, : self.copies].ravel()

    @property
    def weight(self) -> Floats:
        """(rows,) how much each row counts."""
        if self.copies == 1:
            return np.ones(len(self.source))
        return np.stack([self.share, 1 - self.share], axis=1).ravel()

    def rows(self, train: Ints, most: int) -> Ints:
        """Return the rows made of training images alone, of each image at most so many."""
        inside = np.zeros(int(max(self.source.max(), train.max())) + 1, dtype=bool)
        inside[train] = True
        usable = inside[self.source].all(axis=1).reshape(-1, self.each)
        usable &= usable.cumsum(axis=1) <= most
        chosen = np.flatnonzero(usable)[:, None] * self.copies + np.arange(self.copies)
        return np.asarray(self.start + chosen.ravel(), dtype=np.intp)


def lay_out(
    images: Ints, names: Sequence[str], views: Mapping[str, int], most: int, n: int, rng: Generator
) -> dict[str, Made]:
    """Return where the rows of each alternative stand.

    Args:
        images: (m,) rows of the real images that may be trained on.
        names: of the augmentations.
        views: how many views of each image there are.
        most: views and mixed pairs an image that a training part takes.
        n: rows before them.
        rng: of the pairs.
    """
    made: dict[str, Made] = {}
    for name in sorted(names, key=lambda name: name == MIXUP):  # others are the same without it
        if name == MIXUP:
            # Twice as many as are taken: partners outside of a training part are left out.
            source, each = _pairs(images, 2 * most, rng), 2 * most
            share = rng.beta(_ALPHA, _ALPHA, size=len(source))
        else:
            each = min(views[name], most)
            source = np.repeat(np.stack([images, images], axis=1), each, axis=0)
            share = np.ones(len(source))
        made[name] = Made(name, n, source, share, each)
        n = made[name].stop
    return made


def _pairs(images: Ints, each: int, rng: Generator) -> Ints:
    partner = np.stack([rng.permutation(images) for _ in range(each)], axis=1)
    return np.stack([np.repeat(images, each), partner.ravel()], axis=1)
