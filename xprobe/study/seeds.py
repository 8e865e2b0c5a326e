"""Studies alike but for their seed → one study with the repeats of all of them.

A second seed is no second try: it draws folds and synthetic subsets anew, as a repeat does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xprobe.base import documents
from xprobe.base.errors import XprobeError
from xprobe.design.blocks import Block
from xprobe.design.design import Design, make_design, repeats_words
from xprobe.results.config import StudyConfig
from xprobe.results.predictions import predictions_file
from xprobe.results.study import REMEDY, STUDY_VERSION, but_for_seed
from xprobe.results.study import Study as StudyDocument
from xprobe.study.keys import run_keys
from xprobe.study.prepare import Study


@dataclass(frozen=True, eq=False)
class Pooled:
    """The repeats of a study and of those that are alike but for their seed.

    Attributes:
        design: the design of the study with the blocks of all seeds.
        runs: the key of each block.
        seeds: the seeds, the study's own first.
        seed_of_repeat: (R,) the seed of each repeat of a setting.
    """

    design: Design
    runs: list[str]
    seeds: tuple[int, ...]
    seed_of_repeat: tuple[int, ...]


def pool_seeds(study: Study, folder: Path) -> Pooled:
    """Return a study with the repeats of other seeds that the folder holds.

    Seeds are pooled where the real images and the test images are the same, and the settings: not
    where a seed also draws which real images are trained on, or held out.
    """
    first = study.design
    blocks, runs = list(first.blocks), list(study.runs)
    seeds = [study.config.seed]
    for seed in _other_seeds(study, folder):
        config = replace(study.config, seed=seed)
        try:
            design = make_design(study.usable, config, study.views, study.sources)
        except XprobeError:  # That seed draws other images, of which a class has too few.
            continue
        is_same = np.array_equal(design.study.id, first.study.id)
        is_same &= {b.setting for b in design.blocks} == {b.setting for b in first.blocks}
        if not is_same or not np.array_equal(design.tested, first.tested):
            continue
        keys = run_keys(design, study.encoder.key, config, study.text)
        if all(predictions_file(folder, run).is_file() for run in keys):
            blocks += _renumbered(design.blocks, len(seeds) * study.config.repeats)
            runs += keys
            seeds.append(seed)
    repeats = study.config.repeats
    design = first
    if len(seeds) > 1:
        words = repeats_words(repeats * len(seeds), len(seeds))
        protocol = first.protocol.replace(repeats_words(repeats), words, 1)
        design = replace(first, blocks=tuple(blocks), protocol=protocol)
    return Pooled(design, runs, tuple(seeds), tuple(s for s in seeds for _ in range(repeats)))


def _renumbered(blocks: tuple[Block, ...], first: int) -> list[Block]:
    return [replace(block, repeat=block.repeat + first) for block in blocks]


def _other_seeds(study: Study, folder: Path) -> list[int]:
    """Return the seeds of studies in the folder that are alike but for it, ascending."""
    if (study.config.real_fraction, study.config.train_per_class) != (1, None):
        return []
    config = documents.from_json(StudyConfig, documents.to_json(study.config))
    shared = but_for_seed(study.encoder.key, study.usable.fingerprint, config)
    seeds: set[int] = set()
    for file in (folder / "studies").glob("*.json"):
        other = documents.read(StudyDocument, file, REMEDY, STUDY_VERSION)
        same = but_for_seed(other.encoder.key, other.manifest.fingerprint, other.config)
        if other.hits and same == shared:
            seeds.update(other.seeds)
    return sorted(seeds - {config.seed})
