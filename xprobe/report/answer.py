"""What studies answer, in words: a headline, and a sentence for each comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xprobe.images.augment import AUGMENTATIONS
from xprobe.report.headline import headline
from xprobe.report.left_out import LeftOut
from xprobe.report.study_section import random_words, worth_view
from xprobe.report.words import (
    ALTERNATIVES,
    badge,
    control_words,
    families_note,
    images_words,
    in_order,
    left_out_note,
    p_words,
    percent,
    points,
    setting_title,
    span,
    study_title,
    verdict_words,
)
from xprobe.results.families import Family
from xprobe.results.rows import Result
from xprobe.results.study import Study


@dataclass(frozen=True)
class Line:
    """One comparison with real-only, in words.

    Attributes:
        who: titles of the study and the generator that were compared.
        floor: whether its encoder has no learned weights, by design.
        random: a warning where the encoder's weights were never trained, or nothing.
        setting, images: what was trained on, by its title and in numbers of images.
        difference, interval: in percentage points.
        verdict: the verdict in words; `badge` is its style.
        control: the difference to its control, and by what it is judged, or nothing.
        p: that of its family, and that of all studies together.
        could: the smallest difference that could have been detected, in words.
    """

    who: str
    floor: bool
    random: str
    setting: str
    images: str
    difference: str
    interval: str
    verdict: str
    badge: str
    control: str
    p: str
    could: str

    @property
    def sentence(self) -> str:
        """The whole comparison as one sentence."""
        return (
            f"{self.who} · {self.setting} ({self.images}) — {self.difference} {self.interval}, "
            f"{self.verdict}; {'; '.join(self.details)}."
        )

    @property
    def details(self) -> list[str]:
        """What is said after the verdict."""
        return [words for words in (self.control, self.p, self.could) if words]


@dataclass(frozen=True)
class LeftOutNote:
    """The studies that are not shown: how many there are, and each in words."""

    note: str
    studies: tuple[str, ...]

    def sentence(self, most: int = 6) -> str:
        """The note with the first ones."""
        n = len(self.studies)
        more = f" and {n - most} more ('xprobe studies' lists them)" if n > most else ""
        return f"{self.note}: {', '.join(self.studies[:most])}{more}."


@dataclass(frozen=True)
class Answer:
    """What the studies answer, in words.

    Attributes:
        headline: the answer.
        notes: what a reader should know before the comparisons.
        left_out: the studies that are not shown, in words.
        lines: the comparisons of every mix.
        others: those of synthetic images in place of real ones.
        alternatives: those of augmented real images.
        valued: what synthetic images are worth, in sentences.
    """

    headline: str
    notes: tuple[str, ...]
    left_out: LeftOutNote | None
    lines: tuple[Line, ...]
    others: tuple[Line, ...]
    alternatives: tuple[Line, ...]
    valued: tuple[str, ...]

    @property
    def grouped(self) -> list[tuple[str, list[Line]]]:
        """The lines that tell of mixes, gathered by study and generator."""
        groups: dict[str, list[Line]] = {}
        for line in self.lines:
            groups.setdefault(line.who, []).append(line)
        return list(groups.items())

    @property
    def sentences(self) -> list[str]:
        """Every sentence of the answer, in the order of reading."""
        lines = (*self.lines, *self.others, *self.alternatives)
        notes = [*self.notes, *([self.left_out.sentence()] if self.left_out else [])]
        return [self.headline, *notes, *(line.sentence for line in lines), *self.valued]


def answer(
    studies: Sequence[Study], families: Sequence[Family], others: Sequence[LeftOut] = ()
) -> Answer:
    """Say what was found: a headline, then a sentence for each comparison.

    Args:
        studies: the studies that are shown.
        families: the families of their comparisons.
        others: the studies that are not shown, of which some are judged with those that are.
    """
    rows = ((s, r) for s in studies for r in sorted(s.results, key=in_order))
    judged = [(s, r) for s, r in rows if r.verdict is not None]
    every = [*studies, *(other.study for other in others)]
    compared = sum(row.p_study_wide is not None for study in every for row in study.results)
    counting = sum(other.counts for other in others)
    return Answer(
        headline=headline(studies, compared),
        notes=(families_note(families),) if len(families) > 1 else (),
        left_out=LeftOutNote(
            left_out_note(len(others), counting), tuple(other.words for other in others)
        )
        if others
        else None,
        lines=tuple(_line(s, r) for s, r in judged if r.setting == "mix" and not r.augment),
        others=tuple(_line(s, r) for s, r in judged if r.setting == "synthetic-only"),
        alternatives=tuple(
            _line(s, r) for s, r in judged if r.augment or r.setting in AUGMENTATIONS
        ),
        valued=tuple(
            f"{row.study} · generator {row.generator} · {row.setting} — {row.words} {row.interval}."
            for row in worth_view(studies, None)
        ),
    )


def _line(study: Study, row: Result) -> Line:
    names = [f"generator {row.generator}"] if row.generator else []
    if row.augment or not names:
        names.insert(0, ALTERNATIVES)
    return Line(
        who=" · ".join([study_title(study), *names]),
        floor=study.encoder.is_floor,
        random=random_words(study),
        setting=setting_title(row),
        images=images_words(row, study.real_only),
        difference=f"{points(row.difference or 0)} points",
        interval=span(row.difference_low or 0, row.difference_high or 0),
        verdict=verdict_words(row),
        badge=badge(row),
        control=control_words(row),
        p=p_words(row),
        could=f"a difference of {percent(row.detectable or 0)} points could have been detected",
    )
