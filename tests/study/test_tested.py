"""Predictions become what each setting was right about, if they are of the images of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xprobe.base.errors import XprobeError
from xprobe.results.predictions import PredictionRecord, Predictions, save_predictions
from xprobe.study.tested import _tested

RUN = "ab" * 32


def test_predictions_of_other_images_are_refused_with_their_file(tmp_path: Path) -> None:
    record = PredictionRecord(
        encoder="e", name="real-only", repeat=0, classes=("x", "y"), c=(1.0,), at_edge=(False,)
    )
    label = np.array([0, 1])
    score = np.log([[0.9, 0.1], [0.9, 0.1]])
    save_predictions(tmp_path, Predictions(RUN, ["a", "b"], label, score, label * 0), record)
    tested = _tested(tmp_path, [(RUN, None)], np.array(["b", "a"]), label)
    assert tested.predicted.tolist() == [[0, 0]]
    with pytest.raises(XprobeError, match=rf"{RUN}\.npz: of other images; delete it and run"):
        _tested(tmp_path, [(RUN, None)], np.array(["b", "c"]), label)
