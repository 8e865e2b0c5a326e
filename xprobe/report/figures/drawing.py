"""A finished figure, and the names of its files; nothing here loads matplotlib."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

MARK = "xprobe report"
"""The metadata of every figure hold this, by which a later report knows what it may delete."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A finished figure.

    Attributes:
        name: stem of its files.
        kind: ``matrix``, ``differences``, ``in-place``, ``sizes``, a metric, ``settings``,
            ``classes`` or ``confusion``; of distances ``distance``, ``map`` or ``examples``.
        study: position of its study; None for a figure over all.
        title: what it shows, in words.
        svg, png: its two files.
    """

    name: str
    kind: str
    study: int | None
    title: str
    svg: bytes
    png: bytes

    @property
    def uri(self) -> str:
        """The figure itself as an address, for pages that fetch nothing."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


class Names:
    """Hands out file stems that are safe on every file system, and none of them twice."""

    def __init__(self) -> None:
        self.given: set[str] = set()

    def new(self, text: str) -> str:
        """Return a stem for a title."""
        text = text.replace("1:", "1-").replace("·", "-")
        stem = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:80].rstrip("-.") or "figure"
        name, number = stem, 1
        while name.lower() in self.given:
            number += 1
            name = f"{stem}-{number}"
        self.given.add(name.lower())
        return name
