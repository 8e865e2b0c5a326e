"""Paths ``file::member``: which files hold many images, and how their members are named."""

from __future__ import annotations

import pytest

from xprobe.images.containers.registry import archive_of, file_of, member_of


@pytest.mark.parametrize(
    ("path", "kind", "file", "name"),
    [
        ("a/x.tar::b/1.png", "tar", "a/x.tar", "b/1.png"),
        ("x.tar::y.parquet::0", "tar", "x.tar", "y.parquet::0"),
        ("x.tar::007", "tar", "x.tar", "007"),
        ("x.parquet::00017", "parquet", "x.parquet", "00017"),
        ("x.parquet::00017/image", "parquet", "x.parquet", "00017/image"),
        ("a::b/x.parquet::1", "parquet", "a::b/x.parquet", "1"),
        ("x.arrow::1", "arrow", "x.arrow", "1"),
    ],
)
def test_members_are_told_by_their_file(path: str, kind: str, file: str, name: str) -> None:
    member = member_of(path)
    assert member is not None
    assert (member[0].name, *member[1:]) == (kind, file, name)


@pytest.mark.parametrize(
    "path", ["x.tar", "a::b", "x.parquet::", "x.parquet::one", "x.arrow::1/", "x.zip::1"]
)
def test_other_paths_are_those_of_files(path: str) -> None:
    assert member_of(path) is None


def test_members_that_are_called_by_numbers_are_others_in_another_order() -> None:
    paths = ["x.tar::1", "x.parquet::1", "x.arrow::1/image", "data_batch_1.bin::1"]
    members = [member_of(path) for path in paths]
    assert [m is not None and m[0].is_numbered for m in members] == [False, True, True, True]


def test_a_file_in_a_compressed_archive_is_told_by_both_names() -> None:
    file = "a::b/cifar.tar.gz::c/data_batch_1"
    assert archive_of(file) == ("a::b/cifar.tar.gz", "c/data_batch_1")
    assert archive_of("a::b/data_batch_1") is None
    assert archive_of("cifar.tgz") is None


def test_the_file_on_disk_is_that_of_all_members() -> None:
    paths = ["a/1.png", "a::b/x.tar::1.png", "c.tgz::d/data_batch_1::7"]
    assert [file_of(path) for path in paths] == ["a/1.png", "a::b/x.tar", "c.tgz"]
