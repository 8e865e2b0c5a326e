"""Fine-tunes of a whole design: the same problems as heads, from pixels to the same scores."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tensorboardX import SummaryWriter

from xprobe.base.arrays import UNREADABLE, Ints, digest_of
from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError, first_few
from xprobe.base.streams import stream
from xprobe.encoders.network import Network
from xprobe.encoders.prompts import TextFeatures
from xprobe.engine import threads as threads_module
from xprobe.engine.base import Advance, ignore
from xprobe.engine.processes import local_engine
from xprobe.images.augment import Augmentation
from xprobe.learners.finetune.classifier import HeadStart
from xprobe.learners.finetune.job import DivergedError, Job, MaskSource, Outcome, Setup, Source
from xprobe.learners.finetune.order import draw_order
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.finetune.training import fine_tune, time_steps
from xprobe.learners.logistic.head import Logistic
from xprobe.learners.problem import Fit, Options, Pool, Problem, as_scores
from xprobe.results import predictions
from xprobe.results.predictions import FineTuneRecord, packed, unpacked


@dataclass(frozen=True, eq=False)
class Task:
    """One fine-tune of a design.

    Attributes:
        problem: the images.
        budget: how many training rows the number of steps is computed from.
        repeat, fold: numbers from 0; they decide the seed, which all settings share.
        run: the key of the block.
        name: what messages and curves call the task.
        augmentation: how the training images are augmented, or ``none``.
    """

    problem: Problem
    budget: int
    repeat: int
    fold: int
    run: str
    name: str
    augmentation: str = "none"


@dataclass(frozen=True, eq=False)
class Material:
    """The values that all fine-tunes of a study share.

    Attributes:
        network: the network that all start from.
        pixels: (n, …) images as the network sees them, by rows of the study.
        pool: features and labels of the same rows; heads to start from are fitted on them.
        text: text features of the classes, for ``--start text``, or None.
        masks: masks of the same rows, for Copy-Paste, or None.
    """

    network: Network
    pixels: Source
    pool: Pool
    text: TextFeatures | None = None
    masks: MaskSource | None = None


class Trainer:
    """Fine-tunes one task after the other.

    The checkpoint of a task under way, and the outcome of each that ended, are kept below the
    folder until `predictions.forget_fine_tunes` is called: a sweep that was killed goes on where it
    was.
    """

    def __init__(
        self,
        material: Material,
        recipe: Recipe,
        options: Options,
        seed: int,
        folder: Path,
        device: str,
    ) -> None:
        """Take what all tasks share.

        Args:
            material: the network, images and features.
            recipe: how the network is trained.
            options: how the heads to start from are fitted.
            seed: every random choice follows from it, from the repeat and the fold.
            folder: where the results are kept.
            device: torch device.

        Raises:
            XprobeError: training is to start from text features, and there are none.
        """
        if recipe.start == "text" and material.text is None:
            raise XprobeError("--start text needs text features; run 'xprobe embed --prompts clip'")
        self.material, self.recipe, self.seed = material, recipe, seed
        self.folder, self.device = folder, device
        self.starts = _Starts(material, recipe.start, options)

    def fit(self, task: Task) -> Fit | None:
        """Return the outcome of a task that has ended, else None."""
        done = self._place(task).with_suffix(".npz")
        return _read_outcome(done) if done.is_file() else None

    def steps(self, task: Task) -> int:
        """Return how many steps a task has in all."""
        return len(self.job(task)[0].order)

    def run(self, task: Task, advance: Advance = ignore) -> str | None:
        """Train and keep the outcome; return what went wrong if it diverged.

        `advance` is called with every number of steps made.
        """
        place = self._place(task)
        job, rows = self.job(task)
        start, c = self.starts.head(task.problem, rows, job.seed)
        checkpoint, source = place.with_suffix(".pt"), self.material.network.spec.source
        try:
            with _Events(self.folder / "tensorboard", task, source) as events:
                outcome = fine_tune(
                    self._setup(task, job, start), checkpoint, advance=advance, on_epoch=events.add
                )
        except DivergedError as error:
            return f"{task.name}: {error}"
        _write_outcome(place, outcome, c, self.material.pool.present(rows))
        checkpoint.unlink(missing_ok=True)
        return None

    def time(self, task: Task, threads: int) -> tuple[float, float]:
        """Return about how many seconds a step and a test image take; nothing is kept.

        `threads` compute; 0: as many as do now.
        """
        job, _ = self.job(task)
        zeros = np.zeros((job.k, self.material.network.spec.dim), dtype=np.float32)
        start = HeadStart(zeros, zeros[:, 0], unit=True)
        return time_steps(self._setup(task, job, start), threads=threads)

    def _setup(self, task: Task, job: Job, start: HeadStart) -> Setup:
        material = self.material
        is_plain = task.augmentation == "none"
        augmentation = None if is_plain else Augmentation(task.augmentation, job.k)
        return Setup(
            material.network, start, material.pixels, job, self.recipe, self.device, augmentation,
            material.masks,
        )  # fmt: skip

    def job(self, task: Task) -> tuple[Job, Ints]:
        """Return the job of a fine-tune, and the rows of the pool that it trains on."""
        pool, recipe, problem = self.material.pool, self.recipe, task.problem
        train, validation = problem.train, problem.test[:0]
        if recipe.patience:
            if not problem.inner:
                raise XprobeError(
                    "early stopping needs validation images, and a class has a single group to "
                    "train on; leave out --patience"
                )
            train, validation = problem.inner[0]
        rng = stream(self.seed, "finetune", task.repeat, task.fold)
        real = ~pool.synthetic[train]
        steps = recipe.steps(round(task.budget * len(train) / len(problem.train)))
        order = draw_order(train[real], train[~real], steps, recipe, rng)
        weight = np.where(pool.synthetic, recipe.synthetic_weight, 1.0)
        seed, key = int(rng.integers(2**31)), job_key(task.run, task.fold, order)
        return Job(order, pool.y, weight, validation, problem.test, pool.k, seed, key), train

    def _place(self, task: Task) -> Path:
        return predictions.fine_tune_file(self.folder, task.run, task.fold)


def job_key(run: str, fold: int, order: Ints) -> str:
    """Return the digest of all that decides the outcome of a fine-tune.

    The key of the run stands for the recipe: an option that is added to it changes neither.
    """
    return digest_of([run, fold, hashlib.sha256(order.tobytes()).hexdigest()])


def solve(
    trainer: Trainer, tasks: Sequence[Task], concurrent: int = 1, advance: Advance = ignore
) -> Iterator[tuple[int, Fit]]:
    """Run the tasks that have not ended; yield (number of the task, its fit) as they end.

    A fine-tune that diverges does not stop the others.

    Args:
        trainer: what trains all of them.
        tasks: the fine-tunes.
        concurrent: how many run at a time, each in a process of its own.
        advance: called with every number of steps made.

    Raises:
        XprobeError: some fine-tunes diverged; all others have ended.
    """
    failed, todo = [], []
    for number, task in enumerate(tasks):
        fit = trainer.fit(task)
        if fit is None:
            todo.append(number)
            continue
        advance(trainer.steps(task))
        yield number, fit
    concurrent = min(concurrent, len(todo))
    engine = local_engine(concurrent, threads_each(concurrent))
    shown = 0  # An engine that sees a task under way has shown so many of its steps.

    def show(steps: int) -> None:
        nonlocal shown
        shown += steps
        advance(steps)

    for i, failure in engine.run(_Running(trainer), [tasks[number] for number in todo], show):
        task = tasks[todo[i]]
        advance(trainer.steps(task) - shown)
        shown = 0
        fit = trainer.fit(task)
        if failure is not None or fit is None:
            failed.append(str(failure))
        else:
            yield todo[i], fit
    if failed:
        raise XprobeError(f"{len(failed)} fine-tunes diverged: {first_few(failed, 3)}")


@dataclass(frozen=True, eq=False)
class _Running:
    """The work that an engine does on each task (`engine.base.Work`): to train it."""

    trainer: Trainer

    def __call__(self) -> Callable[[Task, Advance], str | None]:
        return self.trainer.run


def threads_each(concurrent: int) -> int:
    """Return how many threads each of so many concurrent fine-tunes takes; 0: all."""
    return 0 if concurrent < 2 else max(1, joblib.cpu_count() // concurrent)


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
        for name in ("loss", "lr", "training_accuracy", "validation_accuracy"):
            if row[name] is not None:
                self.writer.add_scalar(name, row[name], step)

    def __enter__(self) -> _Events:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()


class _Starts:
    """The heads that fine-tunes start from; settings with the same training images share one."""

    def __init__(self, material: Material, start: str, options: Options) -> None:
        self.material, self.start, self.options = material, start, options
        self.probe = Logistic(material.pool, options)
        self.fitted: dict[tuple[bytes, ...], tuple[HeadStart, float | None]] = {}

    def head(self, problem: Problem, train: Ints, seed: int) -> tuple[HeadStart, float | None]:
        """Return the head that a fine-tune starts from, and its C if it was fitted."""
        k, d = self.material.pool.k, self.material.network.spec.dim
        zeros = np.zeros(k, dtype=np.float32)
        if self.start == "random":
            weight = np.random.default_rng(seed).normal(scale=0.01, size=(k, d))
            return HeadStart(weight.astype(np.float32), zeros, unit=False), None
        if self.start == "text":
            text = self.material.text
            assert text is not None
            return HeadStart((text.logit_scale * text.x).astype(np.float32), zeros, unit=True), None
        if problem.identity not in self.fitted:
            self.fitted[problem.identity] = self._fit(problem, train)
        return self.fitted[problem.identity]

    def _fit(self, problem: Problem, train: Ints) -> tuple[HeadStart, float | None]:
        with threads_module.one_core():
            fitted = self.probe.fit(problem)
            if len(train) < len(problem.train):  # The head must not know validation images.
                options = Options((fitted.c,), balanced=self.options.balanced)
                head = Logistic(self.material.pool, options)
                fitted = head.fit(Problem(train, problem.test, ()))
        weight, bias = fitted.linear()
        start = HeadStart(weight.astype(np.float32), bias.astype(np.float32), unit=True)
        return start, fitted.c


def _write_outcome(place: Path, outcome: Outcome, c: float | None, present: Ints) -> None:
    """Keep the outcome of a fine-tune, and its curve as CSV."""
    table = io.StringIO()
    if outcome.curve:
        # A checkpoint of an older xprobe may have begun the curve with fewer columns.
        writer = csv.DictWriter(table, list(outcome.curve[-1]))
        writer.writeheader()
        writer.writerows(outcome.curve)
    place.parent.mkdir(parents=True, exist_ok=True)
    put(place.with_suffix(".csv"), table.getvalue().encode())
    record = FineTuneRecord(
        c=c, steps=outcome.steps, notes=tuple(outcome.notes),
        training_accuracy=outcome.training_accuracy, moved=outcome.moved,
    )  # fmt: skip
    archive = io.BytesIO()
    score = as_scores(outcome.score, present)
    np.savez(archive, score=score, about=packed(record))
    put(place.with_suffix(".npz"), archive.getvalue())


def _read_outcome(file: Path) -> Fit:
    """Return the outcome that `_write_outcome` kept.

    Raises:
        XprobeError: the file is damaged.
    """
    try:
        with np.load(io.BytesIO(file.read_bytes())) as saved:
            record, score = unpacked(FineTuneRecord, saved["about"]), saved["score"]
    except UNREADABLE as error:
        raise XprobeError(f"{file}: damaged ({error}); {predictions.REMEDY}") from error
    return Fit(
        score, record.c, at_edge=False, fits=1, steps=record.steps, notes=record.notes,
        training_accuracy=record.training_accuracy, moved=record.moved,
    )  # fmt: skip
