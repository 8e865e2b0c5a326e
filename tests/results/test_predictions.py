"""Predictions on disk and the record beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from xprobe.base.errors import XprobeError
from xprobe.results.predictions import (
    FineTuneRecord,
    PredictionRecord,
    Predictions,
    load_predictions,
    packed,
    predictions_file,
    save_predictions,
    unpacked,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "results-v1"
RUN = "ab" * 32
PREDICTIONS = Predictions(
    RUN, ["a", "ü"], np.array([0, 1]), np.log([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1])
)
RECORD = PredictionRecord(
    encoder="e", name="mix", ratio=1, generator="g", repeat=0, classes=("x", "y"), c=(1.0, None),
    at_edge=(False, True), notes=("ü",),
)  # fmt: skip


def test_predictions_come_back_with_their_record(tmp_path: Path) -> None:
    assert load_predictions(tmp_path, RUN) is None
    save_predictions(tmp_path, PREDICTIONS, RECORD)
    loaded = load_predictions(tmp_path, RUN)
    assert loaded is not None
    assert loaded[0].id.tolist() == ["a", "ü"]
    np.testing.assert_allclose(loaded[0].score, PREDICTIONS.score, rtol=1e-6)
    assert loaded[1] == RECORD


def test_whatever_is_no_such_file_is_one_line_with_its_remedy(tmp_path: Path) -> None:
    save_predictions(tmp_path, PREDICTIONS, RECORD)
    file = predictions_file(tmp_path, RUN)
    whole = file.read_bytes()
    arrays = dict(np.load(file))
    damaged = [
        b"",
        b"\xff",
        b"PK\x03\x04",
        b"[]",
        *(whole[: len(whole) * i // 9] for i in range(9)),
    ]
    middle = len(whole) // 3
    damaged.append(whole[:middle] + bytes(20) + whole[middle + 20 :])
    changes = [
        {"about": np.array("{}")}, {"about": np.array("[" * 10**5)}, {"about": np.array(3)},
        {"score": arrays["score"][:1]}, {"score": np.full((2, 2), np.nan)}, {"label": None},
        {"score": np.zeros((2, 3))}, {"score": np.zeros(2)}, {"label": np.array([0, 2])},
        {"fold": np.array([-1, 0])}, {"about": packed(structs.replace(RECORD, c=(1.0,)))},
        {"about": packed(structs.replace(RECORD, steps=(3,)))},
    ]  # fmt: skip
    for change in changes:
        kept = {k: v for k, v in (arrays | change).items() if v is not None}
        np.savez(file, **kept)
        damaged.append(file.read_bytes())
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(XprobeError, match=r"\.npz: damaged \(.*\); .*'xprobe sweep'") as error:
            load_predictions(tmp_path, RUN)
        assert "\n" not in str(error.value)


def test_a_record_lies_in_an_array_and_keeps_what_it_does_not_know() -> None:
    record = unpacked(FineTuneRecord, np.array('{"c": null, "steps": 3, "newer": 1}'))
    assert (record.c, record.steps, record.notes) == (None, 3, ())
    assert str(packed(record)) == '{"c": null, "steps": 3, "notes": [], "newer": 1}'
    with pytest.raises(ValueError, match="JSON compliant"):
        packed(FineTuneRecord(c=float("inf"), steps=1))


def test_records_of_predictions_are_written_again_byte_by_byte() -> None:
    files = sorted((GOLDEN / "predictions").rglob("*.npz"))
    assert len(files) == 2
    for file in files:
        loaded = load_predictions(GOLDEN, file.stem)
        assert loaded is not None
        predictions, record = loaded
        assert isinstance(record, PredictionRecord)
        assert len(record.c) == len(set(predictions.fold))
        with np.load(file) as data:
            assert str(packed(record)) == str(data["about"])
