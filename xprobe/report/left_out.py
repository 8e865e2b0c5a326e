"""Which studies a report shows of all that there are, and why it does not show the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xprobe.base.errors import first_few
from xprobe.report.differences import ID_LENGTH, differences
from xprobe.report.words import study_title
from xprobe.results.study import Study, holder_of, names_of_kind, without_held

NOT_ASKED = "not asked for"

NO_CURVE = (
    "Studies of another --per-class are tries of their own, each with its own draw of images, and "
    "not the sizes of a learning curve: 'xprobe sweep --real-curve' makes one, tested on the same "
    "images at all sizes."
)


@dataclass(frozen=True)
class LeftOut:
    """A study that is not shown.

    Attributes:
        study: the study.
        why: why it is not shown, in words.
        counts: whether it counts in the study-wide p of those that are.
    """

    study: Study
    why: str
    counts: bool

    @property
    def words(self) -> str:
        """The study by its title, and why it is not shown."""
        return f"{study_title(self.study)} ({self.why}; id {self.study.key[:ID_LENGTH]})"


def left_out(shown: Sequence[Study], every: Sequence[Study]) -> list[LeftOut]:
    """Return the studies that are not shown, in the order of `every`.

    Args:
        shown: the studies that are shown.
        every: all studies, also those whose repeats another one has pooled.
    """
    keys, kept = {study.key for study in shown}, without_held(every)
    return [
        LeftOut(study, _why(study, shown, kept), _counts(study))
        for study in every
        if study.key not in keys
    ]


def curve_note(every: Sequence[Study]) -> str:
    """Say why studies of several numbers of real images are no curve, where there are such."""
    sizes: dict[tuple[str, str], set[int | None]] = {}
    for study in every:
        if study.config.train_per_class is None:
            kind = study.encoder.key, study.config.head
            sizes.setdefault(kind, set()).add(study.config.per_class)
    return NO_CURVE if any(len(of_kind) > 1 for of_kind in sizes.values()) else ""


def former_note(study: Study, shown: Sequence[Study]) -> str:
    """Say that a study is shown for generators that the newest one of its kind lacks, if it is."""
    names = set(names_of_kind(study))
    newer = [
        other
        for other in shown
        if names.intersection(names_of_kind(other)) and other.created > study.created
    ]
    lacked = [g for g in study.generators if all(g not in other.generators for other in newer)]
    if not newer:
        return ""
    many = "s" if len(lacked) > 1 else ""
    return (
        f"Generator{many} {first_few(lacked)} stand{'' if many else 's'} in an older study alone: "
        f"{study_title(study)} ({'; '.join(differences(study, newer[0]))}; id "
        f"{study.key[:ID_LENGTH]}). If it was renamed, 'xprobe studies remove "
        f"{study.key[:ID_LENGTH]}' takes the former name out."
    )


def _counts(study: Study) -> bool:
    return any(row.p_study_wide is not None for row in study.results)


def _why(study: Study, shown: Sequence[Study], kept: Sequence[Study]) -> str:
    """Say why a study is not shown; `kept` are the studies whose repeats no other one holds."""
    holder = holder_of(study, kept)
    if holder is not None and holder.key != study.key:
        return f"its repeats are part of the study of seeds {', '.join(map(str, holder.seeds))}"
    names = set(names_of_kind(study))
    newer = next((other for other in shown if names.intersection(names_of_kind(other))), None)
    return NOT_ASKED if newer is None else "; ".join(["older", *differences(study, newer)])
