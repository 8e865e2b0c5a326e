"""The image table: folders and files → manifest, and what is wrong with them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xprobe.base.arrays import frozen_strings
from xprobe.base.documents import to_json
from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.design import lineage as lineage_module
from xprobe.images import manifest as manifest_module
from xprobe.images.manifest import Manifest
from xprobe.images.read import read
from xprobe.images.sources.table import write_table
from xprobe.images.survey import counts, find_problems, shapes

FORMATS = (".csv", ".jsonl", ".parquet")
Make = Callable[..., Path]


def cell(manifest: Manifest, id_: str, column: str) -> str:
    return str(getattr(manifest, column)[manifest.id.tolist().index(id_)])


def put(file: Path, content: bytes = b"") -> Path:
    """Write a file; no picture is needed to be listed, its content is the path unless given."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content or os.fsencode(file))
    return file


def table(folder: Path, rows: list[dict[str, Any]], suffix: str = ".jsonl") -> Path:
    """Write a manifest file and every image that it names."""
    for row in rows:
        if row.get("path") and not (folder / row["path"]).exists():
            put(folder / row["path"])
    file = folder / f"manifest{suffix}"
    if suffix == ".csv":
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = [",".join(names), *(",".join(row.get(n, "") for n in names) for row in rows)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def row(path: str, label: str = "a", source: str = "real", **more: str) -> dict[str, str]:
    return {"path": path, "label": label, "source": source, **more}


# --- folders ---------------------------------------------------------------------------


def test_a_folder_gives_ids_relative_to_it_and_classes_from_its_folders(make_data: Make) -> None:
    data = make_data(("b", "a"), real=1, synthetic=1)
    manifest = read(data)
    assert manifest.id.tolist() == [
        "real/a/0.png", "real/b/0.png", "synthetic/a/0.png", "synthetic/b/0.png",
    ]  # fmt: skip
    assert manifest.label.tolist() == ["a", "b", "a", "b"]
    assert manifest.source.tolist() == ["real", "real", "synthetic", "synthetic"]
    assert manifest.generator.tolist() == ["", "", "default", "default"]
    assert manifest.group.tolist() == ["real/a/0.png", "real/b/0.png", "", ""]
    assert manifest.classes == ("a", "b")
    assert manifest.path.tolist() == [str(data / id_) for id_ in manifest.id]


def test_a_folder_below_synthetic_is_a_class_exactly_if_real_has_it(make_data: Make) -> None:
    manifest = read(make_data(real=1, synthetic=1, generators=(None, "sdxl", "flux")))
    assert cell(manifest, "synthetic/sdxl/a/0.png", "generator") == "sdxl"
    assert cell(manifest, "synthetic/flux/b/0.png", "generator") == "flux"
    assert cell(manifest, "synthetic/b/0.png", "generator") == "default"
    assert cell(manifest, "synthetic/sdxl/a/0.png", "label") == "a"


def test_test_and_extra_are_real_images_of_their_own_split(make_data: Make) -> None:
    manifest = read(make_data(real=1, test=1, extra=1))
    for part in ("test", "extra"):
        assert cell(manifest, f"{part}/a/0.png", "source") == "real"
        assert cell(manifest, f"{part}/a/0.png", "split") == part
    assert cell(manifest, "real/a/0.png", "split") == "train"


def test_real_may_hold_the_splits(tmp_path: Path, make_data: Make) -> None:
    data = make_data(real=2)
    for split, file in (("train", "0.png"), ("test", "1.png")):
        for label in "ab":
            (data / "real" / split / label).mkdir(parents=True)
            (data / "real" / label / file).rename(data / "real" / split / label / file)
    for label in "ab":
        (data / "real" / label).rmdir()
    with pytest.warns(XprobeWarning, match="real/train and .*/real/test as splits"):
        manifest = read(data)
    assert manifest.classes == ("a", "b")
    assert cell(manifest, "real/train/a/0.png", "split") == "train"
    assert cell(manifest, "real/test/a/1.png", "split") == "test"
    put(data / "test" / "a" / "9.png")
    with pytest.raises(XprobeError, match=r"both .* exist; keep one"):
        read(data)


def test_a_class_may_be_called_test(make_data: Make) -> None:
    """Only beside nothing but splits is real/test a split."""
    assert read(make_data(("test", "other"))).classes == ("other", "test")
    with pytest.raises(XprobeError, match="real/extra is called as a split is beside test"):
        read(make_data(("test", "extra"), name="both"))


def test_an_empty_folder_below_synthetic_is_no_generator(make_data: Make) -> None:
    data = make_data()
    (data / "synthetic" / "later").mkdir()
    assert set(read(data).generator) == {"", "default"}


def test_nested_folders_and_any_case_of_suffix_count_and_hidden_files_do_not(
    make_data: Make,
) -> None:
    data = make_data(real=1, synthetic=1)
    put(data / "real/a/deep/er/1.JPeG")
    put(data / "real/a/2.TIF")
    for hidden in ("real/a/.3.png", "real/a/.cache/4.png", "real/.thumbs/5.png", "real/a/notes.md"):
        put(data / hidden)
    with pytest.warns(XprobeWarning, match="left out") as said:
        manifest = read(data)
    assert len(said) == 2
    ids = [i for i in manifest.id if i.startswith("real/a/")]
    assert ids == ["real/a/0.png", "real/a/2.TIF", "real/a/deep/er/1.JPeG"]
    assert manifest.classes == ("a", "b")


def test_links_are_followed_and_circles_survived(tmp_path: Path, make_data: Make) -> None:
    data = make_data(real=2)
    elsewhere = tmp_path / "elsewhere"
    (data / "real" / "a").rename(elsewhere)
    (data / "real" / "a").symlink_to(elsewhere)
    (elsewhere / "again").symlink_to(elsewhere)
    manifest = read(data)
    assert len({*manifest.path}) == len(manifest)
    assert cell(manifest, "real/a/1.png", "label") == "a"
    own = [i for i in manifest.id if i.startswith("real/a/")]
    assert own == ["real/a/0.png", "real/a/1.png"]


def test_a_link_that_brings_images_under_another_class_is_reported(make_data: Make) -> None:
    data = make_data(real=2)
    (data / "real" / "b" / "up").symlink_to(data / "real" / "a")
    assert "2 images are the same file under several classes" in " ".join(find_problems(read(data)))


def test_the_order_of_the_file_system_changes_nothing(
    make_data: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(real=3, generators=("x", "y"))
    expected, scandir = read(data), os.scandir

    def backwards(path: str) -> Any:
        with scandir(path) as entries:
            return nullcontext(list(entries)[::-1])

    monkeypatch.setattr(os, "scandir", backwards)
    found = read(data)
    assert found.id.tolist() == expected.id.tolist()
    assert found.fingerprint == expected.fingerprint


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(make_data: Make) -> None:
    data = make_data()
    before = read(data).fingerprint
    moved = data.parent / "moved"
    shutil.move(data, moved)
    assert read(moved).fingerprint == before
    put(moved / "real/a/0.png", b"another content")
    assert read(moved).fingerprint != before


# --- manifest files ----------------------------------------------------------------------

ODD = " ,\"'\n\r;\\/\t\x0b\x85\u2028é漢"
WORDS = (
    st.text(st.sampled_from(ODD) | st.characters(codec="utf-8"), max_size=8)
    .map(str.strip)
    .map(lambda word: "" if "\0" in word or manifest_module.is_missing(word) else word)
)
NAMES = WORDS.filter(bool)


@st.composite
def studies(draw: st.DrawFn) -> dict[str, list[str]]:
    """Columns of a valid manifest with odd names."""
    labels = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    n = 3 * len(labels)
    lists = {"min_size": n, "max_size": n}
    return {
        "id": draw(st.lists(NAMES, unique=True, **lists)),  # type: ignore[arg-type]
        "label": labels * 3,
        "source": ["real"] * (2 * len(labels)) + ["synthetic"] * len(labels),
        "group": [w and f"in {w}" for w in draw(st.lists(WORDS, **lists))],  # type: ignore[arg-type]
        # No name of an image is in a parent, which would stand for it.
        "parent": [w and f"of {w}" for w in draw(st.lists(WORDS, **lists))],  # type: ignore[arg-type]
        "generator": draw(st.lists(WORDS, **lists)),  # type: ignore[arg-type]
        "split": ["train"] * len(labels)
        + draw(st.sampled_from([["test"], ["extra"], ["train"], [""]])) * len(labels)
        + [""] * len(labels),
        "prompt": draw(st.lists(WORDS, **lists)),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("suffix", FORMATS)
@given(study=studies())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_written_and_read_again_nothing_is_lost(
    suffix: str, study: dict[str, list[str]], tmp_path: Path
) -> None:
    n = len(study["id"])
    generators = [g or "default" for g in study["generator"]]
    if len({g for g, s in zip(generators, study["source"], strict=True) if s == "synthetic"}) > 1:
        study["generator"] = ["one"] * n  # every generator needs every class
    rows = [{name: values[i] for name, values in study.items()} for i in range(n)]
    manifest = read(table(tmp_path, [{**r, "path": f"{i}.png"} for i, r in enumerate(rows)]))
    for file in (tmp_path / f"again{suffix}", tmp_path / "deeper" / f"again{suffix}"):
        write_table(manifest, file)
        again = read(file)
        assert again.fingerprint == manifest.fingerprint
        assert again.prompt.tolist() == manifest.prompt.tolist()
        assert [Path(p).resolve() for p in again.path] == [Path(p) for p in manifest.path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_written_as_a_file_stays_the_same_study(make_data: Make, suffix: str) -> None:
    manifest = read(make_data(real=2, test=1, generators=("x", "y")))
    file = Path(manifest.path[0]).parents[2] / f"manifest{suffix}"
    write_table(manifest, file)
    assert read(file).fingerprint == manifest.fingerprint


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\r\n", ","])
def test_an_odd_character_within_a_prompt_survives(tmp_path: Path, odd: str, suffix: str) -> None:
    rows = [row("1.png"), row("2.png"), row("3.png", source="synthetic", prompt=f"a{odd}b")]
    file = tmp_path / f"again{suffix}"
    write_table(read(table(tmp_path, rows)), file)
    assert cell(read(file), "3.png", "prompt") == f"a{odd}b"


def test_a_group_named_like_its_only_image_survives(tmp_path: Path) -> None:
    rows = [row("1.png"), row("2.png", group="2.png"), row("3.png", source="synthetic", group="s")]
    rows.append(row("4.png", source="synthetic", group="4.png"))
    manifest = read(table(tmp_path, rows))
    write_table(manifest, tmp_path / "again.csv")
    assert read(tmp_path / "again.csv").group.tolist() == manifest.group.tolist()


def test_a_file_name_that_is_no_text_is_read_and_never_a_traceback(make_data: Make) -> None:
    data = make_data()
    put(data / "real/a" / os.fsdecode(b"caf\xe9.png"))
    for suffix in FORMATS:
        file = data.parent / f"m{suffix}"
        try:
            manifest = read(data)
            write_table(manifest, file)
        except XprobeError as error:
            assert "caf" in str(error)
        else:
            assert read(file).fingerprint == manifest.fingerprint


def test_the_parts_of_a_study_are_in_one_order_whatever_they_are_called(tmp_path: Path) -> None:
    """So that one set of images has one result to the bit in every form."""
    parts = [("real", "extra"), ("real", "train"), ("synthetic", "train"), ("real", "test")]
    for names in ("abcd", "dcba", "cadb"):
        rows = [
            {"path": f"{name}{i}.png", "label": "x", "source": source, "split": split}
            for name, (source, split) in zip(names, parts, strict=True)
            for i in range(2)
        ]
        images = read(table(tmp_path / names, rows), whole=False)
        assert images.id.tolist() == [row["path"] for row in rows]


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path) -> None:
    rows = [row(f"{i}.png", group=f"g{i // 2}") for i in range(6)]
    rows += [row("s.png", source="synthetic", parent="g1"), row("t.png", source="synthetic")]
    for path in ("0.png", "5.png", "t.png"):
        put(tmp_path / path, b"the same")
    forwards = read(table(tmp_path, rows))
    backwards = read(table(tmp_path, rows[::-1]))
    assert forwards.fingerprint == backwards.fingerprint


def test_a_table_needs_no_more_than_path_label_and_source(tmp_path: Path) -> None:
    rows = [row("p/1.png"), row("p/2.png"), row("q/3.png", source="synthetic")]
    for suffix in (".csv", ".jsonl"):
        manifest = read(table(tmp_path, rows, suffix))
        assert manifest.id.tolist() == ["p/1.png", "p/2.png", "q/3.png"]
        assert manifest.generator.tolist() == ["", "", "default"]
        assert set(manifest.split) == {"train"}
    spreadsheet = tmp_path / "excel.csv"
    spreadsheet.write_text("\ufeff" + (tmp_path / "manifest.csv").read_text(), encoding="utf-8")
    assert read(spreadsheet).fingerprint == manifest.fingerprint


def test_another_suffix_is_no_manifest(tmp_path: Path, make_data: Make) -> None:
    with pytest.raises(XprobeError, match="csv"):
        write_table(read(make_data()), tmp_path / "manifest.xlsx")
    with pytest.raises(XprobeError, match="csv"):
        read(put(tmp_path / "manifest.xlsx"))


# --- errors ------------------------------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match="nowhere: no such folder"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("folder", "message"),
    [("", "no folder"), ("real", "no class folders"), ("real/a", "no images found")],
)
def test_an_empty_folder_says_what_belongs_there(tmp_path: Path, folder: str, message: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True, parents=True)
    with pytest.raises(XprobeError, match=message) as error:
        read(tmp_path)
    assert "real/<class>/" in str(error.value)


def test_a_synthetic_class_that_real_lacks_is_refused(make_data: Make) -> None:
    data = make_data(("house", "road"))
    put(data / "synthetic/hous/0.png")
    with pytest.raises(XprobeError, match=r"hous is no class .*did you mean house\?"):
        read(data)
    shutil.rmtree(data / "synthetic/hous")
    put(data / "synthetic/sdxl/house/0.png")
    put(data / "synthetic/sdxl/rode/0.png")
    with pytest.raises(XprobeError, match=r"class 'rode' of .*sdxl.*did you mean road\?"):
        read(data)


@pytest.mark.parametrize("part", ["synthetic", "synthetic/sdxl"])
def test_a_real_class_that_a_generator_lacks_is_refused(make_data: Make, part: str) -> None:
    data = make_data(("house", "road"), generators=("sdxl", None))
    shutil.rmtree(data / part / "road")
    name = "sdxl" if part.endswith("sdxl") else "default"
    with pytest.raises(XprobeError, match=f"'road' of real has no images in .*{name}"):
        read(data)


@pytest.mark.parametrize("part", ["test", "extra"])
def test_a_class_without_training_images_is_refused(make_data: Make, part: str) -> None:
    data = make_data(**{part: 1})
    put(data / part / "c" / "0.png")
    said = f"'c' of {part} has no real images to train on; classes of real are a, b; rename the"
    with pytest.raises(XprobeError, match=said):
        read(data)


GOOD = [row("1.png"), row("2.png"), row("3.png", source="synthetic")]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([row("1.png", id="x"), row("2.png", id="x")], "ids given twice: x"),
        ([row("1.png"), row("1.png")], "ids given twice: 1.png"),
        ([*GOOD, row("4.png", lable="a")], r"unknown column 'lable' \(did you mean label\?\)"),
        ([row("1.png", source="synthetik")], r"row 1: .*'synthetik' \(did you mean synthetic\?\)"),
        ([row("1.png"), row("2.png", split="vla")], "row 2: split 'vla'; it is train, test, extra"),
        ([*GOOD, row("4.png", source="synthetic", split="test")], "row 4: .* always on real"),
        ([*GOOD, row("4.png", label="")], "row 4: label is empty"),
        ([*GOOD, row("4.png", label="  ")], "row 4: label is empty"),
        ([{"path": "1.png", "label": "a"}], "column source is missing"),
        (
            [{"file_name": "1.png", "label": "a"}],
            "column path, source is missing; rename file_name to path; the columns are",
        ),
        ([], "."),
        ([row("3.png", source="synthetic")], "no real images to train on"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_is_wrong_with_a_table_is_said(
    tmp_path: Path, wrong: list[dict[str, str]], message: str, suffix: str
) -> None:
    with pytest.raises(XprobeError, match=message):
        read(table(tmp_path, wrong, suffix))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", b"path,label,source\n\xff\xfe,a,real\n"),
        ("m.csv", b'path,label,source\n"1.png,a,real\n'),
        ("m.csv", b"path,label,source\n1.png,a,real,more,and more\n"),
        ("m.csv", b"path,label,source,label\n1.png,a,real,b\n"),
        ("m.jsonl", b"{'path': 1}\n"),
        ("m.jsonl", b"[1, 2]\n"),
        ("m.jsonl", b"17\n"),
        ("m.parquet", b"PAR1 not really"),
        ("m.parquet", b""),
    ],
)
def test_a_damaged_table_is_one_line_of_error(tmp_path: Path, name: str, content: bytes) -> None:
    put(tmp_path / "1.png")
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(XprobeError, match=name):
        read(file)


def test_a_table_none_of_whose_files_exists_is_refused_and_one_missing_file_is_not(
    tmp_path: Path,
) -> None:
    file = table(tmp_path, GOOD)
    (tmp_path / "2.png").unlink()
    assert cell(read(file), "2.png", "sha256") == ""
    for name in ("1.png", "3.png"):
        (tmp_path / name).unlink()
    with pytest.raises(
        XprobeError, match=r"none of the 3 files.*1\.png \(no such file or directory\)"
    ):
        read(file)


# --- cells that say that there is nothing ----------------------------------------------------

NONE = ["", "  ", "nan", "NaN", "None", "none", "null", "NULL", "NA", "n/a", "N/A", "<NA>", "#N/A"]


def lines_of(folder: Path, *lines: str) -> Path:
    """Write a .jsonl file as it is, with what no JSON has but Python writes, such as NaN."""
    file = table(folder, [row("1.png"), row("2.png"), row("3.png", source="synthetic")])
    file.write_text("\n".join((*file.read_text().splitlines(), *lines)))
    return file


@pytest.mark.parametrize("none", ["NaN", "null", *map(json.dumps, NONE)])
def test_a_cell_that_says_nothing_is_no_group_parent_generator_or_split(
    tmp_path: Path, none: str
) -> None:
    columns = ("id", "group", "parent", "generator", "split", "prompt", "polygons")
    more = "".join(f', "{name}": {none}' for name in columns)
    files = [put(tmp_path / f"{i}.png", str(i).encode()).name for i in range(4, 7)]
    lines = [f'{{"path": "{f}", "label": "a", "source": "real"{more}}}' for f in files[:2]]
    lines += [f'{{"path": "{files[2]}", "label": "a", "source": "synthetic"{more}}}']
    manifest = read(lines_of(tmp_path, *lines))
    real, synthetic = manifest.id != "6.png", manifest.id == "6.png"
    real &= manifest.source == "real"
    assert manifest.group[real].tolist() == manifest.id[real].tolist()
    for column, empty in (("group", ""), ("parent", ""), ("generator", "default"),
                          ("split", "train"), ("prompt", ""), ("polygons", "")):  # fmt: skip
        assert getattr(manifest, column)[synthetic].tolist() == [empty], column


@pytest.mark.parametrize("none", ["NaN", "null", *map(json.dumps, NONE)])
def test_a_cell_that_says_nothing_is_no_label(tmp_path: Path, none: str) -> None:
    line = f'{{"path": "1.png", "label": {none}, "source": "real", "id": "x"}}'
    with pytest.raises(XprobeError, match=r"row 4: label is (empty|'.*', which says)"):
        read(lines_of(tmp_path, line))


def test_missing_values_of_parquet_are_no_values(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for i in range(3):
        put(tmp_path / f"{i}.png")
    columns = {
        "path": ["0.png", "1.png", "2.png"], "label": ["a"] * 3,
        "source": ["real", "real", "synthetic"], "group": [float("nan"), None, 7.0],
        "parent": pa.array([None, None, "0.png"]),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    manifest = read(tmp_path / "m.parquet")
    assert manifest.group.tolist() == ["0.png", "1.png", "7.0"]
    assert manifest.parent.tolist() == ["", "", "0.png"]


def test_a_class_folder_may_be_called_none_but_a_manifest_cannot_say_so(
    tmp_path: Path, make_data: Make
) -> None:
    manifest = read(make_data(("none", "some")))
    assert manifest.classes == ("none", "some")
    with pytest.raises(XprobeError, match=r"real/none/0\.png: label is 'none', which says that"):
        write_table(manifest, tmp_path / "m.csv")
    generator = read(make_data(generators=("null",), name="other"))
    with pytest.raises(XprobeError, match="generator is 'null'"):
        write_table(generator, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


# --- sources of synthetic images ---------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_parents_are_the_real_images_that_are_meant(tmp_path: Path, suffix: str) -> None:
    """Their paths in the table, on this disk and on another, and in scenes of several images."""
    absolute = str(tmp_path / "real" / "1.png")
    edits = {"x": "real/1.png", "y": absolute, "z": "E:\\set\\REAL\\1.jpg", "u": "s", "t": "2"}
    rows = [row("real/1.png", id="r1", group="s"), row("real/2.png", id="r2", group="s")]
    rows += [row(f"{i}.png", source="synthetic", id=i, parent=p) for i, p in edits.items()]
    manifest = read(table(tmp_path, rows, suffix))
    parents = {i: cell(manifest, i, "parent") for i in edits}
    assert parents == {"x": "r1", "y": "r1", "z": "r1", "u": "s", "t": "r2"}
    right = [{**r, "parent": parents.get(r["id"], "")} for r in rows]
    assert read(table(tmp_path, right, suffix)).fingerprint == manifest.fingerprint


def test_a_parent_that_fits_several_images_is_refused_unless_no_file_is_read(
    tmp_path: Path,
) -> None:
    rows = [row("a/1.png"), row("b/1.png"), row("s.png", source="synthetic", parent="1.png")]
    file = table(tmp_path, rows)
    with pytest.raises(XprobeError, match=r"manifest.jsonl: .* 1.png \(a/1.png, b/1.png\)"):
        read(file)
    assert cell(read(file, hashed=False), "s.png", "parent") == "1.png"


# --- another column as the group -----------------------------------------------------------

EVENTS = [
    row("1.png", id="r1", group="s1", event="storm"),
    row("2.png", id="r2", group="s1", event="storm"),
    row("3.png", id="r3", group="s2", event="flood"),
    row("4.png", id="r4", event="flood"),
    row("5.png", event="storm"),
]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_images_of_an_event_are_one_group(tmp_path: Path, suffix: str) -> None:
    synthetic = row("s.png", source="synthetic", parent="s1", event="")
    manifest = read(table(tmp_path, [*EVENTS, synthetic], suffix), group="event")
    groups = dict(zip(manifest.id, manifest.group, strict=True))
    assert groups == {
        "r1": "storm", "r2": "storm", "r3": "flood", "r4": "flood", "5.png": "storm", "s.png": "",
    }  # fmt: skip
    assert cell(manifest, "s.png", "parent") == "storm"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    ("more", "kept_out"),
    [
        ({"parent": "s1"}, True),  # a scene
        ({"parent": "r1"}, True),  # an image
        ({"parent": "5.png"}, True),  # an image without a scene, by its path
        ({"parent": "storm"}, True),
        ({"group": "s1"}, True),
        ({"group": "5.png"}, True),  # the scene of an image that has none of its own is its id
        ({"group": "storm"}, True),
        ({"event": "storm"}, True),
        ({"event": "storm", "group": "s1", "parent": "r4"}, True),
        ({"parent": "r1", "group": "s2"}, True),
        ({"parent": "S1"}, True),  # A scene, an image and an event may be spelled otherwise.
        ({"parent": "/elsewhere/1.JPG"}, True),
        ({"parent": "Storm"}, True),
        ({"group": " s1.png"}, True),
        ({"parent": "S2", "group": "R3"}, False),
        ({"parent": "s2"}, False),
        ({"parent": "r4", "group": "r4"}, False),
        ({"group": "s2", "event": "flood"}, False),
        ({"parent": "unheard of", "group": "unheard of"}, False),
        ({}, False),
    ],
)
def test_a_synthetic_image_is_traced_to_the_event_of_its_source(
    tmp_path: Path, suffix: str, more: dict[str, str], kept_out: bool
) -> None:
    synthetic = row("s.png", source="synthetic", **more)
    manifest = read(table(tmp_path, [*EVENTS, synthetic], suffix), group="event")
    of = manifest.source == "synthetic"
    lineage = lineage_module.trace(manifest.select(of), manifest.select(~of))
    assert (~lineage.allowed(frozen_strings(["storm"]))).tolist() == [kept_out]


def test_copies_tie_events_together(tmp_path: Path) -> None:
    put(tmp_path / "1.png", b"one")
    put(tmp_path / "4.png", b"one")
    manifest = read(table(tmp_path, EVENTS), group="event")
    assert set(manifest.group) == {"flood"}


def test_an_event_that_was_not_asked_for_changes_nothing(tmp_path: Path) -> None:
    synthetic = row("s.png", source="synthetic", parent="s1", event="storm")
    rows = [*EVENTS, synthetic]
    with_events = read(table(tmp_path, rows))
    without = read(table(tmp_path, [{k: v for k, v in r.items() if k != "event"} for r in rows]))
    assert with_events.fingerprint == without.fingerprint
    assert cell(with_events, "r4", "group") == "r4"
    assert cell(with_events, "s.png", "parent") == "s1"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"event": ""}, "row 3: event is empty, and it is to be the group"),
        ({"event": "  "}, "row 3: event is empty"),
        ({"group": "s1"}, "row 3: images of the group s1 are of several events, storm and flood"),
        (
            {"group": "s1", "source": "synthetic"},
            "row 3: event is flood, but that of its group s1 is storm",
        ),
    ],
)
def test_events_that_contradict_the_scenes_are_refused(
    tmp_path: Path, suffix: str, changed: dict[str, str], message: str
) -> None:
    rows = [*EVENTS[:2], EVENTS[2] | changed, *EVENTS[3:]]
    file = table(tmp_path, rows, suffix)
    with pytest.raises(XprobeError, match=message):
        read(file, group="event")


