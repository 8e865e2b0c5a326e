"""Generators that were trained on events that are tested (column ``trained_on``): what is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xprobe.base.arrays import Strings
from xprobe.base.documents import Document
from xprobe.base.errors import XprobeError, counted
from xprobe.design import lineage
from xprobe.design.folds import Fold
from xprobe.images.manifest import Manifest


class Left(Document, frozen=True, kw_only=True):
    """What is left of a generator's images where some show events that it was trained on.

    Attributes:
        generator: its name.
        images: how many images it has.
        least, most: how many of them are left in the folds with the fewest, and with the most.
        folds: how many folds there are.
        empty: in how many of them images of fewer than two classes are left, so that nothing can
            be learned from them.
    """

    generator: str
    images: int
    least: int
    most: int
    folds: int
    empty: int

    @property
    def words(self) -> str:
        """How many are left, in one sentence."""
        some = f"{self.least:,}" if self.least == self.most else f"{self.least:,} to {self.most:,}"
        count = "none" if not self.most else some
        return (
            f"generator {self.generator} was trained on events that are tested (column "
            f"trained_on): of its {counted(self.images, 'image', 'images')} {count} "
            f"{'is' if count == '1' else 'are'} left to train on{' in a fold' * (self.folds > 1)}"
        )


def left_of(synthetic: Manifest, sources: Manifest, tested: Sequence[Strings]) -> tuple[Left, ...]:
    """Return what is left of each generator that has seen an event of a test part.

    Args:
        synthetic: the synthetic images.
        sources: all real images, whose columns group and event say what is tested.
        tested: the groups of the test part of each fold.
    """
    if not any(synthetic.column("trained_on")):
        return ()
    rows = []
    for name in sorted(set(synthetic.generator)):
        images = synthetic.select(synthetic.generator == name)
        known = lineage.trace(images, sources)
        if not any(known.trained_with(groups).any() for groups in tested):
            continue
        allowed = [known.allowed(groups) for groups in tested]
        counts = [int(mask.sum()) for mask in allowed]
        empty = sum(len(set(images.label[mask])) < 2 for mask in allowed)
        rows.append(
            Left(
                generator=name, images=len(images), least=min(counts), most=max(counts),
                folds=len(tested), empty=empty,
            )
        )  # fmt: skip
    return tuple(rows)


def groups_tested(all_folds: Sequence[Fold], real: Manifest) -> list[Strings]:
    """Return the groups of the test part of each different fold; `real` holds what is tested."""
    group_of = dict(zip(real.id, real.group, strict=True))
    parts = dict.fromkeys(
        tuple(sorted({group_of[id_] for id_ in fold.test_real})) for fold in all_folds
    )
    return [np.array(groups, dtype=object) for groups in parts]


def check_left(left: Sequence[Left]) -> None:
    """Refuse generators of which a fold has no images left that anything can be learned from.

    Raises:
        XprobeError: there are such generators.
    """
    refused = [row for row in left if row.empty]
    if not refused:
        return
    shown = "; ".join(
        row.words
        + f", and nothing can be learned from them in {row.empty} of {row.folds} folds"
        * (row.most > 0)
        for row in refused[:3]
    )
    more = f"; and {len(refused) - 3} more generators" if len(refused) > 3 else ""
    raise XprobeError(
        f"{shown}{more}; test on events that it has not seen, leave it out (--generator names the "
        f"others), or see how large the leak is with --ignore-lineage"
    )


def unchecked_warnings(synthetic: Manifest, real: Manifest) -> list[str]:
    """Return a warning of real images without an event, which nobody can say were not seen."""
    n = int((synthetic.column("trained_on").astype(str) != "").sum())
    is_studied = (real.split == "train") | (real.split == "test")
    lacking = int((real.column("event")[is_studied].astype(str) == "").sum())
    if not n or not lacking:
        return []
    who = f"{lacking} of {is_studied.sum()} real images have no event"
    if lacking == is_studied.sum():
        who = "no real image has an event"
    return [
        f"{who} (column event): whether what made "
        f"{counted(n, 'synthetic image has', 'synthetic images have')} seen them (column "
        f"trained_on) cannot be checked; name the event of every real image"
    ]
