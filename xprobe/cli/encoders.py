"""``xprobe encoders``: list them, fetch weights."""

from __future__ import annotations

from typing import Annotated

import typer

from xprobe.cli.commands import add
from xprobe.cli.completion import completer
from xprobe.cli.help import Group
from xprobe.cli.options import Json, quietable
from xprobe.cli.printing import notes, print_json, print_table
from xprobe.encoders.presets import ENCODERS

encoders_app = typer.Typer(
    cls=Group, invoke_without_command=True, rich_markup_mode=None, add_completion=False
)


def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Short or long names.", metavar="NAME…", autocompletion=completer(ENCODERS)
        ),
    ],
    as_json: Json = False,
) -> None:
    """Download weights ahead of time, and check that they load."""
    from xprobe.cli import outputs, tables
    from xprobe.encoders.load import check_name, load, split_encoders

    names = list(split_encoders(names))
    for name in names:
        check_name(name)
    rows = []
    for name in names:
        encoder = load(name, "cpu")
        if encoder.has_text:
            encoder.embed_text(["a photo"])  # this fetches the tokenizer, too
        spec = encoder.spec
        rows.append(
            outputs.FetchedEncoder(name=name, source=spec.source, dim=spec.dim, key=spec.key)
        )
    if as_json:
        print_json(outputs.Fetched(encoders=tuple(rows)))
        return
    print_table(tables.of_rows("weights on this machine", ("name", "source", "dim"), rows))


@encoders_app.callback()
@quietable
def encoders(context: typer.Context, as_json: Json = False) -> None:
    if context.invoked_subcommand is not None:
        return
    from xprobe.cli import outputs, tables
    from xprobe.encoders.load import is_local
    from xprobe.encoders.registry import outside_encoders

    rows = [
        outputs.ListedEncoder(
            name=name,
            source=preset.source,
            dim=preset.dim,
            dim_pooled=preset.dim_pooled or None,
            input_px=preset.input_px,
            activation=preset.activation or None,
            licence=preset.licence,
            local=is_local(name),
            note=preset.note,
        )
        for name, preset in ENCODERS.items()
    ]
    if as_json:
        print_json(outputs.Encoders(encoders=tuple(rows)))
        return
    columns = ("name", "source", "dim", "input_px", "licence", "local")
    print_table(tables.of_rows("encoders", columns, rows, ("input_px", "dim")))
    for note in dict.fromkeys(row.note for row in rows if row.note):
        notes.print(f"{', '.join(row.name for row in rows if row.note == note)}: {note}")
    if outside := outside_encoders():
        notes.print(f"from other packages: {', '.join(outside)}")
    notes.print("Any other open_clip model: open_clip:<model>/<pretrained tag or weights file>")


add(encoders_app, fetch, "xprobe encoders fetch clip-vit-b32 dinov2-vit-b14")
