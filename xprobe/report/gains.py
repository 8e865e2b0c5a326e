"""What a gain depends on: the classes that gain or lose, and the number of real images."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from xprobe.base.errors import first_few
from xprobe.report.finding import Finding
from xprobe.report.panel import Panel, mixes_of, real_words
from xprobe.report.words import points, ratio_title
from xprobe.results.rows import ClassResult
from xprobe.results.study import Study
from xprobe.verdict.family import HELPS, HURTS

MOST_CLASSES = 5
"""Of more classes that gain, or lose, the sentence tells the number."""


def class_sentences(findings: Sequence[Finding]) -> list[str]:
    """Say which classes gain or lose with each generator; nothing where no class was compared.

    They are told of the ratio of the finding, or of the largest one. A class counts if its interval
    says so with some encoder; the difference is the median of these encoders.
    """
    sentences: list[str] = []
    unchanged: dict[str, str] = {}  # generator and ratio → the number of real images
    for finding in findings:
        panel, ratio = finding.panel, _ratio(finding)
        rows = _class_rows(panel, ratio)
        where = f"{panel.generator} at {ratio_title(ratio)}"
        if words := _changes(rows, panel.n):
            sentences.append(f"Classes with generator {where} with {panel.real}, {words}.")
        elif rows:
            unchanged[where] = panel.real
    if unchanged:
        numbers = " or ".join(dict.fromkeys(unchanged.values()))
        sentences.append(
            f"No class was detected to gain or lose with generator {first_few(unchanged)}, with "
            f"{numbers}."
        )
    return sentences


def _ratio(finding: Finding) -> float:
    """Return the ratio that is told of: that of the finding, or the largest one."""
    return finding.panel.ratios[-1] if finding.ratio is None else finding.ratio


def _class_rows(panel: Panel, ratio: float) -> list[ClassResult]:
    return [
        row
        for study in panel.studies
        for row in study.classes
        if (row.setting, row.generator, row.ratio) == ("mix", panel.generator, ratio)
        and not row.augment
    ]


def _changes(rows: Sequence[ClassResult], encoders: int) -> str:
    """Say which classes gain and which lose; nothing if none is detected to."""
    words = []
    for kind, verb in ((HELPS, "gain"), (HURTS, "lose")):
        by_class: dict[str, list[ClassResult]] = {}
        for row in rows:
            if row.kind == kind:
                by_class.setdefault(row.class_, []).append(row)
        if by_class:
            words.append(f"{verb}: {_largest(by_class, encoders)}")
    return "; ".join(words)


def _largest(by_class: dict[str, list[ClassResult]], encoders: int) -> str:
    differences = {name: median(r.difference for r in rows) for name, rows in by_class.items()}
    names = sorted(differences, key=lambda name: -abs(differences[name]))
    many = {name: f" ({len(by_class[name])} of {encoders})" * (encoders > 1) for name in names}
    return first_few((f"{n} {points(differences[n])}{many[n]}" for n in names), MOST_CLASSES)


def size_sentence(finding: Finding, studies: Sequence[Study]) -> str:
    """Say what a generator does with fewer real images; nothing without a curve of sizes.

    Args:
        finding: what it does with all of them.
        studies: the studies that are shown; those of parts of the real images are the curve.
    """
    panel = finding.panel
    encoders = {study.encoder.key for study in panel.studies}
    head, ratio = panel.studies[0].config.head, _ratio(finding)
    by_part: dict[float, list[Study]] = {}
    for study in studies:
        is_of_panel = study.encoder.key in encoders and study.config.head == head
        if is_of_panel and _at_ratio(study, panel.generator, ratio) is not None:
            by_part.setdefault(study.real_only.n_train_real, []).append(study)
    if len(by_part) < 2:
        return ""
    words = [
        f"{points(median(_at_ratio(s, panel.generator, ratio) or 0 for s in by_part[n]))} with "
        f"{real_words(by_part[n])}"
        for n in sorted(by_part)
    ]
    who = f"median of {panel.n} encoders" if panel.n > 1 else panel.studies[0].encoder.title
    return (
        f"These synthetic images of generator {panel.generator} at {ratio_title(ratio)} by the "
        f"number of real ones ({who}, points; parts of the real images claim nothing study-wide): "
        f"{'; '.join(words)}."
    )


def _at_ratio(study: Study, generator: str, ratio: float) -> float | None:
    """Return the difference to real-only of a mix; None where there is none."""
    rows = (row for row in mixes_of(study, generator) if row.ratio == ratio)
    return next((row.difference for row in rows), None)
