"""Folders as they are listed: names of folders and files, each folder listed when it is asked for.

A folder that cannot be listed is an error: what it holds would otherwise be missing in silence.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property

from xprobe.base.errors import XprobeError
from xprobe.base.regular import opener
from xprobe.images.formats import BESIDE_IMAGES, HEAD_BYTES, is_image, is_picture

# What operating systems and tools leave behind; names are compared in lower case.
_SYSTEM_NAMES = frozenset(
    ("__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "thumbs.db", "ehthumbs.db",
     "desktop.ini", "system volume information", "__pycache__")
)  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        folders: names of its folders, links to folders among them.
        files: names of everything else.
        identity: what is equal for two paths to one folder, as links make them.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]
    identity: Hashable


Lister = Callable[[str], Listing]

# What folders were found to hold, by path, while `folders_listed_once` is in force; else None.
_LISTINGS: ContextVar[dict[str, Listing] | None] = ContextVar("_LISTINGS", default=None)


@contextmanager
def folders_listed_once() -> Iterator[None]:
    """Within ``with``, ask the disk once what a folder holds, however often it is listed.

    Each source of images lists DATA to say whether it recognises it. In a folder of many files, or
    in the network, a listing takes long.
    """
    token = _LISTINGS.set({})
    try:
        yield
    finally:
        _LISTINGS.reset(token)


def list_folder(path: str) -> Listing:
    """Return what a folder on disk holds.

    Raises:
        XprobeError: it cannot be listed, or holds a link without suffix that leads nowhere, which
            may have been a folder.
    """
    listings = _LISTINGS.get()
    if listings is None:
        return _listing_on_disk(path)
    if path not in listings:
        listings[path] = _listing_on_disk(path)
    return listings[path]


def _listing_on_disk(path: str) -> Listing:
    folders: list[str] = []
    files: list[str] = []
    try:
        status = os.stat(path)  # noqa: PTH116  # A Path is slow where there are many folders.
        with os.scandir(path) as entries:
            for entry in entries:
                (folders if _is_folder(entry) else files).append(entry.name)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise XprobeError(
            f"{error.filename or path}: this folder cannot be listed ({reason}), and its images "
            f"would be missing; mend its permissions or the disk, or move it away"
        ) from error
    return Listing(tuple(sorted(folders)), tuple(sorted(files)), (status.st_dev, status.st_ino))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        if entry.is_dir():
            return True
    except OSError as error:
        if error.errno != errno.ELOOP:  # a link in a circle leads nowhere
            error.filename = entry.path
            raise
    if "." not in entry.name and entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
        raise XprobeError(
            f"{entry.path}: this link leads nowhere (to {os.readlink(entry.path)}), and the images "  # noqa: PTH115
            f"of that folder would be missing; mend or remove it"
        )
    return False


class Folder:
    """A folder of images, of the `name` that its path ends in.

    Args:
        path: its path as the user gave it, which messages name.
        id: what the ids of its images begin with.
        place: its absolute path, if that is another one.
        lister: function that lists the folder of a path.
    """

    def __init__(
        self, path: str, id: str = "", place: str = "", lister: Lister = list_folder
    ) -> None:
        self.path, self.id, self.place, self._lister = path, id, place or path, lister
        self.name = os.path.basename(path)  # noqa: PTH119

    @cached_property
    def _listing(self) -> Listing:
        return self._lister(self.path)

    @property
    def identity(self) -> Hashable:
        """What is equal for two paths to one folder."""
        return self._listing.identity

    @cached_property
    def folders(self) -> tuple[Folder, ...]:
        """The folders in it by name, without hidden ones and those of operating systems."""
        return tuple(
            Folder(
                os.path.join(self.path, name), f"{self.id}/{name}".lstrip("/"),  # noqa: PTH118
                os.path.join(self.place, name), self._lister,  # noqa: PTH118
            )
            for name in self._listing.folders
            if not _is_hidden(name)
        )  # fmt: skip

    @cached_property
    def files(self) -> list[str]:
        """Names of the files in it, without hidden ones and those of operating systems."""
        return [name for name in self._listing.files if not _is_hidden(name)]

    def holds_picture(self, name: str) -> bool:
        """Return whether a file in it is an image, by its suffix or else by its first bytes."""
        if is_image(name) or os.path.splitext(name)[1].lower() in BESIDE_IMAGES:  # noqa: PTH122
            return is_image(name)
        try:
            path = os.path.join(self.path, name)  # noqa: PTH118
            with open(path, "rb", opener=opener) as stream:
                return is_picture(name, stream.read(HEAD_BYTES))
        except OSError:
            return False  # It is counted among what is left out.

    @property
    def hidden(self) -> list[str]:
        """Names of the folders and files that `folders` and `files` leave out."""
        return [name for name in (*self._listing.folders, *self._listing.files) if _is_hidden(name)]

    def walk(self) -> Iterator[tuple[Folder, tuple[str, ...]]]:
        """Yield the folder and all below it, with the names that lead there; circles end."""
        seen: set[Hashable] = set()
        stack: list[tuple[Folder, tuple[str, ...]]] = [(self, ())]
        while stack:
            folder, names = stack.pop()
            if folder.identity not in seen:
                seen.add(folder.identity)
                yield folder, names
                stack += [(inner, (*names, inner.name)) for inner in reversed(folder.folders)]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES
