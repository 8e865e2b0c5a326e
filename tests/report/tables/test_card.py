"""README.md of a folder of tables, by which the datasets library opens them."""

from __future__ import annotations

import json

import pytest

from xprobe.report.tables.card import card, is_card

FILES = {"results": {"train": "results.csv"}, "by class": {"train": "a-*.csv", "test": "b.csv"}}


def lines_of(*licences: str) -> list[str]:
    return card(FILES, "Title", ["First.", "Second."], licences).decode().splitlines()


def test_a_card_names_the_files_of_every_table_and_the_first_is_the_default() -> None:
    lines = lines_of()
    head = lines[1 : lines.index("---", 1)]
    assert head[0] == "tags: [xprobe]" and not any(line.startswith("license") for line in head)
    assert head[2:6] == [
        '- config_name: "results"', "  default: true", "  data_files:", '  - split: "train"',
    ]  # fmt: skip
    assert [json.loads(line.partition(": ")[2]) for line in head if "path:" in line] == [
        "results.csv", "a-*.csv", "b.csv",
    ]  # fmt: skip
    assert lines[lines.index("# Title") :] == ["# Title", "", "First.", "", "Second."]
    assert is_card(card(FILES, "Title", [], ())) and not is_card(b"# My readme\n")


@pytest.mark.parametrize(
    ("licences", "said"),
    [
        (("MIT", "mit"), "mit"),
        (("MIT", ""), "other"),
        (("", "unknown"), "unknown"),
        (("xBD",), "other"),
        (("CC-BY-4.0",), "cc-by-4.0"),
    ],
)
def test_a_licence_of_all_is_called_as_on_the_hub(licences: tuple[str, ...], said: str) -> None:
    assert lines_of(*licences)[2] == f"license: {said}"
