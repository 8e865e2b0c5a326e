"""Rows by name: the built-in ones, and those that other packages bring as entry points."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from xprobe.base.errors import XprobeError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Named(Protocol):
    """A row of a registry."""

    @property
    def name(self) -> str:
        """Return the name that users write."""
        ...


T = TypeVar("T", bound=Named)


def entry_points_of(group: str, word: str, built_in: Collection[str]) -> dict[str, EntryPoint]:
    """Return the entry points that other packages registered in a group, by name, none loaded.

    Args:
        group: such as ``xprobe.encoders``.
        word: what a member of the group is, for errors, such as ``encoder``.
        built_in: names that are xprobe's own.

    Raises:
        XprobeError: a package takes a built-in name, or two packages take the same one.
    """
    from importlib.metadata import entry_points

    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in built_in:
            raise XprobeError(
                f"package {_package(point)} registers the {word} {point.name!r}, which xprobe has "
                f"itself; give it another name there, or uninstall the package"
            )
        if point.name in points:
            raise XprobeError(
                f"packages {_package(points[point.name])} and {_package(point)} both register the "
                f"{word} {point.name!r}; uninstall one of them"
            )
        points[point.name] = point
    return points


def load_entry_point(point: EntryPoint, word: str) -> object:
    """Return what an entry point stands for.

    Raises:
        XprobeError: the package that registered it cannot be imported, or lacks what it names.
    """
    try:
        return point.load()
    except Exception as error:  # a package of somebody else may fail in any way
        line = " ".join(str(error).split()) or type(error).__name__
        raise XprobeError(
            f"the {word} {point.name!r} of package {_package(point)} does not load: {line}; "
            f"install what it needs, or another version of it"
        ) from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


@dataclass(frozen=True, eq=False)
class Registry(Generic[T]):
    """Rows of one kind by name; what other packages registered is read when it is asked for.

    Attributes:
        group: of the entry points, such as ``xprobe.learners``; each stands for a row.
        word: what a row is, for errors, such as ``head``.
        row_type: the class of a row.
        rows: the built-in rows by name.
    """

    group: str
    word: str
    row_type: type[T]
    rows: Mapping[str, T]

    def __getitem__(self, name: str) -> T:
        """Return the row of a name; entry points are looked up where it is not a built-in one.

        Raises:
            XprobeError: there is none of the name (the nearest ones are offered), or an entry
                point takes a built-in name, does not load, or stands for something else.
        """
        if name in self.rows:
            return self.rows[name]
        points = entry_points_of(self.group, self.word, self.rows)
        if name not in points:
            known = [*self.rows, *points]
            raise XprobeError(
                f"unknown {self.word} {name!r}{nearest(name, known)}; known: {', '.join(known)}"
            )
        row = load_entry_point(points[name], self.word)
        if not isinstance(row, self.row_type) or row.name != name:
            kind = self.row_type
            raise XprobeError(
                f"the {self.word} {name!r} of package {_package(points[name])} is no "
                f"{kind.__module__}.{kind.__qualname__} of that name"
            )
        return row

    def names(self) -> list[str]:
        """Return the names of all rows, built-in ones first; nothing is imported for it.

        Raises:
            XprobeError: an entry point takes a built-in name.
        """
        return [*self.rows, *entry_points_of(self.group, self.word, self.rows)]


def by_name(*rows: T) -> dict[str, T]:
    """Return rows by their names, in order; a name that is given twice is an error of the code."""
    named = {row.name: row for row in rows}
    assert len(named) == len(rows), "two rows of one name"
    return named
