"""The batches of CIFAR-10 and CIFAR-100, binary and pickled: files of many small images.

An image is the record of a number, counted from 0, ``data_batch_1.bin::00017``. Its content is a
PPM of its pixels, equal in both forms. A batch may lie in the archive that it is published in,
``cifar-10-python.tar.gz::cifar-10-batches-py/data_batch_1``.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import posixpath
import re
import tarfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from xprobe.base.errors import XprobeError, first_line
from xprobe.base.regular import opener
from xprobe.images.containers.marks import Mark, mark_of
from xprobe.images.containers.registry import archive_of
from xprobe.images.containers.unpickle import PickleError, unpickle

_SIDE_PX = 32
_PLANE = _SIDE_PX**2
_PIXELS = 3 * _PLANE

_HEADER = f"P6\n{_SIDE_PX} {_SIDE_PX}\n255\n".encode()

# Pickles, and all that an archive holds; the largest that is published has 187 million bytes.
_MOST_BYTES = 2**29

# To tell what an archive is, so many of its headers are read, up to the first file of this size.
_FEW, _LARGE = 16, 2**20

_BATCH = re.compile(r"(?:data_batch_\d+|test_batch|train|test)(?:\.bin)?")

Value = TypeVar("Value")

_NAMES_OF_CLASSES = frozenset(
    ("batches.meta", "meta", "batches.meta.txt", "fine_label_names.txt", "coarse_label_names.txt")
)


class BatchError(OSError, XprobeError):
    """A batch, or the archive that it lies in, is damaged or no such file; one line says why."""


class Batch(NamedTuple):
    """A pickled batch: the number of the class of each image, and pixels (n, 3 × 32 × 32)."""

    labels: list[int]
    pixels: NDArray[np.uint8]


class _Kept(Generic[Value]):
    """A cache of what was read of files; a file that has changed is read again.

    Threads that ask for the same file wait for the first one, since each that reads it fills the
    memory anew.

    Args:
        most: number of files of which it keeps what was read, the last ones used.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[tuple[Mark, str], Value] = OrderedDict()
        self._unlock()
        if hasattr(os, "register_at_fork"):  # No thread of a copied process holds the lock.
            os.register_at_fork(after_in_child=self._unlock)

    def _unlock(self) -> None:
        self._lock = Lock()

    def get(self, file: str, member: str, read: Callable[[], Value]) -> Value:
        """Return what `read` returns of a file or of a member of it, kept or read now."""
        key = mark_of(file), member
        with self._lock:
            if key not in self._values:
                while len(self._values) >= self._most:
                    self._values.popitem(last=False)
                self._values[key] = read()
            self._values.move_to_end(key)
            return self._values[key]


# CIFAR-10 has six batches; an archive, or all of its pickles, have 184 million bytes.
_ARCHIVES: _Kept[dict[str, bytes]] = _Kept(1)
_BATCHES: _Kept[Batch] = _Kept(6)


def is_archive(file: str) -> bool:
    """Return whether a file is called as a compressed archive is."""
    return archive_of(f"{file}::x") is not None


def labels_of(file: str) -> list[int]:
    """Return the numbers of the classes of all images of a batch, in its order; fine ones.

    Raises:
        OSError: it cannot be read, or is damaged.
    """
    if not _is_binary(file):
        return _pickled(file).labels
    skipped = _label_bytes(file)
    labels: list[int] = []
    with opened(file) as stream:
        for number in range(_count(file, stream)):
            stream.seek(number * (skipped + _PIXELS) + skipped - 1)
            labels += stream.read(1)
    return labels


def read_member(file: str, member: str) -> bytes:
    """Return the image of a number as the content of a PPM file.

    Raises:
        OSError: there is no such image, or the batch cannot be read or is damaged.
    """
    number = int(member)
    if not _is_binary(file):
        pixels = _pickled(file).pixels
        if number >= len(pixels):
            raise _no_record(file, member)
        return _ppm(pixels[number])
    skipped = _label_bytes(file)
    with opened(file) as stream:
        if number >= _count(file, stream):
            raise _no_record(file, member)
        stream.seek(number * (skipped + _PIXELS) + skipped)
        return _ppm(np.frombuffer(stream.read(_PIXELS), np.uint8))


def opened(file: str) -> BinaryIO:
    """Open a file, or one that is a member of an archive, to read it.

    Raises:
        OSError: it cannot be read.
    """
    archive = archive_of(file)
    if archive is None:
        return open(file, "rb", buffering=0, opener=opener)  # A Path takes no opener.
    contents = files_in(archive[0])
    if archive[1] not in contents:
        raise FileNotFoundError(errno.ENOENT, "no such file in the archive", file)
    return io.BytesIO(contents[archive[1]])


def files_in(archive: str) -> dict[str, bytes]:
    """Return the batches in an archive, and the files that name their classes, by name.

    It is decompressed in one pass, and kept until another archive is asked for.

    Raises:
        OSError: it cannot be read, or is damaged.
    """
    return _ARCHIVES.get(archive, "", lambda: _files_in(archive))


def first_name(archive: str) -> str:
    """Return the name of the first file in an archive that may be of CIFAR; empty: there is none.

    Little of the archive is read.
    """
    try:
        for few, (name, stream) in enumerate(_members(archive)):
            if _is_wanted(name):
                return name
            if few == _FEW or stream.size > _LARGE:
                break
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        return ""
    return ""


