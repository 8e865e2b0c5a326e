"""``xprobe embed``: images into a feature store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xprobe.base.documents import from_value
from xprobe.cli import progress, tables
from xprobe.cli.options import (
    Device,
    Images,
    Json,
    Offline,
    Workers,
    names,
)
from xprobe.cli.printing import print_json, print_table, warn
from xprobe.encoders.load import DEFAULT_ENCODER
from xprobe.encoders.spec import PRECISIONS
from xprobe.images.augment import VIEWS

if TYPE_CHECKING:
    from xprobe.features.embed import Embedded


AUTO, EXACT, FAST = "auto", "exact", "fast"


STREAMED = (".tar", ".txt")  # images without classes


def embed(
    data: Images = Path("data"),
    encoder: Annotated[
        list[str] | None,
        typer.Option(help=f"Name of an encoder; repeat for several. Default {DEFAULT_ENCODER}."),
    ] = None,
    store: Annotated[Path, typer.Option("--out", help="Feature store to add to.")] = Path(
        "features"
    ),
    batch_size: Annotated[
        str, typer.Option(help="Images a forward pass; auto: what suits the device.")
    ] = AUTO,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}.")] = PRECISIONS[0],
    layer: Annotated[
        str | None,
        typer.Option(help="projected (into the space shared with text; the default) or pooled."),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights/--no-random-weights", help="Leave the weights as initialised."
        ),
    ] = False,
    prompts: Annotated[
        str | None,
        typer.Option(help="Embed the classes as text too: clip, satellite, plain, or a JSON file."),
    ] = None,
    match_codec: Annotated[
        str, typer.Option(help="Encode every image anew in this way first, such as jpeg-90.")
    ] = "",
    resize: Annotated[
        str, typer.Option(help="exact (as the publishers' features are), or fast and nearly so.")
    ] = EXACT,
    augment: Annotated[
        str, typer.Option(help="Augmentations to embed views of the real training images with.")
    ] = "",
    views: Annotated[int, typer.Option(min=1, help="Views of each image.")] = VIEWS,
    shard: Annotated[
        str, typer.Option(help="Embed one of n equal parts of the images alone: i/n, such as 2/8.")
    ] = "1/1",
    offline: Offline = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Embed every image once with frozen encoders; goes on where it was."""
    go_offline(offline)
    from xprobe.features.embed import embed_all, failed_file
    from xprobe.images import read as manifests
    from xprobe.images import survey

    size, part = _batch_size(batch_size), _part(shard)
    if resize not in (EXACT, FAST):
        raise typer.BadParameter(f"--resize {resize!r}: it is {EXACT} or {FAST}")
    images: Any = data
    if data.suffix not in STREAMED or data.is_dir():
        images = manifests.read(data, whole=False, hashed=False)
        warn(survey.find_problems(images))
    done = embed_all(
        images, encoder or [DEFAULT_ENCODER], store, batch_size=size, device=device,
        precision=precision, layer=layer, random_weights=random_weights, prompts=prompts,
        codec=match_codec, resampling=FAST if resize == FAST else "", augment=names(augment),
        views=views, shard=part, workers=workers, progress=progress.bar,
    )  # fmt: skip
    _show_embedded(done, store, failed_file(store, part), as_json)


def _show_embedded(done: Sequence[Embedded], store: Path, listed: Path, as_json: bool) -> None:
    from xprobe.cli import outputs

    rows = tuple(from_value(outputs.EmbeddedEncoder, encoder) for encoder in done)
    if as_json:
        print_json(outputs.Embed(store=str(store), encoders=rows))
    else:
        columns = ("name", "dim", "images", "embedded", "reused", "failed", "seconds")
        print_table(tables.of_rows(f"features in {store}", (*columns, "images_per_s"), rows))
    for e in done:
        if e.batch_size < e.asked_batch_size:
            warn([
                f"{e.name}: batches of {e.asked_batch_size} images did not fit into memory; halved "
                f"to {e.batch_size}"
            ])  # fmt: skip
    failed = {id_ for e in done for id_ in e.failures}
    if failed:
        warn([f"{len(failed)} images were skipped; {listed} lists them and why"])


def _batch_size(text: str) -> int | None:
    """Return the number, or None for auto."""
    if text == AUTO:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--batch-size {text!r}: it is {AUTO} or a number of images")
    return int(text)


def _part(text: str) -> tuple[int, int]:
    """Return (i, n) of i/n."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise typer.BadParameter(f"--shard {text!r}: it is i/n with i from 1 to n, such as 2/8")
    return int(first), int(second)


def go_offline(offline: bool) -> None:
    """The hub's library reads this when it is imported, so before anything else is."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
