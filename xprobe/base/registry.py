"""Registries: rows by name, built in or brought by other packages as entry points."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from xprobe.base.errors import XprobeError, did_you_mean

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
        group: name of the group, such as ``xprobe.encoders``.
        word: word for a member of the group in errors, such as ``encoder``.
        built_in: names that xprobe itself uses.

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
    """Return the object that an entry point names.

    Raises:
        XprobeError: the package that registered it cannot be imported, or lacks the object.
    """
    try:
        return point.load()
    except Exception as error:  # A package of somebody else may fail in any way.
        line = " ".join(str(error).split()) or type(error).__name__
        raise XprobeError(
            f"the {word} {point.name!r} of package {_package(point)} does not load: {line}; "
            f"install what it needs, or another version of it"
        ) from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


@dataclass(frozen=True, eq=False)
class Registry(Generic[T]):
    """Rows of one kind by name; entry points are loaded only when their rows are asked for.

    Attributes:
        group: group of the entry points, such as ``xprobe.learners``; each names a row.
        word: word for a row in errors, such as ``head``.
        row_type: the class of a row.
        rows: the built-in rows by name.
    """

    group: str
    word: str
    row_type: type[T]
    rows: Mapping[str, T]

    def __getitem__(self, name: str) -> T:
        """Return the row of a name, a built-in one or else that of an entry point.

        Raises:
            XprobeError: no row has the name (the message offers the nearest ones), or an entry
                point takes a built-in name, does not load, or is no row.
        """
        if name in self.rows:
            return self.rows[name]
        points = entry_points_of(self.group, self.word, self.rows)
        if name not in points:
            known = [*self.rows, *points]
            raise XprobeError(
                f"unknown {self.word} {name!r}{did_you_mean(name, known)}; known: "
                f"{', '.join(known)}"
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
        """Return the names of all rows, built-in ones first, without loading entry points.

        Raises:
            XprobeError: an entry point takes a built-in name.
        """
        return [*self.rows, *entry_points_of(self.group, self.word, self.rows)]


def by_name(*rows: T) -> dict[str, T]:
    """Return rows by their names, in order; no two rows may have one name."""
    named = {row.name: row for row in rows}
    assert len(named) == len(rows), "two rows of one name"
    return named
