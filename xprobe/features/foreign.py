"""Files of features that others wrote → checked rows.

n rows, d features.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import UNREADABLE, Bools, Columns, Floats
from xprobe.base.errors import XprobeError, first_few
from xprobe.features.hdf5 import read_datasets
from xprobe.features.unpacked import check_unpacked

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Columns that name a row's image, the surest first: a digest says which content was embedded.
NAMES = ("sha256", "id", "path")

FEATURES = ("x", "features", "embeddings", "embedding")

_NUMBERED = re.compile(r"x?([0-9]+)")

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")


@dataclass(frozen=True, eq=False)
class ForeignRows:
    """Checked rows of a foreign file.

    Attributes:
        column: what the names are, one of `NAMES`.
        names: (n,) names of the images.
        x: (n, d) finite features.
        is_rounded: (n,) rows with whole numbers that float32 cannot hold, or with values other
            than zero that it holds as zero.
    """

    column: str
    names: list[str]
    x: Floats
    is_rounded: Bools


def read_foreign_file(file: Path) -> ForeignRows:
    """Return the checked rows of a foreign file.

    Raises:
        XprobeError: the file cannot be read, or its rows are not finite vectors of one length.
    """
    suffix = file.suffix.lower()
    if suffix == ".npy":
        raise XprobeError(
            f"{file}: a .npy file has no names, so nothing says which row is whose; save an .npz: "
            f"np.savez('{file.stem}.npz', id=np.array(ids, dtype=str), x=np.load('{file.name}'))"
        )
    if suffix in _PICKLES:
        raise _pickle_error(file)
    if suffix not in _READERS:
        raise XprobeError(f"{file}: features are read from {', '.join(_READERS)} files")
    if not file.is_file():
        raise XprobeError(f"{file}: no such file")
    try:
        raw = _READERS[suffix](file)
    except MemoryError as error:
        raise XprobeError(
            f"{file}: its arrays do not fit into memory; read it where there is more of it"
        ) from error
    except UNREADABLE as error:
        why = (str(error).splitlines() or ["it is damaged"])[0]
        raise XprobeError(
            f"{file}: cannot be read ({why}); check it, or export it again"
        ) from error
    column = next((name for name in NAMES if name in raw), None)
    x_columns = [name for name in FEATURES if name in raw]
    if column is None or not x_columns:
        raise XprobeError(
            f"{file}: holds no {'features' if column else 'names'}; it needs id, path or sha256, "
            f"(n,) text, and one of {', '.join(FEATURES)}, (n, d) numbers"
        )
    if len(x_columns) > 1:
        raise XprobeError(f"{file}: holds {' and '.join(x_columns)}; keep the one that is meant")
    names = _names_as_text(raw[column], column, file)
    raw_x = _checked_form(raw[x_columns[0]], x_columns[0], names, file)
    x = _as_float32(raw_x, names, file)
    return ForeignRows(column, names, x, _is_rounded(raw_x, x))


def _names_as_text(raw: Any, column: str, file: Path) -> list[str]:
    """Return names (n,) as text; digests may be (n, 32) bytes as in a shard of the store."""
    array = np.asarray(raw)
    if column == "sha256" and array.dtype == np.uint8 and array.shape[1:] == (32,):
        return [row.tobytes().hex() for row in array]
    values = array.tolist()
    if array.ndim != 1 or not all(isinstance(value, (str, bytes, int)) for value in values):
        raise XprobeError(f"{file}: {column} must be (n,) text, one name a row")
    # In a manifest, bytes that are no UTF-8 are written as escapes in ids, and stay in paths.
    errors = "surrogateescape" if column == "path" else "backslashreplace"
    texts = [v.decode("utf-8", errors) if isinstance(v, bytes) else str(v) for v in values]
    return [text.lower() for text in texts] if column == "sha256" else texts


def _checked_form(raw: Any, column: str, names: Sequence[str], file: Path) -> NDArray[Any]:
    """Return features (n, d) if they are numbers, and as many as names."""
    x = np.asarray(raw)
    if x.dtype.kind not in "iuf":
        raise XprobeError(f"{file}: {column} holds {x.dtype}, not numbers; save it as float32")
    if x.ndim != 2 or len(x) != len(names):
        raise XprobeError(
            f"{file}: {column} has shape {x.shape} beside {len(names)} names; it must be (n, d), "
            f"one vector an image"
        )
    if x.size == 0:
        raise XprobeError(f"{file}: {column} has shape {x.shape}: there is nothing to import")
    return x


def _as_float32(raw: NDArray[Any], names: Sequence[str], file: Path) -> Floats:
    """Return features as float32 if they stay finite and other than zero."""
    _check_rows(
        np.isfinite(raw).all(axis=1), "are not finite (NaN or infinite); embed those images again",
        names, file,
    )  # fmt: skip
    with np.errstate(over="ignore", under="ignore"):
        x = np.ascontiguousarray(raw, dtype=np.float32)
    is_finite, is_zero = np.isfinite(x).all(axis=1), ~x.any(axis=1)
    _check_rows(np.asarray(is_finite), "are too large for float32; scale them down", names, file)
    is_kept = np.asarray(~(is_zero & raw.any(axis=1)))
    _check_rows(is_kept, "are too small for float32; scale them up", names, file)
    return x


def _is_rounded(raw: NDArray[Any], x: Floats) -> Bools:
    """Return which rows (n,) lose whole numbers, or values other than zero, as float32."""
    if raw.dtype.kind == "f":
        return np.asarray(((raw != 0) & (x == 0)).any(axis=1))
    # As float64 numbers beyond 2⁵³ are rounded like those of float32, and thus told apart no more.
    return np.asarray(((x != raw) | (np.abs(x) >= 2.0**53)).any(axis=1))


def _check_rows(is_good: Bools, what: str, names: Sequence[str], file: Path) -> None:
    bad = np.flatnonzero(~is_good)
    if len(bad):
        shown = first_few((repr(names[int(i)]) for i in bad), 3)
        raise XprobeError(f"{file}: features of {len(bad)} rows {what}: {shown}")


def _pickle_error(file: Path) -> XprobeError:
    return XprobeError(
        f"{file}: holds a pickle, which may run any code when it is read, so it is refused; save "
        f"np.savez('{file.stem}.npz', id=np.array(ids, dtype=str), x=np.asarray(x, 'float32'))"
    )


def _read_npz(file: Path) -> Columns:
    try:
        with file.open("rb") as stream:  # NumPy itself would leave a damaged file open.
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise XprobeError(
                    f"{file}: one array without names; save it with np.savez beside id"
                )
            sizes = {member.filename: member.file_size for member in archive.zip.infolist()}
            columns = {}
            for name in (*NAMES, *FEATURES):
                if name in archive.files:
                    size = sizes.get(f"{name}.npy") or sizes[name]
                    check_unpacked(file, name, size)
                    columns[name] = archive[name]
            return columns
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise _pickle_error(file) from error
        raise


def _read_hdf5(file: Path) -> Columns:
    return read_datasets(file, (*NAMES, *FEATURES))


def _read_parquet(file: Path) -> Columns:
    import pyarrow.parquet as pq

    stored = pq.ParquetFile(file)
    with stored:
        wanted = _wanted_columns(stored.schema_arrow.names, file)
        for name, values in _values_of_columns(stored.metadata).items():
            if name in wanted:
                check_unpacked(file, name, 4 * values)
        return _columns_of_table(stored.read(wanted), file)


def _values_of_columns(metadata: pq.FileMetaData) -> Counter[str]:
    """Return how many values each column holds; equal ones take no room in the file."""
    values: Counter[str] = Counter()
    for i in range(metadata.num_row_groups):
        for j in range(metadata.num_columns):
            chunk = metadata.row_group(i).column(j)
            values[chunk.path_in_schema.partition(".")[0]] += chunk.num_values
    return values


def _read_csv(file: Path) -> Columns:
    import pyarrow as pa
    from pyarrow import csv

    text = dict.fromkeys(NAMES, pa.string())  # As a number the id 007 would become 7.
    table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=text))
    return _columns_of_table(table.select(_wanted_columns(table.column_names, file)), file)


def _wanted_columns(columns: Sequence[str], file: Path) -> list[str]:
    """Return the columns that hold names or features, none of them twice."""
    wanted = [c for c in columns if c in (*NAMES, *FEATURES) or _NUMBERED.fullmatch(c)]
    if len(set(wanted)) < len(wanted):
        raise XprobeError(f"{file}: a column is there twice; keep the one that is meant")
    return wanted


def _columns_of_table(table: pa.Table, file: Path) -> Columns:
    """Return names as lists, and features (n, d) from a list column or from numbered ones."""
    raw: dict[str, NDArray[Any]] = {}
    for column in table.column_names:
        if column in NAMES:
            raw[column] = np.array(table[column].to_pylist(), dtype=object)
        elif column in FEATURES:
            raw[column] = _from_lists(table[column], column, file)
    if not set(raw) & set(FEATURES):
        numbered = list(_in_numeric_order(table.column_names, file))
        if numbered:
            raw["x"] = np.stack([np.asarray(table[column]) for column in numbered], axis=1)
    return raw


def _in_numeric_order(columns: Sequence[str], file: Path) -> Iterator[str]:
    """Yield x0, x1, … or 0, 1, …, by number; a gap means that a feature was lost."""
    numbers = {c: int(m.group(1)) for c in columns if (m := _NUMBERED.fullmatch(c))}
    ordered = sorted(numbers, key=lambda column: numbers[column])
    for i, column in enumerate(ordered):
        if numbers[column] != numbers[ordered[0]] + i:
            raise XprobeError(
                f"{file}: columns {ordered[i - 1]} and {column} follow each other; number the "
                f"features x0, x1, … without gaps or repeats"
            )
        yield column


def _from_lists(column: pa.ChunkedArray, name: str, file: Path) -> np.ndarray[Any, Any]:
    """Return the features (n, d) of a column of n lists of d numbers."""
    import pyarrow.compute as pc

    lists = hasattr(column.type, "value_type") and not column.null_count
    lengths = pc.unique(pc.list_value_length(column)).to_pylist() if lists else []
    if len(lengths) != 1:
        raise XprobeError(f"{file}: {name} must hold a list in every row, all of one length")
    parts = [np.asarray(chunk.flatten()).reshape(-1, *lengths) for chunk in column.chunks]
    return np.concatenate(parts)


_READERS: dict[str, Callable[[Path], Columns]] = {
    ".npz": _read_npz,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
}
