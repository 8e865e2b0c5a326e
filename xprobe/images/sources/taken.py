"""What a published set was taken as, in a line; and what its rows are where it says nothing."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning, counted
from xprobe.images.licence import licence_of_sets
from xprobe.images.manifest import SPLITS, Row
from xprobe.images.sources.class_names import check_signs
from xprobe.images.sources.splits import VAL, is_trained_with

_ORDER = (*SPLITS, VAL)

# Names of the two classes of sets that are made to tell synthetic images from real ones.
_REAL = frozenset(("real", "nature", "natural", "human"))
_FAKE = frozenset(("fake", "synthetic", "generated", "ai", "ai-generated"))


def taken_as(title: str, data: Path, rows: Sequence[Row]) -> str:
    """Return what DATA was taken as: ``data: taken as: UC Merced, 21 classes × 100``.

    Args:
        title: name of the form, or of the set.
        data: where it lies.
        rows: its images; where they are of several splits or sources, each is counted apart. Where
            all name one data set, that goes before the form.
    """
    parts: dict[tuple[str, str, str], Counter[str]] = {}
    for row in rows:
        part = row.get("split") or "train", row["source"], row.get("generator", "")
        parts.setdefault(part, Counter())[row["label"]] += 1
    names = {row.get("dataset", "") for row in rows}
    if len(names) == 1 and any(names):
        title = f"{names.pop()} ({title})"
    several = len({split for split, _, _ in parts}) > 1
    words = []
    for (split, source, generator), sizes in sorted(parts.items(), key=_rank):
        name = f"{split}: " if several else ""
        kind = f" {source}" if source else ""
        by = f" of {generator}" if generator else ""
        words.append(f"{name}{_classes(sizes)}{kind}{by}")
    return f"{data}: taken as: {title}, {'; '.join(words) or 'no images'}"


def _rank(item: tuple[tuple[str, str, str], Counter[str]]) -> tuple[int, str, str]:
    (split, source, generator), _ = item
    return _ORDER.index(split) if split in _ORDER else len(_ORDER), source, generator


def _classes(sizes: Counter[str]) -> str:
    """Return in words how many classes there are, and how many images of a class."""
    least, most = min(sizes.values()), max(sizes.values())
    per_class = f"{least:,}" if least == most else f"{least:,}–{most:,}"
    return f"{counted(len(sizes), 'class', 'classes')} × {per_class}"


def filled_in(rows: Iterable[Row], source: str, title: str, data: Path) -> list[Row]:
    """Return rows with source, data set and licence, where the set itself does not state them.

    Args:
        rows: the images.
        source: ``real`` or ``synthetic``: what images are that the set does not say it of.
            Synthetic ones of a part for tests are left out, and counted.
        title: name of the set.
        data: where it lies, for the message.

    Raises:
        XprobeError: a class has a name that no folder could have, or all images are synthetic ones
            of a test part.
    """
    rows = list(rows)
    _tell_of_detection(rows, source, data)
    kept, tests = [], 0
    licences = licence_of_sets()
    for row in rows:
        # A title of a mere form, such as ImageFolder, is the name of no data set.
        name = row.get("dataset") or (title if title in licences else "")
        if not row["source"] and source == "synthetic" and name in licences:
            name = ""  # Synthetic images in the form of a set are no images of that set.
        licence = row.get("licence") or licences.get(name, "")
        known = {"dataset": name, "licence": licence}
        further = {column: text for column, text in known.items() if text or column in row}
        if not row["source"]:
            further["source"] = source
            if source == "synthetic" and not is_trained_with(row.get("split", "")):
                tests += 1
                continue
        kept.append(row | further)
    for name in sorted({row["label"] for row in kept}):
        check_signs(name, str(data), "rename it in the data set, or in a manifest of it")
    if tests and not kept:
        raise XprobeError(
            f"{data}: all of its synthetic images are of a test part, and tests are on real images "
            f"alone; name those of a training part"
        )
    if tests:
        warnings.warn(
            f"{data}: {counted(tests, 'synthetic image', 'synthetic images')} of a test part left "
            f"out; tests are on real images alone",
            XprobeWarning,
            stacklevel=3,
        )
    return kept


def _tell_of_detection(rows: Sequence[Row], source: str, data: Path) -> None:
    """Warn of classes that tell real images from synthetic ones, which is not what classes are."""
    names = sorted({row["label"] for row in rows if not row["source"]})
    words = {name.casefold() for name in names}
    if len(names) == 2 and words & _REAL and words & _FAKE:
        warnings.warn(
            f"{data}: its classes are {names[0]} and {names[1]}, and all of its images are taken "
            f"as {source}; if these words say which images are synthetic, write a table with "
            f"'xprobe scan {data} -o study.csv', and say so in its column source",
            XprobeWarning,
            stacklevel=4,
        )
