"""Where keys and images may travel to."""

from __future__ import annotations

import pytest

from xprobe.base.errors import OptionError
from xprobe.generation.addresses import checked, is_loopback


def test_this_machine_is_known_by_its_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("10.0.0.1", "0.0.0.0", "127.0.0.1.org", "localhost.org", "")))


@pytest.mark.parametrize("url", ["https://example.org/v1", "http://127.0.0.1:8000", "http://[::1]"])
def test_https_and_this_machine_are_taken(url: str) -> None:
    assert checked(url).geturl() == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.org", "plain http"), ("ftp://example.org", "is no address"),
        ("https://", "is no address"), ("https://example.org:0x", "is no address"),
        ("https://user:secret@example.org", "holds a user or password"),
    ],
)  # fmt: skip
def test_others_are_refused_without_what_they_hold(url: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        checked(url)
    assert "secret" not in str(caught.value)
