"""Whether the network may be asked: said in one line, after one connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from xprobe.base import network
from xprobe.base.errors import XprobeError


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a host that accepts connections, and no proxy before it."""
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_host_is_asked_unless_it_must_not_be(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.check_network(address, "x is not on this machine")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(XprobeError, match=r"^x is not on this machine \[offline, as asked\]$"):
        network.check_network(address, "x is not on this machine")


def test_a_host_that_does_not_answer_is_named(address: str) -> None:
    with socket.socket() as deaf:  # It keeps the port from others.
        deaf.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(XprobeError, match=rf"gone \[{closed} cannot be reached\]$"):
            network.check_network(closed, "gone")


def test_a_proxy_is_asked_in_place_of_the_host(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": address})
    assert network.is_reachable("https://host.invalid/x")
