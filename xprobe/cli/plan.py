"""``xprobe plan``: what a study could find, before anything is generated or bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xprobe.base.declared import COMPARED, option, parse_counts, parse_names, split_names
from xprobe.base.errors import counted
from xprobe.cli.options import Data, Group, Json, filled_in, pick
from xprobe.cli.printing import notes, out, print_json, print_table, warn
from xprobe.design.config import SweepConfig, check_head
from xprobe.images.config import DataConfig
from xprobe.learners.kinds import KINDS

if TYPE_CHECKING:
    from xprobe.design.power import Detectable

PLANNED = (
    "ratios", "folds", "holdout", "leave_one_group_out", "errors_by", "repeats",
    "finetune_repeats",
)  # fmt: skip


@dataclass(frozen=True)
class Others:
    """What is planned for besides the images at hand.

    Attributes:
        sizes: real images of each class; none: those of `power.SIZES`.
        encoders, heads: those that the study will have, to count its comparisons.
    """

    sizes: tuple[int, ...] = option(
        (), "Real images of each class to plan for, too, such as 30,100,500. Default: 30 to 1000.",
        panel=COMPARED, parse=parse_counts,
    )  # fmt: skip
    encoders: tuple[str, ...] = option(
        (), "Encoders that the study will have, such as hog,clip-vit-b32: then the comparisons "
        "are counted that a study-wide p takes together.",
        panel=COMPARED, flag="--encoder", metavar="LIST",
    )  # fmt: skip
    heads: tuple[str, ...] = option(
        (SweepConfig.head,), "What will be trained with each of these encoders.", panel=COMPARED,
        parse=parse_names, values=KINDS.rows,
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name in self.heads:
            check_head(name)


@filled_in(config=pick(SweepConfig, *PLANNED), others=Others, images=DataConfig)
def plan(
    config: SweepConfig,
    others: Others,
    images: DataConfig,
    data: Data = None,
    group: Group = "",
    results: Annotated[
        Path | None,
        typer.Option(
            help="Results of a pilot study, whose variance is taken. Default: that of studies "
            "that were measured, with its range."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from xprobe.design.design import left_in_sweep
    from xprobe.design.lineage import sides
    from xprobe.design.power import SIZES, Plan, count_study_wide
    from xprobe.design.power import plan as make_plan
    from xprobe.design.seen import unchecked_warnings
    from xprobe.images import read as manifests
    from xprobe.images import survey
    from xprobe.results.study import load_studies, newest, with_aliases

    manifest = manifests.read(data, whole=False, group=group, config=images)
    warn(survey.limit_warnings(manifest))
    studies = [] if results is None else newest(with_aliases(load_studies(results)))
    rows = make_plan(manifest, config, others.sizes or SIZES, studies)
    left = left_in_sweep(manifest, config)
    warn([*(row.words for row in left), *unchecked_warnings(*sides(manifest))])
    study_wide = None
    if others.encoders:
        encoders = split_names(others.encoders, lambda _name: False)
        study_wide = count_study_wide(manifest, config, encoders, others.heads)
    if as_json:
        print_json(Plan(plan=tuple(rows), comparisons_study_wide=study_wide, left=left))
    else:
        _print(rows, study_wide)
    if results is not None and all(row.basis == "typical" for row in rows):
        warn([
            f"{results}: no study there has mixes with a standard error; run its sweep again, only "
            "what is missing is trained"
        ])  # fmt: skip


def _print(rows: Sequence[Detectable], study_wide: int | None) -> None:
    from xprobe.cli import tables

    print_table(tables.of_plan(rows))
    notes.print(
        "Detectable: the difference in accuracy that is found with 80 % probability, in percentage "
        "points. Smaller true differences are mostly reported as “no detectable difference”."
    )
    notes.print(
        "Fine-tunes vary by their seed, too: where more images change little, more "
        "--finetune-repeats do."
    )
    if study_wide is not None:
        out.say(
            f"A study-wide p takes {counted(study_wide, 'comparison', 'comparisons')} together: "
            "ratios × encoders but for floors × generators × heads."
        )
    if any(row.basis == "typical" for row in rows):
        warn([
            "“typical” is the range of studies of ten classes with a learned encoder: yours may "
            "lie outside; after a first sweep, --results takes the variance from it"
        ])  # fmt: skip
