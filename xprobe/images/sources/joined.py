"""Several tables as one: images that are given twice, ids that clash, parents in other tables.

A later table never changes the id of an image of an earlier one, so that what was computed of the
earlier tables stays.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from xprobe.base.errors import XprobeError, XprobeWarning, counted, first_few
from xprobe.images import contents
from xprobe.images.manifest import DEFAULT_GENERATOR, GUESSED, SCENE, TABLE, WRITTEN, Row
from xprobe.images.sources.located import name_of
from xprobe.images.sources.references import References

_EXAMPLES = 3


def joined(parts: Sequence[Sequence[Row]]) -> list[Row]:
    """Return the rows of several DATA as those of one table, and warn of what was decided.

    An image that two tables give, the same file or one of equal id and content, is taken once: the
    earlier row stands, and what it does not say is taken from the later one. Of two generators it
    is two images. An id that is that of another image in an earlier table gets the name of its
    table in front. Parents and groups follow these changes, see `References`.

    Args:
        parts: the rows of each DATA, `located`.

    Raises:
        XprobeError: a table gives an id twice; tables give a file different classes or splits; an
            image has no id that is not taken; a parent is the name of images in several other
            tables; a scene has several wider groups.
    """
    rows = _told_apart(parts)
    if len({row[TABLE] for row in rows}) < 2:
        return rows
    union = _Union()
    for row in rows:
        union.add(row)
    union.finish()
    _check_scenes(union.rows)
    _warn_of_one_name(union.rows)
    return union.rows


def _told_apart(parts: Iterable[Sequence[Row]]) -> list[Row]:
    """Return the rows of all parts; a table that is read again has another name in them."""
    rows: list[Row] = []
    known: set[str] = set()
    for part in parts:
        tables = {row[TABLE] for row in part}
        again = {table: f"{table} (again)" for table in tables & known}
        rows += (
            (row | {TABLE: again.get(row[TABLE], row[TABLE])} for row in part) if again else part
        )
        known |= tables
    return rows


class _Union:
    """The rows of all tables so far.

    Attributes:
        rows: a row for each image.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._of_id: dict[str, Row] = {}
        self._of_file: dict[tuple[str, str], list[Row]] = {}
        self._names: set[tuple[str, str]] = set()
        self._twins: list[tuple[Row, Row]] = []
        self._renamed: list[tuple[Row, Row]] = []
        self._contrary: list[tuple[Row, Row]] = []
        self._references = References()
        self._digests: dict[str, str] = {}

    def add(self, row: Row) -> None:
        """Take in a row: a further image, or what else is known of one."""
        table, name = row[TABLE], row["id"]
        if (table, name) in self._names:
            raise XprobeError(
                f"{table}: ids given twice: {name}; give every image an id of its own"
            )
        self._names.add((table, name))
        namesake = self._of_id.get(name)
        twin = namesake if namesake and self._are_one(namesake, row) else self._file_given(row)
        if twin is not None:
            pairs = self._twins if _part(twin) == _part(row) else self._contrary
            pairs.append((twin, row))
            self._references.add(row, twin["id"])
            return
        image = row if namesake is None else self._renamed_from(namesake, row)
        self._references.add(row, image["id"])
        self.rows.append(image)
        self._of_id[image["id"]] = image
        self._of_file.setdefault(self._file(image), []).append(image)

    def _renamed_from(self, namesake: Row, row: Row) -> Row:
        """Return a row by another id, since an earlier table has its id for another image."""
        table, id_ = row[TABLE], f"{name_of(row[TABLE])}/{row['id']}"
        if id_ in self._of_id:
            raise XprobeError(
                f"{table}: the id {row['id']} is that of another image in {namesake[TABLE]}, and "
                f"so is {id_}; give the images of one of them other ids, or its folder another name"
            )
        image = row | {"id": id_, WRITTEN: row.get(WRITTEN) or row["id"]}
        self._renamed.append((namesake, image))
        return image

    def _file_given(self, row: Row) -> Row | None:
        """Return the row of an earlier table that gives the same file, of the same generator."""
        twins = self._of_file.get(self._file(row), [])
        return next((x for x in twins if x[TABLE] != row[TABLE] and _may_be_one(x, row)), None)

    def _file(self, row: Row) -> tuple[str, str]:
        return self._references.place(row["path"]), row["source"]

    def _are_one(self, row: Row, other: Row) -> bool:
        """Return whether rows of one id are the same image of the same meaning."""
        if row["source"] != other["source"] or _part(row) != _part(other):
            return False
        if not _may_be_one(row, other):
            return False
        if self._file(row) == self._file(other):
            return True
        digest = self._digest(row["path"])
        return bool(digest) and digest == self._digest(other["path"])

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            self._digests[path] = contents.digest(path)
        return self._digests[path]

    def finish(self) -> None:
        """Let parents and groups name images of the union, and unite what tables say of one.

        Raises:
            XprobeError: tables contradict each other, or a name is that of several images.
        """
        for (first, table), pairs in _by_tables(self._contrary):
            shown = [f"{later['path']} ({_contradiction(a, later)})" for a, later in pairs]
            raise XprobeError(
                f"{table}: {counted(len(pairs), 'image has', 'images have')} another class or "
                f"split than in {first}: {first_few(shown, _EXAMPLES)}; correct one of the rows"
            )
        self._references.settle((row, row["id"]) for row in self.rows)
        self._references.settle((later, earlier["id"]) for earlier, later in self._twins)
        self._warn()
        for earlier, later in self._twins:
            further = {column: cell for column, cell in later.items() if _adds(earlier, column)}
            if _says_generator(later):
                further["generator"] = later["generator"]
            earlier.update(further)

    def _warn(self) -> None:
        for (first, table), pairs in _by_tables(self._twins):
            ids = [earlier["id"] for earlier, _ in pairs]
            said = counted(len(ids), "image is", "images are")
            _warn(
                f"{table}: {said} given by {first}, too, and taken once: "
                f"{first_few(ids, _EXAMPLES)}"
            )
            contrary = [
                f"{earlier['id']} ({column})"
                for earlier, later in pairs
                for column in later
                if _is_contrary(earlier, later, column)
            ]
            if contrary:
                _warn(
                    f"{table}: what it says of {len(contrary)} of them differs from {first}, which "
                    f"is taken: {first_few(contrary, _EXAMPLES)}"
                )
        for (first, table), pairs in _by_tables(self._renamed):
            said = counted(
                len(pairs), "id is that of another image", "ids are those of other images"
            )
            ids = [image["id"] for _, image in pairs]
            _warn(
                f"{table}: {said} in {first}; they stand behind the name of the table, such as "
                f"{first_few(ids, _EXAMPLES)}"
            )