def test_a_column_that_is_not_there_and_a_folder_are_refused(
    tmp_path: Path, make_data: Make
) -> None:
    for group in ("evnt", "town", "label"):
        with pytest.raises(XprobeError, match=f"--group {group}: it takes the column event"):
            read(table(tmp_path, EVENTS), group=group)
    with pytest.raises(XprobeError, match=r"--group event: no such column; add it, with a name"):
        read(table(tmp_path, GOOD), group="event")
    data = make_data()
    with pytest.raises(XprobeError, match=f"a folder has no columns; .*'xprobe scan {data} -o"):
        read(data, group="event")


# --- copies ------------------------------------------------------------------------------


def test_real_copies_share_a_group_however_they_are_chained(tmp_path: Path) -> None:
    put(tmp_path / "1.png", b"one")
    put(tmp_path / "2.png", b"one")
    put(tmp_path / "3.png", b"two")
    put(tmp_path / "4.png", b"two")
    rows = [
        row("1.png", group="p"), row("2.png", group="q"), row("3.png", group="q"),
        row("4.png", group="r"), row("5.png"), row("6.png", source="synthetic", parent="r"),
    ]  # fmt: skip
    manifest = read(table(tmp_path, rows))
    assert len({cell(manifest, f"{i}.png", "group") for i in (1, 2, 3, 4)}) == 1
    assert cell(manifest, "5.png", "group") == "5.png"
    assert cell(manifest, "6.png", "parent") == cell(manifest, "4.png", "group")


