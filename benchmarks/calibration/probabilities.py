"""Log-loss, Brier score and calibration error through the whole sweep.

The configuration is the cheapest that is honest: ratios 1 and 2, one repeat (two on a test part),
C chosen from .1, 1, 10, 100 by three inner folds, 16 dimensions. Beside the intervals stand
those of the same predictions without the temperature of the inner folds, which are not printed by
the sweep any more: they show that this population has the fault which the temperature repairs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calibration.rows import SHOWN, Row, share, stacked
from calibration.stores import plain_manifest, swept
from calibration.worlds import World, ten, two
from xprobe.design.config import SweepConfig
from xprobe.images.manifest import Manifest
from xprobe.results.predictions import load_predictions
from xprobe.verdict import metrics
from xprobe.verdict.family import quantile
from xprobe.verdict.intervals import mean_interval

RATIOS = (1, 2)
METRICS = ("log_loss", "brier", "squared_ece", "macro_f1", "accuracy")
OF_PROBABILITIES = METRICS[:3]
FRESH = 300
"""Further test images of each class that tell how good the heads of a study really are."""


class Case(NamedTuple):
    """A size of study, with the misses of each metric that were measured before."""

    world: World
    title: str
    n: int
    test: int
    repeats: int
    before: tuple[float, ...]


CASES = (
    Case(ten(30, dims=16), "10 × 30, five folds", 30, 0, 1, (0.80, 0.72, 0.58, 0.083, 0.033)),
    Case(ten(30, dims=16), "10 × (30 + 30), test part", 30, 30, 2, (1.0, 0.93, 0.80, 0.083, 0.033)),
    Case(two(60, dims=16, apart=1.6), "2 × 60, five folds", 60, 0, 1, (0.47, 0.27, 0.03)),
)


def _features(case: Case, manifest: Manifest, seed: int) -> np.ndarray:
    """Return the features (n, D) of a manifest; a larger test part changes no other image."""
    rng = np.random.default_rng([seed, 101])
    images = case.world.images(rng, max(RATIOS))
    parts = {"r": (images.x, case.n), "s": (images.pool, case.n * max(RATIOS))}
    if case.test:
        # The first images of each class are those of the small test part.
        classes = len(case.world.counts)
        tested, _ = case.world.test(rng, case.test + FRESH)
        first = tested.reshape(classes, -1, case.world.dims)
        parts["t"] = first.reshape(-1, case.world.dims), case.test + FRESH
    x = np.zeros((len(manifest), case.world.dims))
    for i, id_ in enumerate(manifest.id):
        c, number = (int(part) for part in id_[1:].split("-"))
        part, length = parts[id_[0]]
        x[i] = part[c * length + number]
    return x


def measured(case: Case, seed: int) -> np.ndarray:
    """Return what a sweep says of the metrics (metrics, ratios, 4), then without temperature.

    The last axis is difference, low, high, and, with a test part, the difference of the same heads
    on many fresh test images, which is not a number where these are other heads.
    """
    config = SweepConfig(
        ratios=RATIOS, repeats=case.repeats, seed=seed, c_grid=(0.1, 1.0, 10.0, 100.0),
        inner_folds=3,
    )  # fmt: skip
    classes = len(case.world.counts)
    truth = np.full((len(METRICS) + len(OF_PROBABILITIES), len(RATIOS)), np.nan)
    with tempfile.TemporaryDirectory() as folder:
        manifest = plain_manifest(classes, case.n, max(RATIOS), case.test)
        document = swept(manifest, _features(case, manifest, seed), config, Path(folder))
        plain = _without_temperature(Path(folder) / "results")
    rows = {
        (row.metric, row.ratio): row for row in document.results if row.setting == "mix"
    }  # fmt: skip
    if case.test:
        with tempfile.TemporaryDirectory() as folder:
            manifest = plain_manifest(classes, case.n, max(RATIOS), case.test + FRESH)
            larger = swept(manifest, _features(case, manifest, seed), config, Path(folder))
        # Where accuracies of inner folds all but tie, rounding may choose another C.
        is_same = [run.c for run in document.runs] == [run.c for run in larger.runs]
        for row in larger.results:
            if is_same and row.setting == "mix" and row.metric in METRICS:
                truth[METRICS.index(row.metric), RATIOS.index(row.ratio)] = row.difference
    shown = [
        [(row.difference, row.difference_low, row.difference_high) for row in (
            rows[name, ratio] for ratio in RATIOS)]
        for name in METRICS
    ]  # fmt: skip
    first = rows["accuracy", RATIOS[0]]
    level = _level(first.se, first.df, first.difference_high - first.difference)
    older = [
        [mean_interval(plain["mix", ratio, name] - plain["real-only", None, name],
                       np.arange(len(plain["mix", ratio, name])), level=level)
         for ratio in RATIOS]
        for name in OF_PROBABILITIES
    ]  # fmt: skip
    return np.concatenate([np.array([*shown, *older], dtype=float), truth[..., None]], axis=-1)


def _level(se: float, df: float, half: float) -> float:
    """Return the level of the simultaneous interval whose half this is."""
    low, high = 1e-6, 0.05
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if quantile(middle, df) * se > half else (low, middle)
    return high


def _without_temperature(folder: Path) -> dict[tuple[str, float | None, str], np.ndarray]:
    """Return the values (N,) of metrics, mean over repeats, from scores as the heads gave them."""
    values: dict[tuple[str, float | None, str], list[np.ndarray]] = {}
    for file in sorted((folder / "predictions").rglob("*.npz")):
        loaded = load_predictions(folder, file.stem)
        if loaded is None:
            continue
        predictions, record = loaded
        order = np.argsort(predictions.id.astype(str))
        images = metrics.scored(predictions.label[order], predictions.score[order])
        for name in OF_PROBABILITIES:
            value = metrics.METRICS[name].per_image(images)
            values.setdefault((record.name, record.ratio, name), []).append(value)
    return {key: np.mean(parts, axis=0) for key, parts in values.items()}


def probabilities(B: int) -> Iterator[Row]:
    """Yield the misses of the family of two mixes by metric.

    On a test part all repeats have the same real training images: there the intervals may be asked
    to hold the difference over new training images, or that of these heads on new test images.
    """
    for case in CASES:
        results = stacked(partial(measured, case), B)
        mean, low, high, fresh = results.transpose(3, 0, 1, 2)
        truth = mean.mean(axis=0)
        missed = ((truth < low) | (truth > high)).any(axis=2)
        for i, name in enumerate(METRICS):
            before = case.before[i] if i < len(case.before) else None
            yield share(f"misses of the family, {name}", case.title, "≤ 0.05", missed[:, i],
                        before=before)  # fmt: skip
        if case.test:
            # The fresh images have chance, too: a tenth of the variance of the difference.
            known = ~np.isnan(fresh[:, 0, 0])
            given = ((fresh < low) | (fresh > high)).any(axis=2)[known]
            for i, name in enumerate(METRICS):
                yield share(f"the same, given these training images, {name}", case.title,
                            "≤ 0.05", given[:, i])  # fmt: skip
        for i, name in enumerate(OF_PROBABILITIES, start=len(METRICS)):
            yield share(f"the same without temperature, {name}", case.title, SHOWN, missed[:, i])
