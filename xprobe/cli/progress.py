"""Progress of long work, which is shown on stderr if that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from xprobe.base.visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


@cache
def _console() -> Console:
    """Return the console on stderr that shows progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def busy(what: str) -> AbstractContextManager[object]:
    """Show that something goes on, if stderr is a terminal."""
    console = _console()
    return console.status(_text(f"{what} …")) if console.is_terminal else nullcontext()


def _text(words: str) -> Text:
    """Return words as they are: as text, a bracket in a name would be taken for markup."""
    from rich.text import Text

    return Text(visible(words))


@contextmanager
def bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left on stderr, if that is a terminal and there is work.

    A `total` of None says that nobody knows how much work there is.
    """
    console = _console()
    if not console.is_terminal or total == 0:
        yield lambda _n: None
        return
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

    description = TextColumn("{task.description}", markup=False)
    columns = (description, BarColumn(), MofNCompleteColumn(), Rate(""))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as shown:
        task = shown.add_task(visible(title), total=total)
        yield lambda n: shown.advance(task, n)
