"""Which studies the answer speaks of: for each generator one of each encoder, all with one head.

Encoders that never learned anything answer for nobody: beside a learned encoder they are not heard,
and where there is no other they speak for themselves alone (`Outside`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xprobe.learners.kinds import kind_read
from xprobe.report.words import whole
from xprobe.results.rows import Result, family_kind
from xprobe.results.study import STUDY_VERSION, Study

HEAD = "logistic"
"""The head that the answer speaks of, wherever it was trained."""

ALIKE = 1.1
"""Classes whose numbers of images differ by less than this factor are said to have one number."""


class Outside(NamedTuple):
    """A reason why studies claim nothing (`xprobe.study.claims.is_of_set`).

    Attributes:
        one, several: the beginning of an answer that a study, or several, of the kind give.
        meaning: a sentence that says what does not follow from it.
    """

    one: str
    several: str
    meaning: str


OLDER = Outside(
    "By the rules of an older version", "By the rules of an older version",
    "Run again, the same sweep judges these synthetic images by those of today; it trains nothing "
    "but the pooled arm.",
)  # fmt: skip
FLOORS = Outside(
    "Of a floor encoder without learned weights", "Of floor encoders without learned weights",
    "This says nothing of what these synthetic images do for learned ones.",
)  # fmt: skip
RANDOM = Outside(
    "Of an encoder with random weights", "Of encoders with random weights",
    "This says nothing of what these synthetic images do for trained ones.",
)  # fmt: skip
FROM_RANDOM = Outside(
    "Of a network that began with random weights", "Of networks that began with random weights",
    "These synthetic images may do otherwise for pretrained ones.",
)  # fmt: skip
PARTS = Outside(
    "Of a part of the real images", "Of a part of the real images",
    "With all of them these synthetic images may do otherwise.",
)  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """The studies that speak of a generator.

    Attributes:
        generator: the generator.
        studies: one of each encoder, by name; all have the same head.
        is_inside: whether the study-wide p holds over their mixes, so that they may claim.
    """

    generator: str
    studies: tuple[Study, ...]
    is_inside: bool

    @property
    def n(self) -> int:
        """Number of encoders."""
        return len(self.studies)

    @property
    def mixes(self) -> list[list[Result]]:
        """The judged mixes of each study, by ratio."""
        return [mixes_of(study, self.generator) for study in self.studies]

    @property
    def ratios(self) -> list[float]:
        """The ratios that were judged, the smallest first."""
        return sorted({row.ratio for rows in self.mixes for row in rows if row.ratio is not None})

    def at_ratio(self, ratio: float) -> list[Result]:
        """Return the mixes of a ratio, one of each encoder that has it."""
        return [row for rows in self.mixes for row in rows if row.ratio == ratio]

    @property
    def outsides(self) -> list[Outside]:
        """Why its studies claim nothing, each reason once; empty if they may claim."""
        return [] if self.is_inside else list(dict.fromkeys(map(outside_of, self.studies)))

    @property
    def real(self) -> str:
        """How many real images of each class were trained on: ``16 real images a class``."""
        return real_words(self.studies)

    @property
    def how(self) -> list[str]:
        """What to know of the studies: the head unless it is the usual one, and pooled seeds."""
        head = self.studies[0].config.head
        words = [] if head == HEAD else [kind_read(head).title]
        seeds = sorted({len(study.seeds) for study in self.studies})
        if seeds[-1] > 1:
            words.append(f"{'–'.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds pooled")
        return words


def outside_of(study: Study) -> Outside:
    """Return why a study claims nothing."""
    if study.version < STUDY_VERSION:
        return OLDER
    if study.encoder.is_floor:
        return FLOORS
    if study.encoder.has_random_weights:
        return FROM_RANDOM if kind_read(study.config.head).takes_steps else RANDOM
    return PARTS


def mixes_of(study: Study, generator: str) -> list[Result]:
    """Return the judged mixes of a study with a generator, by ratio."""
    rows = [
        row
        for row in study.results
        if row.generator == generator
        and row.verdict is not None
        and family_kind(row.setting, row.augment) == "mix"
    ]
    return sorted(rows, key=lambda row: row.ratio or 0)


def claims(study: Study, generator: str) -> bool:
    """Return whether mixes of a study with a generator have a study-wide p."""
    return any(row.p_study_wide is not None for row in mixes_of(study, generator))


def panels(studies: Sequence[Study]) -> list[Panel]:
    """Return who speaks of each generator; a generator without judged mixes has no panel."""
    names = dict.fromkeys(name for study in studies for name in study.generators)
    chosen = (_panel(name, [s for s in studies if mixes_of(s, name)]) for name in names)
    return [panel for panel in chosen if panel.studies]


def _panel(generator: str, studies: Sequence[Study]) -> Panel:
    """Choose those that may claim, else learned encoders, else all; then a head, then the newest.

    Of a learning curve whose studies claim nothing the largest size counts: sizes are no
    comparisons of their own.
    """
    inside = [study for study in studies if claims(study, generator)]
    learned = [study for study in studies if study.encoder.is_learned]
    heard = inside or learned or studies
    heads = sorted({study.config.head for study in heard})
    head = HEAD if HEAD in heads else next(iter(heads), "")
    by_encoder: dict[str, Study] = {}
    for study in sorted(heard, key=lambda s: (s.real_only.n_train_real, s.created)):
        if study.config.head == head:
            by_encoder[study.encoder.key] = study
    return Panel(
        generator,
        tuple(sorted(by_encoder.values(), key=lambda study: study.encoder.label)),
        bool(inside),
    )


# --- numbers of a panel in words -------------------------------------------------------------


def real_words(studies: Sequence[Study]) -> str:
    """Return how many real images of each class were trained on, on average over folds."""
    numbers = sorted({_of_class(study) for study in studies})
    about = "" if all(n.is_integer() for n in numbers) else "about "
    ends = "–".join(dict.fromkeys(whole(n) for n in (numbers[0], numbers[-1])))
    average = " on average" if any(map(_is_uneven, studies)) else ""
    return f"{about}{ends} real image{'s' if ends != '1' else ''} a class{average}"


def _of_class(study: Study) -> float:
    return round(study.real_only.n_train_real / len(study.manifest.classes), 1)


def _is_uneven(study: Study) -> bool:
    """Return whether some classes have clearly more real images than others.

    A study that takes equally many of each class (``--per-class``) never has.
    """
    if study.config.per_class is not None or study.config.train_per_class is not None:
        return False
    rows = study.manifest.counts
    numbers = [row.n for row in rows if row.source == "real" and row.split == "train"]
    return bool(numbers) and max(numbers) >= ALIKE * min(numbers)
