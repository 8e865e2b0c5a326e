"""Looking after a feature store: what it holds, whether it is whole, merging, export, clearing up.

All of it but `collect` may run while other processes embed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from xprobe.base.arrays import Columns, Floats, frozen_strings
from xprobe.base.atomic import create_if_absent, put
from xprobe.base.documents import Document, Number
from xprobe.base.errors import XprobeError
from xprobe.base.progress import Progress, no_progress
from xprobe.features.records import Receipt
from xprobe.features.shards import StoredEncoder, write_datasets
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest

EXPORTS = (".h5", ".hdf5", ".npz", ".parquet", ".safetensors")

# Many small shards are made into shards of so many rows.
MERGED_ROWS = 65_536


class Held(Document, frozen=True, kw_only=True):
    """What a store holds of an encoder.

    Attributes:
        name, key, dim: name, key and feature length of the encoder.
        rows: contents that have a feature.
        failed: contents that cannot be embedded.
        shards: files of features.
        mib: size of these files, MiB.
        cosine_to_reference: least cosine of a feature to the exact one, if the encoder takes a
            short cut; else None.
    """

    name: str
    key: str
    dim: int
    rows: int
    failed: int
    shards: int
    mib: Number
    cosine_to_reference: Number | None


def describe(store: Store, encoder: StoredEncoder) -> Held:
    """Return what a store holds of an encoder.

    Raises:
        XprobeError: a receipt or a shard is damaged.
    """
    receipts = list(store.receipts(encoder))
    index = store.index(encoder)
    agreement = store.agreement(encoder)
    return Held(
        name=encoder.name,
        key=encoder.key,
        dim=encoder.spec.dim,
        rows=len(index.rows),
        failed=len(index.failed),
        shards=sum(receipt.shard is not None for receipt in receipts),
        mib=round(sum(receipt.bytes for receipt in receipts) / 2**20, 3),
        cosine_to_reference=None if agreement is None else agreement.least_cosine,
    )


# --- verify --------------------------------------------------------------------------------


class Verified(Document, frozen=True, kw_only=True):
    """What became of checking an encoder's shards.

    Attributes:
        name, key: name and key of the encoder.
        rows: rows in shards that are whole.
        shards: shards that are whole.
        damaged: (receipt file, what is wrong with it or its shard).
        orphans: files of shards without a receipt, which count for nothing.
    """

    name: str
    key: str
    rows: int
    shards: int
    damaged: tuple[tuple[str, str], ...]
    orphans: tuple[str, ...]


def verify(store: Store, encoder: StoredEncoder, progress: Progress = no_progress) -> Verified:
    """Read every shard of an encoder and compare it with its receipt, byte for byte by digest."""
    named: set[str] = set()
    damaged: list[tuple[str, str]] = []
    rows = shards = 0
    files = store.receipt_files(encoder)
    with progress(f"verify {encoder.name}", len(files)) as advance:
        for file in files:
            advance(1)
            try:
                receipt = store.receipt(file)
            except XprobeError as error:
                damaged.append((str(file), str(error).removeprefix(f"{file}: ")))
                continue
            if receipt.shard is None:
                continue
            named.add(receipt.shard)
            if wrong := _fault_of_shard(store, encoder, receipt):
                damaged.append((str(file), wrong))
                continue
            rows, shards = rows + receipt.rows, shards + 1
    files = sorted((encoder.folder / "shards").glob("*.h5"))
    return Verified(
        name=encoder.name,
        key=encoder.key,
        rows=rows,
        shards=shards,
        damaged=tuple(damaged),
        orphans=tuple(str(file) for file in files if file.name not in named),
    )


def _fault_of_shard(store: Store, encoder: StoredEncoder, receipt: Receipt) -> str:
    """Return what is wrong with the shard of a receipt; ``""`` if it is whole."""
    shard = encoder.folder / "shards" / str(receipt.shard)
    try:
        with shard.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"{shard.name}: {(error.strerror or str(error)).lower()}"
    size = shard.stat().st_size
    if size != receipt.bytes:
        return f"{shard.name}: {size} bytes, and {receipt.bytes} were written"
    if digest != receipt.sha256:
        return f"{shard.name}: other bytes than were written"
    try:
        digests, x = store.read_shard(encoder, receipt)
    except XprobeError as error:
        return str(error)
    if x.shape != (receipt.rows, encoder.spec.dim) or len(digests) != receipt.rows:
        return f"{shard.name}: features of shape {x.shape}"
    return "" if np.isfinite(x).all() else f"{shard.name}: features that are not finite"


# --- merge ---------------------------------------------------------------------------------


class Merged(Document, frozen=True, kw_only=True):
    """What a merge copied of an encoder, because the other store lacked it.

    Attributes:
        name, key: name and key of the encoder.
        shards, rows: shards and rows that were copied.
    """

    name: str
    key: str
    shards: int
    rows: int


def merge(source: Store, into: Store, progress: Progress = no_progress) -> list[Merged]:
    """Copy what a store holds into another one, which keeps what it has; runs can be repeated.

    Encoders that only a newer xprobe can use are left out.

    Raises:
        XprobeError: a receipt or a shard is damaged.
    """
    done = []
    for encoder in source.encoders():
        target = into.add_encoder(encoder.name, encoder.spec)
        shards = rows = 0
        files = source.receipt_files(encoder)
        with progress(f"merge {encoder.name}", len(files)) as advance:
            for file in files:
                advance(1)
                receipt = source.receipt(file)
                to = target.folder / "receipts" / file.name
                if to.exists():
                    continue
                if receipt.shard is not None:
                    if wrong := _fault_of_shard(source, encoder, receipt):
                        raise XprobeError(
                            f"{source.folder}: {wrong}; run 'xprobe store verify {source.folder}'"
                        )
                    shard = encoder.folder / "shards" / receipt.shard
                    put(target.folder / "shards" / receipt.shard, shard.read_bytes())
                create_if_absent(to, file.read_bytes())
                shards, rows = shards + (receipt.shard is not None), rows + receipt.rows
        for folder, pattern in (("text", "*.npz"), (".", "agreement.json")):
            for file in (encoder.folder / folder).glob(pattern):
                to = target.folder / folder / file.name
                to.parent.mkdir(exist_ok=True)
                create_if_absent(to, file.read_bytes())
        done.append(Merged(name=encoder.name, key=encoder.key, shards=shards, rows=rows))
    return done


# --- export --------------------------------------------------------------------------------


def export(store: Store, encoder: StoredEncoder, file: str | Path, images: Manifest | None) -> int:
    """Write the features of an encoder into one file, and return the number of rows.

    With a manifest, the rows are those of its images in its order, with all of its columns; else
    those of all contents, sorted by digest. HDF5 and NumPy files hold the features as an array
    ``x`` (n, d) float32 beside the columns, Parquet files as a column ``x`` of lists. Safetensors
    hold arrays of numbers alone: ``x``, ``sha256`` (n, 32), and ``label`` as positions in the list
    of classes, which is in the metadata.

    Raises:
        XprobeError: a suffix not in `EXPORTS`, or images that have no features.
    """
    file = Path(file)
    if file.suffix not in EXPORTS:
        raise XprobeError(f"{file}: name a file {', '.join(EXPORTS)}")
    columns: Columns = {}
    if images is None:
        index = store.index(encoder)
        digests = sorted(index.rows)
        x = index.stored_rows(digests, encoder.spec.dim)[np.arange(len(digests))]
    else:
        features, failed = store.read(encoder, images)
        kept = images.select(~np.isin(images.id.astype(str), list(failed)))
        x, digests = features.x, kept.sha256.tolist()
        columns = {name: getattr(kept, name) for name in kept.columns() if name != "sha256"}
    columns = {"sha256": frozen_strings(digests), **columns}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".tmp-{file.name}")
    try:
        _WRITERS[file.suffix](temporary, np.ascontiguousarray(x), columns, encoder)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return len(x)


def _name_and_key(encoder: StoredEncoder) -> dict[str, str]:
    return {"encoder": encoder.name, "key": encoder.key}


def _as_hdf5(file: Path, x: Floats, columns: Columns, encoder: StoredEncoder) -> None:
    write_datasets(file, {"x": x, **columns}, _name_and_key(encoder))


def _as_npz(file: Path, x: Floats, columns: Columns, encoder: StoredEncoder) -> None:
    texts = {name: np.asarray(values, dtype=str) for name, values in columns.items()}
    texts |= {name: np.array(value) for name, value in _name_and_key(encoder).items()}
    with file.open("wb") as stream:
        np.savez(stream, x=x, **texts)  # type: ignore[arg-type]  # No name is allow_pickle.


def _as_parquet(file: Path, x: Floats, columns: Columns, encoder: StoredEncoder) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    table = pa.table({**{name: column.tolist() for name, column in columns.items()}, "x": values})
    pq.write_table(table.replace_schema_metadata(_name_and_key(encoder)), file)


def _as_safetensors(file: Path, x: Floats, columns: Columns, encoder: StoredEncoder) -> None:
    from safetensors.numpy import save_file

    raw = bytes.fromhex("".join(columns["sha256"]))
    tensors = {"x": x, "sha256": np.frombuffer(raw, dtype=np.uint8).reshape(-1, 32).copy()}
    about = _name_and_key(encoder)
    if "label" in columns:
        names, label = np.unique(columns["label"].astype(str), return_inverse=True)
        tensors["label"] = label.astype(np.int64)
        about["classes"] = json.dumps(names.tolist())
        about["id"] = json.dumps(columns["id"].tolist())
    save_file(tensors, str(file), about)


_WRITERS = {
    ".h5": _as_hdf5, ".hdf5": _as_hdf5, ".npz": _as_npz, ".parquet": _as_parquet,
    ".safetensors": _as_safetensors,
}  # fmt: skip


# --- clear up ------------------------------------------------------------------------------


class Collected(Document, frozen=True, kw_only=True):
    """What became of clearing up an encoder's shards.

    Attributes:
        name, key: name and key of the encoder.
        rows: rows that it has.
        shards_before, shards: files of features, before and after.
        freed_mib: how much smaller these files are, MiB; negative if they grew.
    """

    name: str
    key: str
    rows: int
    shards_before: int
    shards: int
    freed_mib: Number


def collect(store: Store, encoder: StoredEncoder, progress: Progress = no_progress) -> Collected:
    """Make small shards into large ones, and delete files that count for nothing.

    No other process may embed meanwhile.

    A kill at any instant loses nothing: new shards count before old ones are deleted.

    Raises:
        XprobeError: a receipt or a shard is damaged.
    """
    index, old = store.index(encoder), store.receipt_files(encoder)
    folder = encoder.folder / "shards"
    before = sum(file.stat().st_size for file in folder.glob("*.h5"))
    shards_before = sum(store.receipt(file).shard is not None for file in old)
    digests, failed = sorted(index.rows), dict(index.failed)
    written: set[Path] = set()
    with progress(f"gather {encoder.name}", len(digests)) as advance:
        for part in _runs_of_digests(digests) if old else ():
            x = index.stored_rows(part, encoder.spec.dim)[np.arange(len(part))]
            written.add(store.write_shard(encoder, part, x, failed))
            failed = {}
            advance(len(part))
    for file in old:
        if file not in written:
            file.unlink(missing_ok=True)
    named = {receipt.shard for receipt in store.receipts(encoder)} - {None}
    for shard in folder.glob("*.h5"):
        if shard.name not in named:
            shard.unlink(missing_ok=True)
    after = sum(file.stat().st_size for file in folder.glob("*.h5"))
    return Collected(
        name=encoder.name,
        key=encoder.key,
        rows=len(digests),
        shards_before=shards_before,
        shards=len(named),
        freed_mib=round((before - after) / 2**20, 3),
    )


def _runs_of_digests(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the digests in runs of a shard's length; without any an empty one, for the failures."""
    for start in range(0, max(len(digests), 1), MERGED_ROWS):
        yield digests[start : start + MERGED_ROWS]
