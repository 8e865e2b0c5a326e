"""Which images of a table take part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from makers import MakeData, MakeManifest

from xprobe.base.errors import OptionError, XprobeError, XprobeWarning
from xprobe.images.config import DataConfig
from xprobe.images.manifest import SPELT
from xprobe.images.read import read
from xprobe.images.selection import choose_generators, settle_validation, take_few
from xprobe.images.survey import find_problems

ROWS = [
    {"source": "real", "split": "train"},
    {"source": "real", "split": "val"},
    {"source": "real", "split": "val"},
    {"source": "synthetic", "split": "val"},
]


def test_validation_images_are_trained_with_unless_they_are_to_test() -> None:
    with pytest.warns(XprobeWarning, match=r"val is trained with \(2 real and 1 synthetic images"):
        assert [row["split"] for row in settle_validation(ROWS, "train")] == ["train"] * 4
    with pytest.warns(XprobeWarning, match=r"val is tested on, as asked \(2 real images; 1 synth"):
        assert [row["split"] for row in settle_validation(ROWS, "test")] == [
            "train",
            "test",
            "test",
        ]
    assert list(settle_validation(ROWS[:1], "test")) == ROWS[:1]


@pytest.mark.parametrize("val", ["train", "test"])
def test_a_folder_of_validation_images_is_what_it_is_asked_to_be(
    make_data: MakeData, val: str
) -> None:
    data = make_data(test=2)
    (data / "test").rename(data / "val")
    with pytest.warns(XprobeWarning) as said:
        manifest = read(data, config=DataConfig(val=val))
    assert {s for i, s in zip(manifest.id, manifest.split, strict=True) if "val" in i} == {val}
    assert len(said) == 2
    with pytest.raises(OptionError, match="--val is train or test, not 'both'"):
        DataConfig(val="both")


@pytest.mark.parametrize("word", ["val", "Valid", "validation", "dev"])
def test_a_manifest_may_name_validation_images(tmp_path: Path, word: str) -> None:
    lines = ["path,label,source,split", "1.png,a,real,", f"2.png,a,real,{word}"]
    (tmp_path / "m.csv").write_text("\n".join([*lines, f"3.png,a,synthetic,{word}"]))
    for val, splits in (("train", ["train"] * 3), ("test", ["train", "test"])):
        with pytest.warns(XprobeWarning, match="val is"):
            manifest = read(
                tmp_path / "m.csv", whole=False, hashed=False, config=DataConfig(val=val)
            )
        assert manifest.split.tolist() == splits


def test_chosen_generators_leave_the_images_of_the_others_out(make_data: MakeData) -> None:
    data = make_data(generators=("x", "y", "z"))
    every = read(data)
    chosen = read(data, config=DataConfig(generators=("z", "x", "z")))
    assert chosen.id.tolist() == [i for i in every.id if "synthetic/y" not in i]
    shutil.rmtree(data / "synthetic/y")
    assert chosen.fingerprint == read(data).fingerprint
    with pytest.raises(XprobeError, match=r"--generator xx: no such .*mean x\?\); known: x, z"):
        read(data, config=DataConfig(generators=("z", "xx")))


def test_a_generator_that_lacks_a_class_is_left_out_if_asked(make_data: MakeData) -> None:
    data = make_data(("a", "b", "c"), generators=("x", "y", "z"))
    shutil.rmtree(data / "synthetic/x/a")
    with pytest.raises(
        XprobeError,
        match=r"class 'a' of real has no images in synthetic \(generator x\); add them, or leave "
        r"them out with --skip-incomplete, or choose others with --generator$",
    ):
        read(data)
    shutil.rmtree(data / "synthetic/z/c")
    with pytest.raises(XprobeError, match=r"2 of 3 generators have no .*: x \(a\), z \(c\); add"):
        read(data)
    said = r"left out 2 generators that lack a class: x \(a\), z \(c\)"
    with pytest.warns(XprobeWarning, match=said):
        manifest = read(data, config=DataConfig(skip_incomplete=True))
    assert set(manifest.generator) == {"", "y"}
    assert read(data, config=DataConfig(generators=("y",))).fingerprint == manifest.fingerprint


def test_at_least_one_generator_must_be_complete(make_manifest: MakeManifest) -> None:
    manifest = make_manifest(["a", "b", "a"], source=["real", "real", "synthetic"])
    with pytest.raises(XprobeError, match=r"data: every generator lacks a class: default \(b\)"):
        choose_generators(manifest, DataConfig(skip_incomplete=True), "data")
    real = manifest.select(manifest.source == "real")
    assert choose_generators(real, DataConfig(skip_incomplete=True), "data") is real
    with pytest.raises(XprobeError, match="--generator x: no such generator; known: none"):
        choose_generators(real, DataConfig(generators=("x",)), "data")


def test_names_of_generators_may_stand_in_a_list_and_may_hold_commas(
    make_manifest: MakeManifest,
) -> None:
    generator = ["", "sd", "flux", "sd, turbo"]
    images = make_manifest(["a"] * 4, source=["real"] + ["synthetic"] * 3, generator=generator)

    def chosen(*names: str) -> set[str]:
        return set(choose_generators(images, DataConfig(generators=names), "data").generator)

    assert chosen("sd,flux") == {"", "sd", "flux"}
    assert chosen("sd, turbo") == {"", "sd, turbo"}
    assert chosen("sd, turbo", "flux") == {"", "sd, turbo", "flux"}
    with pytest.raises(XprobeError, match="--generator turbo: no such generator"):
        chosen("sd,turbo")


def images_of(
    part: str, label: str, n: int, source: str = "real", **columns: str
) -> list[dict[str, str]]:
    """Rows of n images of a class."""
    return [
        {"path": f"{part}/{label}/{i}", "label": label, "source": source, **columns}
        for i in range(n)
    ]


def test_a_smoke_test_takes_a_few_of_each_class_and_synthetic_ones_in_proportion() -> None:
    rows = images_of("real", "a", 10) + images_of("real", "b", 3)
    rows += images_of("test", "a", 8, split="test")
    rows += images_of("s", "a", 32, "synthetic", generator="sd")
    rows += images_of("s", "b", 1, "synthetic", generator="sd")
    rows += images_of("f", "a", 4, "synthetic", generator="flux")
    few = take_few(rows, 4)
    counts = {
        (part, label): len([r for r in few if r["path"].startswith(f"{part}/{label}")])
        for part in ("real", "test", "s", "f")
        for label in "ab"
    }
    assert counts == {
        ("real", "a"): 4, ("real", "b"): 3, ("test", "a"): 4, ("test", "b"): 0,
        ("s", "a"): 16, ("s", "b"): 1, ("f", "a"): 4, ("f", "b"): 0,
    }  # fmt: skip
    assert take_few(reversed(rows), 4) != few
    assert {r["path"] for r in take_few(reversed(rows), 4)} == {r["path"] for r in few}
    more = {r["path"] for r in take_few(rows, 5)}
    assert {r["path"] for r in few} < more
    assert take_few(rows, None) == rows


def test_a_smoke_test_keeps_images_that_are_made_from_those_it_keeps() -> None:
    rows = images_of("real", "a", 20)
    rows += [
        {**row, "parent": f"real/a/{i}"}
        for i, row in enumerate(images_of("s", "a", 20, "synthetic"))
    ]
    placed = [{**row, "id": f"{i}", "path": f"/x/{row['path']}", SPELT: row["path"]}
              for i, row in enumerate(rows)]  # fmt: skip
    for table, name in ((rows, "path"), (placed, SPELT)):
        few = take_few(table, 5)
        kept = {row[name] for row in few if row["source"] == "real"}
        assert {row["parent"] for row in few if row["source"] == "synthetic"} == kept


def test_a_table_says_that_it_is_one_of_a_smoke_test(make_data: MakeData) -> None:
    data = make_data(real=6, synthetic=12)
    whole, few = read(data), read(data, config=DataConfig(limit=3))
    assert (len(few), few.limit) == (18, 3)
    assert few.fingerprint != whole.fingerprint
    assert few.select(few.source == "real").limit == 3
    unhashed = read(data, hashed=False, config=DataConfig(limit=3))
    assert list(unhashed.id) == list(few.id)
    (said,) = find_problems(few)
    assert said.startswith("SMOKE TEST on 18 images, as asked (--limit 3)")
    assert find_problems(whole) == []


def test_a_smoke_test_keeps_as_many_null_edits_for_an_image_as_there_are() -> None:
    rows = images_of("real", "a", 10)
    rows += images_of("s", "a", 30, "synthetic", generator="sd")
    rows += images_of("n", "a", 10, "synthetic", generator="sd", control="null-edit")
    for limit in range(2, 6):
        few = [row["path"].partition("/")[0] for row in take_few(rows, limit)]
        assert [few.count(part) for part in ("real", "s", "n")] == [limit, 3 * limit, limit]
