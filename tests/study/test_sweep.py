"""The sweep from features to verdicts: resumed exactly, honest about what it left out."""

from __future__ import annotations

import csv
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import SPEC, MakeData, MakeManifest
from msgspec import structs
from PIL import Image
from scipy import stats

from xprobe.base import documents
from xprobe.base.arrays import frozen_strings
from xprobe.base.errors import XprobeError
from xprobe.design.config import Grid, SweepConfig
from xprobe.encoders import load as encoders
from xprobe.engine.execution import Execution
from xprobe.features import embed as extract
from xprobe.features.shards import Shard
from xprobe.features.store import Store
from xprobe.images import read as manifest
from xprobe.images.manifest import Manifest
from xprobe.images.sources import table as table_module
from xprobe.results import predictions as predictions_module
from xprobe.results import study as study_module
from xprobe.results.families import families
from xprobe.results.hits import load_hits
from xprobe.results.rows import Result
from xprobe.results.study import Study
from xprobe.study.sweep import sweep
from xprobe.verdict import metrics

ONE_WORKER = Execution(workers=1)

CONFIG = SweepConfig(ratios=(1, 2), repeats=2, c_grid=(10.0,), inner_folds=2)

SMALL = replace(CONFIG, ratios=(1,), repeats=1, folds=3)
"""What takes a fifth of the fits, for what does not depend on how many there are."""

