"""How far mixes that were compared in pairs are from the best of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from xprobe.report.words import points, span
from xprobe.results.rows import MixComparison


class Gap(NamedTuple):
    """The accuracy of a mix less that of the best, with the interval that holds for all pairs."""

    difference: float
    low: float
    high: float

    @property
    def is_worse(self) -> bool:
        """Whether it is shown to be worse than the best."""
        return self.high < 0

    @property
    def words(self) -> str:
        """The difference as people read it: ``−1.0 points [−3.0, +1.0]``."""
        return f"{points(self.difference)} points {span(self.low, self.high)}"


BEST = Gap(0.0, 0.0, 0.0)
"""The gap of the best to itself."""


def gaps_to_best(value: Mapping[str, float], rows: Iterable[MixComparison]) -> dict[str, Gap]:
    """Return the gap of each mix that was compared with the best, and `BEST` of the best itself.

    Args:
        value: the accuracy of each mix by its name; of equal ones the first is the best.
        rows: their comparisons in pairs.
    """
    best = max(value, key=lambda name: value[name])
    gaps = {best: BEST}
    for row in rows:
        if row.against == best and row.subject in value:
            gaps[row.subject] = Gap(row.difference, row.low, row.high)
        elif row.subject == best and row.against in value:
            gaps[row.against] = Gap(-row.difference, -row.high, -row.low)
    return {name: gaps[name] for name in value if name in gaps}
