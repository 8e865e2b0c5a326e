"""From a store and files to distances, copies and shortcuts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from makers import MakeData, make_study
from msgspec import structs
from PIL import Image

from xprobe.base.arrays import frozen_strings
from xprobe.base.errors import XprobeError
from xprobe.design.config import SweepConfig
from xprobe.distance.run import measure_domain
from xprobe.engine.execution import Execution
from xprobe.features import embed as extract
from xprobe.features.store import Store
from xprobe.features.texts import put_texts
from xprobe.images import read as manifests
from xprobe.images.manifest import Manifest
from xprobe.report.licences import licence_of
from xprobe.report.write import write_report
from xprobe.results.distance import Distances, save_distance
from xprobe.results.study import save_study
from xprobe.study.sweep import sweep

METRICS = ("mmd", "energy", "precision")

ONE_WORKER = Execution(workers=1)


class Measured(NamedTuple):
    """A study, how to measure it, and what comes of it with rows of classes and without."""

    table: Manifest
    store: Store
    run: Callable[..., Distances]
    document: Distances
    overall: Distances


def ready(
    data: Path, folder: Path, make: MakeData
) -> tuple[Manifest, Store, Callable[..., Distances]]:
    """Make two generators, the second of which has two copies of training images."""
    make(data, real=12, synthetic=8, generators=("good", "thief"))
    for label in "ab":
        shutil.copy(data / f"real/{label}/3.png", data / f"synthetic/thief/{label}/copy.png")
    table = manifests.read(data)
    extract.embed_all(table, ["pixels"], folder / "features")
    store = Store(folder / "features")

    def run(table: Manifest = table, **given: Any) -> Distances:
        how = {"metrics": METRICS, "permutations": 99, "workers": 1} | given
        return measure_domain(table, store, **how)[0]

    return table, store, run


@pytest.fixture
def study(
    make_data_in: MakeData, tmp_path: Path
) -> tuple[Manifest, Store, Callable[..., Distances]]:
    """A study of the test's own, whose images and features it may change."""
    return ready(tmp_path / "data", tmp_path, make_data_in)


