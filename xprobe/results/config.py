"""The configuration that a study was made with, as its document keeps it."""

from __future__ import annotations

from typing import ClassVar

from xprobe.base.documents import Document, Number


class TrainingRecipe(Document, frozen=True, kw_only=True):
    """How networks were fine-tuned: the fields of ``Recipe``, which explains them."""

    method: str
    start: str
    epochs: int
    batch_size: int
    lr: Number
    head_lr: Number
    weight_decay: Number
    layer_decay: Number
    warmup: Number
    label_smoothing: Number
    clip: Number
    ema: Number
    wise_ft: Number
    precision: str
    accumulate: int
    compile: bool
    patience: int
    synthetic_weight: Number
    synthetic_share: Number | None
    two_stage: bool
    augment: str = "none"
    deterministic: bool = False


class StudyConfig(Document, frozen=True, kw_only=True):
    """What was trained and how it was tested: the fields of ``SweepConfig``, which explains them.

    An option that was added later and that no code reads needs no field here: a document keeps the
    fields that this xprobe does not know, too.

    Attributes:
        margin: accuracy differences up to this size counted as equal; None: no margin was given.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("errors_by", "overhead")

    ratios: tuple[Number, ...]
    per_class: int | None = None
    real_fraction: Number = 1.0
    train_per_class: int | None = None
    folds: int | None = None
    holdout: Number | None = None
    leave_one_group_out: bool = False
    errors_by: str = ""
    ignore_lineage: bool = False
    repeats: int
    inner_folds: int
    c_grid: tuple[Number, ...]
    c_rule: str = "best"
    balanced: bool = False
    head: str
    finetune_repeats: int = 1
    recipe: TrainingRecipe | None = None
    alternatives: tuple[str, ...] = ()
    with_synthetic: bool = False
    overhead: bool = False
    seed: int
    allow_fewer: bool = False
    margin: Number | None = None
    pooled: bool = True

    def __post_init__(self) -> None:
        if not self.c_grid:
            raise ValueError("c_grid has one value or more")
