"""Progress of long work: the work reports it, and its caller decides how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""A function for ``with progress("embed hog", total) as advance: … advance(n)``.

It takes a title and the number of steps, or None if that is not known. ``advance`` counts steps.
"""


@contextmanager
def no_progress(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    """Show no progress."""
    yield lambda _n: None
