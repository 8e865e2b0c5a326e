"""Reading the JSON of a service, which may be anything: what is missing is missing, no error."""

from __future__ import annotations

import msgspec

from xprobe.generation.base import LostError


def read_json(body: bytes) -> object:
    """Return the document that a body holds; None: it holds none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def part(document: object, *path: str | int) -> object:
    """Return what stands in a document under these names and numbers; None: nothing does."""
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and step < len(document):
            document = document[step]
        else:
            return None
    return document


def text(document: object, *path: str | int) -> str:
    """Return the text that stands there; empty: none does."""
    value = part(document, *path)
    return value if isinstance(value, str) else ""


def items(document: object, *path: str | int) -> list[object]:
    """Return the list that stands there; empty: none does."""
    value = part(document, *path)
    return value if isinstance(value, list) else []


def count(document: object, *path: str | int) -> int:
    """Return the count that stands there, such as one of tokens; 0: none does."""
    value = part(document, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def dollars(document: object, *path: str | int) -> float | None:
    """Return the sum that stands there; None: none does, or no sum."""
    value = part(document, *path)
    is_sum = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
    return float(value) if is_sum else None  # type: ignore[arg-type]  # seen the line before


def content_of(encoded: str) -> bytes:
    """Return the bytes that a text in base64 holds, of either alphabet.

    Raises:
        LostError: it is none, such as one that was cut.
    """
    for line in (encoded, encoded.replace("-", "+").replace("_", "/")):
        try:
            return msgspec.convert(line, bytes)  # four times as fast as binascii
        except msgspec.ValidationError:
            continue
    raise LostError("the image of the answer is cut or broken: it is no base64")
