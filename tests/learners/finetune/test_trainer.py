"""Fine-tunes of a whole study: equal steps, controls, alternatives, killed and continued."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from makers import Net

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.design.config import Grid, SweepConfig
from xprobe.design.setting import setting_title
from xprobe.encoders.network import Network
from xprobe.encoders.prompts import TextFeatures
from xprobe.encoders.tower import Tower, View
from xprobe.engine.execution import Execution
from xprobe.features import embed as extract
from xprobe.features.store import Store
from xprobe.images import read as manifest
from xprobe.images.manifest import Manifest
from xprobe.learners.finetune import trainer as finetune
from xprobe.learners.finetune.recipe import Recipe
from xprobe.results import predictions as predictions_module
from xprobe.results.families import families
from xprobe.study import estimate, sweep
from xprobe.study import prepare as studies

RECIPE = Recipe(epochs=2, batch_size=4, lr=1e-3, layer_decay=1.0)
FINE_TUNES, ALONE = Grid(heads=("finetune",)), Execution(workers=1, device="cpu")

CONFIG = SweepConfig(
    ratios=(1, 2), repeats=1, folds=2, inner_folds=2, c_grid=(10.0,), recipe=RECIPE
)
Study = tuple[Manifest, Store, Path]


@pytest.fixture
def study(make_data: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Six real and twelve synthetic images a class, embedded with a tiny network."""
    torch.manual_seed(0)
    view = View((12, 10), "squash", "bicubic", (0.5,) * 3, (0.25,) * 3)
    network = Network(Tower(Net(), "test:net", "pooled", view), "cpu", "fp32", trainable=True)
    table = manifest.read(make_data(real=6, synthetic=12))
    store = Store(tmp_path / "features", create=True)
    extract.embed(table, network, "tiny", store)
    monkeypatch.setattr(sweep, "load_network", lambda *_: network)
    monkeypatch.setattr(estimate, "load_network", lambda *_: network)
    monkeypatch.setattr(studies, "has_network", lambda name: name == "tiny")
    return table, store, tmp_path / "results"


def run(study: Study, progress: Any = None, **changes: Any) -> dict[str, Any]:
    table, store, folder = study
    config = replace(CONFIG, **changes)
    given = {} if progress is None else {"progress": progress}
    (found,) = sweep.sweep(table, store, folder, config, FINE_TUNES, ALONE, **given)
    return found


def rows(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        setting_title(r.setting, r.ratio, r.augment): r
        for r in found.results
        if r.metric == "accuracy"
    }


def saved(folder: Path) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Every run's scores and what is said of it, by setting."""
    found = {}
    for file in (folder / "predictions").rglob("*.npz"):
        loaded = predictions_module.load_predictions(folder, file.stem)
        assert loaded is not None
        predictions, about = loaded
        title = setting_title(about.name, about.ratio, about.augment)
        found[title] = predictions.score, about
    return found


def test_a_mix_and_its_control_share_a_larger_step_count(study: Study) -> None:
    run(study)
    steps = {title: list(about.steps) for title, (_, about) in saved(study[2]).items()}
    # 6 real training images a fold, 2 epochs, batches of 4
    assert steps == {
        "real-only": [3, 3],
        "1:1": [6, 6],
        "real × 2": [6, 6],
        "1:2": [9, 9],
        "real × 3": [9, 9],
        "synthetic-only": [9, 9],
    }


def test_what_helps_must_beat_its_control_too(study: Study) -> None:
    found = rows(run(study))
    for title in ("1:1", "1:2"):
        row, control = found[title], found[f"real × {int(title[2]) + 1}"]
        assert row.control_difference == pytest.approx(row.value - control.value)
        assert row.control_low <= row.control_difference <= row.control_high
        assert control.verdict is control.p_adjusted is None
        assert control.difference == pytest.approx(
            control.value - found["real-only"].value, abs=1e-12
        )
    assert found["synthetic-only"].control_difference is None


