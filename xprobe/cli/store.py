"""``xprobe store``: what a feature store holds, and looking after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xprobe.base.errors import OptionError, XprobeError, counted
from xprobe.cli import progress
from xprobe.cli.commands import add
from xprobe.cli.completion import complete_stored
from xprobe.cli.help import Group
from xprobe.cli.options import Json, filled_in
from xprobe.cli.printing import notes, out, print_json, print_table, warn
from xprobe.images.config import DataConfig

if TYPE_CHECKING:
    from xprobe.cli.outputs import StoreExport
    from xprobe.features.catalogue import UnusableEncoder
    from xprobe.features.shards import StoredEncoder
    from xprobe.features.store import Store
    from xprobe.images.manifest import Manifest

store_app = typer.Typer(
    cls=Group, rich_markup_mode=None, add_completion=False, no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(help="Feature store.", metavar="STORE")]

DEFAULT = Path("features")


def info(folder: Folder = DEFAULT, as_json: Json = False) -> None:
    """Show what a store holds of each encoder."""
    from xprobe.cli import outputs, tables
    from xprobe.features.store import Store
    from xprobe.features.upkeep import describe

    store = Store(folder)
    rows = [describe(store, encoder) for encoder in store.encoders()]
    unusable = store.unusable_encoders()
    if as_json:
        newer = tuple(
            outputs.OutOfUse(name=one.name, key=one.key) for one in unusable if one.is_newer
        )
        damaged = tuple(str(one) for one in unusable if not one.is_newer)
        print_json(
            outputs.StoreInfo(store=str(folder), encoders=tuple(rows), newer=newer, damaged=damaged)
        )
        return
    columns = ("alias", "dim", "rows", "failed", "shards", "mib", "texts", "cosine_to_reference")
    print_table(tables.of_rows(f"features in {folder}", columns, rows))
    for encoder in unusable:
        out.print(str(encoder))


def verify(folder: Folder = DEFAULT, as_json: Json = False) -> None:
    """Compare every shard with its receipt, by checksum; exit status 1 if any is not whole."""
    from xprobe.cli import outputs, tables
    from xprobe.features.store import Store
    from xprobe.features.upkeep import verify as verify_one

    store = Store(folder)
    rows = [verify_one(store, encoder, progress.bar) for encoder in store.encoders()]
    damaged = [f"{file}: {reason}" for row in rows for file, reason in row.damaged]
    unreadable = [reason for row in rows for _, reason in row.unreadable]
    if as_json:
        print_json(outputs.StoreVerify(store=str(folder), encoders=tuple(rows)))
    else:
        columns = ("alias", "rows", "shards", "damaged", "unreadable", "orphans")
        print_table(tables.of_rows(f"features in {folder}", columns, rows))
    unusable = _warn_of_unusable(store)
    warn([*damaged, *unreadable])
    if any(row.orphans for row in rows) and not as_json:
        notes.print(
            f"orphans count for nothing; 'xprobe store gc {folder}' deletes those older than an "
            f"hour"
        )
    if damaged:
        raise XprobeError(
            f"{folder}: {counted(len(damaged), 'file is', 'files are')} damaged, or a receipt "
            f"without a whole shard; delete what is named and run 'xprobe embed' again, which "
            f"embeds only what was lost"
        )
    if unreadable:
        raise XprobeError(
            f"{folder}: {counted(len(unreadable), 'shard or receipt', 'shards or receipts')} "
            f"cannot be read now; see to that, and delete nothing: what is unread may be whole"
        )
    if any(not encoder.is_newer for encoder in unusable):
        raise XprobeError(f"{folder}: has encoders that cannot be used; do as their lines say")


def merge(
    sources: Annotated[list[Path], typer.Argument(help="Stores to copy from.", metavar="STORE…")],
    into: Annotated[Path, typer.Option(help="Store to copy into; made if it is new.")] = DEFAULT,
    as_json: Json = False,
) -> None:
    """Copy what stores hold into one; what is there stays, so it may be run again."""
    from xprobe.cli import outputs, tables
    from xprobe.features.store import Store
    from xprobe.features.upkeep import merge as merge_one

    opened = [Store(source) for source in sources]
    target = Store(into, create=True)
    rows = []
    for source in opened:
        rows += [
            outputs.MergedEncoder(
                from_=str(source.folder), name=row.name, alias=row.alias, key=row.key,
                shards=row.shards, rows=row.rows, texts=row.texts,
            )
            for row in merge_one(source, target, progress.bar)
        ]  # fmt: skip
        _warn_of_unusable(source)
    if as_json:
        print_json(outputs.StoreMerge(store=str(into), merged=tuple(rows)))
        return
    print_table(
        tables.of_rows(f"new in {into}", ("from", "alias", "shards", "rows", "texts"), rows)
    )


@filled_in(chosen=DataConfig)
def export(
    chosen: DataConfig,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="File to write: .h5, .npz, .parquet or .safetensors; or, with --data, a folder, "
            "which becomes a data set that datasets.load_dataset opens.",
        ),
    ],
    encoder: Annotated[
        str,
        typer.Option(
            help="Encoder, as xprobe store info names it.", autocompletion=complete_stored
        ),
    ],
    folder: Annotated[Path, typer.Option("--store", help="Feature store.")] = DEFAULT,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="What other commands take as DATA, such as a folder or a manifest; repeat for "
            "several: the features of these images alone, with labels and all columns."
        ),
    ] = None,
    images: Annotated[
        bool | None,
        typer.Option(
            "--images/--no-images",
            help="Of a data set: all images, to keep for yourself, or none. Default: those whose "
            "licence is known to let them be passed on.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the features of an encoder into one file, or with its images as a data set."""
    from xprobe.features.store import Store
    from xprobe.images import read as manifests

    store = Store(folder)
    (one, *more) = store.find(encoder)
    if more:
        labels = store.labels()
        names = ", ".join(labels[candidate.key] for candidate in (one, *more))
        raise XprobeError(f"{folder} has several encoders of that name; name one of {names}")
    is_all = data is None and chosen == DataConfig()
    manifest = None if is_all else manifests.read(data, whole=False, config=chosen)
    if target.suffix and images is not None:
        raise OptionError(f"--images is for a data set, a folder, and {target} is a file")
    if target.suffix:
        done = _exported_file(target, store, one, manifest)
    else:
        done = _exported_dataset(target, store, one, manifest, images)
    if as_json:
        print_json(done)
        return
    out.print(f"wrote {target}: {counted(done.rows, 'row', 'rows')} of {store.titles()[one.key]}")
    warn(done.warnings)


