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
    """Say at which ratios each generator is not shown to be worse than the best, in one sentence.

    Args:
        panels: who speaks of each generator.
        rows: their places; none: nothing is said.
    """
    if not rows:
        return []
    ratios, encoders, names = (
        list(dict.fromkeys(getattr(row, field) for row in rows))
        for field in ("ratio", "encoder", "generator")
    )
    best: dict[str | None, list[str]] = {}
    worse: dict[str | None, list[str]] = {}
    for name in names:
        times: dict[str, int] = {}  # ratio → with how many encoders the generator is worse there
        for row in rows:
            if row.generator == name:
                times[row.ratio] = times.get(row.ratio, 0) + row.is_worse
        best.setdefault(_at([r for r, n in times.items() if not n], ratios), []).append(name)
        words = _at([r for r, n in times.items() if n], ratios)
        if words is not None and len(encoders) > 1:
            counts = sorted(n for n in times.values() if n)
            ends = "–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
            words += f" (with {ends} of {len(encoders)})"
        worse.setdefault(words, []).append(name)
    studies = [study for study in _studies(panels) if study.encoder.title in encoders]
    who = encoders[0] if len(encoders) == 1 else f"any of {len(encoders)} encoders"
    shown, only = _listed(worse), f" at {ratios[0]}" if len(ratios) == 1 else ""
    return [
        f"Generators of these synthetic images{only} with {real_words(studies)}, not shown to be "
        f"worse than the best with {who}: {_listed(best) or 'none'}"
        f"{f'; shown to be worse: {shown}' if shown else ''}."
    ]


def pooled_sentences(panels: Sequence[Panel]) -> list[str]:
    """Say in one sentence what all generators together do, with the images of one of them alone."""
    pairs = [(s, row) for s in _studies(panels) for row in s.comparisons if row.kind == "pooled"]
    if not pairs:
        return []
    studies = list({study.key: study for study, _ in pairs}.values())
    n = len(studies)
    who = studies[0].encoder.title if n == 1 else f"median of {n} encoders"
    words = []
    for ratio in sorted({row.ratio for _, row in pairs if row.ratio is not None}):
        rows = [row for _, row in pairs if row.ratio == ratio]
        low, high = hull([(row.low, row.high) for row in rows])
        verdicts = {row.verdict for row in rows}
        verdict = verdicts.pop() if len(verdicts) == 1 else "the encoders differ"
        words.append(
            f"{points(median(row.difference for row in rows))} points {span(low, high)} at "
            f"{ratio_title(ratio)}, {verdict}"
        )
    return [
        f"All generators of these synthetic images together with {real_words(studies)}, as many "
        f"images as of one of them, against real-only in a family of its own ({who}): "
        f"{'; '.join(words)}."
    ]


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


def _at(ratios: Sequence[str], every: Sequence[str]) -> str | None:
    """Return in words at which of all ratios something holds, None if at none of them.

    Where the study has one ratio the words are empty, since the sentence names that ratio itself.
    """
    if not ratios:
        return None
    if len(every) == 1:
        return ""
    return " at every ratio" if len(ratios) == len(every) else f" at {', '.join(ratios)}"


def _listed(names: dict[str | None, list[str]]) -> str:
    """Return names by where something holds of them: ``A, B at every ratio, C at 1:1``."""
    return ", ".join(f"{first_few(n, 9)}{where}" for where, n in names.items() if where is not None)
