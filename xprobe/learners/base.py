"""What a head is."""

from __future__ import annotations

from typing import Protocol

from xprobe.learners.problem import (
    Fit,
    Problem,
)


class Head(Protocol):
    """Solves problems on the pool that it was made with."""

    def solve(self, problem: Problem) -> Fit:
        """Choose, fit, score."""
        ...
