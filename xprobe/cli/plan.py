"""``xprobe plan``: what a study could find, before anything is generated or bought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xprobe.cli import tables
from xprobe.cli.options import (
    DEFAULT_RATIOS,
    Data,
    FinetuneRepeats,
    Folds,
    Group,
    Holdout,
    Json,
    LeaveOneGroupOut,
    Ratios,
    Repeats,
    numbers,
    whole_numbers,
)
from xprobe.cli.printing import out, print_json, print_table, warn
from xprobe.design.config import SweepConfig


def plan(
    data: Data = Path("data"),
    ratios: Ratios = DEFAULT_RATIOS,
    folds: Folds = SweepConfig.folds,
    holdout: Holdout = SweepConfig.holdout,
    leave_one_group_out: LeaveOneGroupOut = SweepConfig.leave_one_group_out,
    group: Group = "",
    repeats: Repeats = SweepConfig.repeats,
    finetune_repeats: FinetuneRepeats = SweepConfig.finetune_repeats,
    sizes: Annotated[
        str, typer.Option(help="Real images of each class to plan for, too. Default: 30 to 1000.")
    ] = "",
    results: Annotated[
        Path | None,
        typer.Option(help="Results of a pilot study, whose variance is taken; else a typical one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what difference a study of these images could detect, before it is made."""
    from xprobe.design.power import SIZES, Plan
    from xprobe.design.power import plan as make_plan
    from xprobe.images import read as manifests
    from xprobe.results.study import load_studies

    config = SweepConfig(
        ratios=numbers(ratios, "--ratios"), folds=folds, holdout=holdout,
        leave_one_group_out=leave_one_group_out, repeats=repeats,
        finetune_repeats=finetune_repeats,
    )  # fmt: skip
    manifest = manifests.read(data, whole=False, group=group)
    studies = [] if results is None else load_studies(results)
    chosen = whole_numbers(sizes, "--sizes") or SIZES
    rows = make_plan(manifest, config, chosen, studies)
    if as_json:
        print_json(Plan(plan=tuple(rows)))
        return
    print_table(tables.of_plan(rows))
    out.print(
        "Detectable: the difference in accuracy that is found with 80 % probability, in percentage "
        "points. Smaller true differences are mostly reported as “no detectable difference”."
    )
    out.print(
        "Fine-tunes vary by their seed, too: where more images change little, more "
        "--finetune-repeats do."
    )
    if any(row.basis == "typical" for row in rows):
        warn([
            "“typical” is a guess from simulated studies: yours may be off by half; after a first "
            "sweep, --results takes the variance from it"
        ])  # fmt: skip
