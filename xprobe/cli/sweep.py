"""``xprobe sweep``: train every setting, test on real images, judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xprobe.base.declared import EXECUTION
from xprobe.base.errors import XprobeError
from xprobe.cli import progress
from xprobe.cli.options import Data, Files, Group, Json, filled_in, option_sources
from xprobe.cli.printing import duration, out, print_json, print_table, warn
from xprobe.design.config import Grid, SweepConfig
from xprobe.engine.execution import Execution
from xprobe.images.config import DataConfig

if TYPE_CHECKING:
    from xprobe.results.answers import SweepAnswer
    from xprobe.results.study import Study
    from xprobe.study.estimate import Estimate

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Count the fits, estimate the time from a short timed run, and train nothing.",
        rich_help_panel=EXECUTION,
    ),
]


@filled_in(grid=Grid, config=SweepConfig, execution=Execution, files=Files, images=DataConfig)
def sweep(
    context: typer.Context,
    config: SweepConfig,
    grid: Grid,
    execution: Execution,
    files: Files,
    images: DataConfig,
    data: Data = None,
    group: Group = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    from xprobe.features.store import Store
    from xprobe.images import read as manifests
    from xprobe.results.answers import answer_of
    from xprobe.results.study import with_aliases
    from xprobe.study.estimate import estimate
    from xprobe.study.sweep import sweep as sweep_settings

    manifest = manifests.read(data, group=group, config=images)
    store = Store(files.features)
    what = manifest, store, files.results, config, grid, execution
    refusal = [grid.value_refusal] if grid.value_refusal else []
    warn(refusal)  # Before hours of training it is not too late to choose other sizes.
    if dry_run:
        _show_estimate(estimate(*what, progress=progress.bar), as_json)
        return
    studies = sweep_settings(*what, option_sources=option_sources(context), progress=progress.bar)
    studies = with_aliases(studies)
    answer = answer_of(studies, _headline(files.results))
    if as_json:
        print_json(answer)
    else:
        print_tables(studies, answer)
    warn([text for text in answer.warnings if text not in refusal])
    if answer.headline and not as_json:
        out.say(answer.headline)


def print_tables(studies: Sequence[Study], answer: SweepAnswer) -> None:
    """Print what studies answer together as tables."""
    from xprobe.cli import tables

    for study in studies:
        for generator in study.generators:
            print_table(tables.of_family(study, generator))
    if len(studies) > 1:
        for generator in dict.fromkeys(g for study in studies for g in study.generators):
            print_table(tables.side_by_side(studies, generator))
    if len(answer.families) > 1:
        print_table(tables.of_families(answer.families))
    if answer.data_value:
        print_table(tables.of_worth(answer.data_value))


def _headline(results: Path) -> str:
    """Return the headline of a report of these results, which may hold further studies."""
    from xprobe.report.answer import answer
    from xprobe.report.shown import read_shown

    try:
        return answer(*read_shown(results)).headline
    except XprobeError:  # Another study there is damaged; a warning has said so.
        return ""


def _show_estimate(rows: Sequence[Estimate], as_json: bool) -> None:
    from xprobe.cli import tables
    from xprobe.study import estimate

    seconds = round(sum(row.seconds for row in rows), 1)
    if as_json:
        print_json(estimate.DryRun(studies=tuple(rows), seconds=seconds))
        return
    columns = (
        "alias", "head", "real_fraction", "train_per_class", "tested", "done", "fits", "steps",
        "seconds",
    )  # fmt: skip
    spare = ("real_fraction", "train_per_class", "tested")
    print_table(tables.of_rows("to do", columns, rows, spare))
    out.print(f"about {duration(seconds)} in all")
