"""Lists of captions as sets publish them: what counts, what is left out, what is an error."""

from __future__ import annotations

import codecs
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from makers import SavePicture

from xprobe.base.errors import XprobeError, XprobeNote, XprobeWarning
from xprobe.images import read as manifests
from xprobe.images.captions import captions_of
from xprobe.images.config import DataConfig, FormConfig
from xprobe.images.manifest import Manifest
from xprobe.images.sources.captions import add_captions, read_entries
from xprobe.images.sources.leftovers import LeftOut
from xprobe.images.sources.registry import source_of

RSICAP = DataConfig(form=FormConfig(layout="rsicap"))


def entry(filename: Any, *captions: Any, **further: Any) -> dict[str, Any]:
    """An entry as RSICD and UCM-Captions have it."""
    return {"filename": filename, "sentences": [{"raw": text} for text in captions], **further}


def listed(*entries: Any) -> str:
    return json.dumps({"images": list(entries), "dataset": "rsicd"})


@pytest.fixture
def folder(tmp_path: Path, save_picture: SavePicture) -> Path:
    """Four pictures of two classes, as RSICD calls them, and no list yet."""
    for name in ("beach_1", "beach_2", "park_1", "park_2"):
        save_picture(tmp_path / f"set/RSICD_images/{name}.jpg")
    return tmp_path / "set"


ALL = [entry(f"{name}.jpg", f"a {name}") for name in ("beach_1", "beach_2", "park_1", "park_2")]


def read(folder: Path, text: str | bytes, config: DataConfig = DataConfig()) -> Any:
    """Return the captions by file name, and what was warned of, of a folder with this list."""
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "dataset.json").write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images: Manifest = manifests.read(folder, config=config)
    captions = {Path(i).name: captions_of(p) for i, p in zip(images.id, images.prompt, strict=True)}
    return captions, [str(w.message) for w in caught if "left out" in str(w.message)], images


def test_all_different_captions_of_a_picture_are_kept_in_order(folder: Path) -> None:
    more = [entry("beach_1.jpg", " b\n c ", "a", "b c"), *ALL]
    captions, said, images = read(folder, listed(*more))
    assert captions["beach_1.jpg"] == ["b c", "a", "a beach_1"]
    assert captions["park_2.jpg"] == ["a park_2"]
    assert not said
    assert set(images.further["dataset"]) == {"RSICD"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (entry("../beach_1.jpg", "x"), "name leads out of the folder: 1, such as"),
        (entry("/beach_1.jpg", "x"), "name leads out of the folder: 1, such as"),
        (entry("C:\\beach_1.jpg", "x"), "name leads out of the folder: 1, such as"),
        (entry("gone_1.jpg", "x"), "captions of pictures that are not in the folder: 1, such as"),
        (entry(7, "x"), "entries that name no file: 1, such as"),
        ("text", "entries that name no file: 1, such as"),
        (entry("beach_1.jpg", "", "  ", None, 3), "captions that are empty or no text: 4, such"),
        ({"filename": "beach_1.jpg", "sentences": "x"}, "captions that are empty or no text: 1"),
        (entry("1.jpg", "x"), "pictures of unknown class: 1, such as"),
    ],
)
def test_what_is_left_out_is_counted_with_an_example(
    folder: Path, save_picture: SavePicture, wrong: Any, words: str
) -> None:
    save_picture(folder / "RSICD_images/1.jpg")
    if "unknown" not in words:
        (folder / "RSICD_images/1.jpg").unlink()
    captions, said, _ = read(folder, listed(wrong, *ALL))
    assert captions == {f"{n}.jpg": [f"a {n}"] for n in ("beach_1", "beach_2", "park_1", "park_2")}
    assert len(said) == 1
    assert words in said[0]


def test_pictures_that_are_not_listed_or_are_in_two_splits_are_left_out(folder: Path) -> None:
    two = [entry("park_2.jpg", "x", split="train"), entry("park_2.jpg", "x", split="test")]
    captions, said, images = read(folder, listed(*ALL[1:3], *two, entry("park_1.jpg", split="val")))
    assert set(captions) == {"beach_2.jpg", "park_1.jpg"}
    assert "no entry in the JSON file: 1, such as" in said[0] and "beach_1.jpg" in said[0]
    assert "listed in two splits: 1, such as" in said[1] and "park_2.jpg" in said[1]
    assert set(images.split) == {"train"}  # A part for validation is trained with by default.


