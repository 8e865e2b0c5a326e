"""What a name means, however it is spelled."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from time import process_time
from urllib.parse import quote

import pytest

from xprobe.images.names import Names, parts_of, spelling_of, without_suffix

REAL = [
    "real/wind/wind_007.png",
    "real/wind/café 8.PNG",
    "real/flood/flood.v2.png",
    "real/flood/flood.v3.png",
    "real/flood/shard.tar::ship/9.png",
]


def names(*ids: str, **groups: str) -> Names:
    """The names of images; each is a group by itself but for those of `groups`, ``_7="g"``."""
    return Names((id_, groups.get(f"_{i}", id_), id_) for i, id_ in enumerate(ids))


SPELLINGS: list[tuple[str, Callable[[str], str]]] = [
    ("exact", str),
    ("file name", lambda id_: id_.rpartition("/")[2]),
    ("file name without suffix", lambda id_: id_.rpartition("/")[2][:-4]),
    ("another suffix", lambda id_: id_[:-4] + ".jpg"),
    ("another known suffix", lambda id_: id_[:-4] + ".JSON"),
    ("absolute path", lambda id_: f"/home/me/project/data/{id_}"),
    ("another root for real", lambda id_: "originals/" + id_.partition("/")[2]),
    ("backslashes", lambda id_: id_.replace("/", "\\")),
    ("drive letter", lambda id_: "D:\\data\\" + id_.replace("/", "\\")),
    ("network share", lambda id_: "\\\\server\\share\\" + id_.replace("/", "\\")),
    ("upper case", str.upper),
    ("lower case", str.lower),
    ("decomposed", lambda id_: unicodedata.normalize("NFD", id_)),
    ("leading ./", lambda id_: f"./{id_}"),
    ("from another folder", lambda id_: f"../../{id_}"),
    ("round about", lambda id_: id_.replace("real/", "real/tmp/../")),
    ("doubled slashes", lambda id_: id_.replace("/", "//")),
    ("spaces around", lambda id_: f"  {id_}\t"),
    ("no-break space", lambda id_: f"\u00a0{id_}\ufeff"),
    ("quoted", lambda id_: f'"{id_}"'),
    ("address", lambda id_: f"file:///data/{id_}"),
    ("quoted address", lambda id_: "https://x.org/" + quote(id_)),
    ("member of an archive", lambda id_: f"images.tar::{id_}"),
    ("full width", lambda id_: id_.replace("0", "\uff10")),
]


@pytest.mark.parametrize(("way", "spell"), SPELLINGS, ids=[way for way, _ in SPELLINGS])
def test_a_name_means_the_one_image_that_fits(way: str, spell: Callable[[str], str]) -> None:
    study = names(*REAL)
    for id_ in REAL:
        assert study.fit(spelling_of(spell(id_))).targets == {id_: id_}, spell(id_)


@pytest.mark.parametrize(
    "name",
    ["", "/", "..", "wind_08.png", "flood.v1.png", "wind", "real/wind", "wind_007.v2", "nan"],
)
def test_what_is_called_otherwise_is_not_meant(name: str) -> None:
    assert names(*REAL).fit(spelling_of(name)).targets == {}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("/x/a/1.png", ["real/a/1.png"]),  # More of the end fits than of b/1.png.
        ("a/1.jpg", ["real/a/1.png"]),
        ("1.png", ["real/a/1.png", "real/b/1.png"]),
        ("1", ["real/a/1.png", "real/b/1.png"]),
        ("2.PNG", ["real/a/2.png"]),  # A suffix tells more than the case of it.
        ("2.jpg", ["real/b/2.jpg"]),
        ("2.gif", ["real/a/2.png", "real/b/2.jpg"]),
        ("/x/3.png", ["3.png"]),  # All of this name is in the other one.
        ("x/3.png", ["3.png"]),
        ("b/3.png", ["real/b/3.png"]),
        ("real/a/4.png", ["real/a/4.png"]),
        ("A/4.png", ["real/a/4.png", "real/A/4.PNG"]),
        ("A/4.PNG", ["real/A/4.PNG"]),
    ],
)
def test_the_closest_spelling_counts_and_what_fits_alike_is_ambiguous(
    name: str, meant: list[str]
) -> None:
    study = names(
        "real/a/1.png", "real/b/1.png", "real/a/2.png", "real/b/2.jpg", "3.png", "real/b/3.png",
        "real/a/4.png", "real/A/4.PNG",
    )  # fmt: skip
    assert sorted(study.fit(spelling_of(name)).targets) == sorted(meant)


def test_images_of_one_group_are_no_ambiguity() -> None:
    twins = Names([("pre/7.png", "scene", "pre/7.png"), ("post/7.png", "scene", "post/7.png")])
    assert twins.fit(spelling_of("7.png")).targets == {"scene": "scene"}
    assert twins.fit(spelling_of("x/post/7.jpg")).targets == {"scene": "post/7.png"}


def test_an_image_that_a_folder_lacks_is_no_image_of_another_folder() -> None:
    """Where folders number their files from 0 on, the file name alone is no name."""
    numbered = names("real/a/0.png", "real/a/1.png", "real/b/0.png", "real/b/2.png")
    assert numbered.fit(spelling_of("real/b/1.png")).targets == {}
    assert numbered.fit(spelling_of("/data/b/1.png")).targets == {}
    assert numbered.fit(spelling_of("elsewhere/1.png")).targets == {"real/a/1.png": "real/a/1.png"}
    # Where each file name is there once, an image may have moved from one folder to another.
    unlike = names("real/a/0.png", "real/a/1.png", "real/b/2.png")
    assert unlike.fit(spelling_of("real/b/1.png")).targets == {"real/a/1.png": "real/a/1.png"}
    cities = names("x/pre/0.png", "y/pre/0.png", "y/pre/1.png")
    assert cities.fit(spelling_of("x/pre/1.png")).targets == {}
    assert cities.fit(spelling_of("test/y/pre/1.png")).targets == {"y/pre/1.png": "y/pre/1.png"}


def test_parts_are_without_what_says_nothing() -> None:
    assert parts_of(" C:\\a\\.\\b\\..\\'c d' / e.png") == ["C:", "a", "c d", "e.png"]
    assert parts_of("e\u0301.tar::x") == ["é.tar", "x"]
    assert parts_of("/") == []


def test_only_the_suffixes_of_images_are_suffixes() -> None:
    files = ["a.PNG", "a.b.jpeg", ".png", "a.v2", "7.0", "a."]
    assert [*map(without_suffix, files)] == ["a", "a.b", ".png", "a.v2", "7", "a."]


def test_many_images_of_one_file_name_take_no_longer_than_others() -> None:
    """The time is that of a look-up: looks at 2,000² images would take half a minute."""
    n = 2_000
    study = names(*(f"real/{i}/image.png" for i in range(n)))
    start = process_time()
    for i in range(n):
        assert len(study.fit(spelling_of(f"/data/{i}/image.jpg")).targets) == 1
        assert len(study.fit(spelling_of(f"{n + i}/image.jpg")).targets) == n
    assert process_time() - start < 5
