"""What a published set was taken as, in a line; and what its rows are where it says nothing."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from xprobe.base.errors import XprobeWarning, counted
from xprobe.images.manifest import SPLITS, Row

_ORDER = (*SPLITS, "val")


def taken_as(title: str, data: Path, rows: Sequence[Row]) -> str:
    """Return what DATA was taken as: ``data: taken as: UC Merced, 21 classes × 100``.

    Where its images are all of one named data set, that stands behind the form.

    Args:
        title: name of the form, or of the set.
        data: where it lies.
        rows: its images; where they are of several splits or sources, each is counted apart.
    """
    parts: dict[tuple[str, str, str], Counter[str]] = {}
    for row in rows:
        part = row.get("split") or "train", row["source"], row.get("generator", "")
        parts.setdefault(part, Counter())[row["label"]] += 1
    several = len({split for split, _, _ in parts}) > 1
    words = []
    for (split, source, generator), sizes in sorted(parts.items(), key=_rank):
        name = f"{split}: " if several else ""
        kind = f" {source}" if source else ""
        by = f" of {generator}" if generator else ""
        words.append(f"{name}{_classes(sizes)}{kind}{by}")
    sets = {row.get("dataset", "") for row in rows} - {title}
    name = f", {sets.pop()}" if len(sets) == 1 and any(sets) else ""
    return f"{data}: taken as: {title}{name}, {'; '.join(words) or 'no images'}"


def _rank(item: tuple[tuple[str, str, str], Counter[str]]) -> tuple[int, str, str]:
    (split, source, generator), _ = item
    return _ORDER.index(split) if split in _ORDER else len(_ORDER), source, generator


def _classes(sizes: Counter[str]) -> str:
    """Return in words how many classes there are, and how many images of a class."""
    least, most = min(sizes.values()), max(sizes.values())
    per_class = f"{least:,}" if least == most else f"{least:,}–{most:,}"
    return f"{counted(len(sizes), 'class', 'classes')} × {per_class}"


def filled_in(rows: Iterable[Row], source: str, title: str, data: Path) -> list[Row]:
    """Return rows with a source, where the set says none, and with the name of the set.

    Args:
        rows: the images.
        source: ``real`` or ``synthetic``: what images are that the set does not say it of.
            Synthetic ones of a part for tests are left out, and counted.
        title: name of the set.
        data: where it lies, for the message.
    """
    kept, tests = [], 0
    for row in rows:
        further = {"dataset": row.get("dataset") or title}
        if not row["source"]:
            further["source"] = source
            if source == "synthetic" and row.get("split", "") not in ("", "train", "val"):
                tests += 1
                continue
        kept.append(row | further)
    if tests:
        warnings.warn(
            f"{data}: {counted(tests, 'synthetic image', 'synthetic images')} of a test part left "
            f"out; tests are on real images alone",
            XprobeWarning,
            stacklevel=3,
        )
    return kept
