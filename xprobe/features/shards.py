"""HDF5 files of features: how rows are written into them, found again and read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.base.errors import XprobeError, cannot_read
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.hdf5 import is_plain
from xprobe.features.inside import check_is_file
from xprobe.features.records import FORMAT, VERSION

# A shard is in memory three times while it is written, and therefore has at most so many rows.
SHARD_ROWS = 1024

# Rows are read from ranges of a shard of this length.
_READ_ROWS = 8192

_DIGEST = np.dtype("S32")

AnyValue = TypeVar("AnyValue")


@dataclass(frozen=True)
class StoredEncoder:
    """An encoder that the store has features of.

    Attributes:
        name: the name it was embedded under.
        key: digest of its spec.
        spec: the fields that decide its features.
        folder: where its shards lie.
        alias: short name that somebody gave it, or nothing.
    """

    name: str
    key: str
    spec: EncoderSpec
    folder: Path
    alias: str = ""

    @property
    def is_imported(self) -> bool:
        """Whether its features were computed elsewhere."""
        return self.spec.source.startswith("import:")


class ShardError(XprobeError):
    """A shard is not what its receipt says.

    Attributes:
        reason: what is wrong, in a few words.
        is_gone: whether there is no such file, which `gc` may have put into another one.
    """

    def __init__(self, message: str, reason: str, is_gone: bool = False) -> None:
        super().__init__(message)
        self.reason, self.is_gone = reason, is_gone


@dataclass(frozen=True)
class Shard:
    """A file of features, and what its receipt says of it.

    Attributes:
        encoder: the encoder that the features are of.
        name: name of the file.
        receipt: the receipt, which the user may delete if the file is damaged.
        rows, bytes, sha256: number of rows, size and digest of the file.
    """

    encoder: StoredEncoder
    name: str
    receipt: Path
    rows: int
    bytes: int
    sha256: str

    @property
    def file(self) -> Path:
        """The file, which need not be there."""
        return self.encoder.folder / "shards" / self.name

    def check(self) -> None:
        """Compare the size and the digest of the file with those in its receipt.

        Raises:
            ShardError: the file is gone, or holds other bytes or another form than were written.
            XprobeError: it cannot be read now, or is no regular file.
        """
        try:
            check_is_file(self.file)
            size = self.file.stat().st_size
            with self.file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise self.error("no such file", is_gone=True) from error
        except OSError as error:
            raise cannot_read(self.file, error) from error
        if size != self.bytes:
            raise self.error(f"{size} bytes, and {self.bytes} were written")
        if digest != self.sha256:
            raise self.error("other bytes than were written")
        if not self.name.endswith(f"-{digest[:16]}.h5"):  # It would take the place of another one.
            raise self.error("a name that is not that of its content")
        with self.open() as h5:
            if h5.attrs.get("encoder") != self.encoder.key:
                raise self.error("features of another encoder")
            for name in self._form():
                self._data(h5, name)

    @contextmanager
    def open(self) -> Iterator[h5py.File]:
        """Open the file to read.

        Raises:
            ShardError, XprobeError: as `check`; what h5py says of damage is nothing for users.
        """
        try:
            check_is_file(self.file)
            with h5py.File(self.file, "r", locking=False) as h5:  # Shards never change.
                yield h5
        except XprobeError:
            raise
        except Exception as error:  # HDF5 raises errors of any type on damaged input.
            raise self._cause(error) from error

    def digests(self) -> NDArray[np.uint8]:
        """Return the digests (n, 32) of the contents; the bytes of the file are not checked."""
        with self.open() as h5:
            digests: NDArray[np.uint8] = self._data(h5, "sha256")[:]
            return digests

    def _form(self) -> dict[str, tuple[str, tuple[int, int]]]:
        """Return type and shape of each data set."""
        return {
            "sha256": ("uint8", (self.rows, 32)),
            "x": ("float32", (self.rows, self.encoder.spec.dim)),
        }

    def _data(self, h5: h5py.File, name: str) -> h5py.Dataset:
        """Return a data set that has its type and shape, so that reading it takes no more memory.

        Raises:
            ShardError: it is missing, or another one.
        """
        dtype, shape = self._form()[name]
        data = h5.get(name)
        if not (is_plain(h5, name) and data.dtype == dtype and data.shape == shape):
            raise self.error(f"no {name} of {shape} {dtype}")
        return data

    def _cause(self, error: Exception) -> XprobeError:
        """Return the error of a file that HDF5 cannot read: what is damaged has other bytes."""
        if isinstance(error, FileNotFoundError):
            return self.error("no such file", is_gone=True)
        try:
            with self.file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            return self.error("no such file", is_gone=True)
        except OSError as why:
            return cannot_read(self.file, why)
        if digest != self.sha256:
            return self.error("other bytes than were written")
        if isinstance(error, OSError):
            return cannot_read(self.file, error)
        return self.error("no HDF5 that can be read")

    def error(self, reason: str, is_gone: bool = False) -> ShardError:
        """Return the error of this shard for a reason, with the remedy."""
        again = "import-features" if self.encoder.is_imported else "embed"
        message = (
            f"{self.file}: missing or damaged ({reason}); see 'xprobe store verify "
            f"{self.encoder.folder.parent}', then delete {self.receipt} and run 'xprobe {again}' "
            f"again, which adds only what was in it"
        )
        return ShardError(message, reason, is_gone)


Layout: TypeAlias = tuple[tuple[Shard, ...], NDArray[Any], NDArray[Any]]
"""Shards, and for each content the number of its shard (n,) and its row in it (n,)."""


class Places(Mapping[str, tuple[Path, int]]):
    """Content digest → (shard file, row), in 48 bytes a content instead of a dictionary's 300."""

    def __init__(
        self,
        shards: Sequence[tuple[Shard, NDArray[np.uint8]]],
        look_again: Callable[[], Places] | None = None,
    ) -> None:
        """Take the digests (n, 32) of each shard's rows; of equal digests the first counts.

        `look_again` returns the places of today, for when `gc` has put rows into other shards.
        """
        rows = [len(digests) for _, digests in shards]
        every = [np.ascontiguousarray(d).view(_DIGEST).ravel() for _, d in shards]
        stacked = np.concatenate(every) if every else np.empty(0, dtype=_DIGEST)
        self._digests, first = np.unique(stacked, return_index=True)
        shard = np.repeat(np.arange(len(rows)), rows)[first].astype(np.int32)
        row = np.concatenate([np.arange(n) for n in rows] or [np.arange(0)])[first]
        self._layout: Layout = tuple(shard for shard, _ in shards), shard, row
        self._look_again = look_again
        # Names of the shards whose bytes are those that were written.
        self._checked: set[str] = set()

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The shards."""
        return self._layout[0]

    def find(self, digests: Sequence[str]) -> Ints:
        """Return the positions (n,) of contents, which stay the same as long as the object lives.

        Raises:
            KeyError: a content has no row.
        """
        position, is_stored = self._look_up(digests)
        if not is_stored.all():
            raise KeyError(digests[int(np.flatnonzero(~is_stored)[0])])
        return position

    def layout(self, position: Ints) -> Layout:
        """Return the shards, and the number of the shard (n,) and the row in it (n,) of contents.

        The bytes of each shard that holds one of them are checked, once for each object.

        Raises:
            ShardError, XprobeError: as `Shard.check`.
        """
        shards, shard, row = self._layout
        for number in np.unique(shard[position]):
            self.check(shards[number])
        return shards, shard[position].astype(np.intp), row[position].astype(np.intp)

    def check(self, shard: Shard) -> None:
        """Check a shard, once."""
        if shard.name not in self._checked:
            shard.check()
            self._checked.add(shard.name)

    def look_again(self) -> bool:
        """Read the index of the store anew; return False if these rows have no store to read."""
        if self._look_again is None:
            return False
        today = self._look_again()
        if not np.isin(self._digests, today._digests, assume_unique=True).all():
            raise XprobeError(
                "rows were deleted from the store meanwhile; run 'xprobe embed' again"
            )
        position = np.searchsorted(today._digests, self._digests)
        shards, shard, row = today._layout
        self._layout = shards, shard[position], row[position]
        return True

    def _look_up(self, digests: Sequence[str]) -> tuple[Ints, Bools]:
        """Return the sorted position of each digest (n,), and whether it is stored there (n,)."""
        wanted = np.array([bytes.fromhex(digest) for digest in digests], dtype=_DIGEST)
        position = np.searchsorted(self._digests, wanted)
        is_stored = position < len(self._digests)
        is_stored[is_stored] = self._digests[position[is_stored]] == wanted[is_stored]
        return position, is_stored

    def __getitem__(self, digest: str) -> tuple[Path, int]:
        (position,) = self.find([digest])
        shards, shard, row = self._layout
        return shards[shard[position]].file, int(row[position])

    def __contains__(self, digest: object) -> bool:
        return bool(digest and self._look_up([str(digest)])[1][0])

    def __iter__(self) -> Iterator[str]:
        return (digest.ljust(32, b"\0").hex() for digest in self._digests.tolist())

    def __len__(self) -> int:
        return len(self._digests)


@dataclass(frozen=True)
class Index:
    """What the store holds of one encoder, by content digest.

    Attributes:
        rows: digest → (shard file, row).
        failed: digest → why that content cannot be embedded.
        doubtful: those of `failed` that failed under other decoders, and may succeed now.
        receipts: the receipts that say so.
    """

    rows: Places
    failed: Mapping[str, str]
    doubtful: frozenset[str] = frozenset()
    receipts: tuple[Path, ...] = field(default=(), repr=False)

    def stored_rows(self, digests: Sequence[str], dim: int) -> StoredRows:
        """Return the features of stored contents, in the order of the digests.

        Raises:
            ShardError, XprobeError: a shard that holds one of them is damaged or cannot be read.
        """
        stored = StoredRows(self.rows, self.rows.find(digests), dim)
        stored.check()
        return stored


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Features of images where they lie, read by row: x[rows] is (m, d) float32.

    Attributes:
        places: where the features of all contents of an encoder lie.
        position: (n,) positions of the images in it.
        dim: d, the length of a feature.
    """

    places: Places
    position: Ints
    dim: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.position)

    def select(self, rows: Ints) -> StoredRows:
        """Return some of the images, in that order."""
        return replace(self, position=self.position[rows])

    def check(self) -> None:
        """Check the shards of the images, so that no process that reads them need do it."""
        self._now(lambda: self.places.layout(self.position))

    def __getitem__(self, rows: Ints) -> Floats:
        """Read the features of some of the images.

        Raises:
            ShardError, XprobeError: a shard is damaged or cannot be read.
        """
        return self._now(lambda: self._read(self.position[rows]))

    def _now(self, read: Callable[[], AnyValue]) -> AnyValue:
        """Read something of the shards, and once more if `gc` has put rows into other shards."""
        try:
            return read()
        except ShardError as error:
            if not (error.is_gone and self.places.look_again()):
                raise
        return read()

    def _read(self, position: Ints) -> Floats:
        x = np.empty((len(position), self.dim), dtype=np.float32)
        shards, shard, row = self.places.layout(position)
        for number in np.unique(shard):
            places = np.flatnonzero(shard == number)
            places = places[np.argsort(row[places], kind="stable")]
            with shards[number].open() as h5:
                x_stored = h5["x"]
                # Ranges are read fast, and short ranges of a large shard need little memory.
                piece = row[places] // _READ_ROWS
                for part in np.split(places, np.flatnonzero(np.diff(piece)) + 1):
                    first, last = row[part[0]], row[part[-1]] + 1
                    x[part] = x_stored[first:last][row[part] - first]
        return x


def raw_digests(digests: Iterable[str]) -> NDArray[np.uint8]:
    """Return n digests in hex digits as their bytes, (n, 32)."""
    return np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(-1, 32)


def shard_bytes(encoder: StoredEncoder, digests: Sequence[str], x: Floats) -> bytes:
    """Build a shard in memory: equal content gives equal bytes, and a full disk a plain error."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    if x.shape != (len(digests), encoder.spec.dim):
        raise ValueError(f"x of shape {x.shape} for {len(digests)} images of {encoder.name}")
    if not np.isfinite(x).all():
        raise XprobeError(f"{encoder.name} gave features that are not finite; try --precision fp32")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("earliest", "v110")) as h5:
        h5.attrs["format"] = FORMAT
        h5.attrs["version"] = VERSION
        h5.attrs["encoder"] = encoder.key
        h5.create_dataset("sha256", data=raw_digests(digests), track_times=False)
        h5.create_dataset("x", data=x, track_times=False)
    return buffer.getvalue()
