"""The sources of images: one row each, which says what DATA it recognises and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.base.registry import Registry, by_name
from xprobe.images.manifest import LAYOUT, Row
from xprobe.images.sources.folder import read_folder
from xprobe.images.sources.table import SUFFIXES, read_table


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
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, str], tuple[Iterable[Row], Path]]


def _is_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES


SOURCES_OF_IMAGES: Registry[ImageSource] = Registry(
    "xprobe.sources",
    "source of images",
    ImageSource,
    by_name(
        ImageSource("folder", Path.is_dir, read_folder),
        ImageSource("table", _is_table, read_table),
    ),
)


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
            raise XprobeError(
                f"{data}: no such folder or manifest file; make {data}/{LAYOUT}, or name another "
                f"DATA"
            )
        return sources[name].read(Path(rest), group)
    for source in _in_order():
        if source.recognises(data):
            return source.read(data, group)
    raise XprobeError(f"{data}: a manifest is a .csv, .jsonl or .parquet file")


def _in_order() -> Iterator[ImageSource]:
    """Yield all sources; those of other packages are loaded only when they are reached."""
    yield from SOURCES_OF_IMAGES.rows.values()
    for name in SOURCES_OF_IMAGES.names():
        yield SOURCES_OF_IMAGES[name]