def test_a_synthetic_copy_of_a_real_image_counts_as_made_from_it(make_data: Make) -> None:
    data = make_data()
    shutil.copy(data / "real/a/1.png", data / "synthetic/b/7.png")
    manifest = read(data)
    assert cell(manifest, "synthetic/b/7.png", "group") == "real/a/1.png"
    assert cell(manifest, "synthetic/b/6.png", "group") == ""


def test_empty_files_are_no_copies_of_each_other(make_data: Make) -> None:
    data = make_data()
    for file in ("real/a/0.png", "real/a/1.png", "synthetic/a/0.png"):
        (data / file).write_bytes(b"")
    manifest = read(data)
    assert cell(manifest, "real/a/1.png", "group") == "real/a/1.png"
    assert cell(manifest, "synthetic/a/0.png", "group") == ""
    assert find_problems(manifest) == []


@pytest.mark.parametrize(
    ("copy", "problem"),
    [
        ("test/a/0.png", "same file in training and test part"),
        ("synthetic/a/0.png", "same file as real and as synthetic"),
        ("real/b/0.png", "same file under several classes"),
        ("real/a/1.png", "same file as another real image"),
    ],
)
def test_copies_are_reported_where_there_should_be_none(
    make_data: Make, copy: str, problem: str
) -> None:
    data = make_data(test=1)
    assert find_problems(read(data)) == []
    shutil.copy(data / "real/a/0.png", data / copy)
    assert any(problem in p and "real/a/" in p for p in find_problems(read(data)))


