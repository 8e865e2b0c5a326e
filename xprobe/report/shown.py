"""Which studies of the results a report shows; all of them are judged, whatever is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from xprobe.base.declared import split_names
from xprobe.base.documents import replace
from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.encoders.names import asked_aliases, split_alias
from xprobe.report.differences import told_apart
from xprobe.results.distance import Distances
from xprobe.results.rows import MixComparison, OfSetting
from xprobe.results.study import Results, Study, newest, read_studies, with_aliases, without_held
from xprobe.study.claims import with_claims


class _OfGenerator(Protocol):
    @property
    def generator(self) -> str | None: ...


_Row = TypeVar("_Row", bound=_OfGenerator)


class Shown(NamedTuple):
    """The studies of the results.

    Attributes:
        studies: those that are shown, with the rows that are shown; no two have one title.
        every: all of them, also those whose repeats another one has pooled.
    """

    studies: list[Study]
    every: list[Study]


def read_shown(
    results: Results, encoders: Sequence[str] = (), generators: Sequence[str] = ()
) -> Shown:
    """Return the studies of results with their study-wide p, which holds over all of them.

    Args:
        results: what `xprobe sweep` wrote; the newest study of each encoder and head is shown.
        encoders: names or aliases of those that are shown, or lists of them with commas; none: all.
            ``ALIAS=name`` shows it under the alias.
        generators: names of those that are shown, or lists of them; none: all.

    Raises:
        XprobeError: there are no results, none of a named encoder or generator, or some are
            damaged.
    """
    read = read_studies(results)
    known = {name for study in with_aliases(read) for name in study.encoder.names}
    asked = asked_aliases(split_names(encoders, lambda text: split_alias(text)[1] in known))
    every = with_aliases(read, {name: alias for name, alias in asked.items() if alias})
    claimed = with_claims(results, without_held(every))
    by_key = {study.key: study for study in claimed}
    named = [alias or name for name, alias in asked.items()]
    studies = of_generators(newest(claimed, named), generators)
    return Shown(told_apart(studies), [by_key.get(study.key, study) for study in every])


def of_generators(studies: Sequence[Study], names: Sequence[str]) -> list[Study]:
    """Return studies with the rows of some generators, and those without any.

    What needs all generators, such as the pooled arm, is left out with the first of them.

    Args:
        studies: studies; those without any of the generators are left out.
        names: names of generators, or lists of them with commas; none: all.

    Raises:
        XprobeError: no study has a named generator.
    """
    known = dict.fromkeys(name for study in studies for name in study.generators)
    names = split_names(names, known.__contains__)
    if not names:
        return list(studies)
    if unknown := [name for name in names if name not in known]:
        raise XprobeError(
            f"there are no results of generator {first_few(unknown)}"
            f"{did_you_mean(unknown[0], known)}; there are: {first_few(sorted(known), 9)}"
        )
    return [_cut(study, names) for study in studies if set(names) & set(study.generators)]


def _cut(study: Study, names: Sequence[str]) -> Study:
    generators = tuple(name for name in study.generators if name in names)
    if generators == study.generators:
        return study
    blocks, predictions = study.blocks, study.predictions
    if len(blocks) == len(predictions):  # Studies of older versions have no `blocks`.
        pairs = zip(blocks, predictions, strict=True)
        predictions = tuple(key for (run, *_), key in pairs if _is_shown(run, names))
    return replace(
        study,
        generators=generators,
        results=tuple(row for row in study.results if _is_shown(row, names)),
        settings=tuple(row for row in study.settings if _is_shown(row, names)),
        runs=tuple(row for row in study.runs if _is_shown(row, names)),
        predictions=predictions,
        classes=_rows(study.classes, names),
        comparisons=tuple(row for row in study.comparisons if _is_of(row, names)),
        data_value=None if study.data_value is None else _rows(study.data_value, names),
    )


def _is_shown(row: OfSetting, names: Sequence[str]) -> bool:
    """Return whether a setting is of these generators or of none; the pooled arm is of all."""
    return row.setting != "mix-pooled" and (row.generator is None or row.generator in names)


def _rows(rows: Sequence[_Row], names: Sequence[str]) -> tuple[_Row, ...]:
    return tuple(row for row in rows if row.generator is None or row.generator in names)


def _is_of(row: MixComparison, names: Sequence[str]) -> bool:
    if row.kind == "generators":
        return row.subject in names and row.against in names
    return row.generator in names


def distances_of(document: Distances, names: Sequence[str]) -> Distances:
    """Return what is known of how far some generators lie from the real images; none: all."""
    if not names:
        return document
    maps = [replace(plane, points=_rows(plane.points, names)) for plane in document.maps]
    return replace(
        document,
        distances=_rows(document.distances, names),
        shortcuts=_rows(document.shortcuts, names),
        examples=_rows(document.examples, names),
        maps=tuple(maps),
    )
