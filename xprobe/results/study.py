"""What a sweep answered for one encoder and learner, as a value (docs/reference/results.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from xprobe.base import documents
from xprobe.base.documents import Document, Number
from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.encoders.spec import RANDOM, EncoderSpec
from xprobe.images.survey import Count
from xprobe.results.config import StudyConfig
from xprobe.results.rows import (
    ClassResult,
    DataValue,
    MixComparison,
    Result,
    Run,
    SettingResult,
)

STUDY_VERSION = 2
"""Version 2 keeps which images each setting got right, and judges over all studies by it."""

REMEDY = "delete it and run 'xprobe sweep' again"


class EncoderUsed(Document, frozen=True, kw_only=True):
    """The encoder of a study: how it is called, its key, and the fields of its ``EncoderSpec``."""

    OPTIONAL: ClassVar[tuple[str, ...]] = EncoderSpec.OPTIONAL

    # The fields of the spec are repeated: a type that inherits them would write them first of all.
    label: str
    name: str
    key: str
    source: str
    weights: str
    layer: str
    dim: int
    input_px: tuple[int, int]
    resize: str
    interpolation: str
    mean: tuple[Number, ...]
    std: tuple[Number, ...]
    precision: str
    preprocessing: str
    activation: str = ""
    resize_px: int = 0
    codec: str = ""
    resampling: str = ""
    bands: tuple[int, ...] = ()
    stretch: tuple[Number, ...] = ()

    @property
    def is_floor(self) -> bool:
        """Whether it has no learned weights, by design."""
        return self.source.startswith("builtin:")

    @property
    def has_random_weights(self) -> bool:
        """Whether its weights were never trained, as the user asked."""
        return self.weights.startswith(RANDOM)


class ImagesStudied(Document, frozen=True, kw_only=True):
    """The image table of a study, in numbers."""

    fingerprint: str
    classes: tuple[str, ...]
    counts: tuple[Count, ...] = ()


class Study(Document, frozen=True, kw_only=True):
    """What a sweep answered for one encoder, one learner and one part of the real images.

    Attributes:
        key: digest of what it answers, for which its files are named; empty in version 1.
        hits: digest of the file of its hits (`results.hits`); empty in version 1.
        seeds: seeds whose repeats are pooled in it; empty in version 1.
        protocol: how it was tested, in words.
        versions, commit, platform: what computed it; `commit` is None outside of a git checkout.
        comparisons: mixes against each other and against further real images.
        prompts: the prompts of the zero-shot row.
        data_value: what mixes are worth, in a study on a learning curve; None in others.
        option_sources: where an option came from, by its name, unless at its default.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("data_value", "option_sources")

    version: int
    key: str = ""
    hits: str = ""
    seeds: tuple[int, ...] = ()
    created: str
    command: str
    encoder: EncoderUsed
    protocol: str
    config: StudyConfig
    generators: tuple[str, ...]
    manifest: ImagesStudied
    versions: dict[str, str]
    commit: str | None = None
    platform: str = ""
    results: tuple[Result, ...]
    comparisons: tuple[MixComparison, ...] = ()
    classes: tuple[ClassResult, ...] = ()
    settings: tuple[SettingResult, ...]
    runs: tuple[Run, ...]
    warnings: tuple[str, ...]
    prompts: str | None = None
    data_value: tuple[DataValue, ...] | None = None
    option_sources: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not any(_is_reference(row) for row in self.results):
            raise ValueError("results have no accuracy of real-only")
        k = len(self.manifest.classes)
        if any(len(row.confusion) != k for row in self.settings):
            raise ValueError(f"settings have confusions of other than {k} classes")

    @property
    def real_only(self) -> Result:
        """The accuracy of training on real images alone, which all else is compared with."""
        return next(row for row in self.results if _is_reference(row))

    @property
    def part(self) -> tuple[Number, int | None]:
        """Which part of the real images was trained on: a share, or so many of each class."""
        return self.config.real_fraction, self.config.train_per_class


def _is_reference(row: Result) -> bool:
    return row.setting == "real-only" and row.metric == "accuracy"


def save_study(folder: Path, study: Study) -> None:
    """Write the document of a study; readers find it whole or not at all."""
    documents.write(folder / "studies" / f"{study.key}.json", study)


def load_studies(folder: Path) -> list[Study]:
    """Return all studies of a folder, the newest first.

    A study whose repeats another one has pooled with those of further seeds is left out.

    Raises:
        XprobeError: there is none, or one is damaged or of a newer format.
    """
    files = sorted((folder / "studies").glob("*.json"))
    if not files:
        raise XprobeError(f"{folder}: no results; run 'xprobe sweep' first, or name --results")
    studies = [documents.read(Study, file, REMEDY, STUDY_VERSION) for file in files]
    studies.sort(key=lambda study: study.created, reverse=True)
    # Of studies alike but for the seed, one with more seeds holds what those with fewer hold.
    kept: list[tuple[Study, tuple[object, ...]]] = []
    for study in sorted(studies, key=lambda study: -len(study.seeds)):
        shared = but_for_seed(study.encoder.key, study.manifest.fingerprint, study.config)
        held = (set(other.seeds) for other, same in kept if same == shared)
        if not study.seeds or not any(set(study.seeds) <= seeds for seeds in held):
            kept.append((study, shared))
    return sorted((study for study, _ in kept), key=lambda study: study.created, reverse=True)


def but_for_seed(encoder: str, fingerprint: str, config: StudyConfig) -> tuple[object, ...]:
    """Return what studies share that differ in nothing but their seed.

    Args:
        encoder: the encoder's key.
        fingerprint: that of the images.
        config: the options.
    """
    return encoder, fingerprint, documents.replace(config, seed=0)


def newest(studies: Sequence[Study], encoders: Sequence[str] = ()) -> list[Study]:
    """Return the newest study of each encoder (or named one), head and part, sorted.

    Args:
        studies: studies, the newest first.
        encoders: names of encoders; none: all.

    Raises:
        XprobeError: a named encoder has no study.
    """
    chosen: dict[tuple[str, str, Number, int], Study] = {}
    known: set[tuple[str, str, Number, int]] = set()
    for study in studies:
        # An encoder's label changes when another of its name joins it; its key does not.
        fraction, train_per_class = study.part
        kind = study.config.head, fraction, train_per_class or 0
        names = {(study.encoder.label, *kind), (study.encoder.key, *kind)}
        if not names & known:
            chosen[(study.encoder.label, *kind)] = study
            known |= names
    labels = {label for label, *_ in chosen}
    if unknown := [name for name in encoders if name not in labels]:
        raise XprobeError(
            f"there are no results of {first_few(unknown)}{did_you_mean(unknown[0], labels)}; "
            f"there are: {first_few(sorted(labels), 9)}"
        )
    wanted = set(encoders) or labels
    return [study for (label, *_), study in sorted(chosen.items()) if label in wanted]
