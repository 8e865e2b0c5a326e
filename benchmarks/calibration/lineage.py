"""What is laid out and chosen: planted leaks (5), the choice of strength (8), the whole sweep."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from calibration.rows import SHOWN, Row, always, bounded, share, stacked
from calibration.stores import pairs_manifest, swept
from calibration.studies import RATIOS, classify, discriminant, moments
from calibration.worlds import six
from xprobe.design.config import SweepConfig
from xprobe.design.design import make_design

K = 6
STRENGTHS = (0.003, 0.03, 0.1, 0.3, 0.6, 0.9)


def leaks(_: int) -> Iterator[Row]:
    """Yield that no scene is in both parts of a division, outer or inner (5)."""
    manifest = pairs_manifest(K, 20, 3, lineage=True)
    design = make_design(manifest, SweepConfig(ratios=(1, 2), repeats=2, allow_fewer=True))
    scene_of = dict(zip(manifest.id, manifest.group, strict=True))
    scene = np.array([
        scene_of[p] if p else g
        for p, g in zip(design.study.parent, design.study.group, strict=True)
    ])  # fmt: skip
    leaked = dropped = dropped_inner = 0
    for block in design.blocks:
        dropped += sum(block.dropped)
        dropped_inner += sum(block.dropped_inner) > 0
        for problem in block.problems:
            pairs = [(problem.train, problem.test)]
            pairs += [(a, np.concatenate([v, problem.test])) for a, v in problem.inner]
            leaked += sum(len(np.intersect1d(scene[a], scene[v])) for a, v in pairs)
    is_sound = leaked == 0 and dropped > 0 and dropped_inner > 0
    yield always("5. no scene in training and test, outer and inner; drops counted",
                 "6 × 20 in scenes of 2, edits", is_sound, len(design.blocks))  # fmt: skip


def tuned(guarded: bool, seed: int) -> np.ndarray:
    """Return estimated gain less the gain on new images, where inner folds choose the strength."""
    rng = np.random.default_rng([seed, 29])
    config = SweepConfig(ratios=(1,), repeats=1, seed=seed, ignore_lineage=not guarded,
                         allow_fewer=True)  # fmt: skip
    design = make_design(pairs_manifest(K, 30, 2, lineage=True), config)
    real = six(30, scene=2, rho=0.5).images(rng, 1).x
    row = {f"r{c}-{i}": c * 30 + i for c in range(K) for i in range(30)}
    names = zip(design.study.id, design.study.parent, strict=True)
    source = np.array([row[parent or id_] for id_, parent in names])
    synthetic = design.study.source.astype(str) == "synthetic"
    noise = rng.standard_normal((len(source), real.shape[1]))
    x = real[source] + 0.5 * noise * synthetic[:, None]  # near copies of their sources
    y = np.array([int(name[1:]) for name in design.study.label])
    fresh, fresh_y = six(30).test(rng, 300)
    gain = {}
    for block in design.blocks:
        if block.setting.name == "synthetic-only":
            continue
        estimate = truth = 0.0
        for problem in block.problems:
            train = moments(x[problem.train], y[problem.train], K)
            inner = np.zeros(len(STRENGTHS))
            for a, v in problem.inner:
                part = moments(x[a], y[a], K)
                inner += [(classify(discriminant(part, s), x[v]) == y[v]).sum() for s in STRENGTHS]
            head = discriminant(train, STRENGTHS[int(inner.argmax())])
            estimate += (classify(head, x[problem.test]) == y[problem.test]).sum() / len(real)
            truth += (classify(head, fresh) == fresh_y).mean() / len(block.problems)
        gain[block.setting.name] = np.array([estimate, truth])
    estimate, truth = gain["mix"] - gain["real-only"]
    return np.array(estimate - truth)


def tuning(B: int) -> Iterator[Row]:
    """Yield whether the choice of strength favours the mixes (8)."""
    for guarded, words, asked in (
        (True, "8. bias of the gain, strength chosen inside", "within ±0.005"),
        (False, "8. the same without the guard of lineage", SHOWN),
    ):
        off = stacked(partial(tuned, guarded), B)
        error = float(off.std(ddof=1) / np.sqrt(B))
        yield bounded(words, "6 × 30, near copies", asked, float(off.mean()), error=error, B=B)


def through_sweep(leaky: bool, guarded: bool, seed: int) -> np.ndarray:
    """Return difference, low, high (mixes, 3) of a sweep over a feature store that is made up."""
    rng = np.random.default_rng([seed, 71])
    manifest = pairs_manifest(K, 30, 4, lineage=leaky)
    images = six(30, shift=0.6, scene=2, rho=0.3).images(rng, 4)
    row = {f"r{c}-{i}": c * 30 + i for c in range(K) for i in range(30)}
    x = np.zeros((len(manifest), images.x.shape[1]))
    is_real = manifest.source.astype(str) == "real"
    for i, id_ in enumerate(manifest.id):
        if is_real[i]:
            x[i] = images.x[row[id_]]
        elif leaky:  # a near copy
            x[i] = images.x[row[manifest.parent[i]]] + 0.3 * rng.standard_normal(x.shape[1])
        else:
            c, j, copy = (int(part) for part in id_[1:].split("-"))
            x[i] = images.pool[c * 120 + j * 4 + copy]
    config = SweepConfig(
        ratios=(1,) if leaky else RATIOS, repeats=1 if leaky else 2, seed=seed,
        ignore_lineage=leaky and not guarded,
        allow_fewer=True, c_grid=(0.1, 1.0, 10.0, 100.0), inner_folds=3,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        document = swept(manifest, x, config, Path(folder))
    rows = [r for r in document.results if r.metric == "accuracy" and r.setting == "mix"]
    return np.array([[r.difference, r.difference_low, r.difference_high] for r in rows])


def sweeps(B: int) -> Iterator[Row]:
    """Yield coverage through the whole sweep (2), and what a leak does there (5)."""
    results = stacked(partial(through_sweep, False, True), B)
    truth = results[..., 0].mean(axis=0)
    inside = (results[..., 1] <= truth) & (truth <= results[..., 2])
    yield share("2. simultaneous coverage through xprobe sweep", "6 × 30 in scenes of 2",
                "≥ 0.935", inside.all(axis=1))  # fmt: skip
    few = max(2, B // 10)
    for guarded, words in ((True, "with the guard"), (False, "without it")):
        gain = stacked(partial(through_sweep, True, guarded), few)[:, 0, 0]
        error = float(gain.std(ddof=1) / np.sqrt(few))
        yield bounded(f"5. gain of near copies through xprobe sweep, 1:1, {words}", "6 × 30", SHOWN,
                      float(gain.mean()), error=error, B=few)  # fmt: skip
