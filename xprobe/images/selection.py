"""Which images of a table take part: what a split for validation is, and which generators."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from xprobe.base.declared import split_names
from xprobe.base.errors import XprobeError, XprobeWarning, counted, did_you_mean, first_few
from xprobe.images.classes import generators, lacking, missing_classes
from xprobe.images.config import DataConfig
from xprobe.images.manifest import SPELT, Manifest, Row, id_of


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
        left_out = counted(n, "synthetic one is left out", "synthetic ones are left out")
        real = counted(counts["real"], "real image", "real images")
        _warn(f"val is tested on, as asked ({real}{f'; {left_out}' if n else ''})")


def take_few(rows: Iterable[Row], limit: int | None) -> list[Row]:
    """Return up to `limit` real images of each class and split, and synthetic ones in proportion.

    Of the synthetic images of a class, generator and control as many times `limit` stay, rounded
    up, as there are for each real image to train on, so that the ratios that all images allow are
    possible with fewer, too. Which ones stay follows from their ids alone, so that all commands
    choose the same; those made from a real image that stays go before others. None leaves all.
    """
    rows = list(rows)
    if limit is None:
        return rows
    real: dict[tuple[str, str], list[Row]] = {}
    synthetic: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["source"] == "synthetic":
            kind = row["label"], row.get("generator", ""), row.get("control", "")
            synthetic.setdefault(kind, []).append(row)
        else:
            real.setdefault((row["label"], row.get("split") or "train"), []).append(row)
    kept = [row for part in real.values() for row in sorted(part, key=_draw)[:limit]]
    names = {
        name for row in kept for name in (id_of(row), row["path"], row.get(SPELT), row.get("group"))
    }

    def is_last(row: Row) -> bool:
        sources = {row.get("parent", ""), row.get("group", "")} - {""}
        return bool(sources) and not sources & names

    for (label, *_), part in synthetic.items():
        times = math.ceil(len(part) / max(1, len(real.get((label, "train"), ()))))
        part.sort(key=lambda row: (is_last(row), _draw(row)))
        kept += part[: limit * times]
    return kept


def _draw(row: Row) -> str:
    """Return what puts rows into an order that is random, and always the same."""
    return hashlib.sha256(id_of(row).encode()).hexdigest()


def choose_generators(manifest: Manifest, config: DataConfig, data: object) -> Manifest:
    """Return the images of the generators that take part, and all real ones.

    Raises:
        XprobeError: a generator is not known, or none is left.
    """
    known = generators(manifest)
    wanted = split_names(config.generators, known.__contains__)
    if unknown := [name for name in wanted if name not in known]:
        raise XprobeError(
            f"{data}: --generator {unknown[0]}: no such generator"
            f"{did_you_mean(unknown[0], known, 1)}; known: {first_few(known, 20) or 'none'}"
        )
    if wanted:
        manifest = _of(wanted, manifest)
    missing = missing_classes(manifest) if config.skip_incomplete else {}
    if not missing:
        return manifest
    complete = [name for name in generators(manifest) if name not in missing]
    if not complete:
        raise XprobeError(
            f"{data}: every generator lacks a class: {lacking(missing)}; add images, or remove the "
            f"class from real"
        )
    without = counted(len(missing), "generator that lacks a class", "generators that lack a class")
    _warn(f"left out {without}: {lacking(missing)}")
    return _of(complete, manifest)


def _of(names: Iterable[str], manifest: Manifest) -> Manifest:
    """Return the real images and those of some generators."""
    chosen = np.isin(manifest.generator.astype(str), ["", *names])
    return manifest.select(chosen)


def _warn(text: str) -> None:
    warnings.warn(text, XprobeWarning, stacklevel=3)
