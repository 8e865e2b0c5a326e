"""Images in the rows of Parquet files: the same bytes in any order, in little memory."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from makers import rows_of_images, save_rows

from xprobe.images import contents
from xprobe.images.containers import marks, parquet

IMAGES = [f"content of {i}".encode() * (i % 7 + 1) for i in range(50)]


def read_all(file: Path, rows: Any = range(50)) -> list[bytes]:
    return [contents.read(f"{file}::{i:02}") for i in rows]


@pytest.fixture(params=[{"row_group_size": 7}, {"compression": "zstd"}, {"use_dictionary": True}])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return save_rows(rows_of_images(IMAGES), tmp_path / "x.parquet", **request.param)


def test_images_are_read_in_any_order_and_by_threads(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 100)
    monkeypatch.setattr(parquet, "KEPT_BYTES", 300)
    assert read_all(file) == IMAGES
    order = random.Random(0).sample(range(50), 50)
    assert read_all(file, order) == [IMAGES[i] for i in order]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: read_all(file, [i])[0], range(50))) == IMAGES


def test_in_order_each_batch_is_decoded_once_and_few_stay(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    count = parquet._Column._decoded

    def counted(column: Any) -> Any:
        batch = count(column)
        decoded.append(batch.stop - batch.start)
        return batch

    monkeypatch.setattr(parquet._Column, "_decoded", counted)
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 100)
    monkeypatch.setattr(parquet, "KEPT_BYTES", 300)
    read_all(file)
    assert sum(decoded) == 50
    parquet._COLUMNS.clear()
    contents.read(f"{file}::00")
    decoded.clear()
    contents.read(f"{file}::49")  # A row group further on is decoded without those before it.
    column = next(iter(parquet._COLUMNS.values()))
    assert sum(decoded) <= 50 - column._firsts[-2]
    sizes = [kept.size for kept in parquet._KEPT]
    assert sum(sizes) <= 300 or len(sizes) == 1
    for column in parquet._COLUMNS.values():
        starts = [kept.start for kept in parquet._KEPT if kept.column is column]
        assert sorted(starts) == column._starts == sorted(column._batches)


def test_files_that_are_not_used_any_more_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_OPEN_FILES", 2)
    files = [save_rows(rows_of_images(IMAGES), tmp_path / f"{i}.parquet") for i in range(4)]
    for file in files:
        assert read_all(file) == IMAGES
    assert len(parquet._COLUMNS) == 2
    assert {kept.column for kept in parquet._KEPT} <= set(parquet._COLUMNS.values())
    assert read_all(files[0]) == IMAGES


def test_a_file_that_changed_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "FRESH_S", 0)
    file = save_rows(rows_of_images(IMAGES), tmp_path / "x.parquet")
    assert contents.read(f"{file}::00") == IMAGES[0]
    save_rows(rows_of_images([b"new"]), file)
    assert contents.read(f"{file}::0") == b"new"


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary(), pa.binary_view()])
def test_bytes_may_stand_in_a_column_of_their_own(kind: Any, tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([b"x", None, b""], kind), "b": pa.array([b"y"] * 3, kind)})
    file = save_rows(table, tmp_path / "x.parquet")
    assert contents.read(f"{file}::0/a") == b"x" and contents.read(f"{file}::0/b") == b"y"
    assert contents.read(f"{file}::2/a") == b""
    with pytest.raises(OSError, match="no image: it is null"):
        contents.read(f"{file}::1/a")
    with pytest.raises(OSError, match="a file of no image column; name one, ::ROW/COLUMN"):
        contents.read(f"{file}::0")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    table = rows_of_images([b"x", None], other=["a", "b"])
    file = save_rows(table, tmp_path / "x.parquet")
    for name, reason in {
        "1": "no image: it is null", "2": "no such row; the file has 2", "0/none": "no column none",
        "0/other": r"the column other holds no bytes \(string\)",
    }.items():  # fmt: skip
        with pytest.raises(OSError, match=reason):
            contents.read(f"{file}::{name}")
    several = save_rows(table.append_column("two", table["image"]), tmp_path / "y.parquet")
    with pytest.raises(OSError, match=r"several image columns \(image, two\); name one"):
        contents.read(f"{several}::0")
    assert contents.read(f"{several}::0/two") == b"x"
    with pytest.raises(FileNotFoundError):
        contents.read(f"{tmp_path}/none.parquet::0")


def test_damage_is_told_and_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "FRESH_S", 0)
    table = rows_of_images([os.urandom(10_000) for _ in range(20)])
    file = save_rows(table, tmp_path / "x.parquet", write_page_checksum=True)
    whole = file.read_bytes()
    for damaged in (whole[:-20], whole[:-4], b"", b"PAR1" * 4):
        file.write_bytes(damaged)
        with pytest.raises(OSError, match=r"damaged Parquet: .+"):
            contents.read(f"{file}::00")
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes(100) + whole[middle + 100 :])
    for _ in range(2):
        with pytest.raises(OSError, match=r"damaged Parquet: .*"):
            contents.read(f"{file}::19")
    file.write_bytes(whole)
    assert contents.read(f"{file}::19") == table["image"][19]["bytes"].as_py()


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.parquet")
    with pytest.raises(OSError, match="not a regular file, but a named pipe"):
        contents.read(f"{tmp_path}/x.parquet::0")


def test_a_file_system_that_failed_for_a_moment_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 100)
    file = save_rows(rows_of_images(IMAGES), tmp_path / "x.parquet")
    contents.read(f"{file}::00")
    (column,) = [column for column in parquet._COLUMNS.values() if column._file == str(file)]

    def failing() -> Iterator[Any]:
        raise OSError(errno.EIO, "away")
        yield

    column._stream = failing()
    assert contents.read(f"{file}::49", wait=lambda _: None) == IMAGES[49]


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_no_library_of_tables_is_imported_to_read_an_image(name: str, tmp_path: Path) -> None:
    file = save_rows(rows_of_images([b"x", None]), tmp_path / name)
    code = f"""
import sys
from xprobe.images import contents
assert contents.read({f"{file}::0"!r}) == b"x"
assert not {{"pandas", "pyarrow.compute"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_images_with_and_without_nulls_are_those_that_arrow_lists() -> None:
    for values in ([b"a", None, b"", b"bcd", None], [b"a", b"bc"], [None, None], []):
        for kind in (pa.binary(), pa.large_binary()):
            for start in range(len(values) + 1):
                part = pa.array(values, kind)[start:]
                assert parquet._images_in(part) == values[start:]
