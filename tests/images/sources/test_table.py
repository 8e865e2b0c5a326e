"""The image table as a file: columns, cells, and what is written back."""

from __future__ import annotations

import io
import json
import os
import tarfile
import unicodedata
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers import MakeManifest

from xprobe.base import atomic
from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images import contents
from xprobe.images.manifest import Manifest
from xprobe.images.read import read
from xprobe.images.sources.table import read_table, write_table

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
Rows = list[dict[str, Any]]


def table(folder: Path, rows: Rows, suffix: str = ".jsonl") -> Path:
    """Write a manifest; the images that it names need not exist."""
    file = folder / f"m{suffix}"
    if suffix == ".parquet":
        names = dict.fromkeys(name for row in rows for name in row)
        pq.write_table(pa.table({n: [row.get(n) for row in rows] for n in names}), file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def rows_of(n: int = 3, **more: list[Any]) -> Rows:
    """Return rows of which the last is synthetic, with further columns."""
    sources = ["real"] * (n - 1) + ["synthetic"]
    columns = {"path": [f"{i}.png" for i in range(n)], "label": ["a"] * n, "source": sources} | more
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def manifest_of(file: Path, **options: Any) -> Manifest:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XprobeWarning)
        return read(file, hashed=False, **options)


# --- further columns -----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_further_columns_are_kept_as_text_through_every_form(tmp_path: Path, suffix: str) -> None:
    more: dict[str, list[Any]] = {
        "event": ["storm", "flood", ""],
        "w": [1, 20, 300],
        "url": ["http://x.org/a,b", " two\nlines ", ""],
        "box": [[1, 2], {"x": 'é"'}, None],
    }
    manifest = manifest_of(table(tmp_path, rows_of(**more)[::-1]))
    expected = {
        "event": ["storm", "flood", ""],
        "w": ["1", "20", "300"],
        "url": ["http://x.org/a,b", " two\nlines ", ""],
        "box": ["[1, 2]", '{"x": "é\\""}', ""],
    }
    for _ in range(2):
        write_table(manifest, tmp_path / f"again{suffix}")
        manifest = manifest_of(tmp_path / f"again{suffix}")
        assert {name: cells.tolist() for name, cells in manifest.further.items()} == expected
    part = manifest.select(np.array([2, 0]))
    assert part.further["w"].tolist() == ["300", "1"]
    assert set(manifest_of(tmp_path / f"again{suffix}", group="event").group) >= {"storm", "flood"}


def test_a_study_does_not_depend_on_further_columns(tmp_path: Path) -> None:
    plain = manifest_of(table(tmp_path, rows_of()))
    assert manifest_of(table(tmp_path, rows_of(w=[1, 2, 3]))).fingerprint == plain.fingerprint
    assert "w" not in Manifest.columns()


def test_a_column_is_had_by_its_name_and_is_empty_where_there_is_none(tmp_path: Path) -> None:
    manifest = manifest_of(table(tmp_path, rows_of(licence=["by", "by", "free"])))
    assert sorted(manifest.column("licence")) == ["by", "by", "free"]
    assert manifest.column("label").tolist() == manifest.label.tolist()
    assert manifest.column("trained_on").tolist() == [""] * 3


def test_further_columns_are_as_long_as_the_others(tmp_path: Path) -> None:
    manifest = manifest_of(table(tmp_path, rows_of()))
    columns = {name: getattr(manifest, name) for name in manifest.columns()}
    with pytest.raises(ValueError, match="different length"):
        Manifest(**columns, further={"w": ["1"]})  # type: ignore[dict-item]  # It is frozen there.


@pytest.mark.parametrize(
    "name",
    ["w", "h", "url", "kind", "idx", "uid", "lat", "time", "patch", "level", "scene", "class",
     "crop", "part", "grp", "parent_id", "resource", "grade", "sha256", "ünï"],
)  # fmt: skip
def test_columns_of_others_are_kept_and_named_once(tmp_path: Path, name: str) -> None:
    file = table(tmp_path, rows_of(**{name: ["1", "2", "3"], "far": ["", "", ""]}))
    with pytest.warns(XprobeWarning, match=f"does not use are kept: {name}, far") as told:
        read_table(file)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("name", "known"),
    [("parnet", "parent"), ("prent", "parent"), ("Parent", "parent"), ("parents", "parent"),
     ("parant ", "parent"), ("GROUP", "group"), ("gruop", "group"), ("gropus", "group"),
     ("groups", "group"),
     ("Id", "id"), (" id", "id"), ("genarater", "generator"), ("spilt", "split"),
     ("evnet", "event"), ("poligon", "polygons"), ("Path", "path"), ("lable", "label")],
)  # fmt: skip
def test_a_column_that_may_be_misspelt_is_refused(tmp_path: Path, name: str, known: str) -> None:
    file = table(tmp_path, rows_of(**{name: ["", "", ""]}))
    with pytest.raises(XprobeError, match=rf"column {name!r} \(did you mean {known}\?\); rename"):
        read_table(file)


