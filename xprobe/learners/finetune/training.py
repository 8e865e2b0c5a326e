"""One fine-tune: a network, its pixels, a fixed order of steps → scores of test images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from xprobe.engine.base import Advance, ignore
from xprobe.engine.threads import limited
from xprobe.learners.finetune.checkpoint import load_checkpoint, save_checkpoint
from xprobe.learners.finetune.job import Outcome, Setup
from xprobe.learners.finetune.run import TEST_BATCH, Run

CHECKPOINT_S = 30.0
"""The seconds between two checkpoints, and so what a kill costs at most."""


def fine_tune(
    setup: Setup,
    checkpoint: Path,
    *,
    advance: Advance = ignore,
    on_epoch: Callable[[dict[str, Any]], None] = lambda _row: None,
    checkpoint_s: float = CHECKPOINT_S,
) -> Outcome:
    """Train a copy of a network on a job and test it; goes on from its checkpoint if there is one.

    `advance` is called with every number of steps made, `on_epoch` with every row of the curve.

    Raises:
        XprobeError: the network cannot be trained, the checkpoint is another job's, or one
            image at a time is more than memory holds.
        DivergedError: the loss is infinite or no number.
    """
    job = setup.job
    with _reproducible(job.seed, setup.recipe.deterministic):
        run = Run(setup)
        saved = load_checkpoint(checkpoint, job.key, setup.device)
        if saved is not None:
            run.restore(saved)
        advance(run.step)
        last = time.monotonic()
        while run.step < len(job.order) and not run.stopped:
            epochs = len(run.curve)
            run.go_on()
            advance(1)
            if len(run.curve) > epochs:
                on_epoch(run.curve[-1])
            if time.monotonic() - last >= checkpoint_s:
                save_checkpoint(checkpoint, run.state())
                last = time.monotonic()
        advance(len(job.order) - run.step)
        return run.finish()


def time_steps(setup: Setup, *, threads: int = 0, steps: int = 3) -> tuple[float, float]:
    """Return the seconds of a step and of a test image: medians of `steps` tries.

    One more try goes first and does not count. `threads` compute; 0: as many as do now.
    """
    with _reproducible(setup.job.seed, setup.recipe.deterministic), limited(threads):
        run = Run(setup)

        def seconds(work: Callable[[], Any]) -> float:
            taken = []
            for _ in range(steps + 1):
                start = time.perf_counter()
                work()
                if run.device.type == "cuda":
                    torch.cuda.synchronize()
                taken.append(time.perf_counter() - start)
            return statistics.median(taken[1:])

        step_s = seconds(lambda: run.train(0))  # A job may have fewer steps than there are tries.
        return step_s, seconds(lambda: run.test(setup.job.test[:TEST_BATCH])) / TEST_BATCH


@contextmanager
def _reproducible(seed: int, deterministic: bool) -> Iterator[None]:
    """Seed torch's generators for a block of code; afterwards they are as they were."""
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if deterministic:
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
