"""Differences to real-only with their intervals, laid out along an axis: a forest plot as rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xprobe.images.augment import AUGMENTATIONS
from xprobe.report.matrix import comparison_words
from xprobe.report.words import badge, in_order, setting_title, study_title, verdict_words
from xprobe.results.rows import Result
from xprobe.results.study import Study

MOST_TICKS = 6


@dataclass(frozen=True)
class Span:
    """An interval along the axis, in percent of its length."""

    left: float
    width: float


@dataclass(frozen=True)
class ForestRow:
    """A comparison with real-only.

    Attributes:
        study, generator, setting: titles; the generator is a dash where there is none.
        is_learned: whether its encoder was ever trained.
        row: its accuracy.
        badge, verdict: style and words of its verdict.
        place: where the difference lies along the axis, in percent.
        shown, judged: the simultaneous interval, and the one that is judged where there is a
            control; None without a control.
        about: the whole comparison in words.
    """

    study: str
    generator: str
    setting: str
    is_learned: bool
    row: Result
    badge: str
    verdict: str
    place: float
    shown: Span
    judged: Span | None
    about: str


@dataclass(frozen=True)
class Forest:
    """Comparisons that share an axis.

    Attributes:
        title: what they are.
        about: a sentence on what they ask.
        rows: the comparisons.
        ticks: places along the axis in percent, and their words in percentage points.
        zero: the place of no difference.
        margins: the margins of equivalence, along the axis.
        controlled: whether some have a control.
        together: whether some have a study-wide p.
    """

    title: str
    about: str
    rows: list[ForestRow]
    ticks: list[tuple[float, str]]
    zero: float
    margins: list[Span]
    controlled: bool
    together: bool


def forests_of(studies: Sequence[Study]) -> list[Forest]:
    """Return the forest plots of all studies: mixes, then what is a question of its own."""
    kinds: list[tuple[str, str, Callable[[Result], bool]]] = [
        (
            "Synthetic images added to the real ones",
            "",
            lambda row: row.setting == "mix" and not row.augment,
        ),
        (
            "Synthetic images in place of the real ones",
            "A different question, on an axis of its own.",
            lambda row: row.setting == "synthetic-only",
        ),
        (
            "The real images augmented",
            "What synthetic images must beat.",
            lambda row: bool(row.augment) or row.setting in AUGMENTATIONS,
        ),
    ]
    forests = []
    for title, about, is_wanted in kinds:
        pairs = [
            (study, row)
            for study in studies
            for row in study.results
            if row.verdict is not None and is_wanted(row)
        ]
        if pairs:
            # The studies keep their order within a generator, floors behind learned encoders.
            pairs.sort(key=lambda pair: in_order(pair[1]))
            place = {study.key: i for i, study in enumerate(studies)}
            pairs.sort(
                key=lambda pair: (
                    pair[1].generator or "", not pair[0].encoder.is_learned, place[pair[0].key]
                )
            )  # fmt: skip
            forests.append(_forest(title, about, pairs))
    return forests


def _forest(title: str, about: str, pairs: Sequence[tuple[Study, Result]]) -> Forest:
    ends = [0.0]
    for study, row in pairs:
        ends += [row.difference or 0, row.difference_low or 0, row.difference_high or 0]
        if row.control_difference is not None:
            ends += [row.judged_low or 0, row.judged_high or 0]
        if study.config.margin is not None:
            ends += [-study.config.margin, study.config.margin]
    room = 0.03 * (max(ends) - min(ends) or 0.01)
    low, high = min(ends) - room, max(ends) + room

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def between(a: float | None, b: float | None) -> Span:
        left, right = place(a or 0), place(b or 0)
        return Span(left, round(right - left, 2))

    margins = sorted({study.config.margin for study, _ in pairs if study.config.margin is not None})
    return Forest(
        title=title,
        about=about,
        rows=[_row(study, row, place, between) for study, row in pairs],
        ticks=[(place(tick / 100), _tick_words(tick)) for tick in _ticks(100 * low, 100 * high)],
        zero=place(0),
        margins=[between(-margin, margin) for margin in margins],
        controlled=any(row.control_difference is not None for _, row in pairs),
        together=any(row.p_study_wide is not None for _, row in pairs),
    )


def _row(
    study: Study,
    row: Result,
    place: Callable[[float], float],
    between: Callable[[float | None, float | None], Span],
) -> ForestRow:
    has_judged = row.control_difference is not None and row.judged_low is not None
    return ForestRow(
        study=study_title(study),
        generator=row.generator or "–",
        setting=setting_title(row),
        is_learned=study.encoder.is_learned,
        row=row,
        badge=badge(row),
        verdict=verdict_words(row),
        place=place(row.difference or 0),
        shown=between(row.difference_low, row.difference_high),
        judged=between(row.judged_low, row.judged_high) if has_judged else None,
        about=comparison_words(study, row),
    )


def _tick_words(tick: float) -> str:
    """Return the words of a tick: ``+5``, ``0``, ``−2.5``."""
    if tick == 0:
        return "0"
    return ("+" if tick > 0 else "−") + f"{abs(tick):g}"


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two ends, no more than `MOST_TICKS`, with 0 among them."""
    least = (high - low) / MOST_TICKS
    power = 10 ** math.floor(math.log10(least))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= least)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(k * step, 10) for k in range(first, last + 1)]
