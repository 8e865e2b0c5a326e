"""What a study trains and how it tests, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from xprobe.base.errors import XprobeError
from xprobe.images.augment import check_augmentation
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.kinds import C_RULES, kind_of
from xprobe.learners.problem import C_GRID


@dataclass(frozen=True)
class SweepConfig:
    """Everything a user may choose about a sweep; the defaults are the protocol.

    Attributes:
        ratios: r of each mix 1:r, synthetic per real training image of the same class.
        per_class: real images of each class to study; None takes all.
        real_fraction: share of the real training images of each fold that is trained on.
        train_per_class: instead of a share, so many of each class.
        folds: largest number of cross-validation folds; None: 5, or the fixed hold-out if there
            is one.
        holdout: share of the real images that is drawn to be a fixed hold-out; None: none is.
        leave_one_group_out: whether each group is a fold of its own.
        ignore_lineage: train on synthetic images that were made from test images, too; only to
            show the size of the leak.
        repeats: how often folds and synthetic subsets are drawn anew.
        inner_folds: largest number of folds for the choice of C.
        c_grid: the values of C to choose from, ascending.
        c_rule: ``best``, or ``one-se``: the smallest C within one standard error of the best.
        balanced: whether classes weigh the same in training however many images they have.
        head: name of what is trained (`learners.kinds`).
        finetune_repeats: `repeats` of fine-tunes.
        recipe: of fine-tunes.
        alternatives: names of augmentations that are tried on real images instead of adding
            synthetic ones.
        with_synthetic: whether they are tried with synthetic images, too, at the largest ratio.
        seed: every random choice follows from it.
        allow_fewer: go on if there are fewer synthetic images than a ratio needs.
    """

    ratios: tuple[float, ...] = (1, 2, 3, 4)
    per_class: int | None = None
    real_fraction: float = 1.0
    train_per_class: int | None = None
    folds: int | None = None
    holdout: float | None = None
    leave_one_group_out: bool = False
    ignore_lineage: bool = False
    repeats: int = 10
    inner_folds: int = 5
    c_grid: tuple[float, ...] = C_GRID
    c_rule: str = "best"
    balanced: bool = False
    head: str = "logistic"
    finetune_repeats: int = 1
    recipe: Recipe = field(default_factory=Recipe)
    alternatives: tuple[str, ...] = ()
    with_synthetic: bool = False
    seed: int = 0
    allow_fewer: bool = False

    def __post_init__(self) -> None:
        if not self.ratios or any(not np.isfinite(r) or r <= 0 for r in self.ratios):
            raise XprobeError("ratios must be positive numbers, such as --ratios 1,2,3,4")
        object.__setattr__(self, "ratios", tuple(sorted(set(self.ratios))))
        for name, low in (
            ("repeats", 1), ("finetune_repeats", 1), ("per_class", 2), ("folds", 2),
            ("inner_folds", 2), ("seed", 0), ("train_per_class", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < low:
                raise XprobeError(f"--{name.replace('_', '-')} must be {low} or more")
        if not 0 < self.real_fraction <= 1:
            raise XprobeError("--real-fraction takes numbers above 0 and at most 1, such as 0.5,1")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise XprobeError("--holdout takes a share between 0 and 1, such as 0.3")
        ways = (self.folds is not None, self.holdout is not None, self.leave_one_group_out)
        if sum(ways) > 1:
            raise XprobeError("choose one of --folds, --holdout and --leave-one-group-out")
        if not self.c_grid or any(not np.isfinite(c) or c <= 0 for c in self.c_grid):
            raise XprobeError("every value of C must be a positive number")
        object.__setattr__(self, "c_grid", tuple(sorted(set(self.c_grid))))
        if self.c_rule not in C_RULES:
            raise XprobeError(f"--c-rule is one of {', '.join(C_RULES)}, not {self.c_rule!r}")
        for name in self.alternatives:
            check_augmentation(name)
        object.__setattr__(self, "alternatives", tuple(dict.fromkeys(self.alternatives)))
        if self.with_synthetic and not self.alternatives:
            raise XprobeError("--with-synthetic needs --alternatives, such as classic")

    def of_head(self, name: str) -> SweepConfig:
        """Return the same for another head; fine-tunes have repeats of their own.

        Raises:
            XprobeError: there is no head of that name.
        """
        repeats = self.finetune_repeats if kind_of(name).takes_steps else self.repeats
        return replace(self, head=name, repeats=repeats)
