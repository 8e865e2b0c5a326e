"""The values of one fine-tune: its setup, the job that it trains and tests, its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.encoders.base import Pixels
from xprobe.encoders.network import Network
from xprobe.images.augment import Augmentation
from xprobe.learners.finetune.classifier import HeadStart
from xprobe.learners.finetune.recipe import Recipe


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
        weight: (n,) weight of each image in the loss.
        validation: images that decide when to stop; empty: nothing does.
        test: images to score.
        k: number of classes.
        seed: the seed of everything random but the order.
        key: digest of all that decides the outcome; a checkpoint of another key is refused.
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
        steps: how many optimiser steps were made.
        curve: one row an epoch: step, learning rate, mean loss, training accuracy, validation
            accuracy (None without validation images), seconds, and the most memory that a GPU
            held, MiB.
        notes: notes for the reader of the results.
        training_accuracy: share of the training images that were recognised in the epoch whose
            weights are tested, as they were trained on: augmented, and before their step. None if
            a checkpoint of an older xprobe left it open.
        moved: how far the encoder's weights are from where they started, ‖Δw‖ / ‖w‖.
    """

    score: Floats
    steps: int
    curve: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    training_accuracy: float | None = None
    moved: float | None = None


@dataclass(frozen=True, eq=False)
class Setup:
    """All that decides the outcome of a fine-tune.

    Attributes:
        network: what is trained; each fine-tune takes a copy.
        start: where the network's head starts.
        pixels: images by row.
        job: what is trained and tested.
        recipe: how the network is trained.
        device: torch device.
        augmentation: how the training images are augmented, or None.
        masks: masks by the same rows as `pixels`, for Copy-Paste, or None.
    """

    network: Network
    start: HeadStart
    pixels: Source
    job: Job
    recipe: Recipe
    device: str
    augmentation: Augmentation | None = None
    masks: MaskSource | None = None
