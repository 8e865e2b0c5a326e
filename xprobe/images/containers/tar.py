"""The members of tar archives: their names and places."""

from __future__ import annotations

import errno
import posixpath
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from xprobe.base.errors import XprobeWarning, first_few
from xprobe.images.containers.marks import Mark, mark_of
from xprobe.images.containers.registry import Span
from xprobe.images.containers.tar_headers import FILE, SPARSE, ArchiveError, headers
from xprobe.images.formats import BESIDE_IMAGES

# Links that lead to links are followed so far, as the operating system does.
_MOST_LINKS = 40

# Members of these types have no content, or are read by tarfile as part of the next one.
_WITHOUT_CONTENT = frozenset((*tarfile.SUPPORTED_TYPES, b"V", b"D")) - {SPARSE}


def members(archive: str | Path) -> Iterator[tuple[str, Span]]:
    """Yield the name and the span of each file in an uncompressed tar, in constant memory.

    Links to files of the archive come last, with the span of the file that they lead to. Of members
    that share a name all are yielded; unpacked, the last one counts. Archives that were joined with
    ``cat`` are read to the last.

    Raises:
        ArchiveError: the archive is compressed or no tar; or, after the members before it, there
            is damage, or no end as a tar has it.
        OSError: the file cannot be read, or is no regular one.
    """
    for name, span, _ in _files(str(archive)):
        yield name, span


def _files(file: str) -> Iterator[tuple[str, Span, bytes | None]]:
    """Yield what `members` does, and the content where it was read with the header."""
    links: dict[str, str] = {}
    odd: list[str] = []
    for name, kind, offset, size, target, content in headers(file, is_told=True):
        if kind == FILE:
            yield name, (offset, size), content
        elif kind == tarfile.LNKTYPE:
            links[name] = posixpath.normpath(target)
        elif kind == tarfile.SYMTYPE:
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        elif kind not in _WITHOUT_CONTENT:
            odd.append(name)
    if odd:
        _warn(
            f"{file}: {len(odd)} members of a type that cannot be read, such as sparse files, are "
            f"left out: {first_few(odd, 3)}; pack them with plain 'tar -cf'"
        )
    for name, span in _linked(file, links) if links else ():
        yield name, span, None


# --- places that are kept ------------------------------------------------------------------

# A span is kept as one number, offset * _SIZES + size: a third of the memory of a pair.
_SIZES = 2**40


class _Places:
    """Where the members of an archive lie that may be images.

    Attributes:
        damage: why the archive was not read to its end; empty: it was.
    """

    def __init__(self, archive: str) -> None:
        self.damage = ""
        self._archive = archive
        self._numbers: dict[str, int] = {}
        self._doubled: list[str] = []

    def add(self, name: str, span: Span) -> None:
        """Keep a span; of members that share a name the last one counts, as when unpacked."""
        if _is_beside_images(name):
            return
        if name in self._numbers:
            self._doubled.append(name)
        self._numbers[name] = span[0] * _SIZES + span[1]

    def tell(self) -> None:
        """Warn of members that share a name."""
        if self._doubled:
            _warn(
                f"{self._archive}: {len(self._doubled)} members have the name of an earlier one, "
                f"which they replace: {first_few(self._doubled, 3)}"
            )

    def locate(self, name: str) -> Span:
        """Return where an image lies.

        Raises:
            FileNotFoundError: no member has that name, or one of a type that stands beside images.
        """
        try:
            return divmod(self._numbers[name], _SIZES)
        except KeyError:
            reason = f"no such member; {self.damage}" if self.damage else "no such member"
            if _is_beside_images(name):
                reason = "no image by its name"
            path = f"{self._archive}::{name}"
            raise FileNotFoundError(errno.ENOENT, reason, path) from None


def _is_beside_images(name: str) -> bool:
    return f".{name.rpartition('.')[2].lower()}" in BESIDE_IMAGES


# Device and inode of an archive, equal for two paths to it → its mark, and what lies in it.
_PLACES: dict[tuple[int, int], tuple[Mark, _Places]] = {}
_LOOKING = threading.Lock()


def kept_members(archive: str | Path) -> Iterator[tuple[str, Span, bytes | None]]:
    """Yield what `members` does, and keep where images lie, which `locate` need not look for then.

    With it comes the content of a file that is so small that it was read with its header, of most
    texts beside images; else None. An image takes some 150 bytes of memory as long as the process
    runs.
    """
    file = str(archive)
    places = _Places(file)
    mark = mark_of(file)
    for name, span, content in _files(file):
        places.add(name, span)
        yield name, span, content
    places.tell()
    _PLACES[mark[:2]] = mark, places


def locator(file: str) -> Callable[[str], Span]:
    """Return the function that says where an image of an archive lies, as the archive is now.

    Only the first call, if any, looks through the archive.

    Raises:
        OSError: the archive cannot be read; the function: it has no such image.
    """
    return _places_in(file).locate


def locate(file: str, member: str) -> Span:
    """Return where an image lies, as `locator` does."""
    return locator(file)(member)


def _places_in(file: str) -> _Places:
    """Return the places in an archive; a new time or size renews what is kept."""
    mark = mark_of(file)
    with _LOOKING:
        kept = _PLACES.get(mark[:2])
        if kept and kept[0] == mark:
            return kept[1]
        places = _Places(file)
        try:
            for name, span in members(file):
                places.add(name, span)
            places.tell()
        except ArchiveError as error:
            places.damage = str(error)
        _PLACES[mark[:2]] = mark, places
        return places


# --- links ---------------------------------------------------------------------------------


def _linked(file: str, links: dict[str, str]) -> Iterator[tuple[str, Span]]:
    """Yield the links of an archive, name → target, with the spans of the files they lead to."""
    targets = set(links.values())
    spans = {
        name: (offset, size)
        for path, kind, offset, size, _, _ in headers(file, is_told=False)
        if kind == FILE and (name := posixpath.normpath(path)) in targets
    }
    target_of = {posixpath.normpath(name): target for name, target in links.items()}
    lost = []
    for name, target in links.items():
        for _ in range(_MOST_LINKS):
            if target in spans or target not in target_of:
                break
            target = target_of[target]
        if target in spans:
            yield name, spans[target]
        else:
            lost.append(name)
    if lost:
        _warn(
            f"{file}: {len(lost)} links lead to no file of the archive and are left out: "
            f"{first_few(lost, 3)}; pack it with 'tar --dereference'"
        )


def _warn(message: str) -> None:
    warnings.warn(message, XprobeWarning, stacklevel=3)
