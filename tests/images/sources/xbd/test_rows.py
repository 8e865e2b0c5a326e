"""Rows of tiles: images after events are real items, twins from before are of split pre."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from makers import put_tile

from xprobe.base.errors import XprobeError
from xprobe.design import lineage
from xprobe.images import read as manifests
from xprobe.images.sources.table import write_table
from xprobe.images.sources.xbd.rows import rows_of, table_of
from xprobe.images.sources.xbd.splits import Division
from xprobe.images.sources.xbd.tree import read_tiles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six tiles of two classes and four events."""
    folder = tmp_path / "xbd"
    for i, (event, kind) in enumerate(
        [("harvey", "flooding"), ("nepal", "flooding"), ("moore", "wind"), ("joplin", "wind")]
    ):
        for j in range(2 if kind == "wind" else 1):
            name = f"{event}_{10 * i + j:08d}"
            put_tile(folder, "train", name, kind, ["destroyed"], strip="7")
    return folder


def division(root: Path) -> Division:
    tiles, _ = read_tiles(root)
    return Division({}, tiles[:2], tiles[2:4], tiles[4:])


def test_a_table_is_written_and_read_again(root: Path) -> None:
    table = table_of(division(root), "tile")
    file = root.parent / "tables/study.csv"
    write_table(table, file)
    assert "../xbd/train/images/" in file.read_text()
    again = manifests.read(file)
    assert Counter(again.split) == {"train": 2, "test": 2, "pre": 6}
    assert all(Path(path).is_file() for path in (*again.path, *filter(None, again.polygons)))
    assert set(again.column("licence")) == {"xBD"}
    for i, name in enumerate(again.id):
        tile, _, moment = name.rpartition("_")
        assert again.group[i] == tile and again.column("event")[i] == tile.rpartition("_")[0]
        damaged = "no-damage:0 minor-damage:0 major-damage:0 destroyed:1 un-classified:0"
        assert again.column("damage")[i] == (damaged if moment == "post" else "")
        assert again.polygons[i].endswith(f"{name}_disaster.json")
        assert (again.split[i] == "pre") == (moment == "pre")


def test_sources_have_a_label_and_no_image_of_their_own(root: Path) -> None:
    parts = division(root)
    table = table_of(parts, "tile")
    names = {tile.name for tile in parts.sources}
    of_sources = [i for i, group in enumerate(table.group) if group in names]
    assert {table.split[i] for i in of_sources} == {"pre"}
    assert {table.label[i] for i in of_sources} == {tile.label for tile in parts.sources}


def test_groups_are_tiles_strips_or_events(root: Path) -> None:
    (first, *_), _ = read_tiles(root)
    groups = [rows_of([first], unit, "train")[0]["group"] for unit in ("tile", "strip", "event")]
    assert groups == ["harvey_00000000", "harvey_7", "harvey"]
    twins = rows_of([first], "strip", "train")
    assert len({row["group"] for row in twins}) == 1 and len(twins) == 2


def test_an_edit_of_a_twin_is_kept_out_where_its_tile_is_tested(root: Path) -> None:
    parts = division(root)
    table = table_of(parts, "tile")
    file = root.parent / "study.csv"
    write_table(table, file)
    made = root.parent / "made.png"
    made.write_bytes(b"x")
    tested, source = parts.test[0], parts.sources[0]
    with file.open("a", encoding="utf-8") as stream:
        names = file.read_text().splitlines()[0].split(",")
        for tile in (tested, source):
            row = {
                "path": "made.png", "label": tile.label, "source": "synthetic",
                "parent": f"{tile.name}_pre", "id": f"made-{tile.name}",
            }  # fmt: skip
            stream.write(",".join(row.get(name, "") for name in names) + "\n")
    images = manifests.read(file, whole=False)
    synthetic, real = lineage.sides(images)
    allowed = lineage.trace(synthetic, real).allowed(real.group[real.split == "test"])
    assert dict(zip(synthetic.id, allowed.tolist(), strict=True)) == {
        f"made-{tested.name}": False, f"made-{source.name}": True,
    }  # fmt: skip


def test_the_tree_itself_is_data(root: Path) -> None:
    images = manifests.read(root)
    assert images.classes == ("flooding", "wind")
    assert Counter(images.split) == {"train": 6, "pre": 6}
    assert "targets" not in " ".join(images.path)
    by_event = manifests.read(f"xbd:{root}", group="event")
    assert set(by_event.group) == {"harvey", "nepal", "moore", "joplin"}
    np.testing.assert_array_equal(by_event.sha256, images.sha256)
    with pytest.raises(XprobeError, match="takes the column event"):
        manifests.read(root, group="strip")


def test_what_is_wrong_in_the_tree_is_warned_of(root: Path) -> None:
    (root / "train/images/notes.txt").write_text("")
    with pytest.warns(UserWarning, match="1 file has no name of an image or label of a tile"):
        manifests.read(root)
