"""What the studies of a panel say of its generator: a verdict over all its encoders, in a clause.

An encoder *passes* at a ratio if its verdict there holds study-wide, or in its family alone where
nothing is claimed (`panel.Outside`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from xprobe.report.control import control_clauses
from xprobe.report.panel import Panel, claims
from xprobe.report.words import (
    BADGES,
    control_words,
    p_value,
    percent,
    points,
    ratio_title,
    span,
)
from xprobe.results.rows import Result
from xprobe.results.study import Study
from xprobe.verdict.family import ALPHA, HELPS, HURTS, NOT_DETECTED, NOT_SEPARABLE

MIXED, NOT_CERTAIN, EQUIVALENT = "mixed", "not certain", "equivalent"

_BADGES = {**BADGES, MIXED: "apart", NOT_CERTAIN: "no"}

_VERBS = {HELPS: ("gains", "gain"), HURTS: ("loses", "lose")}


@dataclass(frozen=True)
class Finding:
    """What the studies say of a generator.

    Attributes:
        panel: these studies.
        kind: `HELPS` or `HURTS` if every encoder passes at some ratio, and none in the other
            direction; `MIXED` if some pass; else `NOT_CERTAIN` (in its family alone),
            `NOT_SEPARABLE`, `EQUIVALENT` or `NOT_DETECTED`.
        ratio: the ratio that is told of: the smallest at which most encoders pass; None where none
            does.
        difference: median of the encoders' differences at this ratio.
        clause: the verdict with its numbers; it begins with a small letter.
    """

    panel: Panel
    kind: str
    ratio: float | None
    difference: float | None
    clause: str

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        return word_of(self.kind)

    @property
    def badge(self) -> str:
        """The style of the verdict (`words.BADGES`); none where nothing is claimed."""
        return _BADGES[self.kind] if self.panel.is_inside else ""


def find(panel: Panel, compared: int, unshown: Sequence[Study] = ()) -> Finding:
    """Say what a generator does.

    Args:
        panel: the studies that speak of it.
        compared: how many mixes of all studies of the folder are judged together.
        unshown: the studies that are not shown, but judged with the others.
    """
    kind = _kind(panel)
    if kind in (NOT_DETECTED, EQUIVALENT):
        ratio, difference, words = None, None, _nothing(panel, kind)
    else:
        ratio = _ratio(panel, kind)
        difference = median(row.difference or 0 for row in panel.at_ratio(ratio))
        words = _something(panel, kind, ratio)
    if kind == NOT_CERTAIN:
        words += f"; {_where(compared)} nothing holds (least study-wide p {_least(panel)})"
    clauses = [words, *control_clauses(panel, ratio), *_unshown(panel, unshown)]
    return Finding(panel, kind, ratio, difference, "; ".join(clauses))


def word_of(kind: str) -> str:
    """Return how people read the kind of a finding."""
    return {NOT_DETECTED: "no difference detected"}.get(kind, kind)


# --- the verdict over all encoders -----------------------------------------------------------


def _passes(row: Result, direction: str, study_wide: bool) -> bool:
    holds = not study_wide or (row.p_study_wide is not None and row.p_study_wide <= ALPHA)
    return row.kind == direction and holds


def _passing(panel: Panel, direction: str, study_wide: bool) -> int:
    """Return how many encoders pass at some ratio."""
    return sum(any(_passes(row, direction, study_wide) for row in rows) for rows in panel.mixes)


def _kind(panel: Panel) -> str:
    helps, hurts = (_passing(panel, d, panel.is_inside) for d in (HELPS, HURTS))
    if panel.n in (helps, hurts) and 0 in (helps, hurts):
        return HELPS if helps else HURTS
    if helps or hurts:
        return MIXED
    if any(_passing(panel, direction, False) for direction in (HELPS, HURTS)):
        return NOT_CERTAIN
    if _passing(panel, NOT_SEPARABLE, False) == panel.n:
        return NOT_SEPARABLE
    # That all comparisons are equivalent needs no correction: it is wrong if one of them is.
    is_equal = all(row.kind == EQUIVALENT for rows in panel.mixes for row in rows)
    return EQUIVALENT if is_equal else NOT_DETECTED


def _direction(panel: Panel, kind: str) -> str:
    """Return what the encoders pass in of which the numbers are told: most of them, or gains."""
    if kind not in (MIXED, NOT_CERTAIN):
        return kind
    study_wide = _is_study_wide(panel, kind)
    helps, hurts = (_passing(panel, d, study_wide) for d in (HELPS, HURTS))
    return HELPS if helps >= hurts else HURTS


def _is_study_wide(panel: Panel, kind: str) -> bool:
    """Return whether a verdict over all encoders counts what holds study-wide."""
    return panel.is_inside and kind in (HELPS, HURTS, MIXED)


def _ratio(panel: Panel, kind: str) -> float:
    """Return the smallest ratio at which most encoders pass, or else as many as at any."""
    direction = _direction(panel, kind)
    passing = {ratio: _passing_at(panel, kind, ratio, direction) for ratio in panel.ratios}
    most = [ratio for ratio, n in passing.items() if 2 * n > panel.n]
    return most[0] if most else max(passing, key=lambda ratio: (passing[ratio], -ratio))


def _passing_at(panel: Panel, kind: str, ratio: float, direction: str) -> int:
    study_wide = _is_study_wide(panel, kind)
    return sum(_passes(row, direction, study_wide) for row in panel.at_ratio(ratio))


# --- in words --------------------------------------------------------------------------------


def _something(panel: Panel, kind: str, ratio: float) -> str:
    """Return a generator's verdict in words, with the differences of its encoders at a ratio."""
    rows = panel.at_ratio(ratio)
    differences = [row.difference or 0 for row in rows]
    family = "its family" if panel.n == 1 else "each family"
    alone = "" if panel.is_inside and kind != NOT_CERTAIN else f", in {family} alone"
    interval = ""
    if panel.n == 1:
        interval = f" {span(rows[0].difference_low or 0, rows[0].difference_high or 0)}"
        remarks = [panel.studies[0].encoder.title, *panel.how, control_words(rows[0])]
    else:
        ends = f"{points(min(differences))} … {points(max(differences))}"
        who = f"{len(rows)} of the {panel.n}" if len(rows) < panel.n else f"the {panel.n}"
        remarks = [
            f"median of {who} encoders", f"range {ends}", *_some(panel, kind, ratio), *panel.how
        ]  # fmt: skip
    return (
        f"{_verdict(panel, kind)}, {points(median(differences))} points{interval} at "
        f"{ratio_title(ratio)} with {panel.real} ({'; '.join(filter(None, remarks))}){alone}"
    )


