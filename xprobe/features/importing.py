"""Embeddings computed elsewhere → store: read, matched to the images, checked, kept as an encoder.

n images or rows, d features.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import UNREADABLE, Columns, Floats
from xprobe.base.errors import XprobeError, first_few
from xprobe.base.progress import Progress, no_progress
from xprobe.encoders.presets import ENCODERS, IMPORT_ONLY
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.items import EncoderOutcome
from xprobe.features.shards import SHARD_ROWS, StoredEncoder, read_datasets
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest

if TYPE_CHECKING:
    import pyarrow as pa

# Columns that name a row's image, the surest first: a digest says which content was embedded.
NAMES = ("sha256", "id", "path")

FEATURES = ("x", "features", "embeddings", "embedding")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

_NUMBERED = re.compile(r"x?([0-9]+)")

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")


class Imported(EncoderOutcome, frozen=True, kw_only=True):
    """What one run of `import_features` did.

    Attributes:
        label: how the store tells the encoder from others of its name: ``name`` or ``name@key``.
        unmatched_rows: rows of the file whose image the manifest lacks, or cannot be read.
        missing_images: readable images of the manifest that the file has no row of.
    """

    label: str
    unmatched_rows: int
    missing_images: int


@dataclass(frozen=True, eq=False)
class _Rows:
    """Checked rows of a foreign file: `names` (n,) of the kind `column`, and finite x (n, d)."""

    column: str
    names: list[str]
    x: Floats


def import_features(
    manifest: Manifest,
    file: str | Path,
    name: str,
    store: Store,
    *,
    base: str | Path = ".",
    allow_missing: bool = False,
    progress: Progress = no_progress,
) -> Imported:
    """Store the embeddings of a file as the encoder `name`, for the images of a manifest.

    Args:
        manifest: the images.
        file: .npz, .h5, .hdf5, .parquet or .csv with one row an image: its name, under one of
            `NAMES`, and its features (d,), under one of `FEATURES` or in numbered columns.
        name: what the encoder is called from now on.
        store: where the rows are put. Its key for them holds the digest of all names' contents
            and features, so other features under the same name are another encoder.
        base: folder that relative paths in the file are relative to.
        allow_missing: go on if images of the manifest have no row.
        progress: how long work is shown.

    Raises:
        XprobeError: a name of another encoder; a file that cannot be read, or whose rows are not
            finite vectors of one length; rows of one image that differ; no row of these images;
            images without a row.
    """
    start = time.monotonic()
    check_import_name(name)
    file = Path(file)
    rows = _read_foreign_file(file)
    contents = _contents_of_rows(manifest, rows, Path(base))
    row_of = _one_row_a_content(rows, contents, file)
    if not row_of:
        raise _no_match_error(manifest, rows, file)
    missing = {
        id_: digest
        for id_, digest in zip(manifest.id, manifest.sha256, strict=True)
        if digest and digest not in row_of
    }
    if missing and not allow_missing:
        raise XprobeError(
            f"{file}: no row of {len(missing)} of {len(manifest)} images "
            f"({first_few(missing, 3)}); add them, name a manifest without them with --data, or "
            f"give --allow-missing"
        )
    stored = store.add_encoder(name, _spec_of_import(name, rows.x, row_of))
    embedded = _put_missing(store, stored, rows.x, row_of, progress)
    if missing:  # The store keeps them as failures, so that a sweep goes on without them.
        none = np.empty((0, stored.spec.dim), dtype=np.float32)
        store.write_shard(
            stored, [], none, dict.fromkeys(missing.values(), f"no row in {file.name}")
        )
    failed = len(missing) + sum(not digest for digest in manifest.sha256)
    seconds = time.monotonic() - start
    return Imported(
        name=name,
        key=stored.key,
        dim=stored.spec.dim,
        label=store.labels()[stored.key],
        images=len(manifest),
        embedded=embedded,
        reused=len(manifest) - embedded - failed,
        failed=failed,
        seconds=round(seconds, 3),
        images_per_s=round(embedded / seconds, 1),
        unmatched_rows=sum(not digest for digest in contents),
        missing_images=len(missing),
    )


def remarks(done: Imported, file: str | Path) -> list[str]:
    """Return what the user should know of an import that went through."""
    sentences = []
    if done.unmatched_rows:
        sentences.append(f"{done.unmatched_rows} rows of {file} are of no readable image of DATA")
    if done.missing_images:
        sentences.append(f"{done.missing_images} images have no row in {file}, and take no part")
    if done.label != done.name:
        sentences.append(
            f"the store has other features called {done.name}; these are --encoder {done.label}"
        )
    return sentences


def check_import_name(name: str) -> None:
    """Raise XprobeError if an encoder of xprobe has the name, or if it has forbidden characters."""
    preset = ENCODERS.get(name.lower())
    if ":" in name or (preset is not None and preset.source != IMPORT_ONLY):
        raise XprobeError(
            f"--encoder-name {name}: that is an encoder of xprobe, and imported features would be "
            f"mistaken for its own; choose another, such as --encoder-name "
            f"my-{re.sub('[^a-z0-9.-]+', '-', name.lower())}"
        )
    if not _NAME.fullmatch(name):
        raise XprobeError(
            f"--encoder-name {name!r}: use letters, digits and . _ + - only, such as skysense-o"
        )


def _spec_of_import(name: str, x: Floats, row_of: Mapping[str, int]) -> EncoderSpec:
    """Return the spec of imported features; the features themselves stand in for the weights."""
    digest = hashlib.sha256()
    for content, row in sorted(row_of.items()):
        digest.update(bytes.fromhex(content))
        digest.update(x[row].astype("<f4").tobytes())
    return EncoderSpec(
        source=f"import:{name}", weights=digest.hexdigest(), layer="imported",
        dim=int(x.shape[1]), input_px=(0, 0), resize="squash", interpolation="", mean=(), std=(),
        precision="fp32", preprocessing="",
    )  # fmt: skip


def _put_missing(
    store: Store, stored: StoredEncoder, x: Floats, row_of: Mapping[str, int], progress: Progress
) -> int:
    """Write shards of the contents that the store lacks; return how many contents these are."""
    known = store.index(stored).rows
    new = [content for content in sorted(row_of) if content not in known]
    with progress(f"import {stored.name}", len(new)) as advance:
        for i in range(0, len(new), SHARD_ROWS):
            part = new[i : i + SHARD_ROWS]
            store.write_shard(stored, part, x[[row_of[content] for content in part]], {})
            advance(len(part))
    return len(new)


# --- rows and images -----------------------------------------------------------------


def _contents_of_rows(manifest: Manifest, rows: _Rows, base: Path) -> list[str]:
    """Return the content digest of each row's image (n,); ``""`` if the manifest lacks it."""
    if rows.column == "path":
        return _contents_by_path(manifest, rows.names, base.resolve())
    keys = manifest.sha256 if rows.column == "sha256" else manifest.id
    content = dict(zip(keys, manifest.sha256, strict=True))
    return [content.get(name, "") for name in rows.names]


