"""Whether the files of chosen tiles fit each other: sizes of images, outlines that can be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import TILE_OUTLINE, put_tile
from PIL import Image

from xprobe.images.sources.xbd.checks import check_files
from xprobe.images.sources.xbd.splits import Division
from xprobe.images.sources.xbd.tiles import Tile
from xprobe.images.sources.xbd.tree import read_tiles

NAME = "socal-fire_00000001"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_tile(tmp_path, "train", NAME, "fire")
    return tmp_path


def checked(root: Path) -> tuple[Tile, list[str]]:
    tiles, _ = read_tiles(root)
    division, remarks = check_files(Division({"train": tiles}, tiles))
    (tile,) = division.train
    return tile, remarks


def image(root: Path, moment: str) -> Path:
    return root / f"train/images/{NAME}_{moment}_disaster.png"


def label(root: Path, moment: str) -> Path:
    return root / f"train/labels/{NAME}_{moment}_disaster.json"


def test_files_that_fit_keep_their_outlines(root: Path) -> None:
    tile, remarks = checked(root)
    assert (tile.post_label, tile.pre_label) == (str(label(root, "post")), str(label(root, "pre")))
    assert not remarks


def test_images_of_two_sizes_are_taken_without_outlines(root: Path) -> None:
    Image.new("RGB", (6, 5)).save(image(root, "pre"))
    tile, remarks = checked(root)
    assert (tile.post_label, tile.pre_label) == ("", "")
    assert tile.post and tile.pre
    assert remarks == [
        "1 tile has images of two sizes before and after (taken all the same): "
        f"{NAME} (6 × 5, 12 × 10)",
        "1 tile has an image of another size than its label file says (taken without outlines): "
        f"{NAME}",
    ]


def test_images_that_were_made_smaller_lose_their_outlines(root: Path) -> None:
    for moment in ("pre", "post"):
        Image.new("RGB", (6, 5)).save(image(root, moment))
    tile, (remark,) = checked(root)
    assert tile.post_label == "" and "another size than its label file says" in remark


def test_an_image_without_a_header_is_left_to_others(root: Path) -> None:
    image(root, "post").write_bytes(b"")
    tile, remarks = checked(root)
    assert tile.post_label and not remarks


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (TILE_OUTLINE, "POLYGON ((1 1, 2", "1 label file has outlines that do not parse (taken w"),
        ("metadata", "nothing", "1 label file cannot be read (taken without outlines): "),
    ],
)
def test_outlines_that_cannot_be_used_are_told(root: Path, old: str, new: str, words: str) -> None:
    file = label(root, "pre")
    file.write_text(file.read_text().replace(old, new))
    tile, (remark,) = checked(root)
    assert tile.post_label and not tile.pre_label
    assert remark.startswith(words)


def test_a_tile_without_buildings_has_no_outlines(tmp_path: Path) -> None:
    put_tile(tmp_path, "train", NAME, "fire", [])
    tile, remarks = checked(tmp_path)
    assert (tile.post_label, tile.pre_label, remarks) == ("", "", [])
