"""``xprobe report``: studies as pages, figures and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xprobe.cli import progress
from xprobe.cli.options import Json, ResultFolders
from xprobe.cli.printing import out, print_json, warn


def report(
    results: ResultFolders = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("report"),
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or alias in the results; repeat. ALIAS=NAME shows it under the alias. "
            "Default: all."
        ),
    ] = None,
    cost_real: Annotated[
        float | None, typer.Option(min=0, help="What a real image costs, its label included.")
    ] = None,
    cost_synthetic: Annotated[
        float | None, typer.Option(min=0, help="What a synthetic image costs.")
    ] = None,
    as_json: Json = False,
) -> None:
    from xprobe.report.study_section import Costs
    from xprobe.report.write import write_report

    if (cost_real is None) != (cost_synthetic is None):
        raise typer.BadParameter("--cost-real and --cost-synthetic belong together")
    costs = None
    if cost_real is not None and cost_synthetic is not None:
        costs = Costs(cost_real, cost_synthetic)
    with progress.busy("drawing figures"):
        written = write_report(results or Path("results"), folder, encoder or (), costs)
    if costs and not written.valued:
        warn([
            "costs need a learning curve: run 'xprobe sweep --real-curve 20,30,45,60,80' first"
        ])  # fmt: skip
    if as_json:
        print_json(written)
        return
    out.print(*written.answer, "", f"report: {written.report}")
