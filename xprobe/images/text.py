"""Files of text that people and other tools write: tables and lists, in the usual encodings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from xprobe.base.errors import XprobeError


def read_text(file: Path) -> str:
    """Return a file as text: UTF-8, or UTF-16 and UTF-32, with a byte order mark or without.

    Raises:
        XprobeError: the text is in another encoding.
    """
    content = file.read_bytes()
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "replace")
        line = unified(before).count("\n") + 1
        raise XprobeError(
            f"{file}, line {line}: byte {content[error.start]:#04x} is no text in UTF-8; save the "
            f"file as UTF-8, which spreadsheets call 'CSV UTF-8'"
        ) from error


def unified(text: str) -> str:
    """Return a text whose lines end in one character, whichever system wrote them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_of(file: Path) -> Iterator[str]:
    """Yield the lines of a text as they are needed, in the encodings of `read_text`.

    Bytes that are no UTF-8 are kept as `os.fsdecode` keeps them, since file names may hold them.
    """
    with file.open("rb") as stream:
        encoding = json.detect_encoding(stream.read(4))
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    with file.open(encoding=encoding, errors=errors) as lines:
        for line in lines:
            yield line.rstrip("\n")
