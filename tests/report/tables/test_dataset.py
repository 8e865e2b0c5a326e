"""Images and features as a data set that the datasets library opens from disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers import MakeData, Ran

import xprobe
from xprobe.base.errors import XprobeError
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest
from xprobe.report.tables import dataset
from xprobe.report.tables.dataset import Written, write_dataset

Xprobe = Callable[..., Ran]

OPEN, SECRET = "CC-BY-4.0", "xBD"


@pytest.fixture
def images(make_data: MakeData, tmp_path: Path) -> Manifest:
    """Two real images a class to train on, one to test, two synthetic; half have a licence."""
    images = xprobe.read(make_data(real=2, synthetic=2, test=1))
    xprobe.embed(images, ["pixels"], tmp_path / "store")
    licence = [("", OPEN)[i % 2] for i in range(len(images))]
    return replace(images, further={"licence": licence})


def write(images: Manifest, tmp_path: Path, with_images: bool | None = None) -> Written:
    store = Store(tmp_path / "store")
    return write_dataset(tmp_path / "out", images, store, store.encoders()[0], with_images)


def rows_of(tmp_path: Path, split: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of a split, and the features as the datasets library reads them."""
    files = sorted((tmp_path / "out" / "data").glob(f"{split}-*.parquet"))
    table = pa.concat_tables(map(pq.read_table, files))
    about = json.loads(table.schema.metadata[b"huggingface"])
    return table.to_pylist(), about["info"]["features"]


def test_the_rows_are_the_images_with_their_features(images: Manifest, tmp_path: Path) -> None:
    written = write(images, tmp_path, with_images=True)
    assert (written.rows, written.with_content, written.sentences) == (10, 10, [])
    store = Store(tmp_path / "store")
    features, _ = store.read(store.encoders()[0], images)
    x = {name: row.tolist() for name, row in zip(features.id, features.x, strict=True)}
    path = dict(zip(images.id, images.path, strict=True))
    source = dict(zip(images.id, images.source, strict=True))
    ids = []
    for split, n in (("train", 8), ("test", 2)):
        rows, types = rows_of(tmp_path, split)
        assert len(rows) == n and types["label"] == {"names": ["a", "b"], "_type": "ClassLabel"}
        assert types["image"] == {"_type": "Image"} and list(types) == list(rows[0])
        for row in rows:
            assert row["image"]["bytes"] == Path(path[row["id"]]).read_bytes()
            assert row["label"] == "ab".index(row["id"].split("/")[-2])
            assert row["x"] == x[row["id"]] and row["source"] == source[row["id"]]
        ids += [row["id"] for row in rows]
    assert sorted(ids) == images.id.tolist()
    assert [file.name for file in (tmp_path / "out").iterdir() if file.name[0] == "."] == []


def test_images_whose_licence_is_not_known_are_left_out(images: Manifest, tmp_path: Path) -> None:
    written = write(images, tmp_path)
    assert (written.with_content, written.withheld) == (5, {"": 5})
    assert written.sentences[0].startswith("5 images have a row without a picture")
    assert "state it in the column licence" in written.sentences[0]
    rows, _ = rows_of(tmp_path, "train")
    assert all((row["image"] is not None) == (row["licence"] == OPEN) for row in rows)
    write(replace(images, further={}), tmp_path)
    rows, types = rows_of(tmp_path, "train")
    assert "image" not in types and "image" not in rows[0] and "x" in rows[0]


def test_images_that_may_not_be_passed_on_are_named_where_they_are_asked_for(
    images: Manifest, tmp_path: Path
) -> None:
    images = replace(images, further={"licence": [SECRET] * len(images)})
    assert write(images, tmp_path).with_content == 0
    written = write(images, tmp_path, with_images=True)
    assert written.with_content == 10
    assert "not be passed on (xBD): keep it to yourself" in written.sentences[0]
    assert write(images, tmp_path, with_images=False).sentences == []


def test_an_image_that_is_gone_is_a_row_without_it(images: Manifest, tmp_path: Path) -> None:
    Path(images.path[0]).unlink()
    written = write(images, tmp_path, with_images=True)
    assert (written.rows, written.with_content, written.unreadable) == (10, 9, 1)
    assert written.sentences == ["1 image could not be read any more"]


def test_files_are_closed_at_their_size_and_numbered(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "FILE_BYTES", 1)
    monkeypatch.setattr(dataset, "ROWS_OF_GROUP", 3)
    write(images, tmp_path, with_images=True)
    names = sorted(file.name for file in (tmp_path / "out" / "data").iterdir())
    assert names == ["test-00000-of-00001.parquet"] + [
        f"train-{i:05d}-of-00003.parquet" for i in range(3)
    ]
    assert len(rows_of(tmp_path, "train")[0]) == 8


def test_only_a_former_data_set_is_replaced(images: Manifest, tmp_path: Path) -> None:
    write(images, tmp_path, with_images=False)
    before = sorted((tmp_path / "out").rglob("*"))
    write(images, tmp_path, with_images=False)
    assert sorted((tmp_path / "out").rglob("*")) == before
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(XprobeError, match=r"out holds other files \(README.md, data, mine.txt\)"):
        write(images, tmp_path, with_images=False)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_the_command(images: Manifest, tmp_path: Path, xprobe: Xprobe) -> None:
    export = ("store", "export", "--encoder", "pixels", "--store", str(tmp_path / "store"))
    data = ("--data", str(tmp_path / "data"))
    out = str(tmp_path / "set")
    ran = xprobe(*export, out, *data)
    assert ran.code == 0 and f"wrote {out}: 10 rows of pixels" in ran.out
    assert "10 images have a row without a picture" in ran.err
    json = xprobe(*export, out, *data, "--images", "--json").json
    assert (json["file"], json["rows"], json["images"]) == (out, 10, 10)
    assert "a data set needs its images" in xprobe(*export, out).err
    ran = xprobe(*export, f"{out}.npz", "--images")
    assert ran.code == 2 and "--images is for a data set" in ran.err


def test_the_datasets_library_opens_it(
    images: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    write(images, tmp_path, with_images=True)
    opened = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: part.num_rows for split, part in opened.items()} == {"train": 8, "test": 2}
    assert opened["train"].features["label"].names == ["a", "b"]
    assert opened["train"][0]["image"].mode == "RGB"


@pytest.mark.parametrize("name", ["x", "image", "sha256"])
def test_a_column_of_the_table_never_takes_the_place_of_what_is_written(
    images: Manifest, tmp_path: Path, name: str
) -> None:
    images = replace(images, further={name: ["1"] * len(images)})
    with pytest.raises(XprobeError, match=f"has a column '{name}', .* rename it in the table"):
        write(images, tmp_path)
    assert not (tmp_path / "out").exists()
