"""Words of a provider as they may be shown and kept: one line, not long, without the secret key."""

from __future__ import annotations

import re
from urllib.parse import unquote

MOST_CHARACTERS = 300

_KEY = "[key]"

# A service may repeat a part of the key in an error. Any part of this many characters is removed.
_SHARED = 6

# A word, as a key is one: visible ASCII without a space.
_WORD = re.compile(r"[!-~]+")

# How keys of services begin, and how a service shows one that it hides: `sk-ab***cd`.
_LOOKS_LIKE_KEY = re.compile(r"\b(sk|pk|rk)-|\bAIza|\bya29\.|\bAQ\.|\w\*{3,}|\*{3,}\w")


def cleaned(text: str, key: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text on one line and cut, every word replaced that shows the key or looks like one.

    Args:
        text: anything that a service or its library says.
        key: the secret key; empty: there is none.
        most: characters that are kept.
    """
    # Whatever echoes a whole image is cut before it is searched; a key is no longer than the rest.
    line = " ".join(text[: 4 * most + 1000].split())
    line = _WORD.sub(lambda word: _KEY if _shows(word.group(), key) else word.group(), line)
    return line if len(line) <= most else f"{line[:most]}…"


def _shows(word: str, key: str) -> bool:
    readings = {word, unquote(word)}
    parts = {key[i : i + _SHARED] for i in range(max(1, len(key) - _SHARED + 1))} - {""}
    return any(
        _LOOKS_LIKE_KEY.search(reading) or any(part in reading for part in parts)
        for reading in readings
    )
