"""The sources of images: one row each, which says what DATA it recognises and how it is read."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xprobe.base.errors import XprobeError
from xprobe.base.registry import Registry, by_name

if TYPE_CHECKING:
    from xprobe.images.manifest import Row

    Reader = Callable[[Path, str], tuple[Iterable[Row], Path]]


@dataclass(frozen=True)
class ImageSource:
    """A form of DATA: how images, and what is known of them, lie on disk.

    Attributes:
        name: name by which users choose this source, ``<name>:<DATA>``.
        recognises: function that says whether an existing path has this form; it should look at
            little more than the name.
        read: ``read(data, group)`` returns rows, and the folder that their paths are relative to.
            A row maps columns of `manifest.REQUIRED` and `manifest.OPTIONAL` to text. With a
            `group`, images of one value in that column are a group (`images.read.read`); a source
            without such a column raises an XprobeError.
        words: what DATA is in this form, for the help of commands; empty: it is not named there.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Reader
    words: str = ""


def _is_table(path: Path) -> bool:
    from xprobe.images.sources.cells import SUFFIXES

    return path.is_file() and path.suffix.lower() in SUFFIXES


def _is_xbd(path: Path) -> bool:
    from xprobe.images.sources.xbd.tree import is_xbd

    return is_xbd(path)


def _reader(place: str) -> Reader:
    """Return the reader ``module:function``, which is imported when it is first called.

    The help of commands is made from the rows, and must not wait for what readers import.
    """
    module, _, name = place.partition(":")

    def read(data: Path, group: str) -> tuple[Iterable[Row], Path]:
        reader: Reader = getattr(importlib.import_module(module), name)
        return reader(data, group)

    return read


_FOLDER = "xprobe.images.sources"

SOURCES_OF_IMAGES: Registry[ImageSource] = Registry(
    "xprobe.sources",
    "source of images",
    ImageSource,
    by_name(
        ImageSource("xbd", _is_xbd, _reader(f"{_FOLDER}.xbd.rows:read_xbd")),
        ImageSource(
            "folder", Path.is_dir, _reader(f"{_FOLDER}.folder:read_folder"), "folder of images"
        ),
        ImageSource(
            "table", _is_table, _reader(f"{_FOLDER}.table:read_table"),
            "manifest (.csv, .tsv, .jsonl, .json, .parquet)",
        ),
    ),
)  # fmt: skip


def forms(*others: str) -> str:
    """Return what DATA may be, one sentence from the rows, for the help of commands.

    Args:
        others: further forms that a command takes.
    """
    first, *rows = (row.words for row in SOURCES_OF_IMAGES.rows.values() if row.words)
    *parts, last = (first.capitalize(), *(f"a {words}" for words in rows), *others)
    return f"{', '.join(parts)}, or {last}."


def read_rows(data: Path, group: str = "") -> tuple[Iterable[Row], Path]:
    """Return the rows of DATA, and the folder that their paths are relative to.

    The first source that recognises the path reads it, xprobe's own before those of other
    packages; a path that does not exist may begin with the name of a source, ``<name>:``.

    Raises:
        XprobeError: no source recognises the path, or its source cannot read it.
    """
    sources = SOURCES_OF_IMAGES
    if not data.exists():
        name, colon, rest = str(data).partition(":")
        if not colon or name not in sources.names():
            raise _missing(data)
        return sources[name].read(Path(rest), group)
    for source in _in_order():
        if source.recognises(data):
            return source.read(data, group)
    raise XprobeError(f"{data}: a manifest is a .csv, .tsv, .jsonl, .json or .parquet file")


def _missing(data: Path) -> XprobeError:
    """Return the error of a path that leads nowhere, with what is most likely to help."""
    from xprobe.images.manifest import LAYOUT
    from xprobe.images.sources.cells import SUFFIXES

    if set(str(data)) & set("*?["):
        return XprobeError(
            f"{data}: no folder or manifest has such a name; the shell puts names in place of a "
            f"pattern, unless there are none or the pattern is quoted"
        )
    if data.suffix.lower() in SUFFIXES:
        return XprobeError(f"{data}: no such manifest file; correct its path")
    return XprobeError(
        f"{data}: no such folder or manifest file; make {data}/{LAYOUT}, or name another DATA"
    )


def _in_order() -> Iterator[ImageSource]:
    """Yield all sources; those of other packages are loaded only when they are reached."""
    yield from SOURCES_OF_IMAGES.rows.values()
    for name in SOURCES_OF_IMAGES.names():
        yield SOURCES_OF_IMAGES[name]
