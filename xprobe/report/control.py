"""What synthetic images must beat: further real ones, null edits, and augmented real ones."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from xprobe.images.augment import AUGMENTATIONS
from xprobe.report.panel import Panel
from xprobe.report.words import points, ratio_title, span
from xprobe.results.rows import MixComparison, Result


def control_clauses(panel: Panel, ratio: float | None) -> list[str]:
    """Return what a mix is compared with, a clause each; none where nothing was measured.

    Of several encoders the median stands, with the interval that holds all of theirs.

    Args:
        panel: the studies that speak of a generator.
        ratio: the ratio that is told of; None: the largest that was compared.
    """
    return [*_real_more(panel, ratio), *_null_edits(panel, ratio), *_augmented(panel)]


def hull(ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the interval that holds all of some intervals: it speaks for every encoder."""
    return min(low for low, _ in ends), max(high for _, high in ends)


def against_real_more(panel: Panel) -> dict[float, list[MixComparison]]:
    """Return the comparisons with as many further real images by ratio, one of each encoder."""
    return _against(panel, "real-more")


def _against(panel: Panel, kind: str) -> dict[float, list[MixComparison]]:
    """Return the comparisons of a kind by ratio, one of each encoder that has it."""
    rows: dict[float, list[MixComparison]] = {}
    for study in panel.studies:
        for row in study.comparisons:
            is_of_panel = row.kind == kind and row.generator == panel.generator
            if is_of_panel and row.ratio is not None:
                rows.setdefault(row.ratio, []).append(row)
    return dict(sorted(rows.items()))


def _real_more(panel: Panel, ratio: float | None) -> list[str]:
    rows = against_real_more(panel)
    if not rows:
        return []
    nearest = ratio if ratio in rows else max(rows)
    compared = rows[nearest]
    difference = median(row.difference for row in compared)
    low, high = hull([(row.low, row.high) for row in compared])
    where = "" if nearest == ratio else f"at {ratio_title(nearest)} "
    size = points(abs(difference)).lstrip("+")
    return [
        f"{where}that is {size} points {'less' if difference < 0 else 'more'} than as many further "
        f"real images gave {span(low, high)}{_of_some(compared, panel)}{_sure(low, high)}"
    ]


def _null_edits(panel: Panel, ratio: float | None) -> list[str]:
    """Say what the fingerprint of a generator does, and what is left of the mix without it.

    Null edits of fine-tunes are told beside real images trained for as many steps.
    """
    rows = _against(panel, "null-edit")
    if not rows:
        return []
    nearest = ratio if ratio in rows else max(rows)
    compared = rows[nearest]
    alone = [
        row
        for study in panel.studies
        for row in study.results
        if (row.setting, row.generator, row.ratio) == ("null-edit", panel.generator, nearest)
        and row.difference is not None
    ]
    where = "" if nearest == ratio else f"at {ratio_title(nearest)} "
    is_controlled = all(row.control_difference is not None for row in alone)
    over = " over real images trained as long" if is_controlled else ""
    differences = [_with_ends(row) for row in alone]
    gave = hull([(low, high) for _, low, high in differences])
    left = hull([(row.low, row.high) for row in compared])
    return [
        f"{where}its fingerprint alone (null edits: the real images passed through it unchanged) "
        f"gave {points(median(difference for difference, *_ in differences))} points "
        f"{span(*gave)}{over}{_of_some(alone, panel)}{_sure(*gave)}; without it "
        f"{points(median(row.difference for row in compared))} points {span(*left)} are left"
        f"{_sure(*left)}"
    ]


def _with_ends(row: Result) -> tuple[float, float, float]:
    """Return (difference, low, high) of null edits: of fine-tunes to real-duplicated, else to
    real-only."""
    if row.control_difference is not None:
        return row.control_difference, row.control_low or 0, row.control_high or 0
    return row.difference or 0, row.difference_low or 0, row.difference_high or 0


def _sure(low: float, high: float) -> str:
    """Return what is said behind an interval that holds 0."""
    return "" if low > 0 or high < 0 else ", not detected"


def _of_some(rows: Sequence[object], panel: Panel) -> str:
    return f" ({len(rows)} of {panel.n} encoders)" if len(rows) < panel.n else ""


def _augmented(panel: Panel) -> list[str]:
    """Say what the best augmentation of the real images gave, without synthetic ones."""
    by_name: dict[str, list[Result]] = {}
    for study in panel.studies:
        for row in study.results:
            if row.setting in AUGMENTATIONS and row.difference is not None and row.verdict:
                by_name.setdefault(row.setting, []).append(row)
    if not by_name:
        return []
    best = max(by_name, key=lambda name: median(row.difference or 0 for row in by_name[name]))
    rows = by_name[best]
    ends = hull([(row.difference_low or 0, row.difference_high or 0) for row in rows])
    name = f"{best} augmentation" if best == "classic" else f"the augmentation {best}"
    many = f", the best of {len(by_name)}," if len(by_name) > 1 else ""
    return [
        f"{name}{many} of the real images alone gave "
        f"{points(median(row.difference or 0 for row in rows))} points {span(*ends)}"
        f"{_of_some(rows, panel)}"
    ]
