"""Which real image each adopted one was made from: by a pattern, by a table, by the file itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from xprobe.base.errors import XprobeError, first_few
from xprobe.images.adopted.metadata import LONGEST, as_plain_text
from xprobe.images.adopted.pattern import Pattern
from xprobe.images.manifest import Manifest, is_missing
from xprobe.images.names import Names, Targets, spelling_of
from xprobe.images.sources.cells import read_cells


@dataclass(frozen=True)
class Origin:
    """What an image was made from.

    Attributes:
        parent: id of a real image of DATA, or the group of several of one scene; or the name that
            was given, of a source that DATA lacks; ``""``: not known.
        label: class of that scene; ``""``: not known, or it has several.
        fits: the scenes that fit, where there are several: none is taken.
        is_outside: whether the parent is no image of DATA.
    """

    parent: str = ""
    label: str = ""
    fits: tuple[str, ...] = ()
    is_outside: bool = False


class Scenes:
    """The real images of DATA, by the names that parents may have.

    Args:
        real: the real images, of all splits.
    """

    def __init__(self, real: Manifest) -> None:
        self.real = real
        labels: dict[str, set[str]] = {}
        for id_, group, label in zip(real.id, real.group, real.label, strict=True):
            labels.setdefault(id_, set()).add(label)
            labels.setdefault(group, set()).add(label)
        self._labels = labels

    def origin(self, targets: Targets) -> Origin:
        """Return the origin that fits: a scene and the image or the group of it that is meant."""
        if len(targets) > 1:
            return Origin(fits=tuple(targets.values()))
        for target in targets.values():
            labels = self._labels[target]
            return Origin(target, next(iter(labels)) if len(labels) == 1 else "")
        return Origin()

    def named(self, name: str) -> Origin:
        """Return what an image was made from that names its source, in any spelling of `parents`.

        A name that no real image and no scene has is kept as that of a source outside DATA.
        """
        if not name:
            return Origin()
        targets = (
            {name: name} if name in self._labels else self._names.fit(spelling_of(name)).targets
        )
        return self.origin(targets) if targets else Origin(name, is_outside=True)

    @cached_property
    def _names(self) -> Names:
        real = self.real
        rows = list(zip(real.id, real.path, real.group, strict=True))
        entries = [(name, group, id_) for id_, path, group in rows for name in {id_, path}]
        return Names([*entries, *((group, group, group) for group in set(real.group))])


# --- by a pattern --------------------------------------------------------------------------


def origins_by_pattern(pattern: Pattern, names: Sequence[str], scenes: Scenes) -> list[Origin]:
    """Return the origin of each image: the scene whose files give equal values by a pattern.

    Args:
        pattern: it is compared with the names of the images, and of the real images of DATA.
        names: path of each image.
        scenes: the real images.

    Raises:
        XprobeError: the pattern matches no image, or none of DATA, or no values are equal.
    """
    real = scenes.real
    known: dict[tuple[str, ...], Targets] = {}
    for id_, path, group in zip(real.id, real.path, real.group, strict=True):
        if (values := pattern.values(path)) is not None:
            targets = known.setdefault(values, {})
            targets[group] = id_ if targets.get(group, id_) == id_ else group
    asked = [pattern.values(name) for name in names]
    if not any(asked):
        raise _refusal(pattern, "matches none of the images", names)
    if not known:
        raise _refusal(pattern, "matches no real image of DATA", real.path)
    origins = [scenes.origin(known.get(values, {})) if values else Origin() for values in asked]
    if not any(origin.parent or origin.fits for origin in origins):
        examples = (next(filter(None, asked)), next(iter(known)))
        one, other = (pattern.words(values) for values in examples)
        raise XprobeError(
            f"the pattern {pattern.text!r} gives no image the values of a real one: here such as "
            f"{one}, in DATA such as {other}; choose fields that both have in common"
        )
    return origins


def _refusal(pattern: Pattern, what: str, names: Iterable[str]) -> XprobeError:
    shown = first_few([Path(name).name for name in names], 3)
    return XprobeError(
        f"the pattern {pattern.text!r} {what}, whose names are {shown}; write one that both the "
        f"images and the real ones of DATA match"
    )


# --- by a table ----------------------------------------------------------------------------

_FILE = ("file", "path")

COLUMNS = (*_FILE, "parent", "prompt", "date", "label")


@dataclass(frozen=True)
class Records:
    """What a table says of images.

    Attributes:
        rows: image → its row, column → text.
        notes: what is wrong with the table, a line each.
        columns: the columns of `COLUMNS` that it has.
    """

    rows: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...]
    columns: tuple[str, ...]


def read_records(file: Path, names: Sequence[str]) -> Records:
    """Return what a table (.csv, .tsv, .jsonl, .json, .parquet) says of images.

    Its column file, or path, names images in any spelling that fits one of them alone.

    Args:
        file: the table.
        names: path of each image, relative to their folder.

    Raises:
        XprobeError: the table cannot be read, or lacks the column file, or parent.
    """
    if not file.is_file():
        raise XprobeError(
            f"--parent-from {file}: no such table; a pattern has fields in braces, such as "
            f"'{{event}}_{{number}}_*', and the word file asks the images themselves"
        )
    columns, cells = read_cells(file, COLUMNS)
    key = next((name for name in _FILE if name in columns), "")
    if not key or "parent" not in columns:
        raise XprobeError(
            f"{file}: the columns are file and parent, and optionally prompt, date and label; "
            f"there are {first_few(columns, 10) or 'none'}"
        )
    known = Names((name, name, name) for name in names)
    rows: dict[str, dict[str, str]] = {}
    missing: list[str] = []
    unclear: list[str] = []
    twice: list[str] = []
    for cell in cells:
        row = {name: _text(cell[name]) for name in columns if name in COLUMNS}
        targets = (
            {row[key]: row[key]} if row[key] in rows else known.fit(spelling_of(row[key])).targets
        )
        if len(targets) != 1:
            (unclear if targets else missing).append(row[key] or "an empty name")
            continue
        ((name, _),) = targets.items()
        if rows.setdefault(name, row) != row:
            twice.append(name)
    for name in twice:
        rows.pop(name, None)
    lists = (
        (missing, "rows name no image of the folder"),
        (unclear, "rows name several images of the folder, and none is taken"),
        (sorted(set(twice)), "images have several rows that differ, and none is taken"),
    )
    notes = [f"{file}: {len(n)} {words}: {first_few(n, 3)}" for n, words in lists if n]
    if further := [name for name in columns if name not in COLUMNS]:
        notes.append(f"{file}: columns that are not used: {first_few(further)}")
    return Records(rows, tuple(notes), tuple(name for name in columns if name in COLUMNS))


def _text(value: object) -> str:
    if value is None:
        return ""
    text = as_plain_text(value if isinstance(value, str | bytes) else str(value))
    return "" if is_missing(text) or len(text) > LONGEST else text
