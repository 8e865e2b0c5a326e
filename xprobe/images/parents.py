"""Which images show the same: copies, the sources of synthetic images, and what these are called.

All functions work on the columns of an image table before it is a `Manifest`, and change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from xprobe.base.errors import XprobeError, first_few
from xprobe.images.manifest import EMPTY_FILE
from xprobe.images.names import Fit, Names, Spelling, Targets, parts_of, spelling_of

Columns = dict[str, list[str]]

Given = tuple[str, str]
"""A name, behind the table that gives it."""

_EXAMPLES = 3


class Groups:
    """Groups of real images, some of which are joined to one; it has the least of their names."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def name(self, group: str) -> str:
        """Return the name of the joined group that a group belongs to; by default its own name."""
        top = group
        while (above := self._above.get(top, top)) != top:
            top = above
        while group != top:  # Each group on the way then stands right below the top.
            self._above[group], group = top, self._above[group]
        return top

    def join(self, one: str, other: str) -> None:
        """Make one group of two."""
        one, other = self.name(one), self.name(other)
        self._above[max(one, other)] = min(one, other)


@dataclass(frozen=True, eq=False)
class Sources:
    """The images of a table, by all the names that a parent or a group may give them.

    Attributes:
        columns: the image table.
        paths: the path of each image as the table spells it.
        scenes: the scene of each real image if its group is a wider one, else ``""``.
        tables: the table that each row is from.
        groups: which groups are one.
    """

    columns: Columns
    paths: list[str]
    scenes: list[str]
    tables: list[str]
    groups: Groups

    def rows(self, source: str) -> Iterator[int]:
        """Yield the rows of real, or of synthetic images."""
        return (i for i, name in enumerate(self.columns["source"]) if name == source)

    def given(self, column: str) -> set[Given]:
        """Return all different names that a column of synthetic images has, by their tables."""
        names = ((self.tables[i], self.columns[column][i]) for i in self.rows("synthetic"))
        return {(table, name) for table, name in names if name}

    def group_of(self, target: str) -> str:
        """Return the group of a real image, or a group itself."""
        return self.groups.name(self._group_of_id.get(target, target))

    def meaning(self, name: str, table: str) -> Targets | int:
        """Return the real images or groups that a parent fits, or the row of a synthetic image.

        An exact name goes before others; of these the one that has more of its end in common. A
        synthetic image of another table is meant by its id alone: files that generators make are
        called alike.
        """
        if targets := self._exact(name):
            return targets
        for key in (("", name), (table, name)):
            if key in self._row_of_synthetic:
                return self._row_of_synthetic[key]
        spelling = spelling_of(name)
        real, synthetic = self._names_of_real.fit(spelling), self._synthetic_fit(spelling, table)
        # The whole name of a synthetic image must be in the parent, or the whole parent in it:
        # edits often have the file name of their source.
        if synthetic.is_whole and synthetic.depth > real.depth:
            rows = [self._row_of_synthetic["", id_] for id_ in synthetic.targets]
            rows = [row for row in rows if not self._has_parent(row, name)]
            if len(rows) == 1:
                return rows[0]
            if rows:
                return {self.columns["id"][row]: self.columns["id"][row] for row in rows}
        return real.targets

    def _has_parent(self, row: int, name: str) -> bool:
        """Return whether an image has this parent, too: it is no source of others that have it."""
        parts, others = parts_of(name), parts_of(self.columns["parent"][row])
        return [p.casefold() for p in parts] == [p.casefold() for p in others]

    def groups_named(self, name: str) -> Targets:
        """Return the groups, and real images of them, that the group of a synthetic image fits.

        A mere number is no file name: synthetic images may have groups of their own.
        """
        if name in self._given_groups:
            return {self.groups.name(name): name}
        targets = self._exact(name)
        return (
            targets
            if targets or name.isdecimal()
            else self._names_of_real.fit(spelling_of(name)).targets
        )

    def _exact(self, name: str) -> Targets:
        if name in self._group_of_scene:
            return {self._group_of_scene[name]: self._group_of_scene[name]}
        if name in self._group_of_id or name in self._given_groups:
            return {self.group_of(name): name}
        if name in self._real_of_path:
            return self._real_of_path[name]
        # A table may write numbers with decimals, or with spaces around them.
        number = name.strip().removesuffix(".0")
        if number.isdecimal() and number in self._given_groups:
            return {self.groups.name(number): number}
        return {}

    @cached_property
    def _group_of_id(self) -> dict[str, str]:
        return {self.columns["id"][i]: self.columns["group"][i] for i in self.rows("real")}

    @cached_property
    def _given_groups(self) -> set[str]:
        return set(self._group_of_id.values())

    @cached_property
    def _group_of_scene(self) -> dict[str, str]:
        groups = ((self.scenes[i], self.columns["group"][i]) for i in self.rows("real"))
        return {scene: self.groups.name(group) for scene, group in groups if scene}

    @cached_property
    def _real_of_path(self) -> dict[str, Targets]:
        table: dict[str, Targets] = {}
        for i in self.rows("real"):
            id_ = self.columns["id"][i]
            targets = table.setdefault(self.paths[i], {})
            group = self.group_of(id_)
            if targets.setdefault(group, id_) != id_:
                targets[group] = group
        return table

    @cached_property
    def _row_of_synthetic(self) -> dict[Given, int]:
        """The rows of synthetic images, by their table and path, and by their id in any table."""
        by_path = {(self.tables[i], self.paths[i]): i for i in self.rows("synthetic")}
        return by_path | {("", self.columns["id"][i]): i for i in self.rows("synthetic")}

    @cached_property
    def _names_of_real(self) -> Names:
        return Names([*self._entries(self.rows("real")), *self._group_entries()])

    @cached_property
    def _names_of_synthetic(self) -> dict[str, Names]:
        rows: dict[str, list[int]] = {}
        for i in self.rows("synthetic"):
            rows.setdefault(self.tables[i], []).append(i)
        return {table: Names(self._entries(rows[table])) for table in rows}

    def _synthetic_fit(self, spelling: Spelling, table: str) -> Fit:
        """Return what a name fits of the synthetic images of its table."""
        names = self._names_of_synthetic.get(table)
        return Fit(0, False, {}) if names is None else names.fit(spelling)

    def _entries(self, rows: Iterable[int]) -> Iterator[tuple[str, str, str]]:
        for i in rows:
            id_ = self.columns["id"][i]
            group = self.group_of(id_) if self.columns["source"][i] == "real" else id_
            yield id_, group, id_
            if self.paths[i] != id_:
                yield self.paths[i], group, id_

    def _group_entries(self) -> Iterator[tuple[str, str, str]]:
        for name in self._given_groups - self._group_of_id.keys():
            if not name.isdecimal():  # An image 7.png has nothing to do with a group 7.
                yield name, self.groups.name(name), name
        for scene, group in self._group_of_scene.items():
            if not scene.isdecimal():
                yield scene, group, group


