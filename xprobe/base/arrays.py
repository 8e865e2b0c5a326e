"""Read-only arrays, their types, and digests of values.

Shapes are written with n images, d features and k classes.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Strings = NDArray[Any]
"""A one-dimensional object array of str."""

Floats = NDArray[np.floating[Any]]

Ints = NDArray[np.intp]

Bools = NDArray[np.bool_]

Columns = Mapping[str, NDArray[Any]]
"""Arrays of equal length, by name."""

# NumPy, h5py and Arrow raise these errors on damaged or unknown content.
UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def digest_of(value: Any) -> str:
    """Return the SHA-256 hex digest of a JSON-serialisable value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def frozen_strings(values: Iterable[str]) -> Strings:
    """Return an owned, read-only object array of str, shape (n,)."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    array.flags.writeable = False
    return array


def frozen_array(values: Any, dtype: Any = None) -> NDArray[Any]:
    """Return an owned, read-only copy of an array."""
    array = np.array(values, dtype=dtype, order="C")
    array.flags.writeable = False
    return array
