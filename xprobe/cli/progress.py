"""Progress of long work on stderr: bars in a terminal, elsewhere a line a minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from xprobe.base.progress import Advance
from xprobe.base.visible import visible
from xprobe.cli.printing import duration, err, notes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

BEAT_S = 60.0
"""Seconds between two lines where stderr is no terminal; work that is done before has none."""

# Cells of a bar, at most and at least; its title gives way first. What stands behind a bar takes
# at most so many beside the count: a rate such as 12345.6/s, the time left, and what lies between.
WIDE_BAR, NARROW_BAR, BEHIND_BAR = 40, 10, 21


@cache
def _console() -> Console:
    """Return the console on stderr that shows progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show that something goes on, unless the command is to be quiet."""
    if not notes.wanted:
        yield
    elif _console().is_terminal:
        with _console().status(_text(f"{what} …")):
            yield
    else:
        with _beating(_Work(what, None)):
            yield


def _text(words: str) -> Text:
    """Return words as they are: as text, a bracket in a name would be taken for markup."""
    from rich.text import Text

    return Text(visible(words))


@contextmanager
def bar(title: str, total: int | None) -> Iterator[Advance]:
    """Show how far work is, with rate and time left, if there is any and nobody asked for quiet.

    A `total` of None says that nobody knows how much work there is.
    """
    if total == 0 or not notes.wanted:
        yield lambda _n, _words="": None
    elif _console().is_terminal:
        with _drawn_bar(title, total) as advance:
            yield advance
    else:
        work = _Work(title, total)
        with _beating(work):
            yield work.advance


@contextmanager
def _drawn_bar(title: str, total: int | None) -> Iterator[Advance]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )

    class Rate(TextColumn):
        def render(self, task: Task) -> Any:
            self.text_format = f"{task.speed:.1f}/s" if task.speed else "–/s"
            return super().render(task)

    words, bar_width = laid_out(visible(title), total, _console().width)
    description = TextColumn("{task.description}", markup=False)
    further = TextColumn("{task.fields[further]}", markup=False)
    columns = (description, BarColumn(bar_width), MofNCompleteColumn(), Rate(""))
    behind = (TimeRemainingColumn(), further)
    with Progress(*columns, *behind, console=_console(), transient=True) as shown:
        task = shown.add_task(words, total=total, further="")

        def advance(n: int, words: str = "", /) -> None:
            shown.update(task, advance=n, further=visible(words))

        yield advance


def laid_out(title: str, total: int | None, width: int) -> tuple[str, int]:
    """Return title and cells of a bar that leave room for count, rate and time in a terminal.

    The bar gives way first, then the middle of the title is left out.
    """
    from rich.cells import cell_len

    from xprobe.cli.sheets import shortened

    count = 2 * len(str(total or 0)) + 1
    room = max(width - count - BEHIND_BAR, 2 * NARROW_BAR)
    words = shortened(title, room - NARROW_BAR)
    return words, min(WIDE_BAR, room - cell_len(words))


class _Work:
    """How far some work is."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title, self.total, self.done, self.start = title, total, 0, monotonic()
        self.words = ""

    def advance(self, n: int, words: str = "", /) -> None:
        self.done += n
        self.words = words

    def line(self) -> str:
        """Return how far it is, in words."""
        seconds = monotonic() - self.start
        so_far = f"{duration(seconds)} so far"
        if not self.done:
            return f"{self.title}: {so_far}"
        rate = self.done / seconds
        further = f", {self.words}" if self.words else ""
        if self.total is None:
            return f"{self.title}: {self.done:,} ({rate:.3g}/s, {so_far}{further})"
        left = duration(max(0, self.total - self.done) / rate)
        return (
            f"{self.title}: {self.done:,} of {self.total:,} ({rate:.3g}/s, about {left} left"
            f"{further})"
        )


@contextmanager
def _beating(work: _Work) -> Iterator[None]:
    """Print a line about some work again and again until it ends."""
    ended = Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            err.print(work.line())

    # A daemon: Python ends without it, whatever happens to the work.
    thread = Thread(target=beat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
