"""Alternatives to synthetic images for heads: views embedded once, Mixup of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xprobe.base.errors import XprobeError
from xprobe.design.config import Grid, SweepConfig
from xprobe.encoders.load import load
from xprobe.engine.execution import Execution
from xprobe.features import embed as extract
from xprobe.features.config import EmbedConfig
from xprobe.features.store import Store
from xprobe.images import augment
from xprobe.images import read as manifest
from xprobe.images.augment import augmented
from xprobe.images.decode import decode
from xprobe.learners.finetune.recipe import Recipe
from xprobe.results import predictions
from xprobe.study import sweep
from xprobe.study.estimate import estimate
from xprobe.study.keys import study_key
from xprobe.study.prepare import Study, prepare
from xprobe.verdict.metrics import METRICS

ONE_WORKER = Execution(workers=1)

CONFIG = SweepConfig(
    ratios=(1, 2), repeats=2, folds=3, inner_folds=2, c_grid=(1.0, 100.0), alternatives=("flip",)
)


@pytest.fixture
def store(make_data: Callable[..., Path], tmp_path: Path) -> tuple[Any, Store]:
    """Six real and twelve synthetic images a class, with two flipped views of the real ones."""
    table = manifest.read(make_data(real=6, synthetic=12))
    extract.embed_all(
        table, ["pixels"], tmp_path / "features", EmbedConfig(augment=("flip",), views=2)
    )
    return table, Store(tmp_path / "features")


def study_of(store: tuple[Any, Store], config: SweepConfig = CONFIG, grid: Grid = Grid()) -> Study:
    (study,) = prepare(*store, config, grid)
    return study


def test_views_are_embedded_once_and_counted(store: tuple[Any, Store], tmp_path: Path) -> None:
    table, features = store
    (encoder,) = features.encoders()
    assert len(features.index(encoder).rows) == 36 + 2 * 12
    (again,) = extract.embed_all(
        table, ["pixels"], features.folder, EmbedConfig(augment=("flip",), views=3)
    )
    assert (again.images, again.embedded, again.reused, again.failed) == (36 + 36, 12, 60, 0)


def test_a_view_is_the_image_with_a_draw_of_its_own(store: tuple[Any, Store]) -> None:
    table, features = store
    (stored,) = features.encoders()
    encoder = load("pixels")
    index = features.index(stored)
    content = str(table.sha256[table.source == "real"][0])
    path = dict(zip(table.sha256, table.path, strict=True))[content]
    seen = encoder.preprocess(decode(path))
    for number in range(2):
        name = augment.view_digest(content, "flip", number)
        pixels = augmented(seen, "flip", int(name[:12], 16))
        assert np.array_equal(pixels, seen) or np.array_equal(pixels, seen[:, ::-1])
        expected = encoder.forward(pixels[None])[0]
        np.testing.assert_array_equal(
            index.stored_rows([name], stored.spec.dim)[np.array([0])][0], expected
        )


@pytest.mark.parametrize("alternatives", [("flip",), ("mixup",), ("mixup", "flip")])
def test_a_training_part_has_only_what_is_made_of_its_own_images(
    store: tuple[Any, Store], alternatives: tuple[str, ...]
) -> None:
    study = study_of(store, replace(CONFIG, alternatives=alternatives, with_synthetic=True))
    n = len(study.design.study)
    source = {}
    for rows in study.design.alternatives:
        pairs = np.repeat(rows.source, rows.copies, axis=0)
        source |= {rows.start + i: pair for i, pair in enumerate(pairs)}
        assert np.array_equal(study.pool.y[rows.start : rows.stop], study.pool.y[rows.label_of])
    assert len(study.pool.y) == n + len(source)
    seen = set()
    for block in study.design.blocks:
        for problem in block.problems:
            for train, held in ((problem.train, problem.test), *problem.inner):
                derived = [row for row in train if row >= n]
                if block.setting.is_alternative:
                    seen.add(block.setting.title)
                    assert derived
                    real = set(train[train < n]) & set(
                        np.flatnonzero(study.design.study.source == "real")
                    )
                    assert {int(i) for row in derived for i in source[row]} <= set(map(int, real))
                else:
                    assert not derived
                assert max(held) < n
    assert seen == {*alternatives, *(f"1:2 + {name}" for name in alternatives)}


def test_mixed_features_lie_between_theirs_and_their_labels_share_the_weight(
    store: tuple[Any, Store],
) -> None:
    study = study_of(store, replace(CONFIG, alternatives=("mixup",)))
    (mixup,) = study.design.alternatives
    x, weight = study.pool.rows(), study.pool.weight[mixup.start : mixup.stop].reshape(-1, 2)
    np.testing.assert_allclose(weight.sum(axis=1), 1)
    np.testing.assert_allclose(weight[:, 0], mixup.share)
    first, second = x[mixup.source[:, 0]], x[mixup.source[:, 1]]
    mixed = mixup.share[:, None] * first + (1 - mixup.share[:, None]) * second
    expected = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    np.testing.assert_allclose(x[mixup.start : mixup.stop : 2], expected, atol=1e-6)
    np.testing.assert_allclose(x[mixup.start + 1 : mixup.stop : 2], expected, atol=1e-6)


def embed_augreg(store: tuple[Any, Store], views: int) -> Study:
    """Embed so many views for augreg, and return a study of all that mixes, and of the views."""
    config = EmbedConfig(augment=("augreg", "randaugment"), views=views)
    (done,) = extract.embed_all(store[0], ["pixels"], store[1].folder, config)
    assert done.embedded == 12  # one more view of each real image, once for both names
    names = ("mixup", "augreg", "randaugment")
    return study_of(store, replace(CONFIG, alternatives=names, repeats=1))


def test_augreg_mixes_the_views_that_randaugment_made(store: tuple[Any, Store]) -> None:
    """The pairs are those of mixup, and the views take turns."""
    one, two = (embed_augreg(store, views) for views in (1, 2))
    parts = {part.name: part for part in two.design.alternatives}
    assert list(parts) == ["randaugment", "mixup", "augreg"]
    mixed = parts["augreg"]
    assert np.array_equal(mixed.source, parts["mixup"].source)
    assert np.array_equal(mixed.share, parts["mixup"].share)
    (encoder,) = store[1].encoders()
    index, x = store[1].index(encoder), two.pool.rows()

    def view_of(image: int, number: int) -> np.ndarray:
        name = augment.view_digest(two.design.study.sha256[image], "randaugment", number)
        y = index.stored_rows([name], encoder.spec.dim)[np.array([0])][0]
        return np.asarray(y / np.linalg.norm(y))

    for i, (pair, share) in enumerate(zip(mixed.source.tolist(), mixed.share, strict=True)):
        first, second = (view_of(image, i % 2) for image in pair)
        y = share * first + (1 - share) * second
        expected = np.tile(y / np.linalg.norm(y), (2, 1))
        rows = mixed.start + 2 * i + np.arange(2)
        np.testing.assert_allclose(x[rows], expected, atol=1e-6)
    keys = [
        {b.setting.name: run for run, b in zip(study.runs, study.design.blocks, strict=True)}
        for study in (one, two)
    ]
    changed = {name for name in keys[0] if keys[0][name] != keys[1][name]}
    assert changed == {"augreg", "randaugment"}


def test_the_pairs_of_augreg_are_those_of_mixup_without_it_too(store: tuple[Any, Store]) -> None:
    embed_augreg(store, 1)
    pairs = [
        study_of(store, replace(CONFIG, alternatives=names)).design.alternatives[-1]
        for names in (("augreg",), ("augreg", "mixup"))
    ]
    assert [part.name for part in pairs] == ["augreg", "mixup"]
    assert np.array_equal(pairs[0].source, pairs[1].source)


def test_classic_is_another_augmentation_for_images_from_above(store: tuple[Any, Store]) -> None:
    above = SweepConfig(
        alternatives=("classic", "flip"), overhead=True, recipe=Recipe(augment="classic")
    )
    assert above.alternatives == ("classic-overhead", "flip")
    assert above.recipe.augment == "classic-overhead"
    assert EmbedConfig(augment=("classic",), overhead=True).augment == ("classic-overhead",)
    assert SweepConfig(alternatives=("classic",)).alternatives == ("classic",)
    study = study_of(store, replace(CONFIG, alternatives=("flip", "classic"), overhead=True))
    assert any("run 'xprobe embed --augment classic-overhead'" in note for note in study.notes[1])
    keys = {
        study_key("encoder", "images", replace(CONFIG, alternatives=("classic",), overhead=flag))
        for flag in (False, True)
    }
    assert len(keys) == 2
    assert study_key("encoder", "images", replace(CONFIG, overhead=True)) == study_key(
        "encoder", "images", CONFIG
    )


def test_alternatives_of_heads_are_judged_and_leave_the_rest_as_it_is(
    store: tuple[Any, Store], tmp_path: Path
) -> None:
    config = replace(CONFIG, alternatives=("flip", "mixup"), with_synthetic=True)
    (plain,) = sweep.sweep(
        *store, tmp_path / "r1", replace(CONFIG, alternatives=()), execution=ONE_WORKER
    )
    (document,) = sweep.sweep(*store, tmp_path / "r2", config, execution=ONE_WORKER)
    rows = {(r.setting, r.ratio, r.augment, r.metric): r for r in document.results}
    for name in ("flip", "mixup"):
        assert rows[name, None, None, "accuracy"].verdict
        assert rows[name, None, None, "accuracy"].n_train_real == 8
        assert rows["mix", 2, name, "accuracy"].control_difference is not None
    for row in plain.results:
        again = rows[row.setting, row.ratio, None, row.metric]
        metric = METRICS.get(row.metric)
        if metric is not None and metric.unit != "%":  # The solver's basis differs.
            assert again.value == pytest.approx(row.value, rel=1e-4)
            assert (again.difference is None) == (row.difference is None)
        else:
            assert again == row


def test_what_a_head_cannot_have_is_left_out_and_said(store: tuple[Any, Store]) -> None:
    names = ("flip", "classic", "mixup", "cutmix", "augreg")
    study = study_of(
        store, replace(CONFIG, alternatives=names, with_synthetic=True), Grid(heads=("knn",))
    )
    assert study.config.alternatives == ("flip",)
    assert any("run 'xprobe embed --augment classic'" in note for note in study.notes[1])
    logistic = study_of(store, replace(CONFIG, alternatives=names))
    assert logistic.config.alternatives == ("flip", "mixup")
    assert any("run 'xprobe embed --augment classic,augreg'" in note for note in logistic.notes[1])


def test_mixing_augmentations_have_no_views(tmp_path: Path, store: tuple[Any, Store]) -> None:
    with pytest.raises(XprobeError, match="'cutmix' mixes images and cannot be embedded"):
        extract.embed_all(store[0], ["pixels"], tmp_path / "f", EmbedConfig(augment=("cutmix",)))
    with pytest.raises(XprobeError, match=r"unknown augmentation 'filp' \(did you mean flip"):
        extract.embed_all(store[0], ["pixels"], tmp_path / "f", EmbedConfig(augment=("filp",)))


def test_a_dry_run_counts_the_fits_of_heads(store: tuple[Any, Store], tmp_path: Path) -> None:
    (row,) = estimate(*store, tmp_path / "r", CONFIG, execution=ONE_WORKER)
    assert not (tmp_path / "r").exists()
    assert row.tested == 5 * 2 * 3  # five settings × two repeats × three folds
    sweep.sweep(*store, tmp_path / "r", CONFIG, execution=ONE_WORKER)
    files = (tmp_path / "r" / "predictions").rglob("*.npz")
    loaded = [predictions.load_predictions(tmp_path / "r", file.stem) for file in files]
    assert row.fits == sum(record.fits for _, record in filter(None, loaded))
    (row,) = estimate(*store, tmp_path / "r", CONFIG, execution=ONE_WORKER)
    assert (row.done, row.fits, row.seconds) == (30, 0, 0)
