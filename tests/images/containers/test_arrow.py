"""Images in Arrow streams: located in the file as they are, or told why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from makers import rows_of_images, save_rows

from xprobe.images import contents
from xprobe.images.containers import marks

IMAGES = [f"content of {i}".encode() * (i % 7) or None for i in range(50)]


@pytest.mark.parametrize("size", [None, 1, 7])
def test_images_are_located_where_they_lie(size: int | None, tmp_path: Path) -> None:
    table = rows_of_images(IMAGES, label=["a"] * 50)
    file = save_rows(table, tmp_path / "x.arrow", max_chunksize=size)
    whole = file.read_bytes()
    for i, image in enumerate(IMAGES):
        if image is None:
            assert [*contents.spans_of([f"{file}::{i:02}"])] == [None]
            with pytest.raises(OSError, match="no image: it is null"):
                contents.read(f"{file}::{i:02}")
            continue
        (span,) = contents.spans_of([f"{file}::{i:02}"])
        offset, n = span or (0, 0)
        assert contents.read(f"{file}::{i:02}") == whole[offset : offset + n] == image


def test_rows_of_a_slice_are_those_of_the_slice(tmp_path: Path) -> None:
    file = save_rows(rows_of_images(IMAGES).slice(8, 3), tmp_path / "x.arrow")
    assert [contents.read(f"{file}::{i}") for i in range(3)] == IMAGES[8:11]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_bytes_may_stand_in_a_column_of_their_own(kind: Any, tmp_path: Path) -> None:
    file = save_rows(pa.table({"a": pa.array([b"", b"xy"], kind)}), tmp_path / "x.arrow")
    assert [contents.read(f"{file}::{i}/a") for i in range(2)] == [b"", b"xy"]


@pytest.mark.parametrize("images", [[], [b"", b""], [None]])
def test_a_file_may_hold_no_content(images: list[bytes | None], tmp_path: Path) -> None:
    file = save_rows(rows_of_images(images), tmp_path / "x.arrow")
    if b"" in images:
        assert contents.read(f"{file}::1") == b""
    with pytest.raises(OSError, match=f"no such row; the file has {len(images)}"):
        contents.read(f"{file}::{len(images)}")


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused_with_the_remedy(codec: str, tmp_path: Path) -> None:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    file = save_rows(rows_of_images([b"x" * 99] * 9), tmp_path / "x.arrow", options=options)
    with pytest.raises(OSError, match=r"compressed.*write it uncompressed, or as Parquet"):
        contents.read(f"{file}::0")


def test_views_and_files_of_random_access_are_refused(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([b"x" * 99] * 9, pa.binary_view())})
    file = save_rows(table, tmp_path / "x.arrow")
    with pytest.raises(OSError, match="images are views"):
        contents.read(f"{file}::0/a")
    with pa.OSFile(str(tmp_path / "y.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema):
        pass
    with pytest.raises(OSError, match="random-access form"):
        contents.read(f"{tmp_path}/y.arrow::0")


def test_a_file_that_was_cut_or_changed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "FRESH_S", 0)
    file = save_rows(rows_of_images([b"x" * 99] * 9), tmp_path / "x.arrow", max_chunksize=3)
    whole = file.read_bytes()
    assert contents.read(f"{file}::8") == b"x" * 99
    for cut in (0, 3, 100, len(whole) - 300, len(whole) - 8, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(OSError, match=r"damaged Arrow stream: .+|the file is empty"):
            contents.read(f"{file}::0")
    file.write_bytes(b"no stream of Arrow's")
    with pytest.raises(OSError, match=r"damaged Arrow stream: .+"):
        contents.read(f"{file}::0")
    file.write_bytes(whole)
    assert contents.read(f"{file}::0") == b"x" * 99
