"""``xprobe distance``: what it says of lineage."""

from __future__ import annotations

from collections.abc import Callable

from makers import Ran, error_of


def test_lineage_that_names_nothing_is_told_and_refused_if_it_is_required(
    misspelt: str, xprobe: Callable[..., Ran]
) -> None:
    xprobe("embed", misspelt, "--encoder", "pixels")
    fast = ("distance", misspelt, "--permutations", "99", "--metrics", "mmd", "--workers", "1")
    ran = xprobe(*fast, "--json")
    said = "10 of 20 parents of synthetic images (10 different) name no real image of the study"
    assert said in ran.err
    assert said in " ".join(ran.json["warnings"])
    # That these images are independent of the real ones is assumed; of class a it is known.
    assumed = {row.get("class"): row.get("assumption") for row in ran.json["distances"]}
    assert assumed == {None: "assumes independent images", "a": None, "b": assumed[None]}
    refused = error_of(xprobe(*fast, "--require-lineage"))
    assert "10 of 20 synthetic images name no real image" in refused
