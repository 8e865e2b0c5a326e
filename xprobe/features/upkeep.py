"""Looking after a feature store: what it holds, whether it is whole, merging, clearing up.

All of it may run while other processes embed and read (docs/reference/store.md).
"""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from xprobe.base.atomic import create_if_absent, discard_stale
from xprobe.base.documents import Document, Number
from xprobe.base.errors import UnreadableError, XprobeError, XprobeWarning
from xprobe.base.lock import Lock
from xprobe.base.progress import Progress, no_progress
from xprobe.features.aliases import give_aliases
from xprobe.features.inside import listed, read_bytes
from xprobe.features.records import SHARD_NAME, Receipt, decoders
from xprobe.features.shards import Index, Shard, ShardError, StoredEncoder
from xprobe.features.store import Store
from xprobe.features.texts import check_texts, copy_texts, gather_texts, read_texts

# Many small shards are made into shards of so many rows.
MERGED_ROWS = 65_536

# The lock of `collect` in an encoder's folder.
LOCK = "gc.lock"

# A shard waits a moment for its receipt; one that is older and has none was left by a kill.
YOUNG_S = 3600.0


class Held(Document, frozen=True, kw_only=True):
    """What a store holds of an encoder.

    Attributes:
        name, key, dim: name, key and feature length of the encoder.
        alias: short name by which people read it.
        rows: contents that have a feature.
        failed: contents that cannot be embedded.
        shards: files of features.
        mib: size of these files, MiB.
        texts: captions and prompts that have a feature.
        cosine_to_reference: least cosine of a feature to the exact one, if the encoder takes a
            short cut; else None.
    """

    name: str
    alias: str
    key: str
    dim: int
    rows: int
    failed: int
    shards: int
    mib: Number
    texts: int
    cosine_to_reference: Number | None


def describe(store: Store, encoder: StoredEncoder) -> Held:
    """Return what a store holds of an encoder.

    Raises:
        XprobeError: a receipt or a shard is damaged.
    """
    index = store.index(encoder)
    agreement = store.agreement(encoder)
    return Held(
        name=encoder.name,
        alias=store.titles()[encoder.key],
        key=encoder.key,
        dim=encoder.spec.dim,
        rows=len(index.rows),
        failed=len(index.failed),
        shards=len(index.rows.shards),
        mib=round(sum(shard.bytes for shard in index.rows.shards) / 2**20, 3),
        texts=len(read_texts(encoder).row_of),
        cosine_to_reference=None if agreement is None else agreement.least_cosine,
    )


# --- verify --------------------------------------------------------------------------------


class Verified(Document, frozen=True, kw_only=True):
    """What became of checking an encoder's shards.

    Attributes:
        name, key: name and key of the encoder.
        alias: short name by which people read it.
        rows: rows in shards that are whole.
        shards: shards that are whole.
        damaged: (receipt file, what is wrong with it or its shard), and the same of files of texts.
        unreadable: (receipt file, why it or its shard cannot be read now), which may pass.
        orphans: files of shards without a receipt, which count for nothing.
    """

    name: str
    alias: str
    key: str
    rows: int
    shards: int
    damaged: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    orphans: tuple[str, ...]


def verify(store: Store, encoder: StoredEncoder, progress: Progress = no_progress) -> Verified:
    """Read every shard of an encoder, and compare its digest with that in its receipt."""
    named: set[str] = set()
    damaged: list[tuple[str, str]] = []
    unreadable: list[tuple[str, str]] = []
    rows = shards = 0
    files, alias = store.receipt_files(encoder), store.titles()[encoder.key]
    with progress(f"verify {alias}", len(files)) as advance:
        for file in files:
            advance(1)
            try:
                shard = store.shard(encoder, file, store.receipt(file))
                if shard is None:
                    continue
                named.add(shard.name)
                _check_features(shard)
                rows, shards = rows + shard.rows, shards + 1
            except FileNotFoundError:  # `gc` has deleted the receipt meanwhile.
                continue
            except ShardError as error:
                assert shard is not None  # It is the shard that raises this error.
                if not (error.is_gone and not file.exists()):
                    damaged.append((str(file), f"{shard.name}: {error.reason}"))
            except UnreadableError as error:
                unreadable.append((str(file), str(error)))
            except XprobeError as error:
                damaged.append((str(file), str(error).removeprefix(f"{file}: ")))
    damaged_texts, unreadable_texts = check_texts(encoder)
    return Verified(
        name=encoder.name,
        alias=alias,
        key=encoder.key,
        rows=rows,
        shards=shards,
        damaged=(*damaged, *damaged_texts),
        unreadable=(*unreadable, *unreadable_texts),
        orphans=tuple(
            str(file) for file in listed(encoder.folder / "shards", ".h5") if file.name not in named
        ),
    )


