"""Speed and memory of judging: macro-F1 and calibration error by influence functions.

10 settings × 100,000 images × 10 repeats, 10 classes. The bootstrap that influence functions took
the place of is written out here, with as many draws; it is timed on two repeats of a setting, and
what it shares between them is counted once. Memory is that of a process of its own, beyond the
predicted classes of all repeats and the scores of one.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calibration.rows import SHOWN, Row, bounded
from xprobe.verdict import family as verdict
from xprobe.verdict import metrics
from xprobe.verdict.errors import means
from xprobe.verdict.intervals import mean_interval
from xprobe.verdict.worth import bootstrap_weights

SETTINGS, REPEATS, IMAGES, CLASSES = 10, 10, 100_000, 10
F1_DRAWS, ECE_DRAWS = 1000, 300
BINS = 15
BY_INFLUENCE = ("macro_f1", "squared_ece")


def labels(n: int) -> np.ndarray:
    """Return classes (n,)."""
    return np.arange(n) % CLASSES


def score_of(setting: int, repeat: int, n: int) -> np.ndarray:
    """Return scores (n, CLASSES) float32, alike to those that predictions hold."""
    rng = np.random.default_rng([setting, repeat, 131])
    score = rng.standard_normal((n, CLASSES), dtype=np.float32)
    score[np.arange(n), labels(n)] += 1.5 + 0.02 * setting
    return score


def influence(images: metrics.Scored) -> dict[str, np.ndarray]:
    """Return the values (n,) of both metrics."""
    return {name: metrics.METRICS[name].per_image(images) for name in BY_INFLUENCE}


def judge(n: int) -> float:
    """Judge everything as a study does, one repeat after the other; return seconds of both metrics.

    What these share with all other metrics, probabilities above all, does not count.
    """
    y, group = labels(n), np.arange(n)
    predicted = np.zeros((SETTINGS, REPEATS, n), dtype=np.intp)
    values = {name: np.zeros((SETTINGS, n)) for name in BY_INFLUENCE}
    seconds = 0.0
    for s in range(SETTINGS):
        for r in range(REPEATS):
            score = score_of(s, r, n)
            predicted[s, r] = score.argmax(axis=1)
            images = metrics.scored(y, score)
            start = time.process_time()
            for name, value in influence(images).items():
                values[name][s] += value / REPEATS
            seconds += time.process_time() - start
    family = verdict.compare(predicted[0] == y, predicted[1:] == y, group, np.random.default_rng(0))
    start = time.process_time()
    for value in values.values():
        for s in range(1, SETTINGS):
            mean_interval(value[s] - value[0], group, level=family.level)
    return seconds + time.process_time() - start


def sums(weight: np.ndarray, code: np.ndarray, length: int) -> np.ndarray:
    """Return the sums (draws, length) of weights (draws, n) over equal codes (n,)."""
    one_hot = np.zeros((len(code), length), dtype=np.float32)
    one_hot[np.arange(len(code)), code] = 1
    return np.asarray((weight @ one_hot).astype(np.float64))


def bootstrap_macro_f1(y: np.ndarray, predicted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return macro-F1 (draws,)."""
    actual, guessed = sums(weight, y, CLASSES), sums(weight, predicted, CLASSES)
    true = sums(weight * (predicted == y), y, CLASSES)
    return np.asarray((2 * true / np.maximum(actual + guessed, 1)).mean(axis=1))


def bootstrap_squared_ece(images: metrics.Scored, weight: np.ndarray) -> np.ndarray:
    """Return the squared calibration error without its bias (draws,)."""
    confidence, n = images.p.max(axis=1).astype(np.float32), len(images.label)
    number = np.empty(n, dtype=np.intp)
    number[np.argsort(confidence, kind="stable")] = np.arange(n) * BINS // n
    count = np.maximum(sums(weight, number, BINS), 2)
    right = sums(weight * images.hit.astype(np.float32), number, BINS)
    sure = sums(weight * confidence, number, BINS)
    accuracy = right / count
    error = (accuracy - sure / count) ** 2 - accuracy * (1 - accuracy) / (count - 1)
    return np.asarray((count * error).sum(axis=1) / count.sum(axis=1))


def bootstrapped(n: int, repeats: int) -> tuple[float, float, dict[str, np.ndarray]]:
    """Return seconds of the weights, seconds a repeat and setting, and the draws of one."""
    y = labels(n)
    start = time.process_time()
    weight = bootstrap_weights(y, np.arange(n), np.random.default_rng(1), F1_DRAWS)
    weights_s = time.process_time() - start
    seconds, draws = 0.0, {}
    for r in range(repeats):
        images = metrics.scored(y, score_of(0, r, n))
        predicted = images.score.argmax(axis=1)
        start = time.process_time()
        draws["macro_f1"] = bootstrap_macro_f1(y, predicted, weight)
        draws["squared_ece"] = bootstrap_squared_ece(images, weight[:ECE_DRAWS])
        seconds += time.process_time() - start
    return weights_s, seconds / repeats, draws


def peak_mib() -> float:
    """Return the most memory that this process ever had, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def memory_mib(n: int) -> float:
    """Return what judging takes beyond the predictions, in MiB; it raises the peak for good."""
    judge(100)  # What is imported at the first call is no part of it.
    predictions = np.ones((SETTINGS, REPEATS, n), dtype=np.intp)
    score = score_of(0, 0, n)
    start = peak_mib()
    del predictions, score
    judge(n)
    return peak_mib() - start


def speed(share_of_size: int) -> Iterator[Row]:
    """Yield how much faster and how large judging is, on a share of 100,000 images in percent."""
    n = IMAGES * share_of_size // 100
    repeats = 2
    weights_s, one_s, draws = bootstrapped(n, repeats)
    by_influence = judge(n)
    by_bootstrap = weights_s + SETTINGS * REPEATS * one_s
    world = f"{SETTINGS} settings × {n} images × {REPEATS} repeats"
    yield bounded("judging: bootstrap's seconds over those of influence functions", world, "≥ 40",
                  by_bootstrap / by_influence)  # fmt: skip
    item = "judging: seconds of influence functions"
    yield bounded(item, world, SHOWN, by_influence, before=245.0)
    code = f"from calibration.judging import memory_mib\nprint(memory_mib({n}))"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    ).stdout
    yield bounded("judging: MiB beyond the predictions", world, "≤ 300", float(printed),
                  before="800–1200")  # fmt: skip
    values = influence(metrics.scored(labels(n), score_of(0, repeats - 1, n)))
    for name, value in values.items():
        se = float(means(value[None], np.arange(n)).se[0])
        asked = "within ±0.1" if name == "macro_f1" else SHOWN
        yield bounded(f"SE of {name} over the bootstrap's, less 1", f"{n} images", asked,
                      se / float(draws[name].std()) - 1)  # fmt: skip
