"""Fine-tunes of a whole design: the same problems as heads, from pixels to the same scores."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xprobe import heads, results
from xprobe.augment import Augmentation
from xprobe.design import stream
from xprobe.errors import XprobeError, some
from xprobe.logistic import Logistic
from xprobe.problems import Fit, Options, Pool, Problem, as_scores
from xprobe.prompts import TextFeatures
from xprobe.store import put
from xprobe.towers import Network
from xprobe.training import (
    DivergedError,
    Head,
    Job,
    Outcome,
    Source,
    draw_order,
    fine_tune,
)
from xprobe.types import Ints, SweepConfig, digest_of


@dataclass(frozen=True, eq=False)
class Task:
    """One fine-tune of a design.

    Attributes:
        problem: the images.
        budget: training rows that its steps are counted by.
        repeat, fold: which; they decide the seed, which all settings share.
        run: key of the block.
        setting: for messages.
        augmentation: of its training images, or ``none``.
    """

    problem: Problem
    budget: int
    repeat: int
    fold: int
    run: str
    setting: str
    augmentation: str = "none"


def solve(
    network: Network,
    pixels: Source,
    pool: Pool,
    tasks: Sequence[Task],
    config: SweepConfig,
    folder: Path,
    device: str,
    *,
    text: TextFeatures | None = None,
    advance: Callable[[int], None] = lambda _n: None,
) -> Iterator[tuple[int, Fit]]:
    """Fine-tune one task after the other; yield (number of the task, its fit) as they end.

    What is under way, and the outcome of what ended, is kept below `folder` until the caller calls
    `results.forget_fine_tunes`: a sweep that was killed goes on where it was. A fine-tune that
    diverges does not stop the others.

    Args:
        network: what all start from.
        pixels: (n, …) images as the network sees them, by rows of the study.
        pool: their features and labels, for the heads that are started from.
        tasks: what to train.
        config: how.
        folder: of the results.
        device: torch device.
        text: text features of the classes, for ``--start text``.
        advance: called with every number of steps made.

    Raises:
        XprobeError: some diverged; all others have ended.
    """
    if config.recipe.start == "text" and text is None:
        raise XprobeError("--start text needs text features; run 'xprobe embed --prompts clip'")
    starts = _Starts(pool, config, text, network.spec.dim)
    failed = []
    for number, task in enumerate(tasks):
        place = results.fine_tune_file(folder, task.run, task.fold)
        job, fit_rows = _job(pool, task, config)
        done = place.with_suffix(".npz")
        if done.is_file():
            advance(len(job.order))
            yield number, _read(done)
            continue
        head, c = starts.head(task.problem, fit_rows, job.seed)
        checkpoint = place.with_suffix(".pt")
        try:
            outcome = fine_tune(
                network, head, pixels, job, config.recipe, device, checkpoint,
                augmentation=_augmentation(task.augmentation, pool.k), advance=advance,
            )  # fmt: skip
        except DivergedError as error:
            failed.append(
                f"{task.setting}, repeat {task.repeat + 1}, fold {task.fold + 1}: {error}"
            )
            continue
        _write(place, outcome, c, pool.present(fit_rows))
        checkpoint.unlink(missing_ok=True)
        yield number, _read(done)
    if failed:
        raise XprobeError(f"{len(failed)} fine-tunes diverged: {some(failed, 3)}")


def _augmentation(name: str, k: int) -> Augmentation | None:
    return None if name == "none" else Augmentation(name, k)


def _job(pool: Pool, task: Task, config: SweepConfig) -> tuple[Job, Ints]:
    """Return what is trained, and the rows it is trained on."""
    recipe, problem = config.recipe, task.problem
    train, validation = problem.train, problem.test[:0]
    if recipe.patience:
        if not problem.inner:
            raise XprobeError(
                "early stopping needs validation images, and a class has a single group to train "
                "on; leave out --patience"
            )
        train, validation = problem.inner[0]
    rng = stream(config.seed, "finetune", task.repeat, task.fold)
    real = pool.stratum[train] == 0
    steps = recipe.steps(round(task.budget * len(train) / len(problem.train)))
    order = draw_order(train[real], train[~real], steps, recipe, rng)
    weight = np.where(pool.stratum == 0, 1.0, recipe.synthetic_weight)
    seed = int(rng.integers(2**31))
    key = digest_of([task.run, task.fold, hashlib.sha256(order.tobytes()).hexdigest()])
    return Job(order, pool.y, weight, validation, problem.test, pool.k, seed, key), train


class _Starts:
    """The heads that fine-tunes start from; settings of the same training images share a probe."""

    def __init__(self, pool: Pool, config: SweepConfig, text: TextFeatures | None, d: int) -> None:
        self.pool, self.config, self.text, self.d = pool, config, text, d
        self.probe = Logistic(pool, Options(config.c_grid, config.c_rule, config.balanced))
        self.fitted: dict[tuple[bytes, ...], tuple[Head, float | None]] = {}

    def head(self, problem: Problem, train: Ints, seed: int) -> tuple[Head, float | None]:
        """Return the head that is started from, and its C if it was fitted."""
        k, start = self.pool.k, self.config.recipe.start
        none = np.zeros(k, dtype=np.float32)
        if start == "random":
            weight = np.random.default_rng(seed).normal(scale=0.01, size=(k, self.d))
            return Head(weight.astype(np.float32), none, unit=False), None
        if start == "text":
            assert self.text is not None
            scaled = (self.text.logit_scale * self.text.x).astype(np.float32)
            return Head(scaled, none, unit=True), None
        if problem.identity not in self.fitted:
            self.fitted[problem.identity] = self._fit(problem, train)
        return self.fitted[problem.identity]

    def _fit(self, problem: Problem, train: Ints) -> tuple[Head, float | None]:
        with heads.one_core():
            found = self.probe.fit(problem)
            if len(train) < len(problem.train):  # validation images are not to be known
                options = Options((found.c,), balanced=self.config.balanced)
                found = Logistic(self.pool, options).fit(Problem(train, problem.test, ()))
        weight, bias = found.linear()
        return Head(weight.astype(np.float32), bias.astype(np.float32), unit=True), found.c


def _write(place: Path, outcome: Outcome, c: float | None, present: Ints) -> None:
    """Keep the outcome of a fine-tune, and its curve as CSV."""
    table = io.StringIO()
    if outcome.curve:
        writer = csv.DictWriter(table, list(outcome.curve[0]))
        writer.writeheader()
        writer.writerows(outcome.curve)
    place.parent.mkdir(parents=True, exist_ok=True)
    put(place.with_suffix(".csv"), table.getvalue().encode())
    about: dict[str, Any] = {"c": c, "steps": outcome.steps, "notes": outcome.notes}
    packed = io.BytesIO()
    score = as_scores(outcome.score, present)
    np.savez(packed, score=score, about=np.array(json.dumps(about)))
    put(place.with_suffix(".npz"), packed.getvalue())


def _read(file: Path) -> Fit:
    with np.load(file) as saved:
        about, score = json.loads(str(saved["about"])), saved["score"]
    return Fit(
        score, about["c"], at_edge=False, fits=1, steps=about["steps"],
        notes=tuple(about["notes"]),
    )  # fmt: skip
