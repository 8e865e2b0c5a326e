"""Images × encoders → store: the only loop over frozen forward passes.

As many threads as cores each read, decode and forward images of their own, with one thread of
linear algebra each, so that every core computes all the time and nothing waits in a queue but
finished rows. One image is decoded once for all encoders of a run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

from xprobe import contents
from xprobe.augment import augmented
from xprobe.encoders import Encoder, canonical, check_name, load
from xprobe.errors import XprobeError
from xprobe.images import UnusableImageError, decode, is_image
from xprobe.prompts import embed_classes
from xprobe.prompts import read as read_prompts
from xprobe.store import Index, Store, StoredEncoder, put
from xprobe.towers import OutOfMemoryError, Pixels
from xprobe.types import PRECISIONS, Floats, Manifest, Progress, no_progress
from xprobe.views import VIEWS, check_views, view_digest

SHARD_ROWS = 4096
COMPARED = 8  # images whose features are compared with the reference's
FIRST_SHARD_S, SHARD_S = 2.0, 30.0  # a kill costs at most a third of a run, and never more

View = tuple[str, int]  # augmentation, and which of its views


@dataclass(frozen=True, slots=True)
class Item:
    """An image to embed.

    Attributes:
        id: what it is called.
        path: of its file, as in `contents.read`.
        digest: of its content; ``""``: not known yet.
        has_views: whether its augmented views are embedded, too.
        span: where it stands in an archive, if that is known.
    """

    id: str
    path: str
    digest: str = ""
    has_views: bool = False
    span: contents.Span | None = None


@dataclass(frozen=True)
class Embedded:
    """What one run of `embed` did; images = embedded + reused + failed.

    Attributes:
        name, key, dim: of the encoder.
        images: images that were looked at, and views of them.
        embedded: contents that went through the encoder now.
        reused: images whose content the store had, or another image of this run brought.
        failed: images that cannot be embedded.
        seconds, images_per_s: of this run, decoding and writing included; of several encoders at
            once, of all of them.
        asked_batch_size, batch_size: images a forward pass at the start of the run, and at its end;
            fewer if they did not fit into memory.
        cosine_to_reference: least cosine of the features of the first images to those of fp32 and
            Pillow's resizing, of an encoder that takes a short cut; else None.
        failures: id → reason.
        failed_paths: id → path of these.
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
    asked_batch_size: int
    batch_size: int
    cosine_to_reference: float | None
    failures: dict[str, str]
    failed_paths: dict[str, str]


# --- what a run embeds ---------------------------------------------------------------------


def items_of(manifest: Manifest, has_views: bool = False) -> Iterator[Item]:
    """Yield the images of a manifest; views are made of real training images alone."""
    columns = (manifest.id, manifest.path, manifest.sha256, manifest.source, manifest.split)
    for id_, path, digest, source, split in zip(*columns, strict=True):
        yield Item(id_, path, digest, has_views and (source, split) == ("real", "train"))


def items_in(file: str | Path) -> Iterator[Item]:
    """Yield the images of a tar archive, or of a text file with a path in each line.

    Paths are relative to the text file; they may be of archives, too. Nothing is kept in memory.

    Raises:
        XprobeError: an archive that cannot be read.
    """
    file = Path(file)
    if file.suffix == ".tar":
        for name, span in contents.members(file):
            if is_image(name):
                path = f"{file}::{name}"
                yield Item(path, path, span=span)
        return
    with file.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            path = line.rstrip("\r\n")
            if path.endswith(".tar"):
                yield from items_in(file.parent / path)
            elif path:
                yield Item(path, str(file.parent / path))


