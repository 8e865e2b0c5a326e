"""How long work is shown, whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""``with progress("embed hog", total) as advance: … advance(n)``: how long work is shown."""


@contextmanager
def no_progress(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    """Show nothing."""
    yield lambda _n: None
