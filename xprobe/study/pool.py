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
from xprobe.images.augment import MIXUP, view_digest
from xprobe.images.manifest import Manifest
from xprobe.learners.problem import Pool, unit_rows

# So many rows are read at a time where features do not fit into memory.
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class _DesignRows:
    """Features of the rows of a design: its images, views of them, and mixed ones."""

    images: StoredRows
    views: StoredRows
    mixed: Made | None

    @property
    def dim(self) -> int:
        return self.images.dim

    def __len__(self) -> int:
        n = len(self.images) + len(self.views)
        return n if self.mixed is None else self.mixed.stop

    def __getitem__(self, rows: Ints) -> Floats:
        x = np.empty((len(rows), self.dim), dtype=np.float32)
        n, m = len(self.images), len(self.images) + len(self.views)
        image, view, mix = rows < n, (rows >= n) & (rows < m), rows >= m
        x[image] = self.images[rows[image]]
        if view.any():
            x[view] = self.views[rows[view] - n]
        if mix.any():
            assert self.mixed is not None
            number = (rows[mix] - m) // self.mixed.copies
            sources = self.mixed.source[number].T
            first, second = (unit_rows(self.images[source]) for source in sources)
            share = self.mixed.share[number, None].astype(np.float32)
            x[mix] = share * first + (1 - share) * second
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
    embedded = [rows for rows in alternatives if rows.name != MIXUP]
    names = [digest for rows in embedded for digest in _view_digests(rows, study)]
    views = index.stored_rows(names, stored.dim)
    mixed = next((rows for rows in alternatives if rows.name == MIXUP), None)
    features = _DesignRows(images, views, mixed)
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


def _view_digests(views: Made, study: Manifest) -> list[str]:
    """Return the digest under which the store keeps each view."""
    contents = study.sha256[views.source[:, 0]]
    return [view_digest(c, views.name, i % views.per_image) for i, c in enumerate(contents)]
