"""Batches of CIFAR as files of many images: records, archives, and what is wrong with them."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from struct import pack
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from makers import pickled_by_python_2, write_cifar
from PIL import Image

from xprobe.images import contents
from xprobe.images.containers import batches, marks
from xprobe.images.containers.batches import BatchError, labels_of
from xprobe.images.decode import probe

HUNDRED = ("train", "test")


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    return archive


def pixels_of(path: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(contents.read(path)), formats=["PPM"]))


@pytest.mark.parametrize("parts", [("data_batch_1", "test_batch"), HUNDRED])
def test_an_image_has_the_same_content_in_every_form(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    binary, python, modern = (
        write_cifar(tmp_path / form, form, ("a", "b", "c"), 5, parts)
        for form in ("binary", "python", "python 3")
    )
    archives = [packed(folder, tmp_path / f"{folder.name}.tar.gz") for folder in (binary, python)]
    for part in parts:
        files = [f"{binary}/{part}.bin", f"{python}/{part}", f"{modern}/{part}",
                 f"{archives[0]}::binary/{part}.bin", f"{archives[1]}::python/{part}"]  # fmt: skip
        for file in files:
            assert labels_of(file) == [0, 1, 2, 0, 1]
        for number in range(5):
            first, *others = [contents.read(f"{file}::{number:03d}") for file in files]
            assert others == [first] * 4
    width = 1 if parts != HUNDRED else 2
    record = (binary / f"{parts[0]}.bin").read_bytes()[: width + 3072][width:]
    planes = np.frombuffer(record, np.uint8).reshape(3, 32, 32)
    np.testing.assert_array_equal(pixels_of(f"{files[1]}::0"), pixels_of(f"{files[0]}::0"))
    path = f"{binary}/{parts[0]}.bin::00000"
    np.testing.assert_array_equal(pixels_of(path), planes.transpose(1, 2, 0))
    assert probe(path) == ("PPM", 32, 32)


@pytest.mark.parametrize("form", ["binary", "python"])
def test_a_record_that_is_not_there(tmp_path: Path, form: str) -> None:
    folder = write_cifar(tmp_path / "x", form)
    file = f"{folder}/data_batch_1{'.bin' * (form == 'binary')}"
    assert contents.digest(f"{file}::3")
    for path in (f"{file}::4", f"{file}x::0", f"{folder}/data_batch_9.bin::0"):
        assert not contents.digest(path)
    archive = packed(folder, tmp_path / "x.tar.gz")
    with pytest.raises(FileNotFoundError, match="no such file in the archive"):
        contents.read(f"{archive}::x/data_batch_9::0")


def test_a_binary_batch_of_wrong_length(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path, "binary")
    file = folder / "data_batch_1.bin"
    for content in (b"", file.read_bytes()[:-1], file.read_bytes() + b"1"):
        file.write_bytes(content)
        said = rf"data_batch_1\.bin: {len(content):,} bytes, which is no multiple of the 3,073"
        with pytest.raises(BatchError, match=said):
            labels_of(str(file))
        with pytest.raises(BatchError, match="fetch or unpack it again"):
            contents.read(f"{file}::0")


GOOD: dict[str, Any] = {"labels": [0, 1], "data": np.zeros((2, 3072), np.uint8)}

BAD: dict[str, tuple[Any, str]] = {
    "cut labels": (GOOD | {"labels": [0]}, "it holds 1 labels and 2 images"),
    "none": ({"labels": [], "data": GOOD["data"][:0]}, "it holds 0 labels and 0 images"),
    "shape": (GOOD | {"data": np.zeros((2, 3071), np.uint8)}, "no array data of n × 3,072"),
    "images": (GOOD | {"data": np.zeros((2, 3, 32, 32), np.uint8)}, "no array data of n"),
    "dtype": (GOOD | {"data": np.zeros((2, 3072))}, "an array of type 'f8'"),
    "no data": ({"labels": [0, 1]}, "no array data"),
    "words": (GOOD | {"labels": ["cat", "dog"]}, "no list of labels that are whole numbers"),
    "truths": (GOOD | {"labels": [True, False]}, "no list of labels that are whole numbers"),
    "fine": ({"fine_labels": [0, 1], "data": GOOD["data"]}, "no list of labels"),
    "a list": ([GOOD], "it holds no dictionary"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_pickled_batch_that_is_none(tmp_path: Path, name: str) -> None:
    value, said = BAD[name]
    file = tmp_path / "data_batch_1"
    file.write_bytes(pickle.dumps(value, 2))
    with pytest.raises(BatchError, match=f"data_batch_1: .*{said}.*fetch"):
        labels_of(str(file))


def test_a_pickled_batch_that_is_cut_or_an_attack(tmp_path: Path) -> None:
    file = tmp_path / "data_batch_1"
    content = pickled_by_python_2(GOOD)
    file.write_bytes(content[:-100])
    with pytest.raises(BatchError, match="data_batch_1: this pickle is not read: damaged or cut"):
        labels_of(str(file))
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(BatchError, match=r"names os\.system, which is not admitted; fetch"):
        contents.read(f"{file}::0")
    file.write_bytes(content)
    assert labels_of(str(file)) == [0, 1]


def test_an_archive_that_is_cut_damaged_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "FRESH_S", 0.0)
    archive = packed(write_cifar(tmp_path / "x", "binary"), tmp_path / "x.tar.gz")
    content, name = archive.read_bytes(), f"{archive}::x/data_batch_1.bin"
    assert len(labels_of(name)) == 4
    for damaged in (content[:-1000], content[:-4] + pack("<I", 1), b"no gzip", content[:20]):
        archive.write_bytes(damaged)
        with pytest.raises(BatchError, match=r"x\.tar\.gz: no whole \.tar\.gz .*fetch the archive"):
            labels_of(name)
    archive.write_bytes(content)
    monkeypatch.setattr(batches, "_MOST_BYTES", 10_000)
    with pytest.raises(BatchError, match=r"x\.tar\.gz: it holds more than 10,000 bytes"):
        labels_of(name)


def test_of_an_archive_of_something_else_little_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "a.bin").write_bytes(bytes(2**20 + 1))
    (folder / "data_batch_1").write_bytes(b"")
    archive = packed(folder, tmp_path / "other.tgz")
    assert batches.first_name(str(archive)) == ""
    (folder / "a.bin").write_bytes(b"")
    assert batches.first_name(str(packed(folder, archive))) == "other/data_batch_1"
    archive.write_bytes(b"\x1f\x8b no gzip")
    assert batches.first_name(str(archive)) == ""


def test_a_file_is_read_once_whatever_leads_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_cifar(tmp_path / "x", "python")
    archive = packed(folder, tmp_path / "x.tar.gz")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setattr(marks, "FRESH_S", 0.0)
    read: list[str] = []
    for name in ("_read_pickled", "_files_in"):
        function = getattr(batches, name)
        monkeypatch.setattr(
            batches, name, lambda file, name=name, f=function: (read.append(name), f(file))[1]
        )
    monkeypatch.chdir(tmp_path)
    for file in (f"{folder}/data_batch_1", "x/data_batch_1", "link/data_batch_1"):
        labels_of(file)
    assert read == ["_read_pickled"]
    for file in (f"{archive}::x/data_batch_1", "x.tar.gz::x/data_batch_1"):
        labels_of(file)
    assert read == ["_read_pickled", "_read_pickled", "_files_in"]
    write_cifar(folder, "python", n=3)
    assert len(labels_of(f"{folder}/data_batch_1")) == 3
    assert len(read) == 4


def test_threads_wait_for_the_one_that_reads(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("")
    kept: batches._Kept[int] = batches._Kept(1)
    begun, go_on = Event(), Event()
    values: list[int] = []

    def read_slowly() -> int:
        begun.set()
        go_on.wait(60)
        return 1

    first = Thread(target=lambda: values.append(kept.get(str(file), "", read_slowly)))
    second = Thread(target=lambda: values.append(kept.get(str(file), "", lambda: 2)))
    first.start()
    begun.wait(60)
    second.start()
    second.join(0.05)
    assert values == []
    go_on.set()
    first.join(60)
    second.join(60)
    assert values == [1, 1]
    assert kept.get(str(file), "another", lambda: 3) == 3
    assert kept.get(str(file), "", lambda: 4) == 4  # It was dropped for the other one.
