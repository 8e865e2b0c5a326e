"""Confusion matrices: those of the comparison that is shown, and all of them as data of the page.

The page shows one matrix of real-only, one of a mix, and their difference. The others lie in it as
numbers, from which its script draws whichever is asked for; they are all in confusion.csv, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from xprobe.report.matrix import judged_mixes
from xprobe.report.words import in_order, setting_title, study_title
from xprobe.results.rows import OfSetting, Result, SettingResult
from xprobe.results.study import Study

MOST_CLASSES = 60
"""A matrix of more classes is not shown on the page."""


@dataclass(frozen=True)
class ConfusionRow:
    """A true class: its name, its number of tested images, and a share of them for each class."""

    name: str
    n: int
    shares: list[float]


@dataclass(frozen=True)
class ConfusionView:
    """A matrix: its title, whether it is a difference of two, and its rows, in percent."""

    title: str
    is_difference: bool
    rows: list[ConfusionRow]


@dataclass(frozen=True)
class ConfusionsView:
    """What is shown first, and the data of all others.

    Attributes:
        study, setting: titles of what is shown beside real-only.
        classes: names of the classes.
        views: real-only, the mix, and their difference.
        n: number of all classes; `views` are empty where there are too many to show.
    """

    study: str
    setting: str
    classes: tuple[str, ...]
    views: list[ConfusionView]
    n: int


class StudyConfusions(TypedDict):
    """The matrices of a study as the page's script reads them."""

    title: str
    classes: list[str]
    settings: list[tuple[str, list[list[int]]]]


def shown_mix(study: Study, generator: str | None = None) -> Result | None:
    """Return the mix of a study that is looked at first, of one generator or of all.

    It is the smallest ratio that helps, or else the mix that differs most.
    """
    mixes = [row for row in judged_mixes(study) if generator in (None, row.generator)]
    helping = [row for row in mixes if row.kind == "helps"]
    if helping:
        return min(helping, key=lambda row: (row.ratio or 0, -(row.difference or 0)))
    return max(mixes, key=lambda row: abs(row.difference or 0), default=None)


def shares(confusion: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return a confusion matrix (k, k) as percent of each true class; NaN of a class without."""
    counts = np.asarray(confusion, dtype=float)
    total = counts.sum(axis=1, keepdims=True)
    share = np.full_like(counts, np.nan)
    np.divide(100 * counts, total, out=share, where=total > 0)
    return share


def confusion_of(study: Study, row: Result) -> SettingResult | None:
    """Return the confusions of the setting of a result, if the study has them."""
    wanted = (row.setting, row.ratio, row.generator, row.augment)
    return next(
        (s for s in study.settings if (s.setting, s.ratio, s.generator, s.augment) == wanted), None
    )


def confusions_of_shown(study: Study) -> tuple[SettingResult, SettingResult] | None:
    """Return the confusions of real-only and of the mix that is shown, or None without them."""
    mix = shown_mix(study)
    real = confusion_of(study, study.real_only)
    other = None if mix is None else confusion_of(study, mix)
    return None if real is None or other is None else (real, other)


def confusions_view(study: Study) -> ConfusionsView | None:
    """Return what a study shows first of its confusions; None where no mix was judged."""
    mix = shown_mix(study)
    pair = confusions_of_shown(study)
    if mix is None or pair is None:
        return None
    real, other = pair
    classes = study.manifest.classes
    title = _title(mix)
    if len(classes) > MOST_CLASSES:
        return ConfusionsView(study_title(study), title, classes, [], len(classes))
    before, after = shares(real.confusion), shares(other.confusion)
    n = [np.sum(s.confusion, axis=1).astype(int).tolist() for s in (real, other)]
    views = [
        ConfusionView("real-only", False, _rows(classes, n[0], before)),
        ConfusionView(title, False, _rows(classes, n[1], after)),
        ConfusionView("their difference, points", True, _rows(classes, n[1], after - before)),
    ]
    return ConfusionsView(study_title(study), title, classes, views, len(classes))


def _title(row: OfSetting) -> str:
    return " · ".join(filter(None, [row.generator, setting_title(row)]))


def _rows(
    classes: Sequence[str], n: Sequence[int], matrix: NDArray[np.float64]
) -> list[ConfusionRow]:
    # The style of a cell takes no NaN; a class without tested images has no share.
    filled = np.nan_to_num(matrix).round(1)
    return [ConfusionRow(*row) for row in zip(classes, n, filled.tolist(), strict=True)]


def confusions_data(studies: Sequence[Study]) -> list[StudyConfusions]:
    """Return the confusions of all studies as the page's script reads them."""
    return [
        {
            "title": study_title(study),
            "classes": list(study.manifest.classes),
            "settings": [
                (_title(setting), [list(row) for row in setting.confusion])
                for setting in sorted(study.settings, key=in_order)
            ],
        }
        for study in studies
        if len(study.manifest.classes) <= MOST_CLASSES
    ]
