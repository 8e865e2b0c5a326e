"""Which licences are known to allow, or to forbid, that images are passed on."""

from __future__ import annotations

from datetime import date

import pytest

from xprobe.base.packed import packed_table
from xprobe.images.licence import UNKNOWN, is_redistributable, is_withheld, licence_of_sets
from xprobe.images.sources.registry import SOURCES_OF_IMAGES


@pytest.mark.parametrize(
    ("name", "may_be", "withheld"),
    [
        ("xBD", False, True), (" xbd ", False, True), ("my own", None, False), ("", None, False),
        ("MIT", True, False), ("cc-by-nc-4.0", True, False), (UNKNOWN, None, False),
    ],
)  # fmt: skip
def test_what_is_not_known_is_neither_allowed_nor_withheld(
    name: str, may_be: bool | None, withheld: bool
) -> None:
    assert is_redistributable(name) is may_be
    assert is_withheld(name) == withheld


def test_a_licence_of_a_data_set_is_known_or_said_to_be_unknown() -> None:
    licences = licence_of_sets()
    for name, licence in licences.items():
        assert (licence == UNKNOWN) == (is_redistributable(licence) is None), name
    for row in packed_table("datasets"):
        assert row["source"].endswith(".")
        assert date.fromisoformat(row["read"])
    sets = {row.title for row in SOURCES_OF_IMAGES.rows.values() if row.title}
    assert {"EuroSAT", "EuroSAT, 13 bands", "UC Merced", "AID", "RSSCN7", "CIFAKE"} <= (
        sets & set(licences)
    )
