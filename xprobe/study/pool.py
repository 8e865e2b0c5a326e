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

_CHUNK = 8192  # images at a time, where features are read as they are needed


@dataclass(frozen=True, eq=False)
class _Rows:
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
        own, view, mix = rows < n, (rows >= n) & (rows < m), rows >= m
        x[own] = self.images[rows[own]]
        if view.any():
            x[view] = self.views[rows[view] - n]
        if mix.any():
            assert self.mixed is not None
            number = (rows[mix] - m) // self.mixed.copies
            first, second = (unit_rows(self.images[of]) for of in self.mixed.source[number].T)
            share = self.mixed.share[number, None].astype(np.float32)
            x[mix] = share * first + (1 - share) * second
        return x


def _pool(
    design: Design,
    ids: Any,
    stored: StoredRows,
    index: Index,
    text: TextFeatures | None,
    memory_gib: float,
) -> Pool:
    """Return the rows of a design."""
    study, made = design.study, design.made
    row = {id_: i for i, id_ in enumerate(ids)}
    images = stored.select(np.array([row[i] for i in study.id], dtype=np.intp))
    names = [digest for each in made if each.name != MIXUP for digest in _view_names(each, study)]
    views = index.stored_rows(names, stored.dim)
    own = _Rows(images, views, next((each for each in made if each.name == MIXUP), None))
    of = np.concatenate([np.arange(len(study)), *(each.label_of for each in made)])
    y = np.searchsorted(np.array(study.classes), study.label.astype(str))[of]
    origins = ["", *design.generators]  # real images have no generator
    stratum = [np.array([origins.index(name) for name in study.generator], dtype=np.intp)]
    stratum += [np.full(m.stop - m.start, len(origins) + i) for i, m in enumerate(made)]
    every = np.arange(len(own))
    fits = len(own) * own.dim * 4 <= memory_gib * 2**30
    pool = Pool(
        own[every] if fits else own, y, len(study.classes), np.concatenate(stratum),
        (study.source.astype(str) == "synthetic")[of],
        weight=np.concatenate([np.ones(len(study)), *(each.weight for each in made)]),
    )  # fmt: skip
    if text is None:
        return pool
    chunks = [every[i : i + _CHUNK] for i in range(0, len(own), _CHUNK)]
    logits = [zero_shot_logits(pool.rows(chunk), text).astype(np.float32) for chunk in chunks]
    return replace(pool, text_logits=np.concatenate(logits))


def _view_names(made: Made, study: Manifest) -> list[str]:
    contents = study.sha256[made.source[:, 0]]
    return [view_digest(c, made.name, i % made.each) for i, c in enumerate(contents)]
