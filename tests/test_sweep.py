"""The sweep from features to verdicts: resumed exactly, honest about what it left out."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xprobe import encoders, extract, manifest, results
from xprobe.errors import XprobeError
from xprobe.store import Store
from xprobe.sweep import sweep
from xprobe.types import Manifest, Result, SweepConfig

CONFIG = SweepConfig(ratios=(1, 2), repeats=2, c_grid=(0.1, 10.0, 1000.0), inner_folds=2)


@pytest.fixture
def study(make_data: Callable[..., Path], tmp_path: Path) -> tuple[Manifest, Store, Path]:
    data = make_data(real=6, synthetic=12, generators=("one", "two"))
    return embedded(data, tmp_path)


def embedded(data: Path, tmp_path: Path) -> tuple[Manifest, Store, Path]:
    table = manifest.read(data)
    store = Store(tmp_path / "features", create=True)
    extract.embed(table, encoders.load("pixels"), "pixels", store)
    return table, store, tmp_path / "results"


def run(study: tuple[Manifest, Store, Path], **changes: Any) -> dict[str, Any]:
    table, store, folder = study
    (found,) = sweep(table, store, folder, replace(CONFIG, **changes), workers=1)
    return found


def rows(study: dict[str, Any], metric: str = "accuracy") -> dict[tuple[Any, ...], dict[str, Any]]:
    return {
        (r["generator"], r["setting"], r["ratio"]): r
        for r in study["results"]
        if r["metric"] == metric
    }


def test_every_setting_of_every_generator_has_a_row(
    study: tuple[Manifest, Store, Path],
) -> None:
    found = rows(run(study))
    expected = {(None, "real-only", None)}
    for generator in ("one", "two"):
        expected |= {(generator, "synthetic-only", None)}
        expected |= {(generator, "mix", ratio) for ratio in (1, 2)}
    assert set(found) == expected
    assert set(rows(run(study), "macro_f1")) == expected
    for row in found.values():
        assert list(row) == list(Result.__dataclass_fields__)
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
        assert row["n_test"] == row["n_groups"] == 12


def test_real_only_has_no_difference_and_the_others_differ_from_it(
    study: tuple[Manifest, Store, Path],
) -> None:
    found = rows(run(study))
    real = found[None, "real-only", None]
    assert real["difference"] is real["verdict"] is real["p_adjusted"] is None
    for key, row in found.items():
        if key[0] is None:
            continue
        assert row["difference"] == pytest.approx(row["value"] - real["value"], abs=1e-12)
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        excludes_0 = row["difference_low"] > 0 or row["difference_high"] < 0
        assert (row["p_adjusted"] <= 0.05) == excludes_0
        assert (row["verdict"] in ("helps", "hurts")) == excludes_0
        assert row["detectable"] > 0


def test_training_images_are_counted(study: tuple[Manifest, Store, Path]) -> None:
    """6 real images of 2 classes in 5 folds: 9.6 to train on in the mean."""
    found = rows(run(study))
    assert found[None, "real-only", None]["n_train_real"] == pytest.approx(9.6)
    assert found["one", "mix", 2]["n_train_synthetic"] == pytest.approx(19.2)
    assert found["one", "mix", 2]["ratio_actual"] == 2
    assert found["one", "synthetic-only", None]["n_train_real"] == 0
    assert found["one", "synthetic-only", None]["n_train_synthetic"] == pytest.approx(19.2)


def test_a_second_run_solves_nothing_and_says_the_same(
    study: tuple[Manifest, Store, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(study)

    def refuse(*_: object) -> None:
        raise AssertionError("solved again")

    monkeypatch.setattr(sys.modules["xprobe.sweep"], "solve", refuse)
    assert run(study)["results"] == first["results"]


def test_an_interrupted_sweep_goes_on_where_it_was(
    study: tuple[Manifest, Store, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run((study[0], study[1], tmp_path / "whole"))
    solve, solved = sys.modules["xprobe.sweep"].solve, []

    def interrupted(*arguments: Any) -> Any:
        for number, fit in solve(*arguments):
            if len(solved) == 23:
                raise KeyboardInterrupt
            solved.append(number)
            yield number, fit

    monkeypatch.setattr(sys.modules["xprobe.sweep"], "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(study)
    before = len(list((study[2] / "predictions").rglob("*.npz")))
    assert before == 4  # 5 folds a block

    def counted(*arguments: Any) -> Any:
        for number, fit in solve(*arguments):
            solved.append(number)
            yield number, fit

    solved.clear()
    monkeypatch.setattr(sys.modules["xprobe.sweep"], "solve", counted)
    assert run(study)["results"] == whole["results"]
    assert len(solved) == (2 * 7 - 4) * 5


def test_more_ratios_or_repeats_leave_what_is_done_as_it_is(
    study: tuple[Manifest, Store, Path],
) -> None:
    run(study, ratios=(1,))

    def done() -> set[Path]:
        return set((study[2] / "predictions").rglob("*.npz"))

    before = done()
    assert len(before) == 2 * 5
    run(study, ratios=(1, 2))
    new = done() - before
    assert len(new) == 2 * 2 * 2  # 1:2, and synthetic-only, which takes the largest ratio's images
    run(study, ratios=(1, 2), repeats=3)
    assert len(done() - before - new) == 7


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"c_grid": (0.1, 10.0)}, {"inner_folds": 3}, {"per_class": 5}]
)
def test_whatever_decides_a_result_is_part_of_its_key(
    study: tuple[Manifest, Store, Path], change: dict[str, Any]
) -> None:
    run(study)
    before = len(list((study[2] / "predictions").rglob("*.npz")))
    run(study, **change)
    assert len(list((study[2] / "predictions").rglob("*.npz"))) == 2 * before


def test_the_same_seed_gives_the_same_and_another_seed_another(
    study: tuple[Manifest, Store, Path], tmp_path: Path
) -> None:
    table, store, _ = study
    one, again, other = (
        run((table, store, tmp_path / name), seed=seed)["results"]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == again
    assert one != other


def test_saved_predictions_give_the_accuracy_again(study: tuple[Manifest, Store, Path]) -> None:
    found = rows(run(study))
    hits: dict[tuple[Any, ...], list[float]] = {}
    for file in (study[2] / "predictions").rglob("*.npz"):
        loaded = results.load_predictions(study[2], file.stem)
        assert loaded is not None
        predictions, about = loaded
        assert len(set(predictions.id)) == 12
        assert all(id_.startswith("real/") for id_ in predictions.id)
        np.testing.assert_allclose(np.exp(predictions.score).sum(axis=1), 1, atol=1e-5)
        key = (about["generator"], about["name"], about["ratio"])
        hits.setdefault(key, []).append(predictions.hit.mean())
    for key, row in found.items():
        assert row["value"] == pytest.approx(np.mean(hits[key]))


def test_images_that_could_not_be_embedded_take_no_part_and_are_counted(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_data(real=6, synthetic=14)
    (data / "real/a/broken.png").write_bytes(b"no image")
    found = run(embedded(data, tmp_path))
    assert rows(found)[None, "real-only", None]["n_test"] == 12
    assert any("1 images could not be embedded" in w for w in found["warnings"])


def test_a_planted_leak_is_dropped_and_counted(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    """Every synthetic image is made from a real one: each fold drops those of its test part."""
    data = make_data(real=6, synthetic=12)
    table = manifest.read(data)
    file = tmp_path / "manifest.csv"
    manifest.write(table, file)
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
    found = run(embedded(file, tmp_path), ratios=(1,))
    mix = rows(found)["default", "mix", 1]
    assert mix["dropped_by_lineage"] == 2 * 24  # each of 24 in one fold of each of 2 repeats
    assert not any("lineage" in w for w in found["warnings"])
    assert sum(r["dropped_by_lineage"] for r in found["runs"] if r["setting"] == "mix") == 48


def test_a_hold_out_is_tested_and_never_trained_on(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_data(real=5, synthetic=12, test=4)
    (data / "real/a/leak.png").write_bytes((data / "test/a/0.png").read_bytes())
    found = run(embedded(data, tmp_path))
    assert found["protocol"] == "fixed hold-out, 2 repeats"
    real = rows(found)[None, "real-only", None]
    assert (real["n_test"], real["n_train_real"]) == (8, 10)
    assert any("1 real training images share" in w for w in found["warnings"])
    values = [r["accuracy"] for r in found["runs"] if r["setting"] == "real-only"]
    assert values[0] == values[1]
    folded = run((manifest.read(data), Store(tmp_path / "features"), tmp_path / "r2"), folds=2)
    assert folded["protocol"] == "2-fold cross-validation, 2 repeats"
    assert rows(folded)[None, "real-only", None]["n_test"] == 11


def test_too_few_synthetic_images_are_an_error_unless_allowed(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    study = embedded(make_data(real=6, synthetic=7), tmp_path)
    with pytest.raises(XprobeError, match=r"1:2 in class a .*largest possible ratio is 1:1"):
        run(study)
    found = run(study, allow_fewer=True)
    assert rows(found)["default", "mix", 2]["ratio_actual"] < 2
    assert any("went on with fewer" in w for w in found["warnings"])


def test_a_choice_at_the_edge_of_the_grid_is_a_warning(
    study: tuple[Manifest, Store, Path],
) -> None:
    found = run(study, c_grid=(1e-6, 1e-5))
    assert any("edge of its grid in 70 of 70 cases" in w for w in found["warnings"])


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
    with pytest.raises(XprobeError, match=r"fewer than two real images or groups of class a, b"):
        run(embedded(make_data(real=1), tmp_path))


def test_several_families_share_a_study_wide_p(study: tuple[Manifest, Store, Path]) -> None:
    found = results.families([run(study)])
    assert [f["generator"] for f in found] == ["one", "two"]
    assert all(f["p_study_wide"] >= f["p_smallest"] for f in found)
    assert min(f["p_study_wide"] for f in found) == min(
        1.0, 2 * min(f["p_smallest"] for f in found)
    )


def test_a_study_is_superseded_under_a_new_label_too(
    study: tuple[Manifest, Store, Path],
) -> None:
    """The label of an encoder gets its key when another of the same name comes in."""
    found = run(study, repeats=1)
    key = found["encoder"]["key"]
    found["encoder"]["label"] = f"pixels@{key[:8]}"
    found["created"] = "9999-01-01T00:00:00"
    results.save_study(study[2], "f" * 32, found)
    (shown,) = results.load_studies(study[2])
    assert shown["encoder"]["label"] == f"pixels@{key[:8]}"


def test_a_study_document_is_plain_json_and_the_newest_counts(
    study: tuple[Manifest, Store, Path],
) -> None:
    run(study, repeats=1)
    newest = run(study)
    assert json.loads(json.dumps(newest)) == results.load_studies(study[2])[0]
    with pytest.raises(XprobeError, match="did you mean pixels"):
        results.load_studies(study[2], ["pixel"])


def test_every_head_has_a_study_of_its_own(study: tuple[Manifest, Store, Path]) -> None:
    table, store, folder = study
    heads = ("logistic", "ridge", "knn")
    found = sweep(table, store, folder, CONFIG, heads=heads, workers=1)
    assert [each["config"]["head"] for each in found] == list(heads)
    assert [{row["head"] for row in each["results"]} for each in found] == [{h} for h in heads]
    kept = results.load_studies(folder)
    assert [each["config"]["head"] for each in kept] == sorted(heads)
    neighbours = {row["c"] for row in found[2]["runs"]}
    assert neighbours <= {1, 3, 5, 10, 20, 50, 100}


def test_features_beyond_the_memory_limit_give_the_same_study(
    study: tuple[Manifest, Store, Path], tmp_path: Path
) -> None:
    table, store, folder = study
    (held,) = sweep(table, store, folder, CONFIG, workers=1)
    (streamed,) = sweep(table, store, tmp_path / "two", CONFIG, workers=1, memory_gib=0)
    same = ("accuracy", "macro_f1", "c")
    assert [[run[name] for name in same] for run in streamed["runs"]] == [
        [run[name] for name in same] for run in held["runs"]
    ]
    with pytest.raises(XprobeError, match=r"'knn' needs all features in memory.*--memory-gib"):
        sweep(table, store, folder, CONFIG, heads=("knn",), workers=1, memory_gib=0)


def test_rules_of_the_choice_reach_the_fits(study: tuple[Manifest, Store, Path]) -> None:
    table, store, folder = study
    config = replace(CONFIG, c_grid=(0.01, 0.1, 1.0, 10.0, 100.0))
    chosen, kept = {}, 0
    for rule in ("best", "one-se"):
        (found,) = sweep(table, store, folder, replace(config, c_rule=rule), workers=1)
        chosen[rule] = np.array([run["c"] for run in found["runs"]])
        before, kept = kept, len(list(folder.rglob("*.npz")))
        assert kept > before
    assert (chosen["one-se"] <= chosen["best"]).all()
    with pytest.raises(XprobeError, match="--c-rule is one of best, one-se"):
        replace(CONFIG, c_rule="worst")


def test_further_real_images_are_a_control_where_there_are_some(
    make_data: Callable[..., Path], tmp_path: Path
) -> None:
    table, store, folder = embedded(make_data(real=6, synthetic=12, extra=8), tmp_path)
    found = run((table, store, folder))
    own = rows(found)
    real = own[None, "real-only", None]
    row = own[None, "real-more", 1]
    assert row["n_train_real"] == pytest.approx(2 * real["n_train_real"])
    assert row["n_train_synthetic"] == 0
    assert row["verdict"] is None
    assert row["difference"] == pytest.approx(row["value"] - real["value"], abs=1e-12)
    assert (None, "real-more", 2) not in own  # 8 are not twice 5
    tested = {id_ for file in folder.rglob("*.npz") for id_ in loaded(folder, file)}
    assert all(id_.startswith("real/") for id_ in tested)


def loaded(folder: Path, file: Path) -> list[str]:
    found = results.load_predictions(folder, file.stem)
    assert found is not None
    return [str(id_) for id_ in found[0].id]
