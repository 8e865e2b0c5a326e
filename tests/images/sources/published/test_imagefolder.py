"""ImageFolder: class folders, alone or below splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from makers import FAST, Ran, SavePicture, error_of

Run = Callable[..., Ran]


@pytest.fixture
def make_folder(tmp_path: Path, save_picture: SavePicture) -> Callable[..., None]:
    """``make_folder(name, splits, n)``: a folder of two classes, of `n` pictures in each split."""

    def make(name: str, splits: tuple[str, ...] = (".",), n: int = 6, suffix: str = "png") -> None:
        for split in splits:
            for k, label in enumerate(("cat", "dog")):
                for i in range(n):
                    file = f"{name}/{split}/{label}/{i}.{suffix}"
                    save_picture(tmp_path / file, file, 60 + 90 * k)

    return make


def test_classes_alone_with_a_share_held_out(xprobe: Run, make_folder: Callable[..., None]) -> None:
    make_folder("pets")
    make_folder("made", n=12)
    ran = xprobe("scan", "pets", "--json")
    assert "pets: taken as: ImageFolder, 2 classes × 6\n" in ran.err
    data = ("pets", "--synthetic", "sd=made")
    (embedded,) = xprobe("embed", *data, "--encoder", "pixels", "--json").json["encoders"]
    assert embedded["embedded"] == 36
    ran = xprobe("sweep", *data, *FAST, "--holdout", "0.34", "--json")
    assert ran.code == 0, ran.err
    assert {row["n_test"] for row in ran.json["results"]} == {4}
    assert {row["setting"] for row in ran.json["results"]} == {"real-only", "mix", "synthetic-only"}


def test_splits(xprobe: Run, make_folder: Callable[..., None]) -> None:
    make_folder("pets", ("train", "val", "test"))
    ran = xprobe("scan", "pets", "--json")
    said = "train: 2 classes × 6; test: 2 classes × 6; val: 2 classes × 6"
    assert f"pets: taken as: ImageFolder, {said}\n" in ran.err
    assert "read pets/" not in ran.err
    assert [
        (row["class"], row["source"], row["split"], row["n"]) for row in ran.json["counts"]
    ] == [(k, "real", s, n) for k in ("cat", "dog") for s, n in (("test", 6), ("train", 12))]


def test_splits_of_synthetic_images(xprobe: Run, make_folder: Callable[..., None]) -> None:
    make_folder("pets")
    make_folder("made", ("train", "test"))
    ran = xprobe("scan", "pets", "--synthetic", "sd=imagefolder:made", "--json")
    assert "made: 12 synthetic images of a test part left out; tests are on real" in ran.err
    assert "real images" not in ran.err.replace("tests are on real images alone", "")
    counts = {(row["source"], row["generator"]): row["n"] for row in ran.json["counts"]}
    assert counts == {("real", None): 6, ("synthetic", "sd"): 6}


@pytest.mark.parametrize("folders", [("pets/a",), ("pets",), (), ("pets/x/cat", "pets/x/dog")])
def test_a_folder_that_is_none(
    xprobe: Run, tmp_path: Path, save_picture: SavePicture, folders: tuple[str, ...]
) -> None:
    (tmp_path / "pets").mkdir()
    for folder in folders:
        save_picture(tmp_path / folder / "0.png")
    assert error_of(xprobe("scan", "pets", "--layout", "imagefolder")) == (
        "error: pets: no ImageFolder: that has two or more class folders that hold pictures "
        "themselves, alone or below train, val and test; leave --layout out to have it read by "
        "what it is"
    )


def test_a_folder_that_is_not_there(xprobe: Run) -> None:
    for asked in (("gone", "--layout", "imagefolder"), ("imagefolder:gone",)):
        assert "error: gone: no such folder or manifest" in error_of(xprobe("scan", *asked))


def test_it_has_no_columns(xprobe: Run, make_folder: Callable[..., None]) -> None:
    make_folder("pets")
    ran = xprobe("sweep", "pets", "--group", "event")
    assert "pets: --group event: a folder has no columns" in error_of(ran)


def test_a_table_beside_class_folders_is_told(
    xprobe: Run, tmp_path: Path, make_folder: Callable[..., None]
) -> None:
    make_folder("pets")
    (tmp_path / "pets" / "metadata.csv").write_text("file_name,label\na/0.png,b\n")
    ran = xprobe("scan", "pets")
    assert "left out tables of Hugging Face's imagefolder beside class folders: 1, such" in ran.err
