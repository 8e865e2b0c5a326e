"""Where work runs: items in, results out as they finish.

Heads and fine-tunes both run through an `Engine`. An engine of another kind, such as a cluster, is
one more file beside `processes`; the entry points ``xprobe.engines`` are kept for those of other
packages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from xprobe.engine.threads import limited

Item = TypeVar("Item")

Result = TypeVar("Result")

Advance: TypeAlias = Callable[[int], None]
"""A function that is called with how much of an item was done since its last call."""

Work: TypeAlias = Callable[[], Callable[[Item, Advance], Result]]
"""A function that each process calls once; what it returns is then called with every item."""


def ignore(_n: int) -> None:
    """Show nothing of what was done."""


class Engine(Protocol):
    """Runs work."""

    def run(
        self, work: Work[Item, Result], items: Sequence[Item], advance: Advance = ignore
    ) -> Iterator[tuple[int, Result]]:
        """Yield (number of the item, its result) as they end.

        An error of the work ends all of it and is raised here. Closing the iterator ends it, too:
        nothing that it started is left behind.

        Args:
            work: what is done; it and the items may be sent elsewhere by pickle.
            items: what the work is done to, one by one.
            advance: is told what was done of items under way, by engines that see it.
        """
        ...


@dataclass(frozen=True)
class OneByOne:
    """Runs items in this process, one after the other.

    Attributes:
        threads: how many threads linear algebra may use; 0: as many as it is set to.
    """

    threads: int = 0

    def run(
        self, work: Work[Item, Result], items: Sequence[Item], advance: Advance = ignore
    ) -> Iterator[tuple[int, Result]]:
        """Yield as `Engine.run` does, in order."""
        with limited(self.threads):
            function = work()
            for number, item in enumerate(items):
                yield number, function(item, advance)
