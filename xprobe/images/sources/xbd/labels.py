"""Label files of xBD: JSON with the buildings of an image, and what the image shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from xprobe.base.regular import opener
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
    catalog_id: str = ""
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
        disaster: kind of the disaster; files from before an event name it, too.
        strip: catalogue number of the strip that the image was cut from.
        size: width and height, pixels; None: the file says none.
        damage: buildings by their damage; those of an unknown grade count as ``un-classified``.
        unknown_grades: grades that xBD does not have.
    """

    disaster: str
    strip: str
    size: tuple[int, int] | None
    damage: Damage
    unknown_grades: tuple[str, ...]


UNREADABLE = (OSError, msgspec.MsgspecError, UnicodeDecodeError)
"""What is raised of a file that cannot be read, is no JSON, is cut off, or lacks what it needs."""


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
        disaster=metadata.disaster_type,
        strip=metadata.catalog_id,
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
    with open(path, "rb", opener=opener) as stream:  # A Path takes no opener.
        return _DECODER.decode(stream.read())
