"""HDF5 files of features: how rows are written into them, found again and read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Columns, Floats, Ints
from xprobe.base.errors import XprobeError
from xprobe.base.regular import check_regular
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.records import FORMAT, VERSION

# A shard is in memory three times while it is written, and therefore has at most so many rows.
SHARD_ROWS = 1024

# Rows are read from ranges of a shard of this length.
_READ_ROWS = 8192

_DIGEST = np.dtype("S32")


@dataclass(frozen=True)
class StoredEncoder:
    """An encoder that the store has features of.

    Attributes:
        name: the name it was embedded under.
        key: digest of its spec.
        spec: the fields that decide its features.
        folder: where its shards lie.
    """

    name: str
    key: str
    spec: EncoderSpec
    folder: Path


class Places(Mapping[str, tuple[Path, int]]):
    """Content digest → (shard file, row), in 48 bytes a content instead of a dictionary's 300."""

    def __init__(self, shards: Sequence[tuple[Path, NDArray[np.uint8]]]) -> None:
        """Take the digests (n, 32) of each shard's rows; of equal digests the first counts."""
        self.shards = tuple(file for file, _ in shards)
        rows = [len(digests) for _, digests in shards]
        every = [np.ascontiguousarray(d).view(_DIGEST).ravel() for _, d in shards]
        stacked = np.concatenate(every) if every else np.empty(0, dtype=_DIGEST)
        self._digests, first = np.unique(stacked, return_index=True)
        self._shard = np.repeat(np.arange(len(rows)), rows)[first].astype(np.int32)
        self._row = np.concatenate([np.arange(n) for n in rows] or [np.arange(0)])[first]

    def find(self, digests: Sequence[str]) -> tuple[Ints, Ints]:
        """Return the number of the shard (n,) and the row in it (n,) of contents.

        Raises:
            KeyError: a content has no row.
        """
        position, is_stored = self._look_up(digests)
        if not is_stored.all():
            raise KeyError(digests[int(np.flatnonzero(~is_stored)[0])])
        return self._shard[position].astype(np.intp), self._row[position].astype(np.intp)

    def _look_up(self, digests: Sequence[str]) -> tuple[Ints, Bools]:
        """Return the sorted position of each digest (n,), and whether it is stored there (n,)."""
        wanted = np.array([bytes.fromhex(digest) for digest in digests], dtype=_DIGEST)
        position = np.searchsorted(self._digests, wanted)
        is_stored = position < len(self._digests)
        is_stored[is_stored] = self._digests[position[is_stored]] == wanted[is_stored]
        return position, is_stored

    def __getitem__(self, digest: str) -> tuple[Path, int]:
        (shard,), (row,) = self.find([digest])
        return self.shards[shard], int(row)

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
    """

    rows: Places
    failed: Mapping[str, str]

    def stored_rows(self, digests: Sequence[str], dim: int) -> StoredRows:
        """Return the features of stored contents, in the order of the digests."""
        return StoredRows(self.rows.shards, *self.rows.find(digests), dim)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Features of images where they lie, read by row: x[rows] is (m, d) float32.

    Attributes:
        shards: files of features.
        shard, row: (n,) number of the file of each image, and its row in this file.
        dim: d, the length of a feature.
    """

    shards: tuple[Path, ...]
    shard: Ints
    row: Ints
    dim: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.row)

    def select(self, rows: Ints) -> StoredRows:
        """Return some of the images, in that order."""
        return replace(self, shard=self.shard[rows], row=self.row[rows])

    def __getitem__(self, rows: Ints) -> Floats:
        """Read the features of some of the images."""
        x = np.empty((len(rows), self.dim), dtype=np.float32)
        shard, row = self.shard[rows], self.row[rows]
        for number in np.unique(shard):
            positions = np.flatnonzero(shard == number)
            positions = positions[np.argsort(row[positions], kind="stable")]
            file = self.shards[number]
            with open_shard(file, file) as h5:
                # Ranges are read fast, and short ranges of a large shard need little memory.
                piece = row[positions] // _READ_ROWS
                for part in np.split(positions, np.flatnonzero(np.diff(piece)) + 1):
                    first, last = row[part[0]], row[part[-1]] + 1
                    x[part] = h5["x"][first:last][row[part] - first]
        return x


def shard_bytes(encoder: StoredEncoder, digests: Sequence[str], x: Floats) -> bytes:
    """Build a shard in memory: equal content gives equal bytes, and a full disk a plain error."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    if x.shape != (len(digests), encoder.spec.dim):
        raise ValueError(f"x of shape {x.shape} for {len(digests)} images of {encoder.name}")
    if not np.isfinite(x).all():
        raise XprobeError(f"{encoder.name} gave features that are not finite; try --precision fp32")
    raw = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(-1, 32)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("earliest", "v110")) as h5:
        h5.attrs["format"] = FORMAT
        h5.attrs["version"] = VERSION
        h5.attrs["encoder"] = encoder.key
        h5.create_dataset("sha256", data=raw, track_times=False)
        h5.create_dataset("x", data=x, track_times=False)
    return buffer.getvalue()


@contextmanager
def open_shard(shard: Path, receipt: Path) -> Iterator[h5py.File]:
    """Open a shard to read.

    Raises:
        XprobeError: the shard does not open, or lacks a data set; the message names `receipt` as
            the file that the user may delete.
    """
    try:
        check_regular(shard)
        with h5py.File(shard, "r", locking=False) as h5:  # Shards never change.
            yield h5
    except (OSError, KeyError) as error:
        raise damaged(shard, receipt) from error


def damaged(shard: Path, receipt: Path) -> XprobeError:
    """Return the error of a shard that is not what its receipt says."""
    return XprobeError(
        f"{shard}: a shard that is missing or damaged; delete {receipt} and run 'xprobe embed' "
        f"again, which embeds only what was in it"
    )


def read_datasets(file: Path, names: Sequence[str]) -> Columns:
    """Return those of the named data sets that the root of any HDF5 file has, read whole.

    Raises:
        OSError, RuntimeError, TypeError: the file is no HDF5, is damaged, or holds a type that
            NumPy does not know.
    """
    with h5py.File(file, "r", locking=False) as h5:
        return {name: h5[name][()] for name in names if isinstance(h5.get(name), h5py.Dataset)}


def write_datasets(file: Path, columns: Columns, about: Mapping[str, str]) -> None:
    """Write arrays into one plain HDF5 file; arrays of objects as UTF-8 text."""
    with h5py.File(file, "w") as h5:
        h5.attrs.update(about)
        for name, values in columns.items():
            kind = h5py.string_dtype() if values.dtype == object else values.dtype
            h5.create_dataset(name, data=values, dtype=kind)
