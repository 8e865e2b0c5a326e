"""Families of comparisons: what may be claimed when several are looked through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from xprobe.base.documents import Document, Number
from xprobe.results.rows import Result
from xprobe.verdict.family import holm


class FamilyName(NamedTuple):
    """Which family a row is of; alternatives to synthetic images have no generator."""

    encoder: str
    generator: str | None
    head: str
    real_fraction: Number
    train_per_class: int | None


class Family(Document, frozen=True, kw_only=True):
    """All comparisons of one family.

    Attributes:
        encoder, generator, head, real_fraction, train_per_class: its `FamilyName`.
        comparisons: how many there are.
        p_smallest: the smallest adjusted p of them.
        p_study_wide: that p corrected by Holm's method for all families, which is what may be
            claimed if they were looked through for the best.
    """

    encoder: str
    generator: str | None
    head: str
    real_fraction: Number
    train_per_class: int | None
    comparisons: int
    p_smallest: Number
    p_study_wide: Number

    @property
    def name(self) -> FamilyName:
        """The fields that name this family."""
        return FamilyName(
            self.encoder, self.generator, self.head, self.real_fraction, self.train_per_class
        )


def family_of(row: Result) -> FamilyName:
    """Return which family a row is of.

    A mix with an augmentation is an alternative: it is compared with other alternatives, and not
    with the other mixes of its generator.
    """
    generator = None if row.augment else row.generator
    return FamilyName(row.encoder, generator, row.head, row.real_fraction, row.train_per_class)


def families(rows: Iterable[Result]) -> list[Family]:
    """Return every family of comparisons among the results of all studies."""
    p_values: dict[FamilyName, list[Number]] = {}
    for row in rows:
        if row.p_adjusted is not None:
            p_values.setdefault(family_of(row), []).append(row.p_adjusted)
    smallest = [float(min(p)) for p in p_values.values()]
    return [
        Family(**name._asdict(), comparisons=len(p), p_smallest=least, p_study_wide=corrected)
        for (name, p), least, corrected in zip(
            p_values.items(), smallest, holm(smallest), strict=True
        )
    ]
