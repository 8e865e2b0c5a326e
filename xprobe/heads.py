"""Heads on frozen features: a whole grid of problems on one pool of rows → scores."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from xprobe import towers
from xprobe.errors import XprobeError, nearest
from xprobe.problems import (
    Fit,
    Options,
    Pool,
    Problem,
    as_scores,
    choose,
    class_weights,
    fit_temperature,
)
from xprobe.types import HEADS, Floats, Ints

WHOLE_HEADS = ("ridge", "knn")  # cannot read features chunk by chunk
TEXT_HEADS = ("text", "text-soft")  # need text features
WEIGHTED_HEADS = ("logistic", *TEXT_HEADS)  # know rows that count less than others
NEIGHBORS = (1, 3, 5, 10, 20, 50, 100)
_SHARPNESS = 1 / 0.07  # of a neighbour's vote in its cosine (Wu et al. 2018)


class Head(Protocol):
    """Solves problems on the pool that it was made with."""

    def solve(self, problem: Problem) -> Fit:
        """Choose, fit, score."""
        ...


def check_head(name: str, pool: Pool | None = None) -> None:
    """Refuse a head that does not exist, or for which a pool lacks something.

    Raises:
        XprobeError: there is none of that name, or it needs text features that are not there.
    """
    if name not in HEADS:
        raise XprobeError(f"unknown head {name!r}{nearest(name, HEADS)}; known: {', '.join(HEADS)}")
    if pool is None:
        return
    if name in WHOLE_HEADS and not pool.in_memory:
        raise XprobeError(
            f"head {name!r} needs all features in memory; allow it more, --memory-gib, or leave it "
            f"out of --heads"
        )
    if name in TEXT_HEADS and pool.text_logits is None:
        raise XprobeError(
            f"head {name!r} starts from text features, which the store has not for these classes; "
            f"run 'xprobe embed --prompts clip' with an encoder that reads text"
        )


def make_head(name: str, pool: Pool, options: Options, device: str = "auto") -> Head:
    """Return a head by name; raises as `check_head` does."""
    check_head(name, pool)
    if name == "knn":
        return NearestNeighbors(pool, options)
    if name == "ridge":
        from xprobe.ridge import RidgeHead

        return RidgeHead(pool, options)
    from xprobe.logistic import Logistic

    soft = name == "text-soft"
    return Logistic(pool, options, pick_device(device), text=name in TEXT_HEADS, soft=soft)


def solve(
    name: str,
    pool: Pool,
    problems: Sequence[Problem],
    options: Options,
    workers: int | None = None,
    device: str = "auto",
) -> Iterator[tuple[int, Fit]]:
    """Solve a grid of problems on one pool; yield (number of the problem, its fit) as they end.

    Args:
        name: one of `HEADS`.
        pool: the rows.
        problems: what to solve; equal ones are solved once.
        options: how C is chosen; the values of C of `knn` are `NEIGHBORS`.
        workers: processes, each of which computes on one core; default one a core.
        device: torch device of the logistic heads; auto: a CUDA one if there is one, else the CPU.
    """
    check_head(name, pool)
    same: dict[tuple[bytes, ...], list[int]] = {}
    for number, problem in enumerate(problems):
        same.setdefault(problem.identity, []).append(number)
    groups = sorted(same.values(), key=lambda own: pool.mixture(problems[own[0]]))
    workers = min(workers or joblib.cpu_count(), len(groups)) or 1
    if workers == 1:
        head = make_head(name, pool, options, device)
        with one_core():
            for own in groups:
                fit = head.solve(problems[own[0]])
                yield from ((number, fit) for number in own)
        return
    # Processes, since between its operations torch needs the interpreter, which threads share.
    # One thread of linear algebra in each: spinning ones slow each other 30-fold.
    key = uuid.uuid4().hex
    with (
        TemporaryDirectory(prefix="xprobe-", ignore_cleanup_errors=True) as folder,
        joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1),
    ):
        pool = _mapped(pool, Path(folder, "x.npy"))
        # joblib's own mapping of arrays waits a second at the end for files that workers hold open.
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, max_nbytes=None)
        tasks = (
            joblib.delayed(_solve_there)(i, key, name, pool, options, device, problems[own[0]])
            for i, own in enumerate(groups)
        )
        for i, fit in parallel(tasks):
            yield from ((number, fit) for number in groups[i])


def _mapped(pool: Pool, path: Path) -> Pool:
    """Return a pool whose features lie in a file, which workers map instead of being sent them."""
    if not isinstance(pool.x, np.ndarray):
        return pool
    np.save(path, pool.x)
    mapped = copy(pool)
    object.__setattr__(mapped, "x", np.load(path, mmap_mode="r"))
    return mapped


_head_there: tuple[str, Head] | None = None  # of a worker, which solves one grid at a time


def _solve_there(
    i: int, key: str, name: str, pool: Pool, options: Options, device: str, problem: Problem
) -> tuple[int, Fit]:
    global _head_there
    if _head_there is None or _head_there[0] != key:
        _head_there = key, make_head(name, pool, options, device)
    return i, _head_there[1].solve(problem)


@contextmanager
def one_core() -> Iterator[None]:
    """Hold torch and BLAS to one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(before)


