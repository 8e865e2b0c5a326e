"""Fine-tunes of a whole design: the same problems as heads, from pixels to the same scores."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from joblib.externals.loky import ProcessPoolExecutor, as_completed
from tensorboardX import SummaryWriter

from xprobe.base.arrays import Ints, digest_of
from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError, some
from xprobe.base.streams import stream
from xprobe.design.config import SweepConfig
from xprobe.encoders.network import Network
from xprobe.encoders.prompts import TextFeatures
from xprobe.engine import threads as threads_module
from xprobe.images.augment import Augmentation
from xprobe.learners.finetune.classifier import Head
from xprobe.learners.finetune.recipe import draw_order
from xprobe.learners.finetune.training import (
    DivergedError,
    Job,
    MaskSource,
    Outcome,
    Source,
    fine_tune,
)
from xprobe.learners.logistic.head import Logistic
from xprobe.learners.problem import Fit, Options, Pool, Problem, as_scores
from xprobe.results import predictions


@dataclass(frozen=True, eq=False)
class Task:
    """One fine-tune of a design.

    Attributes:
        problem: the images.
        budget: training rows that its steps are counted by.
        repeat, fold: which; they decide the seed, which all settings share.
        run: key of the block.
        name: for messages and curves.
        augmentation: of its training images, or ``none``.
    """

    problem: Problem
    budget: int
    repeat: int
    fold: int
    run: str
    name: str
    augmentation: str = "none"


class Trainer:
    """Fine-tunes one task after the other.

    What is under way, and the outcome of what ended, is kept below its folder until
    `results.forget_fine_tunes` is called: a sweep that was killed goes on where it was.
    """

    def __init__(
        self,
        network: Network,
        pixels: Source,
        pool: Pool,
        config: SweepConfig,
        folder: Path,
        device: str,
        text: TextFeatures | None = None,
        masks: MaskSource | None = None,
    ) -> None:
        """Take what all tasks share.

        Args:
            network: what all start from.
            pixels: (n, …) images as the network sees them, by rows of the study.
            pool: their features and labels, for the heads that are started from.
            config: how.
            folder: of the results.
            device: torch device.
            text: text features of the classes, for ``--start text``.
            masks: of the same rows, for Copy-Paste.

        Raises:
            XprobeError: there are none, though they are started from.
        """
        if config.recipe.start == "text" and text is None:
            raise XprobeError("--start text needs text features; run 'xprobe embed --prompts clip'")
        self.network, self.pixels, self.pool, self.config = network, pixels, pool, config
        self.folder, self.device, self.masks = folder, device, masks
        self.starts = _Starts(pool, config, text, network.spec.dim)

    def fit(self, task: Task) -> Fit | None:
        """Return the outcome of a task that has ended, else None."""
        done = self._place(task).with_suffix(".npz")
        return _read(done) if done.is_file() else None

    def steps(self, task: Task) -> int:
        """Return how many steps a task has."""
        return len(self.job(task)[0].order)

    def run(self, task: Task, advance: Callable[[int], None] = lambda _n: None) -> str | None:
        """Train and keep the outcome; return what went wrong if it diverged.

        `advance` is called with every number of steps made.
        """
        place = self._place(task)
        job, rows = self.job(task)
        head, c = self.starts.head(task.problem, rows, job.seed)
        checkpoint = place.with_suffix(".pt")
        try:
            with _Events(self.folder / "tensorboard", task, self.network.spec.source) as events:
                outcome = fine_tune(
                    self.network, head, self.pixels, job, self.config.recipe, self.device,
                    checkpoint, augmentation=augmentation(task, self.pool.k), masks=self.masks,
                    advance=advance, on_epoch=events.add,
                )  # fmt: skip
        except DivergedError as error:
            return f"{task.name}: {error}"
        _write(place, outcome, c, self.pool.present(rows))
        checkpoint.unlink(missing_ok=True)
        return None

    def job(self, task: Task) -> tuple[Job, Ints]:
        """Return what is trained, and the rows it is trained on."""
        return _job(self.pool, task, self.config)

    def _place(self, task: Task) -> Path:
        return predictions.fine_tune_file(self.folder, task.run, task.fold)


def solve(
    trainer: Trainer,
    tasks: Sequence[Task],
    concurrent: int = 1,
    advance: Callable[[int], None] = lambda _n: None,
) -> Iterator[tuple[int, Fit]]:
    """Run what has not ended; yield (number of the task, its fit) as they end.

    A fine-tune that diverges does not stop the others.

    Args:
        trainer: of all of them.
        tasks: what to train.
        concurrent: how many at a time, each in a process of its own.
        advance: called with every number of steps made.

    Raises:
        XprobeError: some diverged; all others have ended.
    """
    failed, todo = [], []
    for number, task in enumerate(tasks):
        fit = trainer.fit(task)
        if fit is None:
            todo.append(number)
            continue
        advance(trainer.steps(task))
        yield number, fit
    run = _one_by_one if min(concurrent, len(todo)) < 2 else _beside
    for number, failure in run(trainer, {i: tasks[i] for i in todo}, concurrent, advance):
        fit = trainer.fit(tasks[number])
        if failure is not None or fit is None:
            failed.append(str(failure))
        else:
            yield number, fit
    if failed:
        raise XprobeError(f"{len(failed)} fine-tunes diverged: {some(failed, 3)}")


def _one_by_one(
    trainer: Trainer, tasks: dict[int, Task], _concurrent: int, advance: Callable[[int], None]
) -> Iterator[tuple[int, str | None]]:
    for number, task in tasks.items():
        yield number, trainer.run(task, advance)


def _beside(
    trainer: Trainer, tasks: dict[int, Task], concurrent: int, advance: Callable[[int], None]
) -> Iterator[tuple[int, str | None]]:
    """Run several at a time. Processes, since torch's random generator is one a process."""
    concurrent = min(concurrent, len(tasks))
    start = trainer, threads_each(concurrent)
    executor = ProcessPoolExecutor(concurrent, initializer=_settle, initargs=start)
    try:
        running = {executor.submit(_run_there, task): n for n, task in tasks.items()}
        for done in as_completed(running):
            number = running[done]
            yield number, done.result()
            advance(trainer.steps(tasks[number]))
    finally:
        executor.shutdown(kill_workers=True)


