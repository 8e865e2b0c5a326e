"""What a study trains and how it tests, as one frozen value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from xprobe.base.declared import (
    ALTERNATIVES,
    COMPARED,
    FINE_TUNES,
    HEADS,
    PROTOCOL,
    check_least,
    option,
    parse_counts,
    parse_names,
    parse_numbers,
    parse_shares,
    same,
)
from xprobe.base.errors import OptionError, XprobeError
from xprobe.design.sizes import MOST_APART, are_close, closer_sizes
from xprobe.features.config import EmbedConfig
from xprobe.images.augment import AUGMENTATIONS, check_augmentation, meant
from xprobe.images.config import WIDER
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.kinds import C_GRID, C_RULES, DENSE_C_GRID, KINDS, kind_of

if TYPE_CHECKING:
    from xprobe.learners.problem import Options


def _c_grid(text: str) -> tuple[float, ...]:
    if text == "default":
        return C_GRID
    return DENSE_C_GRID if text == "dense" else parse_numbers(text)


@dataclass(frozen=True)
class SweepConfig:
    """Everything a user may choose about a sweep; the defaults are the protocol.

    Attributes:
        ratios: r of each mix 1:r, synthetic per real training image of the same class.
        per_class: real images of each class to study; None takes all.
        real_fraction: share of the real training images of each fold that is trained on.
        train_per_class: how many of each class are trained on, instead of a share; or None.
        folds: largest number of cross-validation folds; None: 5, or the fixed hold-out if there
            is one.
        holdout: share of the real images that is drawn to be a fixed hold-out; None: none is.
        leave_one_group_out: whether each group is a fold of its own.
        errors_by: a column wider than groups, ``event``, over which the standard errors are taken;
            empty: over groups. Folds and lineage are by groups all the same.
        ignore_lineage: train on synthetic images that were made from test images, too; only to
            show the size of the leak.
        require_lineage: refuse synthetic images whose source is no real image of the study.
        repeats: how often folds and synthetic subsets are drawn anew.
        inner_folds: largest number of folds for the choice of C.
        c_grid: the values of C to choose from, ascending.
        c_rule: ``best``, or ``one-se``: the smallest C within one standard error of the best.
        balanced: whether classes weigh the same in training however many images they have.
        head: name of what is trained (`learners.kinds`).
        finetune_repeats: what `repeats` is for fine-tunes.
        recipe: how networks are fine-tuned.
        alternatives: names of augmentations that are tried on real images instead of adding
            synthetic ones.
        pooled: whether images of all generators together are a setting, too, where there are two
            generators or more.
        with_synthetic: whether alternatives are tried with synthetic images, too, at the largest
            ratio.
        overhead: whether the images are from above, so that ``classic`` is ``classic-overhead``.
        seed: every random choice follows from it.
        allow_fewer: go on if there are fewer synthetic images than a ratio needs.
        margin: accuracy differences up to this fraction count as equal; None claims no
            equivalence.
    """

    ratios: tuple[float, ...] = option(
        (1, 2, 3, 4), "Synthetic images per real training image of the class.", panel=COMPARED,
        parse=parse_numbers,
    )  # fmt: skip
    per_class: int | None = option(
        None, "Real images of each class to study, to train and to test on; the others serve as "
        "further real images. Where synthetic images are too few, --real-fraction tests on all. "
        "Default: all.",
        panel=COMPARED, least=2,
    )  # fmt: skip
    real_fraction: float = 1.0
    train_per_class: int | None = None
    pooled: bool = option(
        True, "Also mix in all generators together, where there are two or more.", panel=COMPARED
    )
    folds: int | None = option(
        None, "Most folds of cross-validation. Default: 5, or the hold-out if there is one.",
        panel=PROTOCOL, least=2,
    )  # fmt: skip
    holdout: float | None = option(
        None, "Draw this share of each class of the real images, groups whole, as a fixed "
        "hold-out, such as 0.3.",
        panel=PROTOCOL,
    )  # fmt: skip
    leave_one_group_out: bool = option(
        False, "Make each group a fold; for few groups (up to 50), such as events.",
        panel=PROTOCOL,
    )  # fmt: skip
    errors_by: str = option(
        "", "event: take the standard errors over events, by that column of the manifest, instead "
        "of over groups; what is trained and tested stays the same.",
        panel=PROTOCOL, metavar="NAME", values=WIDER,
    )  # fmt: skip
    ignore_lineage: bool = option(
        False, "Train on synthetic images that were made from test images, too: only to show the "
        "size of the leak.",
        panel=PROTOCOL,
    )  # fmt: skip
    require_lineage: bool = option(
        False, "Refuse synthetic images whose parent or group names no real image of the study.",
        panel=PROTOCOL,
    )  # fmt: skip
    repeats: int = option(
        10, "How often folds and synthetic subsets are drawn anew.", panel=PROTOCOL, least=1
    )
    inner_folds: int = option(
        5, "Most folds within each training part, to choose C by.", panel=HEADS, least=2
    )
    c_grid: tuple[float, ...] = option(
        C_GRID, "Values of C to choose from, such as 0.1,1,10; dense: 45 from 1e-6 to 1e5. "
        "Default: 10 from 0.01 to 10,000.",
        panel=HEADS, parse=_c_grid, shown="", values=("default", "dense"),
    )  # fmt: skip
    c_rule: str = option(
        "best", "best (the highest accuracy on inner validation images), or one-se: the smallest C "
        "within one standard error of it.",
        panel=HEADS, values=C_RULES,
    )  # fmt: skip
    balanced: bool = option(
        False, "Let classes weigh the same in training however many images they have.", panel=HEADS
    )
    head: str = "logistic"
    finetune_repeats: int = option(
        1, "How often folds and synthetic subsets are drawn anew for fine-tunes.", panel=FINE_TUNES,
        least=1,
    )  # fmt: skip
    recipe: Recipe = field(default_factory=Recipe)
    alternatives: tuple[str, ...] = option(
        (), f"Augmentations to try on real images instead of adding synthetic ones: "
        f"{', '.join(AUGMENTATIONS)}.",
        panel=ALTERNATIVES, parse=parse_names, values=AUGMENTATIONS,
    )  # fmt: skip
    with_synthetic: bool = option(
        False, "Try them with synthetic images, too, at the largest ratio.", panel=ALTERNATIVES
    )
    overhead: bool = same(EmbedConfig, "overhead")
    seed: int = option(0, "What every random choice follows from.", panel=PROTOCOL, least=0)
    allow_fewer: bool = option(
        False, "Go on where a ratio needs more synthetic images than there are; the actual ratio "
        "is recorded.",
        panel=PROTOCOL,
    )  # fmt: skip
    margin: float | None = option(
        None, "Accuracy differences up to this fraction count as equal, such as 0.02.",
        panel=PROTOCOL,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not self.ratios or any(not math.isfinite(r) or r <= 0 for r in self.ratios):
            raise OptionError("--ratios takes numbers above 0, such as 1,2,3,4")
        object.__setattr__(self, "ratios", tuple(sorted(set(self.ratios))))
        check_least(self, OptionError)
        if self.train_per_class is not None and self.train_per_class < 1:
            raise OptionError("--train-per-class must be 1 or more")
        if not 0 < self.real_fraction <= 1:
            raise OptionError("--real-fraction takes numbers above 0 and at most 1, such as 0.5,1")
        self._check_protocol()
        if self.ignore_lineage and self.require_lineage:
            raise OptionError("choose one of --ignore-lineage and --require-lineage")
        if not self.c_grid or any(not math.isfinite(c) or c <= 0 for c in self.c_grid):
            raise OptionError("--c-grid takes numbers above 0, such as 0.1,1,10")
        object.__setattr__(self, "c_grid", tuple(sorted(set(self.c_grid))))
        if self.c_rule not in C_RULES:
            raise OptionError(f"--c-rule is one of {', '.join(C_RULES)}, not {self.c_rule!r}")
        for name in self.alternatives:
            check_augmentation(name)
        names = (meant(name, self.overhead) for name in self.alternatives)
        object.__setattr__(self, "alternatives", tuple(dict.fromkeys(names)))
        augment = meant(self.recipe.augment, self.overhead)
        object.__setattr__(self, "recipe", replace(self.recipe, augment=augment))
        if self.with_synthetic and not self.alternatives:
            raise OptionError("--with-synthetic needs --alternatives, such as classic")
        if self.margin is not None and not 0 < self.margin < 1:
            raise OptionError("--margin is a fraction between 0 and 1, such as 0.02")

    def _check_protocol(self) -> None:
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise OptionError("--holdout takes a share between 0 and 1, such as 0.3")
        ways = (self.folds is not None, self.holdout is not None, self.leave_one_group_out)
        if sum(ways) > 1:
            raise OptionError("choose one of --folds, --holdout and --leave-one-group-out")
        if self.errors_by not in ("", *WIDER):
            raise OptionError(f"--errors-by {self.errors_by}: it takes {' or '.join(WIDER)}")
        if self.errors_by and self.leave_one_group_out:
            raise OptionError(
                "--leave-one-group-out takes the standard errors over the groups that it leaves "
                "out; leave out --errors-by"
            )

    @property
    def head_options(self) -> Options:
        """How heads are fitted: the fields that `learners.problem.Options` has by the same names.

        What reaches heads in this way is part of the keys of predictions (`study.keys`).
        """
        from xprobe.learners.problem import Options  # It imports SciPy, which no help needs.

        names = {member.name for member in fields(self)}
        shared = [member.name for member in fields(Options) if member.name in names]
        return Options(**{name: getattr(self, name) for name in shared})

    def of_head(self, name: str) -> SweepConfig:
        """Return the same for another head; fine-tunes have repeats of their own.

        Raises:
            XprobeError: there is no head of that name.
        """
        repeats = self.finetune_repeats if kind_of(name).takes_steps else self.repeats
        return replace(self, head=name, repeats=repeats)


@dataclass(frozen=True)
class Grid:
    """What a sweep crosses: a study for each encoder, part of the real images, and head.

    Attributes:
        encoders: names in the store, or lists of names with commas; none: all that have features of
            the images.
        real_fractions: shares of the real training images; none: that of the configuration.
        real_curve: instead of shares, numbers of each class: a learning curve, from which follows
            how many real images the synthetic ones are worth (`verdict.worth`).
        heads: names of heads, or ``finetune``; none: that of the configuration.
    """

    encoders: Sequence[str] = option(
        (), "Names or aliases in the store, such as hog,clip-vit-b32, or NAME@KEY where two share "
        "one. ALIAS=NAME also gives it the alias. Default: all that have features of these images.",
        panel=COMPARED, flag="--encoder", metavar="LIST",
    )  # fmt: skip
    real_fractions: Sequence[float] = option(
        (), "Shares of the real training images of each fold, a study each on the same test "
        "images, such as 0.25,1.",
        panel=COMPARED, flag="--real-fraction", parse=parse_shares,
        shown=f"{SweepConfig.real_fraction:g}",
    )  # fmt: skip
    real_curve: Sequence[int] = option(
        (), "Instead, numbers of real training images of each class, a study each, such as "
        "20,30,45,60,80: how many real images the synthetic ones are worth.",
        panel=COMPARED, parse=parse_counts,
    )  # fmt: skip
    heads: Sequence[str] = option(
        (), f"What is trained, a study each: {', '.join(KINDS.rows)}. Text heads need embed "
        "--prompts; finetune trains the whole network.",
        panel=HEADS, parse=parse_names, shown=SweepConfig.head, values=KINDS.rows,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.real_curve and tuple(self.real_fractions) not in ((), (1.0,)):
            raise OptionError(
                "--real-curve and --real-fraction both say how many real images: keep one"
            )
        for name in self.heads:
            check_head(name)
        if len(set(self.real_curve)) == 1:
            raise OptionError(
                "--real-curve takes two or more numbers of images, such as 20,30,45,60,80"
            )

    @property
    def value_refusal(self) -> str:
        """Why the learning curve gives no data value, with sizes that would; empty if it does."""
        sizes = sorted(set(self.real_curve))
        if are_close(sizes):
            return ""
        return (
            f"--real-curve {_listed(sizes)} gives a learning curve, but not how many real images "
            f"the synthetic ones are worth: neighbouring sizes must be at most {MOST_APART:g} "
            f"times apart, or the worth comes out too large. Take --real-curve "
            f"{_listed(closer_sizes(sizes))}; what is trained is kept"
        )


def check_head(name: str) -> None:
    """Refuse a head that nobody has.

    Raises:
        OptionError: there is none of that name; offers the nearest names.
    """
    try:
        kind_of(name)
    except XprobeError as error:
        raise OptionError(f"--heads: {error}") from error


def _listed(sizes: Sequence[int]) -> str:
    return ",".join(map(str, sizes))