def _check_features(shard: Shard) -> None:
    """Check a shard, and that its features are finite, of which a receipt says nothing."""
    shard.check()
    with shard.open() as h5:
        is_finite = np.isfinite(h5["x"][:]).all()
    if not is_finite:
        raise shard.error("features that are not finite")


# --- merge ---------------------------------------------------------------------------------


class Merged(Document, frozen=True, kw_only=True):
    """What a merge copied of an encoder, because the other store lacked it.

    Attributes:
        name, key: name and key of the encoder.
        alias: short name by which people read it in the store that it was copied from.
        shards, rows: shards and rows that were copied.
        texts: features of captions and prompts that were copied.
    """

    name: str
    alias: str
    key: str
    shards: int
    rows: int
    texts: int


def merge(source: Store, into: Store, progress: Progress = no_progress) -> list[Merged]:
    """Copy what a store holds into another one, which keeps what it has; runs can be repeated.

    Encoders that cannot be used are left out. What `gc` does to either store meanwhile is no harm.

    Raises:
        XprobeError: a receipt or a shard is damaged.
    """
    done = []
    for encoder in source.encoders():
        target = into.add_encoder(encoder.name, encoder.spec)
        if encoder.alias and not target.alias:
            try:
                give_aliases(into, {target.key: encoder.alias})
            except XprobeError as error:  # The features are worth more than their name.
                warnings.warn(str(error), XprobeWarning, stacklevel=2)
        shards = rows = 0
        files, alias = source.receipt_files(encoder), source.titles()[encoder.key]
        with progress(f"merge {alias}", len(files)) as advance:
            while files:
                file = files.pop(0)
                try:
                    receipt = _copy(source, encoder, file, target)
                except (FileNotFoundError, ShardError):
                    if file.exists():
                        raise
                    files = source.receipt_files(encoder)  # `gc` has put its rows into others.
                    continue
                advance(1)
                if receipt is not None:
                    shards, rows = shards + (receipt.shard is not None), rows + receipt.rows
        texts = listed(encoder.folder / "text", ".npz")
        for file in (*texts, *listed(encoder.folder, "agreement.json")):
            content = read_bytes(file)
            to = target.folder / file.relative_to(encoder.folder)
            to.parent.mkdir(exist_ok=True)
            create_if_absent(to, content)
        done.append(
            Merged(
                name=encoder.name, alias=alias, key=encoder.key, shards=shards, rows=rows,
                texts=copy_texts(encoder, target),
            )
        )  # fmt: skip
    return done


def _copy(
    source: Store, encoder: StoredEncoder, file: Path, target: StoredEncoder
) -> Receipt | None:
    """Copy a receipt and its shard, and return it, unless the target has it.

    Raises:
        FileNotFoundError: the receipt is gone.
        ShardError, XprobeError: it or its shard is damaged or cannot be read.
    """
    to = target.folder / "receipts" / file.name
    if to.exists():
        return None
    receipt, content = source.receipt(file), b""
    if shard := source.shard(encoder, file, receipt):
        _check_features(shard)
        content = shard.file.read_bytes()
    source.put_receipt(to, receipt, content)
    return receipt


# --- clear up ------------------------------------------------------------------------------


