"""The table in a folder of synthetic images, which says what they are."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from makers import MakeData

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.config import DataConfig
from xprobe.images.manifest import Manifest
from xprobe.images.read import read

HEADER = ("path", "label", "source", "parent", "prompt", "licence", "generator")


@pytest.fixture
def data(make_data: MakeData) -> Path:
    """Two classes of four real images, and of eight of each of two generators."""
    return make_data(generators=("x", "y"))


def put_table(folder: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return folder / "manifest.csv"


def edits(n: int = 8, generator: str = "") -> list[tuple[str, ...]]:
    """Return the rows of the images in a generator's folder, each made from a real image."""
    return [
        (f"{label}/{i}.png", label, "synthetic", f"real/{label}/{i % 4}.png", "a flood", "CC0",
         generator)
        for label in "ab" for i in range(n)
    ]  # fmt: skip


def cells(manifest: Manifest, id_: str, *columns: str) -> list[str]:
    row = manifest.id.tolist().index(id_)
    return [manifest.column(column)[row] for column in columns]


def test_a_table_says_what_the_images_of_its_folder_were_made_from(data: Path) -> None:
    plain = read(data)
    put_table(data / "synthetic/x", edits())
    said = r"read .*/synthetic/x/manifest\.csv: 16 images of x, 16 with their source"
    with pytest.warns(XprobeWarning, match=said):
        manifest = read(data)
    assert manifest.id.tolist() == plain.id.tolist()
    assert manifest.generator.tolist() == plain.generator.tolist()
    columns = ("parent", "prompt", "licence", "label")
    assert cells(manifest, "synthetic/x/b/5.png", *columns) == [
        "real/b/1.png",
        "a flood",
        "CC0",
        "b",
    ]
    assert cells(manifest, "synthetic/y/b/5.png", *columns) == ["", "", "", "b"]


def test_the_table_decides_which_images_there_are_and_of_which_class(data: Path) -> None:
    rows = [(*edits()[0][:1], "b", *edits()[0][2:]), *edits()[1:6], *edits()[8:]]
    put_table(data / "synthetic/x", rows)
    with pytest.warns(XprobeWarning) as said:
        manifest = read(data)
    assert cells(manifest, "synthetic/x/a/0.png", "label") == ["b"]
    assert list(manifest.generator).count("x") == 14
    used, left_out = (str(warning.message) for warning in said)
    assert "; 1 lie in the folder of another class than that of the table, which is taken" in used
    assert left_out.startswith(
        "left out images that the manifest.csv of their folder does not list: 2, such as "
    )
    assert left_out.endswith("/synthetic/x/a/6.png; add rows for them, or give that file another "
                             "name to have the folders read")  # fmt: skip


def test_the_table_names_generators_or_its_folder_does(data: Path) -> None:
    put_table(data / "synthetic/x", [*edits(4, "sdxl"), *edits(8)[4:8], *edits(8)[12:]])
    with pytest.warns(XprobeWarning, match="16 images of sdxl, x, 16 with"):
        manifest = read(data)
    assert set(manifest.generator) == {"", "sdxl", "x", "y"}
    assert cells(manifest, "synthetic/x/a/0.png", "generator") == ["sdxl"]


def test_a_table_in_the_folder_synthetic_is_of_all_below_it(data: Path) -> None:
    rows = [(f"x/{row[0]}", *row[1:]) for row in edits()]
    put_table(data / "synthetic", rows)
    with pytest.warns(XprobeWarning) as said:
        manifest = read(data)
    assert set(manifest.generator) == {"", "default"}
    assert "synthetic/x/a/0.png" in manifest.id
    assert "does not list: 16, such as" in str(said[1].message)


def test_a_linked_folder_is_the_folder_of_its_table(data: Path, tmp_path: Path) -> None:
    (data / "synthetic/x").rename(tmp_path / "elsewhere")
    (data / "synthetic/x").symlink_to(tmp_path / "elsewhere")
    put_table(tmp_path / "elsewhere", edits())
    with pytest.warns(XprobeWarning) as said:
        read(data)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"synthetic/x/manifest\.csv: the column path, label, source is missing; .*; a man"),
        ("name,size\nx,1\n", "is missing; .*: mend it, or give it another name if it is someth"),
        ("path,label,source\n", r"there are no images in it; .*; a manifest\.csv in a folder of"),
        ("path,label,source\na/0.png,a,real\n", "all of its images are of another source than syn"),
        ("path,label,source,split\na/0.png,a,synthetic,test\n", "row 1: a synthetic image of"),
    ],
)
def test_a_file_of_that_name_that_is_no_such_table_stops(
    data: Path, content: str, message: str
) -> None:
    (data / "synthetic/x/manifest.csv").write_text(content)
    with pytest.raises(XprobeError, match=message):
        read(data)
    with pytest.raises(XprobeError, match=message.split(";")[0]):
        read(data, config=DataConfig(synthetic=(f"z={data}/synthetic/x",)))


def test_real_rows_of_such_a_table_are_left_out(data: Path) -> None:
    put_table(data / "synthetic/x", [*edits(), ("../../real/a/0.png", "a", "real", "", "", "", "")])
    with pytest.warns(XprobeWarning) as said:
        assert len(read(data)) == 40
    assert "x/manifest.csv: 1 row is of another source than synthetic" in str(said[0].message)


def test_a_table_in_the_folder_of_a_class_is_none(data: Path) -> None:
    put_table(data / "real/a", edits())
    with pytest.warns(XprobeWarning, match=r"left out files that are no images .* \(1 \.csv\)"):
        read(data)


def test_a_folder_without_real_images_is_its_table(data: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    rows = [(f"../data/real/{label}/{i}.png", label, "real") for label in "ab" for i in range(3)]
    put_table(study, rows, HEADER[:3])
    (study / "new.png").write_bytes((data / "real/a/0.png").read_bytes())
    with pytest.warns(XprobeWarning, match=r"does not list: 1, such as .*/study/new\.png"):
        alone = read(study)
    assert alone.fingerprint == read(study / "manifest.csv").fingerprint
