"""Images × encoders → store: the only loop over frozen forward passes.

As many threads as cores each read, decode and forward images of their own, with one thread of
linear algebra each, so that every core computes all the time and nothing waits in a queue but
finished rows; on many cores each has a process beside it that reads and decodes. One image is
decoded once for all encoders of a run.
"""

from __future__ import annotations

import csv
import io
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path

import joblib

from xprobe.base.atomic import put
from xprobe.base.documents import replace
from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.base.progress import Progress, no_progress
from xprobe.base.visible import visible
from xprobe.encoders.load import Encoder, check_name, load
from xprobe.engine.execution import Execution
from xprobe.features.aliases import check_aliases, give_aliases, whole_names
from xprobe.features.config import EmbedConfig
from xprobe.features.decode_process import (
    CHANGED,
    MOST_THREADS,
    DecodeProcess,
    Eyes,
    Failure,
    Fill,
    Request,
    can_see_elsewhere,
)
from xprobe.features.items import Item, Streamed, ViewId, items_in, items_of, names_of
from xprobe.features.lane import Batch, Embedded, Lane, Rows
from xprobe.features.reading import reading_of
from xprobe.features.store import Store
from xprobe.features.words import words_of
from xprobe.images import contents
from xprobe.images.augment import VIEWS, steps_of
from xprobe.images.manifest import Manifest

# With a process beside it, a thread takes at most so many images at once.
CHUNK = 32