# --- one encoder of a run ------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Finished rows of an encoder, `x` those of `digests`; and what cannot be embedded."""

    digests: list[str] = field(default_factory=list)
    x: list[Floats] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class _Lane:
    """An encoder of a run: what it lacks, what became of the images, and rows to be written."""

    def __init__(
        self, encoder: Encoder, store: Store, stored: StoredEncoder, batch_size: int | None
    ) -> None:
        self.encoder, self.stored, self._store = encoder, stored, store
        self.batch_size = self._asked = batch_size or encoder.auto_batch_size
        self._index: Index = store.index(stored)
        self._lock = threading.Lock()
        self._claimed: set[bytes] = set()  # of this run
        self._twins: list[tuple[Item, str]] = []  # of contents that came before
        self._reasons = dict(self._index.failed)  # digest → why it cannot be embedded
        self._failures: dict[str, str] = {}
        self._path_of: dict[str, str] = {}
        self._viewed: set[bytes] = set()
        self._views = self._embedded = 0
        self._gathered: list[_Rows] = []
        self._comparing = threading.Lock()
        self._cosines: list[float] = []
        self._start = self._since = time.monotonic()

    def knows(self, item: Item, views: Sequence[View]) -> bool:
        """Return whether nothing is to be done for an item, without its content."""
        return bool(item.digest) and not self._missing(item, item.digest, views)

    def claim(self, item: Item, digest: str, views: Sequence[View]) -> list[tuple[str, str]]:
        """Return what of an item no one has embedded or begun to: (digest, augmentation)."""
        content = bytes.fromhex(digest)
        with self._lock:
            missing = self._missing(item, digest, views)
            is_new = any(name == digest for name, _ in missing)
            if not is_new and digest not in self._index.rows:  # it may fail yet, or has failed
                self._twins.append((item, digest))
            self._claimed |= {bytes.fromhex(name) for name, _ in missing}
            if item.has_views and content not in self._viewed:
                self._viewed.add(content)
                self._views += len(views) * (digest not in self._reasons)
            return missing

    def _missing(self, item: Item, digest: str, views: Sequence[View]) -> list[tuple[str, str]]:
        if digest in self._reasons:
            return []
        wanted = [(digest, "")]
        if item.has_views:
            wanted += [(view_digest(digest, name, number), name) for name, number in views]
        return [
            (name, augmentation)
            for name, augmentation in wanted
            if name not in self._index.rows and bytes.fromhex(name) not in self._claimed
        ]

    def refuse(self, item: Item, digest: str, reason: str, views: int) -> _Rows:
        """Note that a content cannot be embedded, nor so many views of it."""
        with self._lock:
            self._reasons[digest] = reason
            self._views -= views
        self.leave_out(item, reason)
        return _Rows(failed={digest: reason})

    def leave_out(self, item: Item, reason: str) -> None:
        """Note that an image is not embedded this time, whatever its content."""
        self._failures[item.id], self._path_of[item.id] = reason, item.path

    def forward(self, names: list[str], pixels: list[Pixels]) -> _Rows:
        """Return the features of images, in batches of the size that fits into memory."""
        x: list[Floats] = []
        start = 0
        while start < len(pixels):
            size = self.batch_size
            part = pixels[start : start + size]
            short = size - len(part) if self.encoder.fixed_batch else 0
            try:
                found = self.encoder.forward(np.stack(part + [part[-1]] * short))
            except OutOfMemoryError as error:
                self._halve(size, error)
                continue
            x.append(found[: len(part)])
            start += len(part)
        return _Rows(names, x)

    def _halve(self, size: int, error: OutOfMemoryError) -> None:
        with self._lock:
            if self.batch_size != size:
                return  # another thread was faster
            if size == 1:
                raise XprobeError(
                    f"{self.stored.name} does not fit into the memory of the device ({error}); "
                    f"use --device cpu, or a smaller encoder"
                ) from error
            self.batch_size = size // 2

    def compare(self, image: Image.Image, seen: Pixels) -> None:
        """Compare the features of the first images with those of the reference, if there is one."""
        if self.encoder.reference is None:
            return
        with self._comparing:
            if (reference := self.encoder.reference) is None:
                return
            try:
                (x,) = self.encoder.forward(seen[None])
                (y,) = reference.forward(reference.see(image)[None])
            except OutOfMemoryError:  # both do not fit; the features matter more
                self.encoder.reference = None
                return
            norms = float(np.linalg.norm(x) * np.linalg.norm(y))
            self._cosines.append(float(x @ y) / norms if norms else 1.0)
            if len(self._cosines) == COMPARED:
                self.encoder.reference = None  # its memory is wanted

    def take(self, rows: _Rows) -> None:
        """Gather finished rows into shards by number and by age."""
        self._gathered.append(rows)  # at once or not at all, when interrupted
        now = time.monotonic()
        oldest_s = min(SHARD_S, max(FIRST_SHARD_S, (self._since - self._start) / 2))
        n = sum(len(part.digests) for part in self._gathered)
        if n >= SHARD_ROWS or now - self._since > oldest_s:
            self.write()

    def write(self) -> None:
        """Put what is gathered into the store."""
        parts, self._gathered, self._since = self._gathered, [], time.monotonic()
        digests = [digest for part in parts for digest in part.digests]
        failed = {digest: reason for part in parts for digest, reason in part.failed.items()}
        if digests or failed:
            x = [np.empty((0, self.encoder.spec.dim), np.float32), *(x for p in parts for x in p.x)]
            self._store.write_shard(self.stored, digests, np.concatenate(x), failed)
        self._embedded += len(digests)

    def summary(self, images: int, seconds: float) -> Embedded:
        """Return what was done, of so many images."""
        for item, digest in self._twins:
            if digest in self._reasons:
                self.leave_out(item, self._reasons[digest])
        images += self._views
        failed = len(self._failures)
        cosine = min(self._cosines, default=None)
        if cosine is not None:
            about = {"images": len(self._cosines), "least_cosine": cosine}
            self._store.put_agreement(self.stored, about)
        return Embedded(
            name=self.stored.name,
            key=self.stored.key,
            dim=self.encoder.spec.dim,
            images=images,
            embedded=self._embedded,
            reused=images - self._embedded - failed,
            failed=failed,
            seconds=round(seconds, 3),
            images_per_s=round(self._embedded / seconds, 1),
            asked_batch_size=self._asked,
            batch_size=self.batch_size,
            cosine_to_reference=cosine,
            failures=self._failures,
            failed_paths=self._path_of,
        )


