"""Images and features → a folder that Hugging Face's datasets library opens from disk.

``datasets.load_dataset(folder)`` returns those of the splits train, test, extra and pre that have
images. Parquet files hold the rows, with the classes' names in the metadata of their schema, as
that library itself writes them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xprobe.base.arrays import Floats, Ints
from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError, counted, first_few
from xprobe.base.progress import Progress, no_progress
from xprobe.design.lineage import licences
from xprobe.features.export import FEATURES, check_columns
from xprobe.features.shards import StoredEncoder
from xprobe.features.store import Store
from xprobe.images import contents
from xprobe.images.licence import is_redistributable, is_withheld
from xprobe.images.manifest import SPLITS, Manifest
from xprobe.report.tables.card import CARD, card, is_card

# Rows of a row group of Parquet, which is the least that a reader reads. The datasets library, too,
# writes as many where rows hold images.
ROWS_OF_GROUP = 100

# A file is closed when its rows have this size, before they are compressed.
FILE_BYTES = 2**28


@dataclass(frozen=True)
class Written:
    """A data set that was written.

    Attributes:
        rows: number of images.
        with_content: number of images whose content is in it.
        withheld: licence → number of images whose content is left out because of it; ``""``: no
            licence is known.
        strict: licences of images whose content is in it, and which may not be passed on.
        unreadable: number of images whose content could not be read any more.
    """

    rows: int
    with_content: int
    withheld: dict[str, int] = field(default_factory=dict)
    strict: tuple[str, ...] = ()
    unreadable: int = 0

    @property
    def sentences(self) -> list[str]:
        """What the data set lacks, and what to do about it."""
        said = []
        if self.withheld:
            names = [f"{n:,} {name or 'without a licence'}" for name, n in self.withheld.items()]
            said.append(
                f"{counted(sum(self.withheld.values()), 'image has', 'images have')} a row without "
                f"a picture, since no licence that is known lets it be passed on: "
                f"{first_few(names)}; state it in the column licence of a manifest, or use --images"
            )
        if self.strict:
            said.append(
                f"it holds images that may not be passed on ({first_few(self.strict)}): keep it to "
                f"yourself, or write it without --images"
            )
        if self.unreadable:
            said.append(f"{counted(self.unreadable, 'image', 'images')} could not be read any more")
        return said


def write_dataset(
    folder: Path,
    images: Manifest,
    store: Store,
    encoder: StoredEncoder,
    with_images: bool | None = None,
    progress: Progress = no_progress,
) -> Written:
    """Write the images of a manifest with their features as a data set, whole or not at all.

    Images without features are left out.

    Args:
        folder: folder to write; one that such a data set was written to before is replaced.
        images: the images.
        store: the store of their features.
        encoder: the encoder in it.
        with_images: whether the data set has the content of the images, beside their columns and
            features; None: it has that of the images whose licence lets it be passed on.
        progress: shows how far the work has come.

    Raises:
        XprobeError: the folder holds something else; images were never embedded, or none of them
            can be; or their table has a column that cannot be written (`check_columns`).
    """
    _check_free(folder)
    check_columns(images, folder)
    features, failed = store.read(encoder, images)
    rows = images.without(failed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".tmp-{folder.name}-") as place:
        new = Path(place, folder.name)
        written = _write_parts(new, rows, features.x, with_images, progress)
        put(new / CARD, _card_of(new, rows, encoder, written))
        if folder.exists():
            shutil.rmtree(folder)
        new.replace(folder)
    return written


def _check_free(folder: Path) -> None:
    """Refuse a folder that holds anything but a former data set of xprobe's."""
    if not folder.exists():
        return
    try:
        inside = sorted(path.name for path in folder.iterdir())
        is_former = is_card((folder / CARD).read_bytes()) if CARD in inside else not inside
    except NotADirectoryError as error:
        raise XprobeError(f"{folder}: a file is in the way; name another folder") from error
    if not is_former or set(inside) - {CARD, "data"}:
        raise XprobeError(
            f"{folder} holds other files ({first_few(inside, 3)}); name a folder that is new"
        )


def _write_parts(
    folder: Path, rows: Manifest, x: Floats, with_images: bool | None, progress: Progress
) -> Written:
    """Write the Parquet files of all splits."""
    licence = licences(rows)
    is_held = np.array(
        [
            is_redistributable(name) is True if with_images is None else with_images
            for name in licence
        ],
        dtype=bool,
    )
    columns = _Columns(rows, x.shape[1], with_images=bool(is_held.any()))
    (folder / "data").mkdir(parents=True)
    read = 0
    with progress(f"write {folder.name}", len(rows)) as advance:
        for split in SPLITS:
            part = np.flatnonzero(rows.split == split)
            writer = _Files(folder / "data", split, columns.schema)
            for start in range(0, len(part), ROWS_OF_GROUP):
                group = part[start : start + ROWS_OF_GROUP]
                images = [_content_of(rows.path[i]) if is_held[i] else None for i in group]
                read += sum(content is not None for content in images)
                writer.add(columns.batch(group, x[group], images))
                advance(len(group))
            writer.finish()
    withheld = Counter(licence[~is_held].tolist() if with_images is None else [])
    return Written(
        rows=len(rows),
        with_content=read,
        withheld=dict(withheld.most_common()),
        strict=tuple(sorted(filter(is_withheld, set(licence[is_held])))),
        unreadable=int(is_held.sum()) - read,
    )


