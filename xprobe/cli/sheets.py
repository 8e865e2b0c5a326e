"""Tables of text for a terminal of any width, in which no number is ever broken.

What is too wide loses, in this order: the middle of long names, the columns that can be spared, and
then its shape: columns that do not fit beside the first one follow in a table of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

GAP = 2  # blanks between columns

MOST_LINES = 4  # of a cell; a column is never so narrow that one needs more

# Words are shortened to so many cells before any column is left out, and after that.
LONG_WORD, SHORT_WORD = 24, 16

# An interval stays on the line of the number that it is of, as in "+5.0 [+3.0, +7.0]".
_PIECE = re.compile(r"(?:(?:[^ ]+ )?\[[^\[\]]*\](?![^ ])|[<≤≥] [^ ]+|[^ ]+) *")

_NUMBER = re.compile(r"–|[<≤≥]? ?[-+−±]?[\d.,]+(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Sheet:
    """A table of visible text that is laid out when the width of the terminal is known.

    Attributes:
        title: what the rows are.
        columns: the headings.
        rows: the cells, text for each column.
        spare: headings of the columns that a narrow terminal goes without, the least important one
            first.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    spare: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """A table as lines of text.

    Attributes:
        lines: title, headings, a rule and rows, no line wider than the terminal.
        left_out: headings of the columns that found no room.
    """

    lines: tuple[str, ...]
    left_out: tuple[str, ...]


def shortened(text: str, cells: int) -> str:
    """Return text of at most so many cells of a terminal, if need be without its middle.

    ``timm:tf_efficientnet_lite0/weights/lite0.safetensors`` becomes ``timm:tf_eff…fetensors``.
    """
    if cell_len(text) <= cells:
        return text
    start, end = text, text
    while cell_len(start) > cells // 2:
        start = start[:-1]
    while cell_len(end) > cells - 1 - cells // 2:
        end = end[1:]
    return f"{start}…{end}"


def draw(sheet: Sheet, width: int) -> Drawn:
    """Lay out a table in so many cells a line."""
    kept = list(range(len(sheet.columns)))
    left_out: list[str] = []
    columns = _columns(sheet, _whole)
    if not _fit(columns, width):
        columns = _columns(sheet, _cut(LONG_WORD))
    spare = [name for name in sheet.spare if name in sheet.columns]
    while not _fit([columns[i] for i in kept], width) and spare:
        left_out.append(spare.pop(0))
        kept.remove(sheet.columns.index(left_out[-1]))
    if not _fit([columns[i] for i in kept], width):
        columns = _columns(sheet, _cut(SHORT_WORD))
    lines = _wrapped(_pieces(sheet.title), width)
    for part in _parts([columns[i] for i in kept], width):
        lines += [*_drawn(part, width), ""]
    in_order = [name for name in sheet.columns if name in left_out]
    return Drawn(tuple(line.rstrip() for line in lines), tuple(in_order))


class _Column:
    """A column: its heading and cells in pieces that no line divides, each with what follows it."""

    def __init__(self, heading: str, cells: Sequence[str], cut: Callable[[str], str]) -> None:
        words = [cut(piece) for piece in _pieces(heading)]
        self.heading = re.findall(r"[^ -]*-|[^ -]+ *", "".join(words))
        self.cells = [[cut(piece) for piece in _pieces(cell)] for cell in cells]
        self.is_number = all(_NUMBER.fullmatch(cell) for cell in cells)
        texts = [self.heading, *self.cells]
        self.full = max(cell_len(_joined(text)) for text in texts)
        self.least = max(map(_least, texts))

    def heading_lines(self, width: int) -> list[str]:
        return _wrapped(self.heading, width)

    def lines(self, row: int, width: int) -> list[str]:
        return _wrapped(self.cells[row], width)


def _columns(sheet: Sheet, cut: Callable[[str], str]) -> list[_Column]:
    return [
        _Column(name, [row[i] for row in sheet.rows], cut) for i, name in enumerate(sheet.columns)
    ]


def _whole(piece: str) -> str:
    return piece


def _cut(cells: int) -> Callable[[str], str]:
    """Return a function that shortens words, and leaves numbers and intervals as they are."""

    def cut(piece: str) -> str:
        is_word = any(letter.isalpha() for letter in piece) and "[" not in piece
        return _shortened(piece, cells) if is_word else piece

    return cut


def _shortened(piece: str, cells: int) -> str:
    return shortened(piece.rstrip(), cells) + piece[len(piece.rstrip()) :]


def _pieces(text: str) -> list[str]:
    return _PIECE.findall(text.strip(" "))


def _joined(pieces: Sequence[str]) -> str:
    return "".join(pieces).rstrip()


def _wrapped(pieces: Sequence[str], width: int) -> list[str]:
    """Return pieces of text wrapped into lines no wider than `width` terminal cells.

    A single piece that is wider is shortened in its middle.
    """
    lines: list[list[str]] = [[]]
    for piece in pieces:
        if lines[-1] and cell_len(_joined([*lines[-1], piece])) > width:
            lines.append([])
        lines[-1].append(_shortened(piece, width))
    return [_joined(line) for line in lines]


def _least(pieces: Sequence[str]) -> int:
    """Return the least width at which pieces stay whole, and need no more than `MOST_LINES`."""
    width = max((cell_len(piece.rstrip()) for piece in pieces), default=0)
    while len(_wrapped(pieces, width)) > MOST_LINES:
        width += 1
    return width


def _room(columns: Sequence[_Column], width: int) -> int:
    """Return how many cells there are for what stands in columns."""
    return width - GAP * (len(columns) - 1)


def _fit(columns: Sequence[_Column], width: int) -> bool:
    return sum(column.least for column in columns) <= _room(columns, width)


def _parts(columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    """Yield the columns that stand beside each other, each time behind the first one."""
    first, *others = columns
    part = [first]
    for column in others:
        if len(part) > 1 and not _fit([*part, column], width):
            yield part
            part = [first]
        part.append(column)
    yield part


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """Return the widths of columns: the widest ones give way until all fit, to their least."""
    room = _room(columns, width)
    for most in range(max(column.full for column in columns), 0, -1):
        widths = [max(column.least, min(column.full, most)) for column in columns]
        if sum(widths) <= room:
            return widths
    share = max(1, room // len(columns))  # The terminal has no room for two columns.
    return [min(column.least, share) for column in columns]


def _drawn(columns: Sequence[_Column], width: int) -> Iterator[str]:
    widths = _widths(columns, width)
    pairs = list(zip(columns, widths, strict=True))
    yield from _row([(c, w, c.heading_lines(w)) for c, w in pairs])
    yield (" " * GAP).join("─" * w for w in widths)
    for i in range(len(columns[0].cells)):
        yield from _row([(c, w, c.lines(i, w)) for c, w in pairs])


def _row(cells: Sequence[tuple[_Column, int, list[str]]]) -> Iterator[str]:
    """Yield the lines of a row: of each cell its column, its width and its lines."""
    for i in range(max(len(lines) for _, _, lines in cells)):
        texts = []
        for column, width, lines in cells:
            text = lines[i] if i < len(lines) else ""
            blank = " " * max(0, width - cell_len(text))
            texts.append(blank + text if column.is_number else text + blank)
        yield (" " * GAP).join(texts)