Place = tuple[Manifest, Store, Path]
"""An image table, the features of its images, and the folder of results."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, make_data_in: MakeData) -> tuple[Place, Study]:
    """A place that was swept, and its study. Tests share it, and leave it as it is."""
    folder = tmp_path_factory.mktemp("swept")
    data = make_data_in(folder / "data", real=6, synthetic=12, generators=("one", "two"))
    place = embedded(data, folder)
    return place, run(place)


@pytest.fixture
def study(swept: tuple[Place, Study], tmp_path: Path) -> Place:
    """The images and features of `swept`, and a folder without results."""
    (table, store, _), _ = swept
    return table, store, tmp_path / "results"


@pytest.fixture
def done(swept: tuple[Place, Study], study: Place) -> Place:
    """A copy of `swept` whose results may be added to."""
    shutil.copytree(swept[0][2], study[2])
    return study


@pytest.fixture
def apart(study: Place, tmp_path: Path) -> Place:
    """The images of `swept`, and a copy of its features that may be added to."""
    table, store, folder = study
    shutil.copytree(store.folder, tmp_path / "features")
    return table, Store(tmp_path / "features"), folder


def embedded(data: Path, tmp_path: Path) -> Place:
    table = manifest.read(data)
    store = Store(tmp_path / "features", create=True)
    extract.embed(table, encoders.load("pixels"), "pixels", store)
    return table, store, tmp_path / "results"


def run(study: Place, config: SweepConfig = CONFIG, **changes: Any) -> Study:
    table, store, folder = study
    (found,) = sweep(table, store, folder, replace(config, **changes), execution=ONE_WORKER)
    return found


def rows(study: Study, metric: str = "accuracy") -> dict[tuple[Any, ...], Any]:
    return {(r.generator, r.setting, r.ratio): r for r in study.results if r.metric == metric}


def test_every_setting_of_every_generator_has_a_row(
    swept: tuple[Place, Study],
) -> None:
    found = rows(swept[1])
    expected = {(None, "real-only", None), (None, "mix-pooled", 1), (None, "mix-pooled", 2)}
    for generator in ("one", "two"):
        expected |= {(generator, "synthetic-only", None)}
        expected |= {(generator, "mix", ratio) for ratio in (1, 2)}
    assert set(found) == expected
    assert set(rows(swept[1], "macro_f1")) == expected
    for row in found.values():
        assert isinstance(row, Result)
        assert row.ci_low <= row.value <= row.ci_high
        assert row.n_test == row.n_groups == 12


def test_real_only_has_no_difference_and_the_others_differ_from_it(
    swept: tuple[Place, Study],
) -> None:
    found = rows(swept[1])
    real = found[None, "real-only", None]
    assert real.difference is real.verdict is real.p_adjusted is None
    for key, row in found.items():
        if key[0] is None:
            continue
        assert row.difference == pytest.approx(row.value - real.value, abs=1e-12)
        assert row.difference_low <= row.difference <= row.difference_high
        excludes_0 = row.difference_low > 0 or row.difference_high < 0
        assert (row.p_adjusted <= 0.05) == excludes_0
        assert (row.verdict in ("helps", "hurts")) == excludes_0
        assert row.detectable > 0


def test_training_images_are_counted(swept: tuple[Place, Study]) -> None:
    """6 real images of 2 classes in 5 folds: 9.6 to train on in the mean."""
    found = rows(swept[1])
    assert found[None, "real-only", None].n_train_real == pytest.approx(9.6)
    assert found["one", "mix", 2].n_train_synthetic == pytest.approx(19.2)
    assert found["one", "mix", 2].ratio_actual == 2
    assert found["one", "synthetic-only", None].n_train_real == 0
    assert found["one", "synthetic-only", None].n_train_synthetic == pytest.approx(19.2)


def test_a_second_run_solves_nothing_and_says_the_same(
    swept: tuple[Place, Study], done: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("solved again")

    monkeypatch.setattr(sys.modules["xprobe.study.sweep"], "solve", refuse)
    assert run(done).results == swept[1].results


def test_an_interrupted_sweep_goes_on_where_it_was(
    swept: tuple[Place, Study], study: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve, solved = sys.modules["xprobe.study.sweep"].solve, []

    def interrupted(*arguments: Any) -> Any:
        for number, fit in solve(*arguments):
            if len(solved) == 23:
                raise KeyboardInterrupt
            solved.append(number)
            yield number, fit

    monkeypatch.setattr(sys.modules["xprobe.study.sweep"], "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(study)
    before = len(list((study[2] / "predictions").rglob("*.npz")))
    assert before == 4  # 5 folds a block

    def counted(*arguments: Any) -> Any:
        for number, fit in solve(*arguments):
            solved.append(number)
            yield number, fit

    solved.clear()
    monkeypatch.setattr(sys.modules["xprobe.study.sweep"], "solve", counted)
    assert run(study).results == swept[1].results
    assert len(solved) == (2 * 9 - 4) * 5


def test_more_ratios_or_repeats_leave_what_is_done_as_it_is(
    study: Place,
) -> None:
    run(study, ratios=(1,))

    def done() -> set[Path]:
        return set((study[2] / "predictions").rglob("*.npz"))

    before = done()
    assert len(before) == 2 * 6
    run(study, ratios=(1, 2))
    new = done() - before
    # 1:2 of both generators and of all together; synthetic-only takes the largest ratio's images.
    assert len(new) == 2 * (2 + 1 + 2)
    run(study, ratios=(1, 2), repeats=3)
    assert len(done() - before - new) == 9


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"c_grid": (0.1, 10.0)}, {"inner_folds": 3}, {"per_class": 5}]
)
def test_whatever_decides_a_result_is_part_of_its_key(study: Place, change: dict[str, Any]) -> None:
    run(study, SMALL)
    before = len(list((study[2] / "predictions").rglob("*.npz")))
    run(study, SMALL, **change)
    assert len(list((study[2] / "predictions").rglob("*.npz"))) == 2 * before


def test_the_same_seed_gives_the_same_and_another_seed_another(
    study: Place, tmp_path: Path
) -> None:
    table, store, _ = study
    one, again, other = (
        run((table, store, tmp_path / name), SMALL, seed=seed).results
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == again
    assert one != other


def test_saved_predictions_give_the_accuracy_again(swept: tuple[Place, Study]) -> None:
    (_, _, folder), found = swept[0], rows(swept[1])
    hits: dict[tuple[Any, ...], list[float]] = {}
    for file in (folder / "predictions").rglob("*.npz"):
        loaded = predictions_module.load_predictions(folder, file.stem)
        assert loaded is not None
        predictions, about = loaded
        assert len(set(predictions.id)) == 12
        assert all(id_.startswith("real/") for id_ in predictions.id)
        np.testing.assert_allclose(np.exp(predictions.score).sum(axis=1), 1, atol=1e-5)
        key = (about.generator, about.name, about.ratio)
        hits.setdefault(key, []).append(predictions.hit.mean())
    for key, row in found.items():
        assert row.value == pytest.approx(np.mean(hits[key]))


def test_images_that_could_not_be_embedded_take_no_part_and_are_counted(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_data(real=6, synthetic=14)
    (data / "real/a/broken.png").write_bytes(b"no image")
    found = run(embedded(data, tmp_path), SMALL)
    assert rows(found)[None, "real-only", None].n_test == 12
    assert any("1 image could not be embedded" in w for w in found.warnings)


def with_parents(data: Path, tmp_path: Path) -> Path:
    """Write a manifest in which the i-th synthetic image is made from the i-th of six real ones."""
    file = tmp_path / "manifest.csv"
    table_module.write_table(manifest.read(data), file)
    with file.open() as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        if line["source"] == "synthetic":
            number = int(Path(line["id"]).stem) % 6
            line["parent"] = f"real/{line['label']}/{number}.png"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return file


def test_a_planted_leak_is_dropped_and_counted(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    """Every synthetic image is made from a real one: each fold drops those of its test part."""
    file = with_parents(make_data(real=6, synthetic=12), tmp_path)
    found = run(embedded(file, tmp_path), ratios=(1,))
    mix = rows(found)["default", "mix", 1]
    assert mix.dropped_by_lineage == 2 * 24  # each of 24 in one fold of each of 2 repeats
    assert not any("lineage" in w for w in found.warnings)
    assert sum(r.dropped_by_lineage for r in found.runs if r.setting == "mix") == 48


def test_the_size_of_a_leak_is_shown_where_lineage_is_ignored(
    save_picture: Callable[..., Path], tmp_path: Path
) -> None:
    """Noise that no head can learn, and all but copies of the test images to train on."""
    data = tmp_path / "data"
    for label in "ab":
        for i in range(12):
            file = save_picture(data / f"real/{label}/{i % 6}.png", f"{label} {i % 6}")
            with Image.open(file) as picture:
                picture.putpixel((i, 0), (0, 0, 0))
                copy = data / f"synthetic/{label}/{i}.png"
                copy.parent.mkdir(parents=True, exist_ok=True)
                picture.save(copy)
    study = embedded(with_parents(data, tmp_path), tmp_path)
    honest, leaky = (run(study, ratios=(2,), ignore_lineage=ignored) for ignored in (False, True))
    honest_mix, leaky_mix = (rows(found)["default", "mix", 2] for found in (honest, leaky))
    assert honest_mix.dropped_by_lineage == 2 * 24
    assert leaky_mix.dropped_by_lineage == 0
    assert leaky_mix.value > 0.9
    assert leaky_mix.verdict == "helps"
    assert honest_mix.value < 0.6
    assert honest_mix.verdict != "helps"
    real = [rows(found)[None, "real-only", None] for found in (honest, leaky)]
    assert real[0] == real[1]
    dropped = ("dropped_by_lineage", "dropped_in_inner_folds")
    assert {getattr(r, name) for r in leaky.runs for name in dropped} == {0}
    mixes = [r for r in honest.runs if r.setting == "mix"]
    assert all(r.dropped_in_inner_folds > r.dropped_by_lineage > 0 for r in mixes)
    assert leaky.warnings[0].startswith(
        "LINEAGE WAS IGNORED, as asked: in a fold up to 6 synthetic images"
    )
    assert leaky.config.ignore_lineage
    assert not any("LINEAGE" in w for w in honest.warnings)


def test_a_hold_out_is_tested_and_never_trained_on(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_data(real=5, synthetic=12, test=4)
    (data / "real/a/leak.png").write_bytes((data / "test/a/0.png").read_bytes())
    found = run(embedded(data, tmp_path))
    assert found.protocol == "fixed hold-out, 2 repeats"
    real = rows(found)[None, "real-only", None]
    assert (real.n_test, real.n_train_real) == (8, 10)
    assert any("1 real training images share" in w for w in found.warnings)
    values = [r.accuracy for r in found.runs if r.setting == "real-only"]
    assert values[0] == values[1]
    folded = run((manifest.read(data), Store(tmp_path / "features"), tmp_path / "r2"), folds=2)
    assert folded.protocol == "2-fold cross-validation, 2 repeats"
    assert rows(folded)[None, "real-only", None].n_test == 11


def test_too_few_synthetic_images_are_an_error_unless_allowed(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    study = embedded(make_data(real=6, synthetic=7), tmp_path)
    with pytest.raises(XprobeError, match=r"1:2 in class a .*largest possible ratio is 1:1"):
        run(study)
    found = run(study, allow_fewer=True)
    assert rows(found)["default", "mix", 2].ratio_actual < 2
    assert any("went on with fewer" in w for w in found.warnings)


def test_a_choice_at_the_edge_of_the_grid_is_a_warning(
    study: Place,
) -> None:
    found = run(study, SMALL, c_grid=(1e-6, 1e-5))
    assert any("edge of its grid in 18 of 18 cases" in w for w in found.warnings)


def test_a_study_without_synthetic_images_is_refused(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(XprobeError, match="no synthetic images"):
        run(embedded(make_data(real=4, synthetic=0), tmp_path))


def test_a_store_without_these_images_is_refused(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    _, store, folder = embedded(make_data(), tmp_path)
    other = manifest.read(make_data(name="other", classes=("c", "d")))
    with pytest.raises(XprobeError, match="run 'xprobe embed' first"):
        sweep(other, store, folder, CONFIG)


def test_a_class_with_one_image_is_refused(make_data: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match=r"of class a \(1 of one group\), b \(1 of"):
        run(embedded(make_data(real=1), tmp_path))


def test_mixes_and_synthetic_only_are_families_of_their_own(
    swept: tuple[Place, Study],
) -> None:
    judged = families(swept[1].results)
    assert [(f.generator, f.setting, f.comparisons) for f in judged] == [
        ("one", "mix", 2), ("one", "synthetic-only", 1), ("two", "mix", 2),
        ("two", "synthetic-only", 1),
    ]  # fmt: skip
    assert {f.p_study_wide for f in judged} == {None}  # `pixels` is a floor


def test_a_study_is_superseded_under_a_new_label_too(
    swept: tuple[Place, Study],
    done: Place,
) -> None:
    """The label of an encoder gets its key when another of the same name comes in."""
    found = swept[1]
    key = found.encoder.key
    renamed = structs.replace(found.encoder, label=f"pixels@{key[:8]}")
    found = structs.replace(found, encoder=renamed, created="9999-01-01T00:00:00")
    study_module.save_study(done[2], structs.replace(found, key="f" * 32))
    (shown,) = study_module.load_studies(done[2])
    assert shown.encoder.label == f"pixels@{key[:8]}"


def test_a_study_document_is_plain_json_and_the_newest_counts(
    done: Place,
) -> None:
    newest = run(done, repeats=1)
    assert newest == study_module.load_studies(done[2])[0]
    with pytest.raises(XprobeError, match="did you mean pixels"):
        study_module.newest(study_module.load_studies(done[2]), ["pixel"])


def test_every_head_has_a_study_of_its_own(done: Place) -> None:
    table, store, folder = done
    heads = ("logistic", "ridge", "knn")
    found = sweep(table, store, folder, CONFIG, Grid(heads=heads), ONE_WORKER)
    assert [each.config.head for each in found] == list(heads)
    assert [{row.head for row in each.results} for each in found] == [{h} for h in heads]
    kept = study_module.newest(study_module.load_studies(folder))
    assert [each.config.head for each in kept] == sorted(heads)
    neighbours = {row.c for row in found[2].runs}
    assert neighbours <= {1, 3, 5, 10, 20, 50, 100}


def test_features_beyond_the_memory_limit_give_the_same_study(study: Place, tmp_path: Path) -> None:
    table, store, folder = study
    (held,) = sweep(table, store, folder, SMALL, execution=ONE_WORKER)
    (streamed,) = sweep(table, store, tmp_path / "two", SMALL, execution=Execution(1, memory_gib=0))
    same = ("accuracy", "macro_f1", "c")
    assert [[getattr(run, name) for name in same] for run in streamed.runs] == [
        [getattr(run, name) for name in same] for run in held.runs
    ]
    with pytest.raises(XprobeError, match=r"'knn' needs all features in memory.*--memory-gib"):
        sweep(table, store, folder, CONFIG, Grid(heads=("knn",)), Execution(1, memory_gib=0))


def test_rules_of_the_choice_reach_the_fits(study: Place) -> None:
    table, store, folder = study
    config = replace(SMALL, c_grid=(0.01, 0.1, 1.0, 10.0, 100.0))
    chosen, kept = {}, 0
    for rule in ("best", "one-se"):
        (found,) = sweep(table, store, folder, replace(config, c_rule=rule), execution=ONE_WORKER)
        chosen[rule] = np.array([run.c for run in found.runs])
        before, kept = kept, len(list((folder / "predictions").rglob("*.npz")))
        assert kept > before
    assert (chosen["one-se"] <= chosen["best"]).all()
    with pytest.raises(XprobeError, match="--c-rule is one of best, one-se"):
        replace(CONFIG, c_rule="worst")


def test_further_real_images_are_a_control_where_there_are_some(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    table, store, folder = embedded(make_data(real=6, synthetic=12, extra=8), tmp_path)
    found = run((table, store, folder), repeats=1)
    own = rows(found)
    real = own[None, "real-only", None]
    row = own[None, "real-more", 1]
    assert row.n_train_real == pytest.approx(2 * real.n_train_real)
    assert row.n_train_synthetic == 0
    assert row.verdict is None
    assert row.difference == pytest.approx(row.value - real.value, abs=1e-12)
    assert (None, "real-more", 2) not in own  # 8 are not twice 5
    tested = {
        id_ for file in (folder / "predictions").rglob("*.npz") for id_ in loaded(folder, file)
    }
    assert all(id_.startswith("real/") for id_ in tested)


def loaded(folder: Path, file: Path) -> list[str]:
    found = predictions_module.load_predictions(folder, file.stem)
    assert found is not None
    return [str(id_) for id_ in found[0].id]


# --- a learning curve ----------------------------------------------------------------------


def curve(
    study: Place, *sizes: int, config: SweepConfig = CONFIG, **how: Any
) -> list[dict[str, Any]]:
    table, store, folder = study
    return sweep(table, store, folder, config, Grid(real_curve=sizes, **how), ONE_WORKER)


def test_a_learning_curve_has_a_study_a_size_and_says_what_synthetic_images_are_worth(
    study: Place,
) -> None:
    small, middle, large = curve(study, 4, 2, 3, config=replace(CONFIG, repeats=1))
    assert [d.config.train_per_class for d in (small, middle, large)] == [2, 3, 4]
    assert [d.protocol for d in (small, middle, large)] == [
        f"5-fold cross-validation, 1 repeat, {n} of each class of the real training images"
        for n in (2, 3, 4)
    ]
    for found, size in ((small, 2), (middle, 3), (large, 4)):
        own = rows(found)
        assert own[None, "real-only", None].n_train_real == 2 * size
        assert own["one", "mix", 2].n_train_synthetic == 4 * size
        assert {row.train_per_class for row in found.results} == {size}
        assert {row.n_test for row in found.results} == {12}
    assert large.data_value == ()
    assert [(r.generator, r.ratio) for r in small.data_value] == [
        ("one", 1), ("one", 2), ("two", 1), ("two", 2)
    ]  # fmt: skip
    for row in small.data_value:
        assert (row.real_per_class, row.most) == (2, 4)
        assert row.synthetic_per_class == 2 * row.ratio
        assert 0 <= row.low <= row.high <= 2
        assert 0 <= row.value <= 2
        assert row.at_least == (row.high == pytest.approx(2))
        assert row.at_most == (row.low == pytest.approx(0))
    kept = study_module.newest(study_module.load_studies(study[2]))
    assert [d.config.train_per_class for d in kept] == [2, 3, 4]
    assert [d.data_value for d in kept] == [small.data_value, middle.data_value, ()]


def test_alternatives_are_worth_real_images_too(study: Place) -> None:
    """A row each, with synthetic images and without, after the rows of the mixes."""
    plain = curve(study, 2, 3, config=SMALL)[0].data_value
    config = replace(SMALL, alternatives=("mixup",), with_synthetic=True)
    small, large = curve(study, 2, 3, config=config)
    assert large.data_value == ()
    assert small.data_value is not None
    assert plain is not None
    named = [(row.setting, row.ratio, row.generator, row.augment) for row in small.data_value]
    assert named == [
        ("mix", 1, "one", None), ("mix", 1, "two", None), ("mixup", None, None, None),
        ("mix", 1, "one", "mixup"), ("mix", 1, "two", "mixup"),
    ]  # fmt: skip
    assert [row.is_alternative for row in small.data_value] == [False, False, True, True, True]
    assert [row.synthetic_per_class for row in small.data_value] == [2, 2, 0, 2, 2]
    assert {row.real_per_class for row in small.data_value} == {2}
    for before, after in zip(plain, small.data_value[:2], strict=True):
        assert documents.replace(after, value=0, low=0, high=0) == documents.replace(
            before, value=0, low=0, high=0
        )
    values = {row.setting: row for row in small.data_value}
    raw = documents.to_json(values["mix"])
    assert "setting" not in raw
    assert documents.to_json(values["mixup"])["setting"] == "mixup"
    kept = study_module.newest(study_module.load_studies(study[2]))
    assert small.data_value in [document.data_value for document in kept]


def test_sizes_too_far_apart_give_a_curve_and_no_data_value(
    study: Place,
) -> None:
    documents = curve(study, 4, 2, config=SMALL)
    assert [d.config.train_per_class for d in documents] == [2, 4]
    for found in documents:
        assert found.data_value == ()
        (said,) = [text for text in found.warnings if "--real-curve" in text]
        assert said.startswith("--real-curve 2,4 gives a learning curve, but not how many")
        assert "Take --real-curve 2,3,4; what is trained is kept" in said
    assert [d.data_value for d in study_module.load_studies(study[2])] == [(), ()]
    # With the size that was lacking the warning is gone.
    closer = curve(study, 2, 3, 4, config=SMALL)
    assert [len(d.data_value) for d in closer] == [2, 2, 0]
    assert not any("--real-curve" in text for d in closer for text in d.warnings)


def test_groups_that_bring_sizes_apart_leave_no_data_value(
    study: Place,
) -> None:
    """Scenes of two images stay whole, so that two images remain two, and three become four."""
    table, store, folder = study
    scene = [f"{i // 2}" if source == "real" else "" for i, source in enumerate(table.source)]
    in_scenes = replace(table, group=np.array(scene))
    documents = curve((in_scenes, store, folder), 2, 3, config=SMALL)
    assert [d.data_value for d in documents] == [(), ()]
    for found in documents:
        (said,) = [text for text in found.warnings if "--real-curve" in text]
        assert said.startswith("groups of real images stay whole, so that the sizes of")
        assert "became 2, 4: neighbours more than 1.6 times apart" in said


def test_all_sizes_of_a_curve_are_tested_on_the_same_images_in_the_same_folds(
    study: Place,
) -> None:
    curve(study, 2, 4, config=replace(SMALL, repeats=2))
    folds: dict[int, set[tuple[tuple[str, int], ...]]] = {}
    for file in (study[2] / "predictions").rglob("*.npz"):
        found = predictions_module.load_predictions(study[2], file.stem)
        assert found is not None
        predictions, about = found
        place = sorted(zip(map(str, predictions.id), predictions.fold.tolist(), strict=True))
        folds.setdefault(about.repeat, set()).add(tuple(place))
    assert [len(folds[repeat]) for repeat in (0, 1)] == [1, 1]
    assert {len(place) for of in folds.values() for place in of} == {12}


def test_a_curve_that_goes_on_keeps_what_is_done_and_values_anew(
    study: Place,
) -> None:
    first = curve(study, 2, 3, config=SMALL)
    before = set((study[2] / "predictions").rglob("*.npz"))
    longer = curve(study, 2, 3, 4, config=SMALL)
    new = set((study[2] / "predictions").rglob("*.npz")) - before
    # Of one size: real-only, two settings of either generator, and both generators together.
    assert len(new) == 6
    assert [len(d.data_value) for d in first] == [2, 0]
    assert [len(d.data_value) for d in longer] == [2, 2, 0]
    assert {row.most for d in longer for row in d.data_value} == {4}
    assert [d.data_value for d in study_module.newest(study_module.load_studies(study[2]))] == [
        d.data_value for d in longer
    ]


def test_each_encoder_and_head_has_a_curve_of_its_own(
    study: Place,
) -> None:
    found = curve(study, 3, 4, config=SMALL, heads=("logistic", "ridge"))
    kinds = [(d.config.head, d.config.train_per_class) for d in found]
    assert kinds == [("logistic", 3), ("ridge", 3), ("logistic", 4), ("ridge", 4)]
    assert [len(d.data_value) for d in found] == [2, 2, 0, 0]


@pytest.mark.parametrize(
    ("sizes", "how", "said"),
    [
        ((2,), {}, "--real-curve takes two or more numbers of images"),
        ((4, 4), {}, "--real-curve takes two or more"),
        ((2, 4), {"real_fractions": (0.5, 1)}, "--real-curve and --real-fraction both say how"),
        ((2, 9), {}, "--real-curve 9: of class [ab] a fold has 4 real .*, such as 2,3,4"),
    ],
)
def test_a_curve_that_cannot_be_is_refused(
    study: Place, sizes: tuple[int, ...], how: dict[str, Any], said: str
) -> None:
    with pytest.raises(XprobeError, match=said):
        curve(study, *sizes, **how)


# --- what stands beside accuracy -------------------------------------------------------------


def test_each_class_is_compared_with_real_only(study: Place) -> None:
    found = run(study, folds=3)
    recall = {
        (s.generator, s.setting, s.ratio): dict(zip(found.manifest.classes, s.recall, strict=True))
        for s in found.settings
    }
    keys = [(r.generator, r.setting, r.ratio, r.class_) for r in found.classes]
    settings = [("mix", 1), ("mix", 2), ("synthetic-only", None)]
    assert keys == [(g, *s, c) for g in ("one", "two") for s in settings for c in "ab"]
    for row in found.classes:
        name, key = row.class_, (row.generator, row.setting, row.ratio)
        expected = recall[key][name] - recall[None, "real-only", None][name]
        assert row.difference == pytest.approx(expected, abs=1e-12)
        assert row.low < row.difference < row.high
        assert (row.n_test, row.n_groups, row.augment) == (6, 6, None)
        claimed = row.verdict in ("helps", "hurts")
        assert claimed == (row.p_adjusted <= 0.05)


def scored(folder: Path) -> dict[tuple[Any, ...], dict[int, tuple[np.ndarray, np.ndarray]]]:
    """Return labels (n,) and calibrated log-probabilities (n, k) of each setting and repeat."""
    found: dict[tuple[Any, ...], dict[int, tuple[np.ndarray, np.ndarray]]] = {}
    for file in (folder / "predictions").rglob("*.npz"):
        loaded = predictions_module.load_predictions(folder, file.stem)
        assert loaded is not None
        predictions, about = loaded
        order = np.argsort(predictions.id.astype(str))
        key = (about.generator, about.name, about.ratio)
        temperature = np.array(about.temperature)[predictions.fold]
        score = predictions.score.astype(np.float64) / temperature[:, None]
        score -= np.logaddexp.reduce(score, axis=1, keepdims=True)
        own = predictions.label[order], score[order]
        found.setdefault(key, {})[about.repeat] = own
    return found


def calibration_error(label: np.ndarray, p: np.ndarray) -> float:
    """Squared, without its bias, over bins of equal size: another way to write it down."""
    n = len(label)
    bins = np.array_split(np.argsort(p.max(axis=1), kind="stable"), min(15, n // 10))
    total = 0.0
    for own in bins:
        right = np.mean(p[own].argmax(axis=1) == label[own])
        gap = right - p[own].max(axis=1).mean()
        total += len(own) / n * (gap**2 - right * (1 - right) / (len(own) - 1))
    return total


def test_further_metrics_are_those_of_the_saved_predictions(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_data(classes=("a", "b", "c"), real=4, synthetic=8, test=10)
    for i in range(5):  # classes of 10, 10 and 5 test images
        (data / f"test/c/{i}.png").unlink()
    study = embedded(data, tmp_path)
    found = run(study)
    seen = scored(study[2])
    beside = {row.name: row for row in metrics.fitting(3) if row.name != "accuracy"}
    assert {r.metric for r in found.results} == {"accuracy", *beside}
    names = [name for name in beside if name != "macro_f1"]
    expected: dict[str, dict[tuple[Any, ...], float]] = {name: {} for name in names}
    for key, repeats in seen.items():
        each: dict[str, list[float]] = {name: [] for name in names}
        for y, score in repeats.values():
            p, rank = np.exp(score), np.argsort(-score, axis=1)
            images = metrics.scored(y, score)
            means = {name: row.per_image(images).mean() for name, row in beside.items()}
            slow = {
                "balanced_accuracy": np.mean([np.mean(rank[y == c, 0] == c) for c in range(3)]),
                "top2_accuracy": np.mean((rank[:, :2] == y[:, None]).any(axis=1)),
                "log_loss": -np.mean(score[np.arange(len(y)), y]),
                "brier": np.mean(((p - np.eye(3)[y]) ** 2).sum(axis=1)),
                "squared_ece": calibration_error(y, p),
            }
            assert slow.keys() <= expected.keys()
            for name in names:  # what has no slow reference is the mean over images
                each[name].append(float((means | slow)[name]))
        for name, values in each.items():
            expected[name][key] = float(np.mean(values))
    real = None, "real-only", None
    for name in names:
        own = rows(found, name)
        assert set(own) == set(rows(found))
        for key, row in own.items():
            assert row.value == pytest.approx(expected[name][key], abs=1e-5)
            assert row.ci_low <= row.value <= row.ci_high
            assert row.verdict is row.p_adjusted is row.detectable is None
            if key == real:
                assert row.difference is None
                continue
            difference = expected[name][key] - expected[name][real]
            assert row.difference == pytest.approx(difference, abs=2e-5)
            assert row.difference_low < row.difference < row.difference_high


def test_mcnemars_p_is_of_the_first_repeat_on_a_hold_out_without_groups(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_data(real=5, synthetic=12, test=8)
    study = embedded(data, tmp_path)
    found = run(study)
    seen = scored(study[2])
    first = {key: of[0][1].argmax(axis=1) == of[0][0] for key, of in seen.items()}
    real = first[None, "real-only", None]
    for key, row in rows(found).items():
        if key[0] is None:
            assert row.p_mcnemar is None
            continue
        gained, lost = int((first[key] & ~real).sum()), int((real & ~first[key]).sum())
        expected = 1.0
        if gained != lost:
            expected = stats.binomtest(gained, gained + lost).pvalue
        assert row.p_mcnemar == pytest.approx(expected)
    assert all(r.p_mcnemar is None for r in found.results if r.metric != "accuracy")
    table, store, _ = study
    folded = run((table, store, tmp_path / "folded"), folds=2)
    assert all(r.p_mcnemar is None for r in folded.results)
    drawn = run((table.select(table.split == "train"), store, tmp_path / "drawn"), holdout=0.4)
    assert drawn.protocol == "fixed hold-out of 40 % of the real images, 2 repeats"
    assert rows(drawn)["default", "mix", 1].p_mcnemar is not None
    (data / "test/a/0.png").write_bytes((data / "test/a/1.png").read_bytes())  # a group of two
    grouped = run((manifest.read(data), store, tmp_path / "grouped"))
    assert rows(grouped)["default", "mix", 1].n_groups == 15
    assert all(r.p_mcnemar is None for r in grouped.results)


def test_a_sweep_reads_an_index_once_and_features_once(
    apart: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a thousand shards, each look at all of them counts."""
    table, store, _ = apart
    extract.embed(table, encoders.load("hog"), "hog", store)
    calls = {name: Counter[str]() for name in ("digests", "check", "open")}
    receipts = Counter[str]()

    def counted(function: Any, counter: Counter[str], place: int = 0) -> Any:
        return lambda *given: (counter.update([given[place].name]), function(*given))[1]

    monkeypatch.setattr(Store, "receipt", counted(Store.receipt, receipts, 1))
    for name, counter in calls.items():
        monkeypatch.setattr(Shard, name, counted(getattr(Shard, name), counter))
    grid, execution = Grid(heads=("logistic", "ridge")), Execution(workers=1)
    sweep(*apart, SMALL, grid, execution)
    for counter in (receipts, calls["digests"], calls["check"]):
        assert len(counter) == 2  # encoders of one shard
        assert set(counter.values()) == {1}
    assert set(calls["open"].values()) == {3}  # for the digests, the check and the features
    sweep(*apart, replace(SMALL, alternatives=("mixup",)), grid, execution)
    assert set(receipts.values()) == set(calls["digests"].values()) == {2}


