"""Paths that tables and lists name, as people and other systems write them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def why_no_path(path: str) -> str:
    """Return why a text can be the path of no file, and the remedy; ``""`` if it can."""
    if "\0" in path:
        return "holds a NUL character; save the text as UTF-8, one image a line"
    if path.lower().startswith("file://"):
        return "is an address; leave out 'file://'"
    if _ADDRESS.match(path):
        return "is an address; download the images first, and name the files"
    return ""


def with_slashes(file: Path, example: str) -> str:
    """Return the warning that a table or list has paths that are read as `as_on_disk` does."""
    return f"{file}: paths with \\ that lead to no file are read with / instead, such as {example}"


def as_on_disk(folder: Path, path: str) -> str:
    """Return a path below a folder as the disk spells it, if it only differs in its spelling.

    Backslashes may stand for slashes, letters may be composed or decomposed, and a text may have
    been written in Windows-1252. A path that leads to a file stays, as does one that leads to none
    in any spelling.
    """
    if path.isascii() and "\\" not in path:
        return path
    return next(
        (spelling for spelling in _spellings(path) if leads_to_file(folder, spelling)), path
    )


def _spellings(path: str) -> Iterator[str]:
    for text in (path, _from_windows(path)):
        for separated in (text, text.replace("\\", "/")):
            yield separated
            yield unicodedata.normalize("NFC", separated)
            yield unicodedata.normalize("NFD", separated)


def _from_windows(path: str) -> str:
    """Return a path whose bytes that are no UTF-8 are read as Windows-1252."""
    escaped = path.encode("utf-8", "surrogateescape")
    try:
        escaped.decode()
    except UnicodeDecodeError:
        return escaped.decode("cp1252", "replace")
    return path


def leads_to_file(folder: Path, path: str) -> bool:
    """Return whether a path below a folder exists, or the archive of ``archive.tar::member``."""
    places = (folder / path, folder / path.partition("::")[0])
    return any(os.path.exists(place) for place in places)  # noqa: PTH110  # It never raises.
