"""Progress of long work: the work reports it, and its caller decides how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Counts steps of some work, and may say in a few words what else there is to know of it."""

    def __call__(self, n: int, words: str = "", /) -> None: ...


Progress = Callable[[str, int | None], AbstractContextManager[Advance]]
"""A function for ``with progress("embed hog", total) as advance: … advance(n)``.

It takes a title and the number of steps, or None if that is not known.
"""


@contextmanager
def no_progress(_title: str, _total: int | None) -> Iterator[Advance]:
    """Show no progress."""
    yield lambda _n, _words="": None
