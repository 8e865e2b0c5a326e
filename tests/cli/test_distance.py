"""``xprobe distance``: what it says of lineage."""

from __future__ import annotations

from collections.abc import Callable

from makers import Ran, error_of


def test_lineage_that_names_nothing_is_refused_if_it_is_required(
    misspelt: str, xprobe: Callable[..., Ran]
) -> None:
    refused = error_of(xprobe("distance", misspelt, "--require-lineage"))
    assert "10 of 20 synthetic images name no real image" in refused
    assert "make one with 'xprobe embed'" in error_of(xprobe("distance", misspelt))
