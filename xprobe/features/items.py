"""The images of a run, of a manifest or streamed from lists and archives, and their outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xprobe.base.documents import Document, Number
from xprobe.base.errors import XprobeError
from xprobe.images import contents
from xprobe.images.decode import is_image
from xprobe.images.lists import ARCHIVE, paths_in
from xprobe.images.manifest import Manifest

ViewId = tuple[str, int]
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
        fault: why what a list names can be no image; ``""``: it may be one.
    """

    id: str
    path: str
    digest: str = ""
    has_views: bool = False
    span: contents.Span | None = None
    fault: str = ""


def items_of(manifest: Manifest, has_views: bool = False) -> Iterator[Item]:
    """Yield the images of a manifest; with `has_views`, the real training images have views."""
    columns = (manifest.id, manifest.path, manifest.sha256, manifest.source, manifest.split)
    for id_, path, digest, source, split in zip(*columns, strict=True):
        yield Item(id_, path, digest, has_views and (source, split) == ("real", "train"))


def items_in(file: str | Path) -> Iterator[Item]:
    """Yield the images of a tar archive, or of a text file with a path in each line.

    Paths are relative to the text file, and may lead to archives, too. The list is read as it is
    needed, and never stands in memory. What a line says wrongly is the fault of its item.

    Raises:
        XprobeError: the archive or list cannot be read.
    """
    file = Path(file)
    if file.suffix == ARCHIVE:
        yield from _items_of_archive(file)
        return
    folder = file.parent
    for path, fault in paths_in(file):
        place = folder / path
        if fault:
            yield Item(path, path, fault=fault)
            continue
        if not path.endswith(ARCHIVE):
            yield Item(path, str(place))
            continue
        try:
            yield from _items_of_archive(place)
        except (XprobeError, OSError) as error:
            yield Item(path, str(place), fault=_reason(error))


def _items_of_archive(file: Path) -> Iterator[Item]:
    for name, span in contents.members(file):
        if is_image(name):
            path = f"{file}::{name}"
            yield Item(path, path, span=span)


def _reason(error: XprobeError | OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


class EncoderOutcome(Document, frozen=True, kw_only=True):
    """What became of the images under one encoder; images = embedded + reused + failed.

    Attributes:
        name: name of the encoder.
        key: digest of all that decides its features.
        dim: features of an image.
        images: images that were looked at, and views of them.
        embedded: contents whose features were stored now.
        reused: images whose content the store had, or another image of this run brought.
        failed: images that have no features.
        seconds: how long this run took.
        images_per_s: how many images a second that was.
    """

    name: str
    key: str
    dim: int
    images: int
    embedded: int
    reused: int
    failed: int
    seconds: Number
    images_per_s: Number


class EmbeddedEncoder(EncoderOutcome, frozen=True, kw_only=True):
    """What became of the images under one encoder; images = embedded + reused + failed.

    Attributes:
        name: name of the encoder.
        key: digest of all that decides its features.
        dim: features of an image.
        images: images that were looked at, and views of them.
        embedded: contents that went through the encoder now.
        reused: images whose content the store had, or another image of this run brought.
        failed: images that cannot be embedded.
        seconds: how long this run took.
        images_per_s: how many images a second that was.
        asked_batch_size, batch_size: images a forward pass at the start of the run, and at its end.
        cosine_to_reference: least cosine of a feature to the exact one, for an encoder that takes a
            short cut; None for others.
    """

    asked_batch_size: int
    batch_size: int
    cosine_to_reference: Number | None
