"""Few and unequal groups: the mean over images (CR2) and the mean over groups.

A real image is right with some chance, and so is a mix about it, which keeps most of real-only's
answers; in each group the mix is better or worse by an effect of that group, normal with a standard
deviation of 0 to 10 points (at accuracy .98, of 0 to 3). Truth is the mean over replications.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import stats

from calibration.rows import SHOWN, Row, error_of_share, stacked
from xprobe.verdict.errors import mean_differences

SIZE, LARGE = 30, 300
KEPT = 0.7
AT_ONCE = 100
NUMBERS = (6, 8, 12, 20)
EFFECTS = {0.75: (0.0, 0.05, 0.1), 0.98: (0.0, 0.01, 0.02, 0.03)}
SKEWED = 0.05
ASKED = 0.064

# Those of version 1: a few figures of leave-one-group-out on real features and emulated events.
BEFORE = {(6, False): 0.0, (12, False): 0.01, (8, True): 0.067, (12, True): 0.25}


def sizes_of(number: int, is_unequal: bool) -> np.ndarray:
    """Return the sizes (G,) of groups, the first of them ten times as large where unequal."""
    sizes = np.full(number, SIZE)
    if is_unequal:
        sizes[0] = LARGE
    return sizes


def estimated(sizes: np.ndarray, accuracy: float, effect: float, seed: int) -> np.ndarray:
    """Return difference and half of its interval, by images and by groups: (AT_ONCE, 2, 2)."""
    rng = np.random.default_rng([seed, len(sizes), int(sizes[0]), int(1000 * effect), 91])
    group = np.repeat(np.arange(len(sizes)), sizes)
    shape = AT_ONCE, 1, len(group)
    chance = rng.beta(3 * accuracy, 3 * (1 - accuracy), size=shape)
    of_group = effect * rng.standard_normal((AT_ONCE, 1, len(sizes)))
    luck = rng.random(shape)
    other = np.where(rng.random(shape) < KEPT, luck, rng.random(shape))
    real, hit = luck < chance, other < np.clip(chance + of_group[..., group], 0, 1)
    columns = []
    for by_group in (False, True):
        estimates = mean_differences(real, hit, group, by_group=by_group)
        half = stats.t.ppf(0.975, estimates.df) * estimates.se
        columns.append(np.stack([estimates.difference, half], axis=1))
    return np.stack(columns, axis=1)


def misses(sizes: np.ndarray, accuracy: float, effect: float, calls: int) -> np.ndarray:
    """Return the shares of misses by images and by groups (2,)."""
    results = stacked(partial(estimated, sizes, accuracy, effect), calls).reshape(-1, 2, 2)
    off = np.abs(results[..., 0] - results[..., 0].mean(axis=0))
    return np.asarray((off > results[..., 1]).mean(axis=0))


def events(B: int) -> Iterator[Row]:
    """Yield the largest share of misses over the effects, for every number of groups.

    Effects larger than what can still be gained are shown: near the ceiling these can only harm,
    and a mean of few such groups is no matter of t.
    """
    calls = max(1, B // AT_ONCE)
    for accuracy, effects in EFFECTS.items():
        for is_unequal in (False, True):
            for number in NUMBERS:
                sizes = sizes_of(number, is_unequal)
                by_effect = np.stack([misses(sizes, accuracy, sd, calls) for sd in effects])
                words = f"one of {LARGE}, others of {SIZE}" if is_unequal else f"of {SIZE}"
                world = f"{number} groups, {words}, accuracy {accuracy:g}"
                before = BEFORE.get((number, is_unequal)) if accuracy < 0.9 else None
                yield from _rows(world, by_effect, effects, calls * AT_ONCE, before)
                if accuracy > 0.9:
                    skewed = misses(sizes, accuracy, SKEWED, calls)[None]
                    yield from _rows(world, skewed, (SKEWED,), calls * AT_ONCE, None, False)


def _rows(
    world: str, by_effect: np.ndarray, effects: tuple[float, ...], count: int,
    before: float | None, is_asked: bool = True,
) -> Iterator[Row]:  # fmt: skip
    """Yield the rows of shares of misses (effects, 2), the largest of each column."""
    for i, estimand in enumerate(("mean over images, CR2", "mean over groups")):
        worst = int(by_effect[:, i].argmax())
        rate = float(by_effect[worst, i])
        words = "worst effect" if len(effects) > 1 else "large effect"
        item = f"misses, {estimand}, {words} (SD {100 * effects[worst]:g} points)"
        asked, met = (f"≤ {ASKED}", rate <= ASKED) if is_asked else (SHOWN, None)
        yield Row(item, world, asked, rate, error_of_share(rate, count), count, met,
                  before if i else None)  # fmt: skip
