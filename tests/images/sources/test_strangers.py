"""What DATA holds in place of what it should, or beside it."""

from __future__ import annotations

from typing import Any

import pytest
from makers import described

from xprobe.base.errors import XprobeError
from xprobe.images.sources.folder import layout_of

FILES = ["0.png", "1.png"]
CLASSES = {"a": FILES, "b": FILES}
BOTH = {"real": CLASSES, "synthetic": CLASSES}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"train": CLASSES, "test": CLASSES},
            "there are splits train, test of the classes a, b; .* --real data/train --test "
            "data/test --synthetic NAME=DIR",
        ),
        ({"train": CLASSES, "val": CLASSES}, "--real data/train --real data/val --synthetic"),
        (CLASSES, "there are folders a, b; if these are the classes .* --real data --synthetic"),
        (CLASSES, "name them beside DATA, --synthetic NAME=data; a study needs"),
        (
            {"synthetic": CLASSES},
            "if its synthetic images belong to other real ones, name them .* --synthetic data/syn",
        ),
        ({"mine": BOTH}, "data/mine/real lies one folder deeper, so name data/mine as DATA;"),
        ({"train": BOTH, "test": BOTH}, "there are data/test/real, data/train/real; name them"),
        (
            {part: {"images": FILES, "labels": ["0.json"]} for part in ("train", "hold")},
            "data/hold holds images beside their labels, as published sets do, and no class",
        ),
        ({"images": FILES, "masks": FILES}, "data holds images beside their labels"),
        ({"real.zip": None}, "unpack data/real.zip, if the images are in it"),
        (
            {"train": {"a": FILES}, "test": {"a": FILES}},
            "there are splits train, test of one class alone, a; add images of another class; a",
        ),
        ({"0.png": None}, "it holds images and no class folders, so name the folder above it"),
        (
            {"0.png": None, "images.csv": None},
            "if data/images.csv is the table of the images, name that file as DATA; a study",
        ),
        (
            {"a": {"b": {"c": ["train.parquet"]}}},
            "there are .parquet files in data/a/b/c; if they hold images, name it as DATA",
        ),
        (
            {part: ["0.png", "metadata.jsonl"] for part in ("train", "test")},
            "data/test/metadata.jsonl says .* rename its column file_name to path, add .* name "
            "--test data/test/metadata.jsonl --real data/train/metadata.jsonl;",
        ),
        ({}, "data: no folder data/real; a study needs data/real/<class>"),
    ],
)
def test_without_real_images_the_error_says_what_is_there_and_the_way_on(
    tree: dict[str, Any], message: str
) -> None:
    with pytest.raises(XprobeError, match=message):
        layout_of(described(tree))


@pytest.mark.parametrize("name", ["real", "synthetic"])
def test_a_part_of_data_in_its_place_is_told(name: str) -> None:
    with pytest.raises(XprobeError, match=f"if this is the folder {name} of a study, name the one"):
        layout_of(described(CLASSES, f"data/{name}"))


@pytest.mark.parametrize("name", ["fake", "generated", "Synthetic images", "val_images"])
def test_folders_of_images_that_nothing_reads_are_named(name: str) -> None:
    (said,) = layout_of(described({**BOTH, name: CLASSES, "notes": ["x.txt"]})).notes
    assert said.startswith(f"the images in data/{name} are not read; if they are synthetic, move")
    (said,) = layout_of(described({**BOTH, name: {"deep": FILES}})).notes
    assert said.startswith(f"the images in data/{name} are not read; folders read beside real")


def test_folders_without_images_go_without_a_word() -> None:
    others = {"features": {"hog": {"shards": ["1.h5"]}}, "results": ["x.json"], "later": {}}
    assert not layout_of(described({**BOTH, **others})).notes


@pytest.mark.parametrize(("name", "part"), [("Synthetic", "synthetic"), ("REAL", "real")])
def test_the_parts_are_read_in_any_case_and_said(name: str, part: str) -> None:
    other = "synthetic" if part == "real" else "real"
    layout = layout_of(described({name: CLASSES, other: CLASSES}))
    assert layout.notes == [f"read data/{name} as the folder {part}"]
    assert len(layout.classes) == 4
