"""What studies answer, in words: a headline, and a sentence for each comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xprobe.images.augment import AUGMENTATIONS
from xprobe.report.finding import Finding, find
from xprobe.report.gains import class_sentences, size_sentence
from xprobe.report.headline import MOST_GENERATORS, headline, opening
from xprobe.report.headline import sentences as sentences_of
from xprobe.report.left_out import LeftOut, curve_note, former_note, left_out
from xprobe.report.panel import panels
from xprobe.report.ranking import (
    Ranked,
    cost_words,
    pooled_sentences,
    ranking,
    ranking_sentences,
)
from xprobe.report.ratio import RatioRow, ratio_rows, ratio_sentence
from xprobe.report.study_section import Costs, random_words, worth_view
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
    ratio_title,
    setting_title,
    span,
    study_title,
    verdict_words,
)
from xprobe.results.families import families
from xprobe.results.rows import OfSetting, Result
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
    """The studies that are not shown, in words."""

    others: tuple[LeftOut, ...]

    @property
    def note(self) -> str:
        """How many there are, and how many of them are judged with those that are shown."""
        return left_out_note(len(self.others), sum(other.counts for other in self.others))

    @property
    def studies(self) -> tuple[str, ...]:
        """Each study, and why it is not shown."""
        return tuple(other.words for other in self.others)

    def sentence(self, most: int = 6) -> str:
        """The note with the first ones."""
        n = len(self.studies)
        more = f" and {n - most} more ('xprobe studies' lists them)" if n > most else ""
        return f"{self.note}: {', '.join(self.studies[:most])}{more}."


@dataclass(frozen=True)
class GeneratorAnswer:
    """What the studies say of one generator.

    Attributes:
        generator: the generator.
        badge: the style of the verdict over all encoders (`words.BADGES`); empty of studies that
            claim nothing.
        word: this verdict in a word or two.
        ratio: title of the ratio that the sentence names; empty where none is named.
        sentence: the verdict with its numbers.
        cost: what a point of accuracy costs at this ratio; empty without prices.
    """

    generator: str
    badge: str
    word: str
    ratio: str
    sentence: str
    cost: str


@dataclass(frozen=True)
class Answer:
    """What the studies answer, in words.

    Attributes:
        headline: the answer, with a sentence for each generator if these are few.
        opening: the headline as it stands above what each generator does.
        generators: what each generator does.
        ranking: the places of generators that were compared with each other.
        ranked: the same in sentences, and what all generators do together.
        ratios: which ratio is enough, with each generator and encoder.
        enough: the same in a sentence for each generator.
        classes: which classes gain or lose, a sentence for each generator that has some.
        notes: what a reader should know before the comparisons.
        left_out: the studies that are not shown; None where there are none.
        lines: the comparisons of every mix.
        others: those of synthetic images in place of real ones.
        alternatives: those of augmented real images.
        valued: what synthetic images are worth, in sentences.
    """

    headline: str
    opening: str
    generators: tuple[GeneratorAnswer, ...]
    ranking: tuple[Ranked, ...]
    ranked: tuple[str, ...]
    ratios: tuple[RatioRow, ...]
    enough: tuple[str, ...]
    classes: tuple[str, ...]
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
    def brief(self) -> list[str]:
        """The short answer: its sentences in the order of reading, without single comparisons."""
        return [
            self.headline,
            *(g.sentence for g in self.generators if self.are_beside),
            *(
                f"Generator {one.generator} costs {one.cost}."
                for one in self.generators
                if one.cost
            ),
            *self.ranked,
            *self.enough,
            *self.classes,
            *self.notes,
            *([self.left_out.sentence()] if self.left_out else []),
        ]

    @property
    def listed(self) -> tuple[GeneratorAnswer, ...]:
        """The generators whose sentences are not in the opening."""
        is_whole = self.opening == self.headline
        return () if is_whole and not self.are_beside else self.generators

    @property
    def are_beside(self) -> bool:
        """Whether there are too many generators for the headline to hold a sentence for each."""
        return len(self.generators) > MOST_GENERATORS

    @property
    def are_priced(self) -> bool:
        """Whether it is known what an image costs."""
        return any(g.cost for g in self.generators) or any(row.cost for row in self.ranking)

    @property
    def sentences(self) -> list[str]:
        """Every sentence of the answer, in the order of reading."""
        lines = (*self.lines, *self.others, *self.alternatives)
        return [*self.brief, *(line.sentence for line in lines), *self.valued]


def answer(studies: Sequence[Study], every: Sequence[Study], costs: Costs | None = None) -> Answer:
    """Say what was found: a headline, then a sentence for each comparison.

    Args:
        studies: the studies that are shown (`shown.Shown`).
        every: all studies, of which some are judged with those that are shown.
        costs: what an image costs, to say what a point of accuracy does.
    """
    speaking, others, compared = panels(studies), left_out(studies, every), _compared(every)
    unshown = [other.study for other in others if other.counts]
    findings = [find(panel, compared, unshown) for panel in speaking]
    ranks = ranking(speaking, costs)
    rows = ((s, r) for s in studies for r in sorted(s.results, key=in_order))
    judged = [(s, r) for s, r in rows if r.verdict is not None]
    is_leaky = any(study.config.ignore_lineage for study in studies)
    return Answer(
        headline=headline(findings, is_leaky),
        opening=opening(findings, is_leaky),
        generators=tuple(
            _generator(finding, sentence, costs)
            for finding, sentence in zip(findings, sentences_of(findings), strict=True)
        ),
        ranking=tuple(ranks),
        ranked=(*ranking_sentences(speaking, ranks), *pooled_sentences(speaking)),
        ratios=tuple(row for panel in speaking for row in ratio_rows(panel)),
        enough=tuple(filter(None, map(ratio_sentence, speaking))),
        classes=tuple(class_sentences(findings)),
        notes=tuple(_notes(studies, every, findings, compared)),
        left_out=LeftOutNote(tuple(others)) if others else None,
        lines=tuple(_line(s, r) for s, r in judged if r.setting == "mix" and not r.augment),
        others=tuple(_line(s, r) for s, r in judged if r.setting == "synthetic-only"),
        alternatives=tuple(
            _line(s, r) for s, r in judged if r.augment or r.setting in AUGMENTATIONS
        ),
        valued=tuple(
            f"{' · '.join([row.study, *_names(row), row.title])} — {row.words} {row.interval}."
            for row in worth_view(studies, None)
        ),
    )


def _compared(studies: Sequence[Study]) -> int:
    """Return how many mixes are judged together."""
    return sum(row.p_study_wide is not None for study in studies for row in study.results)


def _generator(finding: Finding, sentence: str, costs: Costs | None) -> GeneratorAnswer:
    panel, ratio = finding.panel, finding.ratio
    return GeneratorAnswer(
        generator=panel.generator,
        badge=finding.badge,
        word=finding.word,
        ratio="" if ratio is None else ratio_title(ratio),
        sentence=sentence,
        cost="" if ratio is None else cost_words(panel.at_ratio(ratio), costs),
    )


def _notes(
    studies: Sequence[Study], every: Sequence[Study], findings: Sequence[Finding], compared: int
) -> list[str]:
    by_family = families(row for study in studies for row in study.results)
    notes = [size_sentence(finding, studies) for finding in findings]
    notes += [*(former_note(study, studies) for study in studies), curve_note(every)]
    if compared > 1:
        notes.append(f"What is claimed holds over all {compared} mixes of these results together.")
    notes += [families_note(by_family)] if len(by_family) > 1 else []
    return [note for note in notes if note]


def _names(row: OfSetting) -> list[str]:
    """Return what a row is of, beside its study: a generator, alternatives, or both."""
    names = [f"generator {row.generator}"] if row.generator else []
    return names if names and not row.augment else [ALTERNATIVES, *names]


def _line(study: Study, row: Result) -> Line:
    return Line(
        who=" · ".join([study_title(study), *_names(row)]),
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
