"""``xprobe import``: tables of published sets; ``import-features``: embeddings made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xprobe.base.errors import counted
from xprobe.cli import progress
from xprobe.cli.commands import add
from xprobe.cli.help import Group
from xprobe.cli.options import Json, filled_in, table_file
from xprobe.cli.printing import notes, print_json, print_table, warn
from xprobe.images.config import DEFAULT_DATA, DataConfig
from xprobe.images.sources.registry import forms
from xprobe.images.sources.xbd.config import XbdConfig

import_app = typer.Typer(
    cls=Group, rich_markup_mode=None, add_completion=False, no_args_is_help=True
)


@import_app.callback()
def sets() -> None:
    """Keep ``import`` a group, which Typer would take for its only command."""


@filled_in(config=XbdConfig)
def xbd(
    config: XbdConfig,
    root: Annotated[
        Path,
        typer.Argument(
            help="Folder of xBD, with train, test, hold or tier3 in it.", metavar="ROOT"
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Table to write, which is DATA from then on.",
            callback=table_file,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Make the table of a study from xBD: images after disasters, and their twins from before."""
    from xprobe.cli import outputs, tables
    from xprobe.images.sources.table import write_table
    from xprobe.images.sources.xbd import checks, rows, selection, tree

    tiles, remarks = tree.read_tiles(root, progress.bar)
    selected = selection.select(tiles, config)
    division, misfits = checks.check_files(selected.division, progress.bar)
    manifest = rows.table_of(division, config.group)
    write_table(manifest, output)
    said = (*remarks, *selected.warnings, *misfits)
    if as_json:
        counts = [
            outputs.TileCount(class_=label, event=event, step=step.name, n=n)
            for step in selected.steps
            for (label, event), n in sorted(step.counts.items())
        ]
        print_json(
            outputs.ImportXbd(
                table=str(output), images=len(manifest), splits=config.splits, seed=config.seed,
                counts=tuple(counts), notes=tuple(division.notes), warnings=said,
            )
        )  # fmt: skip
        return
    print_table(tables.of_steps(selected.steps))
    warn(said)
    notes.print(*division.notes, f"wrote {output}: {counted(len(manifest), 'image', 'images')}")


add(import_app, xbd, "xprobe import xbd xbd -o study.csv --damage any --per-class 100")


@filled_in(images=DataConfig)
def import_features(
    images: DataConfig,
    file: Annotated[
        Path, typer.Argument(help="Embeddings: .npz, .h5, .hdf5, .parquet or .csv.", metavar="FILE")
    ],
    name: Annotated[
        str, typer.Option("--encoder-name", help="What the encoder is called from now on.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(help=f"{forms()} Repeat for several.", show_default=str(DEFAULT_DATA)),
    ] = None,
    store: Annotated[Path, typer.Option("--out", help="Feature store to add to.")] = Path(
        "features"
    ),
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing/--no-allow-missing", help="Go on if images have no row in FILE."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    from xprobe.base.documents import from_value
    from xprobe.cli import outputs, tables
    from xprobe.features import importing as imports
    from xprobe.features.items import EncoderOutcome
    from xprobe.features.store import Store
    from xprobe.images import read as manifests
    from xprobe.images import survey

    places = images.places(data) or (Path(),)
    bases = [place if place.is_dir() else place.parent for place in places]
    manifest = manifests.read(data, config=images)
    warn(survey.limit_warnings(manifest))
    done = imports.import_features(
        manifest, file, name, Store(store, create=True), bases=bases,
        allow_missing=allow_missing, progress=progress.bar,
    )  # fmt: skip
    row = from_value(EncoderOutcome, done)
    if as_json:
        print_json(
            outputs.ImportFeatures(
                store=str(store), encoders=(row,), unmatched_rows=done.unmatched_rows,
                missing_images=done.missing_images, nearly_equal_rows=done.nearly_equal_rows,
                rounded_rows=done.rounded_rows, zero_rows=done.zero_rows,
            )
        )  # fmt: skip
    else:
        columns = ("name", "dim", "images", "embedded", "reused", "failed", "seconds")
        print_table(tables.of_rows(f"features in {store}", (*columns, "images_per_s"), [row]))
        if not done.embedded:
            notes.print(f"nothing new: {store} had all of it")
    warn(imports.remarks(done, file))
