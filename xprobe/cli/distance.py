"""``xprobe distance``: how far synthetic images lie from real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from xprobe.base.declared import COMPARED, PROTOCOL, check_least, option, parse_names, same
from xprobe.base.errors import OptionError
from xprobe.cli import progress
from xprobe.cli.options import Data, Files, Json, filled_in, pick, table_file
from xprobe.cli.printing import notes, print_json, print_table, warn
from xprobe.design.config import Grid, SweepConfig
from xprobe.distance.names import METRICS, check_metrics
from xprobe.engine.execution import Execution
from xprobe.images.config import DataConfig


@dataclass(frozen=True)
class Measured:
    """What is measured, and how; for the fields see `distance.run.measure_domain`."""

    encoders: tuple[str, ...] = same(Grid, "encoders")
    metrics: tuple[str, ...] = option(
        (),
        f"Metrics to measure: {', '.join(METRICS)}. Default: all.",
        panel=COMPARED,
        parse=parse_names,
        values=METRICS,
    )
    by_class: bool = option(
        True, "Measure the headline metrics for every class, too.", panel=COMPARED
    )
    permutations: int = option(
        1000, "Permutations of the tests of the headline metrics.", panel=PROTOCOL, least=99
    )
    seed: int = same(SweepConfig, "seed")
    workers: int | None = same(Execution, "workers")

    def __post_init__(self) -> None:
        check_least(self, OptionError)
        check_metrics(self.metrics)


@filled_in(
    measured=Measured, protocol=pick(SweepConfig, "require_lineage"), files=Files, images=DataConfig
)
def distance(
    measured: Measured,
    protocol: SweepConfig,
    files: Files,
    images: DataConfig,
    data: Data = None,
    drop_leaks: Annotated[
        Path | None,
        typer.Option(
            help="Write a manifest without synthetic copies of real images to this file.",
            callback=table_file,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from xprobe.cli import tables
    from xprobe.design import lineage
    from xprobe.distance.run import measure_domain
    from xprobe.features.store import Store
    from xprobe.images import read as manifests
    from xprobe.images import survey
    from xprobe.images.sources import table
    from xprobe.results.distance import save_distance

    manifest = manifests.read(data, whole=False, config=images)
    if protocol.require_lineage:
        lineage.require(*lineage.sides(manifest))
    chosen = vars(measured) | {"metrics": measured.metrics or METRICS}
    document, clean = measure_domain(
        manifest, Store(files.features), **chosen, progress=progress.bar
    )
    save_distance(files.results, document)
    if drop_leaks is not None:
        table.write_table(clean, drop_leaks)
    if as_json:
        print_json(document)
    else:
        print_table(tables.of_distances(document.distances))
        if document.leaks:
            print_table(tables.of_leaks(document.leaks[:20]))
        if document.place:
            print_table(tables.of_place(document.place))
        if drop_leaks is not None:
            notes.print(f"wrote {drop_leaks}: {len(clean)} of {len(manifest)} images")
    warn([*survey.find_problems(manifest), *document.warnings])
