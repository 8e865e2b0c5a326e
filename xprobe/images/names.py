"""Which image or group a name means, however it is spelled: folders, slashes, suffix, case."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from xprobe.images.decode import SUFFIXES

Targets = dict[str, str]
"""What a name fits: group → the id of the one image of it that fits, or, of several, the group."""

# A name may have the suffix of another file of the image, or that of a number with decimals.
_OTHER_SUFFIXES = SUFFIXES | {
    ".avif", ".heic", ".heif", ".jp2", ".jxl", ".ppm", ".pgm", ".npy", ".json", ".txt", ".0",
}  # fmt: skip

# Spaces and quotation marks around a part of a name are none of it, nor are invisible characters.
_AROUND = " \t\r\n\v\f\"'\u00a0\u200b\u200e\u200f\ufeff"

_ROOT = "\0"
"""The part of a key that stands for the end of a whole name."""


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


def _key(parts: list[str]) -> str:
    """Return the loosest form of a name, last part first, each part followed by a slash."""
    loose = [unicodedata.normalize("NFKC", unquote(p)).casefold().replace("/", "_") for p in parts]
    loose[-1] = without_suffix(loose[-1])
    return "/".join([*reversed(loose), _ROOT, ""])


# How the parts of two names may agree, the most trustworthy form first; the last agrees always.
_FORMS: tuple[Callable[[str], str], ...] = (str, str.casefold, without_suffix, lambda _: "")


@dataclass(frozen=True)
class Fit:
    """What a name fits best.

    Attributes:
        depth: how many parts fit, from the last on; the end of a whole name counts as one.
        is_whole: whether nothing of the name is left over, or nothing of what it fits.
        targets: what fits so far; empty: nothing does.
    """

    depth: int = 0
    is_whole: bool = False
    targets: Targets = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Names:
    """Names of images and groups, ordered by their last parts, so that a look-up is a bisection.

    Attributes:
        entries: (name, group, target) of every name; the target is the id of an image or a group.
    """

    entries: Iterable[tuple[str, str, str]]
    _tables: dict[tuple[int, int, int, int], dict[str, Targets]] = field(default_factory=dict)

    @cached_property
    def _rows(self) -> list[tuple[str, str, str, str]]:
        """(key, parts with slashes, group, target) of every name, by key."""
        rows = []
        for name, group, target in self.entries:
            if parts := parts_of(name):
                rows.append((_key(parts), "/".join(parts), group, target))
        rows.sort()
        return rows

    @cached_property
    def _keys(self) -> list[str]:
        return [row[0] for row in self._rows]

    @cached_property
    def _numbered_folders(self) -> set[str]:
        """Folders of images, if file names alone do not tell the images apart; else none."""
        folders, group_of, is_told_apart = set(), dict[str, str](), True
        for key, _, group, _ in self._rows:
            file, folder, *_ = key.split("/")
            folders.add(folder)
            is_told_apart &= group_of.setdefault(file, group) == group
        return set() if is_told_apart else folders - {_ROOT}

    def fit(self, name: str) -> Fit:
        """Return what has the longest end in common with a name.

        Of names with the same end in common, one that is used up by it goes before others, then
        one that is spelled alike goes before one of another case, and that before one of another
        suffix. A file name alone fits nothing where the name's folder is one of the images' and
        the same file names are in several folders: it is then an image that is not in the table.
        """
        parts = parts_of(name)
        if not parts:
            return Fit()
        key = _key(parts)
        i = bisect_left(self._keys, key)
        depth = max((_common(key, near) for near in self._keys[max(i - 1, 0) : i + 1]), default=0)
        if not depth:
            return Fit()
        end = "/".join(key.split("/")[:depth]) + "/"
        covered = self._beginning(f"{end}{_ROOT}/")
        if depth == 1 and len(parts) > 1 and not covered:
            if key.split("/")[1] in self._numbered_folders:
                return Fit()
        rows = covered or self._beginning(end)
        tail = "/".join(parts[-depth:])
        targets = next(
            targets
            for form in range(len(_FORMS))
            if (targets := self._table(rows, depth, form).get(_FORMS[form](tail)))
        )
        return Fit(depth, bool(covered) or depth >= len(parts), targets)

    def _beginning(self, prefix: str) -> range:
        """Return the rows whose keys begin with a prefix."""
        last = bisect_left(self._keys, prefix + "\U0010ffff")
        return range(bisect_left(self._keys, prefix), last)

    def _table(self, rows: range, depth: int, form: int) -> dict[str, Targets]:
        """Return what some rows stand for, by a form of their ends; it is made once."""
        place = rows.start, rows.stop, depth, form
        if place not in self._tables:
            table: dict[str, Targets] = {}
            for _, name, group, target in (self._rows[i] for i in rows):
                targets = table.setdefault(_FORMS[form](_end(name, depth)), {})
                if targets.setdefault(group, target) != target:
                    targets[group] = group
            self._tables[place] = table
        return self._tables[place]


def _common(key: str, other: str) -> int:
    """Return how many parts two keys have in common, from their beginning on."""
    depth = 0
    for part, twin in zip(key.split("/")[:-1], other.split("/")[:-1], strict=False):
        if part != twin:
            break
        depth += 1
    return depth


def _end(name: str, depth: int) -> str:
    return "/".join(name.split("/")[-depth:])
