"""The folders of xBD: tiles from the names of files and their labels, and what is wrong in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from makers import put_tile

from xprobe.base.errors import XprobeError
from xprobe.images.sources.xbd.tiles import Damage
from xprobe.images.sources.xbd.tree import is_xbd, read_tiles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four tiles, one in each official split."""
    folder = tmp_path / "xbd"
    put_tile(folder, "train", "socal-fire_00000001", "fire", ["destroyed", "no-damage"], strip="s")
    put_tile(folder, "tier3", "moore-tornado_00000002", "wind", [])
    put_tile(folder, "test", "palu-tsunami_00000003", "tsunami", suffix=".tif")
    put_tile(folder, "hold", "socal-fire_00000004", "fire")
    return folder


def file_of(root: Path, part: str, name: str, suffix: str = ".json") -> Path:
    folder = "labels" if suffix == ".json" else "images"
    return root / part / folder / f"{name}_disaster{suffix}"


def test_tiles_are_read_from_all_official_splits(root: Path) -> None:
    tiles, remarks = read_tiles(root)
    assert not remarks
    assert [(t.name, t.label, t.part) for t in tiles] == [
        ("moore-tornado_00000002", "wind", "tier3"), ("palu-tsunami_00000003", "tsunami", "test"),
        ("socal-fire_00000001", "fire", "train"), ("socal-fire_00000004", "fire", "hold"),
    ]  # fmt: skip
    fire = tiles[2]
    assert (fire.damage, fire.strip, fire.size) == (Damage((1, 0, 0, 1, 0)), "s", (12, 10))
    assert fire.post.endswith("train/images/socal-fire_00000001_post_disaster.png")
    assert fire.pre_label.endswith("train/labels/socal-fire_00000001_pre_disaster.json")
    assert tiles[1].post.endswith(".tif") and tiles[1].pre.endswith(".tif")


def test_masks_are_never_looked_at(root: Path) -> None:
    tiles, _ = read_tiles(root)
    assert not [tile for tile in tiles if "target" in tile.post + tile.pre]


def test_progress_counts_tiles(root: Path) -> None:
    from contextlib import contextmanager

    seen: list[int] = []

    @contextmanager
    def bar(_title: str, total: int | None):  # type: ignore[no-untyped-def]
        seen.append(-(total or 0))
        yield seen.append

    read_tiles(root, bar)
    assert seen == [-4, 1, 1, 1, 1]


def test_what_is_wrong_is_a_line_with_a_count_and_examples(root: Path) -> None:
    for i in range(10, 15):
        put_tile(root, "train", f"socal-fire_{i:08d}", "fire")
    file_of(root, "train", "socal-fire_00000010_post", ".png").unlink()
    file_of(root, "train", "socal-fire_00000011_post").unlink()
    file_of(root, "train", "socal-fire_00000012_pre", ".png").unlink()
    for number in (13, 14):
        cut = file_of(root, "train", f"socal-fire_{number:08d}_post")
        cut.write_bytes(cut.read_bytes()[:-30])
    tiles, remarks = read_tiles(root)
    assert [tile.number for tile in tiles if tile.event == "socal-fire"] == [
        "00000001", "00000004", "00000012",
    ]  # fmt: skip
    text = "\n".join(remarks)
    for said in (
        r"2 label files have no image \(left out\): .*_00000010_post_disaster\.json",
        r"1 image has no label file \(left out\): .*_00000011_post_disaster\.png",
        r"1 tile has no image from before the event \(taken without a twin\): .*_00000012",
        r"2 label files cannot be read \(left out\): .*_00000013_post_disaster\.json \(.*\), ",
    ):
        assert re.search(said, text), said
    (alone,) = [tile for tile in tiles if tile.number == "00000012"]
    assert (alone.pre, alone.pre_label) == ("", "")


def test_the_reverse_is_told_as_well(root: Path) -> None:
    file_of(root, "train", "socal-fire_00000001_post", ".png").unlink()
    file_of(root, "train", "socal-fire_00000001_post").unlink()
    file_of(root, "hold", "socal-fire_00000004_pre").unlink()
    tiles, remarks = read_tiles(root)
    text = "\n".join(remarks)
    assert "1 tile has no image from after the event (left out): socal-fire_00000001" in text
    assert "1 image has no label file (taken without outlines): " in text
    assert [(t.pre_label, bool(t.pre)) for t in tiles if t.part == "hold"] == [("", True)]


