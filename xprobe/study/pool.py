"""The features of a study by rows of its design."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xprobe.base.arrays import Floats, Ints
from xprobe.design.alternatives import Made
from xprobe.design.design import Design
from xprobe.encoders.prompts import TextFeatures, zero_shot_logits
from xprobe.features.shards import Index, StoredRows
from xprobe.images.augment import steps_of, view_digest
from xprobe.images.manifest import Manifest
from xprobe.learners.problem import Pool, unit_rows

# So many rows are read at a time where features do not fit into memory.
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class _DesignRows:
    """Features of the rows of a design: its images, and the alternatives behind them.

    Attributes:
        images: the features of the images.
        views: those of the views of images, one alternative after the other.
        alternatives: each with the rows (m, 2) of what it is made of, in `views` if it has some,
            else in `images`.
    """

    images: StoredRows
    views: StoredRows
    alternatives: tuple[tuple[Made, Ints], ...]

    @property
    def dim(self) -> int:
        return self.images.dim

    def __len__(self) -> int:
        return self.alternatives[-1][0].stop if self.alternatives else len(self.images)

    def __getitem__(self, rows: Ints) -> Floats:
        x = np.empty((len(rows), self.dim), dtype=np.float32)
        is_image = rows < len(self.images)
        x[is_image] = self.images[rows[is_image]]
        for part, sources in self.alternatives:
            chosen = (rows >= part.start) & (rows < part.stop)
            if not chosen.any():
                continue
            number = (rows[chosen] - part.start) // part.copies
            stored = self.views if part.views else self.images
            if part.is_mixed:
                first, second = (unit_rows(stored[source]) for source in sources[number].T)
                share = part.share[number, None].astype(np.float32)
                x[chosen] = share * first + (1 - share) * second
            else:
                x[chosen] = stored[sources[number, 0]]
        return x


def make_pool(
    design: Design,
    ids: Any,
    stored: StoredRows,
    index: Index,
    text: TextFeatures | None,
    memory_gib: float,
) -> Pool:
    """Return the pool of a design's rows: its images, and the alternatives behind them.

    Args:
        design: the images that take part, and the alternatives.
        ids: ids of the images that have features.
        stored: their features, in the same order.
        index: where the store keeps the features of views.
        text: text features of the classes, or None.
        memory_gib: features beyond this size are read as they are needed.
    """
    study, alternatives = design.study, design.alternatives
    row = {id_: i for i, id_ in enumerate(ids)}
    images = stored.select(np.array([row[i] for i in study.id], dtype=np.intp))
    names: list[str] = []
    placed: list[tuple[Made, Ints]] = []
    for part in alternatives:
        placed.append((part, _view_rows(part, len(names)) if part.views else part.source))
        names += _view_digests(part, study)
    features = _DesignRows(images, index.stored_rows(names, stored.dim), tuple(placed))
    image = np.concatenate([np.arange(len(study)), *(rows.label_of for rows in alternatives)])
    y = np.searchsorted(np.array(study.classes), study.label.astype(str))[image]
    origins = ["", *design.generators]  # Real images have an empty generator.
    stratum = [np.array([origins.index(name) for name in study.generator], dtype=np.intp)]
    stratum += [
        np.full(rows.stop - rows.start, len(origins) + i) for i, rows in enumerate(alternatives)
    ]
    every = np.arange(len(features))
    fits = len(features) * features.dim * 4 <= memory_gib * 2**30
    pool = Pool(
        features[every] if fits else features, y, len(study.classes), np.concatenate(stratum),
        (study.source.astype(str) == "synthetic")[image],
        weight=np.concatenate([np.ones(len(study)), *(rows.weight for rows in alternatives)]),
    )  # fmt: skip
    if text is None:
        return pool
    chunks = [every[i : i + _CHUNK] for i in range(0, len(features), _CHUNK)]
    logits = [zero_shot_logits(pool.rows(chunk), text).astype(np.float32) for chunk in chunks]
    return replace(pool, text_logits=np.concatenate(logits))


def _view_digests(part: Made, study: Manifest) -> list[str]:
    """Return the digest under which the store keeps each view, image after image."""
    name, _ = steps_of(part.name)
    contents = study.sha256[part.images]
    return [view_digest(content, name, v) for content in contents for v in range(part.views)]


def _view_rows(part: Made, start: int) -> Ints:
    """Return (m, 2) the rows of the views that stand for the images of a row of `part.source`."""
    place = np.empty(int(part.images.max()) + 1, dtype=np.intp)
    place[part.images] = np.arange(len(part.images))
    return np.asarray(start + place[part.source] * part.views + part.view[:, None])
