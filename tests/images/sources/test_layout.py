"""Folders that no disk holds → class folders of splits, generators and sources."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import pytest
from makers import described

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.sources.folder import layout_of, rows_of

FILES = ["0.png", "1.png"]
CLASSES = {"a": FILES, "b": FILES}
SYNTHETIC = {"synthetic": CLASSES}

Counts = dict[tuple[str, ...], int]


def read(tree: dict[str, Any]) -> tuple[Counts, str]:
    """Return images by source, split, generator and class, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows = list(rows_of(layout_of(described(tree))))
    columns = ("source", "split", "generator", "label")
    counts = Counter(tuple(row[name] for name in columns) for row in rows)
    return dict(counts), " | ".join(str(warning.message) for warning in said)


def expected(**splits: str) -> Counts:
    """Return the counts of two files of each class: ``train="ab"`` of real, others by generator."""
    names = ("train", "val", "test", "extra")
    return {
        ("real" if part in names else "synthetic", part if part in names else "train",
         "" if part in names else part, label): 2
        for part, labels in splits.items() for label in labels
    }  # fmt: skip


PLAIN = {"train": "ab", "default": "ab"}


# --- splits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("val", "val"), ("valid", "val"), ("validation", "val"), ("dev", "val"), ("VAL", "val"),
        ("test", "test"), ("testing", "test"), ("held", "test"), ("holdout", "test"),
        ("hold-out", "test"), ("Test", "test"), ("hold", "test"), ("extra", "extra"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("train", ["train", "training", "Train"])
def test_folders_of_splits_below_real_are_read_as_such_and_said(
    name: str, split: str, train: str
) -> None:
    counts, said = read({"real": {train: CLASSES, name: CLASSES}} | SYNTHETIC)
    assert counts == expected(**PLAIN, **{split: "ab"})
    assert said == f"read data/real/{train} and data/real/{name} as splits of real images"


def test_splits_that_xbd_has_besides_are_put_together() -> None:
    counts, _ = read({"real": dict.fromkeys(("train", "tier3", "test", "hold"), CLASSES)})
    assert counts == dict.fromkeys(expected(train="ab", test="ab"), 4)


@pytest.mark.parametrize("name", ["val", "Validation", "holdout", "Test"])
def test_a_split_beside_real_is_read_and_said(name: str) -> None:
    counts, said = read({"real": CLASSES, name: CLASSES} | SYNTHETIC)
    split = "val" if name[0] in "vV" else "test"
    assert counts == expected(**PLAIN, **{split: "ab"})
    assert said == f"read data/{name} as the split {split} of real images"


@pytest.mark.parametrize(
    ("synthetic", "generator"),
    [
        ({"train": CLASSES, "test": CLASSES}, "default"),
        ({"train": {"g": CLASSES}, "test": {"g": CLASSES}}, "g"),
        ({"g": {"train": CLASSES, "test": CLASSES}}, "g"),
        ({"g": {label: {"train": FILES, "test": FILES} for label in "ab"}}, "g"),
    ],
)
def test_of_synthetic_images_only_training_splits_are_read(
    synthetic: dict[str, Any], generator: str
) -> None:
    counts, said = read({"real": CLASSES, "synthetic": synthetic})
    assert counts == expected(train="ab", **{generator: "ab"})
    assert "of splits that are not trained with: 4, such as data/synthetic/" in said
    assert "as splits of synthetic images" in said or "as a split of synthetic images" in said


def test_what_lies_beside_splits_is_counted() -> None:
    real = {"train": CLASSES, "test": CLASSES, "labels": ["0.json"], "9.png": None, ".x": None}
    _, said = read({"real": real})
    assert [text.partition(",")[0] for text in said.split(" | ")[1:]] == [
        "left out images that lie in no class folder: 1",
        "left out hidden or system files and folders: 1",
        "left out label masks: 1",
    ]


def test_splits_may_lie_below_the_classes() -> None:
    splits = {"train": FILES, "test": FILES}
    counts, said = read({"real": {"a": splits, "b": splits}} | SYNTHETIC)
    assert counts == expected(**PLAIN, test="ab")
    assert "read data/real/a/train, data/real/a/test, data/real/b/train and data/real/b/" in said


def test_of_many_splits_a_line_names_a_few() -> None:
    real = {f"c{i}": {"train": FILES, "test": FILES} for i in range(20)}
    _, said = read({"real": real})
    assert said.endswith("data/real/c10/test and 34 more as splits of real images")


@pytest.mark.parametrize("name", ["test", "val", "train", "held", "extra", "dev"])
def test_a_class_may_be_called_as_a_split_beside_classes(name: str) -> None:
    tree = {"a": FILES, name: FILES}
    counts, said = read({"real": tree, "synthetic": tree})
    assert set(counts) == {
        (*start, label)
        for start in (("real", "train", ""), ("synthetic", "train", "default"))
        for label in tree
    }
    assert not said
    nested = {"a": {"deep": FILES}, name: {"deeper": FILES}}
    assert read({"real": nested, "synthetic": tree}) == (counts, "")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"real": {**CLASSES, "test": CLASSES}}, "data/real/test may be a split, since it holds a"),
        (
            {"real": {"train": CLASSES, "test": CLASSES, "more": FILES}},
            "data/real/test may be a split.* beside more; .* rename it",
        ),
        (
            {"real": {"train": CLASSES, "more": FILES}} | SYNTHETIC,
            "data/real/train may be a split, since it holds a, b, or a class .* beside more;",
        ),
        (
            {"real": CLASSES, "synthetic": {"dev": CLASSES, "schnell": CLASSES}},
            "data/synthetic/dev may be a split.* generator, since it lies beside schnell",
        ),
        ({"real": {"train": FILES, "test": FILES}}, "data/real/test is called.*class folders; put"),
        ({"real": {"train": CLASSES, "val": FILES}}, "data/real/val is called as a split.*rename"),
        ({"real": {"test": FILES, "extra": FILES}}, "data/real/extra is called as a split is"),
        ({"real": {"val": CLASSES, "test": CLASSES}}, "data/real holds the splits .*none to train"),
        ({"real": {"train": CLASSES, "test": CLASSES}, "test": CLASSES}, "both data/real/test and"),
        ({"real": {"train": CLASSES, "dev": CLASSES}, "val": CLASSES}, "both data/real/dev and"),
        ({"real": CLASSES, "train": CLASSES}, "data/train holds classes of data/real; move"),
        ({"real": CLASSES, "Real": CLASSES}, "both data/Real and data/real exist; keep one"),
        (
            {"real": {"train": {"a": FILES}, "val": CLASSES}},
            "data/real/val/b is no class of the real images to train on",
        ),
        (
            {"real": {"a": {"0.png": None, "test": FILES}, "b": FILES}},
            "data/real/a/test is called as a split is, but lies beside other pictures",
        ),
        (
            {"real": CLASSES, "test": {"a": {"train": FILES, "test": FILES}}},
            "data/test/a/train is called as a split is, and lies in the split test",
        ),
    ],
)
def test_what_is_doubtful_stops_with_the_name_of_the_folder(
    tree: dict[str, Any], message: str
) -> None:
    with pytest.raises(XprobeError, match=message):
        read(tree)


