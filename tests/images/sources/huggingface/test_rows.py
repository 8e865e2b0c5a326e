"""Data sets of Hugging Face as image tables: true forms, chosen columns, and what is refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from makers import rows_of_images, save_rows

import xprobe
from xprobe.base.errors import OptionError, XprobeError, XprobeNote, XprobeWarning
from xprobe.images.captions import captions_of
from xprobe.images.config import DataConfig, FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources.huggingface.rows import read, recognises
from xprobe.images.sources.registry import read_rows

IMAGES = [f"image {i}".encode() for i in range(4)]


def rows_in(data: Path, *columns: str, classes: str = "") -> list[Row]:
    """Return the rows of a data set, whatever is warned of."""
    pairs = tuple((pair.split("=")[0], pair.split("=")[1]) for pair in columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows, base = read(data, "", FormConfig(columns=pairs, classes=classes))
    assert base == (data if data.is_dir() else data.parent)
    return rows


def error_of(data: Path, *columns: str, classes: str = "") -> str:
    with pytest.raises(XprobeError) as error:
        rows_in(data, *columns, classes=classes)
    assert "\n" not in str(error.value)
    return str(error.value)


def labels_of(rows: list[Row]) -> list[str]:
    return [row["label"] for row in rows]


def cats_and_dogs(numbers: Any = (0, 1, 1, 0), **columns: Any) -> pa.Table:
    return rows_of_images(IMAGES, ["cat", "dog"], label=numbers, **columns)


def save_to_disk(folder: Path, *tables: pa.Table, **state: Any) -> Path:
    """Write a data set as ``save_to_disk`` does."""
    files = [f"data-{i:05}-of-{len(tables):05}.arrow" for i in range(len(tables))]
    for file, table in zip(files, tables, strict=True):
        save_rows(table, folder / file)
    state = {"_data_files": [{"filename": file} for file in files], "_split": None, **state}
    (folder / "state.json").write_text(json.dumps(state))
    features = json.loads(tables[0].schema.metadata[b"huggingface"])["info"]["features"]
    (folder / "dataset_info.json").write_text(json.dumps({"features": features, "license": ""}))
    return folder


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    save_rows(cats_and_dogs(), tmp_path / "data/train-00000-of-00002.parquet")
    save_rows(cats_and_dogs(), tmp_path / "data/train-00001-of-00002.parquet")
    save_rows(cats_and_dogs(), tmp_path / "data/test-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    return tmp_path


def test_shards_are_read_as_one_table(shards: Path) -> None:
    words = r": taken as: Hugging Face, train: 2 classes × 4 real; test: 2 classes × 2 real$"
    with pytest.warns(XprobeNote, match=words.replace(" real", "")):
        images = xprobe.read(shards)
    assert images.id[0] == "data/train-00000-of-00002.parquet::0"
    assert images.path[0] == str(shards / images.id[0])
    assert all(images.sha256) and images.classes == ("cat", "dog")
    assert set(images.source) == {"real"} and set(images.column("licence")) == {"mit"}


def test_what_was_saved_to_disk_is_read(tmp_path: Path) -> None:
    both = cats_and_dogs()
    one = save_to_disk(tmp_path / "one", both.slice(0, 1), both.slice(1), _split="train")
    assert recognises(one)
    rows = rows_in(one)
    assert [row["path"] for row in rows] == [
        "data-00000-of-00002.arrow::0", *(f"data-00001-of-00002.arrow::{i}" for i in range(3))
    ]  # fmt: skip
    assert labels_of(rows) == ["cat", "dog", "dog", "cat"] and rows[0]["split"] == "train"
    for split in ("train", "test"):
        save_to_disk(tmp_path / split, both)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert recognises(tmp_path)
    assert [row["split"] for row in rows_in(tmp_path)] == ["train"] * 4 + ["test"] * 4


def test_only_data_sets_of_images_are_recognised(shards: Path, tmp_path: Path) -> None:
    file = shards / "data/test-00000-of-00001.parquet"
    assert recognises(shards) and recognises(file)
    numbers = save_rows(pa.table({"x": [1]}), tmp_path / "other/numbers.parquet")
    assert not recognises(numbers) and not recognises(numbers.parent)
    assert not recognises(tmp_path / "none") and not recognises(shards / "README.md")
    table = pa.table({"path": ["a"], "label": ["b"], "source": ["real"], "hash": [b"c"]})
    assert not recognises(save_rows(table, tmp_path / "manifest.parquet"))
    file.write_bytes(b"PAR1")
    assert not recognises(file) and recognises(file.parent)


def test_a_file_that_is_named_alone_is_trained_with(shards: Path) -> None:
    rows = rows_in(shards / "data/test-00000-of-00001.parquet")
    assert {row["split"] for row in rows} == {""}
    assert rows[3]["path"] == "test-00000-of-00001.parquet::3"
    files = sorted((shards / "data").iterdir())
    with pytest.raises(
        XprobeError, match=r"test-.*: its name says test, and files .* trained with"
    ):
        xprobe.read(files)


def test_row_numbers_sort_as_rows_do(tmp_path: Path) -> None:
    table = rows_of_images([b"x"] * 120, label=["a"] * 120)
    rows = rows_in(save_rows(table, tmp_path / "x.parquet", row_group_size=50))
    paths = [row["path"] for row in rows]
    assert paths == sorted(paths) and paths[7] == "x.parquet::007" and len(paths) == 120


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_labels_are_numbers_or_texts_in_any_coding(suffix: str, tmp_path: Path) -> None:
    for i, labels in enumerate([
        pa.array([0, 1, 1, 0], pa.uint8()),
        pa.array(["cat", "dog", "dog", "cat"], pa.large_string()),
        pa.array(["cat", "dog", "dog", "cat"]).dictionary_encode(),
        pa.array([0, 1, 1, 0]).dictionary_encode(),
    ]):  # fmt: skip
        file = save_rows(cats_and_dogs(labels), tmp_path / f"{i}{suffix}")
        assert labels_of(rows_in(file)) == ["cat", "dog", "dog", "cat"], i


def test_images_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    file = save_rows(cats_and_dogs([-1, 1, None, 0]), tmp_path / "x.parquet")
    words = r"left out images without a label: 2, such as x\.parquet::0"
    with pytest.warns(XprobeWarning, match=words):
        rows, _ = read(file, "", FormConfig())
    assert labels_of(rows) == ["dog", "cat"]
    file = save_rows(rows_of_images(IMAGES, label=["", "a", None, "b"]), tmp_path / "y.parquet")
    assert labels_of(rows_in(file)) == ["a", "b"]
    file = save_rows(cats_and_dogs([-1] * 4), tmp_path / "z.parquet")
    assert "label in it: left out images without a label: 4, such as" in error_of(file)


@pytest.mark.parametrize(
    "labels", [[0.0, 1.0, 1.0, 0.0], [[0], [1], [1], [0]], [{"a": 0}] * 4, [True] * 4]
)
def test_labels_of_other_types_are_refused(labels: list[Any], tmp_path: Path) -> None:
    file = save_rows(rows_of_images(IMAGES, label=labels), tmp_path / "x.parquet")
    assert "a class is a text or a whole number; name another column" in error_of(file)


def test_numbers_without_names_are_classes_unless_a_file_names_them(tmp_path: Path) -> None:
    file = save_rows(rows_of_images(IMAGES, label=[0, 2, 1, 0]), tmp_path / "x.parquet")
    with pytest.warns(XprobeWarning, match="are numbers without names; .* --classes FILE"):
        rows, _ = read(file, "", FormConfig())
    assert labels_of(rows) == ["0", "2", "1", "0"]
    (tmp_path / "names.txt").write_text("a\nb\n")
    said = error_of(file, classes=str(tmp_path / "names.txt"))
    assert "x.parquet::1: its class is 2, and names are known of the classes 0 to 1" in said
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    rows = rows_in(file, classes=str(tmp_path / "names.txt"))
    assert labels_of(rows) == ["a", "c", "b", "a"]
    texts = save_rows(rows_of_images(IMAGES, label=list("abcd")), tmp_path / "y.parquet")
    said = error_of(texts, classes=str(tmp_path / "names.txt"))
    assert "the classes in label are names already; leave --classes out" in said


def test_class_names_may_stand_in_the_card(tmp_path: Path) -> None:
    table = rows_of_images(IMAGES, label=[0, 1, 1, 0]).replace_schema_metadata({})
    save_rows(table, tmp_path / "train.parquet")
    (tmp_path / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n"
        "        names: {'0': sea, '1': lake}\n---\n"
    )
    assert labels_of(rows_in(tmp_path)) == ["sea", "lake", "lake", "sea"]


@pytest.mark.parametrize("name", ["a/b", "a\nb", "", "none"])
def test_class_names_that_can_be_none_are_refused(name: str, tmp_path: Path) -> None:
    table = rows_of_images(IMAGES, ["cat", name], label=[0, 1, 1, 0])
    assert "--classes FILE" in error_of(save_rows(table, tmp_path / "x.parquet"))
    if name == "a/b":
        texts = rows_of_images(IMAGES, label=[name] * 4)
        said = error_of(save_rows(texts, tmp_path / "y.parquet"))
        assert "y.parquet::0: the class 'a/b' holds a slash" in said


def test_the_image_column_is_the_only_one_or_named(tmp_path: Path) -> None:
    table = cats_and_dogs()
    two = table.append_column("mask", table["image"])
    file = save_rows(two, tmp_path / "x.parquet")
    assert "several columns hold images, image, mask; say which with --columns" in error_of(file)
    assert rows_in(file, "image=mask")[0]["path"] == "x.parquet::0/mask"
    said = error_of(file, "image=label")
    assert "the column label holds no images, but int64" in said
    plain = pa.table({"content": IMAGES, "label": ["a"] * 4})
    file = save_rows(plain, tmp_path / "y.parquet")
    assert recognises(file)
    assert "there are content (binary), label (string)" in error_of(file)
    assert rows_in(file, "image=content")[0]["path"] == "y.parquet::0/content"


def test_sounds_are_no_images(tmp_path: Path) -> None:
    table = cats_and_dogs()
    table = table.append_column("sound", table["image"])
    said = json.loads(table.schema.metadata[b"huggingface"])
    said["info"]["features"]["sound"] = {"_type": "Audio"}
    file = save_rows(
        table.replace_schema_metadata({"huggingface": json.dumps(said)}), tmp_path / "x.parquet"
    )
    assert rows_in(file)[0]["path"] == "x.parquet::0"


def test_the_label_column_is_told_by_its_name_or_named(tmp_path: Path) -> None:
    file = save_rows(
        rows_of_images(IMAGES, fine_label=list("abcd"), coarse_label=["x"] * 4),
        tmp_path / "x.parquet",
    )
    assert labels_of(rows_in(file)) == list("abcd")
    assert labels_of(rows_in(file, "label=coarse_label")) == ["x"] * 4
    several = rows_of_images(IMAGES, label=list("abcd"), cls=list("abcd"))
    said = error_of(save_rows(several, tmp_path / "y.parquet"))
    assert "several columns may be the class, label, cls; say which with --columns" in said
    none = rows_of_images(IMAGES, species=list("abcd"))
    said = error_of(save_rows(none, tmp_path / "z.parquet"))
    assert "no label column; say which" in said and "there are image (image), species" in said


def test_columns_of_an_image_table_are_taken(tmp_path: Path) -> None:
    table = cats_and_dogs(
        id=["w", "x", "y", "z"], source=["real", "real", "synthetic", "synthetic"],
        split=["train", "validation", None, "test"], generator=[None, "nan", "sd", "sd"],
        caption=["p"] * 4, captions=[["one", "two"], [], ["three"], None], seed=[1, 2, 3, 4],
    )  # fmt: skip
    file = save_rows(table, tmp_path / "x.parquet")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rows, _ = read_rows(file, "", FormConfig())
    words = " ".join(str(warning.message) for warning in told)
    assert "columns that are not used: caption, captions; to use one, say what it is" in words
    assert "synthetic images of splits that are not trained with: 1, such as x.parquet::3" in words
    assert [row["id"] for row in rows] == ["w", "x", "y"]
    assert [row["split"] for row in rows] == ["train", "val", ""]
    assert [row.get("generator") for row in rows] == [None, None, "sd"]
    assert [row["source"] for row in rows] == ["real", "real", "synthetic"]
    assert rows[2]["seed"] == "3" and "prompt" not in rows[0]
    assert rows_in(file, "prompt=caption")[0]["prompt"] == "p"
    prompts = [row.get("prompt") for row in rows_in(file, "prompt=captions")]
    assert prompts == ['["one", "two"]', None, "three"]
    assert "id" not in rows_in(file, "id=-")[0]
    assert "the column captions holds lists of text" in error_of(file, "id=captions")


def test_texts_that_no_table_can_hold_are_refused(tmp_path: Path) -> None:
    file = save_rows(cats_and_dogs(group=["a", "b", "c\0", "d"]), tmp_path / "x.parquet")
    said = error_of(file)
    assert said.startswith("x.parquet::2: its group holds NUL or half a character: name another")


@pytest.mark.parametrize("said", ["[" * 100_000, "1", "[]", '{"info": []}', '{"info": {}}'])
def test_a_description_of_columns_may_be_odd(said: str, tmp_path: Path) -> None:
    table = cats_and_dogs().replace_schema_metadata({"huggingface": said})
    with pytest.warns(XprobeWarning, match="numbers without names"):
        rows, _ = read(save_rows(table, tmp_path / "x.parquet"), "", FormConfig())
    assert labels_of(rows) == ["0", "1", "1", "0"]


def test_a_caption_that_looks_like_a_list_is_one_caption(tmp_path: Path) -> None:
    table = cats_and_dogs(prompt=[['["a"]'], ["[", '["b"]'], ["c"], None])
    rows = rows_in(save_rows(table, tmp_path / "x.parquet"))
    captions = [captions_of(row.get("prompt", "")) for row in rows]
    assert captions == [['["a"]'], ["[", '["b"]'], ["c"], []]


def test_an_arrow_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    file = save_rows(cats_and_dogs(), tmp_path / "x.arrow")
    content = file.read_bytes()
    for damaged, words in ((content[:-9], "damaged Arrow stream"), (b"", "the file is empty"),
                           (b"ARROW1\0\0" + content, "random-access form")):  # fmt: skip
        file.write_bytes(damaged)
        with pytest.raises(XprobeError, match=words):
            read_rows(file, "", FormConfig())


def test_values_that_say_nothing_to_xprobe_are_refused_with_the_remedy(tmp_path: Path) -> None:
    file = save_rows(cats_and_dogs(source=["web", "real", "", "flickr"]), tmp_path / "x.parquet")
    said = error_of(file)
    assert "x.parquet::0: source 'web'; it is real or synthetic" in said
    assert "--columns source=-" in said
    assert {row["source"] for row in rows_in(file, "source=-")} == {""}
    file = save_rows(cats_and_dogs(split=["fold1"] * 4), tmp_path / "y.parquet")
    assert "split 'fold1'; it is train, validation or test" in error_of(file)
    file = save_rows(cats_and_dogs(id=[1, 2, 3, 1]), tmp_path / "z.parquet")
    assert "ids given twice: 1; name another column with --columns id=…" in error_of(file)


def test_a_source_may_be_a_number_with_a_name(tmp_path: Path) -> None:
    table = rows_of_images(IMAGES, ["real", "synthetic"], label=[0, 1, 0, 1], cls=list("aabb"))
    file = save_rows(table, tmp_path / "x.parquet")
    rows = rows_in(file, "source=label", "label=cls")
    assert [(row["source"], row["label"]) for row in rows] == [
        ("real", "a"), ("synthetic", "a"), ("real", "b"), ("synthetic", "b")
    ]  # fmt: skip


def test_options_that_name_no_column_are_refused(shards: Path) -> None:
    with pytest.raises(OptionError, match="an image table has no column colour"):
        rows_in(shards, "colour=label")
    with pytest.raises(OptionError, match="--columns label=-: every image needs one"):
        rows_in(shards, "label=-")
    assert "there is no column species; there are image, label" in error_of(shards, "label=species")
    with pytest.raises(XprobeError, match="--group event: no such column"):
        read(shards, "event", FormConfig())


def test_a_column_may_say_which_images_belong_together(tmp_path: Path) -> None:
    file = save_rows(cats_and_dogs(event=["e", "e", "f", "f"]), tmp_path / "x.parquet")
    rows, _ = read(file, "event", FormConfig())
    assert [row["group"] for row in rows] == ["e", "e", "f", "f"]
    assert {row["source"] for row in rows} == {""}


def of_paths(paths: list[str | None], contents: list[bytes | None]) -> pa.Table:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": b, "path": p} for b, p in zip(contents, paths, strict=True)]
    return pa.table({"image": pa.array(cells, kind), "label": ["a"] * len(cells)})


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("groups", [1, 100])
def test_images_may_be_files_of_the_data_set(suffix: str, groups: int, tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("img/1.png", "img/3.png", "data/2.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path.parent / "outside.png").write_bytes(b"x")
    kept: list[str | None] = ["img/1.png", "2.png", "gone.png", str(tmp_path / "img/3.png"), "in"]
    unsafe = ["../outside.png", str(tmp_path.parent / "outside.png"), "https://x.org/1.png",
              "a\0b", "data/../../outside.png", "..\\\\outside.png"]  # fmt: skip
    table = of_paths([*kept, *unsafe, None], [None] * 4 + [b"bytes"] + [None] * (len(unsafe) + 1))
    options = {"row_group_size" if suffix == ".parquet" else "max_chunksize": groups}
    file = save_rows(table, tmp_path / f"data/train{suffix}", **options)
    data = tmp_path
    if suffix == ".arrow":
        state = {"_data_files": [{"filename": "train.arrow"}]}
        (tmp_path / "data/state.json").write_text(json.dumps(state))
        data = tmp_path / "data"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rows, _ = read(data, "", FormConfig())
    if suffix == ".parquet":
        assert [row["path"] for row in rows] == [
            "img/1.png", "data/2.png", "data/gone.png", "img/3.png", "data/train.parquet::04"
        ]  # fmt: skip
    words = " ".join(str(warning.message) for warning in told)
    n = len(unsafe) + (suffix == ".arrow")  # img lies outside the folder that was saved
    assert f"does not lead to a file of the data set: {n}, such as" in words
    assert "left out rows without an image: 1, such as" in words
    assert file.exists()


def test_unlike_shards_are_an_error_that_names_both(tmp_path: Path) -> None:
    def beside(other: pa.Table) -> str:
        folder = tmp_path / "data"
        save_rows(cats_and_dogs(), folder / "train-00000-of-00002.parquet")
        save_rows(other, folder / "train-00001-of-00002.parquet")
        said = error_of(tmp_path)
        assert "train-00000-of-00002.parquet" in said and "train-00001-of-00002.parquet" in said
        return said

    names = rows_of_images(IMAGES, label=list("abcd"))
    assert "the label (label) is numbers in" in beside(names)
    others = rows_of_images(IMAGES, ["dog", "cat"], label=[0, 1, 1, 0])
    assert "the classes of label are cat, dog in" in beside(others)
    assert "the generator is no column in" in beside(cats_and_dogs(generator=["sd"] * 4))
    renamed = rows_of_images(IMAGES, cls=list("abcd"))
    assert "the label is label in" in beside(renamed)


def test_damaged_and_empty_files_are_told(shards: Path, tmp_path: Path) -> None:
    file = shards / "data/train-00001-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    said = error_of(shards)
    assert f"{file}: it cannot be read (" in said and said.endswith("copy or write it again")
    saved = save_to_disk(tmp_path / "saved", cats_and_dogs())
    arrow = saved / "data-00000-of-00001.arrow"
    arrow.write_bytes(arrow.read_bytes()[:-8])
    said = error_of(saved)
    assert "its end is missing" in said and "\n" not in said
    empty = save_rows(cats_and_dogs().slice(0, 0), tmp_path / "empty.parquet")
    assert "there are no images with a label in it: it has no rows" in error_of(empty)
    captions = of_paths(["1.png", "2.png", "1.png"], [None] * 3)
    said = error_of(save_rows(captions, tmp_path / "captions.parquet"))
    assert "several rows lead to one file: 1.png; keep a row for each file" in said
    (tmp_path / "nothing").mkdir()
    assert "no .parquet files in it" in error_of(tmp_path / "nothing")


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    table = cats_and_dogs()
    twice = table.append_column("label", table["label"])
    assert "the column 'label' is there twice" in error_of(save_rows(twice, tmp_path / "x.parquet"))


def test_synthetic_images_are_named_beside_real_ones(shards: Path, tmp_path: Path) -> None:
    made = save_rows(rows_of_images([b"a", b"b"], label=["cat", "dog"]), tmp_path / "made.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = xprobe.read(shards / "data", config=DataConfig(synthetic=(f"sd={made}",)))
    synthetic = images.select(images.source == "synthetic")
    assert synthetic.id.tolist() == ["synthetic/sd/made.parquet::0", "synthetic/sd/made.parquet::1"]
    assert set(synthetic.generator) == {"sd"} and all(synthetic.sha256)


def test_class_names_of_the_card_and_of_the_rows_must_be_the_same(shards: Path) -> None:
    names = "features: [{name: label, dtype: {class_label: {names: {0: dog, 1: cat}}}}]"
    (shards / "README.md").write_text(f"---\ndataset_info: {{{names}}}\n---\n")
    assert "label are dog, cat in README.md and cat, dog in data/" in error_of(shards)
    (shards / "names.txt").write_text("Katze\nHund\n")
    said = "its classes are dog, cat, and Katze, Hund in this study, as --classes"
    with pytest.warns(XprobeWarning, match=said):
        rows, _ = read(shards, "", FormConfig(classes=str(shards / "names.txt")))
    assert set(labels_of(rows)) == {"Katze", "Hund"}


def test_images_beside_columns_of_a_manifest_are_no_manifest(tmp_path: Path) -> None:
    columns = {"path": ["x.png"] * 4, "source": ["real"] * 4}
    file = save_rows(cats_and_dogs(**columns), tmp_path / "data.parquet")
    assert recognises(file) and recognises(tmp_path)


def test_pictures_that_no_row_leads_to_are_told(shards: Path) -> None:
    (shards / "data/stray.png").write_bytes(b"")
    with pytest.warns(XprobeNote, match=r"left out pictures beside the rows: 1, such as .*stray"):
        read(shards, "", FormConfig())
