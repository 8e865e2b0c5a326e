"""Heads on frozen features: a whole grid of problems on one pool of rows → scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import joblib

from xprobe.base.errors import XprobeError
from xprobe.engine.base import Advance
from xprobe.engine.device import pick_device
from xprobe.engine.processes import local_engine
from xprobe.learners.kinds import Kind, kind_of
from xprobe.learners.problem import Fit, Head, Options, Pool, Problem

GPU_ROWS = 10_000
"""The rows of a pool from which on ``auto`` is a GPU. An H100 solved 3,000 rows 1.6 times as fast
as 16 cores that solved one problem together, which solve 16 problems side by side sooner."""


def make_head(kind: Kind, pool: Pool, options: Options, device: str = "auto") -> Head:
    """Return a head of a kind.

    Raises:
        XprobeError: the pool lacks what it needs.
    """
    _check(kind, pool)
    head: Head = kind.load()(pool, options, device)
    return head


def _check(kind: Kind, pool: Pool) -> None:
    if kind.takes_steps:
        raise ValueError(f"{kind.name} trains on images, not on a pool of features")
    if kind.needs_memory and not pool.in_memory:
        raise XprobeError(
            f"head {kind.name!r} needs all features in memory; allow it more, --memory-gib, or "
            f"leave it out of --heads"
        )
    if kind.needs_text and pool.text_logits is None:
        raise XprobeError(
            f"head {kind.name!r} starts from text features, which the store has not for these "
            f"classes; run 'xprobe embed --prompts clip' with an encoder that reads text"
        )


def place(kind: Kind, pool: Pool, device: str, workers: int | None) -> tuple[str, int]:
    """Return the torch device of heads on a pool, and how many processes solve them.

    A GPU is fed by one process: each further one would hold a CUDA context of its own, half a GiB
    of memory that takes seconds to begin, and take turns with the others. ``auto`` is a GPU for
    heads that use one, on a pool in memory of `GPU_ROWS` rows or more. Fewer rows are solved sooner
    by a process on each core of the CPU, and so is what reads its features in chunks. Heads that
    use no device take the processes whatever the device.
    """
    workers = workers or joblib.cpu_count()
    if not kind.uses_device:
        return device, workers
    if device == "auto":
        is_large = pool.in_memory and len(pool.y) >= GPU_ROWS
        device = pick_device("auto", float64=True) if is_large else "cpu"
    return device, workers if device.startswith("cpu") else 1


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
        name: the name of a head (`kinds.kind_of`).
        pool: the rows.
        problems: the grid; equal problems are solved once.
        options: how C is chosen; the values of C of `knn` are `NEIGHBORS`.
        workers: processes, each of which computes on one core; default one a core, and one on a
            GPU (`place`).
        device: torch device of the logistic heads; auto: a GPU if there is one and the pool is
            large (`place`), else the CPU.

    Raises:
        XprobeError: there is no head of that name, or the pool lacks what it needs.
    """
    kind = kind_of(name)
    _check(kind, pool)
    same: dict[tuple[bytes, ...], list[int]] = {}
    for number, problem in enumerate(problems):
        same.setdefault(problem.identity, []).append(number)
    groups = sorted(same.values(), key=lambda numbers: pool.mixture(problems[numbers[0]]))
    device, workers = place(kind, pool, device, workers)
    workers = 1 if len(groups) < 2 else workers
    # One thread of linear algebra in each process: spinning ones slow each other 30-fold.
    engine = local_engine(workers, threads=1)
    work = _Grid(kind, pool, options, device)
    for number, fit in engine.run(work, [problems[numbers[0]] for numbers in groups]):
        yield from ((equal, fit) for equal in groups[number])


@dataclass(frozen=True, eq=False)
class _Grid:
    """The work that an engine does on each problem (`engine.base.Work`): to solve it."""

    kind: Kind
    pool: Pool
    options: Options
    device: str

    def __call__(self) -> Callable[[Problem, Advance], Fit]:
        head = make_head(self.kind, self.pool, self.options, self.device)
        return lambda problem, _advance: head.solve(problem)
