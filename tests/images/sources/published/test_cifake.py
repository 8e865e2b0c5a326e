"""CIFAKE: which images are real, which class each is of, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from makers import FAST, Ran, SavePicture, error_of

import xprobe
from xprobe.base.errors import XprobeError
from xprobe.images.sources.published.cifake import recognises

Run = Callable[..., Ran]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# What DATA was taken as, and what was left out, is looked at where a command says it.
pytestmark = pytest.mark.filterwarnings("ignore::xprobe.base.errors.XprobeWarning")


@pytest.fixture
def make_cifake(tmp_path: Path, save_picture: SavePicture) -> Callable[..., Path]:
    """Return CIFAKE with `n` real and 2 `n` fake pictures of each class in each part."""

    def make(
        n: int = 1, numbers: tuple[int, ...] = tuple(range(1, 11)), real: str = "REAL"
    ) -> Path:
        for part in ("train", "test"):
            for source, more in ((real, 0), ("FAKE", n)):
                for number in numbers:
                    for i in range(n + more):
                        name = f"{i:04d}{f' ({number})' if number > 1 else ''}.jpg"
                        file = tmp_path / "x" / part / source / name
                        save_picture(file, colour=20 * number, size_px=(32, 32))
        return tmp_path / "x"

    return make


def test_what_is_published(xprobe: Run, make_cifake: Callable[..., Path]) -> None:
    make_cifake()
    ran = xprobe("scan", "x", "--json")
    assert (
        "x: taken as: CIFAKE, train: 10 classes × 1 real; train: 10 classes × 2 synthetic of "
        "cifake; test: 10 classes × 1 real"
    ) in ran.err
    assert "left out synthetic images of splits that are not trained with: 20, such as x/test/" in (
        ran.err
    )
    counts = {
        (row["class"], row["source"], row["generator"], row["split"]): row["n"]
        for row in ran.json["counts"]
    }
    assert counts == {
        (label, *part): n
        for label in CLASSES
        for part, n in {
            ("real", None, "train"): 1,
            ("real", None, "test"): 1,
            ("synthetic", "cifake", "train"): 2,
        }.items()
    }
    (embedded,) = xprobe("embed", "x", "--encoder", "pixels", "--json").json["encoders"]
    assert (embedded["images"], embedded["embedded"], embedded["failed"]) == (40, 40, 0)


def test_the_number_behind_a_name_is_the_class(make_cifake: Callable[..., Path]) -> None:
    images = xprobe.read(make_cifake(), whole=False)
    label_of = dict(zip(images.id, images.label, strict=True))
    for k, label in enumerate(CLASSES):
        suffix = f" ({k + 1})" if k else ""
        assert label_of[f"train/REAL/0000{suffix}.jpg"] == label
        assert label_of[f"train/FAKE/0001{suffix}.jpg"] == label
    assert set(images.column("licence")) == {"MIT"}
    assert set(images.column("dataset")) == {"CIFAKE"}


def test_a_study_of_it(xprobe: Run, make_cifake: Callable[..., Path]) -> None:
    make_cifake(4, (1, 10))
    xprobe("embed", "x", "--encoder", "pixels")
    ran = xprobe("sweep", "x", *FAST, "--json")
    assert ran.code == 0, ran.err
    assert {row["generator"] for row in ran.json["results"]} == {None, "cifake"}
    assert {row["n_test"] for row in ran.json["results"]} == {8}


def test_in_any_case_and_one_folder_deeper(
    xprobe: Run, tmp_path: Path, make_cifake: Callable[..., Path]
) -> None:
    make_cifake(1, (1, 2), "Real")
    (tmp_path / "x" / "train" / "FAKE").rename(tmp_path / "x" / "train" / "fake")
    (tmp_path / "around").mkdir()
    (tmp_path / "x").rename(tmp_path / "around" / "DATASET")
    ran = xprobe("scan", "around", "--json")
    assert "around: taken as: CIFAKE, " in ran.err
    assert ran.json["images"] == 2 + 4 + 2
    (tmp_path / "deeper").mkdir()
    (tmp_path / "around").rename(tmp_path / "deeper" / "around")
    assert not recognises(tmp_path / "deeper")


def test_names_of_another_form_are_left_out_and_counted(
    xprobe: Run, make_cifake: Callable[..., Path], save_picture: SavePicture
) -> None:
    folder = make_cifake(1, (1, 2)) / "train" / "REAL"
    for name in ("0001 (1).jpg", "0001 (11).jpg", "0001 (02).jpg", "cat.jpg", "0001(2).jpg"):
        save_picture(folder / name)
    (folder / "readme.txt").write_text("")
    ran = xprobe("scan", "x", "--json")
    assert (
        "left out pictures of another name than CIFAKE's: 5, such as x/train/REAL/0001 (02).jpg; "
        "rename them as 0000.jpg or 0000 (2).jpg to (10)"
    ) in ran.err
    assert "left out files that are no images by their name: 1 (1 .txt)" in ran.err
    assert ran.json["images"] == 2 + 4 + 2


def test_where_no_name_fits_it_is_an_error(
    xprobe: Run, tmp_path: Path, save_picture: SavePicture
) -> None:
    for part in ("train", "test"):
        for source in ("REAL", "FAKE"):
            save_picture(tmp_path / "x" / part / source / "face.jpg")
    assert error_of(xprobe("scan", "x")) == (
        "error: x: it has the folders of CIFAKE, and no picture called as there, 0000.jpg or "
        "0000 (2).jpg to (10), which says its class; if REAL and FAKE are its classes, say "
        "--layout imagefolder"
    )
    ran = xprobe("scan", "x", "--layout", "imagefolder", "--json")
    assert {row["class"] for row in ran.json["counts"]} == {"REAL", "FAKE"}


@pytest.mark.parametrize(
    "folders",
    [("train/REAL", "train/cat"), ("train/REAL",), ("test/REAL", "test/FAKE"), ("train",)],
)
def test_other_folders_are_not_cifake(
    xprobe: Run, tmp_path: Path, save_picture: SavePicture, folders: tuple[str, ...]
) -> None:
    for folder in folders:
        save_picture(tmp_path / "x" / folder / "0000.jpg")
    assert not recognises(tmp_path / "x")
    error = error_of(xprobe("scan", "x", "--layout", "cifake"))
    assert "x: no CIFAKE: that has folders REAL and FAKE below train and test; leave" in error


def test_it_has_no_columns(make_cifake: Callable[..., Path]) -> None:
    with pytest.raises(XprobeError, match="--group event: a folder has no columns"):
        xprobe.read(make_cifake(), group="event")


def test_numbered_pictures_of_another_set_are_no_airplanes(
    xprobe: Run, make_cifake: Callable[..., Path]
) -> None:
    make_cifake(3, (1,))
    assert error_of(xprobe("scan", "x")) == (
        "error: x: it has the folders of CIFAKE, and by their names all pictures are of its class "
        "airplane; if REAL and FAKE are its classes, say --layout imagefolder"
    )
    said = "x: its classes are FAKE and REAL, and all of its images are taken as real"
    assert said in xprobe("scan", "x", "--layout", "imagefolder").err
