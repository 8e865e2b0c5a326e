"""What commands print: results on stdout, warnings on stderr.

Every line goes through `Lines.print`, which writes out what a terminal would obey
(`base.visible`), so that no name of a file and no message of a library reaches it raw.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xprobe.base.visible import visible, visible_json

if TYPE_CHECKING:
    from xprobe.base.documents import Document
    from xprobe.cli.sheets import Sheet

PIPE_WIDTH = 160  # columns of a table in a file or a pipe, which has no width to fit into

CLOSED_PIPE = 141  # the exit status of a command whose reader has gone, as shells count it

# Signs of our own that an encoding may lack → how they are written there. None has a letter or a
# digit, which would read as part of the word or number beside it.
_SPELLED = {
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-", "\N{MULTIPLICATION SIGN}": "*",
    "\N{MIDDLE DOT}": "|", "\N{PLUS-MINUS SIGN}": "+/- ", "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{RIGHTWARDS ARROW}": "->",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip

_SPELLING = "xprobe.spelling"

_HANGING = "  "  # begins the further lines of a sentence


class Lines:
    """A standard stream that lines are printed to."""

    def __init__(self, name: str) -> None:
        self.name = name

    def print(self, *lines: str) -> None:
        """Print each text as a line of its own, whatever it holds."""
        self.write("".join(f"{visible(line)}\n" for line in lines))

    def say(self, *sentences: str) -> None:
        """Print each sentence on a line of its own; a terminal gets long ones wrapped."""
        if getattr(sys, self.name).isatty():
            width = shutil.get_terminal_size((PIPE_WIDTH, 0)).columns
            sentences = tuple(_broken(visible(text), width) for text in sentences)
            self.write("".join(f"{text}\n" for text in sentences))
        else:
            self.print(*sentences)

    def write(self, text: str) -> None:
        """Write text as it is.

        Raises:
            OSError: it cannot be written. If nobody reads any more, the command ends quietly.
        """
        stream = getattr(sys, self.name)
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            _write_nowhere(stream)  # What is left to be written would fail again when Python ends.
            if isinstance(error, BrokenPipeError):
                sys.exit(CLOSED_PIPE)
            raise


out, err = Lines("stdout"), Lines("stderr")


def _broken(text: str, width: int) -> str:
    """Return text wrapped to a width in cells; a longer word, such as a path, stays whole."""
    from rich.cells import cell_len

    lines: list[str] = []
    for word in text.split(" "):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{_HANGING if lines else ''}{word}")
    return "\n".join(lines)


class Notes:
    """What a command says beside its result and its warnings.

    Attributes:
        wanted: whether it says that, and shows progress; ``--quiet`` sets it for each command.
    """

    def __init__(self) -> None:
        self.wanted = True

    def print(self, *lines: str) -> None:
        """Print each text as a line of stdout, if notes are wanted."""
        if self.wanted:
            out.say(*lines)


notes = Notes()


def prepare_streams() -> None:
    """Let the standard streams take any text, whatever their encoding is and if they are closed."""
    codecs.register_error(_SPELLING, _spell)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open_nowhere(number)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_SPELLING)


def _open_nowhere(number: int) -> None:
    """Open the null device as a file descriptor that is closed; a file would get its number."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)


def _write_nowhere(stream: io.TextIOWrapper) -> None:
    """Let a stream that cannot be written lead to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write characters that an encoding lacks in others: by `_SPELLED`, or as escapes."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    signs = (_SPELLED.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(signs), error.end


def print_json(document: Document) -> None:
    """Print a document on one line, in ASCII where the stream cannot hold any text."""
    from xprobe.base import documents

    is_ascii = not codecs.lookup(sys.stdout.encoding).name.startswith("utf")
    text = json.dumps(documents.to_json(document), ensure_ascii=is_ascii, allow_nan=False)
    out.write(f"{visible_json(text)}\n")


def duration(seconds: float) -> str:
    """Return a time as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def print_table(sheet: Sheet) -> None:
    """Print a table in the width of the terminal, and say which columns found no room."""
    from xprobe.cli.sheets import draw

    width = shutil.get_terminal_size((PIPE_WIDTH, 0)).columns
    drawn = draw(sheet, width)
    out.print(*drawn.lines)
    if drawn.left_out:
        names = ", ".join(drawn.left_out)
        notes.print(f"no room in {width} columns: {names}; a wider terminal and --json have it", "")


_said: set[str] = set()
"""The warnings and notes that a command has printed."""


def warn(warnings: Sequence[str]) -> None:
    """Print what the user should know, each text once in a command."""
    err.say(*(f"warning: {text}" for text in _not_said(warnings)))


def tell(texts: Sequence[str]) -> None:
    """Print on stderr how input was understood, each text once, if notes are wanted."""
    if notes.wanted:
        err.say(*_not_said(texts))


def _not_said(texts: Sequence[str]) -> list[str]:
    new = [text for text in dict.fromkeys(texts) if text not in _said]
    _said.update(new)
    return new


def forget_warnings() -> None:
    """Forget the warnings that were printed, as a new command begins."""
    _said.clear()
