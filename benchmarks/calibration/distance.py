"""Do the p-values and intervals of `xprobe distance` keep their error rates?

    python benchmarks/bench_calibration.py --only distance

Both sides are normal in 32 dimensions with falling variances, rows of unit length; rows of a unit
correlate by ρ in every dimension. `rows_of` gives a row a figure:

- null: both sides have one distribution, in six worlds and some more; P(p ≤ .05), MMD and energy,
  199 permutations. ``before``: by version 0 of the protocol, for which every synthetic row was a
  unit of its own, with B = 200 (measured then, not again);
- power: the mean of one side is off. At unit size one ``before`` is the plain permutation test,
  which is computed here by its definition in float64, for the same permutations;
- intervals: under a shift, the share of 95 % intervals without the mean of the values;
- gain: distance and gain without a relation, eight generators by six encoders that agree.

A rate is met within two Monte-Carlo errors of what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import joblib
import numpy as np
from scipy.spatial.distance import cdist

from xprobe.distance import kernels
from xprobe.distance.exchange import make_test
from xprobe.distance.measure import measure
from xprobe.learners.problem import unit_rows
from xprobe.verdict.correlation import rank_correlation

D, PERMUTATIONS = 32, 199
SCALE = np.arange(1, D + 1) ** -0.25
METRICS = ("mmd", "energy")

Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """Units of both sides.

    Attributes:
        title: what it is called in the table.
        real, synthetic: number of units, and rows of each.
        rho_real, rho: correlation of the rows of a unit, on the real and on the synthetic side.
        edits: whether the synthetic units are those of the real side, that is, edits of its images.
        shift: how far the mean of the synthetic side is off.
        before: P(p ≤ .05) of both metrics before units of the synthetic side.
    """

    title: str
    real: tuple[int, int]
    synthetic: tuple[int, int]
    rho_real: float = 0.0
    rho: float = 0.0
    edits: bool = False
    shift: float = 0.0
    before: tuple[float, float] | None = None

    def draw(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return rows of both sides and the numbers of their units."""
        rng = np.random.default_rng([seed, 21])
        (n, size), (m, copies) = self.real, self.synthetic
        centre = rng.standard_normal((n, D))
        other = centre if self.edits else rng.standard_normal((m, D))
        real = _side(rng, centre.repeat(size, axis=0), self.rho if self.edits else self.rho_real)
        synthetic = _side(rng, other.repeat(copies, axis=0), self.rho, self.shift)
        start = 0 if self.edits else n
        return real, synthetic, np.arange(n).repeat(size), start + np.arange(m).repeat(copies)

    def measured(self, seed: int, permutations: int = PERMUTATIONS, draws: int = 0) -> np.ndarray:
        """Return p, value and ends of the interval of both metrics (2, 4)."""
        real, synthetic, unit, other = self.draw(seed)
        distances = measure(
            real, synthetic, unit, np.random.default_rng([seed, 22]), synthetic_group=other,
            metrics=METRICS, permutations=permutations, bootstrap=draws, splits=1,
        )  # fmt: skip
        numbers = [[row.p, row.value, row.ci_low, row.ci_high] for row in distances]
        return np.array(numbers, dtype=np.float64)


def _side(rng: np.random.Generator, centre: np.ndarray, rho: float, shift: float = 0) -> np.ndarray:
    noise = rng.standard_normal(centre.shape)
    x = (np.sqrt(rho) * centre + np.sqrt(1 - rho) * noise) * SCALE
    x[:, 0] += 1
    x[:, 1] += shift
    return unit_rows(x).astype(np.float32)


EDITS = World("5. four edits a source, 100 + 400, ρ = .5", (100, 1), (100, 4), rho=0.5)
PROMPTS = World("6. ten prompts × 10, 100 + 100, ρ = .2", (100, 1), (10, 10), rho=0.2)
SCENES = World("4. real in scenes of 4, 100 + 100, ρ = .5", (25, 4), (100, 1), rho_real=0.5)
SMALL = World("1. independent, 30 + 30", (30, 1), (30, 1))
MIDDLE = World("2. independent, 100 + 100", (100, 1), (100, 1))
LARGE = World("3. independent, 100 + 400", (100, 1), (400, 1))
OF_REAL = World("edits of the real images, 100 + 400, ρ = .5", (100, 1), (100, 4), rho=0.5,
                edits=True)  # fmt: skip