def tie(columns: Columns, paths: list[str], scenes: list[str], tables: list[str]) -> None:
    """Give every image its group, and every synthetic image the real one that it was made from.

    Real images of equal content share a group, and so do those that are made from each other. A
    synthetic copy of a real image is of its group. A parent becomes the id or the group of the
    real image that is meant, if one alone can be; else it stays as it is, the name of a source
    outside the table. Parents that are synthetic themselves are followed to theirs.

    Args:
        columns: the image table; it is changed.
        paths: the path of each image as the table spells it.
        scenes: the scene of each real image if its group is a wider one, else ``""``.
        tables: the table that each row is from, as errors name it.

    Raises:
        XprobeError: a parent, or the group of a synthetic image, fits images of several groups;
            or images are made from each other in a circle.
    """
    groups = Groups()
    sources = Sources(columns, paths, scenes, tables, groups)
    group_of_content = _join_copies(sources)
    if _join_parents(sources):
        sources = Sources(columns, paths, scenes, tables, groups)
    _name_sources(sources)
    for i in sources.rows("synthetic"):
        group = group_of_content.get(columns["sha256"][i], columns["group"][i])
        columns["group"][i] = groups.name(group)
        columns["parent"][i] = groups.name(columns["parent"][i])
    for i in sources.rows("real"):
        columns["group"][i] = groups.name(columns["group"][i])