# --- published sets -----------------------------------------------------------------------

SCENE = "storm_00000001"
IMAGES = [f"{SCENE}_pre_disaster.png", f"{SCENE}_post_disaster.png"]
XBD = {
    "images": IMAGES,
    "labels": [name.replace("png", "json") for name in IMAGES],
    "targets": [name.replace(".png", "_target.png") for name in IMAGES],
}


def test_labels_and_targets_below_a_class_are_left_out_and_twins_are_said() -> None:
    counts, said = read({"real": {"a": XBD, "b": FILES}} | SYNTHETIC)
    assert counts == expected(**PLAIN)
    assert "left out label masks: 2, such as data/real/a/targets/" in said
    assert "left out files that are no images by their name: 2 (2 .json)" in said
    assert "scenes that are there before and after, by their names: 1;" in said


def test_twins_are_one_group_over_classes_and_splits() -> None:
    real = {"train": {"a": IMAGES[:1], "b": FILES}, "test": {"a": FILES, "b": IMAGES[1:]}}
    with pytest.warns(XprobeWarning) as said:
        rows = list(rows_of(layout_of(described({"real": real}))))
    assert "scenes that are there before and after, by their names: 1;" in str(said[1].message)
    first, second = (row for row in rows if SCENE in row["id"])
    assert first["group"] == second["group"] == f"real/test/b/{SCENE}_post_disaster.png"
    assert {row["group"] for row in rows if SCENE not in row["id"]} == {""}


@pytest.mark.parametrize("folder", ["Images", "images", "JPEGImages", "img"])
def test_a_folder_of_images_holds_what_belongs_in_its_place(folder: str) -> None:
    counts, said = read({"real": {folder: CLASSES, "labels": {"a": ["0.txt"]}}} | SYNTHETIC)
    assert counts == expected(**PLAIN)
    assert f"read data/real/{folder} in place of data/real" in said
    assert "left out label masks: 1, such as data/real/labels" in said


@pytest.mark.parametrize(
    "folders", [("images", "labels"), ("train-org-img", "train-label-img"), ("img", "binary_masks")]
)
def test_splits_without_class_folders_are_refused(folders: tuple[str, ...]) -> None:
    split = dict.fromkeys(folders, FILES)
    with pytest.raises(XprobeError, match=r"data/real/test is called .* but holds images and no"):
        read({"real": {"train": split, "test": split}})


