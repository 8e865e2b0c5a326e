"""The columns of Arrow's schemas that hold images, and the names of rows in paths."""

from __future__ import annotations

import errno
import json
from typing import Any

import numpy as np

from xprobe.base.arrays import Bools, Ints

BYTES, PATH = "bytes", "path"
"""Fields of the values of an image column, as Hugging Face writes them; either may be null."""

_FEATURES = b"huggingface"
"""Key of a schema's metadata under which Hugging Face describes the columns."""


def name_of_cell(row: int, width: int, column: str = "") -> str:
    """Return the name of an image in a path: ``00017``, or ``00017/column``.

    Args:
        row: number of its row, from 0.
        width: digits that the number has at least.
        column: its column; empty: the one image column of the file.
    """
    return f"{row:0{width}}{'/' if column else ''}{column}"


def features_of(schema: Any) -> dict[str, Any]:
    """Return how Hugging Face describes the columns of a schema, by name; none if it does not."""
    try:
        features = json.loads((schema.metadata or {})[_FEATURES])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def feature_type(feature: Any) -> str:
    """Return the type of a column as Hugging Face names it, such as ``Image``; empty: unknown."""
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def is_binary(kind: Any) -> bool:
    """Return whether values of an Arrow type are bytes."""
    import pyarrow as pa

    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def is_struct_of_bytes(kind: Any) -> bool:
    """Return whether values of an Arrow type are bytes and a path, as images and sounds are."""
    import pyarrow as pa

    if not pa.types.is_struct(kind):
        return False
    fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    return BYTES in fields and is_binary(fields[BYTES])


def image_columns(schema: Any) -> list[str]:
    """Return the columns of a schema that hold images by their form, in order.

    These are structs of bytes and a path, unless the schema says that they are something else, such
    as sounds, and columns of bytes that it says are images.
    """
    features = features_of(schema)
    names = []
    for field in schema:
        kind = feature_type(features.get(field.name))
        by_form = is_struct_of_bytes(field.type) and kind in ("", "Image")
        if by_form or (is_binary(field.type) and kind == "Image"):
            names.append(field.name)
    return names


def column_named(name: str, schema: Any, file: str) -> str:
    """Return the image column of this name in a file of this schema; without a name, the only one.

    Raises:
        OSError: there is no such column, it holds no images, or several columns do.
    """
    if not name:
        names = image_columns(schema)
        if len(names) != 1:
            many = f"several image columns ({', '.join(names)})" if names else "no image column"
            raise OSError(errno.EINVAL, f"a file of {many}; name one, ::ROW/COLUMN", file)
        return names[0]
    if schema.get_field_index(name) < 0:
        raise OSError(errno.EINVAL, f"no column {name}, or several", file)
    kind = schema.field(name).type
    if not (is_binary(kind) or is_struct_of_bytes(kind)):
        raise OSError(errno.EINVAL, f"the column {name} holds no bytes ({kind})", file)
    return name


def bytes_of(values: Any) -> Any:
    """Return the bytes of a part of an image column as binary or large binary, not copied.

    Arrow's ``cast``, ``is_null`` and ``to_numpy`` import pyarrow.compute and pandas, which takes
    half a second in each process: as long as to read 50,000 small images.
    """
    import pyarrow as pa

    if is_struct_of_bytes(values.type):
        # Flattened, a field is null where the struct is.
        values = values.flatten()[values.type.get_field_index(BYTES)]
    is_view = pa.types.is_binary_view(values.type)
    return values.cast(pa.large_binary()) if is_view else values


def edges_of(values: Any) -> Ints:
    """Return where n values of binary or large binary begin in their data, and where they end.

    Returns:
        (n + 1,) offsets in bytes.
    """
    import pyarrow as pa

    if not len(values):
        return np.zeros(1, np.int64)
    kind = np.int64 if pa.types.is_large_binary(values.type) else np.int32
    edges = np.frombuffer(values.buffers()[1], kind)
    return edges[values.offset : values.offset + len(values) + 1].astype(np.int64)


def nulls_of(values: Any) -> Bools:
    """Return which of n values are null: (n,)."""
    validity = values.buffers()[0]
    if validity is None:
        return np.zeros(len(values), np.bool_)
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    nulls: Bools = bits[values.offset : values.offset + len(values)] == 0
    return nulls