def _join_copies(sources: Sources) -> dict[str, str]:
    """Join the groups of real images of equal content; return a group of each content."""
    first: dict[str, str] = {}
    for i in sources.rows("real"):
        digest, group = sources.columns["sha256"][i], sources.columns["group"][i]
        if digest and digest != EMPTY_FILE:
            sources.groups.join(first.setdefault(digest, group), group)
    return first


def _join_parents(sources: Sources) -> bool:
    """Join the groups of real images that are made from each other; return whether there are any.

    That is a crop, or a turned copy, beside the image itself.
    """
    pairs = []
    means = {}
    for i in sources.rows("real"):
        if name := sources.columns["parent"][i]:
            targets = sources.meaning(name, sources.tables[i])
            group = sources.group_of(sources.columns["id"][i])
            if isinstance(targets, int) or group in targets:
                continue
            means[sources.tables[i], name] = targets
            pairs += [(group, other) for other in targets]
    _refuse_ambiguous(means, "parents")
    for pair in pairs:
        sources.groups.join(*pair)
    return bool(pairs)


def _name_sources(sources: Sources) -> None:
    """Let parents and groups of synthetic images name real images and groups of the table."""
    columns = sources.columns
    groups = {given: sources.groups_named(given[1]) for given in sources.given("group")}
    parents = {
        (table, name): sources.meaning(name, table) for table, name in sources.given("parent")
    }
    real = {given: means for given, means in parents.items() if isinstance(means, dict)}
    _refuse_ambiguous(groups, "groups")
    _refuse_ambiguous(real, "parents")
    next_row: dict[int, int] = {}
    for i in sources.rows("synthetic"):
        table, group, parent = sources.tables[i], columns["group"][i], columns["parent"][i]
        columns["group"][i] = next(iter(groups.get((table, group), ())), group)
        means = parents.get((table, parent), {})
        if isinstance(means, int):
            next_row[i] = means
        else:
            columns["parent"][i] = next(iter(means.values()), parent)
    _follow(sources, next_row)


def _follow(sources: Sources, next_row: dict[int, int]) -> None:
    """Give images that are made from synthetic ones the sources of these."""
    columns = sources.columns
    for start in [*next_row]:
        chain = {start: None}  # The rows on the way, in order.
        row = start
        while row in next_row:
            row = next_row[row]
            if row in chain:
                rows = [*chain]
                circle = " ← ".join(columns["id"][i] for i in (*rows[rows.index(row) :], row))
                raise XprobeError(
                    f"{sources.tables[start]}: parents go round in a circle, {circle}: each must "
                    f"be the image that another was made from, or empty"
                )
            chain[row] = None
        source, *others = reversed(chain)
        for row in others:
            columns["parent"][row] = (
                columns["parent"][source] or columns["group"][source] or columns["id"][source]
            )
            columns["group"][row] = columns["group"][row] or columns["group"][source]
            del next_row[row]
            source = row


def _refuse_ambiguous(fits: Mapping[Given, Targets], column: str) -> None:
    doubtful: dict[str, list[str]] = {}
    for (table, name), targets in sorted(fits.items()):
        if len(targets) > 1:
            shown = f"{name} ({first_few(targets.values(), _EXAMPLES)})"
            doubtful.setdefault(table, []).append(shown)
    for table, names in doubtful.items():
        raise XprobeError(
            f"{table}: {column} that fit several images, {first_few(names, _EXAMPLES)}: give the "
            f"id of the image that is meant, or leave {column} empty that mean none of them"
        )
