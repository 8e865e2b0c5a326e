"""From which data sets the images of a study are, and under which licences and terms."""

from __future__ import annotations

from collections import Counter

import numpy as np

from xprobe.design.lineage import licences
from xprobe.images.manifest import Manifest
from xprobe.results.study import DatasetCount, LicenceCount, MakerCount

_WAY = ("generator", "provider", "model", "terms", "watermark")


def licence_counts(images: Manifest) -> list[LicenceCount]:
    """Return how many images each licence counts for; none where no image has a licence."""
    licence = licences(images)
    if not any(licence):
        return []
    return [
        LicenceCount(licence=name, source=source, n=n)
        for (name, source), n in sorted(Counter(zip(licence, images.source, strict=True)).items())
    ]


def dataset_counts(images: Manifest) -> list[DatasetCount]:
    """Return how many images are of each data set, as far as the table says it."""
    pairs = zip(images.column("dataset"), images.source, strict=True)
    return [
        DatasetCount(dataset=name, source=source, n=n)
        for (name, source), n in sorted(Counter(pairs).items())
        if name
    ]


def maker_counts(images: Manifest) -> list[MakerCount]:
    """Return by whom synthetic images were made, as far as the table has a provider or a model."""
    is_told = (images.column("provider") != "") | (images.column("model") != "")
    told = images.select(np.asarray((images.source == "synthetic") & is_told, dtype=bool))
    ways = list(zip(*(told.column(name) for name in _WAY), strict=True))
    days: dict[tuple[str, ...], list[str]] = {}
    for way, date in zip(ways, told.column("date"), strict=True):
        days.setdefault(way, []).append(date[:10])
    return [
        MakerCount(
            generator=generator, provider=provider, model=model, terms=terms, watermark=watermark,
            first=min(dates), last=max(dates), n=len(dates),
        )
        for (generator, provider, model, terms, watermark), dates in sorted(days.items())
    ]  # fmt: skip
