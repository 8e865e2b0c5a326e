"""What a run of requests is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xprobe.generation.base import Answer, Parameter, Provider, Request
from xprobe.generation.plan import Order


@dataclass(frozen=True)
class Job:
    """Who makes the images of a run, where they go, and what they may cost.

    Attributes:
        folder: folder of the images, their table and their ledger.
        hosts: hosts that requests go to; empty: nothing leaves this machine, and nothing is paid.
        provider: who makes them; None where there is nothing to be made.
        maker: names of the provider and of the model.
        generator: what the images are called.
        parameters: what is asked beside the prompt.
        expected: what an order is expected to cost, in dollars; None: not known.
        cost_of: what the answer to a request cost, in dollars; None: not known.
        max_cost: dollars that the images of the folder may cost in all; None: no limit.
        concurrency: how many requests are under way at once.
        secret: the key that the provider is asked with, which nothing that is written may hold.
        watermark, terms: as in `ledger.Sent`.
    """

    folder: Path
    hosts: tuple[str, ...]
    provider: Provider | None
    maker: tuple[str, str]
    generator: str
    parameters: Mapping[str, Parameter]
    expected: Callable[[Order], float | None] = lambda _order: None
    cost_of: Callable[[Request, Answer], float | None] = lambda _request, answer: answer.cost
    max_cost: float | None = None
    concurrency: int = 8
    secret: str = field(default="", repr=False)
    watermark: str = ""
    terms: str = ""


@dataclass(frozen=True)
class Failure:
    """An image that there is not.

    Attributes:
        order: what was asked for.
        state: ``refused``, ``paid-unknown`` or ``not-made`` as in `ledger.State`; ``waiting`` for a
            person; or ``unreadable``, as its source is.
        words: why, in the provider's words where it says.
    """

    order: Order
    state: str
    words: str


@dataclass(frozen=True)
class Outcome:
    """What a run did, and what there is after it.

    Attributes:
        already: how many of the images there were before it.
        created: how many it made.
        gone: how many of those there were before are no longer in the folder.
        failures: the images that there are not, in the order of the plan.
        spent: dollars that the requests of the folder cost in all, as far as is known.
        stopped: why the run ended before all were asked for; empty: it did not.
        remarks: what is odd about images that were kept, in words → of how many.
    """

    already: int
    created: int
    gone: int
    failures: tuple[Failure, ...]
    spent: float
    stopped: str
    remarks: Mapping[str, int]

    def count(self, state: str) -> int:
        """Return how many images there are not for this reason."""
        return sum(failure.state == state for failure in self.failures)
