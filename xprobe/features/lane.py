"""One encoder of a run: what it lacks, its forward passes, and rows for its store."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError
from xprobe.encoders.base import OutOfMemoryError, Pixels
from xprobe.encoders.load import Encoder
from xprobe.features.decode_process import Fill
from xprobe.features.digests import Digests
from xprobe.features.items import EmbeddedEncoder, Item, ViewId
from xprobe.features.records import Agreement
from xprobe.features.shards import SHARD_ROWS, StoredEncoder
from xprobe.features.store import Store
from xprobe.images import contents
from xprobe.images.augment import view_digest
from xprobe.images.decode import UnusableImageError, decode

# The features of so many images are compared with those of the reference.
COMPARED = 8

# Seconds that rows wait for their shard, at the start of a run and at most; the time between grows
# with the run. A kill thus costs at most a third of a run, and never more than half a minute.
FIRST_SHARD_S, SHARD_S = 2.0, 30.0


class Embedded(EmbeddedEncoder, frozen=True, kw_only=True):
    """What one run of `embed` did under one encoder, and what failed in it.

    Attributes:
        failures: id → reason of images that failed.
        failed_paths: id → path of images that failed.
    """

    failures: dict[str, str]
    failed_paths: dict[str, str]


@dataclass(frozen=True)
class Rows:
    """Finished rows `x` of the contents `digests`, and the contents that cannot be embedded."""

    digests: list[str] = field(default_factory=list)
    x: list[Floats] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Lane:
    """An encoder of a run: the features it lacks, its failures, and the rows to be written."""

    def __init__(
        self, encoder: Encoder, store: Store, stored: StoredEncoder, batch_size: int | None
    ) -> None:
        self.encoder, self.stored, self._store = encoder, stored, store
        self.batch_size = self._asked = batch_size or encoder.auto_batch_size
        self._index = store.index(stored)
        self._lock = threading.Lock()
        # Contents that a thread of this run has embedded or begun to embed.
        self._claimed = Digests()
        # Images whose content another image of this run had, which may fail yet or has failed.
        self._twins: list[tuple[Item, str]] = []
        # The reason why a content cannot be embedded, by digest. What failed under other decoders
        # is tried again.
        doubtful = self._index.doubtful
        self._reasons = {d: why for d, why in self._index.failed.items() if d not in doubtful}
        self._failures: dict[str, str] = {}
        self._n_failed = 0
        self._path_of: dict[str, str] = {}
        self._viewed = Digests()
        self._n_views = self._embedded = 0
        self._gathered: list[Rows] = []
        self._comparing = threading.Lock()
        self._cosines: list[float] = []
        self._start = self._since = time.monotonic()

    def knows(self, item: Item, views: Sequence[ViewId]) -> bool:
        """Return whether nothing is to be done for an item, as far as its digest alone tells."""
        return bool(item.digest) and not self._missing(item, item.digest, views)

    def claim(
        self, images: Sequence[tuple[Item, str]], views: Sequence[ViewId]
    ) -> list[list[tuple[str, str]]]:
        """Return (digest, augmentation) of the views that nobody has embedded or begun to embed.

        The image itself is the view without an augmentation.

        Args:
            images: images and the digests of their contents.
            views: as in `embed_items`.
        """
        with self._lock:
            return [self._claim(item, digest, views) for item, digest in images]

    def _claim(self, item: Item, digest: str, views: Sequence[ViewId]) -> list[tuple[str, str]]:
        missing = self._missing(item, digest, views)
        if not missing and digest not in self._index.rows:
            self._twins.append((item, digest))
        for name, _ in missing:
            self._claimed.add(bytes.fromhex(name))
        content = bytes.fromhex(digest)
        if item.has_views and content not in self._viewed:
            self._viewed.add(content)
            self._n_views += len(views) * (digest not in self._reasons)
        return missing

    def _missing(self, item: Item, digest: str, views: Sequence[ViewId]) -> list[tuple[str, str]]:
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

    def refuse(self, item: Item, digest: str, reason: str, views: int) -> Rows:
        """Note that a content cannot be embedded, nor its augmented views, `views` in number."""
        with self._lock:
            self._reasons[digest] = reason
            self._n_views -= views
        self.leave_out(item, reason)
        return Rows(failed={digest: reason})

    def leave_out(self, item: Item, reason: str) -> None:
        """Note that an image is not embedded this time, whatever its content."""
        with self._lock:
            self._n_failed += 1
        self._failures[item.id], self._path_of[item.id] = reason, item.path

    def forward(self, names: list[str], pixels: Pixels) -> Rows:
        """Return the features of images, in batches of the size that fits into memory."""
        x: list[Floats] = []
        start = 0
        while start < len(pixels):
            size = self.batch_size
            part = pixels[start : start + size]
            n = len(part)
            if self.encoder.fixed_batch and n < size:
                part = np.concatenate([part, np.repeat(part[-1:], size - n, axis=0)])
            try:
                features = self.encoder.forward(part)
            except OutOfMemoryError as error:
                self._halve(size, error)
                continue
            x.append(features[:n])
            start += n
        return Rows(names, x)

    def _halve(self, size: int, error: OutOfMemoryError) -> None:
        with self._lock:
            if self.batch_size != size:
                return  # Another thread has halved it.
            if size == 1:
                raise XprobeError(
                    f"{self.stored.name} does not fit into the memory of the device ({error}); "
                    f"use --device cpu, or a smaller encoder"
                ) from error
            self.batch_size = size // 2

    def compare(self, item: Item) -> None:
        """Compare the features of the first images with those of the reference, if there is one."""
        if self.encoder.reference is None:
            return
        with self._comparing:
            if (reference := self.encoder.reference) is None:
                return
            try:
                content = contents.read(item.path, item.span)
                image = decode(content, self.encoder.spec.reading)
                (x,) = self.encoder.forward(self.encoder.see(image)[None])
                (y,) = reference.forward(reference.see(image)[None])
            except (OSError, MemoryError, UnusableImageError):
                return  # The file is no longer what was embedded, or too large to decode it again.
            except OutOfMemoryError:  # Both do not fit, and the features matter more.
                self.encoder.reference = None
                return
            norms = float(np.linalg.norm(x) * np.linalg.norm(y))
            self._cosines.append(float(x @ y) / norms if norms else 1.0)
            if len(self._cosines) == COMPARED:
                self.encoder.reference = None  # This frees its memory.

    def take(self, rows: Rows) -> None:
        """Gather finished rows, and write a shard when they are many or have waited for long."""
        self._gathered.append(rows)  # One step, which an interrupt cannot divide.
        now = time.monotonic()
        oldest_s = min(SHARD_S, max(FIRST_SHARD_S, (self._since - self._start) / 2))
        n = sum(len(part.digests) for part in self._gathered)
        if n >= SHARD_ROWS or now - self._since > oldest_s:
            self.write()

    def write(self) -> None:
        """Put the gathered rows into the store."""
        parts, self._gathered, self._since = self._gathered, [], time.monotonic()
        digests = [digest for part in parts for digest in part.digests]
        failed = {digest: reason for part in parts for digest, reason in part.failed.items()}
        x = [np.empty((0, self.encoder.spec.dim), np.float32), *(x for p in parts for x in p.x)]
        del parts  # Without them a shard is in memory twice, not three times.
        if digests or failed:
            rows = np.concatenate(x)
            x.clear()
            self._store.write_shard(self.stored, digests, rows, failed)
        self._embedded += len(digests)

    def summary(self, images: int, seconds: float) -> Embedded:
        """Return what became of the images of the run.

        Args:
            images: number of images that were looked at.
            seconds: time that the run took.
        """
        for item, digest in self._twins:
            if digest in self._reasons:
                self.leave_out(item, self._reasons[digest])
        images += self._n_views
        failed = self._n_failed  # A list may name one image several times.
        cosine = min(self._cosines, default=None)
        if cosine is not None:
            agreement = Agreement(images=len(self._cosines), least_cosine=cosine)
            self._store.put_agreement(self.stored, agreement)
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


class Batch:
    """Images that wait for the forward pass of an encoder, in memory that is used again and again.

    One thread at a time may use it.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._names: list[str] = []
        self._memory: Pixels | None = None

    def __len__(self) -> int:
        return len(self._names)

    @property
    def is_full(self) -> bool:
        """Whether there are images for a forward pass, whose size may have been halved."""
        return len(self) >= self._lane.batch_size

    def add(self, name: str, fill: Fill) -> None:
        """Add an image, whose pixels `fill` writes, to a batch that is not full."""
        if self._memory is None:
            self._memory = self._lane.encoder.empty_batch(self._lane.batch_size)
        fill(self._memory[len(self)])
        self._names.append(name)

    def add_from(self, other: Batch) -> None:
        """Take images from another batch until this one is full or the other is empty."""
        while other and not self.is_full:
            name = other._names.pop()
            assert other._memory is not None
            self.add(name, partial(np.copyto, src=other._memory[len(other)]))

    def forward(self) -> Rows:
        """Return the features of the images, of which none is left."""
        names, self._names = self._names, []
        assert self._memory is not None
        return self._lane.forward(names, self._memory[: len(names)])
