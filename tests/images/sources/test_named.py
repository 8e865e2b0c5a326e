"""Folders and manifests that stand in place of DATA."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from makers import MakeData

from xprobe.base.errors import OptionError, XprobeError, XprobeWarning
from xprobe.images.config import DataConfig
from xprobe.images.manifest import Manifest
from xprobe.images.read import read
from xprobe.images.sources.table import write_table


def read_named(**places: object) -> Manifest:
    """Return the table of folders; each option takes a path or several."""
    lists = {
        name: tuple(map(str, place)) if isinstance(place, list) else (str(place),)
        for name, place in places.items()
    }
    return read(config=DataConfig(**lists))  # type: ignore[arg-type]


@pytest.fixture
def data(make_data: MakeData) -> Path:
    return make_data(real=3, test=1, extra=1, generators=("x", "y"))


def test_named_folders_are_the_same_study_as_data(data: Path, tmp_path: Path) -> None:
    expected = read(data)
    for place in ("real", "test", "extra", "synthetic/x", "synthetic/y"):
        shutil.move(data / place, tmp_path / f"the {place.replace('/', ' ')}")
    named = read_named(
        real=tmp_path / "the real", test=tmp_path / "the test", extra=tmp_path / "the extra",
        synthetic=[f"x={tmp_path}/the synthetic x", f"y={tmp_path}/the synthetic y"],
    )  # fmt: skip
    assert named.fingerprint == expected.fingerprint
    assert all(Path(path).is_file() for path in named.path)


def test_a_further_generator_changes_no_id(data: Path) -> None:
    one = read_named(real=data / "real", synthetic=f"x={data}/synthetic/x")
    two = read_named(
        real=data / "real", synthetic=[f"y={data}/synthetic/y", f"x={data}/synthetic/x"]
    )
    assert set(two.id) > set(one.id)
    assert set(two.generator) == {"", "x", "y"}
    every = read_named(real=data / "real", synthetic=data / "synthetic")
    assert every.fingerprint == two.fingerprint


def test_folders_of_splits_may_be_named(tmp_path: Path, make_data: MakeData) -> None:
    data = make_data(real=2, test=1)
    (data / "real").rename(data / "train")
    sorted_by_split = tmp_path / "eurosat"
    sorted_by_split.mkdir()
    for split in ("train", "test"):
        (data / split).rename(sorted_by_split / split)
    with pytest.warns(XprobeWarning, match="eurosat/train and .*/eurosat/test as splits"):
        manifest = read_named(real=sorted_by_split, synthetic=f"g={data}/synthetic")
    assert manifest.id[0] == "real/test/a/0.png"
    assert list(manifest.split).count("test") == 2
    with pytest.raises(XprobeError, match=r"--test .*: .*/eurosat/test is this split already"):
        read_named(real=sorted_by_split, test=sorted_by_split / "test")


def test_several_folders_of_one_kind_are_told_apart_by_their_names(
    tmp_path: Path, make_data: MakeData
) -> None:
    first, second = make_data(name="first"), make_data(name="second")
    (second / "real").rename(second / "more")
    manifest = read_named(real=[first / "real", second / "more"])
    assert {"real/real/a/0.png", "real/more/a/0.png"} <= set(manifest.id)
    with pytest.raises(XprobeError, match="--real: two folders are called more"):
        read_named(real=[second / "more", second / "more"])


def test_manifests_may_be_named(data: Path, tmp_path: Path) -> None:
    manifest = read(data)
    write_table(manifest, tmp_path / "all.csv")
    with pytest.warns(XprobeWarning, match=r"all\.csv: .* rows are of another source than"):
        named = read_named(real=tmp_path / "all.csv", synthetic=f"z={data}/synthetic/x")
    real = manifest.source == "real"
    assert set(named.id) == {
        *manifest.id[real], *(f"synthetic/z/{label}/{i}.png" for label in "ab" for i in range(8))
    }  # fmt: skip
    assert set(named.generator) == {"", "z"}
    with pytest.warns(XprobeWarning, match="another source than synthetic"):
        named = read_named(real=data / "real", synthetic=f"z={tmp_path}/all.csv")
    assert list(named.generator).count("z") == 32


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"real": "nowhere"}, "--real nowhere: there is no such folder or manifest"),
        ({"real": "data/real", "test": "gone"}, "--test gone: there is no such folder"),
        ({"real": "data"}, "--real data: it holds a folder real; name data as DATA, or data/real"),
        ({"real": "data/real", "synthetic": "x="}, "--synthetic takes NAME=DIR, such as"),
        (
            {"real": "data/real", "synthetic": "x=data/test/a"},
            "data/test/a holds no class folders; name",
        ),
        ({"real": "data/real", "synthetic": "gone"}, "--synthetic gone: there is no such folder"),
    ],
)
def test_what_cannot_be_named_is_told(
    data: Path, places: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    with pytest.raises(XprobeError, match=message):
        read_named(**places)


def test_data_and_named_folders_exclude_each_other(data: Path) -> None:
    with pytest.raises(OptionError, match=r"DATA .* and --real both say where the images are"):
        read(data, config=DataConfig(real=("x",)))
    with pytest.raises(OptionError, match="together with --real"):
        DataConfig(test=("x",))
