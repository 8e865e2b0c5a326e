"""The headline: what holds of all generators, and what each of them does.

It claims nothing that one family claims alone. Studies outside of the set over which the study-wide
p is computed claim nothing: what they found is told, and why it is no claim.
"""

from __future__ import annotations

from collections.abc import Sequence

from xprobe.base.errors import first_few
from xprobe.report.finding import EQUIVALENT, MIXED, NOT_CERTAIN, Finding
from xprobe.report.panel import Outside
from xprobe.report.words import LINEAGE_IGNORED
from xprobe.verdict.family import HELPS, HURTS, NOT_DETECTED, NOT_SEPARABLE

MOST_GENERATORS = 3
"""Of more generators the headline names the verdicts alone; their sentences follow it."""

NOTHING = "Nothing was judged: there is no mix of real images and these synthetic images."

DEPENDS = "It depends on the generator of these synthetic images."
DEPENDS_ON_RATIO = "Mixed: it depends on the ratio of these synthetic images."
OPENINGS = {
    HELPS: "Yes, these synthetic images help.",
    HURTS: "No, these synthetic images hurt.",
    MIXED: "Mixed: the encoders differ in what these synthetic images do.",
    EQUIVALENT: "No difference that matters: these synthetic images neither help nor hurt.",
    NOT_SEPARABLE: "What these synthetic images do cannot be told from training longer.",
    NOT_CERTAIN: "Not certain whether these synthetic images help or hurt.",
    NOT_DETECTED: "Not detected that these synthetic images help or hurt.",
}
"""What the headline begins with where all generators have this verdict."""

UNCLAIMED = "No study here may claim more of these synthetic images."


def headline(
    findings: Sequence[Finding], is_leaky: bool = False, most: int = MOST_GENERATORS
) -> str:
    """Return the headline: a sentence about all generators, then one about each generator.

    Args:
        findings: one of each generator.
        is_leaky: whether lineage was ignored, so that nothing is answered.
        most: of more generators the verdicts alone are named.
    """
    if not findings:
        return NOTHING
    inside = [finding for finding in findings if finding.panel.is_inside]
    if is_leaky:
        told = _small(_told(findings, most))
        return f"{LINEAGE_IGNORED}. With the leak of these synthetic images: {told}"
    if inside:
        return f"{_answer(inside)} {_told(findings, most)}"
    reasons = reasons_of(findings)
    several = len({study.encoder.key for f in findings for study in f.panel.studies}) > 1
    first, *more = [reason.several if several else reason.one for reason in reasons]
    beginning = " and ".join([first, *map(_small, more)])
    meaning = UNCLAIMED if more else reasons[0].meaning
    return f"{beginning}: {_small(_told(findings, most))} {meaning}"


def opening(findings: Sequence[Finding], is_leaky: bool = False) -> str:
    """Return the headline as it stands above a list of what each generator does.

    Of a single generator without a claim it is the whole headline, which no list follows.
    """
    inside = [finding for finding in findings if finding.panel.is_inside]
    if inside and not is_leaky and len(findings) <= MOST_GENERATORS:
        return _answer(inside)
    return headline(findings, is_leaky, most=1)


def _answer(inside: Sequence[Finding]) -> str:
    """Return the answer of findings that claim: yes and no only where all generators say so."""
    kinds = {finding.kind for finding in inside}
    if kinds == {NOT_CERTAIN, NOT_DETECTED}:
        return OPENINGS[NOT_CERTAIN]
    if len(kinds) > 1:
        return DEPENDS
    if kinds == {MIXED} and all(finding.panel.n == 1 for finding in inside):
        return DEPENDS_ON_RATIO
    return OPENINGS[kinds.pop()]


def reasons_of(findings: Sequence[Finding]) -> list[Outside]:
    """Return why some findings claim nothing, each reason once."""
    return list(dict.fromkeys(reason for f in findings for reason in f.panel.outsides))


def sentences(findings: Sequence[Finding]) -> list[str]:
    """Return a sentence for each generator.

    Beside findings that claim, those that do not say why: ``Generator A, of a floor encoder …``.
    """
    some_claim = any(finding.panel.is_inside for finding in findings)
    return [
        f"Generator {finding.panel.generator}{_why(finding) if some_claim else ''}: "
        f"{finding.clause}."
        for finding in findings
    ]


def _why(finding: Finding) -> str:
    return "".join(f", {_small(reason.one)}" for reason in finding.panel.outsides[:1])


def _told(findings: Sequence[Finding], most: int) -> str:
    if len(findings) <= most:
        return " ".join(sentences(findings))
    by_kind: dict[str, list[str]] = {}
    for finding in findings:
        is_claim = finding.kind not in (NOT_DETECTED, EQUIVALENT)
        alone = " in its family alone" if is_claim and not finding.panel.is_inside else ""
        by_kind.setdefault(f"{finding.word}{alone}", []).append(finding.panel.generator)
    words = "; ".join(f"{kind}: {first_few(names, 12)}" for kind, names in by_kind.items())
    numbers = dict.fromkeys(finding.panel.real for finding in findings)
    return f"{len(findings)} generators, with {' or '.join(numbers)}: {words}."


def _small(text: str) -> str:
    """Return a text that begins with a small letter."""
    return text[:1].lower() + text[1:]
