"""When to ask again: the waiting time of all requests of a run after a provider said *not now*."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TRIES = 6
"""How often a request is tried before the run ends."""

FIRST_S, LONGEST_S = 1.0, 60.0
"""The first waiting time, which doubles with each try, and the longest one of ours."""

PATIENCE_S = 600.0
"""A provider that asks to wait for longer ends the run."""


class Gate:
    """What all requests of a run pass before they leave; it is shut while a provider is to be left
    in peace: a limit on requests holds for all of them.

    Attributes:
        pause: waits so many seconds; true: nobody is to wait any longer.
    """

    def __init__(
        self,
        wait: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what waits so many seconds (as `pause`), and a clock in seconds."""
        self.pause, self._clock = wait, clock
        self._opens = 0.0
        self._lock = threading.Lock()

    def shut(self, seconds: float) -> None:
        """Let nothing pass for so long from now on."""
        with self._lock:
            self._opens = max(self._opens, self._clock() + seconds)

    def wait(self) -> None:
        """Return when requests may pass, or when nobody is to wait any longer."""
        while (left := self._opens - self._clock()) > 0:
            if self.pause(left):
                return


def pause_after(tries: int, after_s: float | None) -> float | None:
    """Return how many seconds to wait after the last of so many tries; None: give up.

    Args:
        tries: how often the request was tried.
        after_s: seconds that the provider asks to wait; None: it does not say.
    """
    if tries >= TRIES or (after_s is not None and after_s > PATIENCE_S):
        return None
    return max(min(LONGEST_S, FIRST_S * 2.0 ** (tries - 1)), after_s or 0.0)
