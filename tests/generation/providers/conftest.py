"""A service on this machine, and the provider that speaks to it by its own SDK."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from generation.server import running
from generation.services import KEY, Service

from xprobe.generation.registry import PROVIDERS, Access


@pytest.fixture(scope="session")
def _services() -> Iterator[Callable[[str, float], Service]]:
    """Services that run until the last test is over: starting each anew would take the time."""
    services: dict[tuple[str, float], Service] = {}
    with ExitStack() as stack:

        def start(name: str, timeout_s: float) -> Service:
            key = name, timeout_s
            if key not in services:
                server = stack.enter_context(running(name))
                access = Access("m-1", Path(), {}, server.url, KEY, timeout_s=timeout_s)
                services[key] = Service(server, PROVIDERS[name].open(access))
            return services[key]

        yield start


@pytest.fixture
def serve(_services: Callable[[str, float], Service]) -> Callable[..., Service]:
    """``serve("openai", timeout_s=5)``: a service, as new, and its provider."""

    def make(name: str, timeout_s: float = 5.0) -> Service:
        service = _services(name, timeout_s)
        service.server.forget()
        return service

    return make


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """An event that comes when the test is over, for answers that do not come before."""
    event = threading.Event()
    yield event
    event.set()
