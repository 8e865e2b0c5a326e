"""Rows of a table among others: their paths, their ids, and what a table is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeWarning
from xprobe.images.manifest import PARENT_PATH, SPELT, TABLE, WRITTEN, Row
from xprobe.images.sources.located import below_synthetic, located, name_of, once


def test_paths_become_absolute_and_ids_stay(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"path": "a/1.png", "polygons": "a.json", "parent": "../r.png"},
        {"path": "/x/2.png", "id": "2", "polygons": "POLYGON EMPTY"},
        {"path": "z", "id": "z", TABLE: "inner.csv"},
    ]
    first, second, inner = located(rows, tmp_path, "t.csv")
    assert (first["id"], first["path"]) == ("a/1.png", f"{tmp_path}/a/1.png")
    assert (first[SPELT], first[TABLE]) == ("a/1.png", "t.csv")
    assert (first["polygons"], first[PARENT_PATH]) == (f"{tmp_path}/a.json", f"{tmp_path}/../r.png")
    assert (second["id"], second["path"], second["polygons"]) == ("2", "/x/2.png", "POLYGON EMPTY")
    assert inner is rows[2]


def test_synthetic_images_are_called_as_in_a_folder() -> None:
    names = {
        ("a/1.png", "g"): "synthetic/g/a/1.png",
        ("7", ""): "synthetic/sdxl/7",
        ("synthetic/x/1.png", "g"): "synthetic/x/1.png",
        ("g/2.png", "g"): "synthetic/g/2.png",
    }
    rows = [{"id": id_, "generator": g, TABLE: "out/sdxl/manifest.csv"} for id_, g in names]
    named = below_synthetic(rows)
    assert [row["id"] for row in named] == [*names.values()]
    assert [row["generator"] for row in named] == ["g", "sdxl", "g", "g"]
    assert [row.get(WRITTEN) for row in named] == ["a/1.png", "7", None, "g/2.png"]
    assert below_synthetic(rows, "synthetic/d")[0]["id"] == "synthetic/d/a/1.png"
    (row,) = below_synthetic([{"id": "1", TABLE: "data/synthetic/manifest.csv"}])
    assert row["generator"] == "default"
    assert below_synthetic([]) == []


@pytest.mark.parametrize(
    ("table", "name"),
    [("x/sdxl/manifest.csv", "sdxl"), ("x/sdxl.csv", "sdxl"), ("x/data", "data"),
     ("x/sdxl/Manifest.jsonl", "sdxl"), ("x/data/", "data"), ("x/gen.v1", "gen.v1"),
     ("x/..", Path.cwd().name)],
)  # fmt: skip
def test_a_table_is_called_by_its_file_or_else_its_folder(table: str, name: str) -> None:
    assert name_of(table) == name


def test_what_is_named_twice_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    with pytest.warns(XprobeWarning) as said:
        assert once(["a", "b.csv", "./a", "link"]) == [Path("a"), Path("b.csv")]
    assert [str(w.message) for w in said] == [
        "a: named twice, and read once", "link: named as a, too, and read once",
    ]  # fmt: skip
