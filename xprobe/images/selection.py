"""Which images of a table take part: what a split for validation is, and which generators."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from xprobe.base.errors import XprobeError, XprobeWarning, did_you_mean, first_few
from xprobe.images.classes import generators, lacking, missing_classes
from xprobe.images.config import DataConfig
from xprobe.images.manifest import Manifest, Row


def settle_validation(rows: Iterable[Row], val: str) -> Iterator[Row]:
    """Yield rows whose split ``val`` is ``train`` or ``test`` instead, and warn of how many.

    Synthetic images are never tested on, so that those of a ``val`` that is tested on are left out.
    """
    counts: Counter[str] = Counter()
    for row in rows:
        if row.get("split") != "val":
            yield row
            continue
        counts[row["source"]] += 1
        if val == "train" or row["source"] == "real":
            yield row | {"split": val}
    what = " and ".join(f"{n} {source}" for source, n in sorted(counts.items()))
    if val == "train" and counts:
        _warn(f"val is trained with ({what} images); --val test tests on its real ones instead")
    elif counts:
        n = counts["synthetic"]
        without = f"; {n} synthetic ones are left out" if n else ""
        _warn(f"val is tested on, as asked ({counts['real']} real images{without})")


def choose_generators(manifest: Manifest, config: DataConfig, data: object) -> Manifest:
    """Return the images of the generators that take part, and all real ones.

    Raises:
        XprobeError: a generator is not known, or none is left.
    """
    known = generators(manifest)
    if unknown := [name for name in config.generators if name not in known]:
        raise XprobeError(
            f"{data}: --generator {unknown[0]}: no such generator"
            f"{did_you_mean(unknown[0], known, 1)}; known: {first_few(known, 20) or 'none'}"
        )
    if config.generators:
        manifest = _of(config.generators, manifest)
    missing = missing_classes(manifest) if config.skip_incomplete else {}
    if not missing:
        return manifest
    complete = [name for name in generators(manifest) if name not in missing]
    if not complete:
        raise XprobeError(
            f"{data}: every generator lacks a class: {lacking(missing)}; add images, or remove the "
            f"class from real"
        )
    _warn(f"left out {len(missing)} generators that lack a class: {lacking(missing)}")
    return _of(complete, manifest)


def _of(names: Iterable[str], manifest: Manifest) -> Manifest:
    """Return the real images and those of some generators."""
    chosen = np.isin(manifest.generator.astype(str), ["", *names])
    return manifest.select(chosen)


def _warn(text: str) -> None:
    warnings.warn(text, XprobeWarning, stacklevel=3)
