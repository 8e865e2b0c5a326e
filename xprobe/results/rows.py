"""The rows of a study (docs/reference/results.md): one frozen value for each row of its lists."""

from __future__ import annotations

from typing import ClassVar, Protocol

import msgspec

from xprobe.base.documents import Document, Number
from xprobe.images.augment import AUGMENTATIONS
from xprobe.verdict.family import HELPS, HURTS, NOT_DETECTED, NOT_SEPARABLE

VERDICTS = (HELPS, HURTS, NOT_SEPARABLE, "equivalent", NOT_DETECTED)


class OfSetting(Protocol):
    """A row of one setting, whatever else it says."""

    @property
    def setting(self) -> str: ...

    @property
    def ratio(self) -> Number | None: ...

    @property
    def generator(self) -> str | None: ...

    @property
    def augment(self) -> str | None: ...


class SettingRow(Document, frozen=True, kw_only=True):
    """The four fields that name a setting; in JSON they lie flat among those of the row.

    Attributes:
        setting: ``real-only``, ``synthetic-only``, ``mix``, ``zero-shot``, or a control.
        ratio: r of a mix 1:r or of its control.
        generator: generator of the synthetic images.
        augment: augmentation of a mix that is an alternative.
    """

    setting: str
    ratio: Number | None = None
    generator: str | None = None
    augment: str | None = None

    def __post_init__(self) -> None:
        check_setting(self)


class Result(Document, frozen=True, kw_only=True):
    """One metric of one setting over all its folds and repeats: one flat JSON object.

    Intervals are 95 %. `difference` is to real-only, on the same test images; its interval holds
    for all comparisons of the family together, `se` and `df` are its standard error and degrees of
    freedom. `control_*` are the difference to the setting's control, a fine-tune on real images
    alone that is as long. `judged_*`, `p_adjusted` and `verdict` agree: they are of both together.
    `p_study_wide` stands in reports alone: that of all mixes of all studies (`results.families`).
    `within_margin` says whether the difference lies inside the margin, whatever the verdict.
    `p_mcnemar` tests the first repeat on a fixed hold-out, uncorrected. `estimand` is ``images`` or
    ``groups``, over which the mean is. `synthetic_units` are the synthetic training images that
    were made independently of each other. All but `n_*`, `dropped_by_lineage` and some metrics
    (`verdict.metrics`) are fractions. A metric without an interval has none that can be relied on.
    `alias` is the short name of the encoder; the document of a study has it once, with the encoder.

    The fields of a `SettingRow` are repeated here, since their order is that of results.csv.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("alias",)

    encoder: str
    alias: str = ""
    generator: str | None = None
    head: str
    protocol: str
    estimand: str = "images"
    setting: str
    ratio: Number | None = None
    augment: str | None = None
    metric: str
    value: Number
    ci_low: Number | None = None
    ci_high: Number | None = None
    difference: Number | None = None
    difference_low: Number | None = None
    difference_high: Number | None = None
    se: Number | None = None
    df: Number | None = None
    judged_low: Number | None = None
    judged_high: Number | None = None
    p_adjusted: Number | None = None
    p_study_wide: Number | None = None
    p_mcnemar: Number | None = None
    control_difference: Number | None = None
    control_low: Number | None = None
    control_high: Number | None = None
    verdict: str | None = None
    within_margin: bool | None = None
    detectable: Number | None = None
    n_test: int
    n_groups: int
    dropped_by_lineage: int = 0
    real_fraction: Number = 1.0
    train_per_class: int | None = None
    n_train_real: Number
    n_train_synthetic: Number
    synthetic_units: Number | None = None
    ratio_actual: Number | None = None

    def __post_init__(self) -> None:
        check_setting(self)
        _check_interval("value", self.ci_low, self.ci_high)
        _check_interval("difference", self.difference_low, self.difference_high)
        _check_interval("control_difference", self.control_low, self.control_high)
        judgement = (self.difference, self.p_adjusted, self.detectable)
        if self.kind and None in judgement:
            raise ValueError("a verdict comes with difference, p_adjusted and detectable")

    @property
    def kind(self) -> str:
        """The kind of its verdict, one of `VERDICTS`; empty without a verdict."""
        return verdict_kind(self.verdict) if self.verdict is not None else ""


class MixComparison(Document, frozen=True, kw_only=True):
    """A mix against something else than real-only, on the same test images.

    Attributes:
        kind: what is compared, a family each: ``generators`` (all pairs at each ratio), ``ratios``
            (all pairs, within each generator), ``real-more`` (mixes against as many further real
            images), ``null-edit`` (mixes of each generator against as many null edits), ``pooled``
            (all generators together against real-only).
        subject, against: names of the two: generators, ratios such as ``1:2``, or settings; in JSON
            ``of`` and ``against``.
        generator, ratio: what both share; None where they differ in it, or have none.
        metric: ``accuracy``.
        difference: accuracy of `subject` less that of `against`.
        low, high: its 95 % interval, which holds for the whole family.
        p: adjusted within the family (single-step max-T).
        verdict: ``better``, ``worse``, ``equivalent within ±m``, ``no detectable difference``.
    """

    kind: str
    subject: str = msgspec.field(name="of")
    against: str
    generator: str | None
    ratio: Number | None
    metric: str
    difference: Number
    low: Number
    high: Number
    p: Number
    verdict: str


class ClassResult(SettingRow, frozen=True, kw_only=True):
    """Recall of one class under a setting against real-only; `p_adjusted` is Bonferroni's."""

    class_: str = msgspec.field(name="class")
    difference: Number
    low: Number
    high: Number
    p_adjusted: Number
    verdict: str
    n_test: int
    n_groups: int

    def __post_init__(self) -> None:
        check_setting(self)
        verdict_kind(self.verdict)

    @property
    def kind(self) -> str:
        """The kind of its verdict, one of `VERDICTS`."""
        return verdict_kind(self.verdict)