def chunk_size(images: int, threads: int) -> int:
    """Return how many images a thread takes, after all threads together took `images`.

    They are few beside what each thread has had, so that in the end none works long for itself.
    """
    return min(CHUNK, 1 + images // (16 * threads))


class UnreadError(XprobeError):
    """Archives could not be read to their end; all images that were read are embedded.

    Attributes:
        done: what `embed_all` returns otherwise.
    """

    def __init__(self, message: str, done: list[Embedded]) -> None:
        super().__init__(message)
        self.done = done


class _Run:
    """The items that threads take from, and the rows that they have finished."""

    def __init__(
        self, items: Iterable[Item], lanes: Sequence[Lane], views: Sequence[ViewId], threads: int
    ) -> None:
        self._items, self._lanes, self._views = iter(items), lanes, views
        self._lock = threading.Lock()
        self._left = [Batch(lane) for lane in lanes]  # What ended threads have left.
        self._threads = self._working = threads
        self._encoders = [lane.encoder for lane in lanes]
        self._elsewhere = threads > MOST_THREADS and all(map(can_see_elsewhere, self._encoders))
        self.images = 0
        self.stopped = False
        # Finished rows are few and small beside the images; a full queue makes threads wait.
        self.done: queue.Queue[tuple[Lane, Rows] | int | BaseException | None] = queue.Queue(256)

    def _eyes(self) -> AbstractContextManager[Eyes | DecodeProcess]:
        if self._elsewhere:
            return DecodeProcess(self._encoders)
        return nullcontext(Eyes(self._encoders))

    def _next_items(self) -> list[Item]:
        """Return the items that a thread works on next; there are none at the end."""
        with self._lock:
            n = chunk_size(self.images, self._threads) if self._elsewhere else 1
            items = [] if self.stopped else list(islice(self._items, n))
            self.images += len(items)
            return items

    def work(self) -> None:
        """Embed items until there are no more."""
        batches = [Batch(lane) for lane in self._lanes]
        try:
            for encoder in self._encoders:
                encoder.prepare_thread()
            with self._eyes() as eyes:
                while items := self._next_items():
                    self._embed(items, eyes, batches)
                    self.done.put(len(items))
            for lane, batch in self._last_batches(batches):
                self.done.put((lane, batch.forward()))
        except BaseException as error:  # The main thread must know of any error.
            self.done.put(error)
        finally:
            self.done.put(None)

    def _last_batches(self, batches: Sequence[Batch]) -> list[tuple[Lane, Batch]]:
        """Return full batches of the images that ended threads have left, and the last thread all.

        A short batch is padded and takes as long as a full one, so that there should be only one.
        """
        last: list[tuple[Lane, Batch]] = []
        with self._lock:
            self._working -= 1
            for i, (lane, batch) in enumerate(zip(self._lanes, batches, strict=True)):
                batch.add_from(self._left[i])
                if batch.is_full:
                    last.append((lane, batch))
                else:
                    self._left[i] = batch
                if not self._working and self._left[i]:
                    last.append((lane, self._left[i]))
        return [] if self.stopped else last

    def _embed(
        self, items: Sequence[Item], eyes: Eyes | DecodeProcess, batches: Sequence[Batch]
    ) -> None:
        """Add the images that an encoder lacks to its batch, which is embedded when it is full."""

        def add(number: int, name: str, fill: Fill) -> None:
            batch = batches[number]
            batch.add(name, fill)
            if batch.is_full:
                self.done.put((self._lanes[number], batch.forward()))

        wanted = self._wanted(items, eyes)
        outcomes = eyes.see([request for _, request in wanted], add)
        for (item, request), failures in zip(wanted, outcomes, strict=True):
            for (number, _), failure in zip(request.views, failures, strict=True):
                lane = self._lanes[number]
                if failure is None:
                    lane.compare(item)
                    continue
                views = len(self._views) if item.has_views else 0
                rows = lane.refuse(item, request.digest, failure.reason, views)
                if failure.lasts:
                    self.done.put((lane, rows))
            if self.stopped:
                return

    def _wanted(
        self, items: Sequence[Item], eyes: Eyes | DecodeProcess
    ) -> list[tuple[Item, Request]]:
        """Return the items of which an encoder lacks features, with what is to be seen of them."""
        known, unknown = list[tuple[Item, str]](), list[Item]()
        for item in items:
            if item.fault:
                self._leave_out(item, item.fault)
            elif all(lane.knows(item, self._views) for lane in self._lanes):
                known.append((item, item.digest))
            else:
                unknown.append(item)
        places = [(item.path, item.span) for item in unknown]
        read = list[tuple[Item, str]]()
        for item, digest in zip(unknown, eyes.digests(places) if places else [], strict=True):
            if isinstance(digest, Failure):
                self._leave_out(item, digest.reason)
            elif item.digest and digest != item.digest:
                self._leave_out(item, CHANGED)
            else:
                read.append((item, digest))
        for lane in self._lanes:
            lane.claim(known, self._views)
        claims = [lane.claim(read, self._views) for lane in self._lanes]
        wanted = []
        for (item, digest), names_by_lane in zip(read, zip(*claims, strict=True), strict=True):
            views = [(number, names) for number, names in enumerate(names_by_lane) if names]
            if views:
                wanted.append((item, Request((item.path, item.span), digest, views)))
        return wanted

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
    titles = store.titles()
    who = ", ".join(titles[lane.stored.key] for lane in lanes)
    with progress(f"embed {who}", total) as advance:
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
    names = dict.fromkeys(steps_of(name)[0] for name in augment)
    return [(name, i) for name in names for i in range(number)]


def embed_all(
    images: Manifest | Streamed,
    names: Sequence[str],
    folder: Path,
    config: EmbedConfig = EmbedConfig(),
    execution: Execution = Execution(),
    *,
    progress: Progress = no_progress,
) -> list[Embedded]:
    """Embed with several encoders at once, and list what failed in the store's failed.csv.

    Args:
        images: a manifest, or files for `items_in`, whose images have neither classes nor views.
        names: names of the encoders; ``ALIAS=name`` also gives one a short name.
        folder: folder of the store.
        config: how images are embedded.
        execution: the device, and the number of threads; no more of it is used.
        progress: how long work is shown.

    Raises:
        XprobeError: an unknown encoder, missing weights, a newer store, a short name that another
            encoder has: before any work.
        UnreadError: archives that cannot be read to their end: after all the work.
    """
    aliases = whole_names(folder, names)
    has_network = {name: check_name(name)[0].has_networks for name in aliases}
    if config.random_weights and any(has_network.values()) and not all(has_network.values()):
        without = ", ".join(name for name in aliases if not has_network[name])
        said = f"--random-weights is not for {without}: no weights of it could be left out"
        warnings.warn(said, XprobeWarning, stacklevel=2)
    if not isinstance(images, Manifest) and (config.augment or config.prompts):
        raise XprobeError(
            f"{names_of(images)}: images without classes have neither prompts nor views; name a "
            f"folder or a manifest with classes"
        )
    words = None
    if isinstance(images, Manifest) and config.prompts:
        words = words_of(images, config.prompts)
    reading = reading_of(images, config.bands, config.stretch)
    store = Store(folder, create=True)
    encoders = {
        name: load(
            name, execution.device, config.precision, config.layer,
            config.random_weights and (has_network[name] or not any(has_network.values())),
            config.codec, config.resampling, reading=reading,
        )
        for name in aliases
    }  # fmt: skip
    given = {encoders[name].spec.key: alias for name, alias in aliases.items() if alias}
    check_aliases(store, given)
    stored = {name: store.add_encoder(name, encoder.spec) for name, encoder in encoders.items()}
    give_aliases(store, given)
    titles = store.titles()
    if words is not None:
        for name, encoder in encoders.items():
            title = f"embed texts {titles[encoder.spec.key]}"
            words.embed(encoder, stored[name], store, progress, title)
    items: Iterable[Item]
    unread: list[str] = []
    if isinstance(images, Manifest):
        items, total = items_of(images, bool(config.augment)), len(images)
    else:
        items, total = items_in(images, unread), None
    number, shards = config.shard
    if shards > 1:
        items, total = (i for i in items if contents.is_of_shard(i.id, number, shards)), None
    done = embed_items(
        items, encoders, store, total=total, batch_size=config.batch_size,
        views=_numbered_views(config.augment, config.views), workers=execution.workers,
        progress=progress,
    )  # fmt: skip
    done = [replace(outcome, alias=titles[outcome.key]) for outcome in done]
    _list_failures(failed_file(folder, config.shard), done)
    if unread:
        raise UnreadError("; ".join(unread), done)
    return done


def failed_file(store: Path, shard: tuple[int, int]) -> Path:
    """Return the file that lists what could not be embedded: one for each part of the images."""
    number, shards = shard
    return store / ("failed.csv" if shards == 1 else f"failed-{number}-of-{shards}.csv")


def _list_failures(file: Path, done: Sequence[Embedded]) -> None:
    failed = [
        tuple(map(visible, (summary.name, id_, summary.failed_paths[id_], reason)))
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
    put(file, table.getvalue().encode())
