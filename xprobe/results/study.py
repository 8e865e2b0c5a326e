"""What a sweep answered for one encoder and learner, as a value (docs/reference/results.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, TypeAlias

import msgspec

from xprobe.base import documents
from xprobe.base.documents import Document, Number
from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.encoders.names import Named, short_name, titles_of
from xprobe.encoders.spec import RANDOM, EncoderSpec
from xprobe.images.survey import Count
from xprobe.results.config import StudyConfig
from xprobe.results.rows import (
    ClassResult,
    DataValue,
    MixComparison,
    OfSetting,
    Result,
    Run,
    SettingResult,
)

STUDY_VERSION = 2
"""Version 2 keeps which images each setting got right, and judges over all studies by it."""

REMEDY = "delete it and run 'xprobe sweep' again"

NO_ALIASES: Mapping[str, str] = MappingProxyType({})

Results: TypeAlias = Path | Sequence[Path]
"""A folder of results, or several that are taken together."""


class EncoderUsed(Document, frozen=True, kw_only=True):
    """The encoder of a study: how it is called, its key, and the fields of its ``EncoderSpec``.

    Attributes:
        label: its name, with digits of its key if the store has another one of that name.
        alias: short name in tables and figures; empty if an older xprobe made the study.
        name: the name under which images were embedded with it.
        key: digest of its ``EncoderSpec``.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("alias", *EncoderSpec.OPTIONAL)

    # The fields of the spec are repeated: a type that inherits them would write them first of all.
    label: str
    alias: str = ""
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
    channels: str = ""
    bands: tuple[int, ...] = ()
    stretch: tuple[Number, ...] = ()

    @property
    def title(self) -> str:
        """What it is called where people read: never more than a line, and no path of a file."""
        return self.alias or short_name(self.name)

    @property
    def names(self) -> frozenset[str]:
        """The names that ``--encoder`` takes for it: label, whole name, and the one people read."""
        return frozenset((self.label, self.name, self.title))

    @property
    def is_floor(self) -> bool:
        """Whether it has no learned weights, by design."""
        return self.source.startswith("builtin:")

    @property
    def is_learned(self) -> bool:
        """Whether its weights were trained, so that it may speak of learned encoders."""
        return not (self.is_floor or self.has_random_weights)

    @property
    def has_random_weights(self) -> bool:
        """Whether its weights were never trained, as the user asked."""
        return self.weights.startswith(RANDOM)


class LicenceCount(Document, frozen=True, kw_only=True):
    """How many images of a source (``real`` or ``synthetic``) a licence counts for.

    Attributes:
        licence: its name; empty: none is known. An edit counts under the licence of its source
            image where that is the stricter one.
        source: ``real`` or ``synthetic``.
        n: number of images.
    """

    licence: str
    source: str
    n: int


class DatasetCount(Document, frozen=True, kw_only=True):
    """How many images of a source are of a data set, where the image table says which.

    Attributes:
        dataset: its name, such as ``EuroSAT`` or ``hf:owner/name@commit``.
        source: ``real`` or ``synthetic``.
        n: number of images.
    """

    dataset: str
    source: str
    n: int


class MakerCount(Document, frozen=True, kw_only=True):
    """How many images of a generator were made in one way, as `xprobe generate` wrote it down.

    Attributes:
        generator: what the images are called.
        provider, model: who made them.
        terms: address of the provider's terms; empty: not known.
        watermark: what is known of watermarks in them, and whether one was turned off.
        first, last: the days on which they were made, as the table has them.
        n: number of images.
    """

    generator: str
    provider: str
    model: str
    terms: str
    watermark: str
    first: str
    last: str
    n: int


