"""What may be claimed over 18 families: 6 encoders × 3 generators × 4 ratios on the same images.

Encoders are 24 random directions each of one population. The null is exact: every setting, the real
images alone too, trains on the real images and an own draw of as many synthetic ones. Where an
effect is planted in a family, its four mixes train on further draws of their own, and really are
better. The study-wide p is `joint.step_down` with the correlation of `study.claims`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from calibration.rows import SHOWN, Row, bounded, share, stacked
from calibration.studies import (
    DIVISIONS,
    DRAWS,
    FOLDS,
    Moments,
    classify,
    discriminant,
    divisions,
    equal_moments,
    joined,
    moments,
)
from calibration.worlds import ten
from xprobe.study.claims import correlation_of
from xprobe.verdict import family as verdict
from xprobe.verdict.errors import mean_differences
from xprobe.verdict.joint import step_down, two_sided

ENCODERS, GENERATORS, MIXES, REPEATS = 6, 3, 4, 3
DIRECTIONS, FURTHER = 24, 4
WORLD = ten(30, apart=2.6)

Family = tuple[int, int]
EVERY: tuple[Family, ...] = tuple((e, g) for e in range(ENCODERS) for g in range(GENERATORS))
PLANTED: dict[int, tuple[Family, ...]] = {
    0: (), 1: ((0, 0),), 3: ((0, 0), (2, 1), (4, 2)), len(EVERY): EVERY,
}  # fmt: skip


@lru_cache(maxsize=1)
def directions() -> np.ndarray:
    """Return the directions (encoders, D, 24) that the encoders see."""
    rng = np.random.default_rng(6)
    squares = rng.standard_normal((ENCODERS, WORLD.dims, WORLD.dims))
    return np.asarray(np.linalg.qr(squares)[0][:, :, :DIRECTIONS])


def _seen(of: Moments) -> Moments:
    """Return moments (S, …) as each encoder sees them (encoders, S, …)."""
    look = directions()[:, None]
    square = np.swapaxes(look, -1, -2) @ of.square @ look
    count = np.broadcast_to(of.count, (ENCODERS, *of.count.shape))
    return Moments(count, of.total @ look, square)


def hits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hits of real-only (e, R, N), and those of mixes (e, g, s, R, N), null and helped."""
    rng = np.random.default_rng([seed, 61])
    mixes = GENERATORS * MIXES
    # Real-only and the mixes draw once each; then the mixes that are helped draw further.
    draws = 1 + mixes * (1 + FURTHER)
    images = WORLD.images(rng, draws)
    x, y, K = images.x, images.y, len(WORLD.counts)
    seen = x @ directions()
    fold = divisions(WORLD.counts, 1, REPEATS, seed % DIVISIONS)
    hit = np.zeros((ENCODERS, 1 + 2 * mixes, REPEATS, len(y)), dtype=bool)
    every, pool = moments(x, y, K), images.pool.reshape(K, -1, WORLD.dims)
    for r in range(REPEATS):
        for f in range(FOLDS):
            test = fold[r] == f
            real = every - moments(x[test], y[test], K)
            rows = rng.permutation(pool.shape[1])[: draws * int(real.count[0])]
            added = equal_moments(np.stack(np.split(pool[:, rows], draws, axis=1)))
            alike = added[: 1 + mixes]
            helped = alike[1:] + added[1 + mixes :].mapped(_over_further)
            heads = discriminant(_seen(real + joined(alike, helped)))
            hit[:, :, r, test] = classify(heads, seen[:, None, test]) == y[test]
    shape = (ENCODERS, GENERATORS, MIXES, REPEATS, len(y))
    null, better = hit[:, 1 : 1 + mixes], hit[:, 1 + mixes :]
    return hit[:, 0], null.reshape(shape), better.reshape(shape)


def _over_further(sums: np.ndarray) -> np.ndarray:
    """Return sums (mixes, …) over the further draws of each mix (FURTHER · mixes, …)."""
    return np.asarray(sums.reshape(FURTHER, -1, *sums.shape[1:]).sum(axis=0))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p (n,) adjusted by Holm's correction."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted[order] = np.minimum(1, steps)
    return adjusted