def test_classes_too_small_to_test_are_reported(make_data: Make) -> None:
    data = make_data(real=2, test=1)
    (data / "real/b/1.png").unlink()
    (data / "test/a/0.png").unlink()
    problems = " ".join(find_problems(read(data)))
    assert "fewer than two real images or groups of class b" in problems
    assert "the hold-out has no image of class a" in problems


# --- what there is -----------------------------------------------------------------------


def test_counts_are_one_row_a_class_source_generator_and_split(make_data: Make) -> None:
    found = counts(read(make_data(("a",), real=3, synthetic=2, test=1, generators=("x", "y"))))
    assert to_json(found) == [
        {"class": "a", "source": "real", "generator": None, "split": "test", "n": 1},
        {"class": "a", "source": "real", "generator": None, "split": "train", "n": 3},
        {"class": "a", "source": "synthetic", "generator": "x", "split": "train", "n": 2},
        {"class": "a", "source": "synthetic", "generator": "y", "split": "train", "n": 2},
    ]


def test_shapes_are_formats_and_sizes_and_the_files_without_any(
    make_data: Make, save_picture: Make
) -> None:
    data = make_data(("a",), real=2, synthetic=1)
    save_picture(data / "real/a/2.png", size_px=(30, 8))
    save_picture(data / "real/a/3.jpg", size_px=(5, 6))
    put(data / "real/a/4.png", b"no picture")
    rows, unusable = shapes(read(data))
    assert to_json(rows) == [
        {"source": "real", "format": "JPEG", "n": 1, "width": [5] * 3, "height": [6] * 3},
        {"source": "real", "format": "PNG", "n": 3, "width": [12, 12, 30], "height": [8, 10, 10]},
        {"source": "synthetic", "format": "PNG", "n": 1, "width": [12] * 3, "height": [10] * 3},
    ]
    assert list(unusable) == ["real/a/4.png"]
    assert "not an image" in unusable["real/a/4.png"]


