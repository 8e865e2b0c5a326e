"""Licences of images by name: whether the images, and their pictures, may be passed on."""

from __future__ import annotations

from functools import cache

from xprobe.base.packed import packed_table

NO_REDISTRIBUTION = "no-redistribution"
"""The mark of a licence whose images may not be passed on."""

UNKNOWN = "unknown"
"""The licence of a data set whose makers state none, as far as xprobe knows; nothing is said of it
in `licences.csv`, so that its images are neither allowed nor withheld."""


@cache
def _marks() -> dict[str, str]:
    """Return the mark of each licence that is known; empty: its images may be passed on."""
    return {row["licence"].casefold(): row["mark"] for row in packed_table("licences")}


def is_redistributable(name: str) -> bool | None:
    """Return whether images under a licence may be passed on; None: the name is not known."""
    mark = _marks().get(name.strip().casefold())
    return None if mark is None else mark != NO_REDISTRIBUTION


@cache
def licence_of_sets() -> dict[str, str]:
    """Return the licence of each published data set by its name, `UNKNOWN` where none is stated."""
    return {row["name"]: row["licence"] for row in packed_table("datasets")}


def is_withheld(name: str) -> bool:
    """Return whether images under this licence may not be passed on, as far as xprobe knows it."""
    return is_redistributable(name) is False
