"""Which image or group a name means, however it is spelled: folders, slashes, suffix, case."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple
from urllib.parse import unquote

from xprobe.images.formats import SUFFIXES

Targets = dict[str, str]
"""What a name fits: group → the id of the one image of it that fits, or, of several, the group."""

Entry = tuple[str, str, str]
"""A name, the group that it belongs to, and its target: the id of an image, or a group."""

# A name may have the suffix of another file of the image, or that of a number with decimals.
_OTHER_SUFFIXES = SUFFIXES | {
    ".avif", ".heic", ".heif", ".jp2", ".jxl", ".ppm", ".pgm", ".npy", ".json", ".txt", ".0",
}  # fmt: skip

# Spaces and quotation marks around a part of a name are none of it, nor are invisible characters.
_AROUND = " \t\r\n\v\f\"'\u00a0\u200b\u200e\u200f\ufeff"

# The part of a key that stands for the end of a whole name, and one that comes after all others.
_ROOT, _LAST = "\0", "\U0010ffff"


def parts_of(name: str) -> list[str]:
    """Return the folders and the file of a name, without what says nothing.

    Both kinds of slashes, and the ``::`` of members of archives, divide a name; letters are
    composed (NFC); ``.``, ``..`` and spaces are resolved.
    """
    text = unicodedata.normalize("NFC", name).replace("\\", "/").replace("::", "/")
    parts: list[str] = []
    for part in text.split("/"):
        bare = part.strip(_AROUND)
        if bare == "..":
            parts[-1:] = []
        elif bare not in ("", "."):
            parts.append(bare)
    return parts


def without_suffix(file: str) -> str:
    """Return the name of a file without the suffix of an image, if it has one."""
    stem, dot, suffix = file.rpartition(".")
    return stem if stem and dot + suffix.lower() in _OTHER_SUFFIXES else file


class Spelling(NamedTuple):
    """A name as it is spelled.

    Attributes:
        parts: its parts, as from `parts_of`.
        key: their loosest form, from the last on, then `_ROOT`.
    """

    parts: list[str]
    key: list[str]


def spelling_of(name: str) -> Spelling:
    """Return how a name is spelled."""
    parts = parts_of(name)
    return Spelling(parts, _key_of(parts))


def _key_of(parts: list[str]) -> list[str]:
    if not parts:
        return [_ROOT]
    text = "/".join(parts)
    if text.isascii() and "%" not in text:
        loose = text.casefold().split("/")
    else:
        loose = [unicodedata.normalize("NFKC", unquote(part)).casefold() for part in parts]
    loose[-1] = without_suffix(loose[-1])
    return [*reversed(loose), _ROOT]


_Form = tuple[int, str]


def _forms(end: str) -> Iterator[_Form]:
    """Yield the forms in which the ends of two names may agree, the most trustworthy first."""
    return enumerate((end, end.casefold(), without_suffix(end), ""))


def _table_of(entries: list[Entry], depth: int) -> dict[_Form, Targets]:
    """Return what names stand for, by all forms of their last parts."""
    table: dict[_Form, Targets] = {}
    for name, group, target in entries:
        for form in _forms("/".join(parts_of(name)[-depth:])):
            targets = table.setdefault(form, {})
            if targets.setdefault(group, target) != target:
                targets[group] = group
    return table


class Fit(NamedTuple):
    """What a name fits best.

    Attributes:
        depth: how many parts fit, from the last on; the end of a whole name counts as one.
        is_whole: whether nothing of the name is left over, or nothing of what it fits.
        targets: what fits so far; empty: nothing does.
    """

    depth: int
    is_whole: bool
    targets: Targets


class _Rows(NamedTuple):
    """The names of one file name, by their keys, and what they stand for."""

    keys: list[list[str]]
    entries: list[Entry]


class Names:
    """Names of images and groups by the file in them, then by its folders.

    Args:
        entries: all names.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_file: dict[str, list[Entry]] = {}
        for entry in entries:
            if parts := parts_of(entry[0]):
                self._by_file.setdefault(_key_of(parts[-1:])[0], []).append(entry)
        self._sorted: dict[str, _Rows] = {}
        self._folders: dict[int, set[str]] = {}
        self._tables: dict[tuple[str, int, int, int], dict[_Form, Targets]] = {}

    def _numbered_folders(self, depth: int) -> set[str]:
        """Return the folders above so many parts, if these do not tell the images apart."""
        if depth not in self._folders:
            group_of: dict[tuple[str, ...], str] = {}
            folders, is_told_apart = set(), True
            for name, group, _ in chain.from_iterable(self._by_file.values()):
                key = _key_of(parts_of(name))
                is_told_apart &= group_of.setdefault(tuple(key[:depth]), group) == group
                folders.update(key[depth : depth + 1])
            self._folders[depth] = set() if is_told_apart else folders
        return self._folders[depth]

    def fit(self, name: Spelling) -> Fit:
        """Return what has the longest end in common with a name.

        Of names with the same end in common, one that is used up by it goes before others, then
        one that is spelled alike goes before one of another case, and that before one of another
        suffix. Nothing fits where the first folder that differs is one of other images, and the
        folders hold files of the same names: such a name is of an image that is not in the table.
        """
        parts, key = name
        if key[0] not in self._by_file:
            return Fit(0, False, {})
        rows = self._rows(key[0])
        i = bisect_left(rows.keys, key)
        depth = max(_common(key, near) for near in rows.keys[max(i - 1, 0) : i + 1])
        covered = _beginning(rows.keys, [*key[:depth], _ROOT])
        if not covered and depth < len(parts) and key[depth] in self._numbered_folders(depth):
            return Fit(0, False, {})
        alike = covered or _beginning(rows.keys, key[:depth])
        targets = self._narrowed(key[0], alike, depth, parts)
        return Fit(depth, bool(covered) or depth >= len(parts), targets)

    def _rows(self, file: str) -> _Rows:
        if file not in self._sorted:
            pairs = [(_key_of(parts_of(entry[0])), entry) for entry in self._by_file[file]]
            pairs.sort()
            self._sorted[file] = _Rows([key for key, _ in pairs], [entry for _, entry in pairs])
        return self._sorted[file]

    def _narrowed(self, file: str, alike: range, depth: int, parts: list[str]) -> Targets:
        """Return what is spelled most alike of rows that have parts in common with a name."""
        if len(alike) == 1:
            _, group, target = self._rows(file).entries[alike.start]
            return {group: target}
        place = file, alike.start, alike.stop, depth
        if place not in self._tables:
            entries = self._rows(file).entries[alike.start : alike.stop]
            self._tables[place] = _table_of(entries, depth)
        table, end = self._tables[place], "/".join(parts[-depth:])
        return next(table[form] for form in _forms(end) if form in table)


def _beginning(keys: list[list[str]], prefix: list[str]) -> range:
    """Return the rows whose keys begin with a prefix."""
    first = bisect_left(keys, prefix)
    return range(first, bisect_left(keys, [*prefix, _LAST], first))


def _common(key: list[str], other: list[str]) -> int:
    """Return how many parts two keys have in common, from their beginning on."""
    depth = 0
    for part, twin in zip(key, other, strict=False):
        if part != twin:
            break
        depth += 1
    return depth
