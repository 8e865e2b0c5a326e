"""What a table holds, and what looks wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from xprobe.base.errors import some
from xprobe.images.decode import UnusableImageError, probe
from xprobe.images.manifest import EMPTY_FILE, SOURCES, Manifest


def counts(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the number of images per class × source × generator × split, as flat rows."""
    keys = zip(manifest.label, manifest.source, manifest.generator, manifest.split, strict=True)
    return [
        {"class": label, "source": source, "generator": generator or None, "split": split, "n": n}
        for (label, source, generator, split), n in sorted(Counter(keys).items())
    ]


def shapes(manifest: Manifest) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return file formats and sizes (pixels) per source, and the images without a readable header.

    Returns:
        rows ``{"source", "format", "n", "width": [min, median, max], "height": …}``; and a
        dictionary id → reason.
    """
    seen: dict[tuple[str, str], list[tuple[int, int]]] = {}
    unusable: dict[str, str] = {}

    def look(i: int) -> tuple[str, int, int] | UnusableImageError:
        try:
            return probe(manifest.path[i])
        except UnusableImageError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for i, found in enumerate(pool.map(look, range(len(manifest)))):
            if isinstance(found, UnusableImageError):
                unusable[manifest.id[i]] = str(found)
            else:
                seen.setdefault((manifest.source[i], found[0]), []).append(found[1:])
    rows = []
    for (source, kind), sizes in sorted(seen.items()):
        spread = {
            side: [int(v) for v in np.quantile(values, [0, 0.5, 1], method="nearest")]
            for side, values in zip(("width", "height"), zip(*sizes, strict=True), strict=True)
        }
        rows.append({"source": source, "format": kind, "n": len(sizes), **spread})
    return rows, unusable


def find_problems(manifest: Manifest) -> list[str]:
    """Return what looks wrong but stops nothing: equal content where there should be none."""
    by_content: dict[str, list[int]] = {}
    for i, digest in enumerate(manifest.sha256):
        if digest and digest != EMPTY_FILE:
            by_content.setdefault(digest, []).append(i)
    found: dict[str, list[str]] = {}
    for rows in by_content.values():
        if len(rows) > 1:
            for problem in _problems_of_copies(manifest, rows):
                found.setdefault(problem, []).append(manifest.id[rows[0]])
    problems = [f"{len(ids)} images {text}: {some(ids, 3)}" for text, ids in sorted(found.items())]
    train = (manifest.source == "real") & (manifest.split == "train")
    test = manifest.split == "test"
    missing = sorted(set(manifest.classes) - set(manifest.label[test]))
    if test.any() and missing:
        problems.append(f"the hold-out has no image of class {some(missing)}")
    for name in sorted(set(manifest.generator) - {""}):
        if lacking := sorted(
            set(manifest.classes) - set(manifest.label[manifest.generator == name])
        ):
            problems.append(f"generator {name} has no images of class {some(lacking)}")
    few = [
        c for c in manifest.classes if len(set(manifest.group[train & (manifest.label == c)])) < 2
    ]
    if few:
        problems.append(f"fewer than two real images or groups of class {some(few)}")
    return problems


def codec_problems(formats: list[dict[str, Any]]) -> list[str]:
    """Return what `shapes` rows say of a shortcut: a classifier may tell sources by file format."""
    kinds = {s: {row["format"] for row in formats if row["source"] == s} for s in SOURCES}
    if not all(kinds.values()) or kinds["real"] == kinds["synthetic"]:
        return []
    said = " but ".join(f"{s} images are {some(sorted(kinds[s]))}" for s in SOURCES)
    return [f"{said}: traces of compression can tell them apart"]


def _problems_of_copies(manifest: Manifest, rows: list[int]) -> Iterator[str]:
    sources = set(manifest.source[rows])
    splits = {manifest.split[i] for i in rows if manifest.source[i] == "real"}
    if len(sources) > 1:
        yield "are the same file as real and as synthetic (never trained on when tested on)"
    if "test" in splits and len(splits) > 1:
        yield "are the same file in training and test part (left out of training)"
    if len(set(manifest.label[rows])) > 1:
        yield "are the same file under several classes"
    if len(sources) == 1 and len(splits) < 2:
        yield f"are the same file as another {sources.pop()} image"
