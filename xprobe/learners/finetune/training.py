"""One fine-tune: a network, its pixels, a fixed order of steps → scores of test images.

The order of the images is drawn before the first step and all other random numbers come from
torch's generator, whose state is in the checkpoint: a run that was killed goes on bit by bit as it
would have on one machine.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.base.errors import XprobeError
from xprobe.encoders.base import Pixels
from xprobe.encoders.network import Network
from xprobe.images.augment import COPY_PASTE, Augmentation
from xprobe.learners.finetune.classifier import Classifier, Head, as_batch, batch_norms
from xprobe.learners.finetune.layers import (
    add_low_rank,
    interpolate,
    merge_low_rank,
    parameter_groups,
    set_trainable,
)
from xprobe.learners.finetune.recipe import Recipe

CHECKPOINT_S = 30.0  # between two; a kill costs no more

_TEST_BATCH = 64


class Source(Protocol):
    """Images (n, height, width, 3) uint8, read by row."""

    def __getitem__(self, rows: Ints) -> Pixels:
        """Return images (m, height, width, 3)."""
        ...


class MaskSource(Protocol):
    """Masks (n, height, width) of what Copy-Paste pastes, read by row."""

    def __getitem__(self, rows: Ints) -> Bools:
        """Return masks (m, height, width)."""
        ...


class DivergedError(Exception):
    """The loss is no number any more; the message says where."""


@dataclass(frozen=True, eq=False)
class Job:
    """What is trained and tested, as rows of the pixels.

    Attributes:
        order: (S, B) the images of each step.
        label: (n,) class of each image.
        weight: (n,) of each image in the loss.
        validation: images that decide when to stop; empty: nothing does.
        test: images to score.
        k: number of classes.
        seed: of everything random but the order.
        key: of all that decides the outcome; a checkpoint of another key is refused.
    """

    order: Ints
    label: Ints
    weight: Floats
    validation: Ints
    test: Ints
    k: int
    seed: int
    key: str


@dataclass(eq=False)
class Outcome:
    """What a fine-tune ended with.

    Attributes:
        score: (n, k) log-probabilities of the test images.
        steps: optimiser steps that were made.
        curve: one row an epoch: step, learning rate, mean loss, validation accuracy (None without
            validation images), seconds, and the most memory that a GPU held, MiB.
        notes: what the reader of the results must know.
    """

    score: Floats
    steps: int
    curve: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fine_tune(
    network: Network,
    head: Head,
    pixels: Source,
    job: Job,
    recipe: Recipe,
    device: str,
    checkpoint: Path,
    *,
    augmentation: Augmentation | None = None,
    masks: MaskSource | None = None,
    advance: Callable[[int], None] = lambda _n: None,
    on_epoch: Callable[[dict[str, Any]], None] = lambda _row: None,
    checkpoint_s: float = CHECKPOINT_S,
) -> Outcome:
    """Train a copy of a network on a job and test it; goes on from its checkpoint if there is one.

    `advance` is called with every number of steps made, `on_epoch` with every row of the curve.

    Raises:
        XprobeError: the network cannot be trained, the checkpoint is of something else, or one
            image at a time is more than memory holds.
        DivergedError: the loss is infinite or no number.
    """
    with _reproducible(job.seed, recipe.deterministic):
        run = _Run(network, head, pixels, job, recipe, device, augmentation, masks)
        saved = _load(checkpoint, job.key, device)
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
                _save(checkpoint, run.state())
                last = time.monotonic()
        advance(len(job.order) - run.step)
        return run.finish()


def time_steps(
    network: Network,
    head: Head,
    pixels: Source,
    job: Job,
    recipe: Recipe,
    device: str,
    *,
    augmentation: Augmentation | None = None,
    masks: MaskSource | None = None,
    threads: int = 0,
    steps: int = 3,
) -> tuple[float, float]:
    """Return the seconds of a step and of a test image: medians of so many, after one more.

    `threads` compute; 0: as many as do now.
    """
    with _reproducible(job.seed, recipe.deterministic), _threads(threads):
        run = _Run(network, head, pixels, job, recipe, device, augmentation, masks)

        def seconds(work: Callable[[], Any]) -> float:
            taken = []
            for _ in range(steps + 1):
                start = time.perf_counter()
                work()
                if run.device.type == "cuda":
                    torch.cuda.synchronize()
                taken.append(time.perf_counter() - start)
            return statistics.median(taken[1:])

        rows = job.test[:_TEST_BATCH]

        def step() -> None:
            run.step = 0  # a job may have fewer
            run.go_on()

        return seconds(step), seconds(lambda: run._scores(run.model, rows)) / _TEST_BATCH


class _Run:
    """A fine-tune under way."""

    def __init__(
        self,
        network: Network,
        head: Head,
        pixels: Source,
        job: Job,
        recipe: Recipe,
        device: str,
        augmentation: Augmentation | None,
        masks: MaskSource | None = None,
    ) -> None:
        self.pixels, self.job, self.recipe = pixels, job, recipe
        self.augmentation, self.masks = augmentation, masks
        self.device = torch.device(device)
        self.model = Classifier(network, head).to(self.device)
        if self.device.type == "cuda":
            self.model = self.model.to(memory_format=torch.channels_last)
        self.start = deepcopy(self.model.state_dict()) if recipe.wise_ft < 1 else {}
        if recipe.method == "lora":
            add_low_rank(self.model.encoder)
        else:
            set_trainable(self.model.encoder)
        groups = parameter_groups(
            self.model.encoder, self.model.head, lr=recipe.lr, weight_decay=recipe.weight_decay,
            layer_decay=recipe.layer_decay,
        )  # fmt: skip
        if recipe.start == "random":
            own = {id(p) for p in self.model.head.parameters()}
            for group in groups:
                if any(id(p) in own for p in group["params"]):
                    group["lr"] = max(recipe.lr, recipe.head_lr)
        self.lr = [group["lr"] for group in groups]
        # One kernel for all weights: of a small network the loop over them takes a tenth of a step.
        self.optimiser = torch.optim.AdamW(groups, fused=self.device.type in ("cpu", "cuda"))
        self.average = (
            AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))
            if recipe.ema
            else None
        )
        self.forward = torch.compile(self.model) if recipe.compile else self.model
        self.step = self.epoch_step = 0
        self.parts = recipe.accumulate
        self.loss, self.since = 0.0, time.monotonic()
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self.stopped = False
        self.curve: list[dict[str, Any]] = []
        self.notes: list[str] = []
        total = len(job.order)
        self.ends = {round((i + 1) * total / recipe.epochs) for i in range(recipe.epochs)}

    def go_on(self) -> None:
        """Make one step; at the end of an epoch look at the validation images."""
        factor = self._schedule(self.step)
        for group, lr in zip(self.optimiser.param_groups, self.lr, strict=True):
            group["lr"] = lr * factor
        loss = self._backward(self.job.order[self.step])
        if not math.isfinite(loss):
            peak = max(self.lr) * factor
            raise DivergedError(
                f"the loss became {loss} at step {self.step + 1} of {len(self.job.order)}, "
                f"learning rate {peak:.2g}; try a smaller --lr"
            )
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self._trained(), self.recipe.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        self.loss += loss
        if self.step in self.ends:
            self._end_epoch(max(self.lr) * factor)

    def _schedule(self, step: int) -> float:
        """Return the factor of the learning rate: linear warm-up, then a cosine to 0."""
        total = len(self.job.order)
        warm = math.ceil(self.recipe.warmup * total)
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

    def _trained(self) -> list[Tensor]:
        return [p for group in self.optimiser.param_groups for p in group["params"]]

    def _backward(self, rows: Ints) -> float:
        """Leave the gradient of a batch's mean loss; halve what is done at once if memory ends."""
        state = torch.get_rng_state()
        while True:
            try:
                return self._accumulate(rows)
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
            # Out here the traceback, which holds the tensors of the failed pass, is gone.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if self.parts >= len(rows):
                raise XprobeError("one image at a time does not fit into memory; try --device cpu")
            self.parts = min(2 * self.parts, len(rows))
            self.notes.append(
                f"memory was short: batches of {len(rows)} were computed in {self.parts} parts"
            )
            torch.set_rng_state(state)

    def _accumulate(self, rows: Ints) -> float:
        self.model.train()
        if self.recipe.start != "random":  # the head was fitted on features of these statistics
            for norm in batch_norms(self.model):
                norm.eval()
        self.optimiser.zero_grad(set_to_none=True)
        weight = torch.from_numpy(self.job.weight[rows]).float().to(self.device)
        label = torch.from_numpy(self.job.label[rows]).to(self.device)
        x = as_batch(self.pixels[rows])
        if self.augmentation is not None:
            x = self.augmentation.images(x)
        x = self._moved(x)
        target = functional.one_hot(label, self.job.k).float()
        x = self.model.normalised(x)
        if self.augmentation is not None:
            x, target = self.augmentation.mix(x, target, self._mask(rows))
        total, loss = float(weight.sum()), 0.0
        for part in torch.arange(len(rows), device=self.device).chunk(self.parts):
            with self._autocast():
                logits = self.forward(x[part])
            each = functional.cross_entropy(
                logits.float(), target[part], reduction="none",
                label_smoothing=self.recipe.label_smoothing,
            )  # fmt: skip
            mean = (each * weight[part]).sum() / total
            mean.backward()
            loss += float(mean.detach())
        return loss

    def _mask(self, rows: Ints) -> Tensor | None:
        if self.augmentation is None or self.augmentation.name != COPY_PASTE:
            return None
        assert self.masks is not None
        return torch.from_numpy(self.masks[rows]).to(self.device)

    def _moved(self, x: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return x.to(self.device)
        x = x.pin_memory().to(self.device, non_blocking=True)
        return x.contiguous(memory_format=torch.channels_last)

    def _autocast(self) -> Any:
        precision = self.recipe.precision
        if precision == "bf16" or (precision == "auto" and self.device.type == "cuda"):
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _end_epoch(self, lr: float) -> None:
        rows = self.job.validation
        accuracy = None
        if len(rows):
            self._settle_norms(self._tested())
            hit = self._scores(self._tested(), rows).argmax(axis=1) == self.job.label[rows]
            accuracy = float(hit.mean())
            self._keep_best(accuracy)
        made = self.step - self.epoch_step
        self.curve.append(
            {
                "step": self.step,
                "lr": lr,
                "loss": self.loss / made,
                "validation_accuracy": accuracy,
                "seconds": round(time.monotonic() - self.since, 3),
                "gpu_mib": self._gpu_mib(),
            }
        )
        self.loss, self.epoch_step = 0.0, self.step

    def _gpu_mib(self) -> int | None:
        if self.device.type != "cuda":
            return None
        return round(torch.cuda.max_memory_allocated(self.device) / 2**20)

    def _keep_best(self, accuracy: float) -> None:
        if self.best is None or accuracy > self.best[0]:
            self.best = accuracy, len(self.curve), deepcopy(self._tested().state_dict())
        elif self.recipe.patience and len(self.curve) - self.best[1] >= self.recipe.patience:
            self.stopped = True

    def _tested(self) -> Classifier:
        if self.average is None:
            return self.model
        averaged = self.average.module
        assert isinstance(averaged, Classifier)
        return averaged

    def finish(self) -> Outcome:
        """Score the test images with the weights that were chosen."""
        model = self._tested()
        if self.best is not None:
            model.load_state_dict(self.best[2])
        if self.recipe.method == "lora":
            merge_low_rank(model.encoder)
        if self.start:
            model.load_state_dict(interpolate(self.start, model.state_dict(), self.recipe.wise_ft))
        self._settle_norms(model)
        score = self._scores(model, self.job.test)
        return Outcome(score, self.step, self.curve, self.notes)

    def _settle_norms(self, model: Classifier) -> None:
        """Give batch norms that were trained the statistics of all training images.

        Running ones lag behind: after few steps they are still those of the start, and they are
        not those of averaged weights.
        """
        norms = batch_norms(model)
        if self.recipe.start != "random" or not norms:
            return
        model.eval()
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over batches
            norm.train()
        rows = np.array(list(dict.fromkeys(self.job.order.ravel().tolist())), dtype=np.intp)
        with torch.inference_mode():
            for first in range(0, max(1, len(rows) - 1), self.recipe.batch_size):
                some = rows[first : first + self.recipe.batch_size]
                if len(some) > 1 or first == 0:
                    model.encoder(model.normalised(as_batch(self.pixels[some]).to(self.device)))
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum

    def _scores(self, model: Classifier, rows: Ints) -> Floats:
        """Return log-probabilities (n, k), float32; a row does not depend on the others."""
        model.eval()
        found = []
        with torch.inference_mode():
            for first in range(0, len(rows), _TEST_BATCH):
                own = rows[first : first + _TEST_BATCH]
                full = np.resize(own, _TEST_BATCH)  # last bits depend on the size of a batch
                x = model.normalised(as_batch(self.pixels[full]).to(self.device))
                logits = model(x)[: len(own)].float()
                found.append(functional.log_softmax(logits, dim=1).cpu().numpy())
        return np.concatenate(found)

    def state(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on."""
        return {
            "key": self.job.key,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "best": self.best,
            "stopped": self.stopped,
            "curve": self.curve,
            "notes": self.notes,
            "parts": self.parts,
            "loss": self.loss,
            "epoch_step": self.epoch_step,
            "seconds": time.monotonic() - self.since,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where a state was taken."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for name in ("step", "best", "stopped", "curve", "notes", "parts", "loss", "epoch_step"):
            setattr(self, name, state[name])
        self.since = time.monotonic() - state["seconds"]
        torch.set_rng_state(state["rng"].cpu())
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda_rng"]])


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _reproducible(seed: int, deterministic: bool) -> Iterator[None]:
    """Seed torch's generators within; leave all as it was."""
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if deterministic:
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


def _save(path: Path, state: dict[str, Any]) -> None:
    """Put a checkpoint whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(state, temporary)
        temporary.replace(path)
    except OSError as error:
        raise XprobeError(f"{path}: {error.strerror or error}; make space and run again") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _load(path: Path, key: str, device: str) -> dict[str, Any] | None:
    """Return the state of a checkpoint, or None if there is none.

    Raises:
        XprobeError: it is damaged, or of other settings.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # pickle and zip raise anything on damaged input
        raise XprobeError(f"{path}: damaged; delete it and run 'xprobe sweep' again") from error
    if state.get("key") != key:
        raise XprobeError(
            f"{path}: a checkpoint of other settings; delete it, or name another --out"
        )
    return state