class ImagesStudied(Document, frozen=True, kw_only=True):
    """The image table of a study, in numbers.

    Attributes:
        fingerprint: digest of the table.
        classes: names of the classes.
        counts: how many images there are of each class, source, generator and split.
        licences: the licences of the images; empty where no image has any.
        makers: who made synthetic images, under which terms; empty where the table does not say.
        datasets: the data sets that images are of; empty where the table does not say.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("licences", "makers", "datasets")

    fingerprint: str
    classes: tuple[str, ...]
    counts: tuple[Count, ...] = ()
    licences: tuple[LicenceCount, ...] = ()
    makers: tuple[MakerCount, ...] = ()
    datasets: tuple[DatasetCount, ...] = ()


class Study(Document, frozen=True, kw_only=True):
    """What a sweep answered for one encoder, one learner and one part of the real images.

    Attributes:
        version: version of this form, `STUDY_VERSION`.
        key: digest of the question that it answers, after which its files are named; empty in
            version 1.
        hits: digest of the file of its hits (`results.hits`); empty in version 1.
        seeds: seeds whose repeats are pooled in it; empty in version 1.
        created: time at which it was made, in ISO 8601.
        command: the command line that made it.
        encoder: the encoder whose features heads were trained on.
        protocol: how it was tested, in words.
        versions, commit, platform: what computed it; `commit` is None outside of a git checkout.
        config: the options of the sweep.
        generators: names of the generators.
        manifest: the images.
        results: a row for each setting and metric.
        comparisons: mixes against each other and against controls.
        classes: a row for each setting and class.
        settings: a row for each setting, with its confusion matrix.
        runs: a row for each fold, repeat and setting.
        warnings: what the user was warned of.
        prompts: the prompts of the zero-shot row.
        data_value: what mixes and alternatives are worth, in a study on a learning curve; None in
            others.
        option_sources: where an option came from, by its name, unless at its default.
        name: short name that somebody gave it; empty: none.
        predictions: key of the predictions of each setting and repeat, repeat by repeat, the
            settings in the order of `runs`; empty if an older xprobe made it, which may also have
            left out keys that stand in it twice.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("data_value", "option_sources", "name", "predictions")

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
    name: str = ""
    predictions: tuple[str, ...] = ()

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

    def without_fingerprint(self, row: OfSetting) -> MixComparison | None:
        """Return the comparison of a mix with as many null edits of its generator, or None."""
        name = ("null-edit", row.generator, row.ratio)
        if row.setting != "mix" or row.augment:
            return None
        return next((c for c in self.comparisons if (c.kind, c.generator, c.ratio) == name), None)

    @property
    def blocks(self) -> list[tuple[Run, ...]]:
        """The folds of each setting and repeat, in the order of `predictions`."""
        blocks: dict[tuple[object, ...], list[Run]] = {}
        for run in self.runs:
            name = run.repeat, run.setting, run.ratio, run.generator, run.augment
            blocks.setdefault(name, []).append(run)
        return [tuple(runs) for runs in sorted(blocks.values(), key=lambda runs: runs[0].repeat)]


def _is_reference(row: Result) -> bool:
    return row.setting == "real-only" and row.metric == "accuracy"


def study_file(folder: Path, key: str) -> Path:
    """Return where the document of a study lies."""
    return folder / "studies" / f"{key}.json"


def save_study(folder: Path, study: Study) -> None:
    """Write the document of a study; readers find it whole or not at all."""
    documents.write(study_file(folder, study.key), study)


def given_name(folder: Path, key: str) -> str:
    """Return the name that somebody gave a study of this key; nothing if there is none."""
    try:
        return _read(study_file(folder, key)).name
    except FileNotFoundError:
        return ""


def folders_of(results: Results) -> list[Path]:
    """Return the folders of results, each once."""
    return list(dict.fromkeys([results] if isinstance(results, Path) else results))


def read_studies(results: Results) -> list[Study]:
    """Return all studies of results, the newest first.

    Of a study that lies in several folders, the one with the most seeds is taken, or the newest.

    Raises:
        XprobeError: a folder has none, or one is damaged or of a newer format.
    """
    studies: list[Study] = []
    for folder in folders_of(results):
        files = sorted((folder / "studies").glob("*.json"))
        if not files:
            raise XprobeError(f"{folder}: no results; run 'xprobe sweep' first, or name --results")
        studies += map(_read, files)
    studies.sort(key=lambda study: (len(study.seeds), study.created), reverse=True)
    by_key = {study.key: study for study in reversed(studies)}
    return sorted(by_key.values(), key=_created, reverse=True)


def _created(study: Study) -> str:
    return study.created


