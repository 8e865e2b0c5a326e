"""``xprobe adopt``: images that were made elsewhere, as a table of synthetic images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xprobe.cli import progress
from xprobe.cli.options import Json, table_file
from xprobe.cli.printing import notes, print_json, print_table, warn
from xprobe.images.config import DEFAULT_DATA
from xprobe.images.sources.registry import forms

if TYPE_CHECKING:
    from xprobe.images.adopted.adopt import Part
    from xprobe.images.survey import Count


Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Table to write. Default: FOLDER/manifest.csv.", callback=table_file
    ),
]


def adopt(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Images of one generator, nested as deep as wished; they stay as they are.",
        ),
    ],
    generator: Annotated[
        str, typer.Option(metavar="NAME", help="What the images are called: what made them.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help=f"The real images that they belong to. {forms()} Repeat for several.",
            show_default=str(DEFAULT_DATA),
        ),
    ] = None,
    parent_from: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="What each image was made from: a pattern of file names that the real image "
            "matches with equal values, such as '{event}_{number}_post_*'; a table with columns "
            "file and parent; or file, for what the images say themselves.",
        ),
    ] = "",
    label: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="What gives the class: folder, table or parent, or a class for all. Default: the "
            "folder if it has the name of a class, else the table, else the parent.",
        ),
    ] = "",
    trained_on: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Events that the generator was trained on: a file with one a line, or xbd for all "
            "of xBD. A sweep that tests one of them drops the images.",
        ),
    ] = "",
    output: Output = None,
    as_json: Json = False,
) -> None:
    from xprobe.images import read as manifests
    from xprobe.images import survey
    from xprobe.images.adopted import adopt as adoption
    from xprobe.images.events import read_events
    from xprobe.images.sources.rewrite import rewrite_table

    events = read_events(trained_on) if trained_on else ()
    request = adoption.Request(generator, parent_from, label, events)
    usual = folder / "manifest.csv"
    file = output or usual
    # No image is compared, so that none of DATA has to be read.
    manifest = manifests.read(data, whole=False, hashed=False)
    table, parts, said = adoption.adopt(
        folder, manifest, request, (file, usual, Path(parent_from)), progress.bar
    )
    is_new = rewrite_table(table, file)
    counts = survey.counts(table)
    if as_json:
        print_json(
            adoption.Adopted(
                table=str(file), generator=generator, images=len(table), counts=tuple(counts),
                parts=tuple(parts), trained_on=events, warnings=tuple(said),
            )
        )  # fmt: skip
        return
    _print(f"images of {folder} as those of generator {generator}", parts, counts)
    warn(said)
    notes.print(f"wrote {file}" if is_new else f"nothing new: {file} had all of it")


def _print(title: str, parts: Sequence[Part], counts: Sequence[Count]) -> None:
    from xprobe.cli import tables
    from xprobe.images.adopted.adopt import SHOWN

    rows = [
        (part.name, part.n, ", ".join(part.examples))
        for part in parts
        if part.n or part.name in SHOWN
    ]
    print_table(tables.table(title, ("images", "n", "such as"), rows, ("such as",)))
    print_table(tables.of_rows("adopted", ("class", "n"), counts))
