"""``xprobe encoders``: list them, fetch weights."""

from __future__ import annotations

from typing import Annotated

import typer

from xprobe.base.documents import Document
from xprobe.cli import tables
from xprobe.cli.options import Json
from xprobe.cli.printing import out, print_json, print_table
from xprobe.encoders.load import ENCODERS

encoders_app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List the encoders: names, dimension, input size, licence, whether the weights are here.",
)


class ListedEncoder(Document, frozen=True, kw_only=True):
    """What is known of an encoder before it is loaded.

    Attributes:
        name: short name.
        source: long name, or ``import-only``.
        dim: features of an image.
        dim_pooled: features of an image before the projection; None: it has none.
        input_px: side of the square image that it sees, pixels.
        activation: of architectures that exist with several; else None.
        licence: of the weights.
        local: whether the weights are on this machine.
        note: what else to know.
    """

    name: str
    source: str
    dim: int
    dim_pooled: int | None
    input_px: int
    activation: str | None
    licence: str
    local: bool
    note: str


class Encoders(Document, frozen=True, kw_only=True):
    """Output of ``xprobe encoders --json``."""

    encoders: tuple[ListedEncoder, ...]


class FetchedEncoder(Document, frozen=True, kw_only=True):
    """An encoder whose weights are on this machine.

    Attributes:
        name: as it was asked for.
        source: long name.
        dim: features of an image.
        key: digest of all that decides its features.
    """

    name: str
    source: str
    dim: int
    key: str


class Fetched(Document, frozen=True, kw_only=True):
    """Output of ``xprobe encoders fetch --json``."""

    encoders: tuple[FetchedEncoder, ...]


@encoders_app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Short or long names.", metavar="NAME…")],
    as_json: Json = False,
) -> None:
    """Download weights ahead of time, and check that they load."""
    from xprobe.encoders.load import check_name, load

    for name in names:
        check_name(name)
    rows = []
    for name in names:
        encoder = load(name, "cpu")
        if encoder.has_text:
            encoder.embed_text(["a photo"])  # brings its tokenizer too
        spec = encoder.spec
        rows.append(FetchedEncoder(name=name, source=spec.source, dim=spec.dim, key=spec.key))
    if as_json:
        print_json(Fetched(encoders=tuple(rows)))
        return
    print_table(tables.of_rows("weights on this machine", ("name", "source", "dim"), rows))


@encoders_app.callback()
def encoders(context: typer.Context, as_json: Json = False) -> None:
    """List the encoders: names, dimension, input size, licence, whether the weights are here."""
    if context.invoked_subcommand is not None:
        return
    from xprobe.encoders.load import is_local

    rows = [
        ListedEncoder(
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
        print_json(Encoders(encoders=tuple(rows)))
        return
    columns = ("name", "source", "dim", "input_px", "licence", "local")
    print_table(tables.of_rows("encoders", columns, rows))
    for note in dict.fromkeys(row.note for row in rows if row.note):
        out.print(f"{', '.join(row.name for row in rows if row.note == note)}: {note}")
    out.print("Any other open_clip model: open_clip:<model>/<pretrained tag or weights file>")