def test_a_selection_keeps_the_classes_of_the_study(make_data: Make) -> None:
    manifest = read(make_data(("a", "b", "c")))
    part = manifest.select(manifest.label == "b")
    assert part.classes == ("a", "b", "c")
    assert set(part.label) == {"b"}
    assert part.fingerprint != manifest.fingerprint


def test_columns_cannot_be_changed(make_data: Make) -> None:
    manifest = read(make_data())
    with pytest.raises(ValueError, match="read-only"):
        manifest.label[0] = "other"
    assert set(manifest_module.REQUIRED + manifest_module.OPTIONAL) | {"sha256"} == set(
        Manifest.columns()
    )


@pytest.mark.parametrize("column", ["source", "split"])
def test_no_manifest_has_an_unknown_source_or_split(
    make_manifest: Callable[..., Manifest], column: str
) -> None:
    with pytest.raises(XprobeError, match=f"unknown {column} 'val'"):
        make_manifest("ab", **{column: ["val", "real" if column == "source" else "train"]})


# --- several -----------------------------------------------------------------------------


def study(tmp_path: Path) -> tuple[Path, list[Path]]:
    """Return a table of real images, and the tables of two generators of edits of them.

    The generators call their images alike, by the numbers of the images that these were made from.
    """
    real = [
        row(f"real/{label}/{i}.png", label, id=f"{label}{i}", event=f"e{i}")
        for label in "ab" for i in range(3)
    ]  # fmt: skip
    edited = [
        row(f"{label}/{i}.png", label, "synthetic", id=f"{label}{i}", parent=f"{label}{i}")
        for label in "ab" for i in range(3)
    ]  # fmt: skip
    return table(tmp_path, real, ".csv"), [
        table(tmp_path / f"made/{g}", edited, ".csv") for g in "xy"
    ]