def _files_in(archive: str) -> dict[str, bytes]:
    try:
        return {name: stream.read() for name, stream in _members(archive) if _is_wanted(name)}
    except BatchError:
        raise
    except (EOFError, zlib.error, tarfile.TarError, gzip.BadGzipFile) as error:
        raise BatchError(
            f"{archive}: no whole .tar.gz ({first_line(error)}); fetch the archive again"
        ) from error


def _members(archive: str) -> Iterator[tuple[str, _MemberStream]]:
    """Yield the names of the files in an archive, and streams of them, to be read at once."""
    with (
        open(archive, "rb", opener=opener) as file,  # A Path takes no opener.
        gzip.GzipFile(fileobj=file) as plain,
    ):
        limited = _Limited(archive, plain)
        with tarfile.open(fileobj=limited, mode="r|") as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                tar.members.clear()
                if member.isreg():
                    yield posixpath.normpath(member.name), _MemberStream(tar, member)
        while limited.read(_LARGE):  # The checksum comes last.
            pass


class _MemberStream:
    """A file in an archive that is being read."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self.size, self._tar, self._member = member.size, tar, member

    def read(self) -> bytes:
        """Return the whole content."""
        stream = self._tar.extractfile(self._member)
        content = b"" if stream is None else stream.read()
        if len(content) < self.size:
            raise EOFError(f"{self._member.name} is cut")
        return content


class _Limited:
    """What an archive holds, of which no more is read than the largest published one has."""

    def __init__(self, archive: str, plain: gzip.GzipFile) -> None:
        self._archive, self._plain, self._left = archive, plain, _MOST_BYTES

    def read(self, size: int) -> bytes:
        """Return the next bytes.

        Raises:
            BatchError: it holds more than any archive of CIFAR.
        """
        self._left -= size
        if self._left < 0:
            raise BatchError(
                f"{self._archive}: it holds more than {_MOST_BYTES:,} bytes, and none of CIFAR's "
                f"archives does; unpack it to see what it is"
            )
        return self._plain.read(size)


def _is_wanted(name: str) -> bool:
    file = posixpath.basename(name)
    return file in _NAMES_OF_CLASSES or _BATCH.fullmatch(file) is not None


def _is_binary(file: str) -> bool:
    return file.endswith(".bin")


def _label_bytes(file: str) -> int:
    """Return how many bytes a binary record has for labels, before its pixels.

    A record of CIFAR-10 has one label, one of CIFAR-100 a coarse and then a fine one.
    """
    return 1 if "batch" in posixpath.basename(Path(file).as_posix()) else 2


def _count(file: str, stream: BinaryIO) -> int:
    """Return how many images a binary batch holds.

    Raises:
        BatchError: its length is not that of whole images.
    """
    size, length = stream.seek(0, io.SEEK_END), _label_bytes(file) + _PIXELS
    if size == 0 or size % length:
        raise BatchError(
            f"{file}: {size:,} bytes, which is no multiple of the {length:,} of an image, so that "
            f"it is cut or no such batch; fetch or unpack it again"
        )
    return size // length


def _ppm(planes: NDArray[np.uint8]) -> bytes:
    return _HEADER + planes.reshape(3, _PLANE).T.tobytes()


def _no_record(file: str, member: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "no such image in the batch", f"{file}::{member}")


def _pickled(file: str) -> Batch:
    place, member = archive_of(file) or (file, "")
    return _BATCHES.get(place, member, lambda: _read_pickled(file))


def _read_pickled(file: str) -> Batch:
    """Return a pickled batch.

    Raises:
        BatchError: it is damaged, or holds something else.
    """
    values = unpickled(file)
    labels = values.get("labels" if _label_bytes(file) == 1 else "fine_labels")
    pixels = values.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        raise _no_batch(file, f"no array data of n × {_PIXELS:,} numbers")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise _no_batch(file, "no list of labels that are whole numbers")
    if len(labels) != len(pixels) or not labels:
        raise _no_batch(file, f"{len(labels):,} labels and {len(pixels):,} images")
    return Batch(labels, pixels)


def unpickled(file: str) -> dict[str, object]:
    """Return the dictionary in a pickle, with texts as keys, which Python 2 wrote as bytes.

    Raises:
        OSError: it cannot be read.
        BatchError: the pickle is damaged, or `unpickle` refuses what it holds.
    """
    with opened(file) as stream:
        if (size := stream.seek(0, io.SEEK_END)) > _MOST_BYTES:
            raise _no_batch(file, f"{size:,} bytes, more than any batch has")
        stream.seek(0)
        content = stream.read()
    try:
        values = unpickle(content)
    except PickleError as error:
        raise BatchError(
            f"{file}: this pickle is not read: {first_line(error)}; fetch the data set again from "
            f"its makers"
        ) from error
    if not isinstance(values, dict):
        raise _no_batch(file, "no dictionary")
    return {as_text(key): value for key, value in values.items()}


def as_text(value: object) -> str:
    """Return a text that a pickle may hold as bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _no_batch(file: str, words: str) -> BatchError:
    return BatchError(f"{file}: no batch of CIFAR: it holds {words}; fetch or unpack it again")
