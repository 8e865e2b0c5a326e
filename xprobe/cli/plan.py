"""``xprobe plan``: what a study could find, before anything is generated or bought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from xprobe.base.declared import COMPARED, option, parse_counts
from xprobe.cli.options import Data, Group, Json, filled_in, pick
from xprobe.cli.printing import out, print_json, print_table, warn
from xprobe.design.config import SweepConfig

PLANNED = (
    "ratios", "folds", "holdout", "leave_one_group_out", "repeats", "finetune_repeats",
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """What is planned for besides the images at hand.

    Attributes:
        sizes: real images of each class; none: those of `power.SIZES`.
    """

    sizes: tuple[int, ...] = option(
        (), "Real images of each class to plan for, too, such as 30,100,500. Default: 30 to 1000.",
        panel=COMPARED, parse=parse_counts,
    )  # fmt: skip


@filled_in(config=pick(SweepConfig, *PLANNED), others=Sizes)
def plan(
    config: SweepConfig,
    others: Sizes,
    data: Data = Path("data"),
    group: Group = "",
    results: Annotated[
        Path | None,
        typer.Option(
            help="Results of a pilot study, whose variance is taken. Default: that of simulated "
            "studies, which may be off by half."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from xprobe.cli import tables
    from xprobe.design.power import SIZES, Plan
    from xprobe.design.power import plan as make_plan
    from xprobe.images import read as manifests
    from xprobe.results.study import load_studies, newest

    manifest = manifests.read(data, whole=False, group=group)
    studies = [] if results is None else newest(load_studies(results))
    rows = make_plan(manifest, config, others.sizes or SIZES, studies)
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
