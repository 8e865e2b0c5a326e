"""Lists of images: text files with a path in each line, as people and other tools write them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.formats import is_image
from xprobe.images.manifest import as_text
from xprobe.images.paths import as_on_disk, leads_to_file, why_no_path, with_slashes
from xprobe.images.text import lines_of

ARCHIVE = ".tar"

SUFFIXES = (".txt", ".lst")

# The first line of a list is a header if its first word is one of these.
_HEADER = re.compile(r'"?(path|file|filename|image)"?(\s*[\t,;|].*|(\s+\w+)*)', re.IGNORECASE)

# Most lines are nothing but a path, of which nothing else needs to be asked.
_PLAIN = re.compile(r"[A-Za-z0-9_./+=@()~-]+")

_QUOTED = re.compile(r"""(["'])(.+?)\1(\s*[\s,;|].*)?""")


class ListedPath(NamedTuple):
    """The path in a line of a list, and why it cannot be that of an image; ``""`` if it can."""

    path: str
    fault: str = ""


def paths_in(file: Path) -> Iterator[ListedPath]:
    """Yield the paths of a list, relative to its folder, as they are needed.

    A line may hold further columns, such as a class, beside tabs, commas, semicolons or bars, or
    behind a space. Blank lines, comments (``# …``) and a header are left out.

    Raises:
        XprobeError: the list is no regular file.
    """
    if not file.is_file():
        raise XprobeError(f"{file}: no such list of images")
    told, folder = False, file.parent
    for number, line in enumerate(lines_of(file), 1):
        if number == 1 and _HEADER.fullmatch(line):
            continue
        if _PLAIN.fullmatch(line) and not line.endswith(SUFFIXES):
            yield ListedPath(line)
            continue
        if not line.strip() or line.startswith("# "):
            continue
        try:
            written = _path_in(line, folder)
        except XprobeError as error:
            yield ListedPath(line, str(error))
            continue
        if written.startswith("#") and not _is_source(written):
            continue
        path = as_on_disk(folder, written)
        if "\\" in written and path != written and not told:
            told = True
            warnings.warn(with_slashes(file, path), XprobeWarning, stacklevel=2)
        yield ListedPath(path, _fault_of(path, folder))


def _path_in(line: str, folder: Path) -> str:
    """Return the path in a line that may have further columns, or be quoted.

    Raises:
        XprobeError: several images are named, and it is not known which is meant.
    """
    text = line.strip()
    if line != text and leads_to_file(folder, line):
        return line
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        cells = [quoted[2], *re.split(r"[\s,;|\"']+", quoted[3] or "")]
    else:
        cells = [cell.strip() for cell in re.split(r"[\t,;|]", text)]
    if len(cells) > 1 and _is_source(text) and leads_to_file(folder, text):
        return text
    images = [cell for cell in cells if _is_source(cell)]
    if len(images) > 1:
        raise XprobeError(f"names {len(images)} images; keep one path a line")
    if quoted or images:
        return cells[0] if quoted else images[0]
    heads = (text[: space.start()] for space in re.finditer(r"\s", text))
    return next(filter(_is_source, heads), text)


def _is_source(name: str) -> bool:
    return is_image(name) or name.endswith(ARCHIVE)


def _fault_of(path: str, folder: Path) -> str:
    if fault := why_no_path(path):
        return fault
    if path.lower().endswith(SUFFIXES):
        return "is a list itself; name its images, or embed it as well"
    if as_text(path) != path and not leads_to_file(folder, path):
        return "no such file; save the list as UTF-8"
    return ""
