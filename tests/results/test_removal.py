"""Studies are taken out by their ids, and nothing that others use with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import changed_config, make_study
from msgspec import structs

from xprobe.base.errors import XprobeError
from xprobe.results.predictions import (
    PredictionRecord,
    Predictions,
    predictions_file,
    save_predictions,
)
from xprobe.results.removal import find_studies, remove_studies
from xprobe.results.study import Study, load_studies, save_study

A, B = "a" * 32, "ab" * 16
RUNS = {name: name * 64 for name in "xyz"}


def predict(folder: Path, run: str) -> None:
    one = np.zeros(1, dtype=int)
    record = PredictionRecord(
        encoder="clip", name="real-only", repeat=0, classes=("c",), c=(1.0,), at_edge=(False,)
    )
    save_predictions(folder, Predictions(run, ["i"], one, np.zeros((1, 1)), one), record)
    (folder / "fine-tunes").mkdir(exist_ok=True)
    (folder / "fine-tunes" / f"{run[:32]}-0.csv").touch()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two studies that share a prediction, and have one of their own."""
    for run in RUNS.values():
        predict(tmp_path, run)
    for key, runs in ((A, "xy"), (B, "yz")):
        study = changed_config(make_study(key=key), seed=len(runs) + (key == A))
        save_study(tmp_path, structs.replace(study, predictions=tuple(RUNS[r] for r in runs)))
        (tmp_path / "studies" / f"{key}.hits.npz").touch()
    return tmp_path


def left(folder: Path) -> str:
    return "".join(name for name, run in RUNS.items() if predictions_file(folder, run).is_file())


def test_predictions_stay_unless_asked_for(folder: Path) -> None:
    removed = remove_studies(folder, ["aaaa"], with_predictions=False)
    assert (removed.studies, removed.predictions, removed.predictions_kept) == ((A,), 0, 2)
    assert removed.why_kept == "--predictions deletes those that no other study uses"
    assert [Path(file).name for file in removed.files] == [f"{A}.json", f"{A}.hits.npz"]
    assert not any(Path(file).exists() for file in removed.files)
    assert [study.key for study in load_studies(folder)] == [B]
    assert left(folder) == "xyz"


def test_predictions_that_others_use_stay_all_the_same(folder: Path) -> None:
    removed = remove_studies(folder, [A], with_predictions=True)
    assert (removed.predictions, removed.predictions_kept) == (1, 1)
    assert removed.why_kept == "other studies use them"
    assert left(folder) == "yz"
    assert len(list((folder / "fine-tunes").iterdir())) == 2
    last = remove_studies(folder, [B], with_predictions=True)
    assert (last.predictions, last.predictions_kept, last.why_kept) == (2, 0, "")
    assert left(folder) == ""


def test_nothing_is_deleted_that_an_older_study_may_use(folder: Path) -> None:
    save_study(folder, make_study(key="c" * 32))
    removed = remove_studies(folder, [A], with_predictions=True)
    assert (removed.predictions, removed.predictions_kept) == (0, 2)
    assert removed.why_kept.startswith("which of them cccccccc uses is not known")
    assert left(folder) == "xyz"


def test_ids_may_be_short_and_names_count(folder: Path) -> None:
    def of(key: str, name: str = "") -> Study:
        return make_study(key=key, name=name)

    studies = [of(A), of(B, "first"), of("b" * 32, "aaaa")]
    assert find_studies(studies, ["aaaa"], "r") == [studies[2]]  # the whole name goes first
    assert find_studies(studies, ["abab", "first", B], "r") == [studies[1]]
    with pytest.raises(
        XprobeError, match=r"r: there is no study 'aba' \(did .*\); 'xprobe studies' "
    ):
        find_studies(studies, ["aba"], "r")
    with pytest.raises(XprobeError, match=r"there is no study 'firts' \(did you mean first\?\)"):
        find_studies(studies, ["firts"], "r")
    with pytest.raises(XprobeError, match="several studies 'aaaa'; give more of the id"):
        find_studies([of(A), of("aaaa" + B)], ["aaaa"], "r")
    with pytest.raises(XprobeError, match="no study"):
        remove_studies(folder, [A, "nobody"], with_predictions=True)
    assert len(load_studies(folder)) == 2
    assert left(folder) == "xyz"