def test_a_column_in_capitals_is_named_before_one_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Path,Label,Source\n1.png,a,real\n")
    with pytest.raises(XprobeError, match=r"'Path' \(did you mean path\?\)"):
        read_table(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text(" path , label,source \n 1.png , a,real\n")
    assert read_table(tmp_path / "m.csv")[0] == [{"path": "1.png", "label": "a", "source": "real"}]


def test_what_is_missing_is_said_beside_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("1.png:a:real\n")
    with pytest.raises(
        XprobeError, match=r"path, label, source is missing.*event, .*control, date; .*1.png:a:real"
    ):
        read_table(tmp_path / "m.csv")


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label,source\n,,\n")
    with pytest.raises(XprobeError, match=r"m.csv: there are no images in it"):
        read_table(tmp_path / "m.csv")


# --- writing -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_is_stopped_leaves_the_file_as_it_was(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"m{suffix}"
    manifest = manifest_of(table(tmp_path, rows_of()))
    write_table(manifest, file)
    before = file.read_bytes()

    def stop(_: int) -> None:
        assert file.read_bytes() == before
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_table(manifest, file)
    assert file.read_bytes() == before
    assert list(tmp_path.glob(".tmp-*")) == []


def test_a_class_whose_name_says_nothing_is_not_written(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    with pytest.raises(XprobeError, match="i0: label is 'none', which says that there is none"):
        write_table(make_manifest(["none", "a"]), tmp_path / "m.csv")


def test_a_link_goes_on_leading_to_the_table(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    file, link = tmp_path / "far/m.csv", tmp_path / "m.csv"
    write_table(manifest_of(table(tmp_path, rows_of())), file)
    link.symlink_to(file)
    manifest = manifest_of(link)
    write_table(manifest, link)
    assert link.is_symlink()
    assert manifest_of(link).path.tolist() == manifest.path.tolist()


def test_tables_are_written_by_the_one_way_that_is_atomic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr(atomic, "put", lambda file, _: written.append(file))
    for suffix in SUFFIXES:
        write_table(manifest_of(table(tmp_path, rows_of())), tmp_path / f"new{suffix}")
    assert written == [tmp_path / f"new{suffix}" for suffix in SUFFIXES]
    assert not list(tmp_path.glob("new*"))


# --- cells ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_labels_that_are_one_number_are_one_class(tmp_path: Path, suffix: str) -> None:
    labels: list[Any] = [1, 1.0, 1] if suffix == ".jsonl" else ["1", "1.0", "1"]
    with pytest.warns(XprobeWarning, match="spelt in two ways, .* are one class: 1"):
        rows, _ = read_table(table(tmp_path, rows_of(label=labels), suffix))
    assert [row["label"] for row in rows] == ["1"] * 3
    rows, _ = read_table(table(tmp_path, rows_of(label=["1.0"] * 3), suffix))
    assert [row["label"] for row in rows] == ["1.0"] * 3  # Where all agree, the spelling stays.


def test_letters_are_one_class_composed_or_not(tmp_path: Path) -> None:
    with pytest.warns(XprobeWarning, match=f"are one class: {COMPOSED}"):
        rows, _ = read_table(table(tmp_path, rows_of(label=[COMPOSED, DECOMPOSED, DECOMPOSED])))
    assert [row["label"] for row in rows] == [COMPOSED] * 3
    rows, _ = read_table(table(tmp_path, rows_of(label=[DECOMPOSED] * 3)))
    assert [row["label"] for row in rows] == [COMPOSED] * 3


@pytest.mark.parametrize("nothing", [float("nan"), None, "", "  ", "nan", "None", "N/A", "<NA>"])
def test_a_label_that_is_none_is_refused_with_its_row(tmp_path: Path, nothing: Any) -> None:
    with pytest.raises(XprobeError, match=r"m.jsonl, row 2: label is .*; fill it in"):
        read_table(table(tmp_path, rows_of(label=["a", nothing, "a"])))


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_column_of_floats_with_a_gap_is_refused(tmp_path: Path, suffix: str) -> None:
    rows = rows_of(label=[1.0, float("nan"), 2.0])
    with pytest.raises(XprobeError, match="row 2: label is empty"):
        read_table(table(tmp_path, rows, suffix))


@pytest.mark.parametrize("nothing", [float("nan"), None, "nan", "None", "NaT", "null", "NA"])
@pytest.mark.parametrize("column", ["id", "group", "parent", "generator", "split", "polygons"])
def test_cells_without_a_value_are_empty(tmp_path: Path, column: str, nothing: Any) -> None:
    expected = manifest_of(table(tmp_path, rows_of()))
    manifest = manifest_of(table(tmp_path, rows_of(**{column: [nothing] * 3})))
    assert manifest.fingerprint == expected.fingerprint


def test_numbers_name_images_whose_ids_have_a_point(tmp_path: Path) -> None:
    rows, _ = read_table(table(tmp_path, rows_of(id=[1.0, 2.0, 3.0], parent=["", "", 2])))
    assert [(row["id"], row["parent"]) for row in rows][1:] == [("2.0", ""), ("3.0", "2.0")]


def test_numbers_with_a_point_name_the_images_that_have_none(tmp_path: Path) -> None:
    rows = rows_of(5, id=["1", "2", "3.0", "3", "5"], parent=["", "", "", "", 1.0])
    rows[0]["group"], rows[1]["group"], rows[4]["group"] = "7", "7.0", 7.0
    rows += [rows[4] | {"path": "s.png", "id": "6", "parent": "3.0", "group": "8.0"}]
    read_rows, _ = read_table(table(tmp_path, rows))
    assert [row["group"] for row in read_rows] == ["7", "7", "", "", "7", "8.0"]
    assert [row["parent"] for row in read_rows] == ["", "", "", "", "1", "3.0"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("path", "http://x.org/1.png", "row 2: the path 'http://x.org/1.png' is an address; down"),
        ("path", "a\0b.png", "row 2: path .* NUL"),
        ("id", "b\0", "row 2: id .* NUL"),
        ("label", "\ud800", "row 2: label .* no text"),
        ("note", "\ud800", "row 2: note .* no text"),
        ("label", ["a"], r"row 2: label is \['a'\], and no text"),
        ("group", {"a": 1}, "row 2: group is .*, and no text"),
        ("n\ud800", "1", "the name of the column .* is no text"),
        ("control", "null-edit", "row 2: a real image with the control null-edit, which is for sy"),
    ],
)
def test_a_cell_that_cannot_be_is_refused_with_its_row(
    tmp_path: Path, column: str, value: Any, message: str
) -> None:
    rows = rows_of()
    rows[1][column] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XprobeWarning)
        with pytest.raises(XprobeError, match=message):
            read_table(table(tmp_path, rows))


def test_binary_text_of_parquet_is_text(tmp_path: Path) -> None:
    rows, _ = read_table(table(tmp_path, rows_of(label=["é".encode()] * 3), ".parquet"))
    assert [row["label"] for row in rows] == ["é"] * 3
    with pytest.raises(XprobeError, match=r"row 1: label .* no text"):
        read_table(table(tmp_path, rows_of(label=[b"\xff"] * 3), ".parquet"))


@pytest.mark.parametrize("written", [("a\\0.png", "a\\1.png"), ("a\\0.png", "a/1.png")])
def test_backslashes_in_paths_are_read_where_they_lead_to_files(
    tmp_path: Path, written: tuple[str, str]
) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/0.png", "a/1.png", "b\\2.png"):
        (tmp_path / name).touch()
    file = table(tmp_path, rows_of(path=[*written, "b\\2.png"]))
    with pytest.warns(XprobeWarning, match=r"with / instead, such as a/0.png") as told:
        rows, _ = read_table(file)
    assert [row["path"] for row in rows] == ["a/0.png", "a/1.png", "b\\2.png"]
    assert len(told) == 1


@pytest.mark.parametrize("path", ["~/1.png", "$HOME/1.png", "100%.png", "/nowhere/1.png"])
def test_nothing_is_expanded_and_the_error_says_what_was_looked_for(
    tmp_path: Path, path: str
) -> None:
    file = table(tmp_path, rows_of(path=[path, "~/2.png", "~/3.png"]))
    with pytest.raises(XprobeError) as error:
        read(file)
    assert any(str(tmp_path / name) in str(error.value) for name in (path, "~/2.png"))


@pytest.mark.parametrize("word", ["null_edit", "null", "Null", "copy"])
def test_a_control_that_nobody_knows_is_refused_with_its_row(tmp_path: Path, word: str) -> None:
    rows = rows_of(control=["", None, word])
    with pytest.raises(XprobeError, match=f"row 3: control '{word}'.*; it is null-edit, or empty"):
        read_table(table(tmp_path, rows))
    rows[2]["control"] = "None"
    assert [row["control"] for row in read_table(table(tmp_path, rows))[0]] == [""] * 3


def test_members_of_archives_keep_their_names_in_a_table(
    tmp_path: Path, make_manifest: MakeManifest
) -> None:
    names = ["./a//1.png", "b/../2.png", "x::3.png"]
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in/x.tar", "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    paths = [f"{tmp_path}/in/x.tar::{name}" for name in names]
    manifest = replace(make_manifest(["a"] * 3), path=paths)
    for folder in (tmp_path / "in", tmp_path / "out"):
        write_table(manifest, folder / "m.csv")
        rows, base = read_table(folder / "m.csv")
        assert [contents.read(f"{base}/{row['path']}").decode() for row in rows] == names
