"""What every head is given and gives back, and how its strength is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.special import log_softmax

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.base.errors import XprobeError

# A class without training images has this log-probability; its exp() is small, but not 0.
IMPOSSIBLE = -80.0

# Heads have this C, the middle of the default grid, where no inner fold can be made.
C_WITHOUT_CHOICE = 10.0

_TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True, eq=False)
class Problem:
    """One head to train and to test; rows are positions in the pool.

    Attributes:
        train: rows to train on, real and synthetic; a row that is named twice counts twice.
        test: rows to score.
        inner: pairs (train, validation) for the choice of C; validation rows are real. Empty: no
            choice.
    """

    train: Ints
    test: Ints
    inner: tuple[tuple[Ints, Ints], ...]

    @property
    def identity(self) -> tuple[bytes, ...]:
        """A key that equal problems share."""
        parts = [self.train, self.test, *(part for pair in self.inner for part in pair)]
        return tuple(np.asarray(part, dtype=np.intp).tobytes() for part in parts)

    def merged_inner(self) -> list[tuple[Ints, Ints]]:
        """Return `inner` with folds of the same training rows merged: they need one fit only.

        Folds of synthetic-only can be like that, as they differ in real images alone. Validation
        rows of merged folds follow one another.
        """
        merged: dict[bytes, tuple[Ints, list[Ints]]] = {}
        for train, validation in self.inner:
            merged.setdefault(train.tobytes(), (train, []))[1].append(validation)
        return [(train, np.concatenate(parts)) for train, parts in merged.values()]


@dataclass(frozen=True, eq=False)
class Fit:
    """A solved problem.

    Attributes:
        score: (n_test, k) log-probabilities, finite.
        c: the chosen C; of ridge 1/α; of nearest neighbours their number.
        at_edge: whether C was chosen among several and is the smallest or largest of them.
        fits: how many times a head was fitted.
        finished: how many of these fits the reference solver had to finish.
        unconverged: how many of those it left short of the optimum.
        steps: how many optimiser steps a fine-tune made.
        training_accuracy: share of its training images that a fine-tune recognised in the end.
        moved: how far a fine-tune moved the encoder's weights, ‖Δw‖ / ‖w‖.
        notes: what the reader of the results must know of a fine-tune.
        temperature: what the logits are to be divided by for calibrated probabilities, fitted on
            the inner validation images at the chosen C; None without inner folds.
    """

    score: Floats
    c: float | None
    at_edge: bool
    fits: int
    finished: int = 0
    unconverged: int = 0
    temperature: float | None = None
    steps: int = 0
    notes: tuple[str, ...] = ()
    training_accuracy: float | None = None
    moved: float | None = None


class Head(Protocol):
    """A head on frozen features: solves problems on the pool that it was made with."""

    def __init__(self, pool: Pool, options: Options, device: str) -> None:
        """Take what all problems share, and the torch device to compute on, or ``auto``."""
        ...

    def solve(self, problem: Problem) -> Fit:
        """Choose a strength on the inner folds, fit all training rows, score the test rows."""
        ...


class Source(Protocol):
    """Features (n, d) that are read by row."""

    def __getitem__(self, rows: Ints) -> Floats:
        """Return rows (m, d)."""
        ...


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows that all problems share.

    Attributes:
        x: (n, d) features, finite. A `Source` is read in chunks, again and again.
        y: (n,) class indices below `k`.
        k: number of classes; columns of the scores.
        stratum: (n,) origin of each row, such as real or one generator: problems of similar
            shares of each are solved in the same basis. Default: all of one.
        synthetic: (n,) which rows are of synthetic images. Default: those of other strata than 0.
        text_logits: (n, k) zero-shot logits, for the heads that start from them.
        weight: (n,) how much each row counts, in training and in the choice of C, besides how
            often a problem names it; only logistic heads know of it. Default: 1.
        normalise: whether rows are scaled to length 1; rows of zeros stay.
    """

    x: Floats | Source
    y: Ints
    k: int
    stratum: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    synthetic: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))
    text_logits: Floats | None = None
    weight: Floats = field(default_factory=lambda: np.zeros(0))
    normalise: bool = True

    def __post_init__(self) -> None:
        if self.in_memory:
            object.__setattr__(self, "x", self._checked(np.asarray(self.x)))
        if not len(self.stratum):
            object.__setattr__(self, "stratum", np.zeros(len(self.y), dtype=np.intp))
        if not len(self.synthetic):
            object.__setattr__(self, "synthetic", self.stratum > 0)
        if not len(self.weight):
            object.__setattr__(self, "weight", np.ones(len(self.y)))

    @property
    def in_memory(self) -> bool:
        """Whether all features are at hand, or read as they are asked for."""
        return isinstance(self.x, np.ndarray)

    def rows(self, rows: Ints | None = None) -> Floats:
        """Return features (m, d) of some rows, scaled if asked for; None: of all."""
        if isinstance(self.x, np.ndarray):
            return self.x if rows is None else np.asarray(self.x[rows])
        return self._checked(self.x[np.arange(len(self.y)) if rows is None else rows])

    def _checked(self, x: Floats) -> Floats:
        if not np.isfinite(x).all():
            raise XprobeError("features must be finite; embed these images again")
        return unit_rows(x) if self.normalise else x

    def mixture(self, problem: Problem) -> tuple[float, ...]:
        """Return which share of each stratum a problem trains on, to a quarter of an octave.

        Problems of one mixture are solved in one basis. It is a function of the problem alone, so
        that its result is the same whatever else is solved.
        """
        sizes = np.bincount(self.stratum)
        counts = np.bincount(self.stratum[problem.train], minlength=len(sizes))
        share = counts[counts > 0] / sizes[counts > 0]
        rounded = np.zeros(len(sizes))
        rounded[counts > 0] = 2 ** (np.rint(4 * np.log2(share)) / 4)
        return tuple(rounded.tolist())

    def present(self, rows: Ints) -> Ints:
        """Return the classes of training rows.

        Raises:
            XprobeError: fewer than two.
        """
        classes = np.unique(self.y[rows])
        if len(classes) < 2:
            raise XprobeError("a training part has fewer than two classes; nothing can be learned")
        return classes


