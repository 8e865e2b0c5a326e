"""Fine-tunes, emulated: every fitted model is off by a normal number of its own.

The chance of an image to be recognised is drawn from a beta distribution (mean .75, concentration
3) and is that of all models; each model adds an offset to all chances. No setting is better than
another, so that every claim is false and 0 is the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import stats

from calibration.rows import SHOWN, Row, always, error_of_share, stacked
from calibration.studies import DRAWS, FOLDS
from xprobe.verdict import family as verdict
from xprobe.verdict.errors import mean_differences

AT_ONCE = 20
SEED_SDS = (0.017, 0.035)
ASKED = 0.064

# Misses of one comparison by the rules of version 1, by models and images, then by seed SD.
BEFORE = {
    (5, 600): (0.061, 0.084), (5, 3000): (0.093, 0.103),
    ("hold-out", 2): (0.128, 0.215), ("hold-out", 3): (0.105, 0.139),
}  # fmt: skip
BEFORE_OF_FOUR = (0.074, 0.067)


def models_of(J: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the number of the model (R, n) that tests each image, five folds a repeat."""
    repeats = J // FOLDS
    fold = np.stack([rng.permutation(np.arange(n) % FOLDS) for _ in range(repeats)])
    return np.asarray(fold + FOLDS * np.arange(repeats)[:, None])


def hits(
    chance: np.ndarray, model: np.ndarray, settings: int, sd: float, rng: np.random.Generator
) -> np.ndarray:
    """Return hits (…, settings, R, n) for chances (…, n), each setting with models of its own."""
    more = chance.shape[:-1]
    offset = sd * rng.standard_normal((*more, settings, int(model.max()) + 1))
    likely = chance[..., None, None, :] + offset[..., model]
    return rng.random((*more, settings, *model.shape)) < likely


def one_comparison(J: int, n: int, sd: float, is_hold_out: bool, seed: int) -> np.ndarray:
    """Return whether intervals miss 0 (AT_ONCE,) where real-only and one mix are compared."""
    rng = np.random.default_rng([seed, J, n, int(1000 * sd), 92])
    model = np.arange(J)[:, None].repeat(n, axis=1) if is_hold_out else models_of(J, n, rng)
    chance = rng.beta(2.25, 0.75, size=(AT_ONCE, n))
    hit = hits(chance, model, 2, sd, rng)
    estimates = mean_differences(hit[:, 0], hit[:, 1], np.arange(n), model=model)
    return np.abs(estimates.t) > stats.t.ppf(0.975, estimates.df)


def four_mixes(J: int, n: int, sd: float, seed: int) -> np.ndarray:
    """Return misses of four mixes, of the family, false words with controls, and disagreement.

    Every mix has a control of its own: (misses of each … 4, family, word, disagreement).
    """
    rng = np.random.default_rng([seed, J, n, int(1000 * sd), 93])
    model = models_of(J, n, rng)
    hit = hits(rng.beta(2.25, 0.75, size=n), model, 9, sd, rng)
    group, draws = np.arange(n), np.random.default_rng([seed, 3])
    family = verdict.compare(hit[0], hit[1:5], group, draws, model=model, draws=DRAWS)
    controls = verdict.compare(hit[5:], hit[1:5], group, draws, model=model, draws=DRAWS)
    missed = [
        abs(c.difference) > float(stats.t.ppf(0.975, c.df)) * c.se for c in family.comparisons
    ]
    outside = any(c.low > 0 or c.high < 0 for c in family.comparisons)
    words, disagree = False, False
    for pair in zip(family.comparisons, controls.comparisons, strict=True):
        judgement = verdict.judge(*pair)
        is_claim = judgement.verdict in (verdict.HELPS, verdict.HURTS)
        words |= is_claim
        excluded = judgement.low > 0 or judgement.high < 0
        disagree |= not is_claim == excluded == (judgement.p_adjusted <= verdict.ALPHA)
    return np.array([*missed, outside, words, disagree])


def _row(item: str, world: str, missed: np.ndarray, before: float | None, is_asked: bool) -> Row:
    rate, count = float(missed.mean()), len(missed)
    error = error_of_share(rate, count)
    if missed.ndim > 1:
        error = float(missed.mean(axis=1).std(ddof=1) / np.sqrt(count))
    asked, met = (f"≤ {ASKED}", rate <= ASKED) if is_asked else (SHOWN, None)
    return Row(item, world, asked, rate, error, count, met, before)


def fine_tunes(B: int) -> Iterator[Row]:
    """Yield misses in folds, of one comparison and of four mixes with their controls."""
    calls = max(1, B // AT_ONCE)
    for i, sd in enumerate(SEED_SDS):
        for J in (5, 10, 20):
            for n in (600, 3000):
                missed = stacked(partial(one_comparison, J, n, sd, False), calls).ravel()
                world = f"{J} models, {n} images, seed SD {sd}"
                before = BEFORE.get((J, n))
                yield _row("misses of one comparison, folds", world, missed,
                           before and before[i], J >= 10)  # fmt: skip
            results = stacked(partial(four_mixes, J, 3000, sd), max(2, B // 4))
            world = f"{J} models, 3000 images, seed SD {sd}"
            before_of_four = BEFORE_OF_FOUR[i] if J == 5 else None
            yield _row("misses of a mix, mean of four, folds", world, results[:, :4],
                       before_of_four, J >= 10)  # fmt: skip
            yield _row("misses of the family of four, folds", world, results[:, 4], None, J >= 10)
            yield _row("false words of four mixes with controls", world, results[:, 5], None, True)
            yield always("with controls: word, p and interval agree", world,
                         not results[:, 6].any(), len(results))  # fmt: skip


def hold_outs(B: int) -> Iterator[Row]:
    """Yield misses on a fixed hold-out by the number of seeds."""
    calls = max(1, B // AT_ONCE)
    for i, sd in enumerate(SEED_SDS):
        for seeds in (2, 3, 5, 10):
            missed = stacked(partial(one_comparison, seeds, 2000, sd, True), calls).ravel()
            before = BEFORE.get(("hold-out", seeds))
            yield _row("misses of one comparison, fixed hold-out",
                       f"{seeds} seeds, 2000 images, seed SD {sd}", missed, before and before[i],
                       seeds >= 10)  # fmt: skip
