"""Edits beside the true image of their scene: which pairs there are, and their floor."""

from __future__ import annotations

import numpy as np

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.design import lineage
from xprobe.images.manifest import Manifest


def edit_pairs(images: Manifest, edits: Ints, sources: Manifest) -> tuple[Ints, Ints]:
    """Return pairs (P, 2) of rows, edit and true image, and the numbers of their scenes (P,).

    Args:
        images: the images; the true image of a scene is its first one of the edit's class that is
            not from before the event, and not what the edit was made from.
        edits: rows of synthetic images.
        sources: all real images of the table, which parents may name.
    """
    real, row_of = images.select(images.source == "real"), np.flatnonzero(images.source == "real")
    traced = lineage.trace(images.select(edits), sources)
    number = traced.group_number
    truth: dict[tuple[int, str], int] = {}
    for i, (group, label) in enumerate(zip(real.group, real.label, strict=True)):
        if real.split[i] != "pre":
            truth.setdefault((number[group], label), int(row_of[i]))
    pairs, scenes = [], []
    for edit, numbers in zip(edits.tolist(), traced.source, strict=True):
        for scene in numbers.tolist():
            true_image = truth.get((scene, images.label[edit]))
            if true_image is not None and images.id[true_image] != images.parent[edit]:
                pairs.append((edit, true_image))
                scenes.append(scene)
                break
    return np.array(pairs, dtype=np.intp).reshape(-1, 2), np.array(scenes, dtype=np.intp)


def between_real(x: Floats, images: Manifest, is_real: Bools, truths: Ints) -> float | None:
    """Return the mean distance of each true image to those of its class in other scenes.

    Args:
        x: (n, d) features of the images.
        images: n images.
        is_real: (n,) which of them are compared with.
        truths: rows of the true images.
    """
    distances = []
    for row in sorted(set(truths.tolist())):
        is_other = (images.label == images.label[row]) & (images.group != images.group[row])
        others = np.flatnonzero(is_real & is_other)
        if len(others):
            distances.append(np.linalg.norm(x[others] - x[row], axis=1).mean())
    return float(np.mean(distances)) if distances else None
