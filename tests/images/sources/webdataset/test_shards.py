"""What is recognised as shards, and which shards DATA is."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images.config import FormConfig
from xprobe.images.sources.leftovers import LeftOut
from xprobe.images.sources.registry import source_of
from xprobe.images.sources.webdataset.shards import Shard, recognises
from xprobe.images.sources.webdataset.shards import shards_of as shards_and_left_out_of


def shards_of(data: Path) -> tuple[list[Shard], Path]:
    """Return the shards of DATA where nothing is left out."""
    left_out = LeftOut()
    shards = shards_and_left_out_of(data, left_out)
    assert not left_out.lines
    return shards


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_a_folder_of_shards_holds_nothing_else_that_may_be_data(tmp_path: Path) -> None:
    touch(tmp_path / "a/0.tar", tmp_path / "a/README.md", tmp_path / "a/index/0.idx")
    touch(tmp_path / "b/train/0.tar", tmp_path / "b/val/0.tar")
    assert recognises(tmp_path / "a") and recognises(tmp_path / "b")
    for i, beside in enumerate(("x.png", "manifest.csv", "cats/x.png", "train/cats/x.png")):
        touch(tmp_path / f"{i}/0.tar", tmp_path / f"{i}/{beside}")
    assert [recognises(tmp_path / str(i)) for i in range(3)] == [False] * 3
    touch(tmp_path / "c/x.tar.gz")
    assert not recognises(tmp_path / "c")
    assert not recognises(tmp_path)


def test_study_folders_go_first(tmp_path: Path) -> None:
    touch(tmp_path / "more.tar", tmp_path / "real/a/0.png", tmp_path / "real/b/0.png")
    assert source_of(tmp_path, FormConfig())[0].name == "folder"


def test_a_pattern_is_one_unless_a_file_has_that_name(tmp_path: Path) -> None:
    assert recognises(tmp_path / "{0..3}.tar")
    assert not recognises(tmp_path / "{0..3}.zip")
    assert not recognises(tmp_path / "none.tar")
    touch(tmp_path / "{0..3}.tar")
    assert [shard.path.name for shard in shards_of(tmp_path / "{0..3}.tar")[0]] == ["{0..3}.tar"]


def test_shards_of_a_pattern_lie_in_a_common_folder(tmp_path: Path) -> None:
    files = [tmp_path / f"{split}/{i}.tar" for split in ("test", "train") for i in range(2)]
    touch(*files)
    shards, base = shards_of(tmp_path / "{train,test}/{0..1}.tar")
    assert ([shard.path for shard in shards], base) == (files, tmp_path)
    assert [shard.split for shard in shards] == ["test", "test", "train", "train"]


def test_missing_shards_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "0.tar", tmp_path / "3.tar")
    with pytest.raises(XprobeError, match=r"7 of 9 files missing: .*/1\.tar, .*/2\.tar, .* and 4"):
        shards_of(tmp_path / "{0..8}.tar")


@pytest.mark.parametrize(
    ("name", "split"),
    [("train-000", "train"), ("imagenet_validation_3", "val"), ("cifar-test-0", "test"),
     ("Test0", "test"), ("flux-dev-0", "train"), ("latest-0", "train"), ("000", "train")],
)  # fmt: skip
def test_the_name_of_a_shard_says_its_split(tmp_path: Path, name: str, split: str) -> None:
    touch(tmp_path / f"{name}.tar")
    assert shards_of(tmp_path / f"{name}.tar")[0][0].split == split


def test_else_the_folder_says_it(tmp_path: Path) -> None:
    touch(tmp_path / "test/a/val-0.tar", tmp_path / "test/a/1.tar")
    shards, _ = shards_of(tmp_path / "test/a/{val-0,1}.tar")
    assert [shard.split for shard in shards] == ["train", "val"]
    touch(tmp_path / "b/test/2.tar")
    for data in (tmp_path / "b/test", tmp_path / "b/test/2.tar"):
        assert shards_of(data)[0][0].split == "test"


def test_a_name_of_two_splits_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "train-val-0.tar")
    with pytest.raises(XprobeError, match=r"its name says train and val"):
        shards_of(tmp_path)


def test_shards_that_say_no_split_are_left_out_beside_those_to_train_on(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{name}-0.tar" for name in ("train", "test", "eval", "cifarTest")))
    left_out = LeftOut()
    shards, _ = shards_and_left_out_of(tmp_path, left_out)
    assert [shard.split for shard in shards] == ["test", "train"]
    (line,) = left_out.lines
    assert "say no split, beside others that say train: 2, such as" in line
    for name in ("train-0.tar", "cifarTest-0.tar"):
        (tmp_path / name).unlink()
    assert [shard.split for shard in shards_of(tmp_path)[0]] == ["train", "test"]


def test_what_may_be_shards_in_a_folder_and_is_not_read_is_counted(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("0.tar", "1.TAR", "2.tar.gz", "more/3.tar", "x.idx")))
    touch(tmp_path / "train/4.tgz")
    left_out = LeftOut()
    shards, _ = shards_and_left_out_of(tmp_path, left_out)
    assert [shard.id for shard in shards] == ["0.tar"]
    archives, folders = left_out.lines
    assert "left out archives: 3 (1 .tar, 1 .gz, 1 .tgz)" in archives
    assert "folders that are not called as splits: 1, such as" in folders
