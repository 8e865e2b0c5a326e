"""Values in files that several processes read: they map the arrays and so share their memory."""

from __future__ import annotations

import mmap
import pickle
from pathlib import Path
from typing import Any

# Some versions of joblib contain cloudpickle, others depend on it; loky imports either.
from joblib.externals.loky.cloudpickle_wrapper import dumps

_ALIGNMENT = 64  # Vectorised code reads arrays fastest that start at a multiple of so many bytes.


def write_handover(value: Any, folder: Path) -> None:
    """Write anything that can be pickled; its arrays lie apart from the rest (PEP 574)."""
    arrays: list[pickle.PickleBuffer] = []
    pickled = dumps(value, protocol=5, buffer_callback=arrays.append)
    places = []
    with (folder / "arrays").open("wb") as stream:
        for array in arrays:
            stream.write(bytes(-stream.tell() % _ALIGNMENT))
            with array.raw() as content:
                places.append((stream.tell(), content.nbytes))
                stream.write(content)
        stream.write(b"\0")  # A file without content cannot be mapped.
    (folder / "value").write_bytes(pickle.dumps((pickled, places)))


def read_handover(folder: Path) -> Any:
    """Return the value; its arrays are read-only and stay mapped after the files are deleted."""
    pickled, places = pickle.loads((folder / "value").read_bytes())
    with (folder / "arrays").open("rb") as stream:
        arrays = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    return pickle.loads(pickled, buffers=[arrays[first : first + n] for first, n in places])
