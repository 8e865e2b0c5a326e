"""``xprobe import-features``: embeddings computed elsewhere into a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xprobe.cli import progress
from xprobe.cli.options import Json, filled_in
from xprobe.cli.printing import notes, print_json, print_table, warn
from xprobe.images.config import DEFAULT_DATA, DataConfig
from xprobe.images.sources.registry import forms


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