@dataclass(frozen=True)
class Options:
    """How heads are fitted and chosen.

    Attributes:
        c_grid: values of C to choose from, ascending, as in scikit-learn (C multiplies a sum of
            losses).
        c_rule: ``best``: the highest accuracy on the inner validation images, all folds together;
            ``one-se``: the smallest C within one standard error of it. The smallest C on ties.
        balanced: whether classes weigh the same however many images they have.
        class_weight: (k,) what the weights of each class's rows are multiplied by in training, in
            logistic heads; empty: 1.
        full_tolerance: whether logistic heads rank C at the tolerance of the final fit, too.
    """

    c_grid: tuple[float, ...]
    c_rule: str = "best"
    balanced: bool = False
    class_weight: tuple[float, ...] = ()
    full_tolerance: bool = False

    def grid(self, choosing: bool) -> tuple[float, ...]:
        """Return the values of C to fit: all of them, or one if nothing can choose."""
        return self.c_grid if choosing or len(self.c_grid) == 1 else (C_WITHOUT_CHOICE,)


def unit_rows(x: Floats) -> Floats:
    """Return features (n, d) scaled to length 1; rows of zeros stay."""
    # Scaled to a largest entry of 1 first, so that squares neither vanish nor overflow.
    largest = np.abs(x).max(axis=1, keepdims=True, initial=0)
    x = x / np.where(largest > 0, largest, 1)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1))


def class_weights(y: Ints, counts: Floats | Ints, balanced: bool) -> Floats:
    """Return a weight for each row (n,): how often it counts, and if `balanced`, times
    Σ counts / (classes · Σ counts of its class), as in scikit-learn.
    """
    if not balanced:
        return np.asarray(counts, dtype=np.float64)
    of_class = np.bincount(y, counts)
    present = np.count_nonzero(of_class)
    share = np.divide(counts.sum(), present * of_class, where=of_class > 0, out=of_class * 0)
    return np.asarray(counts * share[y])


def choose(hits: Floats | Ints, n: float, rule: str) -> tuple[int, bool]:
    """Return which of several strengths to take, ascending, and whether it is at an edge.

    Args:
        hits: validation images that each one classified right.
        n: number of validation images. Images may have weights, which are how often they count.
        rule: see `Options.c_rule`; the standard error is the binomial one of the best.
    """
    best = int(np.argmax(hits))
    if rule == "one-se":
        share = hits[best] / n
        within = hits >= hits[best] - np.sqrt(n * share * (1 - share))
        best = int(np.argmax(within))
    return best, len(hits) > 1 and best in (0, len(hits) - 1)


def fit_temperature(logits: Floats, y: Ints, present: Ints, weight: Floats | None = None) -> float:
    """Return the T that minimises the log-loss of softmax(logits / T) (Guo et al. 2017).

    Args:
        logits: (n, k).
        y: (n,) true classes; rows of a class that is not `present` do not count.
        present: classes that have training images; the others' logits do not count.
        weight: (n,) how often each row counts; None: once.
    """
    from scipy.optimize import minimize_scalar

    known = np.isin(y, present)
    known_logits = logits[known][:, present].astype(np.float64)
    place = np.searchsorted(present, y[known])
    share = None if weight is None else weight[known]
    if not len(known_logits):
        return 1.0

    def loss(log_t: float) -> float:
        log_p = log_softmax(known_logits / np.exp(log_t), axis=1)
        return float(-np.average(log_p[np.arange(len(known_logits)), place], weights=share))

    low, high = _TEMPERATURES
    optimum = minimize_scalar(
        loss, bounds=(np.log(low), np.log(high)), method="bounded", options={"xatol": 1e-3}
    )
    return float(np.exp(optimum.x))


def as_scores(logits: Floats, present: Sequence[int] | Ints) -> Floats:
    """Return log-probabilities (n, k) of logits, `IMPOSSIBLE` for classes that are not present."""
    full = np.full(logits.shape, IMPOSSIBLE)
    full[:, present] = np.maximum(log_softmax(logits[:, present], axis=1), IMPOSSIBLE)
    return full.astype(np.float32)