def _contents_by_path(manifest: Manifest, names: Sequence[str], base: Path) -> list[str]:
    """Return the content digest of each path; the disk follows links only where it must."""
    pairs = list(zip(manifest.path, manifest.sha256, strict=True))
    direct = {os.path.normpath(path): digest for path, digest in pairs}
    digests = [direct.get(os.path.normpath(base / name)) for name in names]
    if None in digests:
        resolved = {_real_path(path): digest for path, digest in pairs}
        for i, name in enumerate(names):
            if digests[i] is None:
                digests[i] = resolved.get(_real_path(base / name)) or resolved.get(_real_path(name))
    return [digest or "" for digest in digests]


def _real_path(path: str | Path) -> str | None:
    try:
        return os.path.realpath(path)
    except ValueError:  # No file has a name with a zero byte or half a character.
        return None


def _one_row_a_content(rows: _Rows, contents: Sequence[str], file: Path) -> dict[str, int]:
    """Return content digest → row; rows of equal content must be equal to the bit."""
    row_of: dict[str, int] = {}
    for row, content in enumerate(contents):
        if not content:
            continue
        first = row_of.setdefault(content, row)
        if first != row and rows.x[first].tobytes() != rows.x[row].tobytes():
            a, b = rows.names[first], rows.names[row]
            which = f"of {a!r}" if a == b else f"of {a!r} and {b!r}, which are the same file,"
            raise XprobeError(
                f"{file}: rows {first + 1} and {row + 1} {which} hold different features; keep the "
                f"right one (one row serves every image of equal content)"
            )
    return row_of


def _no_match_error(manifest: Manifest, rows: _Rows, file: Path) -> XprobeError:
    known = getattr(manifest, rows.column)
    readable = [name for name, digest in zip(known, manifest.sha256, strict=True) if digest]
    return XprobeError(
        f"{file}: none of its {len(rows.names)} rows is an image of the manifest; its "
        f"{rows.column} is like {rows.names[0]!r}, and that of the manifest like "
        f"{first_few(map(repr, readable), 1)}; make them equal, or name other images with --data"
    )


# --- files ---------------------------------------------------------------------------


def _read_foreign_file(file: Path) -> _Rows:
    """Return the checked rows of a foreign file."""
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
    return _Rows(column, names, _checked_features(raw[x_columns[0]], x_columns[0], names, file))


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


def _checked_features(raw: Any, column: str, names: Sequence[str], file: Path) -> Floats:
    """Return features (n, d) as float32 if they are numbers, as many as names, and finite."""
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
    _check_finite(x, "are not finite (NaN or infinite); embed those images again", names, file)
    with np.errstate(over="ignore", under="ignore"):
        x = np.ascontiguousarray(x, dtype=np.float32)
    _check_finite(x, "are too large for float32; scale them down", names, file)
    return x


def _check_finite(x: Floats, what: str, names: Sequence[str], file: Path) -> None:
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
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
            known = (*NAMES, *FEATURES)
            return {name: archive[name] for name in known if name in archive.files}
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
        return _columns_of_table(stored.read(wanted), file)


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