NULLS = (
    replace(SMALL, before=(0.055, 0.055)),
    replace(MIDDLE, before=(0.04, 0.04)),
    replace(LARGE, before=(0.04, 0.04)),
    replace(SCENES, before=(0.05, 0.055)),
    replace(SCENES, title="4. the same, 100 + 400", synthetic=(400, 1), before=(0.05, 0.055)),
    replace(EDITS, before=(0.25, 0.26)),
    replace(EDITS, title="5. the same, ρ = .8", rho=0.8, before=(0.46, 0.5)),
    replace(PROMPTS, before=(0.7, 0.7)),
    OF_REAL,
    World("one edit of each real image, 30 + 30, ρ = .5", (30, 1), (30, 1), rho=0.5, edits=True),
    World("12 real images × 4 edits, ρ = .5", (12, 1), (12, 4), rho=0.5, edits=True),
    World("6 scenes of 10, ρ = .5, 60 + 100", (6, 10), (100, 1), rho_real=0.5),
    World("5 scenes of 10, ρ = .5, 50 + 100 (row draws)", (5, 10), (100, 1), rho_real=0.5),
    World("12 scenes of 10, ρ = .8, 12 prompts of 4, ρ = .1", (12, 10), (12, 4), 0.8, 0.1),
    World("30 alone, 300 prompts of 4, ρ = .2", (30, 1), (300, 4), rho=0.2),
)

POWERS = (
    replace(SMALL, shift=0.5), replace(MIDDLE, shift=0.3), replace(LARGE, shift=0.25),
    replace(SCENES, shift=0.5), replace(EDITS, shift=0.3), replace(PROMPTS, shift=0.5),
    replace(OF_REAL, shift=0.2),
)  # fmt: skip

_UNITS = (
    SMALL, MIDDLE, LARGE, World("independent, 300 + 300", (300, 1), (300, 1)), EDITS, OF_REAL,
    PROMPTS, World("8 scenes of 10, ρ = .5, 80 + 100", (8, 10), (100, 1), rho_real=0.5),
    World("6 real images × 4 edits, ρ = .5", (6, 1), (6, 4), rho=0.5, edits=True),
)  # fmt: skip

SHIFTED = tuple(replace(world, shift=shift) for world in _UNITS for shift in (0.4, 1.0))


def plain_p(world: World, seed: int) -> np.ndarray:
    """Return p of both metrics by the definition of the plain test, for the same permutations."""
    real, synthetic, unit, _ = world.draw(seed)
    n, m = len(real), len(synthetic)
    x = np.concatenate([real, synthetic]).astype(np.float64)
    squared = cdist(x, x, "sqeuclidean")
    sigma2 = np.median(squared[np.triu_indices(n + m, 1)])
    rng = np.random.default_rng([seed, 22]).spawn(6)[2]  # `measure` draws permutations from it.
    test = make_test(kernels.pair_up(real, synthetic, unit), PERMUTATIONS, rng)
    side, values = test.weight.astype(np.float64), []
    for k in (np.exp(-squared / (2 * sigma2)), -np.sqrt(squared)):
        np.fill_diagonal(k, 0)
        aa, bb = ((part * (k @ part)).sum(axis=0) for part in (side, 1 - side))
        ab = (side * (k @ (1 - side))).sum(axis=0)
        statistic = aa / (n * (n - 1)) + bb / (m * (m - 1)) - 2 * ab / (n * m)
        values.append(np.mean(statistic >= statistic[0] - 1e-12))
    return np.array(values)


# --- rows ----------------------------------------------------------------------------------


def many(work: Callable[[int], Any], count: int, jobs: int) -> np.ndarray:
    """Return the results of the seeds 0 … count − 1."""
    calls = (joblib.delayed(work)(seed) for seed in range(count))
    return np.stack(list(joblib.Parallel(n_jobs=jobs, batch_size=4)(calls)))


