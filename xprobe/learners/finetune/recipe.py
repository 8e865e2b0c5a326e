"""How a network is fine-tuned: everything a user may choose, checked once; no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from xprobe.base.declared import FINE_TUNES, check_least, option
from xprobe.base.errors import OptionError, did_you_mean
from xprobe.images.augment import AUGMENTATIONS, check_augmentation

METHODS = ("lp-ft", "full", "lora")

STARTS = ("probe", "text", "random")

TRAINING_PRECISIONS = ("auto", "fp32", "bf16")


_choice = partial(option, panel=FINE_TUNES)


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned; the defaults are the protocol.

    Attributes:
        method: ``lp-ft``: all weights, from the fitted head (Kumar et al. 2022); ``full``: all
            weights; ``lora``: low-rank updates of the attention weights (Hu et al. 2022).
        start: the head to start from: ``probe``, the logistic head fitted on frozen features;
            ``text``, the text features of the classes times the logit scale; ``random``. Empty:
            ``random`` for ``full``, else ``probe``.
        epochs: passes over the training images of real-only; the steps of other settings follow
            from their number of training rows.
        batch_size: images a step.
        lr: peak learning rate of the head and, before layer decay, of the encoder.
        head_lr: peak learning rate of a head that starts at random, if it is larger.
        weight_decay: weight decay of AdamW; biases, norms and embeddings of positions have none.
        layer_decay: factor of the learning rate from each block to the one before it.
        warmup: share of the steps until the peak; a cosine to 0 follows.
        label_smoothing: share of the target that is spread over all classes.
        clip: largest norm of the gradient; 0: any.
        ema: decay of the moving average of weights that is tested; 0: the last weights are.
        wise_ft: share of the fine-tuned weights in the weights that are tested; the rest are those
            of the start (Wortsman et al. 2022); 1: the fine-tuned ones alone.
        precision: precision of the forward pass in training; ``auto``: bf16 on a GPU, else fp32.
        accumulate: parts that a batch is divided into, to need less memory.
        compile: whether torch.compile is used.
        patience: epochs without a better validation accuracy after which training stops; the best
            weights are tested. 0: training goes to the end, on the validation images, too.
        synthetic_weight: weight of a synthetic image in the loss; a real image has 1.
        synthetic_share: share of each batch that is synthetic; None: as in the training images.
        two_stage: whether all steps with synthetic images come first, then those with real ones.
        augment: name of an augmentation of all training images, or ``none``; an alternative has
            its own instead.
        deterministic: whether operations that are not deterministic are refused, on a GPU, too.
    """

    method: str = _choice(
        "lp-ft", "lp-ft (all weights, from the fitted head), full (all weights) or lora (low-rank "
        "updates of the attention weights).",
        values=METHODS,
    )  # fmt: skip
    start: str = _choice(
        "", "Head that full or lora starts from: probe, text or random. Default: random for full, "
        "else probe.",
        values=STARTS,
    )  # fmt: skip
    epochs: int = _choice(10, "Passes over the training images of real-only.", least=1)
    batch_size: int = _choice(64, "Images a step.", least=2)
    lr: float = _choice(1e-5, "Peak learning rate.")
    head_lr: float = _choice(
        1e-3, "Peak learning rate of a head that starts at random, if it is larger."
    )
    weight_decay: float = _choice(0.1, "Weight decay of AdamW; none on biases and norms.")
    layer_decay: float = _choice(
        0.75, "Factor of the learning rate from each block to the one before."
    )
    warmup: float = _choice(0.1, "Share of the steps until the peak of the learning rate.")
    label_smoothing: float = _choice(0.1, "Share of the target spread over all classes.")
    clip: float = _choice(1.0, "Largest norm of the gradient; 0: any.")
    ema: float = _choice(
        0.0, "Decay of a moving average of weights that is tested instead of the last; 0: none."
    )
    wise_ft: float = _choice(
        1.0, "Share of the fine-tuned weights in those tested; the rest are the start's."
    )
    precision: str = _choice(
        "auto", "Of training: auto (bf16 on a GPU, else fp32), fp32 or bf16.",
        values=TRAINING_PRECISIONS,
    )  # fmt: skip
    accumulate: int = _choice(1, "Parts that a batch is computed in, to need less memory.", least=1)
    compile: bool = _choice(False, "Use torch.compile.")
    patience: int = _choice(
        0, "Stop after so many epochs without a better validation accuracy; 0: never.", least=0
    )
    synthetic_weight: float = _choice(1.0, "Weight of a synthetic image in the loss.")
    synthetic_share: float | None = _choice(
        None, "Share of each batch that is synthetic. Default: as in the training images."
    )
    two_stage: bool = _choice(
        False, "All steps with synthetic images first, then those with real ones."
    )
    augment: str = _choice(
        "none", "Augmentation of the training images of all settings, or none.",
        values=("none", *AUGMENTATIONS),
    )  # fmt: skip
    deterministic: bool = _choice(False, "Refuse operations that are not deterministic.")

    def __post_init__(self) -> None:
        _check_one_of("--method", self.method, METHODS)
        if not self.start:
            object.__setattr__(self, "start", "random" if self.method == "full" else "probe")
        _check_one_of("--start", self.start, STARTS)
        _check_one_of("--precision", self.precision, TRAINING_PRECISIONS)
        if self.method == "lp-ft" and self.start != "probe":
            raise OptionError(f"lp-ft starts from the probe; for {self.start}, take --method full")
        check_least(self, OptionError)
        for name in ("lr", "head_lr", "layer_decay", "synthetic_weight"):
            _check_within(name, getattr(self, name), 0, math.inf, above=True)
        for name in ("weight_decay", "clip"):
            _check_within(name, getattr(self, name), 0, math.inf)
        for name in ("warmup", "label_smoothing", "ema", "wise_ft", "layer_decay"):
            _check_within(name, getattr(self, name), 0, 1)
        if self.ema == 1 or self.label_smoothing == 1:
            raise OptionError("--ema and --label-smoothing must be less than 1")
        if self.augment != "none":
            check_augmentation(self.augment)
        if self.synthetic_share is not None:
            _check_within("synthetic_share", self.synthetic_share, 0, 1)
            if self.two_stage:
                raise OptionError("--synthetic-share and --two-stage exclude each other")

    def steps(self, rows: int) -> int:
        """Return the number of optimiser steps for so many training rows."""
        return max(1, -(-self.epochs * rows // self.batch_size))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check_one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OptionError(
            f"{option}: unknown {value!r}{did_you_mean(value, known)}; known: {', '.join(known)}"
        )


def _check_within(name: str, value: Any, low: float, high: float, *, above: bool = False) -> None:
    if not math.isfinite(value) or not low <= value <= high or (above and value == low):
        words = f"above {low:g}" if above else f"{low:g} or more"
        most = "" if high == math.inf else f" and at most {high:g}"
        raise OptionError(f"{_option(name)} must be {words}{most}, not {value:g}")
