"""What parents and groups mean where there are several tables."""

from __future__ import annotations

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images.manifest import PARENT_PATH, SPELT, TABLE, WRITTEN, Row
from xprobe.images.sources.located import absolute
from xprobe.images.sources.references import References


def row(table: str, id_: str, path: str, source: str = "real", **more: str) -> Row:
    """Return a row of a table in a folder of its name."""
    parent = {PARENT_PATH: absolute(f"/{table}", more["parent"])} if "parent" in more else {}
    return {
        "id": id_, "path": f"/{table}/{path}", SPELT: path, TABLE: table, "source": source,
        **parent, **more,
    }  # fmt: skip


STUDY = [
    row("study", "r1", "real/1.png"),
    row("study", "r2", "real/2.png", group="scene"),
    row("study", "flood/3.png", "flood/3.png"),
]
"""The real images, the ids of which stay."""


def settled(*rows: Row) -> Row:
    """Return the last of some rows; synthetic ones are called ``s/<table>/<id>`` now."""
    references = References()
    pairs = []
    for one in rows:
        is_real = one["source"] == "real"
        id_ = one["id"] if is_real else f"s/{one[TABLE]}/{one['id']}"
        references.add(one if is_real else one | {WRITTEN: one["id"]}, id_)
        pairs.append((one, id_))
    references.settle(pairs)
    return rows[-1]


@pytest.mark.parametrize(
    ("parent", "meant"),
    [
        ("r1", "r1"),
        ("real/1.png", "r1"),  # the path that another table spells
        ("../study/real/1.png", "r1"),  # a path relative to the folder of the own table
        ("/study/real/2.png", "r2"),
        ("scene", "scene"),
        ("flood/3.png", "flood/3.png"),  # a real image goes before one of the own table
        ("e1", "s/x/e1"),
        ("edit/1.png", "s/x/e1"),
        ("../y/0001.png", "s/y/y1"),
        ("y1", "s/y/y1"),  # the id of a synthetic image of another table
        ("0001.png", "0001.png"),  # a path that leads to it from its own table alone
        ("outside", "outside"),
        ("self", "self"),  # its id is the name of its parent, which is another image
    ],
)
def test_a_parent_is_sought_in_its_table_then_in_others(parent: str, meant: str) -> None:
    others = [
        row("y", "y1", "0001.png", "synthetic"),
        row("x", "e1", "edit/1.png", "synthetic"),
        row("x", "flood/3.png", "flood/3.png", "synthetic"),
    ]
    image = row("x", "self", "self", "synthetic", parent=parent)
    assert settled(*STUDY, *others, image)["parent"] == meant


def test_a_real_image_of_the_same_table_goes_before_those_of_others() -> None:
    """Its id may be another now."""
    references = References()
    study, second = row("study", "r1", "1.png"), row("second", "r1", "1.png")
    edit = row("second", "e", "e.png", "synthetic", parent="r1", group="r1")
    crop = row("second", "crop", "c.png", group="r1")
    for one, id_ in ((study, "r1"), (second, "second/r1"), (edit, "e"), (crop, "crop")):
        references.add(one, id_)
    references.settle([(edit, "e"), (crop, "crop")])
    assert (edit["parent"], edit["group"], crop["group"]) == ("second/r1",) * 3


def test_a_group_of_a_real_image_is_a_name_and_no_path() -> None:
    image = row("b", "4", "4.png", group="real/1.png")
    assert settled(*STUDY, image)["group"] == "real/1.png"


@pytest.mark.parametrize(
    ("group", "meant"), [("scene", "scene"), ("real/1.png", "r1"), ("7", "7"), ("e1", "e1")]
)
def test_a_group_of_a_synthetic_image_may_be_that_of_another_table(group: str, meant: str) -> None:
    image = row("x", "e1", "e1.png", "synthetic", group=group)
    assert settled(*STUDY, image)["group"] == meant


@pytest.mark.parametrize("column", ["parent", "group"])
def test_a_name_of_images_in_several_other_tables_is_refused(column: str) -> None:
    second = row("second", "r1", "real/1.png")
    references = References()
    edit = row("x", "e", "e.png", "synthetic", **{column: "r1"})
    for one, id_ in ((STUDY[0], "r1"), (second, "second/r1"), (edit, "e")):
        references.add(one, id_)
    message = rf"x: {column}s that are names of images in several tables, r1 \(study, second\): "
    with pytest.raises(XprobeError, match=message):
        references.settle([(edit, "e")])
    edit |= {column: "../second/real/1.png", PARENT_PATH: "/x/../second/real/1.png"}
    references.settle([(edit, "e")])
    assert edit["parent" if column == "parent" else "id"] in ("second/r1", "e")


def test_an_id_of_synthetic_images_in_several_tables_means_none_of_them() -> None:
    others = [row(table, "7", "7.png", "synthetic") for table in "ab"]
    image = row("x", "e", "e.png", "synthetic", parent="7")
    assert settled(*STUDY, *others, image)["parent"] == "7"
