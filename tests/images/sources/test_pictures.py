"""The pictures of a class among all that lies below its folder."""

from __future__ import annotations

from typing import Any

import pytest
from makers import described

from xprobe.images.sources.leftovers import LeftOut
from xprobe.images.sources.pictures import pictures_of, scenes


def read(tree: Any) -> tuple[list[str], list[str]]:
    """Return the pictures of a class by their paths, and what is said of the rest."""
    left_out = LeftOut()
    pictures = pictures_of(described(tree, "a"), left_out)
    return [f"{folder.path}/{name}"[2:] for folder, name in pictures], left_out.lines


@pytest.mark.parametrize(
    "folder",
    ["masks", "Mask", "labels", "annotations", "targets", "gt", "ground-truth", "SegmentationClass",
     "SegmentationObject", "label_masks"],
)  # fmt: skip
def test_masks_in_a_folder_of_their_own_are_left_out(folder: str) -> None:
    pictures, said = read({"1.png": None, folder: ["1.png", "2.png"]})
    assert pictures == ["1.png"]
    assert said == [
        f"left out label masks: 2, such as a/{folder}/1.png; to keep them as pictures, rename them "
        f"or list them in a manifest"
    ]
    pictures, said = read({"images": ["1.png"], "deep": {folder: {"er": ["1.png"]}}})
    assert (pictures, len(said)) == (["images/1.png"], 1)


def test_a_class_whose_pictures_all_lie_in_such_a_folder_keeps_them() -> None:
    assert read({"labels": ["1.png"]}) == (["labels/1.png"], [])


@pytest.mark.parametrize(
    "name",
    ["1_mask.png", "1-mask.png", "1_target.png", "1_seg.png", "1_label.png", "1_gt.tif",
     "mask_1.png", "1_MASK.PNG"],
)  # fmt: skip
def test_a_mask_beside_its_picture_is_left_out(name: str) -> None:
    pictures, said = read(["1.jpg", name, "2.jpg"])
    assert pictures == ["1.jpg", "2.jpg"]
    assert said[0].startswith(f"left out label masks: 1, such as a/{name}; to keep")
    assert read(["3.jpg", name]) == (["3.jpg", name], [])  # 1.jpg, which it would mask, is missing


@pytest.mark.parametrize("tree", [{"1.jpg": None, "thumbs": ["1.jpg"]}, ["1.jpg", "1_thumb.jpg"]])
def test_thumbnails_are_left_out(tree: Any) -> None:
    pictures, said = read(tree)
    assert pictures == ["1.jpg"]
    assert said[0].startswith("left out thumbnails: 1, such as a/")


def test_whatever_is_no_image_by_its_name_is_counted_by_kind_and_suffix() -> None:
    pictures, said = read(
        ["1.png", "2.heic", "3.HEIC", "4.jxl", "5", "6.txt", "7.zip", "8.mp4", "._1.png",
         "Thumbs.db"]
    )  # fmt: skip
    assert pictures == ["1.png"]
    assert [line.removeprefix("left out ").partition("; ")[0] for line in said] == [
        "hidden or system files and folders: 2, such as a/._1.png",
        "images in formats that are not read: 3 (2 .heic, 1 .jxl), such as a/2.heic",
        "files that are no images by their name: 2 (1 without suffix, 1 .txt), such as a/5",
        "archives: 1 (1 .zip), such as a/7.zip",
        "videos: 1 (1 .mp4), such as a/8.mp4",
    ]


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "@eaDir", "__MACOSX", ".cache"])
def test_hidden_folders_are_counted(folder: str) -> None:
    pictures, said = read({"1.png": None, folder: ["1.png"]})
    assert pictures == ["1.png"]
    assert said[0].startswith(
        f"left out hidden or system files and folders: 1, such as a/{folder};"
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x_pre_disaster.png", "x_post_disaster.png"),
        ("pre_x.png", "post_x.tif"),
        ("x-Pre.png", "x-Post.png"),
        ("x before.png", "x after.png"),
        ("pre/x.png", "post/x.png"),
        ("pre/x_pre.png", "post/x_post.png"),
        ("x_00000001_pre_disaster.png", "deep/x_00000001_post_disaster.png"),
    ],
)
def test_twins_are_one_scene(first: str, second: str) -> None:
    ids = [f"a/{first}", f"a/{second}"]
    assert scenes([("a", [*ids, "a/x.png", "a/y_pre.png"])]) == dict.fromkeys(ids, min(ids))


@pytest.mark.parametrize(
    "names",
    [
        ("x_pre.png", "y_post.png"),
        ("x_pre.png", "x_after.png"),
        ("x_pre.png",),
        ("expressway.png", "expostway.png"),
        ("x_pre.png", "x_pre.jpg"),
    ],
)
def test_other_pictures_are_no_twins(names: tuple[str, ...]) -> None:
    assert scenes([("a", [f"a/{name}" for name in names])]) == {}


def test_only_names_of_xbd_are_scenes_over_several_classes() -> None:
    classes = [("a", ["a/1_pre.png"]), ("b", ["b/1_post.png"])]
    assert scenes(classes) == {}
    classes = [("a", ["a/x_00000001_pre_disaster.png"]), ("b", ["b/x_00000001_post_disaster.png"])]
    assert set(scenes(classes).values()) == {"a/x_00000001_pre_disaster.png"}
