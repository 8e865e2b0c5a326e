"""A finished figure, and the names of its files; nothing here loads matplotlib."""

from __future__ import annotations

import base64
import re
import unicodedata
from dataclasses import dataclass

MARK = "xprobe report"
"""The metadata of every figure hold this, by which a later report knows what it may delete."""

# File systems take 255 bytes, of which a suffix and what programs add to a name need some.
_MOST_BYTES = 120

# No file on Windows may be called so, whatever its suffix.
_DEVICE = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]", re.IGNORECASE)

_JOINERS = "\u200c\u200d"  # They part or join letters of a word, and are not seen.


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
    """Hands out file stems that are safe on every file system, and none of them twice.

    No two are alike up to case and the form of letters either, which some file systems ignore.
    """

    def __init__(self) -> None:
        self.given: set[str] = set()

    def new(self, text: str) -> str:
        """Return a stem for a title: its letters and digits of any script, and dashes."""
        stem, ending, number = _stem(text), "", 1
        while _alike(name := _cut(stem, _MOST_BYTES - len(ending)) + ending) in self.given:
            number += 1
            ending = f"-{number}"
        self.given.add(_alike(name))
        return name


def _stem(text: str) -> str:
    """Return what of a title may stand in the name of a file."""
    kept = [_kept(c) for c in unicodedata.normalize("NFC", text)]
    stem = re.sub("-+", "-", "".join(kept)).strip("-.") or "figure"
    return f"figure-{stem}" if _DEVICE.fullmatch(stem.partition(".")[0]) else stem


def _kept(character: str) -> str:
    """Return a letter, its marks, a digit, a dot or ``_`` as it is, and others as a dash.

    Characters that only join or part letters, and are not seen, are left out.
    """
    if character in "._" or unicodedata.category(character)[0] in "LMN":
        return character
    return "" if character in _JOINERS else "-"


def _cut(stem: str, most: int) -> str:
    """Return the beginning of a stem that has no more bytes, without half a character."""
    return stem.encode()[:most].decode(errors="ignore").rstrip("-.")


def _alike(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