def claims(real: np.ndarray, hit: np.ndarray, seed: int) -> np.ndarray:
    """Return which comparisons (ways, e, g, s) are claimed study-wide, in three ways.

    They are min-p, Holm over all comparisons, and Holm over the smallest p of each family, whose
    comparisons then count by their p within the family.
    """
    group = np.arange(real.shape[-1])
    names = np.array([f"scene {i}" for i in group], dtype=object)
    adds, p, within = [], [], []
    for e in range(ENCODERS):
        estimates = mean_differences(real[e], hit[e].reshape(-1, *real[e].shape), group)
        # The groups are in the order of their names, as in `study.claims`.
        adds.append(estimates.scores / estimates.se[:, None])
        p.append(two_sided(estimates.t, estimates.df))
        for g in range(GENERATORS):
            family = verdict.compare(
                real[e], hit[e, g], group, np.random.default_rng([seed, 3, e, g]), draws=DRAWS
            )
            within.append([c.p_adjusted for c in family.comparisons])
    correlation = correlation_of(adds, [names] * ENCODERS)
    every = np.concatenate(p)
    down = step_down(every, correlation, np.random.default_rng([seed, 5]), DRAWS)
    by_family = np.array(within)
    passes = holm(by_family.min(axis=1)) <= 0.05
    ways = (down <= 0.05, holm(every) <= 0.05, (passes[:, None] & (by_family <= 0.05)).ravel())
    return np.stack(ways).reshape(len(ways), ENCODERS, GENERATORS, MIXES)


def replication(seed: int) -> np.ndarray:
    """Return the claims (scenarios, ways, e, g, s) with an effect in 0, 1, 3 and all families."""
    real, null, helped = hits(seed)
    scenarios = []
    for planted in PLANTED.values():
        hit = null.copy()
        for family in planted:
            hit[family] = helped[family]
        scenarios.append(claims(real, hit, seed))
    truth = helped.mean(axis=(2, 3, 4)) - null.mean(axis=(2, 3, 4))
    return np.concatenate([np.stack(scenarios).ravel(), truth.ravel()])


def flagship(B: int) -> Iterator[Row]:
    """Yield what is claimed study-wide in the null, and how often planted effects are found."""
    results = stacked(replication, B)
    ends = len(EVERY)
    claimed = results[:, :-ends].reshape(B, len(PLANTED), 3, ENCODERS, GENERATORS, MIXES) > 0
    gain = 100 * float(results[:, -ends:].mean())
    world = "18 null families, 10 × 30"
    no_effect = claimed[:, 0].reshape(B, 3, -1).any(axis=2)
    yield share("studies with a study-wide claim", world, "≤ 0.05", no_effect[:, 0], before=0.47)
    yield share("the same by Holm over the families' smallest p", world, SHOWN, no_effect[:, 2],
                before=0.04)  # fmt: skip
    for i, (number, planted) in enumerate(PLANTED.items()):
        if number:
            yield from _power(claimed[:, i], planted, f"{gain:.1f} points in {number} of 18")


def _power(claimed: np.ndarray, planted: Sequence[Family], world: str) -> Iterator[Row]:
    """Yield power and errors of claims (B, ways, e, g, s) where so many families have an effect."""
    is_planted = np.zeros((ENCODERS, GENERATORS), dtype=bool)
    for family in planted:
        is_planted[family] = True
    is_found = claimed.any(axis=-1)[:, :, is_planted].mean(axis=-1)
    comparisons = claimed[:, :, is_planted].mean(axis=(-2, -1))
    yield share("families with an effect that are found", world, SHOWN, is_found[:, :1])
    for way, words in ((1, "over all comparisons"), (2, "over families")):
        yield _gain(f"the same less Holm's {words}", world, is_found[:, 0] - is_found[:, way])
    item = "comparisons with an effect that are found, less Holm's"
    yield _gain(item, world, comparisons[:, 0] - comparisons[:, 1])
    if not is_planted.all():
        is_false = claimed[:, 0][:, ~is_planted].any(axis=(1, 2))
        yield share("studies with a false study-wide claim", world, "≤ 0.05", is_false)


def _gain(item: str, world: str, values: np.ndarray) -> Row:
    """Return the row of the mean of differences (B,), which is not to be below 0."""
    B = len(values)
    error = float(values.std(ddof=1) / np.sqrt(B))
    return bounded(item, world, "≥ 0", float(values.mean()), error=error, B=B)
