"""Which real image an adopted one was made from: taken where one scene fits, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import MakeManifest

from xprobe.base.errors import XprobeError
from xprobe.images.adopted.parentage import (
    Origin,
    Scenes,
    origins_by_pattern,
    read_records,
)
from xprobe.images.adopted.pattern import Pattern


@pytest.fixture
def scenes(make_manifest: MakeManifest) -> Scenes:
    """A pair of one scene, an image alone, two scenes of one event, and one of another class."""
    paths = ("flood_1_pre.png", "flood_1_post.png", "flood_2_post.png", "storm_3_post.png",
             "storm_4_post.png")  # fmt: skip
    return Scenes(
        make_manifest(
            ["water", "water", "water", "wind", "wind"],
            id=[path.removesuffix(".png") for path in paths],
            path=[f"/data/real/{path}" for path in paths],
            group=["flood_1", "flood_1", "flood_2_post", "storm_3_post", "storm_4_post"],
        )
    )


def test_the_scene_with_equal_values_is_the_parent(scenes: Scenes) -> None:
    pattern = Pattern("{event}_{number}_*")
    names = ("a/flood_1_net.png", "b/flood_2_net.jpg", "flood_9_net.png", "unlike.png")
    assert origins_by_pattern(pattern, names, scenes) == [
        Origin("flood_1", "water"),  # Two images of one scene are one parent: the group.
        Origin("flood_2_post", "water"),
        Origin(),
        Origin(),
    ]


def test_of_several_scenes_none_is_taken(scenes: Scenes) -> None:
    (origin,) = origins_by_pattern(Pattern("{event}_*"), ["storm_net.png"], scenes)
    assert origin == Origin(fits=("storm_3_post", "storm_4_post"))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("tile-{n}", "matches none of the images, whose names are flood_1_net.png, x.png"),
        ("{event}_{number}_net", "matches no real image of DATA, whose names are flood_1_pre.png"),
        ("{event}_{rest}", "here such as event flood, rest 1_net, in DATA such as event flood, "),
    ],
)
def test_a_pattern_that_fits_nothing_says_what_there_is(
    scenes: Scenes, pattern: str, said: str
) -> None:
    with pytest.raises(XprobeError) as error:
        origins_by_pattern(Pattern(pattern), ["flood_1_net.png", "x.png"], scenes)
    assert said in str(error.value)


def test_a_name_is_an_id_a_group_a_path_or_none_of_data(scenes: Scenes) -> None:
    assert scenes.named("flood_1") == Origin("flood_1", "water")
    assert scenes.named("flood_1_post") == Origin("flood_1_post", "water")
    assert scenes.named("other/real/storm_3_post.tif") == Origin("storm_3_post", "wind")
    assert scenes.named("mars_7") == Origin("mars_7", is_outside=True)
    assert scenes.named("") == Origin()


def test_a_scene_of_several_classes_gives_none(make_manifest: MakeManifest) -> None:
    both = Scenes(make_manifest(["a", "b"], id=["x", "y"], group=["g", "g"]))
    assert both.named("g") == Origin("g", "")
    assert both.named("x") == Origin("x", "a")


NAMES = ("a/1.png", "a/2.png", "b/2.png", "b/3.png", "b/4.png")


def test_a_table_names_images_in_any_spelling_that_fits_one(tmp_path: Path) -> None:
    file = tmp_path / "lineage.csv"
    file.write_text(
        "file,parent,prompt,url\n1.png,p1,a flood,u\nb\\2,p2,nan,u\nb/3.png,p3,,u\nb/3.png,p3,,u\n"
    )
    records = read_records(file, NAMES)
    assert {name: row["parent"] for name, row in records.rows.items()} == {
        "a/1.png": "p1", "b/2.png": "p2", "b/3.png": "p3",
    }  # fmt: skip
    assert [row["prompt"] for row in records.rows.values()] == ["a flood", "", ""]
    assert records.notes == (f"{file}: columns that are not used: url",)
    assert records.columns == ("file", "parent", "prompt")


def test_what_is_wrong_with_a_table_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "lineage.csv"
    file.write_text("path;parent\n9.png;p\n;p\n2.png;p\n3.png;p\nb/3.png;q\nb/4.png;p4\n")
    records = read_records(file, NAMES)
    assert list(records.rows) == ["b/4.png"]
    assert records.notes == (
        f"{file}: 2 rows name no image of the folder: 9.png, an empty name",
        f"{file}: 1 rows name several images of the folder, and none is taken: 2.png",
        f"{file}: 1 images have several rows that differ, and none is taken: b/3.png",
    )


def test_a_source_may_be_called_by_a_number(tmp_path: Path) -> None:
    file = tmp_path / "lineage.jsonl"
    file.write_text('{"file": "b/4.png", "parent": 0}\n{"file": "b/3.png", "parent": null}\n')
    records = read_records(file, NAMES)
    assert {name: row["parent"] for name, row in records.rows.items()} == {
        "b/4.png": "0", "b/3.png": "",
    }  # fmt: skip


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lineage.csv"
    file.write_text("file,source\n1.png,p\n")
    with pytest.raises(XprobeError, match="the columns are file and parent"):
        read_records(file, NAMES)
    with pytest.raises(XprobeError, match="no such table; a pattern has fields in braces"):
        read_records(tmp_path / "event_number", NAMES)