def _exported_file(
    file: Path, store: Store, encoder: StoredEncoder, images: Manifest | None
) -> StoreExport:
    from xprobe.cli import outputs
    from xprobe.features.export import export

    rows = export(store, encoder, file, images)
    return outputs.StoreExport(file=str(file), name=encoder.name, key=encoder.key, rows=rows)


def _exported_dataset(
    folder: Path,
    store: Store,
    encoder: StoredEncoder,
    images: Manifest | None,
    with_images: bool | None,
) -> StoreExport:
    from xprobe.cli import outputs
    from xprobe.report.tables.dataset import write_dataset

    if images is None:
        raise XprobeError(
            f"{folder}: a data set needs its images; name them with --data, or a file to write "
            f"features alone, such as {folder}.npz"
        )
    written = write_dataset(folder, images, store, encoder, with_images, progress.bar)
    return outputs.StoreExport(
        file=str(folder), name=encoder.name, key=encoder.key, rows=written.rows,
        images=written.with_content, warnings=tuple(written.sentences),
    )  # fmt: skip


def gc(folder: Folder = DEFAULT, as_json: Json = False) -> None:
    """Make small shards into large ones and delete leftovers, after all shards were checked."""
    from xprobe.cli import outputs, tables
    from xprobe.features.store import Store
    from xprobe.features.upkeep import collect

    store = Store(folder)
    rows = [collect(store, encoder, progress.bar) for encoder in store.encoders()]
    _warn_of_unusable(store)
    if as_json:
        print_json(outputs.StoreGc(store=str(folder), encoders=tuple(rows)))
        return
    columns = ("alias", "rows", "shards_before", "shards", "freed_mib")
    print_table(tables.of_rows(f"features in {folder}", columns, rows))


def _warn_of_unusable(store: Store) -> list[UnusableEncoder]:
    """Say which encoders were left as they are, and return them."""
    unusable = store.unusable_encoders()
    warn([f"{encoder}; until then it is left as it is" for encoder in unusable])
    return unusable


for command, example in (
    (info, "xprobe store info"),
    (verify, "xprobe store verify features"),
    (merge, "xprobe store merge features-1 features-2 --into features"),
    (export, "xprobe store export clip.npz --encoder clip-vit-b32 --data data"),
    (gc, "xprobe store gc"),
):
    add(store_app, command, example)
