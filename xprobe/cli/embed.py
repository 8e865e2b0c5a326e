"""``xprobe embed``: images into a feature store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xprobe.base.declared import ENCODING, option
from xprobe.base.errors import XprobeError, counted
from xprobe.cli import progress
from xprobe.cli.options import SEVERAL, Json, filled_in, pick
from xprobe.cli.printing import print_json, print_table, warn
from xprobe.encoders.presets import DEFAULT_ENCODER, ENCODERS
from xprobe.engine.execution import Execution
from xprobe.features.config import EmbedConfig
from xprobe.images.config import DEFAULT_DATA, DataConfig
from xprobe.images.sources.registry import forms

if TYPE_CHECKING:
    from xprobe.features.embed import Embedded

# Files of these types bring images without classes; archives may be shards with classes, too.
LISTS = (".txt", ".TXT", ".lst")
STREAMED = (".tar", *LISTS)

Images = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DATA",
        help=forms(
            "images without classes: tar archives (.tar, or shards/{000..012}.tar), or a list of "
            "paths and archives (.txt, .lst)"
        )
        + f" {SEVERAL}",
        show_default=str(DEFAULT_DATA),
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the network for weights.")]


@dataclass(frozen=True)
class Encoders:
    """The encoders that images are embedded with, by name."""

    names: tuple[str, ...] = option(
        (DEFAULT_ENCODER,), "Short or long names, such as hog,clip-vit-b32, or module:function of "
        "your own; several share the decoding. ALIAS=NAME also gives a name to read.",
        panel=ENCODING, flag="--encoder", metavar="LIST", values=tuple(ENCODERS),
    )  # fmt: skip


@filled_in(
    encoders=Encoders,
    config=EmbedConfig,
    execution=pick(Execution, "workers", "device"),
    chosen=DataConfig,
)
def embed(
    encoders: Encoders,
    config: EmbedConfig,
    execution: Execution,
    chosen: DataConfig,
    data: Images = None,
    store: Annotated[Path, typer.Option("--out", help="Feature store to add to.")] = Path(
        "features"
    ),
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    go_offline(offline)
    from xprobe.encoders.load import split_encoders
    from xprobe.features.embed import UnreadError, embed_all, failed_file
    from xprobe.images import read as manifests
    from xprobe.images import survey

    images: Any = _streamed(chosen, config, data)
    if not images:
        images = manifests.read(data, whole=False, hashed=False, config=chosen)
        warn(survey.find_problems(images))
    failures_file = failed_file(store, config.shard)
    try:
        done = embed_all(
            images, names=split_encoders(encoders.names), folder=store, config=config,
            execution=execution, progress=progress.bar,
        )  # fmt: skip
    except UnreadError as error:
        _show_embedded(error.done, store, failures_file, as_json)
        raise
    _show_embedded(done, store, failures_file, as_json)
    _check_any_was_read(done, chosen.words(data), is_part=config.shard[1] > 1)


def _streamed(
    chosen: DataConfig, config: EmbedConfig, data: Sequence[Path] | None
) -> tuple[Path, ...]:
    """Return the files that bring images without classes; none: DATA is a data set with classes.

    Archives are such files unless an option asks for what only a data set has, or other DATA stands
    beside them: then they are labelled shards. Lists never are.

    Raises:
        XprobeError: lists are embedded in such a way.
    """
    places = chosen.places(data)
    streamed = [place for place in places if place.suffix in STREAMED and not place.is_dir()]
    asks_for_set = chosen != DataConfig() or config.needs_set
    if len(streamed) == len(places) and not asks_for_set:
        return places
    lists = [place for place in streamed if place.suffix in LISTS]
    if lists and len(streamed) < len(places):
        raise XprobeError(
            f"{lists[0]}: images without classes are embedded alone; run the command once for each "
            f"such file, with one --out"
        )
    if lists:
        raise XprobeError(
            f"{lists[0]}: images without classes have neither splits nor generators, neither "
            f"prompts nor views; leave options of these out, or name a data set with classes"
        )
    return ()


def _show_embedded(
    done: Sequence[Embedded], store: Path, failures_file: Path, as_json: bool
) -> None:
    from xprobe.base.documents import from_value
    from xprobe.cli import outputs, tables
    from xprobe.features.items import EmbeddedEncoder

    rows = tuple(from_value(EmbeddedEncoder, encoder) for encoder in done)
    if as_json:
        print_json(outputs.Embed(store=str(store), encoders=rows))
    else:
        columns = ("alias", "dim", "images", "embedded", "reused", "failed", "seconds",
                   "images_per_s")  # fmt: skip
        print_table(tables.of_rows(f"features in {store}", columns, rows, columns[-2:]))
    for e in done:
        if e.batch_size < e.asked_batch_size:
            warn([
                f"{e.alias}: batches of {counted(e.asked_batch_size, 'image', 'images')} did not "
                f"fit into memory; halved to {e.batch_size}"
            ])  # fmt: skip
    failed = {id_ for e in done for id_ in e.failures}
    if failed:
        skipped = counted(len(failed), "image was", "images were")
        warn([f"{skipped} skipped; {failures_file} lists what was skipped and why"])


def _check_any_was_read(done: Sequence[Embedded], place: str, is_part: bool) -> None:
    """Raise if none of the images could be embedded; a part of them may be empty."""
    if not any(encoder.images for encoder in done) and not is_part:
        raise XprobeError(f"{place}: there are no images in it")
    if all(encoder.images and encoder.failed >= encoder.images for encoder in done):
        id_, reason = min(done[0].failures.items())
        path, remedy = done[0].failed_paths[id_], ""
        if reason.startswith("no such file"):
            path = str(Path(path).absolute())
            remedy = "; paths are relative to the folder of the list or manifest"
        raise XprobeError(
            f"{place}: none of the images could be read; the first, {path}: {reason}{remedy}"
        )


def go_offline(offline: bool) -> None:
    """Keep the hub's library off the network; it reads this once, when it is imported."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