def columns_of(manifest: Manifest, ids: set[str]) -> dict[str, list[str]]:
    """Return all that studies depend on of some images, id → cells."""
    names = ("label", "source", "group", "parent", "generator", "split", "sha256", "path", "event")
    cells = zip(*(manifest.column(name).tolist() for name in names), strict=True)
    return {id_: [*row] for id_, row in zip(manifest.id, cells, strict=True) if id_ in ids}


def test_tables_go_together_and_parents_lie_in_others(tmp_path: Path) -> None:
    real, made = study(tmp_path)
    manifest = read([real, *made])
    assert manifest.generator.tolist().count("x") == 6
    assert cell(manifest, "synthetic/x/a1", "parent") == "a1"
    assert cell(manifest, "synthetic/y/b2", "path") == str(tmp_path / "made/y/b/2.png")
    assert manifest.column("event").tolist()[:3] == ["e0", "e1", "e2"]
    grouped = read([real, *made], group="event")
    lineage = lineage_module.trace(*lineage_module.sides(grouped))
    assert lineage.known.all()
    assert not lineage.is_outside.any()


def test_an_edit_that_is_called_as_its_source_is_not_its_own_source(tmp_path: Path) -> None:
    real, (x, _) = study(tmp_path)
    x.write_text(re.sub(r"(?m)^(./.\.png)(.*),\w+$", r"\1\2,\1", x.read_text()))
    assert "a/1.png,a,synthetic,a1,a/1.png" in x.read_text()
    assert cell(read([real, x]), "synthetic/x/a1", "parent") == "a1"


