"""Files of text that people and other tools write: tables and lists, in the usual encodings."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from xprobe.base.errors import XprobeError

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def _encoding_of(start: bytes) -> str:
    """Return the encoding of a text from its first four bytes, UTF-8 unless they say another."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    # Every second byte of UTF-16 is zero where a text begins with ASCII, as paths and headers do.
    zeros = [not byte for byte in start[:4]]
    if zeros == [False, True] * 2:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False] * 2 else "utf-8"


def read_text(file: Path) -> str:
    """Return a file as text: UTF-8 or UTF-16, with a byte order mark or without.

    Raises:
        XprobeError: the text is in another encoding.
    """
    content = file.read_bytes()
    encoding = _encoding_of(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "replace")
        line = unified(before).count("\n") + 1
        raise XprobeError(
            f"{file}, line {line}: byte {content[error.start]:#04x} is no text in UTF-8; save the "
            f"file as UTF-8, which spreadsheets call 'CSV UTF-8'"
        ) from error


def start_of(file: Path, size: int) -> str:
    """Return what the first `size` bytes of a file hold as text; other bytes are left out.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        content = stream.read(size)
    return content.decode(_encoding_of(content), "ignore")


def unified(text: str) -> str:
    """Return a text whose lines end in one character, whichever system wrote them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_of(file: Path) -> Iterator[str]:
    """Yield the lines of a text as they are needed, in the encodings of `read_text`.

    Bytes that are no UTF-8 are kept as `os.fsdecode` keeps them, since file names may hold them.
    """
    with file.open("rb") as stream:
        encoding = _encoding_of(stream.read(4))
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    with file.open(encoding=encoding, errors=errors) as lines:
        for line in lines:
            yield line.rstrip("\n")


def is_encodable(text: str) -> bool:
    """Return whether a text can be written as UTF-8, unlike halves of characters of UTF-16."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_whole(text: str) -> bool:
    """Return whether a text can stand in any table: it is encodable, and has no NUL in it."""
    return "\0" not in text and is_encodable(text)
