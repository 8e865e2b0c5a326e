"""Predictions on disk, by the digest of what decided them, and the record beside them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from xprobe.base import documents
from xprobe.base.arrays import (
    UNREADABLE,
    Bools,
    Floats,
    Ints,
    Strings,
    frozen_array,
    frozen_strings,
)
from xprobe.base.atomic import put
from xprobe.base.documents import AnyDocument, Document, Number
from xprobe.base.errors import XprobeError

REMEDY = "delete it and run 'xprobe sweep' again"


class PredictionRecord(Document, frozen=True, kw_only=True):
    """What is kept beside the predictions of one setting and repeat.

    Attributes:
        encoder: label of the encoder.
        name, ratio, generator, augment: the setting; `augment` is empty without an augmentation.
        classes: names of the classes, in the order of the scores.
        c: value of C chosen in each fold (for ``knn`` the number of neighbours); None where nothing
            was chosen.
        at_edge: whether the chosen value is an end of its grid, in each fold.
        temperature: the temperature that calibrated the scores of each fold.
        fits, finished, unconverged: how many fits were made, finished by the reference solver, and
            left before they converged.
        steps: optimiser steps of each fold.
        notes: what to know about single folds.
        training_accuracy, moved: of fine-tunes, for each fold the share of the training images that
            was recognised in the end, and how far the encoder's weights moved, ‖Δw‖ / ‖w‖; empty
            of heads, and of what an older xprobe trained.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("training_accuracy", "moved")

    encoder: str
    name: str
    ratio: Number | None = None
    generator: str | None = None
    augment: str = ""
    repeat: int
    classes: tuple[str, ...]
    c: tuple[Number | None, ...]
    at_edge: tuple[bool, ...]
    temperature: tuple[Number | None, ...] = ()
    fits: int = 0
    finished: int = 0
    unconverged: int = 0
    steps: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    training_accuracy: tuple[Number | None, ...] = ()
    moved: tuple[Number | None, ...] = ()


class FineTuneRecord(Document, frozen=True, kw_only=True):
    """What is kept beside the scores of one finished fine-tune: fields of a `PredictionRecord`."""

    OPTIONAL: ClassVar[tuple[str, ...]] = ("training_accuracy", "moved")

    c: Number | None
    steps: int
    notes: tuple[str, ...] = ()
    training_accuracy: Number | None = None
    moved: Number | None = None


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of real test images under one setting and repeat, all folds together.

    Attributes:
        run: key of everything that decided these scores.
        id: (n,) test images.
        label: (n,) index of the true class.
        score: (n, k) log-probabilities.
        fold: (n,) fold in which the image was tested.
    """

    run: str
    id: Strings
    label: Ints
    score: Floats
    fold: Ints

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", frozen_strings(self.id))
        for name in ("label", "score", "fold"):
            object.__setattr__(self, name, frozen_array(getattr(self, name)))
        n = len(self.id)
        if self.label.shape != (n,) or self.fold.shape != (n,) or self.score.shape[:1] != (n,):
            raise ValueError("id, label, fold and score differ in length")
        if not np.isfinite(self.score).all():
            raise ValueError("scores must be finite")

    @property
    def hit(self) -> Bools:
        """(n,) whether the highest score is the true class's."""
        return np.asarray(self.score.argmax(axis=1) == self.label)


def predictions_file(folder: Path, run: str) -> Path:
    """Return where the predictions of a run lie."""
    return folder / "predictions" / run[:2] / f"{run}.npz"


def save_predictions(folder: Path, predictions: Predictions, record: PredictionRecord) -> None:
    """Write the predictions of a run and their record; readers find them whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        id=predictions.id.astype(str),
        label=predictions.label.astype(np.int32),
        score=predictions.score.astype(np.float32),
        fold=predictions.fold.astype(np.int32),
        about=packed(record),
    )
    file = predictions_file(folder, predictions.run)
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, buffer.getvalue())


def load_predictions(folder: Path, run: str) -> tuple[Predictions, PredictionRecord] | None:
    """Return the predictions of a run and their record, or None if there are none.

    Raises:
        XprobeError: they are damaged.
    """
    file = predictions_file(folder, run)
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as data:
            record = unpacked(PredictionRecord, data["about"])
            columns = {name: data[name] for name in ("id", "label", "score", "fold")}
        columns["id"] = columns["id"].astype(object)
        predictions = Predictions(run, **columns)
        _check_record(predictions, record)
        return predictions, record
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise XprobeError(f"{file}: damaged ({error}); {REMEDY}") from error


def _check_record(predictions: Predictions, record: PredictionRecord) -> None:
    """Raise a ValueError unless predictions and their record are of the same classes and folds."""
    n, k, folds = len(predictions.id), len(record.classes), len(record.c)
    if predictions.score.shape != (n, k):
        raise ValueError(f"scores of another shape than {n} images × {k} classes")
    for name, values, end in (
        ("labels", predictions.label, k), ("folds", predictions.fold, folds),
    ):  # fmt: skip
        if values.size and not 0 <= values.min() <= values.max() < end:
            raise ValueError(f"{name} beyond the {end} of its record")
    by_fold = (record.at_edge, record.temperature, record.steps, record.training_accuracy,
               record.moved)  # fmt: skip
    if any(len(values) not in (0, folds) for values in by_fold):
        raise ValueError(f"a record of other than {folds} folds")


def temperature_of(predictions: Predictions, record: PredictionRecord) -> Floats | None:
    """Return the temperature (n,) that inner folds gave each image's fold, or None without."""
    by_fold = record.temperature
    if not by_fold or None in by_fold:
        return None
    return np.array(by_fold, dtype=np.float64)[predictions.fold]


def packed(record: Document) -> NDArray[np.str_]:
    """Return a record as an array of its JSON text, to be saved among other arrays."""
    return np.array(json.dumps(documents.to_json(record), allow_nan=False))


def unpacked(kind: type[AnyDocument], array: NDArray[np.str_]) -> AnyDocument:
    """Return the record that `packed` put into an array.

    Raises:
        ValueError: it is damaged.
    """
    return documents.parse(kind, str(array))


def fine_tune_file(folder: Path, run: str, fold: int) -> Path:
    """Return where a fine-tune keeps its files, without their suffix."""
    return folder / "fine-tunes" / f"{run[:32]}-{fold}"


def forget_fine_tunes(folder: Path, run: str) -> None:
    """Delete the files of a run's fine-tunes once its predictions are saved; curves stay."""
    for file in (folder / "fine-tunes").glob(f"{run[:32]}-*"):
        if file.suffix in (".npz", ".pt"):
            file.unlink(missing_ok=True)
