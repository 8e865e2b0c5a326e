"""``xprobe report``: studies as pages, figures and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xprobe.cli import progress
from xprobe.cli.completion import complete_mixed, complete_tested
from xprobe.cli.options import Json, ResultFolders
from xprobe.cli.printing import out, print_json, warn


def report(
    results: ResultFolders = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("report"),
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="Names or aliases in the results. ALIAS=NAME shows it under the alias. Default: "
            "all.",
            metavar="LIST",
            autocompletion=complete_tested,
        ),
    ] = None,
    generator: Annotated[
        list[str] | None,
        typer.Option(
            help="Generators in the results. Default: all. What is shown changes no p.",
            metavar="LIST",
            autocompletion=complete_mixed,
        ),
    ] = None,
    cost_real: Annotated[
        float | None, typer.Option(min=0, help="What a real image costs, its label included.")
    ] = None,
    cost_synthetic: Annotated[
        float | None, typer.Option(min=0, help="What a synthetic image costs.")
    ] = None,
    predictions: Annotated[
        bool | None,
        typer.Option(
            help="Write predictions.parquet, a row an image, setting and repeat. Default: up to a "
            "million rows.",
            show_default=False,
        ),
    ] = None,
    all_figures: Annotated[
        bool,
        typer.Option(help="Also draw classes and confusions of every study and setting."),
    ] = False,
    images: Annotated[
        bool | None,
        typer.Option(
            help="Show pictures of images: all, also of those that may not be passed on by their "
            "licence, or none. Default: those that may.",
            show_default=False,
        ),
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
        written = write_report(
            results or Path("results"), folder, encoder or (), costs, generators=generator or (),
            all_figures=all_figures, predictions=predictions, images=images,
        )  # fmt: skip
    warn([*written.tables_lack, *written.pictures])
    if costs and not written.valued:
        warn([
            "which way is cheaper needs a learning curve: run 'xprobe sweep --real-curve "
            "20,30,45,60,80' first"
        ])  # fmt: skip
    if as_json:
        print_json(written)
        return
    out.say(*written.brief, "", f"report: {written.report}")
