"""Keys of predictions and studies: digests of everything that decides them.

Keys are made from written lists of names and values. A field that stands in none of the lists is
part of a key only where its value is not its default: a new option leaves every key as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

import numpy as np

from xprobe.base.arrays import digest_of
from xprobe.design.blocks import Block
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design
from xprobe.encoders.prompts import TextFeatures
from xprobe.images.augment import COPY_PASTE
from xprobe.images.polygons import outlines_digest
from xprobe.learners.kinds import Kind, kind_of
from xprobe.learners.problem import Options

# The versions are raised when a change of the heads, or of fine-tunes, changes their scores.
HEAD_VERSION = 2
FINETUNE_VERSION = 2

# The fields that are part of a key whatever their values are. New fields do not belong here.
_CONFIG = (
    "ratios", "per_class", "real_fraction", "train_per_class", "folds", "holdout",
    "leave_one_group_out", "ignore_lineage", "repeats", "inner_folds", "c_grid", "c_rule",
    "balanced", "head", "finetune_repeats", "alternatives", "with_synthetic", "seed", "allow_fewer",
)  # fmt: skip
_RECIPE = (
    "method", "start", "epochs", "batch_size", "lr", "head_lr", "weight_decay", "layer_decay",
    "warmup", "label_smoothing", "clip", "ema", "wise_ft", "precision", "accumulate", "compile",
    "patience", "synthetic_weight", "synthetic_share", "two_stage", "augment", "deterministic",
)  # fmt: skip

# The fields that heads take, and that are part of a prediction's key whatever their values are.
_OF_HEADS = ("c_grid", "c_rule", "balanced")


def study_key(encoder: str, fingerprint: str, config: SweepConfig) -> str:
    """Return the digest of all that a study answers; its file is named for it.

    Args:
        encoder: the encoder's key.
        fingerprint: the fingerprint of the images that have features.
        config: what was trained, and how it is judged; its margin stands last in the digest.
    """
    # Whether lineage is required decides no result, only whether there is one; whether images are
    # from above decides the names of augmentations alone, which count.
    apart = "recipe", "margin", "require_lineage", "overhead"
    values = named_values(config, _CONFIG, apart=apart)
    values["recipe"] = named_values(config.recipe, _RECIPE)
    return digest_of([encoder, fingerprint, values, config.margin])


def named_values(value: Any, listed: Sequence[str], *, apart: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields of a dataclass by name: the listed ones, and others without their default.

    Args:
        value: the dataclass.
        listed: names whose values always count.
        apart: names that count elsewhere.
    """
    others = (f for f in fields(value) if f.name not in listed and f.name not in apart)
    changed = [f.name for f in others if getattr(value, f.name) != _default(f)]
    return {name: getattr(value, name) for name in (*listed, *changed)}


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def run_keys(
    design: Design, encoder: str, config: SweepConfig, text: TextFeatures | None
) -> list[str]:
    """Return, for each block, the digest of everything that decides its predictions.

    That is the encoder, the head, and which contents under which labels are trained on, chosen
    by and tested: not how they came to be drawn. So a further ratio, generator or repeat leaves
    what is done as it is.
    """
    token, kind = _tokens(design), kind_of(config.head)
    head = _decisive_values(kind, design, config, text)
    keys = []
    for block in design.blocks:
        decisive: list[Any] = [encoder, head]
        if kind.takes_steps:
            augmentation = augmentation_of(block, config)
            decisive += [block.repeat, block.budget, augmentation]
            if augmentation == COPY_PASTE:
                decisive.append(outlines_digest(design.study))
        digest = hashlib.sha256(digest_of(decisive).encode())
        for problem in block.problems:
            for rows in (problem.train, problem.test, *(r for pair in problem.inner for r in pair)):
                digest.update(len(rows).to_bytes(8, "little"))
                digest.update(token[rows].tobytes())
        keys.append(digest.hexdigest())
    return keys


def _decisive_values(
    kind: Kind, design: Design, config: SweepConfig, text: TextFeatures | None
) -> list[Any]:
    """Return what decides the predictions of a learner besides the images."""
    head: list[Any] = [
        HEAD_VERSION, config.head, *(getattr(config, name) for name in _OF_HEADS),
        list(design.study.classes),
    ]  # fmt: skip
    if kind.takes_steps:
        head += [FINETUNE_VERSION, named_values(config.recipe, _RECIPE), config.seed]
    uses_text = kind.needs_text or (kind.takes_steps and config.recipe.start == "text")
    if uses_text and text is not None:
        head.append([hashlib.sha256(text.x.tobytes()).hexdigest(), text.logit_scale])
    # A field that only decides which images are trained on is none that heads take: the images
    # themselves are part of the key.
    taken = {f.name for f in fields(Options)} - set(_OF_HEADS)
    later = [f for f in fields(config) if f.name in taken]
    changed = [f.name for f in later if getattr(config, f.name) != _default(f)]
    if changed:
        head.append({name: getattr(config, name) for name in changed})
    if kind.version:
        head.append({"version": kind.version})
    return head


def _tokens(design: Design) -> Any:
    """Return 16 bytes for each row of a design that tell its content and label from others."""
    study = design.study
    images = list(zip(study.sha256, study.label, study.id, strict=True))
    words: list[Sequence[str]] = [*images]
    for rows in design.alternatives:
        view = rows.view
        for i, (first, second) in enumerate(rows.source):
            pair = (*images[first], *images[second])
            share = rows.share[i].hex()
            number = str(i % rows.per_image)
            if rows.is_mixed and rows.views:
                number += f" of view {view[i]}"
            words += [(rows.name, number, share, str(c), *pair) for c in range(rows.copies)]
    digests = [hashlib.sha256("\0".join(row).encode()).digest()[:16] for row in words]
    return np.array(digests, dtype="V16")


def augmentation_of(block: Block, config: SweepConfig) -> str:
    """Return the augmentation that a fine-tune of a block trains with, or ``none``."""
    setting = block.setting
    if setting.is_alternative:
        return setting.augment or setting.name
    return config.recipe.augment