def test_a_further_table_changes_nothing_of_the_others(tmp_path: Path) -> None:
    """Wherever it stands, since shells sort what a pattern names."""
    real, (x, y) = study(tmp_path)
    one, two, both = read(real, whole=False), read([real, x]), read([real, x, y])
    for fewer in (one, two):
        ids = set(fewer.id)
        assert columns_of(both, ids) == columns_of(fewer, ids)
    assert read([y, x, real]).fingerprint == both.fingerprint
    assert read((str(real), x)).fingerprint == two.fingerprint


def test_several_written_as_one_table_are_the_same_study(tmp_path: Path) -> None:
    real, made = study(tmp_path)
    several = read([real, *made])
    for suffix in FORMATS:
        write_table(several, tmp_path / f"out/all{suffix}")
        assert read(tmp_path / f"out/all{suffix}").fingerprint == several.fingerprint
    write_table(several, real)  # over one of them
    with pytest.warns(XprobeWarning, match="6 images are given by .*, too, and taken once"):
        assert read([real, *made]).fingerprint == several.fingerprint


def test_a_folder_and_the_table_of_its_images_are_one_study(make_data: Make) -> None:
    data = make_data(real=2, synthetic=2)
    rows = [
        row(f"synthetic/{label}/{i}.png", label, "synthetic", parent=f"real/{label}/0.png")
        for label in "ab" for i in range(2)
    ]  # fmt: skip
    lineage = table(data, rows, ".csv")
    with pytest.warns(XprobeWarning, match="4 images are given by .*/data, too, and taken once"):
        manifest = read([data, lineage])
    assert set(manifest.parent) == {"", "real/a/0.png", "real/b/0.png"}
    assert len(manifest) == 8
    assert set(manifest.generator) == {"", "default"}


