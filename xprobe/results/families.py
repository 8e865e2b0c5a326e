"""Families of comparisons: what may be claimed when several are looked through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from xprobe.base.documents import Document, Number
from xprobe.encoders.names import short_name
from xprobe.results.rows import Result, family_kind


class FamilyName(NamedTuple):
    """Which family a row is of; alternatives to synthetic images have no generator."""

    encoder: str
    generator: str | None
    head: str
    real_fraction: Number
    train_per_class: int | None
    setting: str


class Family(Document, frozen=True, kw_only=True):
    """All comparisons of one family.

    Attributes:
        encoder, generator, head, real_fraction, train_per_class: what they share.
        alias: short name of the encoder.
        setting: ``mix``, ``synthetic-only`` or ``alternatives`` (`rows.family_kind`).
        comparisons: how many there are.
        p_smallest: the smallest adjusted p of them.
        p_study_wide: the smallest study-wide p of them; None outside of the set of mixes over which
            it is computed.
    """

    encoder: str
    alias: str = ""
    generator: str | None
    head: str
    real_fraction: Number
    train_per_class: int | None
    setting: str
    comparisons: int
    p_smallest: Number
    p_study_wide: Number | None

    @property
    def title(self) -> str:
        """What the encoder is called where people read."""
        return self.alias or short_name(self.encoder)


def family_of(row: Result) -> FamilyName:
    """Return which family a row is of.

    A mix with an augmentation is an alternative: it is compared with other alternatives, and not
    with the other mixes of its generator.
    """
    kind = family_kind(row.setting, row.augment)
    generator = None if kind == "alternatives" else row.generator
    return FamilyName(
        row.encoder, generator, row.head, row.real_fraction, row.train_per_class, kind
    )


def families(rows: Iterable[Result]) -> list[Family]:
    """Return every family of comparisons among the results of all studies."""
    by_name: dict[FamilyName, list[Result]] = {}
    for row in rows:
        if row.p_adjusted is not None:
            by_name.setdefault(family_of(row), []).append(row)
    return [
        Family(
            **name._asdict(),
            alias=members[0].alias,
            comparisons=len(members),
            p_smallest=min(row.p_adjusted for row in members if row.p_adjusted is not None),
            p_study_wide=min(
                (row.p_study_wide for row in members if row.p_study_wide is not None), default=None
            ),
        )
        for name, members in by_name.items()
    ]
