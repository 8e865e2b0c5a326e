"""Few and unequal groups: the mean over images (CR2) and the mean over groups.

A real image is right with some chance, and so is a mix about it, which keeps most of real-only's
answers; in each group the mix is better or worse by an effect of that group, normal with a standard
deviation of 0 to 10 points (at accuracy .98, to 3 points). Truth is the mean over replications.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import stats

from calibration.rows import Row, error_of_share, stacked
from xprobe.verdict.errors import mean_differences

SIZE, LARGE = 30, 300
KEPT = 0.7
AT_ONCE = 100
NUMBERS = (6, 8, 12, 20)
EFFECTS = {0.75: (0.0, 0.05, 0.1), 0.98: (0.0, 0.01, 0.03)}
ASKED = 0.064

# Those of version 1: a few figures of leave-one-group-out on real features and emulated events.
BEFORE = {
    (6, False, True): 0.0, (12, False, True): 0.01, (8, True, True): 0.067, (12, True, True): 0.25,
}  # fmt: skip


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


def events(B: int) -> Iterator[Row]:
    """Yield the largest share of misses over the effects, for every number of groups."""
    calls = max(1, B // AT_ONCE)
    for accuracy, effects in EFFECTS.items():
        for is_unequal in (False, True):
            for number in NUMBERS:
                sizes = sizes_of(number, is_unequal)
                missed = []
                for effect in effects:
                    work = partial(estimated, sizes, accuracy, effect)
                    results = stacked(work, calls).reshape(-1, 2, 2)
                    off = np.abs(results[..., 0] - results[..., 0].mean(axis=0))
                    missed.append((off > results[..., 1]).mean(axis=0))
                count = calls * AT_ONCE
                words = f"one of {LARGE}, others of {SIZE}" if is_unequal else f"of {SIZE}"
                world = f"{number} groups, {words}, accuracy {accuracy:g}"
                for by_group, column in enumerate(np.array(missed).T):
                    worst = int(column.argmax())
                    estimand = "mean over groups" if by_group else "mean over images, CR2"
                    rate = float(column[worst])
                    before = BEFORE.get((number, is_unequal, bool(by_group)))
                    yield Row(
                        f"misses, {estimand}, worst effect (SD {100 * effects[worst]:g} points)",
                        world, f"≤ {ASKED}", rate, error_of_share(rate, count), count,
                        rate <= ASKED, before if accuracy < 0.9 else None,
                    )  # fmt: skip
