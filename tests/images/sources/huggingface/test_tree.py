"""Names of the files of data sets: configurations, splits, shards."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from makers import described

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.sources.huggingface.card import Card, Configuration
from xprobe.images.sources.huggingface.tree import (
    Shard,
    count_others,
    missing_shard,
    parquet_shards,
    saved_shards,
    shard_names,
)
from xprobe.images.sources.leftovers import LeftOut


def splits_of(*names: str, card: Card | None = None, asked: str = "") -> dict[str, str]:
    """Return the split of each file that is read."""
    _, shards = parquet_shards("set", names, card or Card(), asked)
    return {shard.name: shard.split for shard in shards}


@pytest.mark.parametrize(
    "splits",
    [
        {"data/train-00000-of-00002.parquet": "train", "data/train-00001-of-00002.parquet": "train",
         "data/test-00000-of-00001.parquet": "test"},
        {"data/train-00000-of-00001-0123456789abcdef.parquet": "train"},
        {"default/train/0000.parquet": "train", "default/train/0001.parquet": "train",
         "default/validation/0000.parquet": "val"},
        {"train.parquet": "train", "valid.parquet": "val", "Test.parquet": "test"},
        {"train/a.parquet": "train", "train/b.parquet": "train", "test/a.parquet": "test"},
        {"0000.parquet": "", "0001.parquet": ""},
        {"photos-00000-of-00001.parquet": ""},
    ],
)  # fmt: skip
def test_splits_are_told_by_names(splits: dict[str, str]) -> None:
    assert splits_of(*splits) == splits


def test_other_splits_are_left_out_and_told() -> None:
    names = ["data/train-00000-of-00001.parquet", "data/sketch-00000-of-00001.parquet"]
    with pytest.warns(XprobeWarning, match="1 file of other splits .* left out: sketch"):
        assert splits_of(*names) == {names[0]: "train"}
    with pytest.raises(XprobeError, match="the splits 'fold1', 'fold2' are neither train"):
        splits_of("fold1.parquet", "fold2.parquet")
    with pytest.warns(XprobeWarning, match="partial-train is the first part of a split"):
        splits = splits_of("a/partial-train/0000.parquet", "a/test/0000.parquet")
    assert list(splits.values()) == ["train", "test"]


def test_several_configurations_are_an_error_unless_one_is_asked_for() -> None:
    names = ["a/train/0000.parquet", "b/train/0000.parquet", "b/test/0000.parquet"]
    with pytest.raises(XprobeError, match=r"several configurations, a, b; name .* such as set/a"):
        splits_of(*names)
    assert splits_of(*names, asked="b") == {names[1]: "train", names[2]: "test"}
    with pytest.raises(XprobeError, match="no configuration c; there are a, b"):
        splits_of(*names, asked="c")


def test_the_card_goes_before_the_names() -> None:
    card = Card((
        Configuration("small", (("train", "data/s-*"), ("test", "data/t?.parquet"))),
        Configuration("large", (("train", "big/**/*.parquet"),)),
    ))  # fmt: skip
    names = ["data/s-1.parquet", "data/t1.parquet", "data/other.parquet", "big/l.parquet"]
    small = {names[0]: "train", names[1]: "test"}
    with pytest.warns(XprobeWarning, match="1 file .* left out: data/other.parquet; name"):
        assert splits_of(*names, card=card, asked="small") == small
    del names[2]
    assert splits_of(*names[:2], card=card) == small
    assert splits_of(*names, card=card, asked="large") == {names[2]: "train"}
    files = r"small, large; name a file of one, such as set/data/s-1\.parquet"
    with pytest.raises(XprobeError, match=files):
        splits_of(*names, card=card)


def test_a_file_that_is_listed_in_two_splits_must_not_leak_from_one_to_the_other() -> None:
    names = ["test.parquet", "train.parquet"]
    every, test = ("train", "*.parquet"), ("test", "test*")
    with pytest.raises(XprobeError, match=r"lists test\.parquet in the splits train and test"):
        splits_of(*names, card=Card((Configuration("default", (every, test)),)))
    card = Card((Configuration("default", (("all", "*.parquet"), ("train", "train*"), test)),))
    assert splits_of(*names, card=card) == {"test.parquet": "test", "train.parquet": "train"}


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("train*", ["train.parquet"]),
        ("*.parquet", ["train.parquet"]),
        ("*/*.parquet", ["train_old/0.parquet"]),
        ("**", ["train.parquet", "train_old/0.parquet", "a/b/[1].parquet"]),
        ("**/*.parquet", ["train.parquet", "train_old/0.parquet", "a/b/[1].parquet"]),
        ("a/**/?1].parquet", ["a/b/[1].parquet"]),
        ("a/**", ["a/b/[1].parquet"]),
    ],
)
def test_a_star_ends_at_a_slash(pattern: str, files: list[str]) -> None:
    names = ["train.parquet", "train_old/0.parquet", "a/b/[1].parquet"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = splits_of(*names, card=Card((Configuration("x", (("train", pattern),)),)))
    assert list(read) == files


def test_a_missing_shard_is_named() -> None:
    names = [f"data/train-{i:05}-of-00003.parquet" for i in (0, 2)]
    assert missing_shard(names) == "data/train-00001-of-00003.parquet"
    assert missing_shard(["x-00000-of-00001.parquet", "a.parquet"]) == ""
    many = "9" * 15  # All numbers up to this one would fill the memory.
    assert missing_shard([f"x-00000-of-{many}.parquet"]) == f"x-{1:015}-of-{many}.parquet"
    with pytest.raises(XprobeError, match=r"data/train-00001-of-00003\.parquet is missing; copy"):
        splits_of(*names)


def test_folders_of_pictures_are_not_looked_through_to_recognise_others() -> None:
    tree: dict[str, Any] = {
        "a.parquet": None, "README.md": None,
        "b": {"c": ["d.parquet"], "e": {"f": ["too_deep.parquet"]}},
        "g": ["1.png", "2.png"], "h": ["i.parquet"],
    }  # fmt: skip
    assert list(shard_names(described(tree))) == ["a.parquet", "b/c/d.parquet", "h/i.parquet"]
    assert list(shard_names(described(tree), is_whole=False)) == ["a.parquet", "b/c/d.parquet"]


def save_state(folder: Path, *files: str, **further: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {"_data_files": [{"filename": file} for file in files], **further}
    (folder / "state.json").write_text(json.dumps(state))
    for file in files:
        if "/" not in file:
            (folder / file).touch()


def test_files_of_what_was_saved_are_those_that_it_names(tmp_path: Path) -> None:
    save_state(tmp_path / "one", "a.arrow", _split="validation", _indices_files=[])
    assert saved_shards(tmp_path / "one") == [Shard("a.arrow", "val")]
    for split in ("train", "test"):
        save_state(tmp_path / split, "a.arrow")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert saved_shards(tmp_path) == [
        Shard("train/a.arrow", "train"),
        Shard("test/a.arrow", "test"),
    ]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"files": ["a.arrow"], "_indices_files": [{"filename": "i"}]}, "flatten_indices"),
        ({"files": ["../a.arrow"]}, "names no files of rows"),
        ({"files": []}, "names no files of rows"),
    ],
)
def test_what_cannot_be_told_of_saved_rows_is_refused(
    state: dict[str, Any], words: str, tmp_path: Path
) -> None:
    save_state(tmp_path, *state.pop("files"), **state)
    with pytest.raises(XprobeError, match=words):
        saved_shards(tmp_path)


def test_what_is_missing_of_saved_rows_is_named(tmp_path: Path) -> None:
    save_state(tmp_path / "train", "a.arrow")
    (tmp_path / "train/a.arrow").unlink()
    with pytest.raises(XprobeError, match=r"train/a\.arrow: this file is missing"):
        saved_shards(tmp_path / "train")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(XprobeError, match=r"the split test of dataset_dict\.json is missing"):
        saved_shards(tmp_path)
    for text in ("{", "[]", '{"splits": ["../x"]}', '{"splits": []}', "{}"):
        (tmp_path / "dataset_dict.json").write_text(text)
        with pytest.raises(XprobeError, match=r"dataset_dict\.json: it .*write the data set again"):
            saved_shards(tmp_path)


def test_what_may_hold_images_and_is_no_part_of_the_rows_is_counted() -> None:
    tree: dict[str, Any] = {
        "a.parquet": None, "README.md": None, "b.PARQUET": None, "c.tar.gz": None,
        "d": ["e.parquet", "f.arrow", "g.parq", "1.png", "2.png"],
        "h": {"i": {"j": ["k.parquet", "3.png"]}},
    }  # fmt: skip
    left_out = LeftOut()
    count_others(described(tree), {"d/1.png"}, left_out)
    assert sorted(line.partition(", such")[0] for line in left_out.lines) == [
        "left out .parquet files more than 2 folders deep: 1",
        "left out archives: 1 (1 .gz)",
        "left out files of rows whose names do not end in .parquet: 3",
        "left out pictures beside the rows: 2",
    ]
