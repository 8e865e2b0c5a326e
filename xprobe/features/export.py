"""The features of an encoder → one file of a common format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from xprobe.base.arrays import Columns, Floats, frozen_strings
from xprobe.base.errors import XprobeError
from xprobe.features.hdf5 import write_datasets
from xprobe.features.shards import StoredEncoder, raw_digests
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest

EXPORTS = (".h5", ".hdf5", ".npz", ".parquet", ".safetensors")

FEATURES = "x"
"""Name of the column of features."""

# Columns of a table that an export would write over, or that a format has no room for.
_TAKEN = (FEATURES, "sha256", "image")
_TAKEN_IN_NPZ = ("encoder", "key", "file", "allow_pickle")


def check_columns(images: Manifest, target: Path) -> None:
    """Refuse images whose table has a column that would stand in the place of what is exported.

    Args:
        images: the images.
        target: file or folder that is to be written.

    Raises:
        XprobeError: there is one.
    """
    taken = (*_TAKEN, *(_TAKEN_IN_NPZ if target.suffix == ".npz" else ()))
    for name in images.further:
        if name in taken or not name.strip("./"):
            raise XprobeError(
                f"{target}: the table of the images has a column {name!r}, which is no name for a "
                f"further column there; rename it in the table"
            )


def export(store: Store, encoder: StoredEncoder, file: str | Path, images: Manifest | None) -> int:
    """Write the features of an encoder into one file, and return the number of rows.

    With a manifest, the rows are those of its images in its order, with all of its columns; else
    those of all contents, sorted by digest. HDF5 and NumPy files hold the features as an array
    ``x`` (n, d) float32 beside the columns, Parquet files as a column ``x`` of lists. Safetensors
    hold arrays of numbers alone: ``x``, ``sha256`` (n, 32), and ``label`` as positions in the list
    of classes, which is in the metadata.

    Args:
        store: the store.
        encoder: the encoder in it.
        file: the file to write; its suffix says in which format.
        images: the images whose features are written; None: all that the store has.

    Raises:
        XprobeError: the suffix is not in `EXPORTS`; images were never embedded, or none of them
            can be; or their table has a column that cannot be written (`check_columns`).
    """
    file = Path(file)
    if file.suffix not in EXPORTS:
        raise XprobeError(f"{file}: name a file {', '.join(EXPORTS)}")
    columns: Columns = {}
    if images is None:
        index = store.index(encoder)
        digests = sorted(index.rows)
        x = index.stored_rows(digests, encoder.spec.dim)[np.arange(len(digests))]
    else:
        check_columns(images, file)
        features, failed = store.read(encoder, images)
        kept = images.without(failed)
        x, digests = features.x, kept.sha256.tolist()
        columns = {name: kept.column(name) for name in (*kept.columns(), *kept.further)}
    columns = {**columns, "sha256": frozen_strings(digests)}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".tmp-{file.name}")
    try:
        _WRITERS[file.suffix](temporary, np.ascontiguousarray(x), columns, encoder)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return len(x)


def _name_and_key(encoder: StoredEncoder) -> dict[str, str]:
    return {"encoder": encoder.name, "key": encoder.key}


def _as_hdf5(file: Path, x: Floats, columns: Columns, encoder: StoredEncoder) -> None:
    write_datasets(file, {FEATURES: x, **columns}, _name_and_key(encoder))


def _as_npz(file: Path, x: Floats, columns: Columns, encoder: StoredEncoder) -> None:
    texts = {name: np.asarray(values, dtype=str) for name, values in columns.items()}
    texts |= {name: np.array(value) for name, value in _name_and_key(encoder).items()}
    with file.open("wb") as stream:
        np.savez(stream, x=x, **texts)  # type: ignore[arg-type]  # No name is allow_pickle.


def _as_parquet(file: Path, x: Floats, columns: Columns, encoder: StoredEncoder) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    table = pa.table({**{name: column.tolist() for name, column in columns.items()}, "x": values})
    pq.write_table(table.replace_schema_metadata(_name_and_key(encoder)), file)


def _as_safetensors(file: Path, x: Floats, columns: Columns, encoder: StoredEncoder) -> None:
    from safetensors.numpy import save_file

    tensors = {"x": x, "sha256": raw_digests(columns["sha256"]).copy()}
    about = _name_and_key(encoder)
    if "label" in columns:
        names, label = np.unique(columns["label"].astype(str), return_inverse=True)
        tensors["label"] = label.astype(np.int64)
        about["classes"] = json.dumps(names.tolist())
        about["id"] = json.dumps(columns["id"].tolist())
    save_file(tensors, str(file), about)


_WRITERS = {
    ".h5": _as_hdf5, ".hdf5": _as_hdf5, ".npz": _as_npz, ".parquet": _as_parquet,
    ".safetensors": _as_safetensors,
}  # fmt: skip
