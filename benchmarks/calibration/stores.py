"""Feature stores that are made up, for what goes through the whole sweep."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from xprobe.design.config import SweepConfig
from xprobe.encoders.spec import EncoderSpec
from xprobe.engine.execution import Execution
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest
from xprobe.results.study import Study
from xprobe.study.sweep import sweep


def manifest_of(rows: list[tuple[str, str, str, str, str, str, str]]) -> Manifest:
    """Return the manifest of rows id, label, source, group, parent, generator, split."""
    id_, label, source, group, parent, generator, split = zip(*sorted(rows), strict=True)
    return Manifest(
        id=id_, path=id_, sha256=[hashlib.sha256(i.encode()).hexdigest() for i in id_],
        label=label, source=source, group=group, parent=parent, generator=generator, split=split,
        prompt=[""] * len(id_),
    )  # fmt: skip


def pairs_manifest(classes: int, n: int, copies: int, *, lineage: bool) -> Manifest:
    """Return real images in scenes of two, and synthetic ones, made from them or from nothing."""
    rows = []
    for c in range(classes):
        for i in range(n):
            id_, parent = f"r{c}-{i}", f"r{c}-{i}" if lineage else ""
            rows.append((id_, f"c{c}", "real", f"scene{c}-{i // 2}", "", "", "train"))
            rows += [
                (f"s{c}-{i}-{j}", f"c{c}", "synthetic", "", parent, "made", "train")
                for j in range(copies)
            ]
    return manifest_of(rows)


def plain_manifest(classes: int, n: int, times: int, test: int) -> Manifest:
    """Return independent images: n real, n · times synthetic and `test` held out of each class."""
    rows = []
    for c in range(classes):
        rows += [(f"r{c}-{i}", f"c{c}", "real", f"r{c}-{i}", "", "", "train") for i in range(n)]
        rows += [
            (f"s{c}-{i}", f"c{c}", "synthetic", "", "", "made", "train") for i in range(n * times)
        ]
        rows += [(f"t{c}-{i}", f"c{c}", "real", f"t{c}-{i}", "", "", "test") for i in range(test)]
    return manifest_of(rows)


def swept(manifest: Manifest, x: np.ndarray, config: SweepConfig, folder: Path) -> Study:
    """Return the study that `sweep` makes of features (n, D) in the order of the manifest."""
    spec = EncoderSpec(
        "made-up", str(config.seed), "none", x.shape[1], (1, 1), "squash", "", (0.0,), (1.0,),
        "fp32", "none",
    )  # fmt: skip
    store = Store(folder / "features", create=True)
    encoder = store.add_encoder("made-up", spec)
    store.write_shard(encoder, list(manifest.sha256), x.astype(np.float32), {})
    execution = Execution(workers=1, device="cpu")
    (document,) = sweep(manifest, store, folder / "results", config, execution=execution)
    return document
