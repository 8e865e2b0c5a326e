"""What parents and groups of one table mean where there are several, and images have other ids."""

from __future__ import annotations

import os
from collections.abc import Iterable

from xprobe.base.errors import XprobeError, first_few
from xprobe.images.manifest import PARENT_PATH, SCENE, SPELT, TABLE, WRITTEN, Row

_EXAMPLES = 3


class References:
    """Names that tables give their images, by id or by path, and the ids that these have now.

    A parent is sought in this order: among the real images of its own table; as a path relative to
    the folder of its table, of a real image; among the real images of other tables; among the
    groups of real images; among the synthetic images of its own table; as the path of a synthetic
    image; among the ids of other synthetic images. What none of these has is left as it is, for
    `images.parents`, which also knows other spellings.
    """

    def __init__(self) -> None:
        self._inside: dict[tuple[str, str, str], str] = {}
        self._real: dict[str, dict[str, str]] = {}
        self._synthetic: dict[str, list[str]] = {}
        self._of_path: dict[tuple[str, str], str] = {}
        self._renamed: dict[tuple[str, str], str] = {}
        self._groups: set[str] = set()
        self._folders: dict[str, str] = {}

    def place(self, path: str) -> str:
        """Return a path with the links in its folders resolved, equal for all paths to one file."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return f"{self._folders[folder]}/{name}"

    def add(self, row: Row, id_: str) -> None:
        """Take in a row as its table has it, and the id that its image has."""
        table, source = row[TABLE], row["source"]
        name = row.get(WRITTEN) or row["id"]
        self._of_path.setdefault((source, self.place(row["path"])), id_)
        for written in dict.fromkeys((name, row[SPELT])):
            self._inside.setdefault((table, source, written), id_)
            if source == "real":
                self._real.setdefault(written, {}).setdefault(id_, table)
        if source == "synthetic":
            if name != row[SPELT]:
                self._synthetic.setdefault(name, []).append(id_)
            return
        self._groups |= {row.get("group", ""), row.get(SCENE, "")} - {""}
        if row["id"] != id_:
            self._renamed[table, row["id"]] = id_

    def settle(self, rows: Iterable[tuple[Row, str]]) -> None:
        """Let parents and groups of rows be the ids of the images that they mean.

        Args:
            rows: rows, which are changed, and the ids of their images.

        Raises:
            XprobeError: one is the name of real images in several other tables.
        """
        doubtful: dict[tuple[str, str], list[str]] = {}
        for row, id_ in rows:
            for column, meaning in (("parent", self._parent), ("group", self._group)):
                if name := row.get(column, ""):
                    try:
                        row[column] = meaning(row, id_)
                    except _SeveralError as error:
                        doubtful.setdefault((row[TABLE], column), []).append(f"{name} ({error})")
        for (table, column), names in doubtful.items():
            raise XprobeError(
                f"{table}: {column}s that are names of images in several tables, "
                f"{first_few(dict.fromkeys(names), _EXAMPLES)}: give these images ids of their "
                f"own, or name the file that is meant by its path from the folder of {table}"
            )

    def _parent(self, row: Row, id_: str) -> str:
        """Return the id of the image that the parent of an image is, or the parent as it stands."""
        name, table, path = row["parent"], row[TABLE], self.place(row.get(PARENT_PATH, ""))
        for real in (self._inside.get((table, "real", name)), self._of_path.get(("real", path))):
            if real is not None:
                return real
        if real := self._elsewhere(name):
            return real
        if name in self._groups:
            return name
        others = self._synthetic.get(name, [])
        synthetic = (
            self._inside.get((table, "synthetic", name)), self._of_path.get(("synthetic", path)),
            *(others if len(others) == 1 else ()),
        )  # fmt: skip
        # An image that is called as its parent is not its own parent.
        return next((meant for meant in synthetic if meant and meant != id_), name)

    def _group(self, row: Row, _id: str) -> str:
        """Return the group of an image; if it is the id of an image, the id which that has now."""
        name, table = row["group"], row[TABLE]
        if row["source"] == "real":
            return self._renamed.get((table, name), name)
        if real := self._inside.get((table, "real", name)):
            return real
        return name if name in self._groups else self._elsewhere(name) or name

    def _elsewhere(self, name: str) -> str:
        """Return the id of the one real image of this name; ``""`` if there is none.

        Raises:
            _SeveralError: there are several, and no group has the name.
        """
        images = self._real.get(name, {})
        if len(images) == 1:
            return next(iter(images))
        if images and name not in self._groups:
            raise _SeveralError(first_few(images.values(), _EXAMPLES))
        return ""


class _SeveralError(Exception):
    """A name is that of images in the tables that the message names."""