def test_a_tile_in_two_splits_is_taken_once_for_the_test_part(root: Path) -> None:
    put_tile(root, "train", "socal-fire_00000004", "fire")
    tiles, remarks = read_tiles(root)
    assert [tile.part for tile in tiles if tile.number == "00000004"] == ["hold"]
    (said,) = remarks
    assert said.startswith("1 tile lies in two splits (taken once, for the test part")
    assert said.endswith("socal-fire_00000004 (hold, train)")


def test_odd_files_grades_and_kinds_are_told(root: Path) -> None:
    for part, name in (("train/images", "notes.txt"), ("train/labels", "a_1_post_disaster.json")):
        (root / part / name).write_text("")
    (root / "train/images/.DS_Store").write_text("")
    put_tile(root, "train", "socal-fire_00000005", "wind", ["sunken"])
    put_tile(root, "train", "socal-fire_00000006", "")
    name = "socal-fire_00000001_post_disaster"
    (root / f"train/images/{name}.tif").write_bytes(
        (root / f"train/images/{name}.png").read_bytes()
    )
    tiles, remarks = read_tiles(root)
    text = "\n".join(remarks)
    assert "2 files have no name of an image or label of a tile (left out): " in text
    assert "1 tile has buildings of a damage grade that xBD does not have (these buildings" in text
    assert "socal-fire_00000005 (sunken)" in text
    assert "1 label file names no disaster_type (left out): socal-fire_00000006" in text
    assert "1 image lies beside another one of its name (left out): " in text
    assert "tiles of socal-fire are of several kinds (2 fire, 1 wind), each taken as" in text
    assert [tile.post[-4:] for tile in tiles if tile.number == "00000001"] == [".png"]


def test_images_of_a_split_without_labels_are_not_passed_over(root: Path) -> None:
    for file in (root / "hold/labels").iterdir():
        file.unlink()
    (root / "hold/labels").rmdir()
    _, remarks = read_tiles(root)
    assert any("image has no label file (left out): " in line for line in remarks)


def test_a_split_may_be_named_alone(root: Path) -> None:
    (tile,) = read_tiles(root / "tier3")[0]
    assert tile.part == "tier3"


def test_another_folder_is_refused_with_the_right_one(root: Path) -> None:
    with pytest.raises(XprobeError, match=f"this folder has none; {root} does"):
        read_tiles(root.parent)
    with pytest.raises(XprobeError, match="there is no such folder"):
        read_tiles(root / "none")
    for file in root.glob("*/images/*"):
        file.unlink()
    with pytest.raises(XprobeError, match="no tile that can be used: 2 label files have no image"):
        read_tiles(root / "train")


def test_xbd_is_recognised_by_its_folders_and_names(root: Path) -> None:
    assert is_xbd(root) and is_xbd(root / "train")
    assert not is_xbd(root.parent) and not is_xbd(root / "train/images")
    assert not is_xbd(root / "train/labels/socal-fire_00000001_pre_disaster.json")
    (root / "real").mkdir()
    assert not is_xbd(root)


@pytest.mark.parametrize("name", ["Train", "train/train", "more"])
def test_a_split_of_another_name_is_told(root: Path, name: str) -> None:
    (root / "train").rename(root / "aside")
    (root / name).parent.mkdir(exist_ok=True)
    (root / "aside").rename(root / name)
    tiles, remarks = read_tiles(root)
    assert len(tiles) == 3
    assert (
        "1 folder holds images or labels, and is no split of xBD (left out; call it train, "
        in (remarks[0])
    )
    assert remarks[0].endswith(f": {root / name}")


def test_a_folder_beside_the_splits_that_holds_something_else_is_none(root: Path) -> None:
    (root / "papers/2019").mkdir(parents=True)
    assert read_tiles(root)[1] == []
    (tiles, remarks) = read_tiles(root / "train")
    assert (len(tiles), remarks) == (1, [])


def test_a_tile_whose_name_is_no_text_is_left_out(root: Path) -> None:
    for name in ("images/{}_{}_disaster.png", "labels/{}_{}_disaster.json"):
        for moment in ("pre", "post"):
            old, new = (name.format(n, moment) for n in ("socal-fire_00000001", "f\udce9_00000001"))
            (root / "train" / old).rename(root / "train" / new)
    tiles, remarks = read_tiles(root)
    assert len(tiles) == 3
    assert remarks[0].startswith("4 files have no name of an image or label of a tile (left out): ")
    assert "f\\xe9_00000001_post" in remarks[0]
