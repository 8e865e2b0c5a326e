"""Keys of predictions: digests of everything that decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from xprobe.base.arrays import digest_of
from xprobe.design.blocks import Block
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design
from xprobe.encoders.prompts import TextFeatures
from xprobe.images.augment import COPY_PASTE
from xprobe.images.polygons import outlines_digest
from xprobe.learners.kinds import FINETUNE, TEXT_HEADS

HEAD_VERSION = 2  # raised when a change of the heads changes their scores

FINETUNE_VERSION = 2  # the same of fine-tunes


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
