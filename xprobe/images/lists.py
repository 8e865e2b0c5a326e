"""Lists of images: text files with a path in each line, as people and other tools write them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.decode import is_image
from xprobe.images.manifest import as_text
from xprobe.images.paths import as_on_disk, why_no_path, with_slashes
from xprobe.images.text import lines_of

ARCHIVE = ".tar"

SUFFIXES = (".txt", ".lst")

# The first line of a list is a header if its first word is one of these.
_HEADER = re.compile(r'"?(path|file|filename|image)"?(\s*[\t,;|].*|(\s+\w+)*)', re.IGNORECASE)


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
    told = False
    for number, line in enumerate(lines_of(file), 1):
        if not line.strip() or line.startswith("# ") or (number == 1 and _HEADER.fullmatch(line)):
            continue
        try:
            written = _path_in(line, file.parent)
        except XprobeError as error:
            yield ListedPath(line, str(error))
            continue
        if written.startswith("#") and not _is_source(written):
            continue
        path = as_on_disk(file.parent, written)
        if "\\" in written and path != written and not told:
            told = True
            warnings.warn(with_slashes(file, path), XprobeWarning, stacklevel=2)
        yield ListedPath(path, _fault_of(path, file.parent))


def _path_in(line: str, folder: Path) -> str:
    """Return the path in a line that may have further columns, or be quoted.

    Raises:
        XprobeError: several images are named, and it is not known which is meant.
    """
    text = line.strip()
    if line != text and (folder / line).exists():
        return line
    if quoted := re.fullmatch(r'"([^"]+)"(\s*[\t,;|].*)?', text):
        return quoted[1]
    cells = [cell.strip() for cell in re.split(r"[\t,;|]", text)]
    images = [cell for cell in cells if _is_source(cell)]
    if len(cells) > 1 and images and not (_is_source(text) and (folder / text).exists()):
        if len(images) > 1:
            raise XprobeError(f"names {len(images)} images; keep one path a line")
        return images[0]
    if _is_source(text):
        return text
    heads = (text[: space.start()] for space in re.finditer(r"\s", text))
    return next(filter(_is_source, heads), text)


def _is_source(name: str) -> bool:
    return is_image(name) or name.endswith(ARCHIVE)


def _fault_of(path: str, folder: Path) -> str:
    if fault := why_no_path(path):
        return fault
    if path.lower().endswith(SUFFIXES):
        return "is a list itself; name its images, or embed it as well"
    if as_text(path) != path and not (folder / path).exists():
        return "no such file; save the list as UTF-8"
    return ""