def _part(row: Row) -> tuple[str, str]:
    """Return the part of a study that an image is of: its class and split."""
    return row["label"], row.get("split") or "train"


def _may_be_one(row: Row, other: Row) -> bool:
    """Return whether two rows do not say that an image is of different generators."""
    generators = {x["generator"] for x in (row, other) if _says_generator(x)}
    return len(generators) < 2


def _says_generator(row: Row) -> bool:
    return row.get("generator", "") not in ("", DEFAULT_GENERATOR) and GUESSED not in row


def _contradiction(earlier: Row, later: Row) -> str:
    """Return in which class or split the rows of a file differ, as a message says it."""
    pairs = zip(_part(earlier), _part(later), strict=True)
    return ", ".join(f"{other}, not {one}" for one, other in pairs if one != other)


def _adds(row: Row, column: str) -> bool:
    return not column.startswith("\0") and not row.get(column)


def _is_contrary(earlier: Row, later: Row, column: str) -> bool:
    apart = ("id", "path", "generator", "split")
    values = earlier.get(column, ""), later[column]
    return column not in apart and column[0] != "\0" and all(values) and values[0] != values[1]


def _by_tables(
    pairs: Iterable[tuple[Row, Row]],
) -> list[tuple[tuple[str, str], list[tuple[Row, Row]]]]:
    """Return (table of the first row, table of the second) → pairs of such rows, as a list."""
    lists: dict[tuple[str, str], list[tuple[Row, Row]]] = {}
    for first, second in pairs:
        lists.setdefault((first[TABLE], second[TABLE]), []).append((first, second))
    return [*lists.items()]


def _check_scenes(rows: Sequence[Row]) -> None:
    """Raise if tables give a scene several wider groups; warn of scenes that are mere numbers."""
    wider: dict[str, Row] = {}
    numbers: dict[str, Row] = {}
    shared: dict[str, tuple[str, str]] = {}
    for row in rows:
        if row["source"] != "real":
            continue
        if scene := row.get(SCENE, ""):
            first = wider.setdefault(scene, row)
            if first.get("group") != row.get("group"):
                raise XprobeError(
                    f"{row[TABLE]}: images of the scene {scene} are of {row.get('group')}, but in "
                    f"{first[TABLE]} of {first.get('group')}; give both one, or the scenes other "
                    f"names"
                )
        elif (group := row.get("group", "")).isdecimal():
            first = numbers.setdefault(group, row)
            if first[TABLE] != row[TABLE]:
                shared[group] = first[TABLE], row[TABLE]
    if shared:
        first_table, table = next(iter(shared.values()))
        _warn(
            f"{table}: {counted(len(shared), 'group is a number', 'groups are numbers')} that "
            f"{first_table} has, too, and taken for one scene: {first_few(shared, _EXAMPLES)}; "
            f"give them other names if they are not"
        )


def _warn_of_one_name(rows: Iterable[Row]) -> None:
    """Warn of tables without a generator that count as one, since they have the same name."""
    tables: dict[str, dict[str, None]] = {}
    for row in rows:
        if name := row.get(GUESSED):
            tables.setdefault(name, {})[row[TABLE]] = None
    for name, several in tables.items():
        if len(several) > 1:
            _warn(
                f"{first_few(several, _EXAMPLES)}: they name no generator, and count as one, "
                f"{name}, since they are called so; fill in the column generator if they are of "
                f"several"
            )


def _warn(text: str) -> None:
    warnings.warn(text, XprobeWarning, stacklevel=2)
