"""What several studies answer together: the documents that `xprobe sweep` and `demo` print."""

from __future__ import annotations

from collections.abc import Sequence

from xprobe.base.documents import Document
from xprobe.results.families import Family, families
from xprobe.results.rows import ClassResult, DataValue, Result
from xprobe.results.study import Study


class SweepAnswer(Document, frozen=True, kw_only=True):
    """The answer of `xprobe sweep`: the rows of all its studies, one after the other.

    Attributes:
        families: all families of comparisons among these rows.
        data_value: what the synthetic images of mixes are worth, by learning curves.
        warnings: the warnings of all studies, each once.
    """

    results: tuple[Result, ...]
    families: tuple[Family, ...]
    classes: tuple[ClassResult, ...]
    data_value: tuple[DataValue, ...]
    warnings: tuple[str, ...]


class DemoAnswer(Document, frozen=True, kw_only=True):
    """The answer of `xprobe demo`; `report` is the path of its page."""

    results: tuple[Result, ...]
    families: tuple[Family, ...]
    report: str


def answer_of(studies: Sequence[Study]) -> SweepAnswer:
    """Return what some studies answer together."""
    results = tuple(row for study in studies for row in study.results)
    return SweepAnswer(
        results=results,
        families=tuple(families(results)),
        classes=tuple(row for study in studies for row in study.classes),
        data_value=tuple(row for study in studies for row in study.data_value or ()),
        warnings=tuple(dict.fromkeys(text for study in studies for text in study.warnings)),
    )
