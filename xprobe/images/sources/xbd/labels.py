"""Label files of xBD: JSON with the buildings of an image, and what the image shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from xprobe.images import contents
from xprobe.images.manifest import is_missing
from xprobe.images.polygons import are_outlines
from xprobe.images.sources.xbd.tiles import GRADES, Damage

# Only these fields are decoded: the outlines in degrees, half of each file, are passed over.


class _Properties(msgspec.Struct):
    subtype: str = ""


class _Building(msgspec.Struct):
    properties: _Properties
    wkt: str = ""


class _Features(msgspec.Struct):
    xy: list[_Building]


class _Metadata(msgspec.Struct):
    disaster_type: str = ""
    catalog_id: str | int | None = None
    width: int | None = None
    height: int | None = None


class _File(msgspec.Struct):
    features: _Features
    metadata: _Metadata


_DECODER = msgspec.json.Decoder(_File)


@dataclass(frozen=True)
class Label:
    """What a label file says of its image.

    Attributes:
        disaster: kind of the disaster; files from before an event name it, too. Empty: there is
            no name of a kind.
        strip: catalogue number of the strip that the image was cut from; empty: there is none.
        size: width and height, pixels; None: the file says none.
        damage: buildings by their damage; those of an unknown grade count as ``un-classified``.
        unknown_grades: grades that xBD does not have.
    """

    disaster: str
    strip: str
    size: tuple[int, int] | None
    damage: Damage
    unknown_grades: tuple[str, ...]


UNREADABLE = (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What is raised of a file that cannot be read, is no JSON, is cut off, or lacks what it needs."""

_LONGEST_NAME = 100


def reason_of(error: BaseException) -> str:
    """Return in a few words why a label file cannot be read; the error is one of `UNREADABLE`."""
    if isinstance(error, OSError):
        return contents.reason_of(error)
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def read_label(path: str | Path) -> Label:
    """Return what a label file says.

    Raises:
        UNREADABLE: it is no label file that can be read.
    """
    file = _decoded(path)
    buildings, metadata = file.features.xy, file.metadata
    grades = Counter(building.properties.subtype for building in buildings)
    unknown = sorted(set(grades) - {*GRADES, ""})
    counts = [grades[grade] for grade in GRADES[:-1]]
    size = None
    if metadata.width is not None and metadata.height is not None:
        size = (metadata.width, metadata.height)
    return Label(
        disaster=_name(metadata.disaster_type),
        strip=_name(metadata.catalog_id),
        size=size,
        damage=Damage((*counts, len(buildings) - sum(counts))),  # type: ignore[arg-type]
        unknown_grades=tuple(unknown),
    )


def outlines_in(path: str | Path) -> list[bool]:
    """Return of each building in a label file whether its outline parses.

    That takes ten times as long as reading all else in the file.

    Raises:
        UNREADABLE: as in `read_label`.
    """
    return are_outlines([building.wkt for building in _decoded(path).features.xy])


def _decoded(path: str | Path) -> _File:
    return _DECODER.decode(contents.read(str(path)))


def _name(value: object) -> str:
    """Return a value as a name in a table; ``""`` if it is missing, too long or unprintable."""
    text = str(value).strip()
    is_name = text.isprintable() and len(text) <= _LONGEST_NAME and not is_missing(text)
    return text if is_name else ""
