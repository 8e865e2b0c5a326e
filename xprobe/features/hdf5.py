"""Plain HDF5 files, such as others write and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, prod
from pathlib import Path

import h5py

from xprobe.base.arrays import Columns
from xprobe.base.errors import XprobeError
from xprobe.features.unpacked import check_unpacked


def is_plain(h5: h5py.File, name: str) -> bool:
    """Return whether a file has a data set of this name whose values lie in this file."""
    if not isinstance(h5.get(name, getlink=True), h5py.HardLink):
        return False
    data = h5[name]
    return isinstance(data, h5py.Dataset) and not data.is_virtual and not data.external


def read_datasets(file: Path, names: Sequence[str]) -> Columns:
    """Return those of the named data sets that the root of any HDF5 file has, read whole.

    Raises:
        OSError, RuntimeError, TypeError: the file is no HDF5, is damaged, or holds a type that
            NumPy does not know.
        XprobeError: a data set lies in other files, was never written, or is far larger than the
            file.
    """
    columns = {}
    with h5py.File(file, "r", locking=False) as h5:
        for name in names:
            link = h5.get(name, getlink=True)
            if link is None or (isinstance(link, h5py.HardLink) and not is_data(h5[name])):
                continue
            if not is_plain(h5, name):
                raise XprobeError(
                    f"{file}: {name} lies in other files (a link, a virtual or an external data "
                    f"set), and what is missing there would read as zeros; save it as a plain one"
                )
            if not _is_written(h5[name]):
                raise XprobeError(
                    f"{file}: {name} was made with shape {h5[name].shape} and never written, or "
                    f"not all of it, and would read as zeros; write the file again"
                )
            check_unpacked(file, name, h5[name].nbytes)
            columns[name] = h5[name][()]
    return columns


def is_data(node: object) -> bool:
    """Return whether a node of an HDF5 file is a data set, and not a group."""
    return isinstance(node, h5py.Dataset)


def _is_written(data: h5py.Dataset) -> bool:
    """Return whether the file has room for all values; others read as the fill value."""
    if not data.size:
        return True
    if data.chunks is None:
        return bool(data.id.get_storage_size())
    chunks = prod(ceil(n / size) for n, size in zip(data.shape, data.chunks, strict=True))
    return bool(data.id.get_num_chunks() >= chunks)


def write_datasets(file: Path, columns: Columns, about: Mapping[str, str]) -> None:
    """Write arrays into one plain HDF5 file; arrays of objects as UTF-8 text."""
    with h5py.File(file, "w", locking=False) as h5:  # Some network file systems have no locks.
        h5.attrs.update(about)
        for name, values in columns.items():
            kind = h5py.string_dtype() if values.dtype == object else values.dtype
            h5.create_dataset(name, data=values, dtype=kind)
