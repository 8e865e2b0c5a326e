"""What studies answer, in words: a headline, and a sentence for each comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xprobe.images.augment import AUGMENTATIONS
from xprobe.report.study_section import (
    is_floor,
    is_leaky,
    random_words,
    worth_view,
)
from xprobe.report.words import (
    ALTERNATIVES,
    badge,
    count,
    families_note,
    floors_note,
    headline,
    in_order,
    percent,
    points,
    setting_title,
    span,
    study_title,
)
from xprobe.results.families import Family
from xprobe.results.rows import Result
from xprobe.results.study import Study

# The verdicts of settings that add nothing to the real images, but stand in their place.
_INSTEAD = {"helps": "better than real-only", "hurts": "worse than real-only"}


@dataclass(frozen=True)
class Line:
    """One comparison with real-only, in words.

    Attributes:
        who: titles of the study and the generator that were compared.
        floor: whether its encoder has no learned weights, by design.
        random: a warning where the encoder's weights were never trained, or nothing.
        setting: what was trained on.
        difference, interval: in percentage points.
        verdict: the verdict in words; `badge` is its style.
        could: the smallest difference that could have been detected, in words.
    """

    who: str
    floor: bool
    random: str
    setting: str
    difference: str
    interval: str
    verdict: str
    badge: str
    could: str

    @property
    def sentence(self) -> str:
        """The whole comparison as one sentence."""
        return (
            f"{self.who} · {self.setting} — {self.difference} {self.interval}, {self.verdict}; "
            f"{self.could}."
        )


@dataclass(frozen=True)
class Answer:
    """What the studies answer, in words.

    Attributes:
        headline: the answer.
        notes: what a reader should know before the comparisons.
        lines: the comparisons of every mix.
        others: those of synthetic images in place of real ones.
        alternatives: those of augmented real images.
        valued: what synthetic images are worth, in sentences.
    """

    headline: str
    notes: tuple[str, ...]
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
        return [self.headline, *self.notes, *(line.sentence for line in lines), *self.valued]


def answer(studies: Sequence[Study], families: Sequence[Family], compared: int) -> Answer:
    """Say what was found: a headline, then a sentence for each comparison.

    Args:
        studies: the studies that are shown.
        families: the families of their comparisons.
        compared: how many mixes of all studies the study-wide p holds for.
    """
    rows = ((s, r) for s in studies for r in sorted(s.results, key=in_order))
    judged = [(s, r) for s, r in rows if r.verdict is not None]
    mixes = [(s, r) for s, r in judged if r.setting == "mix" and not r.augment]
    results = [r for _, r in mixes]
    return Answer(
        headline=headline(results, compared, any(map(is_leaky, studies))),
        notes=tuple(_reading_notes(studies, families)),
        lines=tuple(_line(s, r) for s, r in mixes),
        others=tuple(_line(s, r) for s, r in judged if r.setting == "synthetic-only"),
        alternatives=tuple(
            _line(s, r) for s, r in judged if r.augment or r.setting in AUGMENTATIONS
        ),
        valued=tuple(
            f"{row.study} · generator {row.generator} · {row.setting} — {row.words} {row.interval}."
            for row in worth_view(studies, None)
        ),
    )


def _reading_notes(studies: Sequence[Study], families: Sequence[Family]) -> list[str]:
    """Return what a reader should know before the comparisons."""
    notes = [floors_note()] if all(map(is_floor, studies)) else []
    return [*notes, families_note(families)] if len(families) > 1 else notes


def _line(study: Study, row: Result) -> Line:
    setting, verdict = setting_title(row), row.verdict or ""
    if row.setting == "synthetic-only":
        setting += (
            f" ({count(row.n_train_synthetic)} synthetic in place of "
            f"{count(study.real_only.n_train_real)} real images)"
        )
    if row.setting != "mix":
        verdict = _INSTEAD.get(verdict, verdict)
    names = [f"generator {row.generator}"] if row.generator else []
    if row.augment or not names:
        names.insert(0, ALTERNATIVES)
    could = f"a difference of {percent(row.detectable or 0)} points could have been detected"
    if row.control_difference is not None:
        could = f"{points(row.control_difference)} points to its control; {could}"
    return Line(
        who=" · ".join([study_title(study), *names]),
        floor=is_floor(study),
        random=random_words(study),
        setting=setting,
        difference=f"{points(row.difference or 0)} points",
        interval=span(row.difference_low or 0, row.difference_high or 0),
        verdict=verdict,
        badge=badge(row),
        could=could,
    )