class SettingResult(SettingRow, frozen=True, kw_only=True):
    """What a setting recognised, summed over its repeats, by class.

    Attributes:
        confusion: (k, k) test images; rows are true classes, columns predicted ones.
        recall, precision, f1: (k,) of each class.
        short: whether there were fewer synthetic images than its ratio needs.
    """

    confusion: tuple[tuple[int, ...], ...]
    recall: tuple[Number, ...]
    precision: tuple[Number, ...] = ()
    f1: tuple[Number, ...] = ()
    short: bool = False

    def __post_init__(self) -> None:
        check_setting(self)
        if {len(row) for row in self.confusion} != {len(self.confusion)}:
            raise ValueError("a confusion matrix is square")
        if len(self.recall) != len(self.confusion):
            raise ValueError("every class has a recall")
        if {len(self.precision), len(self.f1)} - {0, len(self.confusion)}:
            raise ValueError("every class has a precision and an F1, or none has")


class Run(SettingRow, frozen=True, kw_only=True):
    """One fold of one repeat of a setting.

    Attributes:
        dropped_by_lineage: synthetic images that lineage kept out of the fold.
        dropped_in_inner_folds: those that it kept out of an inner fold, on average.
        c: chosen value of C, or number of neighbours; None where nothing was chosen.
        steps: optimiser steps of a fine-tune; None of heads.
        training_accuracy, moved: of a fine-tune the share of the training images that was
            recognised in the end, and how far the encoder's weights moved, ‖Δw‖ / ‖w‖; None of
            heads, and of what an older xprobe trained.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("steps", "training_accuracy", "moved")

    repeat: int
    fold: int
    n_train_real: int | None = None
    n_train_synthetic: int | None = None
    dropped_by_lineage: int = 0
    dropped_in_inner_folds: Number = 0.0
    n_test: int | None = None
    c: Number | None = None
    accuracy: Number
    macro_f1: Number | None = None
    steps: int | None = None
    training_accuracy: Number | None = None
    moved: Number | None = None


class DataValue(SettingRow, frozen=True, kw_only=True):
    """What a mix, or an alternative, adds to its real images, in further real images of each class.

    Attributes:
        setting, ratio, generator, augment: what is valued, a mix where they are left out.
        encoder, alias, head: how it was trained.
        real_per_class, synthetic_per_class: images that it trained on.
        most: the largest number of real images of the learning curve.
        value: number of further real images that gives the same accuracy.
        low, high: 95 % interval of `value`.
        at_least, at_most: whether `high` is the end of the curve, and `low` is none at all.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("alias", "setting", "augment")

    setting: str = "mix"
    encoder: str | None = None
    alias: str = ""
    head: str | None = None
    real_per_class: Number
    synthetic_per_class: Number
    most: Number
    value: Number
    low: Number
    high: Number
    at_least: bool
    at_most: bool

    @property
    def is_alternative(self) -> bool:
        """Whether it is an augmentation, with synthetic images or without."""
        return family_kind(self.setting, self.augment) == "alternatives"


def family_kind(setting: str, augment: str | None) -> str:
    """Return which family of comparisons with real-only a setting is of; empty if it is of none.

    ``mix`` and ``synthetic-only`` are a family each of a generator: adding synthetic images, and
    putting them in place of real ones. ``alternatives`` are augmentations, with synthetic images
    or without.
    """
    if augment or setting in AUGMENTATIONS:
        return "alternatives"
    return setting if setting in ("mix", "synthetic-only") else ""


def check_setting(row: OfSetting) -> None:
    """Raise a ValueError unless the fields that name a setting go together."""
    if row.setting in ("mix", "null-edit") and (row.ratio is None or row.generator is None):
        raise ValueError(f"a {row.setting} has a ratio and a generator")
    if row.ratio is not None and row.ratio <= 0:
        raise ValueError("a ratio is above 0")


def verdict_kind(verdict: str) -> str:
    """Return which one of `VERDICTS` a verdict is, without the margin of an equivalence.

    Raises:
        ValueError: it is none of them.
    """
    for kind in VERDICTS:
        if verdict == kind or (kind == "equivalent" and verdict.startswith("equivalent within")):
            return kind
    raise ValueError(f"there is no verdict {verdict!r}")


def _check_interval(name: str, low: Number | None, high: Number | None) -> None:
    """Raise a ValueError unless both ends of an interval are given, or neither is."""
    if (low is None) != (high is None):
        raise ValueError(f"the interval of {name} has both ends, or neither")
