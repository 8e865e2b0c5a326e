"""CIFAR-10 and CIFAR-100 in their own batches: where they lie, what they are, and what is wrong."""

from __future__ import annotations

import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import FAST, Ran, error_of, write_cifar

import xprobe
from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.config import DataConfig, FormConfig

Run = Callable[..., Ran]

# What DATA was taken as is looked at where a command says it.
pytestmark = pytest.mark.filterwarnings("ignore::xprobe.base.errors.XprobeNote")

HUNDRED = ("train", "test")


def packed(folder: Path) -> str:
    with tarfile.open(folder.with_suffix(".tar.gz"), "w:gz") as tar:
        tar.add(folder, folder.name)
    return f"{folder.name}.tar.gz"


@pytest.mark.parametrize(
    ("folder", "form", "row", "said"),
    [
        ("cifar-10-batches-bin", "binary", "cifar-binary", "CIFAR-10 (binary batches)"),
        ("cifar-10-batches-py", "python", "cifar-python", "CIFAR-10 (pickled batches)"),
        ("cifar-100-binary", "binary", "cifar-binary", "CIFAR-100 (binary batches)"),
        ("cifar-100-python", "python", "cifar-python", "CIFAR-100 (pickled batches)"),
    ],
)
def test_a_set_in_its_folder_in_one_around_it_and_in_its_archive(
    xprobe: Run, tmp_path: Path, folder: str, form: str, row: str, said: str
) -> None:
    parts = HUNDRED if "100" in folder else ("data_batch_1", "data_batch_2", "test_batch")
    write_cifar(tmp_path / "around" / folder, form, parts=parts)
    (tmp_path / "around" / "notes").mkdir()
    shutil.copytree(tmp_path / "around" / folder, tmp_path / folder)
    n = 2 * (len(parts) - 1)
    for data in (folder, "around", packed(tmp_path / folder), f"{row}:{folder}"):
        ran = xprobe("scan", data, "--json")
        assert f"taken as: {said}, train: 2 classes × {n}; test: 2 classes × 2" in ran.err
        assert [
            (count["class"], count["source"], count["split"], count["n"])
            for count in ran.json["counts"]
        ] == [
            (label, "real", split, n if split == "train" else 2)
            for label in ("airplane", "cat")
            for split in ("test", "train")
        ]
    ran = xprobe("embed", packed(tmp_path / folder), "--encoder", "pixels", "--json")
    (embedded,) = ran.json["encoders"]
    assert (embedded["embedded"], embedded["failed"]) == (2 * n + 4, 0)
    (again,) = xprobe("embed", folder, "--encoder", "pixels", "--json").json["encoders"]
    assert (again["reused"], again["embedded"]) == (2 * n + 4, 0)


def test_ids_sort_as_the_images_do(tmp_path: Path) -> None:
    images = xprobe.read(write_cifar(tmp_path / "x", "binary", n=11), whole=False)
    assert images.id.tolist()[:12] == [
        *(f"data_batch_1.bin::{number:02d}" for number in range(11)), "data_batch_2.bin::00"
    ]  # fmt: skip
    assert set(images.column("dataset")) == {"CIFAR-10"}
    assert set(images.column("licence")) == {"unknown"}


def test_both_forms_in_one_folder_are_named(xprobe: Run, tmp_path: Path) -> None:
    for form in ("binary", "python"):
        write_cifar(tmp_path / "both", form)
    assert error_of(xprobe("scan", "both")) == (
        "error: both: it has the form of binary batches (cifar-binary) and pickled batches "
        "(cifar-python); say which with --layout cifar-binary or --layout cifar-python"
    )
    ran = xprobe("scan", "both", "--layout", "cifar-python", "--json")
    assert ran.json["images"] == 12
    assert "CIFAR-10 (pickled batches)" in ran.err


def test_synthetic_images_in_batches(xprobe: Run, tmp_path: Path) -> None:
    write_cifar(tmp_path / "real", "binary", n=12)
    write_cifar(tmp_path / "made", "python 3", n=24)
    ran = xprobe("embed", "real", "--synthetic", "sd=made", "--encoder", "pixels", "--json")
    assert "made: 24 synthetic images of a test part left out" in ran.err
    assert ran.json["encoders"][0]["embedded"] == 36 + 48
    ran = xprobe("sweep", "real", "--synthetic", "sd=made", *FAST, "--json")
    assert ran.code == 0, ran.err
    results = ran.json["results"]
    assert {row["setting"] for row in results} == {"real-only", "mix", "synthetic-only"}
    assert {row["n_test"] for row in results} == {12}
    assert {row["generator"] for row in results} == {None, "sd"}


