"""predictions.parquet holds the predictions of studies, which their runs and scores confirm."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers import digest, featured, make_study
from msgspec import structs

from xprobe.base.visible import visible
from xprobe.design.config import SweepConfig
from xprobe.engine.execution import Execution
from xprobe.report.tables import predictions as module
from xprobe.report.tables.predictions import PREDICTIONS, write_predictions
from xprobe.results.predictions import (
    PredictionRecord,
    Predictions,
    load_predictions,
    predictions_file,
    save_predictions,
)
from xprobe.results.rows import Run
from xprobe.results.study import Study
from xprobe.study.sweep import sweep
from xprobe.verdict import metrics

IDS = ("a\0b", "=1+1", "日本", 'q"u,o', "line\nbreak", "\ud800half", "é", "plain")
SETTINGS: list[tuple[str, float | None, str | None, str | None]] = [
    ("real-only", None, None, None),
    ("mix", 2, "g\a", None),
    ("mix", 2, "g\a", "mixup"),
]


def save_study_of_predictions(
    folder: Path,
    encoder: str = "clip",
    *,
    ids: tuple[str, ...] = IDS,
    classes: tuple[str, ...] = ("cat", "<dog>", "eel"),
    seeds: tuple[int, ...] = (5, 6),
    temperature: tuple[float | None, ...] = (2.0, 0.5),
) -> Study:
    """A study of two folds whose predictions lie in a folder, one repeat a seed."""
    rng = np.random.default_rng(len(encoder))
    n, k = len(ids), len(classes)
    runs, keys = [], []
    for repeat, (name, ratio, generator, augment) in itertools.product(range(len(seeds)), SETTINGS):
        order = np.random.default_rng(repeat).permutation(n)
        key = digest(f"{encoder} {repeat} {name} {augment}")
        predictions = Predictions(
            key, np.array(ids, dtype=object)[order], order % k,
            rng.normal(size=(n, k)).astype(np.float32), np.sort(order % 2),
        )  # fmt: skip
        # What decides the predictions does not decide how somebody else called the setting.
        record = PredictionRecord(
            encoder="other", name="mix", ratio=9, generator="x", repeat=7, classes=classes,
            c=(1.0, 1.0), at_edge=(False, False), temperature=temperature,
        )  # fmt: skip
        save_predictions(folder, predictions, record)
        keys.append(key)
        runs += [
            Run(
                setting=name, ratio=ratio, generator=generator, augment=augment, repeat=repeat,
                fold=fold, accuracy=float(predictions.hit[predictions.fold == fold].mean()),
            )
            for fold in range(2)
        ]  # fmt: skip
    # A document has the runs setting by setting, and the keys repeat by repeat.
    runs.sort(key=lambda run: SETTINGS.index((run.setting, run.ratio, run.generator, run.augment)))
    study = make_study(encoder, classes=classes, predictions=tuple(keys), seeds=seeds)
    config = structs.replace(study.config, repeats=1)
    results = tuple(structs.replace(row, n_test=n) for row in study.results)
    return structs.replace(study, config=config, runs=tuple(runs), results=results)


def rows_of(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def test_rows_are_the_predictions_of_each_setting_and_repeat(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    study = save_study_of_predictions(tmp_path)
    assert write_predictions(file, tmp_path, [study]) == []
    rows = rows_of(file)
    assert [tuple(row) for row in rows] == [PREDICTIONS] * len(IDS) * len(study.predictions)
    shared = {"encoder": "clip", "alias": "clip", "head": "logistic", "study": study.key}
    for number, key in enumerate(study.predictions):
        loaded = load_predictions(tmp_path, key)
        assert loaded is not None
        predictions, repeat = loaded[0], number // len(SETTINGS)
        setting, ratio, generator, augment = SETTINGS[number % len(SETTINGS)]
        calibrated = predictions.score / np.array([2.0, 0.5])[predictions.fold][:, None]
        p = metrics.scored(predictions.label, calibrated).p.max(axis=1)
        for i, row in enumerate(rows[number * len(IDS) : (number + 1) * len(IDS)]):
            probability = row.pop("probability")
            assert math.isclose(probability, p[i], rel_tol=1e-6)
            assert row == shared | {
                "id": visible(predictions.id[i]),
                "label": ("cat", "<dog>", "eel")[predictions.label[i]],
                "predicted": ("cat", "<dog>", "eel")[predictions.score[i].argmax()],
                "generator": generator and visible(generator), "setting": setting, "ratio": ratio,
                "augment": augment, "repeat": repeat,
                "fold": predictions.fold[i], "seed": (5, 6)[repeat],
            }  # fmt: skip


def test_their_accuracy_is_that_of_the_runs(tmp_path: Path) -> None:
    study = save_study_of_predictions(tmp_path)
    write_predictions(tmp_path / "p.parquet", tmp_path, [study])
    rows = rows_of(tmp_path / "p.parquet")
    for run in study.runs:
        hits = [
            row["label"] == row["predicted"]
            for row in rows
            if all(row[name] == getattr(run, name) for name in ("setting", "ratio", "augment"))
            and (row["repeat"], row["fold"]) == (run.repeat, run.fold)
        ]
        assert np.mean(hits) == pytest.approx(run.accuracy)


def test_words_are_words_to_readers_and_numbers_on_disk(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    write_predictions(file, tmp_path, [save_study_of_predictions(tmp_path)])
    schema, column = pq.read_schema(file), pq.read_metadata(file).row_group(0).column(0)
    assert {name for name in PREDICTIONS if schema.field(name).type == pa.string()} == {
        "id", "label", "predicted", "encoder", "alias", "head", "generator", "setting", "augment",
        "study",
    }  # fmt: skip
    assert "RLE_DICTIONARY" in column.encodings


def test_scores_without_temperatures_are_probabilities_as_they_are(tmp_path: Path) -> None:
    study = save_study_of_predictions(tmp_path, temperature=(None, None))
    write_predictions(tmp_path / "p.parquet", tmp_path, [study])
    loaded = load_predictions(tmp_path, study.predictions[0])
    assert loaded is not None
    p = metrics.scored(loaded[0].label, loaded[0].score).p.max(axis=1)
    shown = [row["probability"] for row in rows_of(tmp_path / "p.parquet")[: len(IDS)]]
    np.testing.assert_allclose(shown, p, rtol=1e-6)


def test_studies_of_several_folders_and_of_many_rows_are_written_part_by_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    studies = [
        save_study_of_predictions(folder, name)
        for folder, name in zip(folders, ("clip", "other"), strict=True)
    ]
    write_predictions(tmp_path / "whole.parquet", folders, studies)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 2 * len(IDS))
    write_predictions(tmp_path / "parts.parquet", folders, studies)
    parts = pq.read_metadata(tmp_path / "parts.parquet")
    assert parts.num_row_groups == sum(math.ceil(len(s.predictions) / 2) for s in studies)
    rows = rows_of(tmp_path / "parts.parquet")
    assert rows == rows_of(tmp_path / "whole.parquet")
    assert [row["encoder"] for row in rows] == ["clip"] * (len(rows) // 2) + ["other"] * (
        len(rows) // 2
    )


def test_studies_without_predictions_are_told_and_the_others_written(tmp_path: Path) -> None:
    study = save_study_of_predictions(tmp_path)
    older = structs.replace(save_study_of_predictions(tmp_path, "older"), predictions=())
    fewer = save_study_of_predictions(tmp_path, "fewer")
    fewer = structs.replace(fewer, predictions=fewer.predictions[1:])
    deleted = save_study_of_predictions(tmp_path, "deleted")
    predictions_file(tmp_path, deleted.predictions[-1]).unlink()
    lacks = write_predictions(tmp_path / "p.parquet", tmp_path, [older, study, fewer, deleted])
    assert lacks == [
        "predictions.parquet lacks older, fewer: an older xprobe kept no list of their "
        "predictions; run the same 'xprobe sweep' again, which trains nothing",
        "predictions.parquet lacks deleted: predictions were deleted; run the same 'xprobe sweep' "
        "again",
    ]
    assert {row["encoder"] for row in rows_of(tmp_path / "p.parquet")} == {"clip"}
    # The table of other studies is none of these.
    assert len(write_predictions(tmp_path / "p.parquet", tmp_path, [older])) == 1
    assert not (tmp_path / "p.parquet").exists()


@pytest.mark.parametrize("fault", ["damaged", "of another setting", "of other classes"])
def test_predictions_that_the_study_was_not_judged_by_are_refused(
    tmp_path: Path, fault: str
) -> None:
    study = save_study_of_predictions(tmp_path)
    key = study.predictions[0]
    if fault == "damaged":
        predictions_file(tmp_path, key).write_bytes(b"PK")
    elif fault == "of another setting":
        runs = [structs.replace(run, accuracy=abs(run.accuracy - 0.25)) for run in study.runs]
        study = structs.replace(study, runs=tuple(runs))
    else:
        manifest = structs.replace(study.manifest, classes=("cat", "dog", "eel"))
        study = structs.replace(study, manifest=manifest)
    (tmp_path / "p.parquet").write_bytes(b"of a former report")
    (said,) = write_predictions(tmp_path / "p.parquet", tmp_path, [study])
    assert said.startswith(f"there is no predictions.parquet: {predictions_file(tmp_path, key)}: ")
    assert said.endswith("run 'xprobe sweep' again" if fault == "damaged" else "sweep' again")
    assert [file.name for file in tmp_path.iterdir()] == ["predictions"]  # nor a part of it


def test_a_table_is_written_where_it_is_asked_for_or_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, file = save_study_of_predictions(tmp_path), tmp_path / "p.parquet"
    monkeypatch.setattr(module, "MOST_ROWS", 47)
    assert write_predictions(file, tmp_path, [study]) == [
        "predictions.parquet would have 48 rows; --predictions writes it"
    ]
    assert not file.exists()
    assert write_predictions(file, tmp_path, [study], False) == []
    assert not file.exists()
    assert write_predictions(file, tmp_path, [study], True) == []
    assert len(rows_of(file)) == 48
    assert write_predictions(file, tmp_path, [study]) == []  # It is there, however large.
    monkeypatch.setattr(module, "MOST_ROWS", 48)
    file.unlink()
    assert write_predictions(file, tmp_path, [study]) == []
    assert len(rows_of(file)) == 48


def test_a_table_is_made_again_only_of_other_studies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, file = save_study_of_predictions(tmp_path), tmp_path / "p.parquet"
    write_predictions(file, tmp_path, [study])
    before = file.stat().st_ino
    write_predictions(file, tmp_path, [study])
    assert file.stat().st_ino == before
    label = structs.replace(study.encoder, label="renamed")
    write_predictions(file, tmp_path, [structs.replace(study, encoder=label)])
    assert {row["encoder"] for row in rows_of(file)} == {"renamed"}
    file.write_bytes(file.read_bytes()[:-9])
    write_predictions(file, tmp_path, [study])
    assert {row["encoder"] for row in rows_of(file)} == {"clip"}


@pytest.mark.parametrize("is_hold_out", [True, False])
def test_a_sweep_keeps_which_predictions_are_of_which_setting(
    tmp_path: Path, is_hold_out: bool
) -> None:
    """On a hold-out, real-only is the same problem in every repeat; folds pool the two seeds."""
    table, store = featured(tmp_path, real=8)
    config = SweepConfig(ratios=(1, 2), repeats=2, c_grid=(1,), head="ridge", seed=1)
    part = {"holdout": 0.25} if is_hold_out else {"folds": 2}
    config = dataclasses.replace(config, **part)
    for seeded in (config, dataclasses.replace(config, seed=0)):
        (study,) = sweep(table, store, tmp_path / "results", seeded, execution=Execution(workers=1))
    assert study.seeds == ((0,) if is_hold_out else (0, 1))
    assert (len(set(study.predictions)) < len(study.predictions)) == is_hold_out
    file = tmp_path / "p.parquet"
    assert write_predictions(file, tmp_path / "results", [study]) == []
    rows = rows_of(file)
    for run in study.runs:
        names = ("setting", "ratio", "generator", "augment", "repeat", "fold")
        hits = [
            row["label"] == row["predicted"]
            for row in rows
            if all(row[name] == getattr(run, name) for name in names)
        ]
        assert len(hits) == run.n_test
        assert np.mean(hits) == pytest.approx(run.accuracy)
    assert len(rows) == sum(run.n_test or 0 for run in study.runs)