def test_a_set_without_class_folders_is_refused() -> None:
    with pytest.raises(XprobeError, match=r"data/real/images holds images and no class folders: "):
        read({"real": XBD})
    with pytest.raises(XprobeError, match=r"data/real/test is called as a split is beside train"):
        read({"real": {"train": XBD, "test": XBD}})


@pytest.mark.parametrize("masks", [CLASSES, FILES, ["0_mask.png", "1_mask.png"], ["0.json"]])
@pytest.mark.parametrize("name", ["masks", "SegmentationClass", "ground_truth", "labels"])
def test_masks_beside_classes_are_no_class(name: str, masks: Any) -> None:
    counts, said = read({"real": {**CLASSES, name: masks}} | SYNTHETIC)
    assert counts == expected(**PLAIN)
    assert f"data/real/{name}" in said


def test_masks_beside_generators_are_no_generator() -> None:
    counts, said = read({"real": CLASSES, "synthetic": {"g": CLASSES, "masks": CLASSES}})
    assert counts == expected(train="ab", g="ab")
    assert "left out label masks: 4, such as data/synthetic/masks" in said


@pytest.mark.parametrize(
    "real",
    [
        {"mask": ["m0.png", "m1.png"], "none": FILES},
        {"mask": FILES, "no_mask": FILES},
        {"mask": FILES, "none": FILES},
    ],
)
def test_a_class_may_be_called_mask(real: dict[str, Any]) -> None:
    counts, said = read({"real": real, "synthetic": dict.fromkeys(real, FILES)})
    assert {label for *_, label in counts} == set(real)
    assert not said


@pytest.mark.parametrize("name", ["EuroSAT_RGB", "my set"])
def test_one_folder_around_the_classes_is_passed_through(name: str) -> None:
    counts, said = read({"real": {name: CLASSES}, "synthetic": {"g": {"out": CLASSES}, **CLASSES}})
    assert counts == expected(train="ab", g="ab", default="ab")
    assert said == (
        f"read data/real/{name} in place of data/real | read data/synthetic/g/out in place of "
        f"data/synthetic/g"
    )
    assert {label for *_, label in read({"real": {name: CLASSES}})[0]} == {name}


def test_archives_beside_classes_are_counted() -> None:
    _, said = read({"real": {**CLASSES, "c.zip": None, "README.md": None}})
    assert said.startswith("left out archives: 1 (1 .zip), such as data/real/c.zip; unpack")


def test_a_folder_of_a_whole_study_is_no_folder_of_real_images() -> None:
    with pytest.raises(XprobeError, match="data/real holds folders real and synthetic itself"):
        read({"real": {"real": CLASSES, "synthetic": CLASSES}})


# --- names of classes ---------------------------------------------------------------------


def test_two_forms_of_unicode_are_one_class() -> None:
    composed, decomposed = "\u00e9t\u00e9", "e\u0301te\u0301"
    counts, said = read({"real": {composed: FILES}, "synthetic": {"g": {decomposed: FILES}}})
    assert {label for *_, label in counts} == {composed}
    assert said.startswith(f"class {composed}: its folders are written in two forms of Unicode")
    assert not read({"real": {decomposed: FILES}, "synthetic": {decomposed: FILES}})[1]


@pytest.mark.parametrize("name", ["A", "a ", "\uff41"])
def test_a_class_that_is_spelled_otherwise_is_named(name: str) -> None:
    with pytest.raises(XprobeError, match=f"data/synthetic/{name} and the class a of real differ"):
        read({"real": CLASSES, "synthetic": {name: FILES, "b": FILES}})


def test_a_generator_of_other_classes_is_told_with_those_of_both() -> None:
    said = (
        "data/synthetic/g is no class of real, and its folders c, d are none either; the classes "
        "of real are a, b: call the folders as these, or remove them"
    )
    with pytest.raises(XprobeError, match=said):
        read({"real": CLASSES, "synthetic": {"g": {"c": FILES, "d": FILES}}})


def test_images_of_no_class_are_counted() -> None:
    loose = {**CLASSES, "9.png": None, "notes.txt": None}
    _, said = read({"real": loose, "synthetic": {"g": loose, "8.png": None}})
    assert said == (
        "left out images that lie in no class folder: 3, such as data/real/9.png; move them into "
        "the folder of their class"
    )


@pytest.mark.parametrize("made", [{}, {"a": FILES}])
def test_a_folder_in_which_images_are_being_generated_is_left_out(made: dict[str, Any]) -> None:
    begun = {"requests.jsonl": None, "to-do": FILES, **made}
    tree = {"real": CLASSES, "synthetic": {"sdxl": CLASSES, "web": begun}}
    counts, said = read(tree)
    assert counts == expected(train="ab", sdxl="ab")
    assert "synthetic/web is left out: xprobe generate has begun it" in said
    counts, said = read({"real": CLASSES, "synthetic": begun})
    assert counts == expected(train="ab")
    assert "synthetic is left out" in said
