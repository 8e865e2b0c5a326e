"""Which class pays: what each class gains or loses, class × ratio, as a map of shades."""

from __future__ import annotations

from dataclasses import dataclass

from xprobe.base.errors import counted
from xprobe.report.words import badge, in_order, points, setting_title, span, verdict_word
from xprobe.results.rows import ClassResult
from xprobe.results.study import Study
from xprobe.verdict.family import HELPS, HURTS

MOST_CLASSES = 60
"""A map stops at so many classes; those with a detected change come first."""

LEAST_SCALE = 0.1
"""The colour is full at a difference of ten points at the least."""


@dataclass(frozen=True)
class ClassCell:
    """A class under one setting.

    Attributes:
        row: its recall against real-only.
        badge: the style of its verdict.
        shade: the difference from −1 to 1; the largest one of a mix is 1.
        about: the comparison in words.
    """

    row: ClassResult
    badge: str
    shade: float
    about: str


@dataclass(frozen=True)
class ClassMap:
    """What each class gains or loses with a generator.

    Attributes:
        titles: titles of the settings, which are the columns.
        rows: a class, its number of test images, and a cell a setting, or None.
        n: number of all classes, of which `rows` holds the first ones.
        claims: gains and losses that were detected, in words.
    """

    generator: str
    titles: list[str]
    rows: list[tuple[str, int, list[ClassCell | None]]]
    n: int
    claims: list[str]


def class_maps(study: Study) -> list[ClassMap]:
    """Return the map of each generator of a study."""
    rows = [row for row in study.classes if row.generator and not row.augment]
    names = dict.fromkeys(row.generator or "" for row in rows)
    return [_map(name, [row for row in rows if row.generator == name]) for name in names]


def _map(generator: str, rows: list[ClassResult]) -> ClassMap:
    rows = sorted(rows, key=in_order)
    titles = list(dict.fromkeys(setting_title(row) for row in rows))
    # Synthetic-only lies so far away that mixes would be pale beside it.
    mixes = [abs(row.difference) for row in rows if row.setting == "mix"]
    scale = max([LEAST_SCALE, *mixes])
    cells = {(row.class_, setting_title(row)): _cell(row, scale) for row in rows}
    lines = [
        (name, n, [cells.get((name, title)) for title in titles])
        for name, n in {row.class_: row.n_test for row in rows}.items()
    ]
    lines.sort(key=lambda line: not any(cell and cell.badge != "no" for cell in line[2]))
    claims = [
        f"{row.class_} {points(row.difference)} at {setting_title(row)}"
        for row in rows
        if row.kind in (HELPS, HURTS)
    ]
    return ClassMap(generator, titles, lines[:MOST_CLASSES], len(lines), claims)


def _cell(row: ClassResult, scale: float) -> ClassCell:
    n = counted(row.n_test, "test image", "test images")
    about = (
        f"{row.class_} at {setting_title(row)}: {points(row.difference)} points of recall "
        f"{span(row.low, row.high)}, {verdict_word(row)}; {n}"
    )
    shade = min(1.0, max(-1.0, row.difference / scale))
    return ClassCell(row, badge(row), shade, about)
