"""What a sweep is about to do: encoder × fraction × head → a study with its rows and its runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xprobe import results
from xprobe.augment import COPY_PASTE, MIXING
from xprobe.design import Block, Design, make_design
from xprobe.encoders import canonical, has_network
from xprobe.errors import XprobeError, some
from xprobe.heads import TEXT_HEADS, WEIGHTED_HEADS, check_head
from xprobe.manifest import find_problems
from xprobe.outlines import outlines_digest, read_polygons
from xprobe.problems import Pool, unit_rows
from xprobe.prompts import TextFeatures, zero_shot_logits
from xprobe.shards import Index, Places, StoredEncoder, StoredRows
from xprobe.store import Store
from xprobe.types import FINETUNE, MEMORY_GIB, Floats, Ints, Manifest, SweepConfig, digest_of
from xprobe.views import MIXUP, Made, view_digest

_CHUNK = 8192  # images at a time, where features are read as they are needed
HEAD_VERSION = 2  # raised when a change of the heads changes their scores
FINETUNE_VERSION = 2  # the same of fine-tunes


@dataclass(frozen=True, eq=False)
class Study:
    """One encoder with one head on one fraction of the real images: all that is to be trained.

    Attributes:
        encoder, label: whose features, and how it is shown.
        usable: the images that have features.
        config: what is trained.
        design: problems.
        pool: features by rows of the design.
        text: text features of its classes, or None.
        runs: key of each block of the design.
        notes: what the reader of the results must know before and after all else.
    """

    encoder: StoredEncoder
    label: str
    usable: Manifest
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
            if not results.predictions_file(folder, run).is_file():
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
    *,
    encoders: Sequence[str] = (),
    heads: Sequence[str] = (),
    real_fractions: Sequence[float] = (),
    real_curve: Sequence[int] = (),
    memory_gib: float = MEMORY_GIB,
) -> Iterator[Study]:
    """Yield every study of a sweep; for the arguments see `sweep.sweep`.

    Raises:
        XprobeError: an unknown head or encoder, or one that cannot do what is asked.
    """
    if real_curve and tuple(real_fractions) not in ((), (1.0,)):
        raise XprobeError(
            "--real-curve and --real-fraction both say how many real images: keep one"
        )
    parts: list[tuple[float, int | None]] = [
        (fraction, config.train_per_class) for fraction in real_fractions or (config.real_fraction,)
    ]
    if len(set(real_curve)) == 1:
        raise XprobeError("--real-curve takes two or more numbers of images, such as 20,40,60,80")
    if real_curve:
        parts = [(1.0, size) for size in sorted(real_curve)]
    configs = [
        replace(config.of_head(name), real_fraction=fraction, train_per_class=size)
        for fraction, size in dict.fromkeys(parts)
        for name in dict.fromkeys(heads or (config.head,))
    ]
    for each in configs:
        if each.head != FINETUNE:
            check_head(each.head)
    chosen = choose_encoders(store, manifest, encoders)
    if FINETUNE in [each.head for each in configs]:
        _check_networks(chosen)
        _check_outlines(manifest, config)
    labels = store.labels()
    designs: dict[Any, Design] = {}
    for encoder in chosen:
        ids, stored, failed = store.locate(encoder, manifest)
        usable = manifest.select(~np.isin(manifest.id.astype(str), list(failed)))
        index = store.index(encoder) if config.alternatives else Index(Places([]), {})
        views = _count_views(usable, index, config)
        label = labels[encoder.key]
        notes = _notes(usable, failed)
        own = []
        for each in configs:
            possible, without = _possible(each, views)
            kind = usable.fingerprint, _of_design(possible), tuple(views.items())
            if kind not in designs:
                designs[kind] = make_design(usable, possible, views)
            own.append((possible, designs[kind], without))
        # They differ in their blocks and in how many rows are made, not in the images.
        widest = max((design for _, design, _ in own), key=lambda design: len(design.made))
        text = store.read_text(encoder, widest.study.classes)
        pool = _pool(widest, ids, stored, index, text, memory_gib)
        for each, design, without in own:
            runs = _run_keys(design, encoder.key, each, text)
            before = _random_note(encoder, label, each)
            said = before, [*notes, *without]
            yield Study(encoder, label, usable, each, design, pool, text, runs, said)


def _of_design(config: SweepConfig) -> SweepConfig:
    """Return what a design depends on, all else at its default: heads share theirs."""
    head = FINETUNE if config.head == FINETUNE else SweepConfig.head
    one = SweepConfig()
    return replace(
        config, head=head, recipe=one.recipe, c_grid=one.c_grid, c_rule=one.c_rule, balanced=False
    )


def _count_views(usable: Manifest, index: Index, config: SweepConfig) -> dict[str, int]:
    """Return how many views of every real image to train on the store has, by augmentation."""
    of = (usable.source == "real") & (usable.split == "train")
    contents = dict.fromkeys(usable.sha256[of])
    found = {}
    for name in config.alternatives:
        number = 0
        while number < max(1, round(max(config.ratios))) and all(
            view_digest(content, name, number) in index.rows for content in contents
        ):
            number += 1
        found[name] = number
    return found


def _possible(config: SweepConfig, views: dict[str, int]) -> tuple[SweepConfig, list[str]]:
    """Return a configuration with the alternatives that a head can have, and what it lacks."""
    if config.head == FINETUNE:
        return config, []
    mixes = config.head in WEIGHTED_HEADS
    names = [name for name in config.alternatives if views[name] or (mixes and name == MIXUP)]
    lacking = [name for name in config.alternatives if name not in names]
    without = []
    if viewless := [name for name in lacking if name not in MIXING]:
        without.append(
            f"the {config.head} head goes without the alternatives {some(viewless, 9)}: the store "
            f"has no such views; run 'xprobe embed --augment {','.join(viewless)}'"
        )
    with_synthetic = config.with_synthetic and bool(names)
    return replace(config, alternatives=tuple(names), with_synthetic=with_synthetic), without


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


def _random_note(encoder: StoredEncoder, label: str, config: SweepConfig) -> list[str]:
    if not encoder.spec.has_random_weights:
        return []
    if config.head == FINETUNE:
        return [
            f"{label} began from RANDOM WEIGHTS, as asked: pretrained ones may answer otherwise"
        ]
    return [f"{label} has RANDOM WEIGHTS, as asked: this says nothing of any trained encoder"]


def _notes(usable: Manifest, failed: dict[str, str]) -> list[str]:
    """Return what the reader of the results must know of the images."""
    found = find_problems(usable)
    if failed:
        found.append(
            f"{len(failed)} images could not be embedded and take no part (see failed.csv)"
        )
    return found


def choose_encoders(store: Store, manifest: Manifest, names: Sequence[str]) -> list[StoredEncoder]:
    """Return the stored encoders of some names, or all that have features of a manifest.

    Raises:
        XprobeError: there are none.
    """
    if names:
        found = [encoder for name in names for encoder in store.find(canonical(name))]
    else:
        found = [encoder for encoder in store.encoders() if store.coverage(encoder, manifest)]
    if not found:
        raise XprobeError(
            f"{store.folder} has no features of these images; run 'xprobe embed' first"
        )
    return list({encoder.key: encoder for encoder in found}.values())


def _check_networks(chosen: list[StoredEncoder]) -> None:
    without = [encoder.name for encoder in chosen if not has_network(encoder.name)]
    if without:
        raise XprobeError(
            f"{some(without)} has no network to train; name one of open_clip, timm, torchvision or "
            f"hf with --encoder, or leave {FINETUNE} out of --heads"
        )


def _check_outlines(manifest: Manifest, config: SweepConfig) -> None:
    if COPY_PASTE not in (*config.alternatives, config.recipe.augment):
        return
    of = (manifest.source == "real") & (manifest.split == "train")
    for text in manifest.polygons[of]:
        read_polygons(text)
    if not any(manifest.polygons[of]):
        raise XprobeError(
            f"{COPY_PASTE} needs outlines of what to paste: a column polygons in the manifest that "
            f"holds well-known text or names the image's xBD label file"
        )


def _run_keys(
    design: Design, encoder: str, config: SweepConfig, text: TextFeatures | None
) -> list[str]:
    """Return, for each block, the digest of everything that decides its predictions.

    That is the encoder, the head, and which contents under which labels are trained on, chosen
    by and tested: not how they came to be drawn. So a further ratio, generator or repeat leaves
    what is done as it is.
    """
    token = _tokens(design)
    head: list[Any] = [
        HEAD_VERSION, config.head, list(config.c_grid), config.c_rule, config.balanced,
        list(design.study.classes),
    ]  # fmt: skip
    if config.head == FINETUNE:
        head += [FINETUNE_VERSION, asdict(config.recipe), config.seed]
    uses_text = config.head in TEXT_HEADS or (
        config.head == FINETUNE and config.recipe.start == "text"
    )
    if uses_text and text is not None:
        head.append([hashlib.sha256(text.x.tobytes()).hexdigest(), text.logit_scale])
    keys = []
    for block in design.blocks:
        own: list[Any] = [encoder, head]
        if config.head == FINETUNE:
            augmentation = augmentation_of(block, config)
            own += [block.repeat, block.budget, augmentation]
            if augmentation == COPY_PASTE:
                own.append(outlines_digest(design.study))
        digest = hashlib.sha256(digest_of(own).encode())
        for problem in block.problems:
            for rows in (problem.train, problem.test, *(r for pair in problem.inner for r in pair)):
                digest.update(len(rows).to_bytes(8, "little"))
                digest.update(token[rows].tobytes())
        keys.append(digest.hexdigest())
    return keys


def _tokens(design: Design) -> Any:
    """Return for each row of a design what it is: 16 bytes."""
    study = design.study
    of_images = list(zip(study.sha256, study.label, study.id, strict=True))
    words: list[Sequence[str]] = [*of_images]
    for made in design.made:
        for i, (first, second) in enumerate(made.source):
            pair = (*of_images[first], *of_images[second])
            share = made.share[i].hex()
            number = str(i % made.each)
            words += [(made.name, number, share, str(c), *pair) for c in range(made.copies)]
    digests = [hashlib.sha256("\0".join(each).encode()).digest()[:16] for each in words]
    return np.array(digests, dtype="V16")


def augmentation_of(block: Block, config: SweepConfig) -> str:
    """Return the augmentation that a fine-tune of a block trains with, or ``none``."""
    setting = block.setting
    if setting.is_alternative:
        return setting.augment or setting.name
    return config.recipe.augment
