"""What a sweep is about to do: encoder × fraction × head → a study with its rows and its runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xprobe.base.arrays import Floats, Ints
from xprobe.base.errors import XprobeError, XprobeWarning, counted, first_few
from xprobe.design.blocks import Block
from xprobe.design.config import Grid, SweepConfig
from xprobe.design.design import Design, TooFewSyntheticError, make_design
from xprobe.design.remedies import ways_to_fit, words_of
from xprobe.encoders.load import has_network
from xprobe.encoders.prompts import TextFeatures
from xprobe.engine.execution import Execution
from xprobe.features.aliases import choose_encoders
from xprobe.features.remarks import remarks_on
from xprobe.features.shards import Index, StoredEncoder
from xprobe.features.store import Store
from xprobe.images.augment import COPY_PASTE, MIXUP, steps_of, view_digest
from xprobe.images.manifest import SOURCES, Manifest
from xprobe.images.polygons import read_polygons
from xprobe.images.survey import find_problems
from xprobe.learners.kinds import kind_of
from xprobe.learners.problem import Pool
from xprobe.results import predictions
from xprobe.study.keys import run_keys
from xprobe.study.pool import make_pool

# So many rows of features are looked at at a time.
_PART = 8192


@dataclass(frozen=True, eq=False)
class Study:
    """One encoder with one head on one fraction of the real images: all that is to be trained.

    Attributes:
        encoder: the encoder whose features are trained on.
        label: how documents tell the encoder from others: its name, with its key where needed.
        title: what it is called where people read.
        usable: the images that have features.
        sources: all real images, which synthetic ones may be made from.
        views: how many views of every real training image the store has, by augmentation.
        config: what is trained.
        design: the problems.
        pool: the features by rows of the design.
        text: text features of the classes, or None.
        runs: the key of each block of the design.
        notes: what the reader of the results must know before and after all else.
    """

    encoder: StoredEncoder
    label: str
    title: str
    usable: Manifest
    sources: Manifest
    views: dict[str, int]
    config: SweepConfig
    design: Design
    pool: Pool
    text: TextFeatures | None
    runs: list[str]
    notes: tuple[list[str], list[str]]

    def missing(self, folder: Path) -> dict[str, Block]:
        """Return the blocks that have no predictions yet, by run."""
        todo: dict[str, Block] = {}
        for run, block in zip(self.runs, self.design.blocks, strict=True):
            if not predictions.predictions_file(folder, run).is_file():
                todo.setdefault(run, block)
        return todo

    @property
    def zero_shot(self) -> Ints | None:
        """Classes that text features predict for the images of the study (n,), or None."""
        if self.pool.text_logits is None:
            return None
        return np.asarray(self.pool.text_logits[: len(self.design.study)].argmax(axis=1))


def prepare(
    manifest: Manifest,
    store: Store,
    config: SweepConfig,
    grid: Grid = Grid(),
    memory_gib: float = Execution.memory_gib,
) -> Iterator[Study]:
    """Yield every study of a sweep; for the arguments see `sweep.sweep`.

    Raises:
        XprobeError: an unknown head or encoder, or one that cannot do what is asked.
    """
    parts: list[tuple[float, int | None]] = [
        (fraction, config.train_per_class)
        for fraction in grid.real_fractions or (config.real_fraction,)
    ]
    if grid.real_curve:
        parts = [(1.0, size) for size in sorted(grid.real_curve)]
    configs = [
        replace(config.of_head(name), real_fraction=fraction, train_per_class=size)
        for fraction, size in dict.fromkeys(parts)
        for name in dict.fromkeys(grid.heads or (config.head,))
    ]
    chosen = choose_encoders(store, manifest, grid.encoders)
    without_network: set[str] = set()
    if tuned := [c.head for c in configs if kind_of(c.head).takes_steps]:
        without_network = _without_network([encoder for encoder, _ in chosen], tuned[0])
        _check_outlines(manifest, config)
    labels, titles = store.labels(), store.titles()
    designs: dict[Any, Design] = {}
    sources = manifest.select(manifest.source == "real")
    for encoder, index in chosen:
        is_frozen = encoder.key in without_network
        asked = [c for c in configs if not (is_frozen and kind_of(c.head).takes_steps)]
        if not asked:
            continue
        ids, stored, failed = store.locate(encoder, manifest, index)
        usable = manifest.without(failed)
        _check_usable(manifest, usable, failed, labels[encoder.key])
        views = _count_views(usable, index, config)
        label, title = labels[encoder.key], titles[encoder.key]
        notes = _image_notes(usable, failed)
        planned = []
        for config_asked in asked:
            possible, without = _possible(config_asked, views)
            decisive = usable.fingerprint, _design_config(possible), tuple(views.items())
            if decisive not in designs:
                designs[decisive] = _design(usable, possible, views, sources)
            planned.append((possible, designs[decisive], without))
        # The designs have the same images; they differ in their blocks and in their alternatives,
        # so that the pool of the one with the most alternatives serves all of them.
        widest = max((design for _, design, _ in planned), key=lambda d: len(d.alternatives))
        text = store.read_text(encoder, widest.study.classes)
        pool = make_pool(widest, ids, stored, index, text, memory_gib)
        notes = [*remarks_on(_parts(pool, len(widest.study)), title), *notes]
        for possible, design, without in planned:
            runs = run_keys(design, encoder.key, possible, text)
            before = _random_weights_note(encoder, title, possible)
            said = before, [*notes, *without]
            yield Study(
                encoder, label, title, usable, sources, views, possible, design, pool, text, runs,
                said,
            )  # fmt: skip


def _design(
    usable: Manifest, config: SweepConfig, views: dict[str, int], sources: Manifest
) -> Design:
    """Return what `make_design` does; where synthetic images are too few, say what fits."""
    try:
        return make_design(usable, config, views, sources)
    except TooFewSyntheticError as error:
        raise XprobeError(f"{error}; {words_of(ways_to_fit(usable, config))}") from error


def _parts(pool: Pool, n: int) -> Iterator[Floats]:
    """Yield the features of the first n rows, a few at a time."""
    return (pool.rows(np.arange(i, min(i + _PART, n))) for i in range(0, n, _PART))


def _design_config(config: SweepConfig) -> SweepConfig:
    """Return a configuration with all that no design depends on at its default.

    Equal configurations then stand for equal designs, which several heads share.
    """
    default = SweepConfig()
    head = config.head if kind_of(config.head).takes_steps else default.head
    return replace(
        config, head=head, recipe=default.recipe, c_grid=default.c_grid, c_rule=default.c_rule,
        balanced=False,
    )  # fmt: skip


def _count_views(usable: Manifest, index: Index, config: SweepConfig) -> dict[str, int]:
    """Return how many views of every real image to train on the store has, by augmentation."""
    is_trained_on = (usable.source == "real") & (usable.split == "train")
    contents = dict.fromkeys(usable.sha256[is_trained_on])
    counts = {}
    for name in config.alternatives:
        view, number = steps_of(name)[0], 0
        most = max(1, round(max(config.ratios))) if view else 0
        while number < most and all(
            view_digest(content, view, number) in index.rows for content in contents
        ):
            number += 1
        counts[name] = number
    return counts


def _possible(config: SweepConfig, views: dict[str, int]) -> tuple[SweepConfig, list[str]]:
    """Return a configuration with the alternatives that a head can have, and what it lacks."""
    kind = kind_of(config.head)
    if kind.takes_steps:
        return config, []
    mixable = ("", MIXUP) if kind.weighs_rows else ("",)
    able = [name for name in config.alternatives if steps_of(name)[1] in mixable]
    viewless = [name for name in able if steps_of(name)[0] and not views[name]]
    names = [name for name in able if name not in viewless]
    without = []
    if viewless:
        without.append(
            f"the {config.head} head goes without the alternatives {first_few(viewless, 9)}: the "
            f"store has no such views; run 'xprobe embed --augment {','.join(viewless)}'"
        )
    with_synthetic = config.with_synthetic and bool(names)
    return replace(config, alternatives=tuple(names), with_synthetic=with_synthetic), without


def _random_weights_note(encoder: StoredEncoder, title: str, config: SweepConfig) -> list[str]:
    if not encoder.spec.has_random_weights:
        return []
    if kind_of(config.head).takes_steps:
        return [
            f"{title} began from RANDOM WEIGHTS, as asked: pretrained ones may answer otherwise"
        ]
    return [f"{title} has RANDOM WEIGHTS, as asked: this says nothing of any trained encoder"]


def _check_usable(manifest: Manifest, usable: Manifest, failed: dict[str, str], label: str) -> None:
    """Refuse a table of which no real image, or no synthetic one, could be embedded.

    Raises:
        XprobeError: there is none left, with the reason of the first.
    """
    for source in SOURCES:
        ids = manifest.id[manifest.source == source]
        if len(ids) and not (usable.source == source).any():
            raise XprobeError(
                f"none of the {len(ids)} {source} images could be embedded with {label}; the "
                f"first, {ids[0]}: {failed[ids[0]]}"
            )


def _image_notes(usable: Manifest, failed: dict[str, str]) -> list[str]:
    """Return what the reader of the results must know about the images."""
    notes = find_problems(usable)
    if failed:
        words = counted(
            len(failed), "image could not be embedded and takes",
            "images could not be embedded and take",
        )  # fmt: skip
        notes.append(f"{words} no part (see failed.csv)")
    return notes


def _without_network(chosen: list[StoredEncoder], head: str) -> set[str]:
    """Return the keys of the encoders that cannot be fine-tuned, after a warning that names them.

    Raises:
        XprobeError: none of the encoders can be.
    """
    without = [encoder for encoder in chosen if not has_network(encoder.name)]
    names = first_few(encoder.name for encoder in without)
    have = "have" if len(without) > 1 else "has"
    if len(without) == len(chosen):
        raise XprobeError(
            f"{names} {have} no network to train; name one of open_clip, timm, torchvision or hf "
            f"with --encoder, or leave {head} out of --heads"
        )
    if without:
        text = f"{names} {have} no network to train, and {have} no part in {head}"
        warnings.warn(text, XprobeWarning, stacklevel=3)
    return {encoder.key for encoder in without}


def _check_outlines(manifest: Manifest, config: SweepConfig) -> None:
    if COPY_PASTE not in (*config.alternatives, config.recipe.augment):
        return
    is_trained_on = (manifest.source == "real") & (manifest.split == "train")
    outlines = manifest.polygons[is_trained_on]
    for text in outlines:
        read_polygons(text)  # An error in an outline is raised before anything is trained.
    if not any(outlines):
        raise XprobeError(
            f"{COPY_PASTE} needs outlines of what to paste: a column polygons in the manifest that "
            f"holds well-known text or names the image's xBD label file"
        )
