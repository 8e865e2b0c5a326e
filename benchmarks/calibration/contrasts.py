"""Intervals and families in populations that are less kind, and on the contrast that users make.

Truth is the mean estimate over replications, which is unbiased for the expected difference at this
number of training images. *Each* is the share of pointwise 95 % intervals of the four mixes without
it, *family* that of studies with some simultaneous interval without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from calibration.rows import SHOWN, Row, share, stacked
from calibration.studies import (
    DIFFERENCE,
    FOLDS,
    HALF,
    HIGH,
    LOW,
    P,
    Replication,
    gains,
    shares_without_gain,
)
from calibration.worlds import Population, World, six, ten, two, unequal


class Case(NamedTuple):
    """A population with the misses that were measured before, and whether it is known as short."""

    world: World
    before: tuple[float, float] | None
    is_short: bool = False


CASES = (
    Case(ten(100, "same distribution, 10 × 100"), (0.054, 0.040)),
    Case(ten(30, "same distribution, 10 × 30"), (0.040, 0.036)),
    Case(two(100, "same distribution, 2 × 100"), (0.040, 0.040)),
    Case(ten(30, "four edits a real image, guarded, 10 × 30", edits=4), (0.032, 0.033)),
    Case(six(100, "clusters shrunken to a third, 6 × 100", scale=0.3), None),
    Case(two(30, "near the ceiling, 2 × 30"), (0.073, 0.034), is_short=True),
    Case(unequal("imbalance, 10 × 240 … 10"), (0.066, 0.068), is_short=True),
    Case(ten(100, "shifted, 10 × 100", toward=0.6), (0.071, 0.075), is_short=True),
    Case(unequal("shifted, 10 × 240 … 10", toward=0.6), (0.074, 0.098), is_short=True),
)


def misses(
    world: str, results: np.ndarray, before: tuple[float, float] | None, asked: str
) -> Iterator[Row]:
    """Yield the misses of results (B, S, 6): of each ratio, and of the family."""
    off = np.abs(results[..., DIFFERENCE] - results[..., DIFFERENCE].mean(axis=0))
    missed = off > results[..., HALF]
    each, family = before or (None, None)
    yield share("misses of a ratio, mean of four", world, asked, missed, before=each)
    outside = off > (results[..., HIGH] - results[..., LOW]) / 2
    yield share("misses of the family", world, asked, outside.any(axis=1), before=family)


def populations(B: int) -> Iterator[Row]:
    """Yield the misses in all populations; what is known as short is shown."""
    for case in CASES:
        results = stacked(Replication(case.world), B)
        world = f"{case.world.title} (known as short)" if case.is_short else case.world.title
        yield from misses(world, results, case.before, SHOWN if case.is_short else "≤ 0.05")


def wrong_labels(world: Population, B: int, before: tuple[float, float] | None) -> Iterator[Row]:
    """Yield misses and claims of n against n + r·n with labels wrong so often that 0 is true."""
    draws = max(2, min(100, B // 5))
    shares = shares_without_gain(stacked(partial(gains, world, 1 - 1 / FOLDS), draws))
    results = stacked(Replication(world, wrong=shares), B)
    truth = results[..., DIFFERENCE].mean(axis=0)
    title = f"{world.title}, calibrated wrong labels"
    yield from misses(title, results, before, "≤ 0.05")
    claimed = (results[..., P] <= 0.05).any(axis=1)
    points = " … ".join(f"{100 * value:.1f}" for value in (truth.min(), truth.max()))
    yield share(f"claims, true effect {points} points", title, SHOWN, claimed)


def calibrated(B: int) -> Iterator[Row]:
    """Yield the same for two sizes."""
    yield from wrong_labels(ten(100), B, (0.044, 0.037))
    yield from wrong_labels(ten(30), B, (0.043, 0.038))
