"""What several studies answer together: the documents that `xprobe sweep` and `demo` print."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from xprobe.base.documents import Document, Number
from xprobe.results.families import Family, families
from xprobe.results.rows import ClassResult, DataValue, Result, SettingResult
from xprobe.results.study import Study


class Recognized(SettingResult, frozen=True, kw_only=True):
    """What a setting of a study recognised.

    Attributes:
        encoder, head, real_fraction, train_per_class: the study, named as in the rows of `results`.
        classes: names of the classes (k,), in the order of the confusion matrix.
    """

    encoder: str
    head: str
    real_fraction: Number
    train_per_class: int | None = None
    classes: tuple[str, ...]


class SweepAnswer(Document, frozen=True, kw_only=True):
    """The answer of `xprobe sweep`: the rows of all its studies, one after the other.

    Attributes:
        headline: what a report of the results folder begins with, which speaks of all studies
            there; empty where another one of them is damaged.
        families: all families of comparisons among these rows.
        settings: confusion matrix, recall, precision and F1 of every setting.
        data_value: what mixes and alternatives are worth in real images, by learning curves.
        warnings: the warnings of all studies, each once.
    """

    headline: str
    results: tuple[Result, ...]
    families: tuple[Family, ...]
    classes: tuple[ClassResult, ...]
    settings: tuple[Recognized, ...]
    data_value: tuple[DataValue, ...]
    warnings: tuple[str, ...]


class DemoAnswer(Document, frozen=True, kw_only=True):
    """The answer of `xprobe demo`: the headline of its report, whose page has the path `report`."""

    headline: str
    results: tuple[Result, ...]
    families: tuple[Family, ...]
    report: str


def answer_of(studies: Sequence[Study], headline: str) -> SweepAnswer:
    """Return what some studies answer together, below the headline of their report."""
    results = tuple(row for study in studies for row in study.results)
    return SweepAnswer(
        headline=headline,
        results=results,
        families=tuple(families(results)),
        classes=tuple(row for study in studies for row in study.classes),
        settings=tuple(_recognized(study, row) for study in studies for row in study.settings),
        data_value=tuple(row for study in studies for row in study.data_value or ()),
        warnings=tuple(dict.fromkeys(text for study in studies for text in study.warnings)),
    )


def _recognized(study: Study, row: SettingResult) -> Recognized:
    fraction, size = study.part
    return Recognized(
        **msgspec.structs.asdict(row), encoder=study.encoder.label, head=study.config.head,
        real_fraction=fraction, train_per_class=size, classes=study.manifest.classes,
    )  # fmt: skip
