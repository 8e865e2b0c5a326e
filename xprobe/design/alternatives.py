"""Alternatives to synthetic images for heads: augmented views embedded once, mixed features.

Their rows stand behind the rows of a study's images in the pool of features. A training part takes
the rows that were made from its own images alone, so that no test image hides in one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from xprobe.base.arrays import Floats, Ints
from xprobe.images.augment import steps_of

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
        views: how many views of each image the rows are made of, in turn; 0: of the images
            themselves.
    """

    name: str
    start: int
    source: Ints
    share: Floats
    per_image: int
    views: int

    @property
    def is_mixed(self) -> bool:
        """Whether a row of `source` is a pair that is mixed."""
        return bool(steps_of(self.name)[1])

    @property
    def copies(self) -> int:
        """How many rows stand for a row of `source`: a mixed pair needs one for each label."""
        return 2 if self.is_mixed else 1

    @property
    def images(self) -> Ints:
        """Rows of the images that it is made of, in the order of `source`."""
        return self.source[:: self.per_image, 0]

    @property
    def view(self) -> Ints:
        """(m,) number of the view that stands for both images of a row of `source`."""
        return np.arange(len(self.source)) % self.per_image % max(1, self.views)

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
    pairs: tuple[Ints, Floats] | None = None
    # What mixes comes last, so that the other alternatives have the same rows without it.
    for name in sorted(names, key=lambda name: bool(steps_of(name)[1])):
        embedded = min(views.get(name, 0), most)
        if steps_of(name)[1]:
            # A training part cannot take pairs with a partner outside of it. Twice as many pairs
            # as it takes leave it enough. All that mixes has the same ones.
            if pairs is None:
                pairs = _draw_pairs(images, 2 * most, rng)
            (source, share), per_image = pairs, 2 * most
        else:
            source = np.repeat(np.stack([images, images], axis=1), embedded, axis=0)
            share, per_image = np.ones(len(source)), embedded
        layout[name] = Made(name, n, source, share, per_image, embedded)
        n = layout[name].stop
    return layout


def _draw_pairs(images: Ints, per_image: int, rng: Generator) -> tuple[Ints, Floats]:
    """Return pairs (m · per_image, 2) of an image and a random partner, and the first's share."""
    partner = np.stack([rng.permutation(images) for _ in range(per_image)], axis=1)
    pairs = np.stack([np.repeat(images, per_image), partner.ravel()], axis=1)
    return pairs, rng.beta(_ALPHA, _ALPHA, size=len(pairs))
