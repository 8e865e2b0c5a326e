"""Manifest × encoder → store: the only loop over frozen forward passes."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import joblib
import numpy as np

from xprobe.augment import augmented
from xprobe.encoders import Encoder, canonical, check_name, load
from xprobe.images import UnusableImageError
from xprobe.prompts import embed_classes
from xprobe.prompts import read as read_prompts
from xprobe.store import Store, digests_to_embed, put
from xprobe.types import PRECISIONS, Floats, Manifest, Progress, no_progress
from xprobe.views import VIEWS, check_views, view_digest

SHARD_ROWS = 4096
FIRST_SHARD_S, SHARD_S = 2.0, 30.0  # a kill costs at most a third of a run, and never more


@dataclass(frozen=True)
class Embedded:
    """What one run of `embed` did; images = embedded + reused + failed.

    Attributes:
        name, key, dim: of the encoder.
        images: images of the manifest, and views of them.
        embedded: contents that went through the encoder now.
        reused: images whose content the store had, or another image of this run brought.
        failed: images that cannot be embedded.
        seconds, images_per_s: of this run, decoding and writing included.
        failures: id → reason.
    """

    name: str
    key: str
    dim: int
    images: int
    embedded: int
    reused: int
    failed: int
    seconds: float
    images_per_s: float
    failures: dict[str, str]


@dataclass
class _Batch:
    """What became of a batch: rows of `x` belong to `digests`."""

    digests: list[str] = field(default_factory=list)
    x: list[Floats] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)  # not a property of the content

    def add(self, other: _Batch) -> None:
        self.digests += other.digests
        self.x += other.x
        self.failed |= other.failed
        self.unreadable |= other.unreadable


def embed(
    manifest: Manifest,
    encoder: Encoder,
    name: str,
    store: Store,
    *,
    batch_size: int = 32,
    augment: Sequence[str] = (),
    views: int = VIEWS,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> Embedded:
    """Embed every content of a manifest that the store lacks.

    With `augment`, also so many views of each real training image, each with a draw of its own of
    every named augmentation, for alternatives to synthetic images.

    `workers` threads (default: one a core) each decode and forward batches of their own, so that
    every core computes all the time. Finished rows are put into the store after
    `FIRST_SHARD_S` seconds, then ever more rarely, at least every `SHARD_S` seconds, and when the
    run is interrupted.
    """
    start = time.monotonic()
    stored = store.add_encoder(name, encoder.spec)
    index = store.index(stored)
    work = [_Item(digest, digest) for digest in digests_to_embed(manifest, index)]
    every_view = _views_of(manifest, augment, views)
    work += [view for view in every_view if view.name not in index.rows]
    path_of = dict(zip(reversed(manifest.sha256), reversed(manifest.path), strict=True))
    unreadable: dict[str, str] = {}
    embedded = 0
    with progress(f"embed {name}", len(work)) as advance:
        for batch in _shards(_batches(work, path_of, encoder, batch_size, workers, advance)):
            if batch.digests or batch.failed:
                x = np.concatenate(batch.x) if batch.x else np.empty((0, encoder.spec.dim))
                store.write_shard(stored, batch.digests, x, batch.failed)
            embedded += len(batch.digests)
            unreadable |= batch.unreadable
    reasons = {"": "no such file, or not readable", **store.index(stored).failed, **unreadable}
    pairs = zip(manifest.id, manifest.sha256, strict=True)
    failures = {id_: reasons[digest] for id_, digest in pairs if digest in reasons}
    seconds = time.monotonic() - start
    images = len(manifest) + sum(view.content not in reasons for view in every_view)
    return Embedded(
        name=name,
        key=encoder.spec.key,
        dim=encoder.spec.dim,
        images=images,
        embedded=embedded,
        reused=images - embedded - len(failures),
        failed=len(failures),
        seconds=round(seconds, 3),
        images_per_s=round(embedded / seconds, 1),
        failures=failures,
    )


def embed_all(
    manifest: Manifest,
    names: Sequence[str],
    folder: Path,
    *,
    batch_size: int = 32,
    device: str = "auto",
    precision: str = PRECISIONS[0],
    layer: str | None = None,
    random_weights: bool = False,
    prompts: str | None = None,
    codec: str = "",
    augment: Sequence[str] = (),
    views: int = VIEWS,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> list[Embedded]:
    """Embed with each encoder in turn, and list what failed in the store's failed.csv.

    With a `codec` (`images.reencode`) every image goes through that first. With `prompts`
    (`prompts.read`) the classes too, as text, for zero-shot recognition.

    Raises:
        XprobeError: an unknown encoder (before any work), missing weights, a newer store.
    """
    names = list(dict.fromkeys(canonical(name) for name in names))
    for name in names:
        check_name(name)
    check_views(augment)
    chosen = read_prompts(prompts) if prompts else None
    store = Store(folder, create=True)
    done = []
    for name in names:
        encoder = load(name, device, precision, layer, random_weights, codec)
        if chosen is not None:
            text = embed_classes(encoder.embed_text, manifest.classes, chosen)
            store.put_text(store.add_encoder(name, encoder.spec), text)
        done.append(
            embed(
                manifest, encoder, name, store,
                batch_size=batch_size, augment=augment, views=views, workers=workers,
                progress=progress,
            )
        )  # fmt: skip
    _list_failures(folder / "failed.csv", manifest, done)
    return done


@dataclass(frozen=True)
class _Item:
    """What goes through the encoder: the content of a file, or an augmented view of it.

    Attributes:
        name: digest that its features are stored under.
        content: digest of the file.
        augmentation: of a view.
    """

    name: str
    content: str
    augmentation: str = ""


def _views_of(manifest: Manifest, augment: Sequence[str], views: int) -> list[_Item]:
    """Return the views of the real training images, each content once."""
    of = (manifest.source == "real") & (manifest.split == "train") & (manifest.sha256 != "")
    contents = dict.fromkeys(manifest.sha256[of])
    return [
        _Item(view_digest(content, name, number), content, name)
        for name in dict.fromkeys(augment)
        for number in range(views)
        for content in contents
    ]


def _list_failures(file: Path, manifest: Manifest, done: Sequence[Embedded]) -> None:
    path_of = dict(zip(manifest.id, manifest.path, strict=True))
    failed = [(e.name, id_, path_of[id_], why) for e in done for id_, why in e.failures.items()]
    if not failed:
        file.unlink(missing_ok=True)
        return
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["encoder", "id", "path", "reason"])
    writer.writerows(failed)
    put(file, table.getvalue().encode(errors="backslashreplace"))


def _shards(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """Gather batches into shards by rows and by age; an interrupt yields what is there."""
    shard = _Batch()
    start = since = time.monotonic()
    try:
        for batch in batches:
            shard.add(batch)
            now = time.monotonic()
            oldest_s = min(SHARD_S, max(FIRST_SHARD_S, (since - start) / 2))
            if len(shard.digests) >= SHARD_ROWS or now - since > oldest_s:
                full, shard, since = shard, _Batch(), now
                yield full
    except KeyboardInterrupt:
        yield shard
        raise
    yield shard


def _batches(
    work: list[_Item],
    path_of: dict[str, str],
    encoder: Encoder,
    batch_size: int,
    workers: int | None,
    advance: Callable[[int], None],
) -> Iterator[_Batch]:
    """Yield finished batches in order, at most two a worker ahead of the consumer."""
    workers = workers or joblib.cpu_count()
    todo = (work[i : i + batch_size] for i in range(0, len(work), batch_size))
    pool = ThreadPoolExecutor(workers, initializer=encoder.prepare_thread)
    queue: deque[Future[_Batch]] = deque()
    try:
        for items in todo:
            future = pool.submit(_run, items, path_of, encoder, batch_size)
            future.add_done_callback(partial(_report, advance, len(items)))
            queue.append(future)
            if len(queue) > 2 * workers:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _report(advance: Callable[[int], None], n: int, _done: Future[_Batch]) -> None:
    advance(n)


def _run(items: list[_Item], path_of: dict[str, str], encoder: Encoder, batch_size: int) -> _Batch:
    batch = _Batch()
    pixels = []
    for item in items:
        digest = item.content
        try:
            content = Path(path_of[digest]).read_bytes()
        except OSError as error:
            batch.unreadable[digest] = (error.strerror or str(error)).lower()
            continue
        if hashlib.sha256(content).hexdigest() != digest:
            batch.unreadable[digest] = "changed while it was being embedded; run again"
            continue
        try:
            seen = encoder.see(content)
        except UnusableImageError as error:
            if item.name == digest:  # what has no features has no views
                batch.failed[digest] = str(error)
            continue
        if item.augmentation:
            seen = augmented(seen, item.augmentation, seed=int(item.name[:12], 16))
        pixels.append(seen)
        batch.digests.append(item.name)
    if pixels:
        short = batch_size - len(pixels) if encoder.fixed_batch else 0
        padded = np.stack(pixels + [pixels[-1]] * short)
        batch.x.append(encoder.forward(padded)[: len(pixels)])
    return batch
