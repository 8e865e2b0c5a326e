"""A fine-tune under way: its steps, its epochs, its scores.

All random numbers but the order of the images come from torch's generator, whose state is in the
checkpoint: a run that was killed goes on bit by bit as it would have on one machine.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from xprobe.base.arrays import Floats, Ints
from xprobe.base.errors import XprobeError
from xprobe.images.augment import COPY_PASTE
from xprobe.learners.finetune.classifier import Classifier, batch_norms
from xprobe.learners.finetune.job import DivergedError, Outcome, Setup
from xprobe.learners.finetune.layers import (
    add_low_rank,
    interpolate,
    merge_low_rank,
    parameter_groups,
    relative_change,
    set_trainable,
)
from xprobe.learners.finetune.loader import Loader, as_batch

TEST_BATCH = 64
"""The number of images that are scored at once."""

# A GPU must end all its work before a loss can be read, so that losses are read so many at a time.
_UNREAD = 16

# What a part of a batch leaves behind: its share of the mean loss, its logits and its targets.
Part = tuple[Tensor, Tensor, Tensor]


class Run:
    """A fine-tune under way.

    Attributes:
        step: how many steps were made.
        stopped: whether training ends before the last step, since validation gets no better.
        curve: one row an epoch, as in `Outcome`.
    """

    def __init__(self, setup: Setup) -> None:
        """Put the network on its device, ready for the first step."""
        self.job, self.recipe, self.device = setup.job, setup.recipe, torch.device(setup.device)
        self.augmentation, self.masks, recipe = setup.augmentation, setup.masks, setup.recipe
        self.network = setup.network
        self.loader = Loader(setup.pixels, self.device)
        self.order, self.label, self.weight = (
            torch.tensor(values, device=self.device)  # a copy, as frozen arrays cannot be shared
            for values in (self.job.order, self.job.label, self.job.weight.astype(np.float32))
        )
        self.model = Classifier(setup.network, setup.start).to(self.device)
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
            of_head = {id(p) for p in self.model.head.parameters()}
            for group in groups:
                if any(id(p) in of_head for p in group["params"]):
                    group["lr"] = max(recipe.lr, recipe.head_lr)
        self.lr = [group["lr"] for group in groups]
        self.trained = [p for group in groups for p in group["params"]]
        # One kernel updates all weights: a loop over them takes a tenth of a small network's step.
        self.optimiser = torch.optim.AdamW(groups, fused=self.device.type in ("cpu", "cuda"))
        self.average = (
            AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))
            if recipe.ema
            else None
        )
        self.forward = torch.compile(self.model) if recipe.compile else self.model
        self.model.eval()  # The first step makes it train, as does the first after each test.
        self.step = self.epoch_step = 0
        self.parts = recipe.accumulate
        self.loss, self.since = 0.0, time.monotonic()
        self.hits = self.seen = 0  # Training images of the epoch: recognised, and all.
        self.unread: list[tuple[int, float, list[Part]]] = []  # Step, learning rate, parts.
        self.read_every = 1 if self.device.type == "cpu" else _UNREAD
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self.stopped = False
        self.curve: list[dict[str, Any]] = []
        self.notes: list[str] = []
        total = len(self.job.order)
        self.ends = {round((i + 1) * total / recipe.epochs) for i in range(recipe.epochs)}

    def go_on(self) -> None:
        """Make the next step; at the end of an epoch look at the validation images.

        Raises:
            DivergedError: the loss of this step, or on a GPU of one shortly before, is infinite or
                no number.
        """
        lr = self.train(self.step)
        self.step += 1
        is_end = self.step in self.ends
        if is_end or len(self.unread) >= self.read_every:
            self._read_losses()
        if is_end:
            self._end_epoch(lr)

    def train(self, step: int) -> float:
        """Train on the images of a step; return its largest learning rate."""
        factor = self._schedule(step)
        for group, lr in zip(self.optimiser.param_groups, self.lr, strict=True):
            group["lr"] = lr * factor
        peak: float = max(self.lr) * factor
        self.unread.append((step, peak, self._backward(step)))
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.trained, self.recipe.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return peak

    def _read_losses(self) -> None:
        """Add up the losses of the steps since the last call, and the images recognised in them.

        Raises:
            DivergedError: a loss is infinite or no number.
        """
        if not self.unread:
            return
        losses, logits, targets = zip(*(p for *_, parts in self.unread for p in parts), strict=True)
        hit = torch.cat(logits).argmax(dim=1) == torch.cat(targets).argmax(dim=1)
        *read, hits = torch.stack([*losses, hit.sum()]).tolist()
        values = iter(read)
        self.hits, self.seen = self.hits + int(hits), self.seen + len(hit)
        for step, lr, parts in self.unread:
            loss = sum((next(values) for _ in parts), 0.0)
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss became {loss} at step {step + 1} of {len(self.job.order)}, "
                    f"learning rate {lr:.2g}; try a smaller --lr"
                )
            self.loss += loss
        self.unread = []

    def _schedule(self, step: int) -> float:
        """Return the factor of the learning rate: linear warm-up, then a cosine to 0."""
        total = len(self.job.order)
        warm = math.ceil(self.recipe.warmup * total)
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

    def _backward(self, step: int) -> list[Part]:
        """Leave the gradient of a batch's mean loss, and return its parts.

        What is done at once is halved if memory ends.
        """
        state = torch.get_rng_state()
        rows, later = self.job.order[step], self.job.order[step + 1 : step + 2]
        images = self.loader.read(rows, later[0] if len(later) else None)
        while True:
            try:
                return self._accumulate(step, images)
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
            # Outside of the handler the traceback is gone, which holds the failed pass's tensors.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if self.parts >= len(rows):
                raise XprobeError("one image at a time does not fit into memory; try --device cpu")
            self.parts = min(2 * self.parts, len(rows))
            self.notes.append(
                f"memory was short: batches of {len(rows)} were computed in {self.parts} parts"
            )
            torch.set_rng_state(state)

    def _accumulate(self, step: int, images: Tensor) -> list[Part]:
        if not self.model.training:
            self._set_to_train()
        self.optimiser.zero_grad(set_to_none=True)
        rows, chosen = self.job.order[step], self.order[step]
        weight = self.weight[chosen]
        target = functional.one_hot(self.label[chosen], self.job.k).float()
        x = self.model.normalised(self._augmented(images))
        if self.augmentation is not None:
            x, target = self.augmentation.mix(x, target, self._mask(rows))
        # This sum is taken on the host, since the device would have to be waited for.
        total = float(torch.from_numpy(self.job.weight[rows]).float().sum())
        whole: list[Any] = [slice(None)]
        cut = torch.arange(len(rows), device=self.device).chunk(self.parts)
        parts = []
        for part in whole if self.parts == 1 else cut:
            with self._autocast():
                logits = self.forward(x[part])
            image_loss = functional.cross_entropy(
                logits.float(), target[part], reduction="none",
                label_smoothing=self.recipe.label_smoothing,
            )  # fmt: skip
            mean = (image_loss * weight[part]).sum() / total
            mean.backward()
            parts.append((mean.detach(), logits.detach(), target[part]))
        return parts

    def _set_to_train(self) -> None:
        self.model.train()
        # The head was fitted on features that these statistics gave, so that they stay.
        if self.recipe.start != "random":
            for norm in batch_norms(self.model):
                norm.eval()

    def _augmented(self, images: Tensor) -> Tensor:
        """Return images (n, height, width, 3) of the host as (n, 3, height, width) on the device.

        They are augmented before.
        """
        if self.augmentation is None:
            return self.loader.on_device(images)
        x = self.augmentation.images(as_batch(images))
        if self.device.type != "cuda":
            return x.to(self.device)
        x = x.pin_memory().to(self.device, non_blocking=True)
        return x.contiguous(memory_format=torch.channels_last)

    def _mask(self, rows: Ints) -> Tensor | None:
        if self.augmentation is None or self.augmentation.name != COPY_PASTE:
            return None
        assert self.masks is not None
        return torch.from_numpy(self.masks[rows]).to(self.device)

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
            hit = self.test(rows).argmax(axis=1) == self.job.label[rows]
            accuracy = float(hit.mean())
            self._keep_best(accuracy)
        n_steps = self.step - self.epoch_step
        self.curve.append(
            {
                "step": self.step,
                "lr": lr,
                "loss": self.loss / n_steps,
                "training_accuracy": self.hits / self.seen,
                "validation_accuracy": accuracy,
                "seconds": round(time.monotonic() - self.since, 3),
                "gpu_mib": self._gpu_mib(),
            }
        )
        self.loss, self.epoch_step = 0.0, self.step
        self.hits = self.seen = 0

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
        model, last = self._tested(), self.curve[-1]
        if self.best is not None:
            model.load_state_dict(self.best[2])
            last = self.curve[self.best[1]]
        if self.recipe.method == "lora":
            merge_low_rank(model.encoder)
        if self.start:
            model.load_state_dict(interpolate(self.start, model.state_dict(), self.recipe.wise_ft))
        self._settle_norms(model)
        score = self._scores(model, self.job.test)
        return Outcome(
            score, self.step, self.curve, self.notes, last.get("training_accuracy"),
            relative_change(self.network.module, model.encoder),
        )  # fmt: skip

    def _settle_norms(self, model: Classifier) -> None:
        """Give batch norms that were trained the statistics of all training images.

        Running statistics lag behind: after few steps they are still those of the start, and they
        are not those of averaged weights.
        """
        norms = batch_norms(model)
        if self.recipe.start != "random" or not norms:
            return
        model.eval()
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # None stands for a plain average over batches.
            norm.train()
        rows = np.array(list(dict.fromkeys(self.job.order.ravel().tolist())), dtype=np.intp)
        with torch.inference_mode():
            for first in range(0, max(1, len(rows) - 1), self.recipe.batch_size):
                batch = rows[first : first + self.recipe.batch_size]
                if len(batch) > 1 or first == 0:
                    x = self.loader.on_device(self.loader.read(batch))
                    model.encoder(model.normalised(x))
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum

    def test(self, rows: Ints) -> Floats:
        """Return log-probabilities (n, k), float32, under the weights that are tested now."""
        return self._scores(self._tested(), rows)

    def _scores(self, model: Classifier, rows: Ints) -> Floats:
        """Return log-probabilities (n, k), float32; a row does not depend on the others."""
        model.eval()
        batches = [rows[first : first + TEST_BATCH] for first in range(0, len(rows), TEST_BATCH)]
        # The last bits of a row depend on the batch's size, which is therefore always the same.
        full = [np.resize(batch, TEST_BATCH) for batch in batches]
        scores = []
        with torch.inference_mode():
            for batch, whole, later in zip(batches, full, [*full[1:], None], strict=True):
                x = model.normalised(self.loader.on_device(self.loader.read(whole, later)))
                logits = model(x)[: len(batch)].float()
                scores.append(functional.log_softmax(logits, dim=1))
            return torch.cat(scores).cpu().numpy()

    def state(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on.

        Raises:
            DivergedError: a loss that was not read yet is infinite or no number.
        """
        self._read_losses()
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
            "hits": self.hits,
            "seen": self.seen,
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
        # A checkpoint of an older xprobe knows of no images that were recognised.
        self.hits, self.seen = state.get("hits", 0), state.get("seen", 0)
        self.since = time.monotonic() - state["seconds"]
        torch.set_rng_state(state["rng"].cpu())
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state_all([rng.cpu() for rng in state["cuda_rng"]])


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
