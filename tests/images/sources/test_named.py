"""Folders and manifests that stand beside DATA, or in its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from warnings import catch_warnings, simplefilter

import pytest
from makers import MakeData

from xprobe.base.errors import OptionError, XprobeError, XprobeNote, XprobeWarning
from xprobe.images.config import DataConfig, FormConfig
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
    assert manifest.id[0] == "real/train/a/0.png"
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
    with pytest.warns(XprobeWarning) as said:
        named = read_named(real=data / "real", synthetic=f"z={tmp_path}/all.csv")
    assert list(named.generator).count("z") == 32
    assert "another source than synthetic" in str(said[0].message)
    assert "its generator is x, y, and in this study z, as asked" in str(said[1].message)


def put_table(folder: Path, generator: str = "") -> None:
    """Write the table of a generator's folder: each image, made from a real one, has a number."""
    rows = [
        f"{i},{path.relative_to(folder).as_posix()},{path.parent.name},synthetic,"
        f"real/{path.parent.name}/{i % 3}.png,{generator}"
        for i, path in enumerate(sorted(folder.rglob("*.png")))
    ]
    text = "\n".join(["id,path,label,source,parent,generator", *rows])
    (folder / "manifest.csv").write_text(text)


def test_a_folder_is_read_by_its_table(data: Path) -> None:
    put_table(data / "synthetic/x")
    real = str(data / "real")
    for place in ("", "/manifest.csv"):
        with catch_warnings(record=True) as said:
            simplefilter("always")
            named = read_named(real=real, synthetic=f"z={data}/synthetic/x{place}")
        texts = [
            f"read {data}/synthetic/x/manifest.csv: 16 images of z, 16 with their source (parent "
            f"or group)"
        ]
        assert [str(warning.message) for warning in said] == ([] if place else texts)
        row = named.id.tolist().index("synthetic/z/9")
        assert named.path[row] == str(data / "synthetic/x/b/1.png")
        assert (named.parent[row], named.generator[row]) == ("real/b/0.png", "z")


def test_synthetic_images_stand_beside_data(data: Path) -> None:
    plain = read(data)
    (data / "synthetic/y").rename(data.parent / "y")
    both = read(data, config=DataConfig(synthetic=(f"y={data.parent}/y",)))
    assert both.fingerprint == plain.fingerprint
    put_table(data.parent / "y", "named")
    with pytest.warns(XprobeWarning) as said:
        both = read(data, config=DataConfig(synthetic=(f"{data.parent}/y",)))
    assert len(said) == 1
    assert set(both.generator) == {"", "x", "named"}
    assert read(data).id.tolist() == [id_ for id_ in both.id if "/named/" not in id_]


def test_one_table_may_be_of_two_generators_and_of_one_once(data: Path) -> None:
    put_table(data / "synthetic/x", "g")
    table = data / "synthetic/x/manifest.csv"
    with pytest.warns(XprobeWarning) as said:
        named = read_named(
            real=data / "real",
            synthetic=[f"a={table}", f"b={table}", f"b={table.parent}", table, f"g={table}"],
        )
    assert sorted(named.generator).count("g") == 16
    assert set(named.generator) == {"", "a", "b", "g"}
    texts = [str(warning.message) for warning in said]
    assert any(text.endswith("manifest.csv: named twice, and read once") for text in texts)
    assert any(f"g={table}: 16 images are given by {table}, too" in text for text in texts)


def test_with_wider_groups_synthetic_images_need_no_column(data: Path, tmp_path: Path) -> None:
    """They are of the event of the scene that they name."""
    real = [
        f"data/real/{label}/{i}.png,{label},real,{label}{i},e{i}" for label in "ab" for i in (0, 1)
    ]
    (tmp_path / "real.csv").write_text("\n".join(["path,label,source,group,event", *real]))
    edits = [f"data/synthetic/x/{label}/0.png,{label},synthetic,{label}1" for label in "ab"]
    (tmp_path / "x.csv").write_text("\n".join(["path,label,source,group", *edits]))
    config = DataConfig(real=(str(tmp_path / "real.csv"),), synthetic=(str(tmp_path / "x.csv"),))
    grouped = read(config=config, group="event")
    assert set(grouped.group) == {"e0", "e1"}
    assert set(grouped.group[grouped.source == "synthetic"]) == {"e1"}
    folder = DataConfig(real=config.real, synthetic=(f"y={data}/synthetic/y",))
    assert set(read(config=folder, group="event").group) == {"e0", "e1", ""}
    with pytest.raises(XprobeError, match=r"--real .*: --group event: a folder has no columns"):
        read(config=DataConfig(real=(str(data / "real"),)), group="event")


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


def test_a_form_of_data_is_refused_where_named_folders_take_its_place() -> None:
    config = DataConfig(real=("x",), form=FormConfig(layout="imagefolder"))
    with pytest.raises(
        OptionError, match="write the form before the path instead, --real imagefolder:x"
    ):
        read(config=config)


def test_lists_of_captions_in_named_folders_caption_their_pictures(
    data: Path, tmp_path: Path
) -> None:
    listed = [{"filename": "a/0.png", "text_output": "An a."}]
    (data / "synthetic" / "x" / "captions.json").write_text(json.dumps(listed))
    (data / "real" / "captions.json").write_text(json.dumps(listed))
    with pytest.warns(XprobeNote) as told:
        images = read_named(
            real=data / "real", synthetic=[f"x={data}/synthetic/x", f"y={data}/synthetic/y"]
        )
    said = [str(warning.message).rpartition("/")[2] for warning in told]
    assert said == [f"captions.json: captions of 1 picture of {n}" for n in (6, 16)]
    captioned = {id_: text for id_, text in zip(images.id, images.prompt, strict=True) if text}
    assert captioned == {"real/a/0.png": "An a.", "synthetic/x/a/0.png": "An a."}