def pick_device(device: str) -> str:
    """Return the torch device that ``auto`` stands for: a CUDA one if there is any, or the CPU.

    Raises:
        XprobeError: the device cannot be used, or has no float64, which ends what float32 cannot.
    """
    found = towers.pick_device(device)
    if found.startswith("mps"):
        if device != "auto":
            raise XprobeError("heads need float64, which mps has not; try --device cpu")
        return "cpu"
    return found


class NearestNeighbors:
    """Weighted votes of the most similar training rows, as on frozen features since Wu et al.

    The vote of a neighbour is exp(cosine / 0.07); `c` of a fit is how many vote.
    """

    def __init__(self, pool: Pool, options: Options) -> None:
        """Take what all problems share."""
        self.pool, self.options = pool, options

    def solve(self, problem: Problem) -> Fit:
        """Choose the number of neighbours on the inner folds, and vote on the test rows."""
        pool = self.pool
        present = pool.present(problem.train)
        inner = problem.merged_inner()
        fewest = min(len(train) for train in (problem.train, *(t for t, _ in inner)))
        grid = [n for n in NEIGHBORS if n <= fewest] if inner else [min(5, fewest)]
        best, at_edge, temperature = 0, False, None
        if inner:
            truth = np.concatenate([pool.y[validation] for _, validation in inner])
            held = np.concatenate([self._votes(*pair, grid) for pair in inner], axis=1)
            hits = (held.argmax(axis=2) == truth).sum(axis=1)
            best, at_edge = choose(hits, len(truth), self.options.c_rule)
            temperature = fit_temperature(held[best], truth, present)
        score = self._votes(problem.train, problem.test, [grid[best]])[0]
        fits = len(grid) * len(inner) + 1
        return Fit(
            as_scores(score, present), float(grid[best]), at_edge, fits, temperature=temperature
        )

    def _votes(self, train: Ints, asked: Ints, grid: Sequence[int]) -> Floats:
        """Return the logarithm of the votes (m, n, k) of each number of neighbours."""
        pool, most = self.pool, max(grid)
        cosine = pool.rows(asked) @ pool.rows(train).T
        nearest_ = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        near = np.take_along_axis(cosine, nearest_, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        near = np.take_along_axis(near, order, axis=1).astype(np.float64)
        voter = np.take_along_axis(nearest_, order, axis=1)
        label = pool.y[train][voter]
        share = class_weights(pool.y[train], np.ones(len(train)), self.options.balanced)
        vote = share[voter] * np.exp(_SHARPNESS * (near - near[:, :1]))
        each = vote[:, :, None] * (label[:, :, None] == np.arange(pool.k))
        total = each.cumsum(axis=1)[:, np.array(grid) - 1]
        # One vote more, shared by all classes, keeps the probability of none at 0.
        return np.asarray(np.log(total + 1 / pool.k).transpose(1, 0, 2))
