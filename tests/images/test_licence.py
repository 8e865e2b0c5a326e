"""Which licences are known to allow, or to forbid, that images are passed on."""

from __future__ import annotations

import pytest

from xprobe.images.licence import is_redistributable, is_withheld


@pytest.mark.parametrize(
    ("name", "may_be", "withheld"),
    [("xBD", False, True), (" xbd ", False, True), ("my own", None, False), ("", None, False)],
)
def test_what_is_not_known_is_neither_allowed_nor_withheld(
    name: str, may_be: bool | None, withheld: bool
) -> None:
    assert is_redistributable(name) is may_be
    assert is_withheld(name) == withheld
