"""Null edits: real training images that a generator was asked to return unchanged.

They are the control that shows what the generator's fingerprint alone does: its codec, watermark
and resampling. A fold trains on the null edits of its own real training images, since those of
others would be further real images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Strings
from xprobe.base.errors import first_few
from xprobe.images.manifest import NULL_EDIT, Manifest

LEAST_SHARE = 0.9
"""A ratio has the control if there is this share of its null edits: some edits are refused."""


def with_label(names: Strings, label: Strings) -> NDArray[np.str_]:
    """Return names (n,) that differ where either the name or the class of an image does."""
    return np.char.add(np.char.add(names.astype(str), "\0"), label.astype(str))


def sources_of(null_edits: Manifest) -> NDArray[np.str_]:
    """Return (n,) the parent of each null edit, or its group if it has none, with its class."""
    parent = np.where(null_edits.parent == "", null_edits.group, null_edits.parent)
    return with_label(parent, null_edits.label)


def are_made_of(sources: NDArray[np.str_], real: Manifest) -> Bools:
    """Return (n,) whether sources, as `sources_of` names them, are some of these real images."""
    names = [with_label(column, real.label) for column in (real.id, real.group)]
    return np.isin(sources, np.concatenate(names))


def null_edits_of(
    manifest: Manifest, real: Manifest, generators: Sequence[str]
) -> tuple[Manifest, list[str]]:
    """Return the null edits that a study may train on, and a warning of those that it may not.

    Args:
        manifest: all images.
        real: the real images that take part.
        generators: the generators that have other images, too.
    """
    null_edits = manifest.select(manifest.column("control") == NULL_EDIT)
    if not len(null_edits):
        return null_edits, []
    trained_on = manifest.select((manifest.source == "real") & (manifest.split == "train"))
    sources = sources_of(null_edits)
    is_stray = ~are_made_of(sources, trained_on)
    warnings = []
    for name in sorted(set(null_edits.generator)):
        is_of = null_edits.generator == name
        if name not in generators:
            warnings.append(
                f"generator {name} has null edits alone, and no mix that they could be the control "
                f"of: they are left out"
            )
        elif n := int((is_of & is_stray).sum()):
            warnings.append(
                f"{n} of {is_of.sum()} null edits of generator {name} name no real training image "
                f"of their class as their parent: they are left out"
            )
    is_studied = np.isin(null_edits.generator.astype(str), generators)
    return null_edits.select(is_studied & are_made_of(sources, real)), warnings


def possible_ratios(per_real: Mapping[str, float], ratios: Sequence[float]) -> tuple[float, ...]:
    """Return the ratios for which every class has enough null edits.

    Args:
        per_real: how many null edits each class has for a real training image.
        ratios: the ratios of the mixes.
    """
    return tuple(r for r in ratios if min(per_real.values()) >= LEAST_SHARE * r)


def too_few_words(generator: str, per_real: Mapping[str, float], lacking: Sequence[float]) -> str:
    """Say for which ratios a generator has too few null edits."""
    counts = (f"{name} {n:#.2g}" for name, n in sorted(per_real.items(), key=lambda pair: pair[1]))
    titles = ", ".join(f"1:{ratio:g}" for ratio in lacking)
    return (
        f"null edits of generator {generator} are too few for {titles} (for a real training image "
        f"{first_few(counts)}): the control null-edit is left out there"
    )
