"""Does the verdict keep the error rate that it claims?

    python benchmarks/bench_calibration.py [--quick] [--only 1 3] [--markdown FILE]

Studies are made up again and again from populations that are known, and xprobe's own functions
judge them; what they claim is compared with what is true. Eight requirements
(docs/concepts/protocol.md):

1. Under a null, how often does a family of four ratios claim anything?
2. How often do intervals hold the truth, and how often has a claim the wrong sign?
3. How often is a gain of two points found, and how often by an oracle that knows the true variance?
4. Settings that are equal; accuracies near 1.
5. Planted leaks; the order of the settings; two settings exchanged.
6. Seed noise of fine-tunes; duplicated images against a larger C.
7. How many real images are synthetic ones worth, if they are like real ones?
8. Does the choice of C favour the mixes?

Images are normal vectors around the means of six classes; heads are linear discriminants with
shrinkage, in closed form, trained and tested in the folds of `folds.divide` with nested subsets,
5 folds × 5 repeats. Null: every setting, real-only included, gets as many synthetic images of its
own draw, so that all are alike and no difference is true. The truth of other populations is the
mean estimate over all replications, which is unbiased for the expected difference at this number of
training images. ``± MC`` is the Monte-Carlo standard error of a figure; a requirement passes within
two of them. The last rows go through `sweep.sweep` itself, on feature stores that are made up.

``--quick``: a hundredth of the replications, to see that it works; nothing passes or fails by it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes take the cores, before NumPy is imported

import argparse
import hashlib
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from scipy import stats
from scipy.special import log_softmax

from xprobe.design import folds
from xprobe.design.config import SweepConfig
from xprobe.design.design import make_design
from xprobe.encoders.spec import EncoderSpec
from xprobe.engine.execution import Execution
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest
from xprobe.learners.logistic.head import Logistic
from xprobe.learners.problem import Options, Pool, Problem, unit_rows
from xprobe.study.sweep import sweep
from xprobe.verdict import family as verdict
from xprobe.verdict.worth import worth

QUESTION = "Does the verdict keep the error rate that it claims?"
K, D = 6, 24  # classes, dimensions
FOLDS, REPEATS, RATIOS = 5, 5, (1, 2, 3, 4)
SHRINKAGE = 0.2
STARTED = time.perf_counter()
_MEANS = np.linalg.qr(np.random.default_rng(1).normal(size=(D, D)))[0][:K]
_SHIFTS = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0][:K]


@dataclass(frozen=True)
class World:
    """A population.

    Attributes:
        n: real images of each class.
        apart: length of the class means; noise has variance 1 in each dimension.
        shift: how far the means of synthetic images are off.
        scale: standard deviation of synthetic images.
        scene, rho: images that share a scene, and its share of the variance.
    """

    n: int
    apart: float = 2.0
    shift: float = 0.0
    scale: float = 1.0
    scene: int = 1
    rho: float = 0.0

    def real(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return images (K·n, D), class after class, and their scenes (K·n,)."""
        scene = np.arange(K * n) // self.scene
        common = rng.normal(size=(scene[-1] + 1, D))[scene]
        x = np.sqrt(1 - self.rho) * rng.normal(size=(K * n, D)) + np.sqrt(self.rho) * common
        return x + self.apart * np.repeat(_MEANS, n, axis=0), scene

    def synthetic(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return images (K, n, D)."""
        means = self.apart * _MEANS + self.shift * _SHIFTS
        return means[:, None] + self.scale * rng.normal(size=(K, n, D))


def discriminant(x: np.ndarray, y: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (D, K) and offsets (K,) of a linear discriminant with a shrunk covariance."""
    one_hot = np.zeros((len(y), K))
    one_hot[np.arange(len(y)), y] = 1
    count = one_hot.sum(axis=0)
    mean = one_hot.T @ x / count[:, None]
    within = (x.T @ x - (mean * count[:, None]).T @ mean) / max(1, len(y) - K)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / D * np.eye(D)
    weight = np.linalg.solve(within, mean.T)
    return weight, np.log(count / len(y)) - 0.5 * (mean.T * weight).sum(axis=0)


def classify(head: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.asarray((x @ head[0] + head[1]).argmax(axis=1))


@dataclass(frozen=True)
class Made:
    """A study that was made up: hits (R, N) of real-only and (S, R, N), groups, folds (R, N)."""

    hit_real: np.ndarray
    hit: np.ndarray
    group: np.ndarray
    fold: np.ndarray


def study(
    world: World, seed: int, *, null: bool = False, repeats: int = REPEATS, given: bool = True
) -> Made:
    """Make up a study, and train and test every setting of it; `given`: scenes are known."""
    rng = np.random.default_rng([seed, 17])
    x, scene = world.real(rng, world.n)
    y = np.repeat(np.arange(K), world.n)
    group = scene if given else np.arange(len(y))
    wanted = 5 if null else max(RATIOS)
    pool = world.synthetic(rng, wanted * world.n)
    hit = np.zeros((1 + len(RATIOS), repeats, len(y)), dtype=bool)
    fold = np.zeros((repeats, len(y)), dtype=int)
    for r in range(repeats):
        fold[r] = folds.divide(y.astype(str), group.astype(str), FOLDS, rng)
        for f in range(FOLDS):
            train, test = fold[r] != f, fold[r] == f
            per_class = round(train.sum() / K)
            order = rng.permutation(pool.shape[1])
            for s in range(1 + len(RATIOS)):
                if null:  # of its own draw, as many for all
                    own = order[s * per_class : (s + 1) * per_class]
                else:  # nested
                    own = order[: (0, *RATIOS)[s] * per_class]
                more = pool[:, own].reshape(-1, D)
                head = discriminant(
                    np.concatenate([x[train], more]),
                    np.concatenate([y[train], np.repeat(np.arange(K), len(own))]),
                    SHRINKAGE,
                )
                hit[s, r, test] = classify(head, x[test]) == y[test]
    return Made(hit[0], hit[1:], group, fold)


def judged(made: Made, seed: int, model: np.ndarray | None = None) -> np.ndarray:
    """Return difference, SE, adjusted p, low, high and half of the pointwise interval: (S, 6)."""
    family = verdict.compare(
        made.hit_real, made.hit, made.group, np.random.default_rng([seed, 3]), model=model
    )
    t = float(stats.t.ppf(0.975, family.df))
    return np.array(
        [[c.difference, c.se, c.p_adjusted, c.low, c.high, t * c.se] for c in family.comparisons]
    )


def replication(world: World, null: bool, given: bool, seed: int) -> np.ndarray:
    return judged(study(world, seed, null=null, given=given), seed)


def many(work: Callable[[int], Any], n: int) -> list[Any]:
    return list(joblib.Parallel(n_jobs=-1, batch_size=4)(joblib.delayed(work)(i) for i in range(n)))


# --- rows of the table ----------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A figure: what was asked of it, measured, and by how many replications."""

    requirement: str
    asked: str
    measured: float
    error: float
    replications: int
    met: bool


def share(name: str, asked: str, bound: float, hit: np.ndarray) -> Row:
    """A share that is to be ≤ or ≥ a bound, two Monte-Carlo errors of the bound aside."""
    p, n = float(np.mean(hit)), len(hit)
    slack = 2 * np.sqrt(bound * (1 - bound) / n)
    met = p <= bound + slack if asked == "≤" else p >= bound - slack
    return Row(name, f"{asked} {bound:g}", p, error_of_share(p, n), n, bool(met))


def error_of_share(p: float, n: int) -> float:
    """Return the standard error of a share of n; not 0 for none or all (Agresti & Coull)."""
    q = (p * n + 2) / (n + 4)
    return float(np.sqrt(q * (1 - q) / (n + 4)))


def exact(name: str, asked: str, found: bool, n: int) -> Row:
    return Row(name, asked, float(found), 0.0, n, found)


def largest(name: str, most: float, found: float, n: int) -> Row:
    return Row(name, f"≤ {most:g}", found, 0.0, n, found <= most)


# --- 1, 2: errors and coverage --------------------------------------------------------------


def errors(b: int) -> Iterator[Row]:
    for title, world, given in (
        ("6 × 30", World(30), True),
        ("6 × 100", World(100), True),
        ("6 × 100 in scenes of 4, given", World(100, scene=4, rho=0.5), True),
    ):
        found = np.stack(many(partial(replication, world, True, given), b))
        yield share(f"1. family-wise error, {title}", "≤", 0.05, (found[..., 2] <= 0.05).any(1))


def coverage_rows(title: str, found: np.ndarray, least: float = 0.935) -> Iterator[Row]:
    """Coverage of the mean estimate (B, S, 6)."""
    off = np.abs(found[..., 0] - found[..., 0].mean(axis=0))
    inside = off <= found[..., 5]
    per_ratio = inside.mean(axis=0)
    low, high = float(per_ratio.min()), float(per_ratio.max())
    b = len(found)
    slack = 2 * np.sqrt(least * (1 - least) / b), 2 * np.sqrt(0.985 * 0.015 / b)
    error = error_of_share(low, b)
    yield Row(f"{title}: least coverage of a ratio", f"≥ {least}", low, error, b,
              bool(low >= least - slack[0]))  # fmt: skip
    error = error_of_share(high, b)
    yield Row(f"{title}: largest coverage of a ratio", "≤ 0.985", high, error, b,
              bool(high <= 0.985 + slack[1]))  # fmt: skip
    together = (off <= (found[..., 4] - found[..., 3]) / 2).all(axis=1)
    yield share(f"{title}: simultaneous coverage", "≥", 0.935, together)


def coverage(b: int) -> Iterator[Row]:
    worlds = {
        "null": (World(100), True),
        "helping": (World(100), False),
        "collapsed": (World(100, shift=1.5, scale=0.3), False),
    }
    for title, (world, null) in worlds.items():
        found = np.stack(many(partial(replication, world, null, True), b))
        yield from coverage_rows(f"2. {title}", found)
        truth = found[..., 0].mean(axis=0)
        if null:
            continue
        wrong = ((found[..., 2] <= 0.05) & (found[..., 0] * truth < 0)).any(axis=1)
        yield share(f"2. {title}: claims of the wrong sign", "≤", 0.01, wrong)


# --- 3: power -------------------------------------------------------------------------------

GAIN = World(100)  # synthetic images like real ones: two points, at 1:3


def power(b: int) -> Iterator[Row]:
    found = np.stack(many(partial(replication, GAIN, False, True), b))
    truth = found[..., 0].mean(axis=0)
    s = int(np.abs(truth - 0.02).argmin())
    own = found[:, s, 2] <= 0.05
    # The oracle knows the true covariance of the estimates, and needs no t.
    covariance = np.cov(found[..., 0].T)
    sd = np.sqrt(np.diag(covariance))
    draws = np.random.default_rng(0).multivariate_normal(
        np.zeros(len(sd)), covariance / np.outer(sd, sd), 200_000
    )
    critical = float(np.quantile(np.abs(draws).max(axis=1), 0.95))
    oracle = float((np.abs(found[:, s, 0]) / sd[s] > critical).mean())
    title = f"3. power at 6 × 100, true gain {100 * truth[s]:.2f} points"
    yield share(f"{title}, family of four", "≥", 0.40, own)
    ratio = float(own.mean()) / oracle
    error = float(np.sqrt(own.mean() * (1 - own.mean()) / b)) / oracle
    yield Row(f"3. the same over the oracle's {oracle:.3f}", "≥ 0.8", ratio, error, b,
              bool(ratio >= 0.8 - 2 * error))  # fmt: skip
    alone = np.abs(found[:, s, 0]) > found[:, s, 5]
    yield share("3. the same, were it the only comparison", "≥", 0.40, alone)


# --- 4: edges -------------------------------------------------------------------------------


def same(seed: int) -> np.ndarray:
    made = study(World(30), seed, repeats=2)
    family = verdict.compare(
        made.hit_real, made.hit_real[None], made.group, np.random.default_rng(seed)
    )
    (c,) = family.comparisons
    within = np.isfinite([c.low, c.high]).all() and c.low < 0 < c.high
    return np.array([c.difference == 0 and within and c.verdict == "no detectable difference"])


def edges(b: int) -> Iterator[Row]:
    found = np.concatenate(many(same, max(2, b // 10)))
    yield exact("4. equal settings: 0, finite, no claim", "always", bool(found.all()), len(found))
    world = World(30, apart=4.1)
    found = np.stack(many(partial(replication, world, False, True), b))
    accuracy = float(np.mean(many(partial(accuracy_of, world), max(2, b // 10))))
    off = np.abs(found[..., 0] - found[..., 0].mean(axis=0))
    inside = off <= found[..., 5]
    least = inside[:, inside.mean(axis=0).argmin()]
    yield share(f"4. accuracy {accuracy:.3f} at 6 × 30: least coverage of a ratio", "≥", 0.935,
                least)  # fmt: skip


def accuracy_of(world: World, seed: int) -> float:
    return float(study(world, seed, repeats=1).hit_real.mean())


# --- 5, 8: what is laid out, and chosen -----------------------------------------------------


def manifest_of(n: int, copies: int, *, lineage: bool) -> Manifest:
    """Return real images of each class in pairs of a scene, and synthetic ones made from them."""
    rows: list[tuple[str, ...]] = []
    for c in range(K):
        for i in range(n):
            id_ = f"r{c}-{i}"
            rows.append((id_, f"c{c}", "real", f"scene{c}-{i // 2}", "", ""))
            rows += [
                (f"s{c}-{i}-{j}", f"c{c}", "synthetic", "", id_ if lineage else "", "made")
                for j in range(copies)
            ]
    id_, label, source, group, parent, generator = zip(*sorted(rows), strict=True)
    return Manifest(
        id=id_, path=id_, sha256=[hashlib.sha256(i.encode()).hexdigest() for i in id_],
        label=label, source=source, group=group, parent=parent, generator=generator,
        split=["train"] * len(id_), prompt=[""] * len(id_),
    )  # fmt: skip


def leaks(b: int) -> Iterator[Row]:
    manifest = manifest_of(20, 3, lineage=True)
    config = SweepConfig(ratios=(1, 2), repeats=2, allow_fewer=True)
    design = make_design(manifest, config)
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
    found = leaked == 0 and dropped > 0 and dropped_inner > 0
    yield exact("5. no scene in training and test, outer and inner folds; drops counted", "always",
                found, len(design.blocks))  # fmt: skip
    made = study(World(30), 5)
    forward, turned = judged(made, 1), judged(Made(made.hit_real, made.hit[::-1], made.group,
                                                   made.fold), 1)  # fmt: skip
    yield exact("5. order of the settings changes nothing", "always",
                bool(np.array_equal(forward, turned[::-1])), 1)  # fmt: skip
    one = judged(Made(made.hit_real, made.hit[:1], made.group, made.fold), 1)[0]
    two = judged(Made(made.hit[0], made.hit_real[None], made.group, made.fold), 1)[0]
    flipped = np.array_equal(one[:3], [-two[0], two[1], two[2]]) and one[3] == -two[4]
    yield exact("5. two settings exchanged flip the sign exactly", "always", bool(flipped), 1)


LAMBDAS = (0.003, 0.03, 0.1, 0.3, 0.6, 0.9)


def tuned(guarded: bool, seed: int) -> float:
    """Return estimated gain − gain of the same heads on new images, C (shrinkage) chosen inside."""
    rng = np.random.default_rng([seed, 29])
    manifest = manifest_of(30, 2, lineage=True)
    world = World(30, scene=2, rho=0.5)
    config = SweepConfig(ratios=(1,), repeats=1, seed=seed, ignore_lineage=not guarded,
                         allow_fewer=True)  # fmt: skip
    design = make_design(manifest, config)
    real, _ = world.real(rng, 30)
    row = {f"r{c}-{i}": c * 30 + i for c in range(K) for i in range(30)}
    source = np.array([row[p or i] for i, p in zip(design.study.id, design.study.parent,
                                                   strict=True)])  # fmt: skip
    synthetic = design.study.source.astype(str) == "synthetic"
    noise = rng.normal(size=(len(source), D))
    x = real[source] + 0.5 * noise * synthetic[:, None]  # near copies of their sources
    y = np.array([int(name[1:]) for name in design.study.label])
    fresh, _ = world.real(rng, 300)
    fresh_y = np.repeat(np.arange(K), 300)
    gain = {}
    for block in design.blocks:
        if block.setting.name == "synthetic-only":
            continue
        here = there = 0.0
        for problem in block.problems:
            inner = [
                sum((classify(discriminant(x[a], y[a], shrink), x[v]) == y[v]).sum()
                    for a, v in problem.inner)
                for shrink in LAMBDAS
            ]  # fmt: skip
            head = discriminant(x[problem.train], y[problem.train], LAMBDAS[int(np.argmax(inner))])
            here += (classify(head, x[problem.test]) == y[problem.test]).sum() / len(real)
            there += (classify(head, fresh) == fresh_y).mean() / len(block.problems)
        gain[block.setting.name] = np.array([here, there])
    here, there = gain["mix"] - gain["real-only"]
    return float(here - there)


def tuning(b: int) -> Iterator[Row]:
    for guarded in (True, False):
        off = np.array(many(partial(tuned, guarded), b))
        bias, error = float(off.mean()), float(off.std(ddof=1) / np.sqrt(b))
        if guarded:
            met = abs(bias) <= 0.005 + 2 * error
            name = "8. bias of the gain, strength chosen inside"
            yield Row(name, "within ±0.005", bias, error, b, met)
        else:
            yield Row("8. the same without the guard of lineage", "(shown)", bias, error, b, True)


# --- 6: fine-tunes and duplicates -----------------------------------------------------------


def with_seed_noise(seed: int) -> np.ndarray:
    """Judge a study of one repeat whose every fitted model is off by .017 at random."""
    made = study(World(100), seed, repeats=1)
    rng = np.random.default_rng([seed, 41])
    hits = np.concatenate([made.hit_real[None], made.hit]).copy()
    for s in range(len(hits)):
        for f in range(FOLDS):
            own = made.fold[0] == f
            right, off = hits[s, 0, own], rng.normal(0, 0.017)
            accuracy = right.mean()
            turn = abs(off) / max(1 - accuracy if off > 0 else accuracy, 1e-9)
            turned = rng.random(own.sum()) < turn
            hits[s, 0, own] = np.where(turned, off > 0, right)
    return judged(Made(hits[0], hits[1:], made.group, made.fold), seed, model=made.fold)


def stochastic(b: int) -> Iterator[Row]:
    found = np.stack(many(with_seed_noise, b))
    off = np.abs(found[..., 0] - found[..., 0].mean(axis=0))
    inside = off <= found[..., 5]
    least = inside[:, inside.mean(axis=0).argmin()]
    yield share("6. seed noise of .017: least coverage of a ratio", "≥", 0.93, least)
    worst, same = duplicates()
    yield largest(
        "6. duplicates against C·(r + 1): relative difference of the objective", 1e-6, worst, 9
    )
    yield exact("6. the same: labels of the test images equal", "always", same, 9)


def duplicates() -> tuple[float, bool]:
    """Return the largest difference between training on r + 1 copies and C·(r + 1), two ways."""
    rng = np.random.default_rng(0)
    x = unit_rows(World(20).real(rng, 20)[0])
    y = np.repeat(np.arange(K), 20)
    pool = Pool(x.astype(np.float32), y, K)
    of_test = np.arange(len(y)) % 4 == 0
    train, test = np.flatnonzero(~of_test), np.flatnonzero(of_test)
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


# --- 7: data value --------------------------------------------------------------------------

SIZES, BASE, ADDED = (20, 30, 40, 60, 80), 30, 30


def valued(base: int, added: int, seed: int) -> tuple[float, float, float, bool, bool]:
    """Return M, its interval and whether it touches the ends, for synthetic like real images."""
    world = World(100)
    rng = np.random.default_rng([seed, 53])
    x, group = world.real(rng, world.n)
    y = np.repeat(np.arange(K), world.n)
    pool = world.synthetic(rng, max(added, 1))
    repeats = REPEATS
    real = np.zeros((len(SIZES), repeats, len(y)), dtype=bool)
    mix = np.zeros((repeats, len(y)), dtype=bool)
    for r in range(repeats):
        fold = folds.divide(y.astype(str), group.astype(str), FOLDS, rng)
        for f in range(FOLDS):
            test = fold == f
            order = rng.permutation(np.flatnonzero(~test))
            rank = np.zeros(len(y), dtype=int)
            for c in range(K):
                own = order[y[order] == c]
                rank[own] = np.arange(len(own))
            trains = [(~test) & (rank < size) for size in SIZES]
            for t, train in enumerate(trains):
                head = discriminant(x[train], y[train], SHRINKAGE)
                real[t, r, test] = classify(head, x[test]) == y[test]
            train = trains[SIZES.index(base)]
            head = discriminant(
                np.concatenate([x[train], pool.reshape(-1, D)]),
                np.concatenate([y[train], np.repeat(np.arange(K), pool.shape[1])]), SHRINKAGE,
            )  # fmt: skip
            mix[r, test] = classify(head, x[test]) == y[test]
    found = worth(SIZES, real, base, mix, y, group, rng)
    return found.value, found.low, found.high, found.at_least, found.at_most


def values(b: int) -> Iterator[Row]:
    found = np.array(many(partial(valued, BASE, ADDED), b), dtype=float)
    ratio = found[:, 0] / ADDED
    median = float(np.median(ratio))
    error = float(1.2533 * ratio.std(ddof=1) / np.sqrt(b))
    yield Row("7. like real images: median M / N", "0.85 … 1.15", median, error, b,
              bool(0.85 - 2 * error <= median <= 1.15 + 2 * error))  # fmt: skip
    inside = (found[:, 1] <= ADDED) & (ADDED <= found[:, 2])
    yield share("7. like real images: coverage of M", "≥", 0.88, inside)
    beyond = np.array(many(partial(valued, 60, 120), max(2, b // 4)), dtype=float)
    yield share("7. more than the curve holds: said to be at its end", "≥", 0.95,
                beyond[:, 3] == 1)  # fmt: skip


# --- the whole sweep ------------------------------------------------------------------------


def swept(leaky: bool, guarded: bool, seed: int) -> np.ndarray:
    """Return difference, low, high (4, 3) of a sweep over a made-up feature store."""
    rng = np.random.default_rng([seed, 71])
    manifest = manifest_of(30, 4, lineage=leaky)
    world = World(30, shift=0.6, scene=2, rho=0.3)
    real, _ = world.real(rng, 30)
    row = {f"r{c}-{i}": c * 30 + i for c in range(K) for i in range(30)}
    made = world.synthetic(rng, 30 * 4).reshape(-1, D)
    x = np.zeros((len(manifest), D), dtype=np.float32)
    is_real = manifest.source.astype(str) == "real"
    for i, id_ in enumerate(manifest.id):
        if is_real[i]:
            x[i] = real[row[id_]]
        elif leaky:  # a near copy
            x[i] = real[row[manifest.parent[i]]] + 0.3 * rng.normal(size=D)
        else:
            c, j, copy = (int(part) for part in id_[1:].split("-"))
            x[i] = made[c * 120 + j * 4 + copy]
    spec = EncoderSpec("made-up", f"{seed}", "none", D, (1, 1), "squash", "", (0.0,), (1.0,),
                       "fp32", "none")  # fmt: skip
    config = SweepConfig(
        ratios=RATIOS,
        repeats=2,
        seed=seed,
        ignore_lineage=leaky and not guarded,
        allow_fewer=True,
        c_grid=(0.1, 1.0, 10.0, 100.0),
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "features", create=True)
        encoder = store.add_encoder("made-up", spec)
        store.write_shard(encoder, list(manifest.sha256), x, {})
        (document,) = sweep(
            manifest, store, Path(folder) / "results", config, execution=Execution(workers=1)
        )
    rows = [r for r in document.results if r.metric == "accuracy" and r.setting == "mix"]
    return np.array([[r.difference, r.difference_low, r.difference_high] for r in rows])


def sweeps(b: int) -> Iterator[Row]:
    found = np.stack(many(partial(swept, False, True), b))
    truth = found[..., 0].mean(axis=0)
    inside = (found[..., 1] <= truth) & (truth <= found[..., 2])
    yield share("2. through xprobe sweep, 6 × 30 in scenes of 2: simultaneous coverage", "≥", 0.935,
                inside.all(axis=1))  # fmt: skip
    few = max(2, b // 10)
    for guarded in (True, False):
        leaky = np.stack(many(partial(swept, True, guarded), few))
        gain = leaky[:, 0, 0]
        words = "with the guard" if guarded else "without it"
        error = float(gain.std(ddof=1) / np.sqrt(few))
        yield Row(f"5. near copies of real images through xprobe sweep, 1:1, gain {words}",
                  "(shown)", float(gain.mean()), error, few, True)  # fmt: skip


# --- the run --------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[int], Iterator[Row]], int]] = {
    "1": (errors, 1000), "2": (coverage, 1000), "3": (power, 500), "4": (edges, 500),
    "5": (leaks, 1), "6": (stochastic, 500), "7": (values, 200), "8": (tuning, 200),
    "sweep": (sweeps, 60),
}  # fmt: skip


def markdown(rows: Sequence[dict[str, Any]], seconds: float) -> str:
    lines = ["| requirement | asked | measured | ± MC | replications | seconds | met |",
             "|---|---|---:|---:|---:|---:|---|"]  # fmt: skip
    for row in rows:
        error = f"{row['error']:.4f}" if row["error"] else "–"
        measured = f"{row['measured']:.4f}" if row["measured"] > 1e-4 or row["measured"] < 0 else (
            f"{row['measured']:.1g}")  # fmt: skip
        if row["asked"] == "always":
            measured = "yes" if row["measured"] else "no"
        met = "–" if row["asked"] == "(shown)" else "yes" if row["met"] else "**no**"
        taken = f"{row['seconds']:.0f}" if row["seconds"] >= 0.5 else ""  # the same replications
        lines.append(
            f"| {row['requirement']} | {row['asked']} | {measured} | {error} | "
            f"{row['replications']} | {taken} | {met} |"
        )
    return "\n".join([*lines, "", f"{seconds / 60:.0f} minutes on {joblib.cpu_count()} cores."])


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the replications")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in chosen.only:
        part, n = PARTS[name]
        start = time.perf_counter()
        for row in part(max(2, n // 100) if chosen.quick and n > 1 else n):
            rows.append(vars(row) | {"seconds": round(time.perf_counter() - start, 1)})
            remark = "" if row.met or chosen.quick else "  NOT MET"
            print(f"{time.perf_counter() - STARTED:6.0f} s  {row.requirement:<72} asked "
                  f"{row.asked:<12} measured {row.measured:.4g} ± {row.error:.2g} "
                  f"(B = {row.replications}){remark}", flush=True)  # fmt: skip
            start = time.perf_counter()
    if chosen.markdown:
        text = markdown(rows, time.perf_counter() - STARTED)
        chosen.markdown.write_text(f"{text}\n", encoding="utf-8")
    print(json.dumps({"question": QUESTION, "machine": platform.machine(), "rows": rows}))


if __name__ == "__main__":
    main()
