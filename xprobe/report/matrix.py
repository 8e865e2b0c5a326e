"""The picture of the answer: encoders × generators × ratios, a verdict in each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from xprobe.design.config import SweepConfig
from xprobe.report.words import (
    badge,
    images_words,
    p_words,
    points,
    ratio_title,
    setting_title,
    span,
    study_title,
    verdict_words,
)
from xprobe.results.rows import Result
from xprobe.results.study import Study
from xprobe.verdict.family import NOT_SEPARABLE

LEAST_SCALE = 0.02
"""The colour is full at a difference of two points at the least, so that noise stays pale."""


@dataclass(frozen=True)
class MatrixCell:
    """A mix of one study.

    Attributes:
        row: its accuracy.
        badge: the style of its verdict.
        shade: difference to real-only from −1 to 1; the largest one of the matrix is 1.
        about: the whole comparison in words.
    """

    row: Result
    badge: str
    shade: float
    about: str


@dataclass(frozen=True)
class MatrixRow:
    """A study: its title, whether its encoder was ever trained, and a cell a column, or None."""

    title: str
    is_learned: bool
    cells: list[MatrixCell | None]


@dataclass(frozen=True)
class Matrix:
    """The verdicts of all studies.

    Attributes:
        generators: names, and how many columns each has.
        ratios: titles of the columns.
        rows: the studies, those of learned encoders first.
        scale: difference in percentage points of which the colour is full.
        has_apart: whether some mix could not be told from training longer.
    """

    generators: list[tuple[str, int]]
    ratios: list[str]
    rows: list[MatrixRow]
    scale: float
    has_apart: bool


def matrix_of(studies: Sequence[Study]) -> Matrix | None:
    """Return the matrix of the mixes that were judged; None without any."""
    mixes = [
        {(row.generator or "", row.ratio or 0.0): row for row in judged_mixes(study)}
        for study in studies
    ]
    columns = sorted({column for cells in mixes for column in cells})
    if not columns:
        return None
    largest = max(abs(row.difference or 0) for cells in mixes for row in cells.values())
    scale = max(LEAST_SCALE, largest)
    rows = [
        MatrixRow(
            title=study_title(study),
            is_learned=study.encoder.is_learned,
            cells=[_cell(study, cells.get(column), scale) for column in columns],
        )
        for study, cells in zip(studies, mixes, strict=True)
        if cells
    ]
    return Matrix(
        generators=[(name, len(list(part))) for name, part in groupby(columns, lambda c: c[0])],
        ratios=[ratio_title(ratio) for _, ratio in columns],
        rows=sorted(rows, key=lambda row: not row.is_learned),
        scale=100 * scale,
        has_apart=any(row.kind == NOT_SEPARABLE for cells in mixes for row in cells.values()),
    )


def judged_mixes(study: Study) -> list[Result]:
    """Return the accuracy of every mix that is no alternative and has a verdict."""
    return [
        row
        for row in study.results
        if row.setting == "mix" and not row.augment and row.verdict is not None
    ]


def shown_study(studies: Sequence[Study]) -> Study | None:
    """Return the study that is looked at first, or None if there is none.

    Learned encoders go before others, the whole of the real images before a part of them, and the
    default head before others.
    """

    def rank(study: Study) -> tuple[bool, bool, bool]:
        return (
            not study.encoder.is_learned,
            study.part != (1, None),
            study.config.head != SweepConfig.head,
        )

    return min(studies, key=rank, default=None)


def comparison_words(study: Study, row: Result) -> str:
    """Return a comparison with real-only as one line, for who points at it."""
    who = " · ".join(filter(None, [study_title(study), row.generator, setting_title(row)]))
    interval = span(row.difference_low or 0, row.difference_high or 0)
    return (
        f"{who} ({images_words(row, study.real_only)}): {points(row.difference or 0)} points "
        f"{interval}, {verdict_words(row)}; {p_words(row)}"
    )


def _cell(study: Study, row: Result | None, scale: float) -> MatrixCell | None:
    if row is None:
        return None
    return MatrixCell(row, badge(row), (row.difference or 0) / scale, comparison_words(study, row))