class Collected(Document, frozen=True, kw_only=True):
    """What became of clearing up an encoder's shards.

    Attributes:
        name, key: name and key of the encoder.
        alias: short name by which people read it.
        rows: rows that it has.
        shards_before, shards: files of features, before and after.
        freed_mib: how much smaller these files are, MiB; negative if they grew.
    """

    name: str
    alias: str
    key: str
    rows: int
    shards_before: int
    shards: int
    freed_mib: Number


def collect(store: Store, encoder: StoredEncoder, progress: Progress = no_progress) -> Collected:
    """Make small shards into large ones, and delete files that count for nothing.

    Others may read, embed and merge meanwhile, and a kill at any instant loses nothing: new shards
    count before old ones are deleted. Of several that clear up one waits for the other.

    Raises:
        XprobeError: a receipt or a shard is damaged; then nothing is changed.
    """
    folder = encoder.folder / "shards"
    with Lock(encoder.folder / LOCK) as lock:
        index = store.index(encoder)
        before = _size(folder)
        for shard in index.rows.shards:
            index.rows.check(shard)
        old = {shard.name for shard in index.rows.shards}
        digests = sorted(index.rows)
        written = set(_gather(store, encoder, index, digests, progress))
        lock.check()
        now = lock.file.stat().st_mtime
        for file in index.receipts:
            if file not in written:
                file.unlink(missing_ok=True)
        named = {shard.name for shard in store.index(encoder).rows.shards}
        for file in listed(folder, ".h5"):
            with suppress(FileNotFoundError):
                if file.name not in named and (file.name in old or _is_left_over(file, now)):
                    _discard(file)
        gather_texts(encoder)
        for part in (folder, encoder.folder / "receipts"):
            discard_stale(part)
    return Collected(
        name=encoder.name,
        alias=store.titles()[encoder.key],
        key=encoder.key,
        rows=len(digests),
        shards_before=len(old),
        shards=len(named),
        freed_mib=round((before - _size(folder)) / 2**20, 3),
    )


def _gather(
    store: Store, encoder: StoredEncoder, index: Index, digests: Sequence[str], progress: Progress
) -> Iterator[Path]:
    """Write all rows and failures of an index into large shards, and yield their receipts."""
    settled = {d: reason for d, reason in index.failed.items() if d not in index.doubtful}
    doubtful = {d: reason for d, reason in index.failed.items() if d in index.doubtful}
    none = np.empty((0, encoder.spec.dim), dtype=np.float32)
    for failed, under in ((settled, decoders()), (doubtful, "")):
        if failed:
            yield store.write_shard(encoder, [], none, failed, failed_under=under)
    with progress(f"gather {encoder.name}", len(digests)) as advance:
        for start in range(0, len(digests), MERGED_ROWS):
            part = digests[start : start + MERGED_ROWS]
            x = index.stored_rows(part, encoder.spec.dim)[np.arange(len(part))]
            yield store.write_shard(encoder, part, x, {})
            advance(len(part))


def _size(folder: Path) -> int:
    """Return the bytes of all shards; those of others may be deleted meanwhile."""
    total = 0
    for file in listed(folder, ".h5"):
        with suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


def _is_left_over(file: Path, now: float) -> bool:
    """Return whether a shard without a receipt was left by a kill, and not written just now.

    `now` is what the file system has for the time, since clocks of machines differ.
    """
    return bool(re.search(SHARD_NAME, file.name)) and now - file.lstat().st_mtime > YOUNG_S


def _discard(shard: Path) -> None:
    """Delete a shard, unless another process has written it and its receipt anew at this moment."""
    aside = shard.with_name(f".tmp-{uuid.uuid4().hex}")
    shard.rename(aside)
    digits = shard.name.partition("-")[0]
    receipts = listed(shard.parent.with_name("receipts"), ".json")
    if any(receipt.name.startswith(digits) for receipt in receipts) and not shard.exists():
        aside.rename(shard)
    else:
        aside.unlink()
