"""Sets of satellite images that are published as class folders: each in exactly its form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from makers import FAST, Ran, SavePicture, error_of

import xprobe
from xprobe.base.errors import XprobeError
from xprobe.images.config import DataConfig, FormConfig
from xprobe.images.sources.published import aid, eurosat, resisc45, rsscn7, ucmerced
from xprobe.images.sources.registry import source_of

Run = Callable[..., Ran]

# What DATA was taken as is looked at where a command says it.
pytestmark = pytest.mark.filterwarnings("ignore::xprobe.base.errors.XprobeNote")

# Name of the row → title, folder around the classes, pictures, and the class of each.
SETS = {
    "eurosat": ("EuroSAT", "EuroSAT_RGB", {
        "AnnualCrop": ("AnnualCrop_1.jpg", "AnnualCrop_3000.jpg"),
        "SeaLake": ("SeaLake_7.jpg", "SeaLake_10.jpg"),
    }, ("AnnualCrop", "SeaLake")),
    "resisc45": ("NWPU-RESISC45", "NWPU-RESISC45", {
        "airplane": ("airplane_001.jpg", "airplane_700.jpg"),
        "sea_ice": ("sea_ice_001.jpg", "sea_ice_002.jpg"),
    }, ("airplane", "sea_ice")),
    "ucmerced": ("UC Merced", "UCMerced_LandUse/Images", {
        "agricultural": ("agricultural00.tif", "agricultural99.tif"),
        "tenniscourt": ("tenniscourt07.tif", "tenniscourt08.tif"),
    }, ("agricultural", "tenniscourt")),
    "aid": ("AID", "AID/AID_dataset/AID", {
        "BareLand": ("bareland_1.jpg", "bareland_310.jpg"),
        "StorageTanks": ("storagetanks_12.jpg", "storagetanks_2.jpg"),
    }, ("BareLand", "StorageTanks")),
    "rsscn7": ("RSSCN7", "RSSCN7-master", {
        "aGrass": ("a001.jpg", "a400.jpg"),
        "dRiverLake": ("d017.jpg", "d018.jpg"),
    }, ("Grass", "RiverLake")),
}  # fmt: skip


@pytest.fixture
def make_set(tmp_path: Path, save_picture: SavePicture) -> Callable[[str], Path]:
    """Return the folder of a published set, below a folder of a name that says nothing."""

    def make(name: str) -> Path:
        _, around, folders, _ = SETS[name]
        for folder, files in folders.items():
            for file in files:
                save_picture(tmp_path / "x" / around / folder / file)
        return tmp_path / "x"

    return make


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_known_by_what_is_in_it(
    xprobe: Run, make_set: Callable[[str], Path], name: str
) -> None:
    title, around, _, classes = SETS[name]
    folder = make_set(name)
    (folder / "readme.txt").write_text("A set.")
    for data in ("x", f"x/{around}", f"{name}:x"):
        ran = xprobe("scan", data, "--json")
        assert f"{data.removeprefix(f'{name}:')}: taken as: {title}, 2 classes × 2\n" in ran.err
        assert [
            (count["class"], count["source"], count["split"], count["n"])
            for count in ran.json["counts"]
        ] == [(label, "real", "train", 2) for label in classes]
    (embedded,) = xprobe("embed", "x", "--encoder", "pixels", "--json").json["encoders"]
    assert (embedded["embedded"], embedded["failed"]) == (4, 0)


def test_ids_are_those_of_the_folder_of_the_classes(make_set: Callable[[str], Path]) -> None:
    images = xprobe.read(make_set("rsscn7"), whole=False)
    assert images.id.tolist() == [
        "aGrass/a001.jpg", "aGrass/a400.jpg", "dRiverLake/d017.jpg", "dRiverLake/d018.jpg"
    ]  # fmt: skip
    assert set(images.column("dataset")) == {"RSSCN7"}
    again = xprobe.read(make_set("rsscn7") / "RSSCN7-master", whole=False)
    assert again.fingerprint == images.fingerprint


def source_name(data: Path) -> str:
    return source_of(data, FormConfig())[0].name


@pytest.mark.parametrize("name", SETS)
def test_another_folder_or_picture_makes_it_an_image_folder(
    make_set: Callable[[str], Path], save_picture: SavePicture, name: str
) -> None:
    _, around, folders, _ = SETS[name]
    inner = make_set(name) / around
    assert source_name(inner) == name
    save_picture(inner / next(iter(folders)) / "mine.jpg")
    assert source_name(inner) == "imagefolder"
    (inner / next(iter(folders)) / "mine.jpg").unlink()
    save_picture(inner / "Mine" / "mine_1.jpg")
    assert source_name(inner) == "imagefolder"


def test_names_that_two_sets_share_are_told_by_their_case(
    tmp_path: Path, save_picture: SavePicture
) -> None:
    # Forest, Industrial and River are classes of both EuroSAT and AID.
    for label in ("Forest", "Industrial", "River"):
        save_picture(tmp_path / "eurosat" / label / f"{label}_1.jpg")
        save_picture(tmp_path / "aid" / label / f"{label.lower()}_1.jpg")
        for name in (f"{label}_1.jpg", f"{label.lower()}_2.jpg"):
            save_picture(tmp_path / "mixed" / label / name)
    assert source_name(tmp_path / "eurosat") == "eurosat"
    assert source_name(tmp_path / "aid") == "aid"
    assert source_name(tmp_path / "mixed") == "imagefolder"


def test_one_class_alone_or_deeper_pictures_are_no_set(
    tmp_path: Path, save_picture: SavePicture
) -> None:
    for n, label in enumerate(("Forest", "River")):
        save_picture(tmp_path / "deep" / label / "more" / f"{label}_1.jpg")
        save_picture(tmp_path / "one" / "Forest" / f"Forest_{n}.jpg")
        save_picture(tmp_path / "two" / label / f"{label}_1.jpg")
    (tmp_path / "one" / "River").mkdir()
    assert not eurosat.recognises(tmp_path / "deep")
    assert not eurosat.recognises(tmp_path / "one")
    assert not eurosat.recognises(tmp_path / "two" / "Forest" / "Forest_1.jpg")
    assert eurosat.recognises(tmp_path / "two")
    save_picture(tmp_path / "two" / "River" / "more" / "River_2.jpg")
    assert not eurosat.recognises(tmp_path / "two")


def test_a_layout_that_does_not_fit_is_refused(
    xprobe: Run, make_set: Callable[[str], Path]
) -> None:
    make_set("eurosat")
    assert error_of(xprobe("scan", "x", "--layout", "aid")) == (
        "error: x: no AID: that has two or more of its class folders, such as Airport, and in them "
        "nothing but pictures that are named like airport_1.jpg; leave --layout out to have it "
        "read by what it is"
    )


def test_a_set_has_no_columns(make_set: Callable[[str], Path]) -> None:
    with pytest.raises(XprobeError, match="--group event: a folder has no columns"):
        xprobe.read(make_set("aid"), group="event")


def test_a_study_of_a_set_and_a_folder_of_synthetic_images(
    xprobe: Run, tmp_path: Path, save_picture: SavePicture
) -> None:
    for k, label in enumerate(("Forest", "River")):
        for i in range(6):
            save_picture(tmp_path / "real" / label / f"{label}_{i + 1}.jpg", colour=60 + 90 * k)
        for i in range(12):
            save_picture(tmp_path / "sd" / label / f"{i}.png", colour=60 + 90 * k)
    data = ("real", "--synthetic", "sd=sd")
    (embedded,) = xprobe("embed", *data, "--encoder", "pixels", "--json").json["encoders"]
    assert embedded["embedded"] == 36
    ran = xprobe("sweep", *data, *FAST, "--holdout", "0.34", "--json")
    assert ran.code == 0, ran.err
    assert {row["generator"] for row in ran.json["results"]} == {None, "sd"}
    assert {row["n_test"] for row in ran.json["results"]} == {4}


def test_a_set_as_synthetic_images(
    make_set: Callable[[str], Path], tmp_path: Path, save_picture: SavePicture
) -> None:
    for label in SETS["eurosat"][3]:
        save_picture(tmp_path / "real" / label / "0.png")
    config = DataConfig(synthetic=(f"sim={make_set('eurosat')}",))
    images = xprobe.read(tmp_path / "real", config=config)
    made = images.select(images.source == "synthetic")
    assert set(made.generator) == {"sim"}
    assert made.id.tolist()[0] == "synthetic/sim/AnnualCrop/AnnualCrop_1.jpg"
    # Their files are called as EuroSAT's, and they are no images of EuroSAT.
    assert set(made.column("licence")) == set(made.column("dataset")) == {""}


def test_the_classes_of_the_published_sets() -> None:
    sets = (eurosat, resisc45, ucmerced, aid, rsscn7)
    sizes = [len(module.recognises.__self__.classes) for module in sets]
    assert sizes == [10, 45, 21, 30, 7]
