"""Which ratio a sweep could use of planned images, while lineage keeps edits from their sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from xprobe.base.errors import XprobeError
from xprobe.design import lineage
from xprobe.design.config import SweepConfig
from xprobe.design.design import lay_out_folds, parts
from xprobe.generation.plan import Order
from xprobe.images.manifest import Manifest


def ratio_left(manifest: Manifest, orders: Sequence[Order]) -> float | None:
    """Return how many synthetic images of the scarcest class there are for each real one.

    It is the least of all folds of one repeat, after the images are left out that are made from a
    scene that the fold tests. None: the real images make no study.
    """
    config = SweepConfig(repeats=1)
    try:
        real, test, _ = parts(manifest, config)
        all_folds, _ = lay_out_folds(real, test, config)
    except XprobeError:
        return None
    sources = manifest.select(manifest.source == "real")
    traced = lineage.trace(_manifest_of(orders), sources)
    label = np.array([order.label for order in orders], dtype=object)
    label_of = dict(zip(manifest.id, manifest.label, strict=True))
    group_of = dict(zip(manifest.id, manifest.group, strict=True))
    ratios = []
    for fold in all_folds:
        held = np.array([group_of[i] for i in fold.test_real], dtype=object)
        synthetic = Counter(label[traced.allowed(held)])
        trained = Counter(label_of[i] for i in fold.train_real)
        ratios += [synthetic[name] / n for name, n in trained.items()]
    return min(ratios, default=None)


def _manifest_of(orders: Sequence[Order]) -> Manifest:
    """Return the image table that the orders will be."""
    n = len(orders)
    columns = {name: [""] * n for name in Manifest.columns()}
    columns["id"] = columns["path"] = [order.key for order in orders]
    columns["label"] = [order.label for order in orders]
    columns["parent"] = [order.parent for order in orders]
    columns["source"], columns["split"] = ["synthetic"] * n, ["train"] * n
    return Manifest(**columns)  # type: ignore[arg-type]  # It freezes them.