def test_splits_are_those_of_the_list(folder: Path) -> None:
    splits = ("train", "test", "train", "TEST")
    _, _, images = read(
        folder, listed(*(e | {"split": s} for e, s in zip(ALL, splits, strict=True)))
    )
    splits_of = dict(zip((e["filename"] for e in ALL), ("train", "test") * 2, strict=True))
    assert {Path(p).name: s for p, s in zip(images.path, images.split, strict=True)} == splits_of


def test_a_picture_without_captions_stays_and_is_told(folder: Path) -> None:
    (folder / "dataset.json").write_text(listed(entry("beach_1.jpg"), *ALL[1:]))
    with (
        pytest.warns(match="taken as: RSICD"),
        pytest.warns(match=r"1 picture without a caption, such as RSICD_images/beach_1.jpg"),
    ):
        images = manifests.read(folder)
    assert images.prompt.tolist() == ["", "a beach_2", "a park_1", "a park_2"]


@pytest.mark.parametrize(
    "encoded",
    [codecs.BOM_UTF8 + listed(*ALL).encode(), listed(*ALL).encode("utf-16")],
    ids=["utf-8-sig", "utf-16"],
)
def test_a_byte_order_mark_is_no_harm(folder: Path, encoded: bytes) -> None:
    captions, said, _ = read(folder, encoded)
    assert len(captions) == 4
    assert not said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (listed(*ALL)[:-30], "no whole JSON"),
        (
            listed(*ALL).replace('"images": [', '"images": [], "others": [', 1),
            "no list of captions",
        ),
        (listed(ALL[0] | {"split": "restval"}, *ALL[1:]), "splits are train, val and test"),
        (listed(ALL[0] | {"split": 1}, *ALL[1:]), "splits are train, val and test"),
    ],
)
def test_a_damaged_list_is_an_error_that_names_it(folder: Path, text: str, words: str) -> None:
    with pytest.raises(XprobeError, match=words) as error:
        read(folder, text)
    assert str(error.value).startswith(f"{folder / 'dataset.json'}: ")


def test_a_file_of_another_form_is_no_list_of_captions(folder: Path) -> None:
    for text in ('{"annotations": [{"image_id": 1, "caption": "x"}]}', "[]", "", '[{"a": 1}]'):
        with pytest.raises(XprobeError, match=r"no folder .*real"):
            read(folder, text)
    with pytest.raises(XprobeError, match="no JSON file with captions of its pictures"):
        read(folder, "[]", RSICAP)


def test_two_lists_are_an_error_and_one_may_be_named(folder: Path) -> None:
    (folder / "second.json").write_text(listed(*ALL[:3]))
    with pytest.raises(XprobeError, match=r"both dataset.json and second.json list captions"):
        read(folder, listed(*ALL))
    with (
        pytest.warns(match="taken as: RSICD"),
        pytest.warns(match="no entry in the JSON file"),
    ):
        assert len(manifests.read(folder / "second.json")) == 3


def test_pictures_in_several_folders_are_no_set_of_captions(
    folder: Path, save_picture: SavePicture
) -> None:
    save_picture(folder / "more/beach_3.jpg")
    (folder / "dataset.json").write_text(listed(*ALL))
    assert source_of(folder, FormConfig())[0].name == "imagefolder"
    with pytest.raises(XprobeError, match="lie in several folders"):
        read(folder, listed(*ALL), DataConfig(form=FormConfig(layout="rsicd")))


def test_a_folder_of_many_json_files_is_not_opened(folder: Path) -> None:
    (folder / "dataset.json").write_text(listed(*ALL))
    assert source_of(folder, FormConfig())[0].name == "rsicd"
    for i in range(16):
        (folder / f"{i}.json").write_text("{}")
    with pytest.raises(XprobeError, match=r"no folder .*real"):
        source_of(folder, FormConfig())


def test_what_is_no_regular_file_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "a.json")
    assert len(read(folder, listed(*ALL))[0]) == 4


def test_groups_cannot_be_asked_for(folder: Path) -> None:
    (folder / "dataset.json").write_text(listed(*ALL))
    with pytest.raises(XprobeError, match="lists of captions have no columns"):
        manifests.read(folder, group="event")


# --- beside the pictures of another set ----------------------------------------------------


