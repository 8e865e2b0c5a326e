"""Predictions of a design on disk → all repeats of each setting, test images in one order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Ints
from xprobe.base.errors import XprobeError
from xprobe.design.blocks import Block
from xprobe.design.design import Design
from xprobe.design.setting import Setting
from xprobe.results.predictions import PredictionRecord, load_predictions
from xprobe.verdict import metrics


@dataclass(frozen=True, eq=False)
class Tested:
    """All repeats of one setting, test images in one order.

    Attributes:
        predicted: (R, N) predicted class.
        values: by the name of a metric, (R, N) what each image adds to it (`metrics.per_image`);
            empty where nothing but the predicted class is known.
        blocks, records: the block and the record of each repeat.
    """

    predicted: NDArray[np.intp]
    values: dict[str, NDArray[np.float64]]
    blocks: tuple[Block, ...]
    records: tuple[PredictionRecord, ...]


# The predicted class of each test image, and by metric what each image adds to it.
_Scored = tuple[NDArray[np.intp], dict[str, NDArray[np.float64]]]


def hits(design: Design, runs: list[str], folder: Path) -> tuple[dict[Setting, Bools], Ints, Ints]:
    """Return whether each setting was right (R, N), and label and group (N,) of the test images."""
    tested, y, group = gather(design, runs, folder)
    return {setting: repeats.predicted == y for setting, repeats in tested.items()}, y, group


def gather(
    design: Design, runs: list[str], folder: Path
) -> tuple[dict[Setting, Tested], Ints, Ints]:
    """Load every block's predictions; return them by setting, with labels and groups (N,)."""
    order = design.tested
    ids = design.study.id[order]
    y = np.searchsorted(np.array(design.study.classes), design.study.label[order].astype(str))
    by_setting: dict[Setting, list[tuple[Block, PredictionRecord, _Scored]]] = defaultdict(list)
    for run, block in zip(runs, design.blocks, strict=True):
        loaded = load_predictions(folder, run)
        if loaded is None:
            raise XprobeError(f"{folder}: predictions vanished; run 'xprobe sweep' again")
        predictions, record = loaded
        row = {id_: i for i, id_ in enumerate(predictions.id)}
        score = predictions.score[[row[i] for i in ids]]
        scored = score.argmax(axis=1), metrics.per_image(y, score)
        by_setting[block.setting].append((block, record, scored))
    tested = {
        setting: Tested(
            np.stack([predicted for _, _, (predicted, _) in repeats]),
            {name: np.stack([v[name] for _, _, (_, v) in repeats]) for name in repeats[0][2][1]},
            tuple(b for b, _, _ in repeats),
            tuple(record for _, record, _ in repeats),
        )
        for setting, repeats in by_setting.items()
    }
    _, group = np.unique(design.study.group[order].astype(str), return_inverse=True)
    return tested, y.astype(np.intp), group.astype(np.intp)