def with_aliases(studies: Sequence[Study], asked: Mapping[str, str] = NO_ALIASES) -> list[Study]:
    """Return studies as people read them: an encoder has one alias, and no two have the same.

    The newest study of an encoder decides which one. The rows of results have it, too.

    Args:
        studies: the studies.
        asked: name, label or alias of an encoder → its alias, whatever the studies say.
    """
    encoders: dict[str, Named] = {}
    for study in sorted(studies, key=_created):
        encoder = study.encoder
        former = encoders[encoder.key].alias if encoder.key in encoders else ""
        encoders[encoder.key] = Named(encoder.key, encoder.name, encoder.alias or former)
    for study in studies:
        for name in study.encoder.names & asked.keys():
            encoders[study.encoder.key] = encoders[study.encoder.key]._replace(alias=asked[name])
    titles = titles_of(list(encoders.values()))
    return [_with_alias(study, titles[study.encoder.key]) for study in studies]


def _with_alias(study: Study, alias: str) -> Study:
    values = study.data_value
    return documents.replace(
        study,
        encoder=documents.replace(study.encoder, alias=alias),
        results=tuple(documents.replace(row, alias=alias) for row in study.results),
        data_value=values and tuple(documents.replace(row, alias=alias) for row in values),
    )


def _read(file: Path) -> Study:
    """Return a study; one of version 1, which has no key, is known by the name of its file."""
    study = documents.read(Study, file, REMEDY, STUDY_VERSION)
    return study if study.key else documents.replace(study, key=file.stem)


def load_studies(results: Results) -> list[Study]:
    """Return the studies of results, the newest first.

    A study whose repeats another one has pooled with those of further seeds is left out.

    Raises:
        XprobeError: a folder has none, or one is damaged or of a newer format.
    """
    return without_held(read_studies(results))


def without_held(studies: Sequence[Study]) -> list[Study]:
    """Return the studies, the newest first, without those whose repeats another one contains."""
    # A study with the seeds 0 and 1 contains the repeats of the same study with the seed 0 alone.
    kept: list[Study] = []
    for study in sorted(studies, key=lambda study: -len(study.seeds)):
        if holder_of(study, kept) is None:
            kept.append(study)
    return sorted(kept, key=lambda study: study.created, reverse=True)


def holder_of(study: Study, others: Iterable[Study]) -> Study | None:
    """Return the one of other studies that has pooled the repeats of a study, or None."""
    if not study.seeds:
        return None
    shared = _shared(study)
    return next(
        (o for o in others if set(study.seeds) <= set(o.seeds) and _shared(o) == shared), None
    )


def _shared(study: Study) -> tuple[object, ...]:
    return but_for_seed(study.encoder.key, study.manifest.fingerprint, study.config)


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

    Older ones are there, too, if they have a generator that no newer one of their kind has: what
    was studied in folders of its own does not vanish.

    Args:
        studies: studies, the newest first.
        encoders: names, labels or aliases of encoders; none: all.

    Raises:
        XprobeError: a named encoder has no study.
    """
    chosen: list[Study] = []
    generators: dict[tuple[str, str, Number, int], set[str]] = {}
    for study in studies:
        known = [generators[name] for name in names_of_kind(study) if name in generators]
        if not known or not set().union(*known).issuperset(study.generators):
            chosen.append(study)
            for name in names_of_kind(study):
                generators.setdefault(name, set()).update(study.generators)
    known_names = {name for study in chosen for name in study.encoder.names}
    if unknown := [name for name in encoders if name not in known_names]:
        titles = {study.encoder.title for study in chosen}
        raise XprobeError(
            f"there are no results of {first_few(unknown)}{did_you_mean(unknown[0], known_names)}; "
            f"there are: {first_few(sorted(titles), 9)}"
        )
    wanted = set(encoders) or known_names
    chosen.sort(key=lambda study: names_of_kind(study)[0])
    return [study for study in chosen if wanted & study.encoder.names]


def names_of_kind(study: Study) -> list[tuple[str, str, Number, int]]:
    """Return two names of a study's kind: encoder (by label, and by key), head and part.

    Of the studies of a kind the newest counts. An encoder's label changes when the store gets
    another encoder of its name, and its key does not: two studies are of a kind if they have either
    name in common.
    """
    fraction, train_per_class = study.part
    kind = study.config.head, fraction, train_per_class or 0
    return [(study.encoder.label, *kind), (study.encoder.key, *kind)]
