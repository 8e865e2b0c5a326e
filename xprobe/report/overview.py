"""What the report says of all studies together: facts, warnings, tables, how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xprobe.base.documents import replace
from xprobe.design.design import repeats_words
from xprobe.images.survey import Count
from xprobe.learners.kinds import Kind, kind_read
from xprobe.report.words import (
    ESTIMANDS,
    Part,
    Protocol,
    Warned,
    count,
    family_title,
    in_order,
    ratio_title,
    setting_title,
    study_title,
    whole,
)
from xprobe.results.config import StudyConfig
from xprobe.results.rows import Result
from xprobe.results.study import STUDY_VERSION, ImagesStudied, Study


@dataclass(frozen=True)
class Plan:
    """What decides how the results of some studies came about, as the templates show it.

    Attributes:
        protocol: how they were tested.
        part: which part of the real images was trained on.
        kind: the kind of learner, whose words and choice are told.
        repeats, seeds: how many repeats in words, and of how many seeds.
        estimand: what differences are the mean over (`Result.estimand`).
        n_train, n_test, n_groups: numbers of real images and of their groups, as text.
        who: titles of the studies.
    """

    protocol: Protocol
    config: StudyConfig
    part: Part
    leaky: bool
    kind: Kind
    repeats: str
    seeds: int
    estimand: str
    n_train: str
    n_test: str
    n_groups: str
    who: list[str] = field(compare=False)


@dataclass(frozen=True)
class AccuracyTable:
    """Accuracy with a generator; a row is the title of a setting and its result in each study."""

    generator: str
    rows: list[tuple[str, list[Result | None]]]


@dataclass(frozen=True)
class CountTable:
    """Images by class (`rows`) and by source, generator and split (`columns`), with their sums."""

    fingerprint: str
    columns: list[tuple[str, str, str]]
    rows: list[tuple[str, list[int]]]
    who: list[str]

    @property
    def totals(self) -> list[int]:
        """The sum of each column."""
        return [sum(cells[i] for _, cells in self.rows) for i in range(len(self.columns))]


def plans(studies: Sequence[Study]) -> list[Plan]:
    """Return what decides how results came about, once for all studies that share it."""
    shared: list[Plan] = []
    for study in studies:
        real, kind = study.real_only, kind_read(study.config.head)
        seeds = max(1, len(study.seeds))
        plan = Plan(
            protocol=Protocol.read(study.protocol),
            config=study.config,
            part=study.part,
            leaky=study.config.ignore_lineage,
            kind=kind,
            repeats=repeats_words(study.config.repeats * seeds, seeds),
            seeds=seeds,
            estimand=real.estimand,
            n_train=whole(real.n_train_real),
            n_test=count(real.n_test),
            n_groups=count(real.n_groups),
            who=[],
        )
        if plan not in shared:
            shared.append(plan)
        shared[shared.index(plan)].who.append(study_title(study))
    return shared


def facts(studies: Sequence[Study]) -> list[tuple[str, str]]:
    """Return what was studied, as pairs of a term and its values in words."""
    real = [study.real_only for study in studies]
    terms = {
        "Encoders": (family_title(s.encoder.title, s.config.head, (1.0, None)) for s in studies),
        "Generators": (generator for s in studies for generator in s.generators),
        "Ratios": (ratio_title(ratio) for s in studies for ratio in s.config.ratios),
        "Classes": (str(len(s.manifest.classes)) for s in studies),
        "Real images to train on": (count(row.n_train_real) for row in real),
        "Real images to test on": (count(row.n_test) for row in real),
        "Protocol": (Protocol.read(s.protocol).short for s in studies),
        "Estimand": (ESTIMANDS.get(row.estimand, row.estimand) for row in real),
    }
    # Protocols have commas of their own.
    signs = dict.fromkeys(terms, ", ") | {"Protocol": "; "}
    return [(term, signs[term].join(dict.fromkeys(values))) for term, values in terms.items()]


def warnings_of(studies: Sequence[Study]) -> list[Warned]:
    """Return every warning once, with the titles of the studies that gave it."""
    who: dict[str, list[str]] = {}
    for study in studies:
        # Warnings that name the encoder of their study say so for the terminal, where all studies
        # stand together; without it those of several studies are one.
        names = tuple(f"{name}: " for name in (study.encoder.label, study.encoder.title))
        for text in dict.fromkeys((*_rules(study), *study.warnings)):
            name = next((name for name in names if text.startswith(name)), "")
            who.setdefault(text.removeprefix(name), []).append(study_title(study))
    return [
        Warned(", ".join(titles) if len(titles) < len(studies) else "", text)
        for text, titles in who.items()
    ]


def _rules(study: Study) -> list[str]:
    """Return a warning if a study was judged by the rules of an older version."""
    if study.version >= STUDY_VERSION:
        return []
    return [
        f"judged by the rules of version {study.version}; run the same sweep again; only "
        "the pooled arm is trained. Until then it takes no part in study-wide claims"
    ]


def differing_options(studies: Sequence[Study]) -> list[Warned]:
    """Return a warning if studies stand side by side that were not made alike."""
    # Fine-tunes take long and may have fewer repeats, so they are compared among themselves.
    kinds: dict[bool, list[StudyConfig]] = {True: [], False: []}
    for study in studies:
        kinds[kind_read(study.config.head).takes_steps].append(_shared_options(study))
    if len({study.manifest.fingerprint for study in studies}) > 1:
        differ = "the studies are not of the same images"
    elif any(options != kind[0] for kind in kinds.values() for options in kind):
        differ = "the studies were made with different options"
    else:
        return []
    remedy = "compare encoders with care, or run 'xprobe sweep' again for all of them"
    return [Warned("", f"{differ}: {remedy}")]


def _shared_options(study: Study) -> StudyConfig:
    """Return the options that the heads, or the fine-tunes, of one sweep share."""
    return replace(
        study.config, head="", real_fraction=1, train_per_class=None, alternatives=(),
        with_synthetic=False,
    )  # fmt: skip


def side_by_side(studies: Sequence[Study]) -> list[AccuracyTable]:
    """Return accuracy by generator, setting and study; a single study has nothing beside it."""
    if len(studies) < 2:
        return []
    cells = {
        (i, row.generator, setting_title(row)): row
        for i, study in enumerate(studies)
        for row in sorted(study.results, key=in_order)
        if row.metric == "accuracy"
    }
    tables = []
    for generator in dict.fromkeys(name for study in studies for name in study.generators):
        titles = dict.fromkeys(
            (name, title) for _, name, title in cells if name in (None, generator)
        )
        rows = [
            (title, [cells.get((i, name, title)) for i in range(len(studies))])
            for name, title in titles
        ]
        tables.append(AccuracyTable(generator, rows))
    return tables


def count_tables(studies: Sequence[Study]) -> list[CountTable]:
    """Return a table of the images per class for each set of images that was studied."""
    tables: dict[str, CountTable] = {}
    for study in studies:
        fingerprint = study.manifest.fingerprint
        if fingerprint not in tables:
            tables[fingerprint] = _count_table(study.manifest)
        tables[fingerprint].who.append(study_title(study))
    return list(tables.values())


def _count_table(images: ImagesStudied) -> CountTable:
    n = {(row.class_, (row.source, _made_by(row), row.split)): row.n for row in images.counts}
    columns = sorted({column for _, column in n})
    rows = [(name, [n.get((name, c), 0) for c in columns]) for name in images.classes]
    return CountTable(images.fingerprint, columns, rows, [])


def _made_by(row: Count) -> str:
    """Return the generator of some images, with the control that they are made for."""
    return ", ".join(filter(None, (row.generator, row.control)))
