"""``xprobe encoders``: what is listed and fetched."""

from __future__ import annotations

from collections.abc import Callable

from makers import Ran, error_of

from xprobe.encoders.load import ENCODERS


def test_fetch_says_what_is_missing_or_that_it_loads(xprobe: Callable[..., Ran]) -> None:
    assert xprobe("encoders", "fetch", "hog", "--json").json["encoders"][0]["dim"] == 420
    assert "did you mean hog" in error_of(xprobe("encoders", "fetch", "hgo"))


def test_every_encoder_is_listed_with_what_the_floors_are_for(xprobe: Callable[..., Ran]) -> None:
    ran = xprobe("encoders")
    assert all(name in ran.out for name in ENCODERS)
    assert "a floor that a learned encoder must beat" in ran.out