def test_features_that_say_little_are_a_warning(apart: Place) -> None:
    table, store, _ = apart
    encoder = store.add_encoder(
        "flat", structs.replace(store.encoders()[0].spec, source="import:flat")
    )
    x = np.ones((len(table), encoder.spec.dim), dtype=np.float32)
    store.write_shard(encoder, list(table.sha256), x, {})
    grid = Grid(encoders=("flat",), heads=("ridge",))
    for memory_gib in (1.0, 0.0):
        execution = Execution(workers=1, memory_gib=memory_gib)
        (document,) = sweep(*apart, SMALL, grid, execution)
        (told,) = [line for line in document.warnings if "features of" in line]
        assert told.startswith("features of flat are the same for all images")


def alike_in_events(make_manifest: MakeManifest, tmp_path: Path) -> Place:
    """Return a study whose test images lie in 16 events, those of an event close to each other.

    Synthetic images turn the boundary between the classes, which flips whole events of one class.
    """
    rng = np.random.default_rng(0)
    images, angles = [], []
    for c, side, last in (("a", -0.5, 0.8), ("b", 0.5, 0.1)):
        for i in range(8):
            images.append((c, f"real-{c}{i}", "real", "train", "old"))
            angles.append(side)
        for i in range(16):
            images.append((c, f"synthetic-{c}{i}", "synthetic", "train", ""))
            angles.append(side + 0.4)
        for i in range(40):
            images.append((c, f"test-{c}{i}", "real", "test", f"{c}{i // 5}"))
            angles.append(side + np.linspace(0.0, last, 8)[i // 5])
    label, id_, source, split, event = (list(column) for column in zip(*images, strict=True))
    content = [sha256(name.encode()).hexdigest() for name in id_]
    plain = make_manifest(label, id=id_, source=source, split=split, sha256=content)
    columns: Any = {name: getattr(plain, name) for name in Manifest.columns()}
    table = Manifest(**columns, further={"event": frozen_strings(event)})
    noisy = angles + 0.02 * rng.standard_normal(len(angles))
    x = np.stack([np.cos(noisy), np.sin(noisy), np.zeros(len(noisy))], axis=1)
    store = Store(tmp_path / "features", create=True)
    store.write_shard(store.add_encoder("golden", SPEC), table.sha256.tolist(), x, {})
    return table, store, tmp_path / "results"


def test_errors_over_events_are_wider_where_images_of_an_event_are_alike(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    table, store, folder = alike_in_events(make_manifest, tmp_path)
    plain = run((table, store, folder))
    trained = sorted((folder / "predictions").iterdir())
    wide = run((table, store, folder), errors_by="event")
    assert sorted((folder / "predictions").iterdir()) == trained
    narrow_row, wide_row = (rows(found)["default", "mix", 2] for found in (plain, wide))
    assert narrow_row.difference == wide_row.difference != 0
    assert (narrow_row.n_groups, wide_row.n_groups) == (80, 16)
    assert wide_row.se > 1.5 * narrow_row.se
    assert wide_row.df < 16 < narrow_row.df
    assert narrow_row.p_mcnemar is not None
    assert wide_row.p_mcnemar is None
    events = set(table.column("event")) - {"", "old"}
    assert set(load_hits(folder, wide).group) == events
    assert wide.config.errors_by == "event"

    fewer = [e and f"{e[0]}{ord(e[-1]) // 2}" for e in table.column("event")]
    columns: Any = {name: getattr(table, name) for name in Manifest.columns()}
    table = Manifest(**columns, further={"event": frozen_strings(fewer)})
    other = run((table, store, folder), errors_by="event")
    assert len({plain.key, wide.key, other.key}) == 3