def refused(folder: Path, form: FormConfig = FormConfig()) -> str:
    with pytest.raises(XprobeError) as error:
        xprobe.read(folder, whole=False, config=DataConfig(form=form))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("form", "batch", "names"),
    [
        ("binary", "data_batch_1.bin", "batches.meta.txt"),
        ("python", "data_batch_1", "batches.meta"),
    ],
)
def test_batches_and_names_of_classes_that_do_not_fit(
    tmp_path: Path, form: str, batch: str, names: str
) -> None:
    folder = write_cifar(tmp_path / "x", form, [f"c{i}" for i in range(5)])
    few = write_cifar(tmp_path / "few", form, ["a", "b"]) / names
    shutil.copy(few, folder)
    assert f"{batch}: image 2 is of class 2, and {names} names 2 classes, from 0" in refused(folder)
    (folder / names).unlink()
    assert f"the names of the classes are missing; put {names} beside" in refused(folder)
    double = write_cifar(tmp_path / "double", form, ["a", "a"]) / names
    shutil.copy(double, folder)
    assert f"{names}: the class 'a' is there twice; fetch" in refused(folder)
    odd = write_cifar(tmp_path / "odd", form, ["a/b", "c"])
    assert "the class 'a/b' holds a slash or a control character" in refused(odd)


@pytest.mark.parametrize("form", ["binary", "python"])
def test_a_batch_that_is_missing_before_others_is_told(tmp_path: Path, form: str) -> None:
    parts = ("data_batch_1", "data_batch_99999999999", "test_batch")
    folder = write_cifar(tmp_path / "x", form, parts=parts)
    with pytest.warns(XprobeWarning, match="/: data_batch_2 is missing, and batches of higher"):
        assert len(xprobe.read(folder)) == 12


def test_names_of_classes_that_are_none(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "x", "python")
    for value in ({"names": ["a", "b"]}, {"label_names": "ab"}, {"label_names": [1, 2]}):
        (folder / "batches.meta").write_bytes(pickle.dumps(value, 2))
        assert "batches.meta: it holds no list label_names" in refused(folder)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": []}, 2))
    assert "batches.meta: it names no class; fetch" in refused(folder)
    binary = write_cifar(tmp_path / "y", "binary")
    (binary / "batches.meta.txt").write_text("a\n\nb\n")
    assert "batches.meta.txt: '' is no name of a class; fetch" in refused(binary)


def test_damaged_batches(tmp_path: Path) -> None:
    binary = write_cifar(tmp_path / "x", "binary")
    (binary / "test_batch.bin").write_bytes(b"1" * 5000)
    assert "test_batch.bin: 5,000 bytes, which is no multiple of the 3,073" in refused(binary)
    python = write_cifar(tmp_path / "y", "python")
    (python / "data_batch_2").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    assert "data_batch_2: this pickle is not read: it names posix.system" in refused(python)
    archive = tmp_path / packed(python)
    archive.write_bytes(archive.read_bytes()[:-100])
    assert "y.tar.gz: no whole .tar.gz" in refused(archive)


def test_what_cannot_be_told(tmp_path: Path) -> None:
    for name, parts in (("10", ("data_batch_1",)), ("100", HUNDRED)):
        write_cifar(tmp_path / "x" / name, "binary", parts=parts)
    said = refused(tmp_path / "x")
    assert f"it holds {tmp_path}/x/10/ and {tmp_path}/x/100/; name one of them as DATA" in said
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path / "empty", FormConfig(layout="cifar-binary"))
    assert "no batches such as data_batch_1.bin lie in it; name the folder or" in said
    (tmp_path / "empty" / "meta").write_bytes(b"")
    packed(tmp_path / "empty")
    assert "no batches such as data_batch_1 lie in it" in refused(tmp_path / "empty.tar.gz")
    with pytest.raises(XprobeError, match="--group event: a batch of CIFAR has no columns"):
        xprobe.read(tmp_path / "x" / "10", group="event")


def test_files_called_train_and_test_alone_are_not_cifar_100(tmp_path: Path) -> None:
    write_cifar(tmp_path / "x", "python", parts=HUNDRED)
    (tmp_path / "x" / "meta").unlink()
    assert "no folder" in refused(tmp_path / "x")