def _content_of(path: str) -> bytes | None:
    """Return the bytes of an image, or None if it cannot be read any more."""
    try:
        return contents.read(path)
    except OSError:
        return None


class _Columns:
    """The columns of a data set, and their types for Arrow and for the datasets library."""

    def __init__(self, rows: Manifest, dim: int, with_images: bool) -> None:
        import pyarrow as pa

        self._rows, self._with_images = rows, with_images
        # A label is written as a number and a split as the name of a file; a path leads to a file
        # of this machine alone.
        replaced = ("label", "path", "split")
        names = (*rows.columns(), *rows.further)
        self._texts = [n for n in names if n not in replaced and any(rows.column(n))]
        fields = [("label", pa.int64()), *((name, pa.string()) for name in self._texts)]
        types: dict[str, Any] = {"label": {"names": list(rows.classes), "_type": "ClassLabel"}}
        types |= {name: {"dtype": "string", "_type": "Value"} for name in self._texts}
        if with_images:
            struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
            fields.insert(0, ("image", struct))
            types = {"image": {"_type": "Image"}} | types
        fields.append((FEATURES, pa.list_(pa.float32(), dim)))
        number = {"dtype": "float32", "_type": "Value"}
        types[FEATURES] = {"feature": number, "length": dim, "_type": "Sequence"}
        about = json.dumps({"info": {"features": types}}, ensure_ascii=False)
        self.schema = pa.schema(fields, metadata={"huggingface": about})
        self._number_of = {name: number for number, name in enumerate(rows.classes)}

    def batch(self, group: Ints, x: Floats, images: Sequence[bytes | None]) -> Any:
        """Return some rows as a table of Arrow."""
        import pyarrow as pa

        rows = self._rows
        columns: dict[str, Any] = {}
        if self._with_images:
            columns["image"] = [
                None if content is None else {"bytes": content, "path": rows.id[i]}
                for i, content in zip(group, images, strict=True)
            ]
        columns["label"] = [self._number_of[rows.label[i]] for i in group]
        for name in self._texts:
            columns[name] = [text or None for text in rows.column(name)[group]]
        values = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel(), pa.float32()), x.shape[1])
        arrays = [pa.array(columns[f.name], f.type) for f in self.schema if f.name != FEATURES]
        return pa.Table.from_arrays([*arrays, values], schema=self.schema)


class _Files:
    """The Parquet files of a split, each closed at `FILE_BYTES`.

    Only `finish` knows how many there are, which the name of each says.
    """

    def __init__(self, folder: Path, split: str, schema: Any) -> None:
        self._folder, self._split, self._schema = folder, split, schema
        self._writer: Any = None
        self._size = 0
        self._files: list[Path] = []

    def add(self, table: Any) -> None:
        """Write some rows as a row group."""
        import pyarrow.parquet as pq

        if self._writer is None:
            file = self._folder / f"{self._split}-{len(self._files):05d}"
            self._files.append(file)
            self._writer, self._size = pq.ParquetWriter(file, self._schema), 0
        self._writer.write_table(table)
        self._size += table.nbytes
        if self._size >= FILE_BYTES:
            self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def finish(self) -> None:
        """Close the last file, and give all of them their names."""
        self._close()
        for file in self._files:
            file.rename(f"{file}-of-{len(self._files):05d}.parquet")


def _card_of(folder: Path, rows: Manifest, encoder: StoredEncoder, written: Written) -> bytes:
    """Return README.md of a data set, whose Parquet files are in its folder already."""
    splits = list(_splits(folder))
    files = {split: f"data/{split}-*.parquet" for split in splits}
    n = counted(written.rows, "image", "images")
    classes = counted(len(rows.classes), "class", "classes")
    lines = [
        f"{n} of {classes}, with the features of the encoder {encoder.name} in the column "
        f"{FEATURES}. The column source says which images are real and which are synthetic. "
        f"Synthetic images are in the split train, since tests are on real images alone.",
        '```python\nimport datasets\n\ndata = datasets.load_dataset("PATH OF THIS FOLDER")\n```',
        *written.sentences,
    ]
    return card({"default": files}, "Images and features", lines, licences(rows))


def _splits(folder: Path) -> Iterator[str]:
    """Return the splits that have files in the folder of a data set."""
    names = {file.name.partition("-")[0] for file in (folder / "data").iterdir()}
    return (split for split in SPLITS if split in names)
