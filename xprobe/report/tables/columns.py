"""What the tables share: types of their columns, and what tells the rows of studies apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import NoneType
from typing import TypeAlias, get_args, get_type_hints

from xprobe.base import documents
from xprobe.base.documents import Document
from xprobe.results.rows import OfSetting, Run
from xprobe.results.study import Study

Row: TypeAlias = Mapping[str, object]
"""Cells by the name of their column; None is an empty cell."""

Columns: TypeAlias = Mapping[str, type]
"""The type of each column, in order: str, bool, int or float."""

OF_STUDY: Columns = {
    "study": str, "name": str, "seed": str, "per_class": int, "folds": int, "created": str,
    "command": str,
}  # fmt: skip
"""What tells the rows of a study from those of others; the command, which is long, stands last."""

OF_SETTING: Columns = {
    "encoder": str, "alias": str, "head": str, "real_fraction": float,
    "train_per_class": int, "generator": str, "setting": str, "ratio": float, "augment": str,
}  # fmt: skip
"""What tells the settings of all studies apart, in tables of more than accuracy."""


def study_fields(study: Study) -> dict[str, object]:
    """Return what tells the rows of a study from those of others, by the names of `OF_STUDY`."""
    return {
        "study": study.key,
        "name": study.name,
        "seed": " ".join(map(str, study.seeds or (study.config.seed,))),
        "per_class": study.config.per_class,
        "folds": len({run.fold for run in study.runs}),
        "created": study.created,
        "command": study.command,
    }


def setting_fields(study: Study, row: OfSetting) -> dict[str, object]:
    """Return which setting of a study a row is of, by the names of `OF_SETTING`."""
    return {
        "encoder": study.encoder.label,
        "alias": study.encoder.title,
        "head": study.config.head,
        "real_fraction": study.config.real_fraction,
        "train_per_class": study.config.train_per_class,
    } | named(row)


def named(row: OfSetting) -> dict[str, object]:
    """Return the fields that name the setting of a row."""
    return {name: getattr(row, name) for name in ("generator", "setting", "ratio", "augment")}


def seed_of(study: Study, run: Run) -> int:
    """Return the seed of the repeat of a run; a study may have pooled the repeats of several."""
    if not study.seeds:
        return study.config.seed
    return study.seeds[run.repeat // study.config.repeats % len(study.seeds)]


def types_of(kind: type[Document], names: Iterable[str]) -> dict[str, type]:
    """Return the types of the columns that fields of a document type have in a table."""
    hints = get_type_hints(kind)
    return {name: _type_of(hints[name]) for name in names if name in documents.field_names(kind)}


def _type_of(hint: object) -> type:
    """Return the type of a column whose values are of a field's type; a Number is a float."""
    kinds = {kind for kind in get_args(hint) or (hint,) if kind is not NoneType}
    return next(kind for kind in (str, bool, float, int) if kind in kinds)
