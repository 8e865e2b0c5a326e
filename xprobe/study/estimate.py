"""What a sweep would do, and about how long it would take: counted, and timed on a short run."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import joblib
import numpy as np

from xprobe.base.arrays import Ints
from xprobe.base.documents import Document, Number
from xprobe.base.errors import XprobeWarning
from xprobe.base.progress import Progress, no_progress
from xprobe.design.blocks import Block
from xprobe.design.config import Grid, SweepConfig
from xprobe.design.setting import Setting
from xprobe.encoders.base import Pixels
from xprobe.encoders.network import Network
from xprobe.engine import threads
from xprobe.engine.device import pick_device
from xprobe.engine.execution import Execution
from xprobe.features.store import Store
from xprobe.images.decode import decode
from xprobe.images.manifest import Manifest
from xprobe.learners import solve as frozen
from xprobe.learners.finetune.masks import Masks
from xprobe.learners.kinds import kind_of
from xprobe.learners.problem import Problem
from xprobe.study.judge import few_steps
from xprobe.study.prepare import Study, prepare
from xprobe.study.sweep import load_network, tasks_of

_DECODED = 16  # Decoding is timed on so many images.


class Estimate(Document, frozen=True, kw_only=True):
    """What is to be done for a study, and about how long it takes.

    Attributes:
        encoder: how the store tells the encoder from others.
        alias: short name by which people read it.
        head: the name of the head, or ``finetune``.
        real_fraction: share of the real training images that is trained on.
        train_per_class: how many real images of each class are trained on instead; else None.
        tested: how many pairs of a setting and a fold there are, in all repeats.
        done: how many of these pairs were tested before.
        fits: how many fits are to be made, those of inner folds included.
        steps: how many optimiser steps fine-tunes are to make.
        seconds: about how many seconds that takes.
        dropped_by_lineage: synthetic images that lineage keeps out of folds, summed over settings.
    """

    encoder: str
    alias: str
    head: str
    real_fraction: Number
    train_per_class: int | None
    tested: int
    done: int
    fits: int
    steps: int
    seconds: Number
    dropped_by_lineage: int = 0


class DryRun(Document, frozen=True, kw_only=True):
    """What ``xprobe sweep --dry-run`` answers.

    Attributes:
        studies: the estimate of each study.
        seconds: about how many seconds all of them take.
    """

    studies: tuple[Estimate, ...]
    seconds: Number


def estimate(
    manifest: Manifest,
    store: Store,
    folder: Path,
    config: SweepConfig = SweepConfig(),
    grid: Grid = Grid(),
    execution: Execution = Execution(),
    progress: Progress = no_progress,
) -> list[Estimate]:
    """Return an estimate for each study of a sweep, for the same arguments; nothing is written.

    Heads are timed on two problems of each setting, fine-tunes on four steps of each augmentation
    and a batch of test images; what was done before does not count. Early stopping ends sooner.
    """
    rows = []
    said: set[str] = set()
    for study in prepare(manifest, store, config, grid, execution.memory_gib):
        todo = study.missing(folder)
        keyed = list(zip(study.runs, study.design.blocks, strict=True))
        count = sum(len(block.problems) for _, block in keyed)
        done = sum(len(block.problems) for run, block in keyed if run not in todo)
        for text in {row.words for row in study.design.left} - said:
            said.add(text)
            warnings.warn(text, XprobeWarning, stacklevel=2)
        fits, steps, seconds = sum(len(block.problems) for block in todo.values()), 0, 0.0
        if todo and kind_of(study.config.head).takes_steps:
            recipe, blocks = study.config.recipe, todo.values()
            of_tasks = [(b.setting, recipe.steps(budget)) for b in blocks for budget in b.budget]
            steps = sum(n for _, n in of_tasks)
            for text in few_steps(of_tasks):
                warnings.warn(f"{study.title}: {text}", XprobeWarning, stacklevel=2)
            with progress(f"time fine-tunes of {study.title}", 1) as advance:
                seconds = _time_fine_tunes(study, todo, execution)
                advance(1)
        elif todo:
            fits, seconds = _time_heads(study, todo, execution, progress)
        rows.append(
            Estimate(
                encoder=study.label, alias=study.title, head=study.config.head,
                real_fraction=study.config.real_fraction,
                train_per_class=study.config.train_per_class, tested=count, done=done, fits=fits,
                steps=steps, seconds=round(seconds, 1),
                dropped_by_lineage=sum(sum(block.dropped) for _, block in keyed),
            )
        )  # fmt: skip
    return rows


def _time_heads(
    study: Study, todo: dict[str, Block], execution: Execution, progress: Progress
) -> tuple[int, float]:
    """Return the fits of heads, and the seconds that they take in so many processes."""
    config = study.config
    options = config.head_options
    by_setting: dict[Setting, dict[tuple[bytes, ...], Problem]] = {}
    for block in todo.values():
        for problem in block.problems:  # Equal problems are solved once.
            by_setting.setdefault(block.setting, {})[problem.identity] = problem
    kind = kind_of(config.head)
    device, workers = frozen.place(kind, study.pool, execution.device, execution.workers)
    fits, total = 0, 0.0
    with progress(f"time heads of {study.title}", len(by_setting)) as advance, threads.one_core():
        for problems in by_setting.values():
            head = frozen.make_head(kind, study.pool, options, device)
            taken = []
            for problem in list(problems.values())[:2]:
                start = time.perf_counter()
                fit = head.solve(problem)
                taken.append(time.perf_counter() - start)
            n = len(problems)
            fits += fit.fits * n
            # The first problem also computes what all problems of a setting share.
            first_s, next_s = taken[0], taken[-1]
            total += (n * next_s + (first_s - next_s) * min(workers, n)) / workers
            advance(1)
    return fits, total


def _time_fine_tunes(study: Study, todo: dict[str, Block], execution: Execution) -> float:
    """Return the seconds that fine-tunes take, decoding included."""
    from xprobe.learners.finetune import trainer as finetune

    config, tasks = study.config, tasks_of(todo, study.config)
    network = load_network(study.encoder, execution.device)
    pixels = _Noise(network.spec.input_px)
    masks = Masks(study.design.study, network)
    material = finetune.Material(network, pixels, study.pool, study.text, masks)
    options = config.head_options
    trainer = kind_of(config.head).load()(
        material, config.recipe, options, config.seed, Path(), pick_device(execution.device)
    )
    step_s: dict[str, float] = {}
    seconds = _time_decoding(study, network, execution.workers)
    for task in tasks:
        if task.augmentation not in step_s:
            threads = finetune.threads_each(execution.concurrent)
            step_s[task.augmentation], test_s = trainer.time(task, threads)
        steps = config.recipe.steps(task.budget)
        task_s = steps * step_s[task.augmentation] + len(task.problem.test) * test_s
        seconds += task_s / execution.concurrent
    return seconds


def _time_decoding(study: Study, network: Network, workers: int | None) -> float:
    """Return the seconds that decoding all images takes; less if they were decoded before."""
    images = study.design.study
    paths = images.path[:_DECODED].tolist()
    start = time.perf_counter()
    for path in paths:
        network.see(decode(path, network.spec.reading))
    image_s = (time.perf_counter() - start) / len(paths)
    return image_s * len(set(images.sha256)) / (workers or joblib.cpu_count())


class _Noise:
    """Random images, so that no file has to be read while steps are timed."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __getitem__(self, rows: Ints) -> Pixels:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, size=(len(rows), *self.size, 3), dtype=np.uint8)
