"""Which images show the same: copies, and what parents and groups name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import process_time

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images.parents import Groups, tie

Row = dict[str, str]


def real(id_: str, group: str = "", **more: str) -> Row:
    return {"id": id_, "source": "real", "group": group or id_, **more}


def synthetic(id_: str, parent: str = "", group: str = "", **more: str) -> Row:
    return {"id": id_, "source": "synthetic", "parent": parent, "group": group, **more}


def tied(*rows: Row) -> dict[str, tuple[str, str]]:
    """Return id → (parent, group) of the images of a table."""
    names = ("id", "source", "group", "parent", "sha256")
    columns = {name: [row.get(name, "") for row in rows] for name in names}
    columns["sha256"] = [row.get("sha256", f"content of {row['id']}") for row in rows]
    paths = [row.get("path", row["id"]) for row in rows]
    tables = [row.get("table", "table.csv") for row in rows]
    tie(columns, paths, [row.get("scene", "") for row in rows], tables)
    both = zip(columns["parent"], columns["group"], strict=True)
    return dict(zip(columns["id"], both, strict=True))


STUDY = [
    real("real/a/1.png"),
    real("real/a/2.png", "scene"),
    real("real/b/2.png", "scene"),
    real("r5", path="images/five.tif"),
    real("real/7.png", "7"),
]


@pytest.mark.parametrize(
    ("parent", "meant"),
    [
        ("real/a/1.png", "real/a/1.png"),
        ("scene", "scene"),
        ("7", "7"),
        ("1.png", "real/a/1.png"),
        ("2.png", "scene"),  # Both images of that name show one scene.
        ("a/2.png", "real/a/2.png"),
        ("Scene ", "scene"),
        ("scene.png", "scene"),
        ("images/five.tif", "r5"),  # The path means the image, too.
        ("D:\\images\\FIVE.jpg", "r5"),
        ("R5", "r5"),
        ("7.0", "7"),  # as pandas writes numbers beside empty cells
        ("7.png", "real/7.png"),
        ("8.png", "8.png"),
        ("elsewhere/source.png", "elsewhere/source.png"),
        ("", ""),
    ],
)
def test_a_parent_becomes_the_id_or_group_that_it_means(parent: str, meant: str) -> None:
    assert tied(*STUDY, synthetic("s", parent))["s"] == (meant, "")


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("scene", "scene"),
        ("SCENE", "scene"),
        ("real/a/2.png", "scene"),
        ("b\\2.jpg", "scene"),
        ("r5", "r5"),
        ("five.tif", "r5"),
        ("7.0", "7"),
        ("1", "1"),  # A group of synthetic images may be a number: it is no 1.png.
        ("unheard of", "unheard of"),
    ],
)
def test_the_group_of_a_synthetic_image_becomes_a_group_of_real_ones(
    group: str, meant: str
) -> None:
    assert tied(*STUDY, synthetic("s", group=group))["s"] == ("", meant)


def test_an_exact_name_is_never_changed() -> None:
    """Not even where others would fit better, or where an image is named like another's group."""
    rows = [real("x", "scene"), real("y", "x"), real("X.png"), real("a/x")]
    assert tied(*rows, synthetic("s", "x", "x"))["s"] == ("x", "x")


def test_names_of_several_images_are_refused_with_examples() -> None:
    rows = [real(f"real/{c}/{i}.png") for c in "ab" for i in range(5)]
    edits = [synthetic(f"s{i}", f"{i}.png") for i in range(5)]
    with pytest.raises(XprobeError) as error:
        tied(*rows, *edits)
    assert str(error.value) == (
        "table.csv: parents that fit several images, 0.png (real/a/0.png, real/b/0.png), 1.png "
        "(real/a/1.png, real/b/1.png), 2.png (real/a/2.png, real/b/2.png) and 2 more: give the id "
        "of the image that is meant, or leave parents empty that mean none of them"
    )
    with pytest.raises(XprobeError, match=re.escape("groups that fit several images, 1.png (")):
        tied(*rows, synthetic("s", group="1.png"))


def test_copies_are_no_ambiguity() -> None:
    rows = [real("a/1.png", sha256="same"), real("b/1.png", sha256="same")]
    assert tied(*rows, synthetic("s", "1.png"))["s"] == ("a/1.png", "")
    rows = [real("a/1.png"), real("b/1.png", parent="a/1.png")]
    assert tied(*rows, synthetic("s", "1.png"))["s"] == ("a/1.png", "")


# --- parents that are synthetic ----------------------------------------------------------


@pytest.mark.parametrize("spelled", ["made/g/{}.png", "{}.png", "/mnt/made/g/{}.jpg", "G\\{}"])
def test_a_parent_that_is_synthetic_is_followed_to_the_real_image(spelled: str) -> None:
    """The last image is made from the one before it, and so on, to the first, made from r."""
    n = 5
    rows = [synthetic("made/g/e0.png", "r", group="scene")]
    rows += [synthetic(f"made/g/e{i}.png", spelled.format(f"e{i - 1}")) for i in range(1, n)]
    for order in (rows, rows[::-1]):
        images = tied(real("real/r.png", "scene"), real("q"), *order)
        assert {images[row["id"]] for row in rows} == {("real/r.png", "scene")}


def test_a_chain_that_ends_in_nothing_keeps_the_name_of_its_end() -> None:
    images = tied(
        real("r"), synthetic("s", "elsewhere.png"), synthetic("t", "s"), synthetic("u", "t"),
        synthetic("v"), synthetic("w", "v"), synthetic("x", group="r"), synthetic("y", "x"),
    )  # fmt: skip
    assert {images[id_] for id_ in "stu"} == {("elsewhere.png", "")}
    assert images["w"] == ("v", "")  # v has no known source, of which w is another image.
    assert images["y"] == ("r", "r")


