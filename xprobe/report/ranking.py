"""Generators against each other: which are not shown to be worse than the best.

Accuracy puts them in order; what is claimed of it are the intervals of their pairs, which hold for
all pairs and ratios of a study together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from xprobe.base.errors import first_few
from xprobe.report.control import hull
from xprobe.report.gap import BEST, gaps_to_best
from xprobe.report.panel import Panel, mixes_of, real_words
from xprobe.report.study_section import Costs
from xprobe.report.words import points, ratio_title, span
from xprobe.results.rows import Result
from xprobe.results.study import Study


@dataclass(frozen=True)
class Ranked:
    """The place of a generator among all of a study at one ratio.

    Attributes:
        generator, encoder, ratio: what was mixed in, label of the encoder, title of the ratio.
        place: 1 for the highest accuracy.
        is_worse: whether it is shown to be worse than the best.
        badge: ``hurts`` if it is worse, ``no`` if that is not shown; empty for the best.
        difference: to real-only, with its interval.
        words: how it stands to the best.
        cost: what a point of accuracy costs (`cost_words`); empty without prices.
    """

    generator: str
    encoder: str
    ratio: str
    place: int
    is_worse: bool
    badge: str
    difference: str
    words: str
    cost: str


def ranking(panels: Sequence[Panel], costs: Costs | None = None) -> list[Ranked]:
    """Return the places of the generators of each study that has compared several, by ratio.

    Args:
        panels: who speaks of each generator.
        costs: what an image costs.
    """
    return [
        row
        for study in _studies(panels)
        for ratio in study.config.ratios
        for row in _ranked(study, ratio, costs)
    ]


def ranking_sentences(panels: Sequence[Panel], rows: Sequence[Ranked]) -> list[str]:
    """Say of each ratio which generators are not shown to be worse than the best.

    Args:
        panels: who speaks of each generator.
        rows: their places.
    """
    sentences = []
    for ratio in dict.fromkeys(row.ratio for row in rows):
        ranked = [row for row in rows if row.ratio == ratio]
        encoders = list(dict.fromkeys(row.encoder for row in ranked))
        studies = [s for s in _studies(panels) if s.encoder.title in encoders]
        names = list(dict.fromkeys(row.generator for row in ranked))
        worse = {name: _times(ranked, name, is_worse=True) for name in names}
        best = [name for name in names if not worse[name]]
        who = encoders[0] if len(encoders) == 1 else f"any of {len(encoders)} encoders"
        words = [f"not shown to be worse than the best with {who}: {first_few(best, 9) or 'none'}"]
        if shown := [
            _worse_words(name, worse[name], len(encoders)) for name in names if worse[name]
        ]:
            words.append(f"shown to be worse: {first_few(shown, 9)}")
        sentences.append(
            f"Generators of these synthetic images at {ratio} with {real_words(studies)}, "
            f"{'; '.join(words)}."
        )
    return sentences


def pooled_sentences(panels: Sequence[Panel]) -> list[str]:
    """Say what all generators together do, which have as many images as one of them alone."""
    studies = _studies(panels)
    rows = [(study, row) for study in studies for row in study.comparisons if row.kind == "pooled"]
    sentences = []
    for ratio in sorted({row.ratio for _, row in rows if row.ratio is not None}):
        compared = [(study, row) for study, row in rows if row.ratio == ratio]
        low, high = hull([(row.low, row.high) for _, row in compared])
        n = len(compared)
        who = compared[0][0].encoder.title if n == 1 else f"median of {n} encoders"
        verdicts = {row.verdict for _, row in compared}
        verdict = verdicts.pop() if len(verdicts) == 1 else "the encoders differ"
        sentences.append(
            f"All generators of these synthetic images together at {ratio_title(ratio)} with "
            f"{real_words([study for study, _ in compared])}, as many images as of one of them: "
            f"{points(median(row.difference for _, row in compared))} points {span(low, high)} to "
            f"real-only in a family of its own, {verdict} ({who})."
        )
    return sentences


def cost_words(rows: Sequence[Result], costs: Costs | None) -> str:
    """Return what a point of accuracy costs in synthetic images, with its interval.

    Args:
        rows: a mix that was judged, one of each encoder; the median stands, with the interval that
            holds all of theirs.
        costs: what an image costs; None: nothing is said.
    """
    if costs is None or not rows:
        return ""
    paid = median(row.n_train_synthetic for row in rows) * costs.synthetic
    difference = 100 * median(row.difference or 0 for row in rows)
    if difference <= 0:
        return f"{paid:,.2f} for no point of accuracy"
    low, high = hull([(row.difference_low or 0, row.difference_high or 0) for row in rows])
    most = f"{paid / (100 * low):,.2f}" if low > 0 else "no bound"
    return f"{paid / difference:,.2f} a point of accuracy [{paid / (100 * high):,.2f}, {most}]"


def _studies(panels: Sequence[Panel]) -> list[Study]:
    """Return the studies of some panels, each once."""
    return list({study.key: study for panel in panels for study in panel.studies}.values())


def _ranked(study: Study, ratio: float, costs: Costs | None) -> list[Ranked]:
    """Return the places at a ratio; none where generators were not compared."""
    pairs = [row for row in study.comparisons if row.kind == "generators" and row.ratio == ratio]
    mixes = {
        generator: row
        for generator in study.generators
        for row in mixes_of(study, generator)
        if row.ratio == ratio
    }
    if not pairs or not mixes:
        return []
    gaps = gaps_to_best({generator: row.value for generator, row in mixes.items()}, pairs)
    order = sorted(gaps, key=lambda generator: -mixes[generator].value)
    rows = []
    for place, generator in enumerate(order, start=1):
        row, gap = mixes[generator], gaps[generator]
        verb = "worse than" if gap.is_worse else "not shown to be worse than"
        rows.append(
            Ranked(
                generator=generator,
                encoder=study.encoder.title,
                ratio=ratio_title(ratio),
                place=place,
                is_worse=gap.is_worse,
                badge="" if gap is BEST else "hurts" if gap.is_worse else "no",
                difference=f"{points(row.difference or 0)} "
                f"{span(row.difference_low or 0, row.difference_high or 0)}",
                words="the best" if gap is BEST else f"{verb} {order[0]}: {gap.words}",
                cost=cost_words([row], costs),
            )
        )
    return rows


def _times(rows: Sequence[Ranked], generator: str, *, is_worse: bool) -> int:
    return sum(row.generator == generator and row.is_worse == is_worse for row in rows)


def _worse_words(generator: str, times: int, encoders: int) -> str:
    return generator if encoders == 1 else f"{generator} (with {times} of {encoders})"
