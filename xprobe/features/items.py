"""The images of a run: of a manifest, or streamed from lists and archives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xprobe.images import contents
from xprobe.images.decode import is_image
from xprobe.images.manifest import Manifest

View = tuple[str, int]
"""Name of an augmentation, and number of the view of an image under it."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image to embed.

    Attributes:
        id: id of the image in its manifest, or else its path.
        path: path of its file or of a member of an archive, as in `contents.read`.
        digest: SHA-256 of its content; ``""`` if it is not known yet.
        has_views: whether its augmented views are embedded, too.
        span: offset and size in its archive, if they are known.
    """

    id: str
    path: str
    digest: str = ""
    has_views: bool = False
    span: contents.Span | None = None


def items_of(manifest: Manifest, has_views: bool = False) -> Iterator[Item]:
    """Yield the images of a manifest; with `has_views`, the real training images have views."""
    columns = (manifest.id, manifest.path, manifest.sha256, manifest.source, manifest.split)
    for id_, path, digest, source, split in zip(*columns, strict=True):
        yield Item(id_, path, digest, has_views and (source, split) == ("real", "train"))


def items_in(file: str | Path) -> Iterator[Item]:
    """Yield the images of a tar archive, or of a text file with a path in each line.

    Paths are relative to the text file, and may lead to archives, too. The list is read as it is
    needed, and never stands in memory.

    Raises:
        XprobeError: an archive cannot be read.
    """
    file = Path(file)
    if file.suffix == ".tar":
        for name, span in contents.members(file):
            if is_image(name):
                path = f"{file}::{name}"
                yield Item(path, path, span=span)
        return
    with file.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            path = line.rstrip("\r\n")
            if path.endswith(".tar"):
                yield from items_in(file.parent / path)
            elif path:
                yield Item(path, str(file.parent / path))
