"""UCM-Captions as it is published: numbers that are classes only where all of them are there."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from makers import SavePicture

from xprobe.images import read as manifests


def write(folder: Path, n: int, save_picture: SavePicture) -> Path:
    first = save_picture(folder / "imgs/1.tif")
    entries = []
    for i in range(1, n + 1):
        if i > 1:
            shutil.copy(first, first.with_name(f"{i}.tif"))
        entries.append({"filename": f"{i}.tif", "sentences": [{"raw": f"x {i}"}], "split": "train"})
    (folder / "dataset.json").write_text(json.dumps({"images": entries}))
    return folder


def test_all_of_it_has_the_classes_of_uc_merced_in_its_order(
    tmp_path: Path, save_picture: SavePicture
) -> None:
    data = write(tmp_path / "set", 2100, save_picture)
    with (
        pytest.warns(match="the classes are those of UC Merced, whose 2,100 images"),
        pytest.warns(match="taken as: UCM-Captions, 21 classes × 100"),
    ):
        images = manifests.read(data, hashed=False)
    assert set(Counter(images.label).values()) == {100}
    label_of = dict(zip(images.id, images.label, strict=True))
    known = {1: "agricultural", 100: "agricultural", 101: "airplane", 2100: "tenniscourt"}
    assert {i: label_of[f"imgs/{i}.tif"] for i in known} == known


def test_a_part_of_it_has_no_class(tmp_path: Path, save_picture: SavePicture) -> None:
    data = write(tmp_path / "set", 5, save_picture)
    with (
        pytest.warns(match="taken as: UCM-Captions, 1 class × 5"),
        pytest.warns(match="it states no classes"),
        pytest.warns(match=r"5 pictures, and not 1.tif to 2100.tif as in UCM-Captions"),
    ):
        images = manifests.read(data, whole=False, hashed=False)
    assert set(images.label) == {"unlabelled"}
