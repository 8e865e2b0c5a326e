"""A provider of images that answers as it is told, for tests of what asks it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xprobe.generation.base import Answer, ListedModel, RefusedError, Request
from xprobe.generation.job import Job
from xprobe.generation.plan import Order, key_of
from xprobe.generation.registry import Access, ProviderKind

Reply = bytes | Answer | Exception | Callable[[], bytes]


def png(number: int = 0, size: tuple[int, int] = (8, 6), kind: str = "PNG") -> bytes:
    """A small picture."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@dataclass
class Scripted:
    """A provider that answers as it is told, by prompt; the last reply of a prompt stays.

    Attributes:
        replies: prompt → its replies in turn; others get a picture.
        asked: the prompts that it was asked for, in order.
    """

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    hosts: tuple[str, ...] = ("example.org",)
    batch: int = 1

    def make(self, requests: Sequence[Request]) -> Sequence[Answer | RefusedError]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer | RefusedError:
        self.asked.append(request.prompt)
        self.requests.append(request)
        script = self.replies.get(request.prompt, [png(len(request.prompt))])
        reply = script.pop(0) if len(script) > 1 else script[0]
        if callable(reply) and not isinstance(reply, Exception):
            reply = reply()
        if isinstance(reply, Exception):
            raise reply
        return Answer(reply, cost=0.01) if isinstance(reply, bytes) else reply

    def models(self) -> Sequence[ListedModel]:
        return [ListedModel("new-model", "$0.02 an image")]


def orders_of(*prompts: str, label: str = "flooding") -> list[Order]:
    """An order of text alone for each prompt."""
    return [
        Order(key_of(("scripted", "m"), prompt, {}, "", 0), prompt, 0, label) for prompt in prompts
    ]


def job_of(provider: Scripted, folder: Path, **fields: Any) -> Job:
    """A job in a folder; each image is expected to cost a cent."""
    usual: dict[str, Any] = {
        "folder": folder, "hosts": provider.hosts, "provider": provider, "maker": ("scripted", "m"),
        "generator": "m", "parameters": {}, "expected": lambda _order: 0.01, "concurrency": 1,
    }  # fmt: skip
    return Job(**usual | fields)


KEY_VARIABLE = "SCRIPTED_KEY"

opened: list[Access] = []
"""What `open_current` was given, the last one at the end."""

current = Scripted()
"""The provider that commands get by the name ``scripted``."""


def open_current(access: Access) -> Scripted:
    """Return the provider of the row ``scripted``."""
    opened.append(access)
    return current


def row() -> ProviderKind:
    """A row of the registry that leads to `current`."""
    return ProviderKind(
        "scripted", "Answers as it is told.", "scripted:open_current", key_variable=KEY_VARIABLE,
        hosts=("example.org",), takes_base_url=True,
    )  # fmt: skip
