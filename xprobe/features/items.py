"""The images of a run, of a manifest or streamed from lists and archives, and their outcome."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, splitext

from xprobe.base.documents import Document, Number
from xprobe.base.errors import XprobeWarning, first_few
from xprobe.images import contents
from xprobe.images.braces import files_of
from xprobe.images.containers.tar import ArchiveError, members
from xprobe.images.formats import (
    BESIDE_IMAGES,
    HEAD_BYTES,
    is_image,
    is_leftover,
    is_picture,
)
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
    spans = contents.spans_of(manifest.path)
    for id_, path, digest, source, split, span in zip(*columns, spans, strict=True):
        is_viewed = has_views and (source, split) == ("real", "train")
        yield Item(id_, path, digest, is_viewed, span)


Streamed = str | Path | Sequence[str | Path]
"""Files that bring images without classes: archives and lists, or patterns of such files."""


def items_in(files: Streamed, unread: list[str] | None = None) -> Iterator[Item]:
    """Yield the images in tar archives, and those that text files name, one path a line.

    The paths in a text file are relative to it, and may also name archives. Archives and text files
    are read piece by piece, so that memory does not depend on their size. A line that can name no
    image becomes an item whose `fault` says why.

    Args:
        files: files one after another, or patterns of files (`braces.files_of`).
        unread: takes a line about each archive that cannot be read to its end, and the images after
            it are yielded, too; without it, such an archive is an error.

    Raises:
        XprobeError: files of a pattern are missing, or an archive or list cannot be read.
    """
    places = [files] if isinstance(files, str | Path) else files
    for file in [file for place in places for file in files_of(Path(place))]:
        yield from _items_of_file(file, unread)


def names_of(files: Streamed) -> str:
    """Return how messages name such files."""
    return first_few([str(files)] if isinstance(files, str | Path) else map(str, files), 3)


def _items_of_file(file: Path, unread: list[str] | None) -> Iterator[Item]:
    if file.suffix == ARCHIVE:
        try:
            yield from _items_of_archive(file)
        except (ArchiveError, OSError) as error:
            if unread is None:
                raise
            unread.append(_line_about(file, error))
        return
    for path, fault in paths_in(file):
        if fault:
            yield Item(path, path, fault=fault)
        elif path.endswith(ARCHIVE):
            yield from _items_of_file(file.parent / path, unread)
        else:
            yield Item(path, str(file.parent / path))


def _items_of_archive(file: Path) -> Iterator[Item]:
    """Yield the images of an archive; what looks like no image, and should, is counted.

    Raises:
        ArchiveError, OSError: as in `containers.tar.members`.
    """
    left_out: Counter[str] = Counter()
    for name, span in members(file):
        if is_leftover(name):
            continue
        path = f"{file}::{name}"
        suffix = splitext(name)[1].lower()
        if is_image(name):
            yield Item(path, path, span=span)
        elif suffix in BESIDE_IMAGES or basename(name).startswith("."):
            continue
        elif is_picture(name, contents.read(path, (span[0], min(span[1], HEAD_BYTES)))):
            yield Item(path, path, span=span)
        else:
            left_out[suffix or "without suffix"] += 1
    if left_out:
        kinds = first_few([f"{n} {kind}" for kind, n in left_out.most_common()])
        warnings.warn(
            f"{file}: members that are no images of a format that is read are left out: {kinds}",
            XprobeWarning,
            stacklevel=2,
        )


def _line_about(file: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{file}: {contents.reason_of(error)}"
    return str(error)


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
        alias: short name by which people read it.
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

    alias: str = ""
    asked_batch_size: int
    batch_size: int
    cosine_to_reference: Number | None
