"""False claims among mixes: four equal generators, and ratios that add equally many images.

The comparisons and their families are those of `study.comparisons`. In the exact null every setting
trains on the real images and an own draw of as many synthetic ones; where subsets are nested, as
those of a study are, the four generators are equal, and their ratios are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial

import numpy as np

from calibration.rows import Row, share, stacked
from calibration.stores import plain_manifest
from calibration.studies import (
    DIVISIONS,
    FOLDS,
    RATIOS,
    classify,
    discriminant,
    divisions,
    equal_moments,
    joined,
    moments,
)
from calibration.worlds import ten
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design, make_design
from xprobe.design.setting import Setting
from xprobe.study.comparisons import compare_mixes
from xprobe.study.result_rows import ResultRows
from xprobe.study.tested import Tested

WORLD = ten(30)
REPEATS = 3
GENERATORS = ("a", "b", "c", "d")
REAL = Setting("real-only")
MIXES = tuple(Setting("mix", r, g) for g in GENERATORS for r in RATIOS)
OTHERS = tuple(Setting(name, r) for name in ("real-more", "mix-pooled") for r in RATIOS)
KINDS = {
    "generators": "pairs of generators", "ratios": "pairs of ratios of a generator",
    "real-more": "mixes against further real images", "pooled": "all generators together",
}  # fmt: skip


@lru_cache(maxsize=1)
def _any_design() -> Design:
    """Return a design, which comparisons of heads do not look at."""
    return make_design(plain_manifest(2, 4, 1, 0), SweepConfig(ratios=(1,), repeats=1))


def predictions(nested: bool, seed: int) -> tuple[dict[Setting, Tested], np.ndarray]:
    """Return what the settings predict, and the classes (N,)."""
    rng = np.random.default_rng([seed, 111])
    settings = (REAL, *MIXES) if nested else (REAL, *MIXES, *OTHERS)
    parts = len(settings)
    images = WORLD.images(rng, parts)
    x, y, K = images.x, images.y, len(WORLD.counts)
    fold = divisions(WORLD.counts, 1, REPEATS, seed % DIVISIONS)
    predicted = np.zeros((parts, REPEATS, len(y)), dtype=np.intp)
    every, pool = moments(x, y, K), images.pool.reshape(K, parts, -1, WORLD.dims)
    for r in range(REPEATS):
        for f in range(FOLDS):
            test = fold[r] == f
            real = every - moments(x[test], y[test], K)
            n = int(real.count[0])
            drawn = pool[:, :, rng.permutation(pool.shape[2])[:n]].swapaxes(0, 1)
            added = equal_moments(drawn)
            if nested:
                added = joined(added[:1].mapped(np.zeros_like), added[1:].mapped(_nested))
            predicted[:, r, test] = classify(discriminant(real + added), x[test])
    return {s: Tested(p) for s, p in zip(settings, predicted, strict=True)}, y


def _nested(sums: np.ndarray) -> np.ndarray:
    """Return the sums (mixes, …) of each mix with those of the smaller ratios of its generator."""
    by_generator = sums.reshape(len(GENERATORS), len(RATIOS), *sums.shape[1:])
    return np.asarray(by_generator.cumsum(axis=1).reshape(sums.shape))


def claimed(nested: bool, seed: int) -> np.ndarray:
    """Return whether anything is claimed (kinds,), by kind of comparison."""
    tested, y = predictions(nested, seed)
    config = SweepConfig(ratios=RATIOS, seed=seed)
    rows = ResultRows(_any_design(), config, "made-up", y, np.arange(len(y)))
    words: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for comparison in compare_mixes(rows, tested):
        is_claim = comparison.verdict in ("better", "worse", "helps", "hurts")
        if is_claim != (comparison.low > 0 or comparison.high < 0):
            raise AssertionError("a word and its interval disagree")
        words[comparison.kind].append(is_claim)
    # The ratios of a generator are a family: of them it is the mean over the four generators.
    ratios = np.array(words["ratios"]).reshape(len(GENERATORS), -1).any(axis=1).mean()
    return np.array([ratios if kind == "ratios" else any(words[kind]) for kind in KINDS])


def among_mixes(B: int) -> Iterator[Row]:
    """Yield the false claims of every family."""
    results = stacked(partial(claimed, True), B)
    yield share("false claims, pairs of generators", "four equal generators, nested, 10 × 30",
                "≤ 0.05", results[:, 0])  # fmt: skip
    results = stacked(partial(claimed, False), B)
    world = "exact null, four generators, 10 × 30"
    for i, words in enumerate(KINDS.values()):
        yield share(f"false claims, {words}", world, "≤ 0.05", results[:, i : i + 1])
