"""classes.csv, a row a class and setting, and confusion.csv, a row a cell of a confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from xprobe.report.tables.columns import (
    OF_SETTING,
    OF_STUDY,
    Columns,
    Row,
    named,
    setting_fields,
    study_fields,
)
from xprobe.report.words import verdict_word
from xprobe.results.rows import ClassResult, SettingResult
from xprobe.results.study import Study

CLASSES: Columns = {
    **OF_SETTING, "class": str, "recall": float, "precision": float, "f1": float,
    "difference": float, "difference_low": float, "difference_high": float, "p_adjusted": float,
    "verdict": str, "n_test": int, "n_groups": int, **OF_STUDY,
}  # fmt: skip
"""The columns of classes.csv; the difference is that of the recall to real-only's."""

CONFUSION: Columns = {**OF_SETTING, "true": str, "predicted": str, "n": int, "study": str}
"""The columns of confusion.csv, whose rows are too many to say more of their study than its id."""


def classes(studies: Sequence[Study]) -> Iterator[Row]:
    """Yield the rows of classes.csv."""
    for study in studies:
        judged = {(*named(row).values(), row.class_): row for row in study.classes}
        # The same images test every setting, real-only too, which nothing is judged of.
        tested = {row.class_: row for row in study.classes}
        of_study = study_fields(study)
        for setting in study.settings:
            of_setting = setting_fields(study, setting) | of_study
            for number, name in enumerate(study.manifest.classes):
                row = judged.get((*named(setting).values(), name))
                rates = {"class": name} | _rates(setting, number)
                yield of_setting | rates | _difference(row) | _tested(tested.get(name))


def _rates(setting: SettingResult, number: int) -> dict[str, object]:
    """Return recall, precision and F1 of a class; an older xprobe kept the recall alone."""
    rates = {"recall": setting.recall, "precision": setting.precision, "f1": setting.f1}
    return {name: values[number] if values else None for name, values in rates.items()}


def _difference(row: ClassResult | None) -> dict[str, object]:
    if row is None:
        return {}
    return {
        "difference": row.difference, "difference_low": row.low, "difference_high": row.high,
        "p_adjusted": row.p_adjusted, "verdict": verdict_word(row),
    }  # fmt: skip


def _tested(row: ClassResult | None) -> dict[str, object]:
    return {} if row is None else {"n_test": row.n_test, "n_groups": row.n_groups}


def confusion(studies: Iterable[Study]) -> Iterator[Row]:
    """Yield the rows of confusion.csv.

    Cells without images are left out, since most of many classes are, but for those of the
    diagonal, by which every class is among the true and among the predicted ones.
    """
    for study in studies:
        names = study.manifest.classes
        for setting in study.settings:
            shared = setting_fields(study, setting) | {"study": study.key}
            for true, cells in zip(names, setting.confusion, strict=True):
                for predicted, n in zip(names, cells, strict=True):
                    if n or predicted == true:
                        yield {**shared, "true": true, "predicted": predicted, "n": n}
