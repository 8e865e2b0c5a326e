"""``xprobe distance``: how far synthetic images lie from real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xprobe.cli import progress, tables
from xprobe.cli.options import (
    Data,
    Features,
    Json,
    Workers,
    names,
)
from xprobe.cli.printing import out, print_json, print_table, warn
from xprobe.design.config import SweepConfig

if TYPE_CHECKING:
    pass


def distance(
    data: Data = Path("data"),
    encoder: Annotated[
        list[str] | None, typer.Option(help="Name in the store; repeat. Default: all in it.")
    ] = None,
    features: Features = Path("features"),
    results: Annotated[Path, typer.Option("--out", help="Folder for distance.json.")] = Path(
        "results"
    ),
    metrics: Annotated[
        str, typer.Option(help="Comma-separated; default: all (docs/distance.md).")
    ] = "",
    by_class: Annotated[
        bool, typer.Option("--by-class/--no-by-class", help="Measure every class, too.")
    ] = True,
    permutations: Annotated[
        int, typer.Option(min=99, help="Of the tests of the headline metrics.")
    ] = 1000,
    drop_leaks: Annotated[
        Path | None,
        typer.Option(help="Write a manifest without synthetic copies of real images to this file."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random choice follows.")] = SweepConfig.seed,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure how far synthetic lies from real; find copies and shortcuts."""
    from xprobe.distance.measure import METRICS
    from xprobe.distance.run import measure_domain
    from xprobe.features.store import Store
    from xprobe.images import read as manifests
    from xprobe.images import survey
    from xprobe.images.sources import table
    from xprobe.results.distance import save_distance

    manifest = manifests.read(data, whole=False)
    document, clean = measure_domain(
        manifest, Store(features), encoders=encoder or (), metrics=names(metrics) or METRICS,
        by_class=by_class, permutations=permutations, seed=seed, workers=workers,
        progress=progress.bar,
    )  # fmt: skip
    save_distance(results, document)
    if drop_leaks is not None:
        table.write(clean, drop_leaks)
    if as_json:
        print_json(document)
    else:
        print_table(tables.of_distances(document.distances))
        if document.leaks:
            print_table(tables.of_leaks(document.leaks[:20]))
        if drop_leaks is not None:
            out.print(f"wrote {drop_leaks}: {len(clean)} of {len(manifest)} images")
    warn([*survey.find_problems(manifest), *document.warnings])