def _verdict(panel: Panel, kind: str) -> str:
    """Return the verdict; of encoders that differ how many gain and lose."""
    if kind != MIXED:
        return kind
    passing = {d: _passing(panel, d, panel.is_inside) for d in (HELPS, HURTS)}
    if panel.n == 1:
        return "mixed: it gains at some ratios and loses at others"
    words = [f"{n} {_VERBS[direction][n > 1]}" for direction, n in passing.items() if n]
    return f"mixed: {' and '.join(words).replace(' ', f' of {panel.n} encoders ', 1)}"


def _some(panel: Panel, kind: str, ratio: float) -> list[str]:
    """Say how many encoders pass at a ratio, if more of them do so at another one."""
    direction = _direction(panel, kind)
    n = _passing_at(panel, kind, ratio, direction)
    every = _passing(panel, direction, _is_study_wide(panel, kind))
    return [f"{n} of them {'passes' if n == 1 else 'pass'} at this ratio"] if n < every else []


def _nothing(panel: Panel, kind: str) -> str:
    """Say that no difference was detected, and which one would have been."""
    rows = [row for mixes in panel.mixes for row in mixes]
    equal = sum(row.kind == EQUIVALENT for row in rows)
    if kind == EQUIVALENT:
        margins = " or ".join(dict.fromkeys(row.verdict or "" for row in rows))
        many = "the only comparison" if len(rows) == 1 else f"all {len(rows)} comparisons"
        return f"{margins} in {many} with {panel.real}"
    sizes = sorted(row.detectable or 0 for row in rows)
    ends = "–".join(dict.fromkeys(percent(size) for size in (sizes[0], sizes[-1])))
    remarks = [f"±{ends} would have been"]
    remarks.append(f"{panel.n} encoders" if panel.n > 1 else panel.studies[0].encoder.title)
    remarks += panel.how
    apart = sum(row.kind == NOT_SEPARABLE for row in rows)
    for n, words in ((equal, "equivalent within the margin"), (apart, NOT_SEPARABLE)):
        remarks += [f"{n} of {len(rows)} comparisons {'is' if n == 1 else 'are'} {words}"] * (n > 0)
    return f"no difference detected with {panel.real} ({'; '.join(remarks)})"


def _where(compared: int) -> str:
    return f"over all {compared} comparisons together" if compared > 1 else "over the study"


def _least(panel: Panel) -> str:
    """Return the least study-wide p of those comparisons that hold in their family."""
    rows = [row for mixes in panel.mixes for row in mixes if row.kind in (HELPS, HURTS)]
    return p_value(min(row.p_study_wide for row in rows if row.p_study_wide is not None))


def _unshown(panel: Panel, unshown: Sequence[Study]) -> list[str]:
    """Say what further studies of a generator answer that are judged, but not shown."""
    head = panel.studies[0].config.head
    kinds: dict[str, int] = {}
    for study in unshown:
        if study.config.head == head and claims(study, panel.generator):
            kind = word_of(_kind(Panel(panel.generator, (study,), True)))
            kinds[kind] = kinds.get(kind, 0) + 1
    n = sum(kinds.values())
    if not n:
        return []
    words = ", ".join(f"{many} {kind}" for kind, many in kinds.items())
    return [f"{n} further stud{'y' if n == 1 else 'ies'} of it not shown: {words}"]