def error_of(share: float, count: int) -> float:
    """Return the standard error of a share of `count`; not 0 for none or all (Agresti & Coull)."""
    q = (share * count + 2) / (count + 4)
    return float(np.sqrt(q * (1 - q) / (count + 4)))


def row(
    item: str, world: str, asked: float | None, value: float, B: int, before: float | None = None
) -> Row:
    """Return a row of the table; `asked`: the largest rate that passes, two MC errors aside."""
    met = None
    if asked is not None:
        met = bool(value <= asked + 2 * np.sqrt(asked * (1 - asked) / B))
    return {
        "item": item, "world": world, "asked": asked, "before": before, "value": round(value, 4),
        "mc_error": round(error_of(value, B), 4), "B": B, "met": met,
    }  # fmt: skip


def nulls(B: int, jobs: int) -> Iterator[Row]:
    """Yield how often p ≤ .05 where nothing differs."""
    for world in NULLS:
        p = many(world.measured, B, jobs)[:, :, 0]
        for i, metric in enumerate(METRICS):
            before = None if world.before is None else world.before[i]
            rate = float(np.mean(p[:, i] <= 0.05))
            yield row(f"P(p <= .05), {metric}", world.title, 0.05, rate, B, before)


def powers(B: int, jobs: int) -> Iterator[Row]:
    """Yield how often p ≤ .05 where the mean is off; beside it the plain test at unit size one."""
    for world in POWERS:
        p = many(world.measured, B, jobs)[:, :, 0]
        alone = world.real[1] == world.synthetic[1] == 1
        plain = many(partial(plain_p, world), B, jobs) if alone else None
        for i, metric in enumerate(METRICS):
            before = None if plain is None else round(float(np.mean(plain[:, i] <= 0.05)), 4)
            title, power = f"{world.title}, shift {world.shift}", float(np.mean(p[:, i] <= 0.05))
            yield row(f"power, {metric}", title, None, power, B, before)


def intervals(B: int, jobs: int) -> Iterator[Row]:
    """Yield how often 95 % intervals miss the mean value under a shift, in B / 2 data sets."""
    B = max(2, B // 2)
    for world in SHIFTED:
        work = partial(world.measured, permutations=0, draws=200)
        _, value, low, high = many(work, B, jobs).transpose(2, 0, 1)
        misses = (low > value.mean(axis=0)) | (high < value.mean(axis=0))
        for i, metric in enumerate(METRICS):
            title = f"{world.title}, shift {world.shift}"
            yield row(f"interval misses, {metric}", title, 0.05, float(misses[:, i].mean()), B)


def unrelated(seed: int, generators: int = 8, encoders: int = 6) -> np.ndarray:
    """Return whether distance and gain seem to go together, though encoders alone agree."""
    rng = np.random.default_rng([seed, 24])
    x, y = (
        rng.standard_normal(generators) + 0.5 * rng.standard_normal((encoders, generators))
        for _ in range(2)
    )
    correlation = rank_correlation(x, y, rng)
    return np.array([correlation is not None and (correlation.p or 1.0) <= 0.05])


def gains(B: int, jobs: int) -> Iterator[Row]:
    """Yield how often distance is said to go with gain where there is no relation."""
    for generators in (5, 8):
        work = partial(unrelated, generators=generators)
        rate = float(many(work, B, jobs).mean())
        yield row("P(p <= .05), distance and gain", f"{generators} generators, 6 encoders", 0.05,
                  rate, B)  # fmt: skip


PARTS = {"null": nulls, "power": powers, "intervals": intervals, "gain": gains}


def rows_of(B: int, parts: tuple[str, ...] = tuple(PARTS), jobs: int = 1) -> Iterator[Row]:
    """Yield the rows of these parts with B replications each, as they are measured.

    A row has item, world, asked (None: it is shown only), before, value, mc_error, B and met.
    """
    for part in parts:
        yield from PARTS[part](B, jobs)