# --- the run -------------------------------------------------------------------------------


class _Run:
    """Items that threads take from, and what they have finished."""

    def __init__(
        self, items: Iterable[Item], lanes: Sequence[_Lane], views: Sequence[View], threads: int
    ) -> None:
        self._items, self._lanes, self._views = iter(items), lanes, views
        self._lock = threading.Lock()
        self._left: dict[_Lane, tuple[list[str], list[Pixels]]] = {}  # by threads that have ended
        self._working = threads
        self.images = 0
        self.stopped = False
        # Finished rows are few and small beside the images; a full queue makes threads wait.
        self.done: queue.Queue[tuple[_Lane, _Rows] | int | BaseException | None] = queue.Queue(256)

    def _next(self) -> Item | None:
        with self._lock:
            item = None if self.stopped else next(self._items, None)
            self.images += item is not None
            return item

    def work(self) -> None:
        """Embed items until there are no more."""
        waiting: dict[_Lane, tuple[list[str], list[Pixels]]] = {}
        try:
            for lane in self._lanes:
                lane.encoder.prepare_thread()
                waiting[lane] = [], []
            while (item := self._next()) is not None:
                for lane, name, pixels in self._look(item):
                    names, batch = waiting[lane]
                    names.append(name)
                    batch.append(pixels)
                    if len(batch) >= lane.batch_size:
                        waiting[lane] = [], []
                        self.done.put((lane, lane.forward(names, batch)))
                self.done.put(1)
            for lane, names, batch in self._last(waiting):
                self.done.put((lane, lane.forward(names, batch)))
        except BaseException as error:  # whatever it is, the main thread must know
            self.done.put(error)
        finally:
            self.done.put(None)

    def _last(
        self, waiting: dict[_Lane, tuple[list[str], list[Pixels]]]
    ) -> list[tuple[_Lane, list[str], list[Pixels]]]:
        """Return batches of what threads have left: full ones, and the last thread the rest.

        A short batch is padded, and takes as long as a full one.
        """
        found = []
        with self._lock:
            self._working -= 1
            for lane, (own_names, own) in waiting.items():
                names, batch = self._left.pop(lane, ([], []))
                names, batch = names + own_names, batch + own
                size = lane.batch_size if self._working else max(1, len(batch))
                whole = len(batch) - len(batch) % size
                if whole:
                    found.append((lane, names[:whole], batch[:whole]))
                self._left[lane] = names[whole:], batch[whole:]
        return [] if self.stopped else found

    def _look(self, item: Item) -> Iterator[tuple[_Lane, str, Pixels]]:
        """Yield what is made of an image for each encoder that lacks it."""
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
            yield from self._see(item, digest, content, wanted)

    def _see(
        self,
        item: Item,
        digest: str,
        content: bytes,
        wanted: list[tuple[_Lane, list[tuple[str, str]]]],
    ) -> Iterator[tuple[_Lane, str, Pixels]]:
        image: Image.Image | None = None
        for lane, missing in wanted:
            try:
                image = image or decode(content)
                seen = lane.encoder.see(image)
            except UnusableImageError as error:
                views = len(self._views) if item.has_views else 0
                self.done.put((lane, lane.refuse(item, digest, str(error), views)))
                continue
            lane.compare(image, seen)
            for name, augmentation in missing:
                pixels = seen
                if augmentation:
                    pixels = augmented(seen, augmentation, seed=int(name[:12], 16))
                yield lane, name, pixels

    def _leave_out(self, item: Item, reason: str) -> None:
        """Note it of the image, not of its content: it may be there another time."""
        for lane in self._lanes:
            lane.leave_out(item, reason)


