"""Registries: built-in rows, rows of other packages, and what is wrong with these in one line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from makers import put_package

from xprobe.base.errors import XprobeError
from xprobe.base.registry import Registry, by_name

GROUP = "xprobe.colours"


@dataclass(frozen=True)
class Colour:
    name: str


COLOURS = Registry(GROUP, "colour", Colour, by_name(Colour("red"), Colour("blue")))

CODE = """
from collections import namedtuple
from types import SimpleNamespace
green = SimpleNamespace(name="green")
renamed = SimpleNamespace(name="red")
"""
# Rows of a package that has no class of ours; any named value will do.
ANY = Registry(GROUP, "colour", object, COLOURS.rows)  # type: ignore[type-var]


def test_a_built_in_row_is_given_without_a_look_at_what_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(**_: str) -> list[EntryPoint]:
        raise AssertionError("looked")

    monkeypatch.setattr("importlib.metadata.entry_points", look)
    assert COLOURS["red"] == Colour("red")
    with pytest.raises(AssertionError, match="looked"):
        COLOURS.names()


def test_a_row_of_another_package_is_found_and_listed_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(tmp_path, monkeypatch, "greenery", CODE, GROUP, green="green")
    assert ANY["green"].name == "green"
    assert ANY.names() == ["red", "blue", "green"]


def test_an_unknown_name_is_answered_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(tmp_path, monkeypatch, "greenery", CODE, GROUP, green="green")
    said = "unknown colour 'gren' (did you mean green or red?); known: red, blue, green"
    with pytest.raises(XprobeError, match=re.escape(said)):
        COLOURS["gren"]


def test_a_package_that_takes_a_built_in_name_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(tmp_path, monkeypatch, "greenery", CODE, GROUP, red="green", green="green")
    for use in (COLOURS.names, lambda: COLOURS["green"]):
        with pytest.raises(XprobeError, match="package greenery registers the colour 'red', which"):
            use()
    assert COLOURS["red"] == Colour("red")


def test_two_packages_of_one_name_are_both_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(tmp_path / "a", monkeypatch, "greenery", CODE, GROUP, green="green")
    put_package(tmp_path / "b", monkeypatch, "meadow", CODE, GROUP, green="green")
    with pytest.raises(XprobeError, match="packages meadow and greenery both register the colour"):
        COLOURS["green"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module", "of package greenery does not load: No module named 'no_such"),
        ("1 +", "of package greenery does not load: invalid syntax"),
        ("", "of package greenery does not load: .* no attribute 'green'"),
        ("green = 1", "of package greenery is no .*Colour of that name"),
    ],
)
def test_a_broken_package_is_one_line_and_only_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    put_package(tmp_path, monkeypatch, "greenery", code, GROUP, green="green")
    assert COLOURS.names() == ["red", "blue", "green"]
    with pytest.raises(XprobeError, match=said) as error:
        COLOURS["green"]
    assert "\n" not in str(error.value)


def test_a_row_of_another_name_than_its_entry_point_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(tmp_path, monkeypatch, "greenery", CODE, GROUP, green="renamed")
    with pytest.raises(XprobeError, match="of that name"):
        ANY["green"]


def test_two_rows_of_one_name_are_an_error_of_the_code() -> None:
    with pytest.raises(AssertionError):
        by_name(Colour("red"), Colour("red"))
