"""The eight requirements that the protocol began with: errors, coverage, power, edges, noise.

Those on lineage, on the choice of strength and on the whole sweep (5, 8) are in `lineage.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.special import log_softmax

from calibration.rows import Row, always, bounded, error_of_share, many, share, stacked
from calibration.studies import (
    DIFFERENCE,
    DRAWS,
    FOLDS,
    HALF,
    HIGH,
    LOW,
    REPEATS,
    SE,
    Made,
    P,
    Replication,
    classify,
    discriminant,
    divisions,
    judged,
    moments,
    study,
)
from calibration.worlds import six, ten
from xprobe.learners.logistic.head import Logistic
from xprobe.learners.problem import Options, Pool, Problem, unit_rows
from xprobe.verdict import family as verdict
from xprobe.verdict.worth import worth


def errors(B: int) -> Iterator[Row]:
    """Yield how often a family of four ratios claims anything under a null (1)."""
    for world, given, before in (
        (six(30), True, None),
        (six(100), True, None),
        (six(100, "6 × 100 in scenes of 4, given", scene=4, rho=0.5), True, None),
        (ten(100), True, 0.054),
        (ten(30), True, 0.02),
    ):
        results = stacked(Replication(world, null=True, given=given), B)
        claimed = (results[..., P] <= 0.05).any(axis=1)
        yield share("1. family-wise error", f"exact null, {world.title}", "≤ 0.05", claimed,
                    before=before)  # fmt: skip


def coverage(B: int) -> Iterator[Row]:
    """Yield how often intervals hold the truth, and claims have the wrong sign (2)."""
    worlds = {
        "null": Replication(six(100), null=True),
        "helping": Replication(six(100)),
        "collapsed": Replication(six(100, shift=1.5, scale=0.3)),
    }
    for title, replication in worlds.items():
        results = stacked(replication, B)
        truth = results[..., DIFFERENCE].mean(axis=0)
        world = f"{title}, 6 × 100"
        off = np.abs(results[..., DIFFERENCE] - truth)
        inside = off <= results[..., HALF]
        per_ratio = inside.mean(axis=0)
        least, most = inside[:, per_ratio.argmin()], inside[:, per_ratio.argmax()]
        yield share("2. least coverage of a ratio", world, "≥ 0.935", least)
        yield share("2. largest coverage of a ratio", world, "≤ 0.985", most)
        together = (off <= (results[..., HIGH] - results[..., LOW]) / 2).all(axis=1)
        yield share("2. simultaneous coverage", world, "≥ 0.935", together)
        if title != "null":
            is_wrong = (results[..., P] <= 0.05) & (results[..., DIFFERENCE] * truth < 0)
            yield share("2. claims of the wrong sign", world, "≤ 0.01", is_wrong.any(axis=1))


def power(B: int) -> Iterator[Row]:
    """Yield how often two points are found, and how often by who knows the true variance (3)."""
    results = stacked(Replication(six(100)), B)
    difference = results[..., DIFFERENCE]
    truth = difference.mean(axis=0)
    s = int(np.abs(truth - 0.02).argmin())
    is_found = results[:, s, P] <= 0.05
    # The oracle knows the true covariance of the estimates, and needs no t.
    covariance = np.cov(difference.T)
    sd = np.sqrt(np.diag(covariance))
    draws = np.random.default_rng(0).multivariate_normal(
        np.zeros(len(sd)), covariance / np.outer(sd, sd), 200_000
    )
    critical = float(np.quantile(np.abs(draws).max(axis=1), 0.95))
    oracle = float((np.abs(difference[:, s]) / sd[s] > critical).mean())
    world = f"6 × 100, true gain {100 * truth[s]:.2f} points"
    yield share("3. power in a family of four", world, "≥ 0.4", is_found)
    ratio = float(is_found.mean()) / oracle
    error = error_of_share(float(is_found.mean()), B) / oracle
    item = f"3. power over the oracle's {oracle:.3f}"
    yield bounded(item, world, "≥ 0.8", ratio, error=error, B=B)
    alone = np.abs(difference[:, s]) > results[:, s, HALF]
    yield share("3. power of the only comparison", world, "≥ 0.4", alone)


def _is_sound_if_equal(seed: int) -> bool:
    made = study(six(30), seed, repeats=2)
    family = verdict.compare(
        made.hit_real, made.hit_real[None], made.group, np.random.default_rng(seed), draws=DRAWS
    )
    (c,) = family.comparisons
    within = np.isfinite([c.low, c.high]).all() and c.low < 0 < c.high
    word = verdict.judge(c).verdict
    return bool(c.difference == 0 and within and word == verdict.NOT_DETECTED)


def edges(B: int) -> Iterator[Row]:
    """Yield what is said of equal settings, and at an accuracy near 1 (4)."""
    count = max(2, B // 10)
    yield always("4. equal settings: 0, finite, no claim", "6 × 30",
                 all(many(_is_sound_if_equal, count)), count)  # fmt: skip
    world = six(30, apart=4.1)
    accuracy = np.mean([study(world, seed, repeats=1).hit_real.mean() for seed in range(count)])
    results = stacked(Replication(world), B)
    off = np.abs(results[..., DIFFERENCE] - results[..., DIFFERENCE].mean(axis=0))
    inside = off <= results[..., HALF]
    least = inside[:, inside.mean(axis=0).argmin()]
    title = f"6 × 30, accuracy {accuracy:.3f}"
    yield share("4. least coverage of a ratio", title, "≥ 0.935", least)


def symmetries(_: int) -> Iterator[Row]:
    """Yield what an exchange of settings changes (5)."""
    made = study(six(30), 5)
    forward = judged(made, 1)
    turned = judged(Made(made.hit_real, made.hit[::-1], made.group, made.fold, made.label), 1)
    yield always("5. order of the settings changes nothing", "6 × 30",
                 np.array_equal(forward, turned[::-1]), 1)  # fmt: skip
    one = judged(Made(made.hit_real, made.hit[:1], made.group, made.fold, made.label), 1)[0]
    two = judged(Made(made.hit[0], made.hit_real[None], made.group, made.fold, made.label), 1)[0]
    is_flipped = one[DIFFERENCE] == -two[DIFFERENCE] and one[LOW] == -two[HIGH]
    is_flipped &= one[SE] == two[SE] and one[P] == two[P]
    yield always("5. two settings exchanged flip the sign exactly", "6 × 30", is_flipped, 1)


def _with_seed_noise(seed: int) -> np.ndarray:
    """Judge a study of one repeat whose every fitted model is off by .017 at random."""
    made = study(six(100), seed, repeats=1)
    rng = np.random.default_rng([seed, 41])
    hits = np.concatenate([made.hit_real[None], made.hit]).copy()
    for s in range(len(hits)):
        for f in range(FOLDS):
            tested = made.fold[0] == f
            right, off = hits[s, 0, tested], rng.normal(0, 0.017)
            accuracy = right.mean()
            turn = abs(off) / max(1 - accuracy if off > 0 else accuracy, 1e-9)
            is_turned = rng.random(tested.sum()) < turn
            hits[s, 0, tested] = np.where(is_turned, off > 0, right)
    noisy = Made(hits[0], hits[1:], made.group, made.fold, made.label)
    return judged(noisy, seed, model=made.fold)


def stochastic(B: int) -> Iterator[Row]:
    """Yield how well seed noise is covered, and that duplicates are a larger C (6)."""
    results = stacked(_with_seed_noise, B)
    off = np.abs(results[..., DIFFERENCE] - results[..., DIFFERENCE].mean(axis=0))
    inside = off <= results[..., HALF]
    least = inside[:, inside.mean(axis=0).argmin()]
    world = "6 × 100, 5 models, seed noise .017"
    yield share("6. least coverage of a ratio", world, "≥ 0.93", least)
    worst, same = duplicates()
    yield bounded("6. duplicates against C·(r + 1): objective, relative", "6 × 20, 9 cases",
                  "≤ 1e-06", worst, B=9)  # fmt: skip
    yield always("6. the same: labels of the test images equal", "6 × 20, 9 cases", same, 9)


def duplicates() -> tuple[float, bool]:
    """Return the largest difference between training on r + 1 copies and C·(r + 1), two ways."""
    x, y = six(20).test(np.random.default_rng(0), 20)
    x = unit_rows(x)
    pool = Pool(x.astype(np.float32), y, 6)
    is_test = np.arange(len(y)) % 4 == 0
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    worst, same = 0.0, True
    for r in (1, 2, 4):
        for c in (0.1, 1.0, 10.0):
            value, label = [], []
            for rows, strength in ((np.tile(train, r + 1), c), (train, c * (r + 1))):
                head = Logistic(pool, Options((strength,), "best", False))
                weight, offset = head.fit(Problem(rows, test, ())).linear()
                log_p = log_softmax(x @ weight.T + offset, axis=1)
                loss = -log_p[train, y[train]].sum()
                value.append(c * (r + 1) * loss + 0.5 * (weight**2).sum())
                label.append(log_p[test].argmax(axis=1))
            worst = max(worst, abs(value[0] / value[1] - 1))
            same &= np.array_equal(*label)
    return float(worst), same


# --- 7: data value ---------------------------------------------------------------------------

SIZES = (20, 30, 45, 60, 80)


def valued(base: int, added: int, seed: int) -> np.ndarray:
    """Return M, its ends and whether they are ends of the curve, for images like real ones."""
    world, rng = six(100), np.random.default_rng([seed, 53])
    images = world.images(rng, 2)
    x, y, K = images.x, images.y, 6
    first = np.concatenate([np.flatnonzero(images.pool_y == c)[:added] for c in range(K)])
    more = moments(images.pool[first], images.pool_y[first], K)
    fold = divisions(world.counts, 1, REPEATS, seed % 25)
    real = np.zeros((len(SIZES), REPEATS, len(y)), dtype=bool)
    mix = np.zeros((REPEATS, len(y)), dtype=bool)
    for r in range(REPEATS):
        for f in range(FOLDS):
            test = fold[r] == f
            order = rng.permutation(np.flatnonzero(~test))
            rank = np.full(len(y), max(SIZES))
            for c in range(K):
                of_class = order[y[order] == c]
                rank[of_class] = np.arange(len(of_class))
            for t, size in enumerate(SIZES):
                part = moments(x[rank < size], y[rank < size], K)
                real[t, r, test] = classify(discriminant(part), x[test]) == y[test]
                if size == base:
                    mix[r, test] = classify(discriminant(part + more), x[test]) == y[test]
    answer = worth(SIZES, real, base, mix, y, np.arange(len(y)), rng)
    return np.array([answer.value, answer.low, answer.high, answer.at_least, answer.at_most])


def values(B: int) -> Iterator[Row]:
    """Yield what synthetic images are worth in real ones that they are like (7)."""
    added = 30
    results = stacked(partial(valued, 30, added), B)
    ratio = results[:, 0] / added
    error = float(1.2533 * ratio.std(ddof=1) / np.sqrt(B))  # that of a median of normal numbers
    world = "6 × (30 + 30), like real images"
    yield bounded("7. median M / N, less 1", world, "within ±0.15", float(np.median(ratio)) - 1,
                  error=error, B=B)  # fmt: skip
    inside = (results[:, 1] <= added) & (added <= results[:, 2])
    yield share("7. coverage of M", world, "≥ 0.88", inside)
    beyond = stacked(partial(valued, 60, 120), max(2, B // 4))
    yield share("7. more than the curve holds: said to be at its end", "6 × (60 + 120)", "≥ 0.95",
                beyond[:, 3] == 1)  # fmt: skip
