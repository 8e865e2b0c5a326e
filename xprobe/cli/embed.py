"""``xprobe embed``: images into a feature store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xprobe.base.declared import (
    ALTERNATIVES,
    ENCODING,
    EXECUTION,
    check_least,
    option,
    parse_names,
    same,
)
from xprobe.base.errors import OptionError
from xprobe.cli import progress
from xprobe.cli.options import Json, filled_in
from xprobe.cli.printing import print_json, print_table, warn
from xprobe.encoders.presets import DEFAULT_ENCODER, PRECISIONS
from xprobe.engine.execution import Execution
from xprobe.images.augment import VIEWS
from xprobe.images.sources.registry import forms

if TYPE_CHECKING:
    from xprobe.features.embed import Embedded

STREAMED = (".tar", ".txt")  # files of these types bring images without classes

Images = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help=forms(
            "images without classes: a tar archive (.tar), or a list of paths and archives (.txt)"
        ),
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the network for weights.")]


def _batch_size(text: str) -> int | None:
    """Return the number, or None for auto."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("is auto or a number of images")
    return int(text)


def _part(text: str) -> tuple[int, int]:
    """Return (i, n) of i/n."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise ValueError("is i/n with i from 1 to n, such as 2/8")
    return int(first), int(second)


def _resampling(text: str) -> str:
    """Return the name that `embed_all` has for this way to resize."""
    if text not in ("exact", "fast"):
        raise ValueError("is exact or fast")
    return "" if text == "exact" else text


@dataclass(frozen=True)
class Embedding:
    """How images are embedded; the fields are arguments of `features.embed.embed_all`."""

    names: tuple[str, ...] = option(
        (DEFAULT_ENCODER,), "Short or long name, or module:function of your own; repeat for "
        "several, which share the decoding.",
        panel=ENCODING, flag="--encoder",
    )  # fmt: skip
    precision: str = option(
        PRECISIONS[0], f"{', '.join(PRECISIONS)}; another precision is another encoder.",
        panel=ENCODING,
    )  # fmt: skip
    layer: str | None = option(
        None, "projected (into the space shared with text; the default where there is one), or "
        "pooled, before that; another layer is another encoder.",
        panel=ENCODING,
    )  # fmt: skip
    random_weights: bool = option(
        False, "Leave the weights as initialised, for speed tests or as the floor of an "
        "architecture; every report says so.",
        panel=ENCODING,
    )  # fmt: skip
    prompts: str | None = option(
        None, "Embed the classes as text, too: clip, satellite, satellite-he, plain, or a JSON "
        "file of templates.",
        panel=ENCODING,
    )  # fmt: skip
    codec: str = option(
        "", "Encode every image anew in this way before it is resized, such as jpeg-90; another "
        "encoder.",
        panel=ENCODING, flag="--match-codec",
    )  # fmt: skip
    resampling: str = option(
        "", "exact, to the pixel as the publishers' code resizes, or fast, off by a level or two "
        "in places; another encoder.",
        panel=ENCODING, flag="--resize", parse=_resampling, shown="exact", metavar="NAME",
    )  # fmt: skip
    augment: tuple[str, ...] = option(
        (), "Augmentations to embed views of the real training images with, for the alternatives "
        "of sweep.",
        panel=ALTERNATIVES, parse=parse_names,
    )  # fmt: skip
    views: int = option(VIEWS, "Views of each image.", panel=ALTERNATIVES, least=1)
    shard: tuple[int, int] = option(
        (1, 1), "Embed the i-th of n equal parts of the images alone, such as 2/8.",
        panel=EXECUTION, parse=_part, shown="1/1", metavar="I/N",
    )  # fmt: skip
    batch_size: int | None = option(
        None, "Images a forward pass; auto: 8 on a CPU, 256 on a GPU, halved where that does not "
        "fit into memory.",
        panel=EXECUTION, parse=_batch_size, shown="auto", metavar="N",
    )  # fmt: skip
    device: str = same(Execution, "device")
    workers: int | None = same(Execution, "workers")

    def __post_init__(self) -> None:
        check_least(self, OptionError)


@filled_in(embedding=Embedding)
def embed(
    embedding: Embedding,
    data: Images = Path("data"),
    store: Annotated[Path, typer.Option("--out", help="Feature store to add to.")] = Path(
        "features"
    ),
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    go_offline(offline)
    from xprobe.features.embed import embed_all, failed_file
    from xprobe.images import read as manifests
    from xprobe.images import survey

    images: Any = data
    if data.suffix not in STREAMED or data.is_dir():
        images = manifests.read(data, whole=False, hashed=False)
        warn(survey.find_problems(images))
    done = embed_all(images, folder=store, **vars(embedding), progress=progress.bar)
    _show_embedded(done, store, failed_file(store, embedding.shard), as_json)


def _show_embedded(
    done: Sequence[Embedded], store: Path, failures_file: Path, as_json: bool
) -> None:
    from xprobe.base.documents import from_value
    from xprobe.cli import outputs, tables

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
        warn([f"{len(failed)} images were skipped; {failures_file} lists them and why"])


def go_offline(offline: bool) -> None:
    """Keep the hub's library off the network; it reads this once, when it is imported."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
