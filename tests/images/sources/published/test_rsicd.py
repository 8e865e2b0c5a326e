"""RSICD as it is published, in small."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from makers import SavePicture

from xprobe.base.errors import XprobeError
from xprobe.images import read as manifests

NAMES = ("beach_1.jpg", "beach_2.jpg", "park_1.jpg", "park_2.jpg", "00007.jpg")


@pytest.fixture
def rsicd(tmp_path: Path, save_picture: SavePicture) -> Path:
    folder = tmp_path / "any name"
    entries = []
    for i, name in enumerate(NAMES):
        save_picture(folder / "RSICD_images" / name)
        sentences = [{"tokens": ["x"], "raw": f"x {i} {k} .", "imgid": i} for k in range(2)]
        split = ("train", "test")[i % 2]
        entries.append({"filename": name, "imgid": i, "sentences": sentences, "split": split})
    (folder / "dataset_rsicd.json").write_text(json.dumps({"images": entries, "dataset": "rsicd"}))
    return folder


@pytest.mark.filterwarnings("ignore")
def test_the_class_is_in_the_file_name(rsicd: Path) -> None:
    images = manifests.read(rsicd, whole=False)
    counts = Counter(zip(images.label, images.source, images.split, strict=True))
    assert counts == {
        (label, "real", split): 1 for label in ("beach", "park") for split in ("train", "test")
    }
    assert images.prompt[0] == '["x 0 0 .", "x 0 1 ."]'
    with pytest.warns(match=r"pictures of unknown class: 1, such as .*00007.jpg"):
        manifests.read(rsicd)
    with pytest.warns(match="taken as: RSICD, train: 2 classes × 1; test: 2 classes × 1"):
        manifests.read(rsicd)


@pytest.mark.filterwarnings("ignore")
def test_lists_of_classes_beside_it_say_the_class_of_numbers_too(rsicd: Path) -> None:
    lists = rsicd / "txtclasses_rsicd"
    lists.mkdir()
    (lists / "beach.txt").write_text("beach_1.jpg\nbeach_2.jpg\n")
    (lists / "farmland.txt").write_text("00007.jpg\r\npark_1.jpg\r\npark_2.jpg\nx_9.jpg")
    with pytest.warns(match=r"say another class than .* 2 pictures, .* park_1.jpg \(farmland\)"):
        images = manifests.read(rsicd)
    names = [Path(path).name.partition("_")[0] for path in images.path]
    assert {*zip(names, images.label, strict=True)} == {
        ("00007.jpg", "farmland"),
        ("beach", "beach"),
        ("park", "farmland"),
    }


def test_a_picture_in_two_lists_of_classes_is_an_error(rsicd: Path) -> None:
    lists = rsicd / "txtclasses_rsicd"
    lists.mkdir()
    for name in ("beach", "farmland"):
        (lists / f"{name}.txt").write_text("00007.jpg\n")
    with pytest.raises(XprobeError, match=r"farmland.txt: lists 00007.jpg, which beach.txt lists"):
        manifests.read(rsicd)


@pytest.mark.filterwarnings("ignore")
def test_names_of_one_kind_are_no_class(rsicd: Path) -> None:
    entries = [{"filename": f"beach_{i}.jpg", "sentences": [{"raw": "x"}]} for i in (1, 2)]
    (rsicd / "dataset_rsicd.json").write_text(json.dumps({"images": entries}))
    with pytest.warns(match="it states no classes, so that all images are of the class unlabelled"):
        images = manifests.read(rsicd, whole=False)
    assert set(images.label) == {"unlabelled"}
    with pytest.raises(XprobeError, match="a study compares classes, and no class is known"):
        manifests.read(rsicd)


@pytest.mark.filterwarnings("ignore")
def test_lists_of_splits_beside_it_are_no_lists_of_classes(rsicd: Path) -> None:
    (rsicd / "splits").mkdir()
    (rsicd / "splits/train.txt").write_text("\n".join(NAMES[::2]))
    (rsicd / "splits/Test.txt").write_text("\n".join(NAMES[1::2]))
    assert set(manifests.read(rsicd, whole=False).label) == {"beach", "park"}
