"""A survey of the image table: counts, file formats and sizes, and what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import msgspec
import numpy as np

from xprobe.base.documents import Document
from xprobe.base.errors import counted, first_few
from xprobe.images.classes import lacking, missing_classes
from xprobe.images.decode import UnusableImageError, probe
from xprobe.images.manifest import EMPTY_FILE, SOURCES, Manifest

# Formats whose files keep every pixel: TIFF may be compressed as JPEG, and seldom is.
_LOSSLESS = ("BMP", "DIB", "PNG", "PPM", "TIFF")


class Count(Document, frozen=True, kw_only=True):
    """How many images there are of a class, source, generator and split.

    Attributes:
        class_: class of the images.
        source: ``real`` or ``synthetic``.
        generator: name of the generator; None: real images.
        control: control that synthetic images are made for; empty: none.
        split: ``train``, ``test`` or ``extra``.
        n: number of images.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("control",)

    class_: str = msgspec.field(name="class")
    source: str
    generator: str | None = None
    control: str = ""
    split: str
    n: int


class Shape(Document, frozen=True, kw_only=True):
    """The sizes of the images of a source and file format.

    Attributes:
        source: ``real`` or ``synthetic``.
        format: format of the files.
        n: number of images.
        width, height: the least, the median and the greatest width and height, pixels.
    """

    source: str
    format: str
    n: int
    width: tuple[int, int, int]
    height: tuple[int, int, int]


def counts(manifest: Manifest) -> list[Count]:
    """Return the number of images per class × source × generator × control × split, sorted."""
    names = ("label", "source", "generator", "control", "split")
    keys = zip(*map(manifest.column, names), strict=True)
    return [
        Count(
            class_=label, source=source, generator=generator or None, control=control, split=split,
            n=n,
        )
        for (label, source, generator, control, split), n in sorted(Counter(keys).items())
    ]  # fmt: skip


def shapes(manifest: Manifest) -> tuple[list[Shape], dict[str, str]]:
    """Return file formats and sizes per source, and id → reason of images without a header."""
    sizes_of: dict[tuple[str, str], list[tuple[int, int]]] = {}
    unusable: dict[str, str] = {}

    def read_header(i: int) -> tuple[str, int, int] | UnusableImageError:
        try:
            return probe(manifest.path[i])
        except UnusableImageError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for i, header in enumerate(pool.map(read_header, range(len(manifest)))):
            if isinstance(header, UnusableImageError):
                unusable[manifest.id[i]] = str(header)
            else:
                sizes_of.setdefault((manifest.source[i], header[0]), []).append(header[1:])
    rows = []
    for (source, kind), sizes in sorted(sizes_of.items()):
        width, height = (_spread(side) for side in zip(*sizes, strict=True))
        rows.append(Shape(source=source, format=kind, n=len(sizes), width=width, height=height))
    return rows, unusable


def _spread(values: Sequence[int]) -> tuple[int, int, int]:
    """Return the least, the median and the greatest of some numbers."""
    least, median, greatest = np.quantile(values, [0, 0.5, 1], method="nearest")
    return int(least), int(median), int(greatest)


def limit_warnings(manifest: Manifest) -> list[str]:
    """Return a warning of a table that was made small for a smoke test."""
    if manifest.limit is None:
        return []
    return [
        f"SMOKE TEST on {len(manifest)} images, as asked (--limit {manifest.limit}): what follows "
        f"says nothing of all images"
    ]


def find_problems(manifest: Manifest) -> list[str]:
    """Return warnings about a table: a limit, copies of images, classes with too few of them."""
    by_content: dict[str, list[int]] = {}
    for i, digest in enumerate(manifest.sha256):
        if digest and digest != EMPTY_FILE:
            by_content.setdefault(digest, []).append(i)
    copies: dict[tuple[str, str], list[str]] = {}
    for rows in by_content.values():
        if len(rows) > 1:
            for problem in _problems_of_copies(manifest, rows):
                copies.setdefault(problem, []).append(manifest.id[rows[0]])
    problems = limit_warnings(manifest)
    for (one, many), ids in sorted(copies.items()):
        said = counted(len(ids), f"image {one}", f"images {many}")
        problems.append(f"{said}: {first_few(ids, 3)}")
    train = (manifest.source == "real") & (manifest.split == "train")
    test = manifest.split == "test"
    missing = sorted(set(manifest.classes) - set(manifest.label[test]))
    if test.any() and missing:
        problems.append(f"the hold-out has no image of class {first_few(missing)}")
    if incomplete := missing_classes(manifest):
        problems.append(
            f"generators that lack a class: {lacking(incomplete)}; a sweep needs some images of "
            f"it, or --skip-incomplete to leave them out"
        )
    few = [
        c for c in manifest.classes if len(set(manifest.group[train & (manifest.label == c)])) < 2
    ]
    if few:
        problems.append(f"fewer than two real images or groups of class {first_few(few)}")
    return problems


def codec_problems(formats: Sequence[Shape]) -> list[str]:
    """Return a warning if a classifier may tell the sources apart by their file formats alone.

    Formats that keep every pixel leave no trace in the pixels, so that they count as one.
    """
    kinds = {s: {row.format for row in formats if row.source == s} for s in SOURCES}
    traces = [{"" if kind in _LOSSLESS else kind for kind in kinds[s]} for s in SOURCES]
    if not all(traces) or traces[0] == traces[1]:
        return []
    said = " but ".join(f"{s} images are {first_few(sorted(kinds[s]))}" for s in SOURCES)
    return [
        f"{said}: traces of compression can tell them apart; to rule that out, embed all of them "
        f"through one codec, too, with --match-codec jpeg-90"
    ]


def _problems_of_copies(manifest: Manifest, rows: list[int]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with images of one content, as it is said of one image and of several."""
    sources = set(manifest.source[rows])
    splits = {manifest.split[i] for i in rows if manifest.source[i] == "real"}
    problems = []
    if len(sources) > 1:
        problems.append("the same file as real and as synthetic (never trained on when tested on)")
    if "test" in splits and len(splits) > 1:
        problems.append("the same file in training and test part (left out of training)")
    if len(set(manifest.label[rows])) > 1:
        problems.append("the same file under several classes")
    if len(sources) == 1 and len(splits) < 2:
        problems.append(f"the same file as another {sources.pop()} image")
    return ((f"is {problem}", f"are {problem}") for problem in problems)
