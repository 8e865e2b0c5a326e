"""Several tables as one: images given twice, ids that clash, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.manifest import GUESSED, SCENE, SPELT, TABLE, Row
from xprobe.images.sources.joined import joined


def image(table: str, id_: str, path: str = "", source: str = "real", **more: str) -> Row:
    """Return a row as `located` makes it; no such file is there unless a path is given."""
    spelt = path or f"/{table}/{id_}.png"
    label = more.pop("label", "a")
    return {
        "id": id_, "path": spelt, SPELT: spelt, TABLE: table, "label": label, "source": source,
        **more,
    }  # fmt: skip


def ids(rows: list[Row]) -> list[str]:
    return [row["id"] for row in rows]


def test_tables_that_share_nothing_stand_one_behind_the_other() -> None:
    first, second = [image("a.csv", "1"), image("a.csv", "2")], [image("b.csv", "3")]
    assert joined([first, second]) == [*first, *second]
    assert joined([first]) == first


def test_one_file_is_taken_once_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    rows = [
        [image("a.csv", "1", f"{tmp_path}/images/1.png", prompt="")],
        [image("b.csv", "1", f"{tmp_path}/link/../images/1.png", prompt="flood")],
        [image("c.csv", "x", f"{tmp_path}/link/1.png", event="e", prompt="storm")],
    ]
    with pytest.warns(XprobeWarning) as said:
        (row,) = joined(rows)
    assert (row["id"], row["prompt"], row["event"], row[TABLE]) == ("1", "flood", "e", "a.csv")
    texts = [str(warning.message) for warning in said]
    assert texts == [
        "b.csv: 1 image is given by a.csv, too, and taken once: 1",
        "c.csv: 1 image is given by a.csv, too, and taken once: 1",
    ]


def test_what_two_tables_say_of_an_image_is_that_of_the_first() -> None:
    rows = [[image("a.csv", "1", "/x/1.png", prompt="flood")],
            [image("b.csv", "1", "/x/1.png", prompt="storm")]]  # fmt: skip
    with pytest.warns(XprobeWarning) as said:
        (row,) = joined(rows)
    assert row["prompt"] == "flood"
    assert str(said[1].message) == (
        "b.csv: what it says of 1 of them differs from a.csv, which is taken: 1 (prompt)"
    )


def test_copies_of_one_id_are_one_image(tmp_path: Path) -> None:
    for name, content in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(content)
    same = [[image(f"{x}.csv", "1", str(tmp_path / x))] for x in "ab"]
    with pytest.warns(XprobeWarning, match="1 image is given by"):
        assert ids(joined(same)) == ["1"]
    other = [[image(f"{x}.csv", "1", str(tmp_path / x))] for x in "ac"]
    with pytest.warns(XprobeWarning, match=r"c\.csv: 1 id is that of another image in a\.csv"):
        assert ids(joined(other)) == ["1", "c/1"]
    # Files that cannot be read are not known to be equal.
    with pytest.warns(XprobeWarning, match="another image"):
        assert ids(joined([[image("a.csv", "1")], [image("b.csv", "1")]])) == ["1", "b/1"]


def test_a_further_table_renames_no_image_of_those_before() -> None:
    parts = [[image(f"{t}/manifest.csv", str(i)) for i in range(3)] for t in "abc"]
    with pytest.warns(XprobeWarning):
        two, three = ids(joined(parts[:2])), ids(joined(parts))
    assert three[:6] == two == ["0", "1", "2", "b/0", "b/1", "b/2"]
    assert three[6:] == ["c/0", "c/1", "c/2"]


def test_an_id_that_is_taken_with_the_name_of_its_table_is_refused() -> None:
    parts = [[image("x/a/manifest.csv", "1")], [image("y/a/manifest.csv", "1")]]
    with pytest.warns(XprobeWarning):
        assert ids(joined(parts)) == ["1", "a/1"]
    message = r"z/a/manifest\.csv: the id 1 is that of another image in .*, and so is a/1; give"
    with pytest.raises(XprobeError, match=message):
        joined([*parts, [image("z/a/manifest.csv", "1")]])


def test_an_id_that_a_table_gives_twice_is_refused_by_its_name() -> None:
    message = r"b\.csv: ids given twice: 1; give every image an id of its own"
    for first in ("0", "1"):
        with pytest.raises(XprobeError, match=message):
            joined([[image("a.csv", first, "/x")], [image("b.csv", "1", "/x")] * 2])


@pytest.mark.parametrize(
    ("change", "said"),
    [({"label": "b"}, "b, not a"), ({"split": "test"}, "test, not train"),
     ({"label": "b", "split": "test"}, "b, not a, test, not train")],
)  # fmt: skip
def test_tables_may_not_contradict_each_other(change: dict[str, str], said: str) -> None:
    rows = [[image("a.csv", "1", "/x/1")], [image("b.csv", "2", "/x/1", **change)]]
    message = rf"b\.csv: 1 image has another class or split than in a\.csv: /x/1 \({said}\); corr"
    with pytest.raises(XprobeError, match=message):
        joined(rows)


def test_one_file_may_be_of_two_generators() -> None:
    """One of them may be a choice from the images of the other."""
    rows = [
        [image("a.csv", "1", "/x", "synthetic", generator="g")],
        [image("b.csv", "2", "/x", "synthetic", generator="best of g")],
        [image("c.csv", "3", "/x", "synthetic", generator="best of g")],
    ]
    with pytest.warns(XprobeWarning, match=r"c\.csv: 1 image is given by b\.csv"):
        assert ids(joined(rows)) == ["1", "2"]


@pytest.mark.parametrize("unsaid", [{}, {"generator": "default"}, {"generator": "d", GUESSED: "d"}])
def test_a_generator_that_one_table_does_not_say_is_that_of_the_other(
    unsaid: dict[str, str],
) -> None:
    """As a folder without generators knows less than the table of its images."""
    said = [image("a.csv", "1", "/x", "synthetic", generator="g")]
    other = [image("d", "2", "/x", "synthetic", **unsaid)]
    for parts in ([said, other], [other, said]):
        with pytest.warns(XprobeWarning, match="1 image is given by"):
            (row,) = joined(parts)
        assert (row["id"], row["generator"]) == (parts[0][0]["id"], "g")


def test_a_table_read_twice_is_told_apart_from_itself() -> None:
    rows = [image("a.csv", "1"), image("a.csv", "2")]
    with pytest.warns(XprobeWarning, match=r"a\.csv \(again\): 2 images are given by a\.csv"):
        assert ids(joined([rows, rows])) == ["1", "2"]


def test_the_lineage_of_an_image_given_twice_is_in_the_names_of_its_table() -> None:
    """A folder knows nothing of the source of an image, which its table names as it calls it."""
    edit = "/d/s/1.png", "synthetic"
    folder = [image("d", "real/1.png", "/d/real/1.png"), image("d", "s/1.png", *edit)]
    table = [image("t.csv", "r1", "/d/real/1.png"), image("t.csv", "1", *edit, parent="r1")]
    with pytest.warns(XprobeWarning, match="2 images are given by d"):
        real, synthetic = joined([folder, table])
    assert (real["id"], synthetic["parent"]) == ("real/1.png", "real/1.png")


def test_groups_that_are_numbers_in_two_tables_are_told() -> None:
    rows = [[image("a.csv", "1", group="7"), image("a.csv", "2", group="s")],
            [image("b.csv", "3", group="7"), image("b.csv", "4", group="s")]]  # fmt: skip
    with pytest.warns(XprobeWarning, match=r"b\.csv: 1 group is a number that a\.csv has, too"):
        joined(rows)


def test_a_scene_has_one_wider_group_over_all_tables() -> None:
    rows = [[image(f"{t}.csv", t, group=f"event {t}", **{SCENE: "s"})] for t in "ab"]
    message = r"b\.csv: images of the scene s are of event b, but in a\.csv of event a; give"
    with pytest.raises(XprobeError, match=message):
        joined(rows)


def test_tables_whose_guessed_generators_have_one_name_are_told() -> None:
    def edits(table: str, **more: str) -> list[Row]:
        return [image(table, f"{table}-1", source="synthetic", generator="out", **more)]

    guessed = {GUESSED: "out"}
    with pytest.warns(XprobeWarning, match="a, b: they name no generator, and count as one, out,"):
        joined([edits("a", **guessed), edits("b", **guessed)])
    joined([edits("a", **guessed), edits("b")])  # One table names it itself.
