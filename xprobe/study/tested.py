"""Predictions of a design on disk → all repeats of each setting, test images in one order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Ints, Strings
from xprobe.base.errors import XprobeError
from xprobe.design.blocks import Block
from xprobe.design.design import Design
from xprobe.design.setting import Setting
from xprobe.results.predictions import (
    REMEDY,
    PredictionRecord,
    load_predictions,
    predictions_file,
    temperature_of,
)
from xprobe.verdict import metrics


@dataclass(frozen=True, eq=False)
class Tested:
    """All repeats of one setting, test images in one order.

    Attributes:
        predicted: (R, N) predicted class.
        values: by the name of a metric, (N,) what each image adds to it (`metrics.Metric`), mean
            over repeats; empty where nothing but the predicted class is known.
        is_calibrated: whether inner folds gave every score a temperature, by which those metrics
            are computed that depend on probabilities.
        blocks, records: the block and the record of each repeat.
    """

    predicted: NDArray[np.intp]
    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    is_calibrated: bool = False
    blocks: tuple[Block, ...] = ()
    records: tuple[PredictionRecord, ...] = ()


def folds_of(tested: Tested, order: Ints) -> Ints:
    """Return the fold (R, N) in which each image was tested; `order` (N,) are their rows."""
    fold = np.empty((len(tested.blocks), len(order)), dtype=np.intp)
    for repeat, block in enumerate(tested.blocks):
        fold[repeat, np.searchsorted(order, block.test)] = block.fold
    return fold


def hits(design: Design, runs: list[str], folder: Path) -> tuple[dict[Setting, Bools], Ints, Ints]:
    """Return whether each setting was right (R, N), and label and cluster (N,) of test images."""
    tested, y, group = gather(design, runs, folder)
    return {setting: repeats.predicted == y for setting, repeats in tested.items()}, y, group


def gather(
    design: Design, runs: list[str], folder: Path
) -> tuple[dict[Setting, Tested], Ints, Ints]:
    """Load every block's predictions; return them by setting, with labels and clusters (N,)."""
    order = design.tested
    ids = design.study.id[order]
    y = np.searchsorted(np.array(design.study.classes), design.study.label[order].astype(str))
    by_setting: dict[Setting, list[tuple[str, Block]]] = defaultdict(list)
    for run, block in zip(runs, design.blocks, strict=True):
        by_setting[block.setting].append((run, block))
    tested = {
        setting: _tested(folder, repeats, ids, y.astype(np.intp))
        for setting, repeats in by_setting.items()
    }
    _, group = np.unique(design.clusters.astype(str), return_inverse=True)
    return tested, y.astype(np.intp), group.astype(np.intp)


def _tested(folder: Path, repeats: list[tuple[str, Block]], ids: Strings, y: Ints) -> Tested:
    """Load the repeats of a setting, one after the other: what is judged alone stays in memory."""
    predicted, records = [], []
    values: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(len(y)))
    is_calibrated = True
    for run, _ in repeats:
        loaded = load_predictions(folder, run)
        if loaded is None:
            raise XprobeError(f"{folder}: predictions vanished; run 'xprobe sweep' again")
        predictions, record = loaded
        row = {id_: i for i, id_ in enumerate(predictions.id)}
        if not row.keys() >= set(ids):
            raise XprobeError(f"{predictions_file(folder, run)}: of other images; {REMEDY}")
        rows = np.array([row[id_] for id_ in ids], dtype=np.intp)
        score, temperature = predictions.score[rows], temperature_of(predictions, record)
        images = metrics.scored(y, score)
        # A temperature changes no prediction.
        calibrated = images
        if temperature is not None:
            calibrated = metrics.scored(y, score / temperature[rows, None])
        is_calibrated &= temperature is not None
        for metric in metrics.fitting(score.shape[1]):
            seen = calibrated if metric.of_probabilities else images
            values[metric.name] += metric.per_image(seen)
        predicted.append(score.argmax(axis=1))
        records.append(record)
    return Tested(
        np.stack(predicted),
        {name: total / len(repeats) for name, total in values.items()},
        is_calibrated,
        tuple(block for _, block in repeats),
        tuple(records),
    )


def labelled(predicted: Ints, y: Ints, k: int) -> Tested:
    """Return what is known of a classifier that gives classes (N,) alone, out of k."""
    images = metrics.scored(y, np.eye(k)[predicted])
    chosen = [metrics.METRICS[name] for name in ("accuracy", "macro_f1")]
    return Tested(
        predicted[None], {metric.name: metric.per_image(images) for metric in chosen},
    )  # fmt: skip