def test_alternatives_are_a_family_of_their_own_with_the_steps_of_the_largest_mix(
    study: Study,
) -> None:
    found = run(study, alternatives=("flip", "mixup"))
    own = rows(found)
    for name in ("flip", "mixup"):
        assert own[name].generator is None
        assert own[name].verdict is not None
        assert own[name].n_train_synthetic == 0
        assert own[name].control_difference == pytest.approx(
            own[name].value - own["real × 3"].value
        )
    about = saved(study[2])
    assert about["mixup"][1].steps == about["real × 3"][1].steps
    assert (about["mixup"][0] != about["real × 3"][0]).any()
    compared = families(found.results)
    assert [(f.setting, f.comparisons) for f in compared] == [
        ("alternatives", 2), ("mix", 2), ("synthetic-only", 1)
    ]  # fmt: skip


def test_another_ratio_or_alternative_leaves_what_is_done(study: Study) -> None:
    run(study, ratios=(1,))
    before = {f: f.stat().st_mtime_ns for f in (study[2] / "predictions").rglob("*.npz")}
    run(study, ratios=(1, 2), alternatives=("flip",))
    assert all(f.stat().st_mtime_ns == at for f, at in before.items())
    # synthetic-only is of the largest ratio, so anew
    new = {"1:2", "real × 3", "flip", "synthetic-only"}
    assert len(list((study[2] / "predictions").rglob("*.npz"))) == len(before) + len(new)


class Killed(BaseException):
    """As by a signal."""


def killing(at: int) -> Any:
    @contextmanager
    def progress(title: str, _total: int) -> Iterator[Callable[[int], None]]:
        made = 0

        def advance(n: int) -> None:
            nonlocal made
            made += n
            if title.startswith("fine-tune") and made >= at:
                raise Killed

        yield advance

    return progress


