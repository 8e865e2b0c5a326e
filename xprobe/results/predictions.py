"""Predictions on disk, by the digest of what decided them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xprobe.base.arrays import Bools, Floats, Ints, Strings, frozen_array, frozen_strings
from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError


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


def save_predictions(folder: Path, predictions: Predictions, about: dict[str, Any]) -> None:
    """Put the predictions of a run whole; `about` is kept beside them as JSON."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        id=predictions.id.astype(str),
        label=predictions.label.astype(np.int32),
        score=predictions.score.astype(np.float32),
        fold=predictions.fold.astype(np.int32),
        about=np.array(json.dumps(about)),
    )
    file = predictions_file(folder, predictions.run)
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, buffer.getvalue())


def load_predictions(folder: Path, run: str) -> tuple[Predictions, dict[str, Any]] | None:
    """Return the predictions of a run and what was kept beside them, or None if there are none."""
    file = predictions_file(folder, run)
    try:
        with np.load(file, allow_pickle=False) as data:
            about = json.loads(str(data["about"]))
            columns = {name: data[name] for name in ("id", "label", "score", "fold")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise XprobeError(f"{file}: damaged; delete it and run 'xprobe sweep' again") from error
    columns["id"] = columns["id"].astype(object)
    return Predictions(run, **columns), about


def fine_tune_file(folder: Path, run: str, fold: int) -> Path:
    """Return where a fine-tune keeps its files, without their suffix."""
    return folder / "fine-tunes" / f"{run[:32]}-{fold}"


def forget_fine_tunes(folder: Path, run: str) -> None:
    """Delete what was kept of a run's fine-tunes but their curves: its predictions are saved."""
    for file in (folder / "fine-tunes").glob(f"{run[:32]}-*"):
        if file.suffix in (".npz", ".pt"):
            file.unlink(missing_ok=True)