@pytest.fixture
def classes(tmp_path: Path, save_picture: SavePicture) -> Path:
    """Class folders in which two pictures have one name."""
    for name in ("beach/1.png", "beach/b.png", "park/1.png", "park/p.png"):
        save_picture(tmp_path / "classes" / name)
    return tmp_path / "classes"


def captions_beside(classes: Path, text: str) -> tuple[dict[str, str], list[str]]:
    (classes / "c.json").write_text(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = manifests.read(classes)
    said = [str(warning.message) for warning in caught]
    assert any("taken as: ImageFolder, 2 classes × 2" in text for text in said)
    prompts = {i: p for i, p in zip(images.id, images.prompt, strict=True) if p}
    return prompts, [text for text in said if "taken as" not in text]


def test_captions_beside_class_folders_go_by_file_name(classes: Path) -> None:
    prompts, said = captions_beside(classes, listed(entry("b.png", "x", "y"), entry("p.png", "z")))
    assert prompts == {"beach/b.png": '["x", "y"]', "park/p.png": "z"}
    assert said == [f"{classes / 'c.json'}: captions of 2 pictures of 4"]


def test_a_name_of_several_classes_is_left_out_unless_its_folder_is_named(classes: Path) -> None:
    entries = [entry("1.png", "x"), entry("park/1.png", "y"), entry("lake/p.png", "z")]
    prompts, said = captions_beside(classes, listed(*entries))
    assert prompts == {"park/1.png": "y"}
    assert "name that pictures of several classes have: 1, such as 1.png (beach, park)" in said[0]
    assert "not in the folder: 1, such as" in said[1] and "lake/p.png" in said[1]
    assert said[2].endswith("captions of 1 picture of 4")


def test_captions_of_the_form_of_rsicap_count_beside_class_folders(classes: Path) -> None:
    text = json.dumps([{"filename": "b.png", "text_output": "long"}])
    assert captions_beside(classes, text)[0] == {"beach/b.png": "long"}


def test_other_json_files_beside_class_folders_say_nothing(classes: Path) -> None:
    text = '{"images": [{"file_name": "b.png"}], "annotations": [{"caption": "x"}]}'
    assert captions_beside(classes, text) == ({}, [])


def test_rows_that_have_prompts_keep_them(classes: Path) -> None:
    (classes / "c.json").write_text(listed(entry("b.png", "x")))
    rows = [{"path": "beach/b.png", "label": "beach", "source": "real", "prompt": ""}]
    assert add_captions(rows, classes) == rows


def test_members_of_archives_have_captions_too(classes: Path) -> None:
    (classes / "c.json").write_text(listed(entry("b.png", "x")))
    rows = [{"path": "a.tar::b.png", "label": "beach", "source": "real"}]
    with pytest.warns(match="captions of 1 picture of 1"):
        assert add_captions(rows, classes)[0]["prompt"] == "x"


def test_deep_nesting_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text('{"images": ' + "[" * 200_000)
    with pytest.raises(XprobeError, match="no whole JSON"):
        read_entries(tmp_path / "deep.json", LeftOut())


def test_splits_of_a_list_beside_class_folders_are_told_not_to_count(tmp_path: Path) -> None:
    rows = [{"path": f"{c}/{c}.png", "label": c, "source": "", "split": "train"} for c in "ab"]
    entries = (entry("a.png", "x", split="test"), entry("b.png", "y", split="train"))
    (tmp_path / "a.json").write_text(listed(*entries))
    words = r"left out splits .* not those of the folders: 1, such as .*a\.json: a\.png"
    with (
        pytest.warns(XprobeWarning, match=words),
        pytest.warns(XprobeNote, match=r"captions of 2 pictures of 2"),
    ):
        assert [row["split"] for row in add_captions(rows, tmp_path)] == ["train", "train"]


def test_a_second_list_counts_the_pictures_that_it_has_captions_of(tmp_path: Path) -> None:
    rows = [{"path": "a/a.png", "label": "a", "source": "", "split": ""}]
    for name in "ab":
        (tmp_path / f"{name}.json").write_text(listed(entry("a.png", name)))
    with (
        pytest.warns(XprobeNote, match=r"a\.json: captions of 1 picture of 1"),
        pytest.warns(XprobeNote, match=r"b\.json: captions of 1 picture of 1"),
    ):
        (row,) = add_captions(rows, tmp_path)
    assert captions_of(row["prompt"]) == ["a", "b"]