@pytest.fixture
def no_shortcuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the search for shortcuts, the longest step, for tests of other parts."""
    monkeypatch.setattr("xprobe.distance.run.find_shortcuts", lambda *_: [])


@pytest.fixture(scope="module")
def measured(make_data_in: MakeData, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """The same study for all tests, which leave it as it is."""
    folder = tmp_path_factory.mktemp("measured")
    table, store, run = ready(folder / "data", folder, make_data_in)
    return Measured(table, store, run, run(), run(by_class=False))


def by(document: Distances) -> dict[tuple[Any, ...], Any]:
    return {(r.generator, r.class_, r.metric): r for r in document.distances}


def test_without_synthetic_images_there_is_nothing_to_measure(measured: Measured) -> None:
    table = measured.table
    with pytest.raises(
        XprobeError, match=r"no synthetic images .* beside DATA, --synthetic NAME=D"
    ):
        measured.run(table.select(table.source == "real"))


def test_every_generator_and_class_has_its_rows(measured: Measured) -> None:
    rows = by(measured.document)
    for generator in ("good", "thief"):
        assert {m for g, name, m in rows if (g, name) == (generator, None)} == set(METRICS)
        for label in "ab":
            own = {m for g, name, m in rows if (g, name) == (generator, label)}
            assert own == {"mmd", "energy"}  # the headline ones alone
    row = rows["good", None, "mmd"]
    assert (row.n_real, row.n_synthetic, row.n) == (24, 16, 12)
    assert (row.units_real, row.units_synthetic) == (24, 16)
    assert row.assumption == "assumes independent images"
    assert rows["good", None, "precision"].assumption is None  # It has no p.
    assert row.ci_low <= row.value <= row.ci_high
    assert 0 < row.p <= 1
    assert row.floor is not None
    assert row.encoder == "pixels"


def test_copies_are_named_set_aside_and_shown_beside(measured: Measured) -> None:
    table, store, _, document, _ = measured
    leaks = {row.id: row for row in document.leaks}
    assert set(leaks) == {f"synthetic/thief/{label}/copy.png" for label in "ab"}
    row = leaks["synthetic/thief/a/copy.png"]
    assert (row.neighbour, row.similarity) == ("real/a/3.png", 1)
    assert Path(row.neighbour_path).name == "3.png"
    rows = by(document)
    assert rows["thief", None, "mmd"].n_synthetic == 16
    assert rows["thief", None, "mmd"].value_with_leaks is not None
    assert rows["good", None, "mmd"].value_with_leaks is None
    assert any("exact copy of a training image" in text for text in document.warnings)
    clean = measure_domain(table, store, metrics=("mmd",), permutations=99, by_class=False)[1]
    assert set(table.id) - set(clean.id) == set(leaks)


def test_the_same_seed_gives_the_same_and_other_metrics_change_nothing(measured: Measured) -> None:
    run, one = measured.run, measured.document
    same = run()
    assert one.distances == same.distances
    alone = run(metrics=("energy",))
    for key, row in by(alone).items():
        assert by(one)[key] == row
    assert run(metrics=("energy",), seed=1).distances != alone.distances


@pytest.mark.usefixtures("no_shortcuts")
def test_a_class_that_a_generator_has_none_of_is_a_row_with_its_reason(measured: Measured) -> None:
    table, _, run, *_ = measured
    lacking = table.select((table.generator != "good") | (table.label != "b"))
    row = by(run(lacking, metrics=("mmd",)))["good", "b", "mmd"]
    assert row.value is None
    assert row.reason


@pytest.mark.usefixtures("no_shortcuts")
def test_edits_are_compared_with_the_true_image_of_their_scene(measured: Measured) -> None:
    table, store, run, _, overall = measured
    group = [
        Path(i).stem if s == "real" else "" for i, s in zip(table.id, table.source, strict=True)
    ]
    scene = np.array(
        [f"{label} {g}" if g else "" for label, g in zip(table.label, group, strict=True)]
    )
    parent = ["" if s == "real" else f"{label} {Path(i).stem.replace('copy', '3')}"
              for i, s, label in zip(table.id, table.source, table.label, strict=True)]  # fmt: skip
    misspelt = table.generator == "thief"
    parent = [f"{p}!" if m else p for p, m in zip(parent, misspelt, strict=True)]
    named = replace(table, group=scene.tolist(), parent=parent)
    document = run(named, by_class=False)
    edited = by(document)
    assert edited["thief", None, "mmd"].assumption == "assumes independent images"
    assert document.warnings[0].startswith(
        "18 of 34 parents of synthetic images (16 different) name no real image of the study, such "
        "as a 0!, a 1! and 14 more: "
    )
    headline = edited["good", None, "mmd"]
    assert (headline.units_real, headline.units_synthetic) == (24, 16)
    assert headline.assumption is None
    assert headline.value != by(overall)["good", None, "mmd"].value
    row = edited["good", None, "paired"]
    assert (row.n, row.n_real) == (16, 16)
    features = store.read(store.encoders()[0], named)[0]
    x = features.x / np.linalg.norm(features.x, axis=1, keepdims=True)
    at = {i: x[k] for k, i in enumerate(features.id)}
    expected = np.mean([
        np.linalg.norm(at[f"synthetic/good/{c}/{i}.png"] - at[f"real/{c}/{i}.png"])
        for c in "ab" for i in range(8)
    ])  # fmt: skip
    assert row.value == pytest.approx(expected, rel=1e-5)
    assert row.ci_low <= row.value <= row.ci_high
    assert row.floor > 0
    assert "paired" not in {r.metric for r in overall.distances}


@pytest.mark.usefixtures("no_shortcuts")
def test_images_are_looked_for_by_their_prompts_where_the_store_has_texts(study: Any) -> None:
    table, store, run = study
    quick = {"by_class": False, "metrics": ("precision",)}
    (encoder,) = store.encoders()
    is_good = table.generator == "good"
    cells = np.where(is_good, [f"image {i}" for i in range(len(table))], "").astype(object)
    first, second = np.flatnonzero(is_good)[:2]
    cells[second] = json.dumps([cells[first], cells[second]])
    prompted = replace(table, prompt=frozen_strings(cells))
    before = run(prompted, **quick).distances
    assert not [row for row in before if row.metric == "r_at_1"]
    chosen = prompted.select(is_good)
    features = store.read(encoder, chosen)[0].x
    put_texts(encoder, [f"image {i}" for i in np.flatnonzero(is_good)], features, 1.0)
    document = run(prompted, **quick)
    row = by(document)["good", None, "r_at_1"]
    assert ("thief", None, "r_at_1") not in by(document)  # Its images have no prompts.
    assert (row.value, row.n, row.n_real, row.n_synthetic) == (1, 16, 0, 16)
    assert row.floor == pytest.approx((15 + 2) / 16 / 16)
    assert row.ci_low < 1
    assert row.assumption == "given these prompts"  # They are fewer than ten a class.
    assert not any("R@1" in text for text in document.warnings)
    others = [row for row in before if row.generator == "thief"]
    assert others == [row for row in document.distances if row.generator == "thief"]


def test_shortcuts_are_told_as_warnings(study: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for file in (data / "synthetic" / "good").rglob("*.png"):
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()
    table = manifests.read(data)
    extract.embed_all(table, ["pixels"], tmp_path / "features")
    document = study[2](table, by_class=False)
    told = [r for r in document.shortcuts if r.tells_apart and r.generator == "good"]
    assert "format" in {r.property for r in told}
    (text,) = [t for t in document.warnings if t.startswith("files alone tell generator good")]
    assert "images: file format, " in text and "bytes per pixel" in text and "_" not in text


@pytest.mark.usefixtures("no_shortcuts")
def test_features_that_are_zeros_are_a_warning(study: Any) -> None:
    table, store, run = study
    encoder = store.add_encoder(
        "gaps", structs.replace(store.encoders()[0].spec, source="import:g")
    )
    x = np.random.default_rng(0).normal(size=(len(table), encoder.spec.dim))
    x[::7] = 0
    store.write_shard(encoder, list(table.sha256), x, {})
    (told,) = [line for line in run(encoders=["gaps"]).warnings if "features of" in line]
    assert f"nothing but zeros for {len(x[::7])} of {len(x)} images" in told


def test_a_sweep_repeats_the_warnings(measured: Measured, tmp_path: Path) -> None:
    table, store, _, _, document = measured
    config = SweepConfig(ratios=(0.5,), repeats=1, folds=2, inner_folds=2, c_grid=(1.0,))
    save_distance(tmp_path / "r", document)
    (found,) = sweep(table, store, tmp_path / "r", config, execution=ONE_WORKER)
    assert set(document.warnings) <= set(found.warnings)
    save_distance(tmp_path / "r", structs.replace(document, fingerprint="of other images"))
    (found,) = sweep(table, store, tmp_path / "r", config, execution=ONE_WORKER)
    assert not set(document.warnings) & set(found.warnings)


def test_examples_are_the_closest_the_median_and_the_farthest(measured: Measured) -> None:
    table, store, *_ = measured
    rows = [r for r in measured.overall.examples if r.generator == "good"]
    assert [(r.class_, r.which) for r in rows] == [
        (label, which) for label in "ab" for which in ("closest", "median", "farthest")
    ]
    features = store.read(store.encoders()[0], table)[0]
    x = features.x / np.linalg.norm(features.x, axis=1, keepdims=True)
    at = {i: x[k] for k, i in enumerate(features.id)}
    real = [i for i, source in zip(table.id, table.source, strict=True) if source == "real"]
    for label in "ab":
        far = []
        for i in range(8):
            own = at[f"synthetic/good/{label}/{i}.png"]
            far.append(min((float(np.linalg.norm(own - at[j])), j) for j in real))
        far.sort()
        found = {r.which: (r.distance, r.neighbour) for r in rows if r.class_ == label}
        expected = {"closest": far[0], "median": far[4], "farthest": far[-1]}
        for which, (distance, neighbour) in expected.items():
            assert found[which] == (pytest.approx(distance, abs=1e-5), neighbour)


def test_the_map_has_every_source_and_shows_the_largest_axis_first(measured: Measured) -> None:
    maps = measured.overall.maps
    assert [each.method for each in maps][:2] == ["pca", "tsne"]
    assert all(len(each.points) == len(maps[0].points) for each in maps)
    points = maps[0].points
    counts = {g: sum(p.generator == g for p in points) for g in (None, "good", "thief")}
    assert counts == {None: 24, "good": 16, "thief": 18}
    x, y = (np.array([getattr(p, axis) for p in points]) for axis in "xy")
    assert x.var() >= y.var()
    assert abs(x.mean()) < 1e-4
    assert abs(np.corrcoef(x, y)[0, 1]) < 1e-3


@pytest.mark.usefixtures("no_shortcuts")
def test_the_report_shows_maps_and_examples(study: Any, tmp_path: Path) -> None:
    table, store, run = study
    config = SweepConfig(ratios=(0.5,), repeats=1, folds=2, inner_folds=2, c_grid=(1.0,))
    save_distance(tmp_path / "r", run(by_class=False, metrics=("energy",), permutations=9))
    sweep(table, store, tmp_path / "r", config, execution=ONE_WORKER)
    Path(table.path[list(table.id).index("synthetic/good/a/0.png")]).unlink()
    written = write_report(tmp_path / "r", tmp_path / "report")
    names = {Path(file).name for file in written.figures}
    assert {
        "map-pixels-pca.png",
        "map-pixels-tsne.png",
        "examples-pixels-good.png",
        "examples-pixels-thief.svg",
    } <= names
    page = (tmp_path / "report" / "index.html").read_text()
    assert "nearest real ones, pixels · good" in page
    shown = page.split("How far synthetic lies from real")[1].split("How this was measured")[0]
    assert str(tmp_path) not in shown


@pytest.mark.usefixtures("no_shortcuts")
def test_examples_of_images_that_may_not_be_passed_on_are_not_drawn(
    study: Any, tmp_path: Path
) -> None:
    """Those of class a may not be, nor may edits of them; figures of a former report are gone."""
    table, _, run = study
    is_a = (table.label == "a") & (table.source == "real")
    parent = np.where((table.generator == "good") & (table.label == "b"), "real/a/0.png", "")
    table = replace(
        table, parent=parent, further={"licence": frozen_strings(np.where(is_a, "xBD", "mine"))}
    )
    document = run(table, by_class=False, metrics=("energy",), permutations=9)
    licences = {(row.generator, row.class_): row.licence for row in document.examples}
    assert licences["good", "b"] == "xBD"
    assert {licences["good", "a"], licences["thief", "b"]} == {"mine"}
    assert {row.neighbour_licence for row in document.examples if "/a/" in row.neighbour} == {"xBD"}
    images = structs.replace(make_study().manifest, fingerprint=document.fingerprint)
    save_study(tmp_path / "r", make_study(manifest=images))
    save_distance(tmp_path / "r", structs.replace(document, maps=()))
    examples = "examples-pixels-good.png"
    asked = write_report(tmp_path / "r", tmp_path / "report", images=True)
    assert examples in {Path(file).name for file in asked.figures}
    written = write_report(tmp_path / "r", tmp_path / "report")
    assert not list((tmp_path / "report" / "figures").glob("examples-pixels-good.*"))
    (said,) = written.pictures
    n = sum(licence_of(row) == "xBD" for row in document.examples)
    assert n >= 3
    assert said.startswith(f"{n} pictures are left out, of images that may not be passed on")
    page = (tmp_path / "report" / "index.html").read_text()
    assert f"Synthetic images and the nearest real ones: {n} pictures are left out" in page


@pytest.mark.usefixtures("no_shortcuts")
def test_the_index_of_each_encoder_is_read_once(
    study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a thousand shards, each look at all of them counts."""
    table, _, run = study
    extract.embed_all(table, ["hog"], tmp_path / "features")
    keys, read = [], Store.index
    monkeypatch.setattr(
        Store, "index", lambda store, encoder: (keys.append(encoder.key), read(store, encoder))[1]
    )
    document = run(metrics=("energy",), by_class=False)
    assert {row.encoder for row in document.distances} == {"hog", "pixels"}
    assert len(keys) == len(set(keys)) == 2


@pytest.mark.usefixtures("no_shortcuts")
def test_nothing_is_measured_of_null_edits_and_they_are_no_copies(
    measured: Measured, make_data_in: MakeData
) -> None:
    table, document = measured.table, measured.document
    is_copy = np.isin(table.id.astype(str), [row.id for row in document.leaks])
    marked = replace(table, further={"control": np.where(is_copy, "null-edit", "")})
    clean: list[Manifest] = []

    def run() -> Distances:
        again, kept = measure_domain(
            marked, measured.store, metrics=METRICS, permutations=99, workers=1
        )
        clean.append(kept)
        return again

    again = run()
    assert again.leaks == ()
    assert list(clean[0].id) == list(table.id)
    assert again.fingerprint == marked.fingerprint in again.holds_for
    without = {key: row for key, row in by(document).items() if key[2] == "mmd"}
    for key, row in without.items():
        assert by(again)[key].value == row.value, key
        assert by(again)[key].value_with_leaks is None
    assert sum(p.generator == "thief" for p in again.maps[0].points) == 16
    note = "2 synthetic images are made for the control null-edit: nothing here is measured of them"
    assert note in again.warnings
    assert not any("control" in text for text in document.warnings)
