"""Images × encoders → store: the only loop over frozen forward passes.

As many threads as cores each read, decode and forward images of their own, with one thread of
linear algebra each, so that every core computes all the time and nothing waits in a queue but
finished rows; on many cores each has a process beside it that decodes. One image is decoded once
for all encoders of a run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import joblib

from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError
from xprobe.base.progress import Progress, no_progress
from xprobe.encoders.base import Pixels
from xprobe.encoders.load import Encoder, canonical, check_name, load
from xprobe.encoders.prompts import embed_classes
from xprobe.encoders.prompts import read as read_prompts
from xprobe.engine.execution import Execution
from xprobe.features.config import EmbedConfig
from xprobe.features.decode_process import (
    MOST_THREADS,
    DecodeProcess,
    DecoderDiedError,
    Look,
    can_see_elsewhere,
    look,
)
from xprobe.features.items import Item, ViewId, items_in, items_of
from xprobe.features.lane import Embedded, Lane, Rows
from xprobe.features.store import Store
from xprobe.images import contents
from xprobe.images.augment import VIEWS, augmented, check_views
from xprobe.images.decode import UnusableImageError
from xprobe.images.manifest import Manifest


class _Run:
    """The items that threads take from, and the rows that they have finished."""

    def __init__(
        self, items: Iterable[Item], lanes: Sequence[Lane], views: Sequence[ViewId], threads: int
    ) -> None:
        self._items, self._lanes, self._views = iter(items), lanes, views
        self._lock = threading.Lock()
        self._left: dict[Lane, tuple[list[str], list[Pixels]]] = {}  # Batches of ended threads.
        self._working = threads
        self._encoders = [lane.encoder for lane in lanes]
        self._elsewhere = threads > MOST_THREADS and all(map(can_see_elsewhere, self._encoders))
        self.images = 0
        self.stopped = False
        # Finished rows are few and small beside the images; a full queue makes threads wait.
        self.done: queue.Queue[tuple[Lane, Rows] | int | BaseException | None] = queue.Queue(256)

    def _next_item(self) -> Item | None:
        with self._lock:
            item = None if self.stopped else next(self._items, None)
            self.images += item is not None
            return item

    def work(self) -> None:
        """Embed items until there are no more."""
        waiting: dict[Lane, tuple[list[str], list[Pixels]]] = {}
        try:
            for lane in self._lanes:
                lane.encoder.prepare_thread()
                waiting[lane] = [], []
            with DecodeProcess(self._encoders) if self._elsewhere else nullcontext(look) as eyes:
                while (item := self._next_item()) is not None:
                    for lane, name, pixels in self._pixels_of_item(item, eyes):
                        names, batch = waiting[lane]
                        names.append(name)
                        batch.append(pixels)
                        if len(batch) >= lane.batch_size:
                            waiting[lane] = [], []
                            self.done.put((lane, lane.forward(names, batch)))
                    self.done.put(1)
            for lane, names, batch in self._last_batches(waiting):
                self.done.put((lane, lane.forward(names, batch)))
        except BaseException as error:  # The main thread must know of any error.
            self.done.put(error)
        finally:
            self.done.put(None)

    def _last_batches(
        self, waiting: dict[Lane, tuple[list[str], list[Pixels]]]
    ) -> list[tuple[Lane, list[str], list[Pixels]]]:
        """Return full batches of the images that ended threads have left, and the last thread all.

        A short batch is padded and takes as long as a full one, so that there should be only one.
        """
        batches = []
        with self._lock:
            self._working -= 1
            for lane, (last_names, last_batch) in waiting.items():
                names, batch = self._left.pop(lane, ([], []))
                names, batch = names + last_names, batch + last_batch
                size = lane.batch_size if self._working else max(1, len(batch))
                whole = len(batch) - len(batch) % size
                if whole:
                    batches.append((lane, names[:whole], batch[:whole]))
                self._left[lane] = names[whole:], batch[whole:]
        return [] if self.stopped else batches

    def _pixels_of_item(self, item: Item, eyes: Look) -> Iterator[tuple[Lane, str, Pixels]]:
        """Yield the pixels of an image for each encoder that lacks its features."""
        if all(lane.knows(item, self._views) for lane in self._lanes):
            for lane in self._lanes:
                lane.claim(item, item.digest, self._views)
            return
        try:
            content = contents.read(item.path, item.span)
        except OSError as error:
            self._leave_out(item, (error.strerror or str(error)).lower())
            return
        digest = hashlib.sha256(content).hexdigest()
        if item.digest and digest != item.digest:
            self._leave_out(item, "changed while it was being embedded; run again")
            return
        wanted = [(lane, lane.claim(item, digest, self._views)) for lane in self._lanes]
        wanted = [(lane, missing) for lane, missing in wanted if missing]
        if wanted:
            yield from self._pixels_of_content(item, digest, content, wanted, eyes)

    def _pixels_of_content(
        self,
        item: Item,
        digest: str,
        content: bytes,
        wanted: list[tuple[Lane, list[tuple[str, str]]]],
        eyes: Look,
    ) -> Iterator[tuple[Lane, str, Pixels]]:
        views = len(self._views) if item.has_views else 0
        try:
            seen_by_lane = eyes(content, [lane.encoder for lane, _ in wanted])
        except DecoderDiedError as error:
            # The content may decode another time, so that the store does not keep the failure.
            for lane, _ in wanted:
                lane.refuse(item, digest, str(error), views)
            return
        for (lane, missing), seen in zip(wanted, seen_by_lane, strict=True):
            if isinstance(seen, UnusableImageError):
                self.done.put((lane, lane.refuse(item, digest, str(seen), views)))
                continue
            lane.compare(content, seen)
            for name, augmentation in missing:
                pixels = seen
                if augmentation:
                    pixels = augmented(seen, augmentation, seed=int(name[:12], 16))
                yield lane, name, pixels

    def _leave_out(self, item: Item, reason: str) -> None:
        """Note that an image failed this time; its content may be readable in the next run."""
        for lane in self._lanes:
            lane.leave_out(item, reason)


def embed_items(
    items: Iterable[Item],
    encoders: dict[str, Encoder],
    store: Store,
    *,
    total: int | None = None,
    batch_size: int | None = None,
    views: Sequence[ViewId] = (),
    workers: int | None = None,
    progress: Progress = no_progress,
) -> list[Embedded]:
    """Embed with every encoder each content that the store lacks of it.

    Finished rows are put into the store after two seconds, then ever more rarely, at least every
    half a minute (lane.py), and when the run is interrupted. Memory does not depend on the
    number of images, but for some 30 bytes of each.

    Args:
        items: images, taken one after the other.
        encoders: the encoders by name.
        store: where their features go.
        total: number of items, for the progress; None: not known.
        batch_size: images a forward pass; None: what suits the device. Halved where that does not
            fit into its memory.
        views: (augmentation, number) of the views of images that have views.
        workers: threads; default one a core.
        progress: how long work is shown.
    """
    start = time.monotonic()
    lanes = [
        Lane(encoder, store, store.add_encoder(name, encoder.spec), batch_size)
        for name, encoder in encoders.items()
    ]
    run = _Run(items, lanes, views, workers or joblib.cpu_count())
    threads = [
        threading.Thread(target=run.work, daemon=True) for _ in range(workers or joblib.cpu_count())
    ]
    with progress(f"embed {', '.join(encoders)}", total) as advance:
        for thread in threads:
            thread.start()
        try:
            _gather(run, len(threads), advance)
        finally:
            for lane in lanes:
                lane.write()
    seconds = time.monotonic() - start
    return [lane.summary(run.images, seconds) for lane in lanes]


def _gather(run: _Run, threads: int, advance: Callable[[int], None]) -> None:
    """Take the finished rows of threads until they have ended, after an error of one as well."""
    first: BaseException | None = None
    while threads:
        try:
            message = run.done.get()
            if message is None:
                threads -= 1
            elif isinstance(message, int):
                advance(message)
            elif isinstance(message, BaseException):  # A thread failed, or its device.
                first, run.stopped = first or message, True
            else:
                lane, rows = message
                lane.take(rows)
        except BaseException as error:  # The user interrupts, or the disk is full.
            if first is not None and isinstance(error, KeyboardInterrupt):
                raise  # The user interrupts for the second time.
            first, run.stopped = first or error, True
    if first is not None:
        raise first


def embed(
    manifest: Manifest,
    encoder: Encoder,
    name: str,
    store: Store,
    *,
    batch_size: int | None = None,
    augment: Sequence[str] = (),
    views: int = VIEWS,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> Embedded:
    """Embed every content of a manifest that the store lacks, as `embed_items` does.

    With `augment`, also so many views of each real training image, each with a draw of its own of
    every named augmentation, for alternatives to synthetic images.
    """
    (done,) = embed_items(
        items_of(manifest, bool(augment)), {name: encoder}, store, total=len(manifest),
        batch_size=batch_size, views=_numbered_views(augment, views), workers=workers,
        progress=progress,
    )  # fmt: skip
    return done


def _numbered_views(augment: Sequence[str], number: int) -> list[ViewId]:
    return [(name, i) for name in dict.fromkeys(augment) for i in range(number)]


def embed_all(
    images: Manifest | str | Path,
    names: Sequence[str],
    folder: Path,
    config: EmbedConfig = EmbedConfig(),
    execution: Execution = Execution(),
    *,
    progress: Progress = no_progress,
) -> list[Embedded]:
    """Embed with several encoders at once, and list what failed in the store's failed.csv.

    Args:
        images: a manifest, or a file for `items_in`, which has neither classes nor views.
        names: names of the encoders.
        folder: folder of the store.
        config: how images are embedded.
        execution: the device, and the number of threads; no more of it is used.
        progress: how long work is shown.

    Raises:
        XprobeError: an unknown encoder, missing weights, a newer store: before any work.
    """
    names = list(dict.fromkeys(canonical(name) for name in names))
    for name in names:
        check_name(name)
    check_views(config.augment)
    chosen = read_prompts(config.prompts) if config.prompts else None
    if not isinstance(images, Manifest) and (config.augment or config.prompts):
        raise XprobeError(
            f"{images}: images without classes have neither prompts nor views; name a folder or a "
            f"manifest with classes"
        )
    store = Store(folder, create=True)
    encoders = {
        name: load(
            name, execution.device, config.precision, config.layer, config.random_weights,
            config.codec, config.resampling,
        )
        for name in names
    }  # fmt: skip
    if chosen is not None and isinstance(images, Manifest):
        for name, encoder in encoders.items():
            text = embed_classes(encoder.embed_text, images.classes, chosen)
            store.put_text(store.add_encoder(name, encoder.spec), text)
    items: Iterable[Item]
    if isinstance(images, Manifest):
        items, total = items_of(images, bool(config.augment)), len(images)
    else:
        items, total = items_in(images), None
    number, shards = config.shard
    if shards > 1:
        items, total = (i for i in items if contents.is_of_shard(i.id, number, shards)), None
    done = embed_items(
        items, encoders, store, total=total, batch_size=config.batch_size,
        views=_numbered_views(config.augment, config.views), workers=execution.workers,
        progress=progress,
    )  # fmt: skip
    _list_failures(failed_file(folder, config.shard), done)
    return done


def failed_file(store: Path, shard: tuple[int, int]) -> Path:
    """Return the file that lists what could not be embedded: one for each part of the images."""
    number, shards = shard
    return store / ("failed.csv" if shards == 1 else f"failed-{number}-of-{shards}.csv")


def _list_failures(file: Path, done: Sequence[Embedded]) -> None:
    failed = [
        (summary.name, id_, summary.failed_paths[id_], reason)
        for summary in done
        for id_, reason in sorted(summary.failures.items())
    ]
    if not failed:
        file.unlink(missing_ok=True)
        return
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["encoder", "id", "path", "reason"])
    writer.writerows(failed)
    put(file, table.getvalue().encode(errors="backslashreplace"))
