"""Label files of xBD: damage by grades, and outlines that parse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from makers import TILE_OUTLINE, put_tile

from xprobe.images.sources.xbd.labels import UNREADABLE, outlines_in, read_label
from xprobe.images.sources.xbd.tiles import Damage

NAME = "joplin-tornado_00000050"


@pytest.fixture
def post(tmp_path: Path) -> Path:
    """The label file of a tile after a tornado, with buildings of all grades but one."""
    grades = ["destroyed", "destroyed", "major-damage", "un-classified", "no-damage"]
    put_tile(tmp_path, "tier3", NAME, "wind", grades, strip="103001000A285500", size=(64, 32))
    return tmp_path / f"tier3/labels/{NAME}_post_disaster.json"


def test_a_label_says_kind_strip_size_and_damage(post: Path) -> None:
    label = read_label(post)
    assert (label.disaster, label.strip, label.size) == ("wind", "103001000A285500", (64, 32))
    assert label.damage == Damage((1, 0, 1, 2, 1))
    assert str(label.damage) == (
        "no-damage:1 minor-damage:0 major-damage:1 destroyed:2 un-classified:1"
    )
    assert (label.damage.buildings, label.damage.graded) == (5, 4)
    assert (label.damage.damaged, label.damage.major, label.damage.share) == (3, 3, 0.75)


def test_buildings_before_an_event_have_no_grade(post: Path) -> None:
    label = read_label(post.with_name(f"{NAME}_pre_disaster.json"))
    assert label.damage == Damage((0, 0, 0, 0, 5))
    assert (label.disaster, label.damage.graded, label.damage.share) == ("wind", 0, 0)


def test_unknown_grades_are_named_and_count_as_unclassified(post: Path) -> None:
    text = post.read_text().replace("major-damage", "sunken")
    post.write_text(text)
    label = read_label(post)
    assert (label.unknown_grades, label.damage) == (("sunken",), Damage((1, 0, 0, 2, 2)))


def test_outlines_are_checked_one_by_one(post: Path) -> None:
    assert outlines_in(post) == [True] * 5
    content = json.loads(post.read_text())
    for building, wkt in zip(
        content["features"]["xy"],
        ["POLYGON ((0 0, 1", "POINT (1 1)", "", TILE_OUTLINE, f"MULTI{TILE_OUTLINE}"],
        strict=True,
    ):
        building["wkt"] = wkt
    post.write_text(json.dumps(content))
    assert outlines_in(post) == [False, False, False, True, False]
    assert read_label(post).damage.buildings == 5


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"features": {"xy": []}}', b'{"other": ' + b"[" * 100_000,
     b'{"features": {"xy": 1}, "metadata": {}}',
     b'{"features": {"xy": []}, "metadata": {"disaster_type": "\xff"}}'],
)  # fmt: skip
def test_what_is_no_label_file_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UNREADABLE):
        read_label(tmp_path / "a.json")


def test_a_label_file_that_is_cut_off_is_told_wherever_it_ends(post: Path) -> None:
    content = post.read_bytes()
    for end in range(0, len(content), 97):
        post.write_bytes(content[:end])
        with pytest.raises(UNREADABLE):
            read_label(post)


def test_labels_of_other_editions_need_less(tmp_path: Path) -> None:
    content: dict[str, Any] = {"features": {"xy": []}, "metadata": {"disaster_type": "fire"}}
    (tmp_path / "a.json").write_text(json.dumps(content))
    label = read_label(tmp_path / "a.json")
    assert (label.size, label.strip, label.damage) == (None, "", Damage())
    assert outlines_in(tmp_path / "a.json") == []


def test_a_name_of_a_kind_can_stand_in_a_table(post: Path) -> None:
    content = json.loads(post.read_text())
    for name, disaster in {
        " wind\n": "wind", "nan": "", "None": "", "wi\0nd": "", "wi\x1b[1mnd": "", "w" * 10**6: "",
    }.items():  # fmt: skip
        content["metadata"] |= {"disaster_type": name, "catalog_id": name}
        post.write_text(json.dumps(content))
        label = read_label(post)
        assert (label.disaster, label.strip) == (disaster, disaster)


@pytest.mark.parametrize(("number", "strip"), [(None, ""), (1030, "1030")])
def test_a_strip_may_have_no_name_or_a_number(post: Path, number: int | None, strip: str) -> None:
    content = json.loads(post.read_text())
    content["metadata"]["catalog_id"] = number
    post.write_text(json.dumps(content))
    assert read_label(post).strip == strip


def test_outlines_that_would_end_the_process_are_none(post: Path) -> None:
    content = json.loads(post.read_text())
    nested, endless = "GEOMETRYCOLLECTION (" * 100_000, "POLYGON ((inf 0, 1 1, 2 2, inf 0))"
    for building, wkt in zip(
        content["features"]["xy"], [nested, endless, *[TILE_OUTLINE] * 3], strict=True
    ):
        building["wkt"] = wkt
    post.write_text(json.dumps(content))
    assert outlines_in(post) == [False, False, True, True, True]
