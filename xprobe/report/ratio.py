"""Which ratio is enough: the smallest that is not shown to be worse than the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xprobe.report.control import hull
from xprobe.report.gap import BEST, Gap, gaps_to_best
from xprobe.report.panel import Panel, mixes_of, real_words
from xprobe.report.words import points, ratio_title, span
from xprobe.results.study import Study


@dataclass(frozen=True)
class RatioRow:
    """Which ratio is enough for a generator with one encoder.

    Attributes:
        generator, encoder: what was mixed in, and the label of the encoder.
        ratio, best: titles of the smallest ratio that is not shown to be worse than the best, and
            of the best, which has the highest accuracy.
        gap: how far the first is from the second.
        sentence: the same in words.
    """

    generator: str
    encoder: str
    ratio: str
    best: str
    gap: Gap
    sentence: str


def ratio_rows(panel: Panel) -> list[RatioRow]:
    """Return which ratio is enough with each encoder that has compared its ratios."""
    gaps = ((study, _gaps(study, panel.generator)) for study in panel.studies)
    return [_row(study, panel.generator, of_study) for study, of_study in gaps if of_study]


def ratio_sentence(panel: Panel) -> str:
    """Say which ratio is enough with every encoder; nothing where ratios were not compared."""
    rows = ratio_rows(panel)
    if len(rows) < 2:
        return rows[0].sentence if rows else ""
    beginning = f"Ratio of generator {panel.generator} with {panel.real}: "
    gaps = [_gaps(study, panel.generator) for study in panel.studies]
    gaps = [of_study for of_study in gaps if of_study]
    enough = [
        title
        for title in gaps[0]
        if all(title in of_study and not of_study[title].is_worse for of_study in gaps)
    ]
    if not enough:
        titles = ", ".join(f"{row.ratio} with {row.encoder}" for row in rows)
        return f"{beginning}none is enough for every encoder; the smallest are {titles}."
    at_ratio = [of_study[enough[0]] for of_study in gaps]
    low, high = hull([(gap.low, gap.high) for gap in at_ratio])
    differences = [gap.difference for gap in at_ratio]
    ends = dict.fromkeys((points(min(differences)), points(max(differences))))
    return (
        f"{beginning}{enough[0]} is the smallest that is not shown to be worse than the best with "
        f"any of the {len(gaps)} encoders ({' … '.join(ends)} points to the best, all intervals in "
        f"{span(low, high)})."
    )


def _row(study: Study, generator: str, gaps: Mapping[str, Gap]) -> RatioRow:
    ratio = next(title for title, gap in gaps.items() if not gap.is_worse)
    best = next(title for title, gap in gaps.items() if gap is BEST)
    words = f"not shown to be worse than {best}, the best ({gaps[ratio].words})"
    if ratio == best:
        is_smallest = ratio == next(iter(gaps))
        words = "the best" if is_smallest else "the best; the smaller ones are shown to be worse"
    encoder = study.encoder.title
    beginning = f"Ratio of generator {generator} with {real_words([study])} ({encoder})"
    verb = "is the smallest and" if ratio == best and ratio == next(iter(gaps)) else "is"
    sentence = f"{beginning}: {ratio} {verb} {words}."
    return RatioRow(generator, encoder, ratio, best, gaps[ratio], sentence)


def _gaps(study: Study, generator: str) -> dict[str, Gap]:
    """Return how far each ratio is from the best, the smallest first; nothing if not compared."""
    rows = [r for r in study.comparisons if r.kind == "ratios" and r.generator == generator]
    if not rows:
        return {}
    mixes = mixes_of(study, generator)
    return gaps_to_best({ratio_title(r.ratio): r.value for r in mixes if r.ratio}, rows)
