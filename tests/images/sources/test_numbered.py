"""A table that names images by their numbers in a file is refused once the file is another."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import numpy as np
import pytest
from makers import rows_of_images, save_rows

import xprobe
from xprobe.base.errors import XprobeError
from xprobe.images.sources.numbered import FILE_DIGEST
from xprobe.images.sources.table import write_table

pytestmark = pytest.mark.filterwarnings("ignore::xprobe.base.errors.XprobeNote")

IMAGES = [f"image {i}".encode() for i in range(4)]


def parquet(file: Path, order: list[int]) -> Path:
    """Write four images and their classes as Parquet or Arrow, in an order."""
    images = [IMAGES[i] for i in order]
    return save_rows(rows_of_images(images, label=["ab"[i // 2] for i in order]), file)


def table_of(data: Path, file: Path) -> list[dict[str, str]]:
    """Write the table of a data set, and return its rows."""
    write_table(xprobe.read(data), file)
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("name", ["train.parquet", "set/data-00000-of-00001.arrow"])
def test_rows_in_another_order_are_refused(tmp_path: Path, name: str) -> None:
    file, table = parquet(tmp_path / "data" / name, [0, 1, 2, 3]), tmp_path / "study.csv"
    rows = table_of(file, table)
    assert len({row[FILE_DIGEST] for row in rows}) == 1
    assert all(len(row[FILE_DIGEST]) == 16 for row in rows)
    again = xprobe.read(table)
    assert again.sha256.tolist() == xprobe.read(file).sha256.tolist()
    assert FILE_DIGEST not in again.further
    parquet(file, [3, 1, 2, 0])
    with pytest.raises(XprobeError) as error:
        xprobe.read(table)
    assert f"study.csv, row 1: data/{name} was written anew since this table was" in str(
        error.value
    )
    parquet(file, [0, 1, 2, 3])
    assert len(xprobe.read(table)) == 4


def test_a_batch_in_an_archive_is_known_by_the_archive(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    records = np.zeros((20, 3073), np.uint8)
    records[:, 0] = np.arange(20) % 10
    records[:, 1:] = np.random.default_rng(0).integers(0, 256, (20, 3072))
    (folder / "data_batch_1.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(f"c{i}" for i in range(10)))
    archive, table = tmp_path / "cifar-10-binary.tar.gz", tmp_path / "study.csv"
    for order in (1, -1):
        (folder / "data_batch_1.bin").write_bytes(records[::order].tobytes())
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, folder.name)
        if order == 1:
            rows = table_of(archive, table)
            assert rows[0]["path"].startswith(f"{archive.name}::{folder.name}/data_batch_1.bin::")
            assert len(xprobe.read(table)) == 20
    with pytest.raises(XprobeError, match=r"row 1: cifar-10-binary\.tar\.gz was written anew"):
        xprobe.read(table)


def test_images_that_are_called_by_names_have_no_digest(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "real" / label).mkdir(parents=True)
        (tmp_path / "real" / label / "1.png").write_bytes(label.encode())
    assert FILE_DIGEST not in table_of(tmp_path, tmp_path / "study.csv")[0]


def test_a_table_without_digests_is_taken_at_its_word(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", [0, 1, 2, 3])
    table = tmp_path / "study.csv"
    table.write_text(f"path,label,source,{FILE_DIGEST}\ntrain.parquet::0,a,real,\n")
    assert xprobe.read(table).label.tolist() == ["a"]


def test_a_file_that_is_gone_is_told_as_that(tmp_path: Path) -> None:
    table = tmp_path / "study.csv"
    table.write_text(f"path,label,source,{FILE_DIGEST}\ngone.parquet::0,a,real,0123456789abcdef\n")
    with pytest.raises(XprobeError, match="no such file"):
        xprobe.read(table)
