"""Heads on frozen features: a whole grid of problems on one pool of rows → scores."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import numpy as np

from xprobe.base.errors import XprobeError, nearest
from xprobe.engine import device as device_module
from xprobe.engine.threads import one_core
from xprobe.learners.base import Head
from xprobe.learners.kinds import HEADS, TEXT_HEADS, WHOLE_HEADS
from xprobe.learners.knn import NearestNeighbors
from xprobe.learners.problem import (
    Fit,
    Options,
    Pool,
    Problem,
)


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
        from xprobe.learners.ridge import RidgeHead

        return RidgeHead(pool, options)
    from xprobe.learners.logistic.head import Logistic

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


def pick_device(device: str) -> str:
    """Return the torch device that ``auto`` stands for: a CUDA one if there is any, or the CPU.

    Raises:
        XprobeError: the device cannot be used, or has no float64, which ends what float32 cannot.
    """
    found = device_module.pick_device(device)
    if found.startswith("mps"):
        if device != "auto":
            raise XprobeError("heads need float64, which mps has not; try --device cpu")
        return "cpu"
    return found