def test_two_folders_go_together(make_data: Make, tmp_path: Path) -> None:
    first, second = make_data(name="first", real=2), make_data(name="second", real=3)
    for path in second.rglob("*.png"):
        path.write_bytes(path.read_bytes() + b"other")
    with pytest.warns(XprobeWarning, match=r"second: 20 ids are those of other images in .*/first"):
        manifest = read([first, second])
    assert {"real/a/0.png", "second/real/a/0.png", "real/a/2.png"} <= set(manifest.id)
    shutil.rmtree(second)
    shutil.copytree(first, second)
    with pytest.warns(XprobeWarning, match="20 images are given by"):
        assert read([first, second]).fingerprint == read(first).fingerprint


def test_what_is_wrong_with_one_of_several_is_told_by_its_name(tmp_path: Path) -> None:
    real, (x, _) = study(tmp_path)
    put(tmp_path / "empty.csv", b"\n")
    put(tmp_path / "heads.csv", b"path,label,source\n")
    put(tmp_path / "picture.png", b"no table")
    put(tmp_path / "plain/a/0.png")
    for bad, message in (
        ("gone.csv", "gone.csv: no such manifest file"),
        ("empty.csv", "empty.csv: the column path, label, source is missing"),
        ("heads.csv", "heads.csv: there are no images in it"),
        ("picture.png", "picture.png: no form of data fits .* a manifest is a .csv"),
        ("plain", "plain: no folder .*; if they are of synthetic ones, name them beside DATA"),
    ):
        for places in ([real, x, tmp_path / bad], [tmp_path / bad, real]):
            with pytest.raises(XprobeError, match=message):
                read(places)
    with pytest.raises(XprobeError, match="the list of DATA is empty"):
        read([])
    with pytest.raises(XprobeError, match=r"no real images to train on; .* name the table of them"):
        read(x)
    assert len(read([real, x])) == 12
    with pytest.warns(XprobeWarning, match=r"manifest\.csv: named twice, and read once"):
        assert len(read([real, real, x])) == 12


def test_a_table_of_several_whose_files_are_all_missing_is_told(tmp_path: Path) -> None:
    real, (x, y) = study(tmp_path)
    x.rename(tmp_path / "x.csv")  # away from its images
    with pytest.warns(XprobeWarning, match=r"x\.csv: none of its 6 files can be read, the first"):
        manifest = read([real, tmp_path / "x.csv", y])
    assert set(manifest.generator) == {"", "x", "y"}


def test_a_class_that_one_table_alone_has_is_refused(tmp_path: Path) -> None:
    real, (x, y) = study(tmp_path)
    x.write_text(x.read_text().replace("b/2.png,b,", "b/2.png,c,"))
    with pytest.raises(XprobeError, match=r"x/manifest\.csv.*: class 'c' of synthetic \(gen.* x\)"):
        read([real, x, y])


def test_labels_that_are_numbers_are_one_class_over_all_tables(tmp_path: Path) -> None:
    """As pandas writes them beside empty cells."""
    real, (x, _) = study(tmp_path)
    for file, label in ((real, "1"), (x, "1.0")):
        file.write_text(file.read_text().replace(",a,", f",{label},"))
    with pytest.warns(XprobeWarning, match="labels that are spelt in two ways, .* one class: 1$"):
        assert read([real, x]).classes == ("1", "b")


def test_an_event_that_tables_spell_otherwise_is_one_group(tmp_path: Path) -> None:
    one = table(tmp_path / "one", [row("1.png", event="Big_Storm"), row("2.png", event="flood")])
    two = table(tmp_path / "two", [row("3.png", event="big-storm"), row("4.png", event="Flood")])
    with pytest.warns(XprobeWarning, match="two ways are one: big-storm"):
        manifest = read([one, two], whole=False, group="event")
    assert sorted(manifest.group) == ["Big_Storm", "Big_Storm", "flood", "flood"]
    assert manifest.column("event").tolist() == manifest.group.tolist()


def test_a_row_for_each_caption_of_a_picture_is_told(tmp_path: Path) -> None:
    texts = {"a": ("one", "two", ""), "b": ("one", "one")}
    rows = [
        {"path": f"{name}{i}.png", "label": name, "source": "real", "prompt": text}
        for name, several in texts.items()
        for i, text in enumerate(several)
    ]
    for row in rows:
        put(tmp_path / row["path"], row["label"].encode())
    with pytest.warns(XprobeWarning, match="1 real image is the same .* other captions, .*a1.png;"):
        read(table(tmp_path, rows), whole=False)