@pytest.mark.parametrize("at", [2, 7, 20, 40])
def test_a_killed_sweep_goes_on_and_ends_like_an_undisturbed_one(
    study: Study, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, store, folder = study
    run((table, store, tmp_path / "whole"))
    monkeypatch.setattr(finetune.fine_tune, "__kwdefaults__", {
        **(finetune.fine_tune.__kwdefaults__ or {}), "checkpoint_s": 0.0,
    })  # fmt: skip
    with pytest.raises(Killed):
        run(study, killing(at))
    run(study)
    whole, again = saved(tmp_path / "whole"), saved(folder)
    assert set(again) == set(whole)
    for title, (score, about) in again.items():
        np.testing.assert_array_equal(score, whole[title][0])
        assert about.steps == whole[title][1].steps
    left = {file.suffix for file in (folder / "fine-tunes").iterdir()}
    assert left == {".csv"}


def test_one_that_diverges_is_named_and_the_others_go_on(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine_tune = finetune.fine_tune
    calls = 0

    def sometimes(*args: Any, **given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise finetune.DivergedError("the loss became nan at step 2 of 6, learning rate 1e-03")
        return fine_tune(*args, **given)

    monkeypatch.setattr(finetune, "fine_tune", sometimes)
    with pytest.raises(XprobeError, match=r"1 fine-tunes diverged: .*, repeat 1, fold 1: the loss"):
        run(study)
    assert len(saved(study[2])) == 5
    monkeypatch.setattr(finetune, "fine_tune", fine_tune)
    assert len(rows(run(study))) == 6


def test_of_encoders_without_a_network_only_the_heads_are_trained(study: Study) -> None:
    table, store, folder = study
    extract.embed_all(table, ["pixels"], store.folder)
    grid = Grid(heads=("logistic", "finetune"))
    with pytest.warns(XprobeWarning) as said:
        found = sweep.sweep(table, store, folder, CONFIG, grid, ALONE)
    assert [(s.encoder.label, s.config.head) for s in found] == [
        ("pixels", "logistic"), ("tiny", "logistic"), ("tiny", "finetune"),
    ]  # fmt: skip
    text = "pixels has no network to train, and has no part in finetune"
    assert [str(warning.message) for warning in said] == [text]
    with pytest.warns(XprobeWarning, match="pixels has no network"):
        (only,) = sweep.sweep(table, store, folder, CONFIG, FINE_TUNES, ALONE)
    assert only.encoder.label == "tiny"
    grid = Grid(encoders=("pixels",), heads=("logistic", "finetune"))
    with pytest.raises(XprobeError, match="pixels has no network to train; name one of"):
        sweep.sweep(table, store, folder, CONFIG, grid, ALONE)


def test_a_study_says_how_far_its_fine_tunes_trained(study: Study) -> None:
    found = run(study)
    by_title = saved(study[2])
    for row in found.runs:
        _, record = by_title[setting_title(row.setting, row.ratio, row.augment)]
        assert row.steps == record.steps[row.fold]
        assert row.training_accuracy == record.training_accuracy[row.fold]
        assert row.moved == record.moved[row.fold]
        assert 0 <= row.training_accuracy <= 1
        assert row.moved > 0
    few = "tiny: 12 of 12 fine-tunes take fewer than 50 steps (3 to 9; settings 1:1, 1:2, real × 2,"
    assert any(text.startswith(few) for text in found.warnings)
    assert not any("moved the encoder's weights" in text for text in found.warnings)
    still = run(study, recipe=replace(RECIPE, lr=1e-9))
    assert any(
        text.startswith(
            "tiny: 12 of 12 fine-tunes moved the encoder's weights by less than 0.1 % of"
        )
        for text in still.warnings
    )


def test_encoders_without_a_network_are_refused_before_any_work(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, store, folder = study
    monkeypatch.setattr(studies, "has_network", lambda _name: False)
    with pytest.raises(XprobeError, match="tiny has no network to train; name one of"):
        sweep.sweep(table, store, folder, CONFIG, FINE_TUNES)
    assert not (folder / "predictions").exists()


def test_it_starts_from_the_fitted_head_and_without_steps_predicts_as_that_does(
    study: Study,
) -> None:
    table, store, folder = study
    run(study, recipe=replace(RECIPE, wise_ft=0.0))
    tuned = saved(folder)
    sweep.sweep(table, store, folder.with_name("heads"), CONFIG, execution=ALONE)
    heads = saved(folder.with_name("heads"))
    for title in ("real-only", "1:1", "1:2", "synthetic-only"):
        np.testing.assert_allclose(tuned[title][0], heads[title][0], atol=2e-3)
        assert tuned[title][1].c == heads[title][1].c


def test_the_validation_images_are_not_trained_on(study: Study) -> None:
    jobs = []
    fine_tune = finetune.fine_tune

    def watched(setup: Any, *args: Any, **given: Any) -> Any:
        jobs.append(setup.job)
        return fine_tune(setup, *args, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "fine_tune", watched)
        run(study, recipe=replace(RECIPE, patience=1))
    for job in jobs:
        assert len(job.validation)
        assert not set(job.validation) & set(job.order.ravel())
        assert not set(job.test) & (set(job.order.ravel()) | set(job.validation))


def test_text_features_can_be_started_from(study: Study) -> None:
    recipe = replace(RECIPE, method="full", start="text", wise_ft=0.0)
    with pytest.raises(XprobeError, match="--start text needs text features"):
        run(study, recipe=recipe)
    (encoder,) = study[1].encoders()
    x = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    study[1].put_text(encoder, TextFeatures(("a", "b"), x, 10.0, "own"))
    found = rows(run(study, recipe=recipe))
    for title in ("real-only", "1:1", "1:2"):
        assert found[title].value == found["zero-shot"].value
    assert saved(study[2])["1:1"][1].c == (None, None)


def test_every_fine_tune_has_its_curve(study: Study) -> None:
    run(study)
    curves = sorted((study[2] / "fine-tunes").glob("*.csv"))
    assert len(curves) == 6 * 2
    header, *lines = curves[0].read_text().splitlines()
    assert header == "step,lr,loss,training_accuracy,validation_accuracy,seconds,gpu_mib"
    assert len(lines) == RECIPE.epochs


def test_every_fine_tune_has_its_event_files(study: Study) -> None:
    run(study)
    folders = sorted((study[2] / "tensorboard").iterdir())
    assert len(folders) == 6 * 2
    assert folders[0].name.startswith("test-net-default-1-1-repeat-1-fold-1-")
    assert all(len(list(folder.glob("events.*"))) == 1 for folder in folders)


@pytest.mark.long
def test_several_at_a_time_end_like_one_by_one(study: Study, tmp_path: Path) -> None:
    table, store, folder = study
    run((table, store, tmp_path / "one"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as each of the processes has
    try:
        several_at_once = Execution(device="cpu", concurrent=joblib.cpu_count())
        sweep.sweep(table, store, folder, CONFIG, FINE_TUNES, several_at_once)
    finally:
        torch.set_num_threads(threads)
    one, several = saved(tmp_path / "one"), saved(folder)
    assert set(one) == set(several)
    for title, (score, about) in several.items():
        np.testing.assert_allclose(score, one[title][0], atol=1e-5)
        assert about.steps == one[title][1].steps


def test_an_alternative_with_synthetic_images_has_that_alternative_as_its_control(
    study: Study,
) -> None:
    found = run(study, alternatives=("flip",), with_synthetic=True)
    own = rows(found)
    both, alone = own["1:2 + flip"], own["flip"]
    assert both.augment == "flip"
    assert both.generator == "default"
    assert both.n_train_synthetic == own["1:2"].n_train_synthetic
    assert both.control_difference == pytest.approx(both.value - alone.value)
    compared = {f.setting: f.comparisons for f in families(found.results)}
    assert compared == {"alternatives": 2, "mix": 2, "synthetic-only": 1}
    scores = saved(study[2])
    assert not np.array_equal(scores["1:2 + flip"][0], scores["1:2"][0])
    assert scores["1:2 + flip"][1].steps == scores["1:2"][1].steps


def test_a_dry_run_counts_the_steps_and_writes_nothing(study: Study) -> None:
    table, store, folder = study
    with pytest.warns(XprobeWarning, match="fewer than 50 steps"):
        (row,) = estimate.estimate(table, store, folder, CONFIG, FINE_TUNES, ALONE)
    assert not folder.exists()
    assert row.tested == row.fits == 12
    assert row.done == 0
    assert row.seconds >= 0
    run(study)
    made = sum(sum(about.steps) for _, about in saved(folder).values())
    assert row.steps == made
    (row,) = estimate.estimate(table, store, folder, CONFIG, FINE_TUNES, ALONE)
    assert (row.done, row.fits, row.steps, row.seconds) == (12, 0, 0, 0)


def test_a_dry_run_of_epochs_of_one_step_is_an_estimate(study: Study) -> None:
    table, store, folder = study
    config = replace(CONFIG, recipe=replace(RECIPE, epochs=10, batch_size=64))
    with pytest.warns(XprobeWarning) as said:
        (row,) = estimate.estimate(table, store, folder, config, FINE_TUNES, ALONE)
    assert row.steps == 2 * (1 + 2 * 2 + 2 * 3 + 3)
    few = "tiny: 12 of 12 fine-tunes take fewer than 50 steps (1 to 3; settings 1:1, 1:2, real × 2,"
    assert [str(warning.message)[: len(few)] for warning in said] == [few]


def test_copy_paste_needs_outlines_and_depends_on_them(study: Study, tmp_path: Path) -> None:
    table, store, folder = study
    with pytest.raises(XprobeError, match="copy-paste needs outlines of what to paste"):
        run(study, alternatives=("copy-paste",))
    square = "POLYGON ((0 0, 6 0, 6 6, 0 6, 0 0))"
    real = table.source == "real"
    outlined = replace(table, polygons=np.where(real, square, "").tolist())
    found = rows(run((outlined, store, folder), alternatives=("copy-paste",)))
    assert found["copy-paste"].verdict
    before = saved(folder)
    elsewhere = replace(table, polygons=np.where(real, square.replace("6", "3"), "").tolist())
    run((elsewhere, store, tmp_path / "other"), alternatives=("copy-paste",))
    after = saved(tmp_path / "other")
    for title, (score, _) in before.items():
        assert np.array_equal(score, after[title][0]) == (title != "copy-paste")