def embed_items(
    items: Iterable[Item],
    encoders: dict[str, Encoder],
    store: Store,
    *,
    total: int | None = None,
    batch_size: int | None = None,
    views: Sequence[View] = (),
    workers: int | None = None,
    progress: Progress = no_progress,
) -> list[Embedded]:
    """Embed with every encoder each content that the store lacks of it.

    Finished rows are put into the store after `FIRST_SHARD_S` seconds, then ever more rarely, at
    least every `SHARD_S` seconds, and when the run is interrupted. Memory does not depend on the
    number of images, but for the digests of their contents.

    Args:
        items: images, taken one after the other.
        encoders: by name.
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
        _Lane(encoder, store, store.add_encoder(name, encoder.spec), batch_size)
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
    """Take what threads finish until they have ended; after an error, what they still finish."""
    first: BaseException | None = None
    while threads:
        try:
            message = run.done.get()
            if message is None:
                threads -= 1
            elif isinstance(message, int):
                advance(message)
            elif isinstance(message, BaseException):  # such as a device that failed
                first, run.stopped = first or message, True
            else:
                lane, rows = message
                lane.take(rows)
        except BaseException as error:  # an interrupt, a full disk
            if first is not None and isinstance(error, KeyboardInterrupt):
                raise  # asked for twice
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
        batch_size=batch_size, views=_views(augment, views), workers=workers, progress=progress,
    )  # fmt: skip
    return done


def _views(augment: Sequence[str], number: int) -> list[View]:
    return [(name, i) for name in dict.fromkeys(augment) for i in range(number)]


def embed_all(
    images: Manifest | str | Path,
    names: Sequence[str],
    folder: Path,
    *,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str = PRECISIONS[0],
    layer: str | None = None,
    random_weights: bool = False,
    prompts: str | None = None,
    codec: str = "",
    resampling: str = "",
    augment: Sequence[str] = (),
    views: int = VIEWS,
    shard: tuple[int, int] = (1, 1),
    workers: int | None = None,
    progress: Progress = no_progress,
) -> list[Embedded]:
    """Embed with several encoders at once, and list what failed in the store's failed.csv.

    Args:
        images: a manifest, or a file for `items_in`, which has neither classes nor views.
        names: of the encoders.
        folder: of the store.
        batch_size, workers, progress: as in `embed_items`.
        device, precision, layer, random_weights, codec, resampling: as in `encoders.load`.
        prompts: with it (`prompts.read`) the classes too, as text, for zero-shot recognition.
        augment, views: as in `embed`.
        shard: (i, n): of n parts of the images the i-th alone, counted from 1.

    Raises:
        XprobeError: an unknown encoder, missing weights, a newer store: before any work.
    """
    names = list(dict.fromkeys(canonical(name) for name in names))
    for name in names:
        check_name(name)
    check_views(augment)
    chosen = read_prompts(prompts) if prompts else None
    if not isinstance(images, Manifest) and (augment or prompts):
        raise XprobeError(
            f"{images}: images without classes have neither prompts nor views; name a folder or a "
            f"manifest with classes"
        )
    store = Store(folder, create=True)
    encoders = {
        name: load(name, device, precision, layer, random_weights, codec, resampling)
        for name in names
    }
    if chosen is not None and isinstance(images, Manifest):
        for name, encoder in encoders.items():
            text = embed_classes(encoder.embed_text, images.classes, chosen)
            store.put_text(store.add_encoder(name, encoder.spec), text)
    items: Iterable[Item]
    if isinstance(images, Manifest):
        items, total = items_of(images, bool(augment)), len(images)
    else:
        items, total = items_in(images), None
    number, shards = shard
    if shards > 1:
        items, total = (i for i in items if contents.is_of_shard(i.id, number, shards)), None
    done = embed_items(
        items, encoders, store, total=total, batch_size=batch_size, views=_views(augment, views),
        workers=workers, progress=progress,
    )  # fmt: skip
    _list_failures(failed_file(folder, shard), done)
    return done


def failed_file(store: Path, shard: tuple[int, int]) -> Path:
    """Return the file that lists what could not be embedded: one for each part of the images."""
    number, shards = shard
    return store / ("failed.csv" if shards == 1 else f"failed-{number}-of-{shards}.csv")


def _list_failures(file: Path, done: Sequence[Embedded]) -> None:
    failed = [
        (of.name, id_, of.failed_paths[id_], why)
        for of in done
        for id_, why in sorted(of.failures.items())
    ]
    if not failed:
        file.unlink(missing_ok=True)
        return
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["encoder", "id", "path", "reason"])
    writer.writerows(failed)
    put(file, table.getvalue().encode(errors="backslashreplace"))