def threads_each(concurrent: int) -> int:
    """Return the threads of each of so many fine-tunes at a time; 0 of a single one: all."""
    return 0 if concurrent < 2 else max(1, joblib.cpu_count() // concurrent)


_trainer_there: Trainer | None = None  # of a process that runs tasks


def _settle(trainer: Trainer, threads: int) -> None:
    global _trainer_there
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started this process ends it
    torch.set_num_threads(threads)
    _trainer_there = trainer


def _run_there(task: Task) -> str | None:
    assert _trainer_there is not None
    return _trainer_there.run(task)


class _Events:
    """Writes the curve of a task as TensorBoard event files, as it comes."""

    def __init__(self, folder: Path, task: Task, source: str) -> None:
        words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{source} {task.name}").strip("-")
        self.folder = folder / f"{words}-{task.run[:8]}"
        self.writer: SummaryWriter | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row of the curve. Files of a run that was killed count up to this step."""
        step = row["step"]
        if self.writer is None:
            self.writer = SummaryWriter(str(self.folder), purge_step=step)
        for name in ("loss", "lr", "validation_accuracy"):
            if row[name] is not None:
                self.writer.add_scalar(name, row[name], step)

    def __enter__(self) -> _Events:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()


def augmentation(task: Task, k: int) -> Augmentation | None:
    """Return what a task augments its training images with."""
    return None if task.augmentation == "none" else Augmentation(task.augmentation, k)


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
    real = ~pool.synthetic[train]
    steps = recipe.steps(round(task.budget * len(train) / len(problem.train)))
    order = draw_order(train[real], train[~real], steps, recipe, rng)
    weight = np.where(pool.synthetic, recipe.synthetic_weight, 1.0)
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
        with threads_module.one_core():
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
