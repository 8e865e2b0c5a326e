"""Events by name, and those that a generator was trained on (the column ``trained_on``)."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning, first_few
from xprobe.base.packed import packed_table
from xprobe.images.manifest import Row
from xprobe.images.text import lines_of

XBD = "xbd"
"""The name that stands for all events of xBD."""

SEPARATOR = ";"

# A list of names has short lines; a file whose lines are longer, or many more, is another one.
_LONGEST_NAME, _MOST_NAMES = 200, 100_000

_BETWEEN_WORDS = re.compile(r"[\s_-]+")


def event_key(name: str) -> str:
    """Return what is equal for two spellings of an event: Hurricane_Harvey, hurricane-harvey."""
    text = unicodedata.normalize("NFKC", name).strip().casefold()
    return _BETWEEN_WORDS.sub("-", text)


def keys_in(cell: str) -> frozenset[str]:
    """Return the keys of the events that a cell lists, with semicolons between them."""
    return frozenset(key for name in cell.split(SEPARATOR) if (key := event_key(name)))


def unify_events(rows: Sequence[Row], where: object) -> None:
    """Replace spellings of an event that differ in case, hyphens and spaces alone by the first.

    An event of two spellings would be two groups, of which one is trained on and the other tested.

    Args:
        rows: rows of a table; those of several that are taken together may be grouped by event.
        where: what the warning calls the table.
    """
    first: dict[str, str] = {}
    others: dict[str, str] = {}
    for row in rows:
        if name := row.get("event", ""):
            spelling = first.setdefault(event_key(name), name)
            if spelling != name:
                others[name] = spelling
    if not others:
        return
    for row in rows:
        for column in ("event", "group", "parent"):
            if row.get(column, "") in others:
                row[column] = others[row[column]]
    shown = first_few((f"{name} ({spelling})" for name, spelling in others.items()), 3)
    warnings.warn(
        f"{where}: events that are spelt in two ways are one: {shown}", XprobeWarning, stacklevel=3
    )


def as_cell(events: Iterable[str]) -> str:
    """Return events as a cell lists them."""
    return SEPARATOR.join(events)


def _events_of_xbd() -> tuple[str, ...]:
    return tuple(sorted(row["event"] for row in packed_table("events")))


def read_events(source: str) -> tuple[str, ...]:
    """Return the events that ``--trained-on`` names: ``xbd``, or a file with one a line.

    Blank lines and comments (``# …``) are left out, and so are names that stand there again.

    Raises:
        XprobeError: there is no such file, it names no event, or a line is no name of one.
    """
    if source == XBD:
        return _events_of_xbd()
    file = Path(source)
    if not file.is_file():
        raise XprobeError(
            f"--trained-on {source}: no such file; write one event a line into it, or name {XBD} "
            f"for its {len(_events_of_xbd())} events"
        )
    events: dict[str, str] = {}
    for number, line in enumerate(lines_of(file), 1):
        name = line.strip().removeprefix("\ufeff")
        if not name or name.startswith("#"):
            continue
        is_name = len(name) <= _LONGEST_NAME and name.isprintable() and not set(name) & set(";,\t")
        if not is_name or number > _MOST_NAMES:
            raise XprobeError(
                f"{file}, line {number}: {name[:40]!r} is no event; write one event a line, and "
                f"nothing beside it"
            )
        events.setdefault(event_key(name), name)
    if not events:
        raise XprobeError(f"{file}: it names no event; write one a line into it")
    return tuple(events.values())
