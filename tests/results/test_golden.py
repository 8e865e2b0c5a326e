"""Documents of the first format are read, and written again as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xprobe.base import documents
from xprobe.results.distance import Distances, load_distance
from xprobe.results.predictions import PredictionRecord, load_predictions, packed
from xprobe.results.study import STUDY_VERSION, Study, load_studies

GOLDEN = Path(__file__).parent.parent / "golden" / "results-v1"
STUDIES = sorted((GOLDEN / "studies").glob("*.json"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem[:8])
def test_a_study_is_written_again_byte_by_byte(file: Path) -> None:
    study = documents.read(Study, file, "", STUDY_VERSION)
    assert documents.encode(study) == file.read_bytes()
    parts = [study, study.encoder, study.config, study.config.recipe, study.manifest]
    parts += [*study.results, *study.classes, *study.settings, *study.runs]
    assert not any(part.unknown for part in parts if part is not None)


def test_there_are_studies_of_every_kind() -> None:
    studies = load_studies(GOLDEN)
    assert {study.config.head for study in studies} == {"logistic", "knn", "finetune"}
    assert any(study.data_value for study in studies)
    assert any(row.setting == "noise" for study in studies for row in study.results)


def test_distances_are_written_again_as_they_were() -> None:
    document = load_distance(GOLDEN)
    raw = json.loads((GOLDEN / "distance.json").read_bytes())
    assert documents.to_json(document) == raw
    assert document is not None and document == documents.from_json(Distances, raw)


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


def strip(raw: Any, *names: str) -> Any:
    """The same JSON without fields of these names, however deep."""
    if isinstance(raw, dict):
        return {name: strip(part, *names) for name, part in raw.items() if name not in names}
    return [strip(part, *names) for part in raw] if isinstance(raw, list) else raw


LATER = (
    "p_mcnemar", "control_difference", "control_low", "control_high", "real_fraction",
    "train_per_class", "augment", "ratio_actual", "dropped_in_inner_folds", "prompts",
    "holdout", "leave_one_group_out", "ignore_lineage", "finetune_repeats", "recipe",
    "alternatives", "with_synthetic", "activation", "resize_px", "codec", "resampling",
)  # fmt: skip


def test_what_an_older_xprobe_did_not_know_has_its_default() -> None:
    raw = strip(json.loads(STUDIES[0].read_bytes()), *LATER)
    study = documents.from_json(Study, raw | {"data_value": None})
    assert study.part == (1.0, None)
    assert {row.train_per_class for row in study.results} == {None}
    assert {run.dropped_in_inner_folds for run in study.runs} == {0}
    assert (study.config.recipe, study.config.alternatives, study.prompts) == (None, (), None)


def test_what_a_newer_xprobe_added_is_kept_everywhere() -> None:
    def added(raw: Any) -> Any:
        if isinstance(raw, dict):
            return {name: added(part) for name, part in raw.items()} | {"newer": [1, {"a": None}]}
        return [added(part) for part in raw] if isinstance(raw, list) else raw

    for kind, file in ((Study, STUDIES[0]), (Distances, GOLDEN / "distance.json")):
        raw = added(json.loads(file.read_bytes()))
        if "versions" in raw:
            del raw["versions"]["newer"]  # versions are no document: every name is a library
        assert documents.to_json(documents.from_json(kind, raw)) == raw
