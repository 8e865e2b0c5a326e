"""The money of a run: what was spent, what is under way, and where it ends."""

from __future__ import annotations

import threading


class Purse:
    """Counts dollars; several threads may ask it at once.

    Attributes:
        spent: what answers cost, by what the provider or the table of models says.
        most: what may be spent in all; None: no limit.
        under_way: what requests are expected to cost that have no answer yet.
    """

    def __init__(self, most: float | None, spent: float = 0.0) -> None:
        self.most, self.spent = most, spent
        self.under_way = 0.0
        self._lock = threading.Lock()

    def reserve(self, expected: float) -> bool:
        """Set the expected cost of a request aside; False: with it the limit might be passed."""
        with self._lock:
            total = self.spent + self.under_way + expected
            if self.most is not None and total > self.most + 1e-9:
                return False
            self.under_way += expected
            return True

    def settle(self, expected: float, cost: float) -> None:
        """Count what a request cost in place of what was set aside for it."""
        with self._lock:
            self.under_way -= expected
            self.spent += cost