@pytest.mark.parametrize(
    ("parents", "circle"), [("a", "a ← a"), ("ba", "a ← b ← a"), ("bcb", "b ← c ← b")]
)
def test_a_circle_is_refused(parents: str, circle: str) -> None:
    rows = [synthetic(id_, parent) for id_, parent in zip("abc", parents, strict=False)]
    with pytest.raises(XprobeError, match=f"table.csv: parents go round in a circle, {circle}:"):
        tied(real("r"), *rows)


def test_an_edit_of_the_same_file_name_is_not_the_source() -> None:
    """Edits often bear the name of their source, which may be outside the study."""
    edits = [synthetic(f"{g}/1.png", "1.png") for g in "xyz"]
    assert {parent for parent, _ in tied(real("real/2.png"), *edits).values()} == {"", "1.png"}
    images = tied(real("real/1.png"), *edits)
    assert {images[row["id"]] for row in edits} == {("real/1.png", "")}
    outside = [synthetic(f"{g}/a/1.png", "/data/real/a/1.png") for g in "xyz"]
    assert tied(real("real/a/2.png"), *outside)["x/a/1.png"] == ("/data/real/a/1.png", "")
    edits = [synthetic("made/a/1.png", "real/a/2.png"), synthetic("s", "/data/real/a/1.png")]
    assert tied(real("real/a/2.png"), *edits)["s"] == ("/data/real/a/1.png", "")


def test_a_parent_of_which_more_fits_a_synthetic_image_is_synthetic() -> None:
    rows = [real("real/a/1.png"), real("real/b/2.png"), synthetic("made/a/1.png", "real/b/2.png")]
    assert tied(*rows, synthetic("s", "/mnt/made/a/1.png"))["s"] == ("real/b/2.png", "")
    assert tied(*rows, synthetic("s", "a/1.png"))["s"] == ("real/a/1.png", "")


def test_a_synthetic_parent_of_another_table_is_named_by_its_id() -> None:
    """Generators number their files alike, so that other spellings say nothing there."""
    other = synthetic("synthetic/g/e.png", "r", table="g.csv", path="e.png")
    for name in ("e.png", "g/e.png", "e"):
        images = tied(real("r"), other, synthetic("s", name, table="h.csv"))
        assert images["s"] == (name, "")
        assert tied(real("r"), other, synthetic("s", name, table="g.csv"))["s"] == ("r", "")
    images = tied(real("r"), other, synthetic("s", "synthetic/g/e.png", table="h.csv"))
    assert images["s"] == ("r", "")


def test_errors_name_the_table_of_the_name() -> None:
    rows = [real("a/1.png"), real("b/1.png"), synthetic("s", table="g.csv")]
    with pytest.raises(XprobeError, match=r"h\.csv: parents that fit several images"):
        tied(*rows, synthetic("t", "1.png", table="h.csv"))
    with pytest.raises(XprobeError, match=r"h\.csv: parents go round in a circle"):
        tied(*rows, synthetic("t", "t", table="h.csv"))


# --- groups ------------------------------------------------------------------------------


def test_a_real_image_is_of_the_group_of_its_parent() -> None:
    rows = [real("r"), real("turned", parent="R.png"), real("crop", "g", parent="/x/turned.png")]
    images = tied(*rows, real("other", parent="outside"), synthetic("s", "g"))
    assert {images[id_][1] for id_ in ("r", "turned", "crop")} == {"g"}
    assert images["other"] == ("outside", "other")
    assert images["s"] == ("g", "")


def test_a_real_image_that_names_itself_stays_as_it_is() -> None:
    rows = [real("a/1.png", parent="1.png"), real("b/1.png", parent="b/1.png")]
    assert [group for _, group in tied(*rows).values()] == ["a/1.png", "b/1.png"]
    with pytest.raises(XprobeError, match="parents that fit several images"):
        tied(*rows, real("c", parent="1.png"))


def test_a_wider_group_is_that_of_the_scene_that_is_named() -> None:
    rows = [real("r1", "storm", scene="s1"), real("r2", "flood", scene="s2")]
    for name in ("s1", "S1", " s1.png", "storm"):
        assert tied(*rows, synthetic("s", name, name))["s"] == ("storm", "storm")
    assert tied(*rows, synthetic("s", "R1"))["s"] == ("r1", "")


def test_joined_groups_have_the_least_of_their_names() -> None:
    groups = Groups()
    for pair in ("cd", "ef", "de", "xy", "ba"):
        groups.join(*pair)
    assert [groups.name(g) for g in "abcdefxyz"] == [*"aaccccxxz"]


@pytest.mark.parametrize("step", [1, -1])
def test_the_time_for_copies_is_linear(step: int) -> None:
    """With names that descend each group stood below the next one: 20,000 took minutes."""
    names: Sequence[str] = [f"{i:05d}" for i in range(20_000)][::step]
    start = process_time()
    images = tied(*(real(name, sha256="same") for name in names))
    assert process_time() - start < 5
    assert {group for _, group in images.values()} == {"00000"}


def test_a_long_chain_of_edits_takes_no_longer_than_others() -> None:
    n = 20_000
    edits = [synthetic(f"s{i}", f"s{i + 1}") for i in range(n)]
    start = process_time()
    images = tied(real("r"), *edits, synthetic(f"s{n}", "r"))
    assert process_time() - start < 5
    assert images["s0"] == ("r", "")
