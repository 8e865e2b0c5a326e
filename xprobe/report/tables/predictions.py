"""predictions.parquet: what was predicted of each test image, by every setting in every repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import UNREADABLE, Floats, digest_of
from xprobe.base.atomic import put_by
from xprobe.base.errors import XprobeError, first_few
from xprobe.base.visible import visible
from xprobe.report.tables.columns import seed_of, setting_fields
from xprobe.results.predictions import load_predictions, predictions_file, temperature_of
from xprobe.results.rows import Run
from xprobe.results.study import Results, Study, folders_of

PREDICTIONS = (
    "id", "label", "predicted", "probability", "encoder", "alias", "head", "generator", "setting",
    "ratio", "augment", "repeat", "fold", "seed", "study",
)  # fmt: skip
"""The columns of predictions.parquet."""

MOST_ROWS = 1_000_000
"""A table of more rows is written only where it is asked for.

The scores of all classes are read for it, so that a million rows of 45 classes take some 5 s.
"""

# So many rows are written at once, and are in memory before.
_ROWS_AT_ONCE = 1 << 18

# The file says of what it was made, so that it is not made again of the same.
_SOURCE, _VERSION = "xprobe", 1


@dataclass(frozen=True)
class _Source:
    """A study whose predictions are there.

    Attributes:
        study: the study.
        blocks: for each setting and repeat the folder of the predictions, their key, and the rows
            of the folds.
    """

    study: Study
    blocks: tuple[tuple[Path, str, tuple[Run, ...]], ...]

    @property
    def rows(self) -> int:
        """How many rows the table has of it."""
        return self.study.real_only.n_test * len(self.blocks)

    @property
    def fingerprint(self) -> list[str]:
        """What decides the rows of the table: the study, its time, names and generators."""
        encoder = self.study.encoder
        names = encoder.label, encoder.title, *self.study.generators
        return [self.study.key, self.study.created, *names]


def write_predictions(
    file: Path, results: Results, studies: Sequence[Study], wanted: bool | None = None
) -> list[str]:
    """Write predictions.parquet, unless the one that is there is of the same studies.

    Args:
        file: the table; a former one of other studies is deleted where there is none to write.
        results: folders in which the predictions of the studies lie.
        studies: the studies of the report.
        wanted: whether to write it; None: if it has up to `MOST_ROWS`.

    Returns:
        Sentences on what the table lacks, or why there is none; nothing if that is what was asked
        for.
    """
    sources, lacks = _sources(folders_of(results), studies)
    fingerprint = digest_of([_VERSION, [source.fingerprint for source in sources]])
    if sources and _fingerprint(file) == fingerprint:
        return lacks
    rows = sum(source.rows for source in sources)
    if wanted is None and rows > MOST_ROWS:
        lacks = [f"predictions.parquet would have {rows:,} rows; --predictions writes it"]
    elif sources and wanted is not False:
        try:
            put_by(file, lambda stream: _write(stream, sources, fingerprint))
            return lacks
        except XprobeError as error:
            lacks = [f"there is no predictions.parquet: {error}"]
    file.unlink(missing_ok=True)
    return [] if wanted is False else lacks


def _sources(folders: Sequence[Path], studies: Sequence[Study]) -> tuple[list[_Source], list[str]]:
    """Return the studies whose predictions are there, and sentences on the others."""
    sources, older, missing = [], [], []
    for study in studies:
        blocks = study.blocks
        if len(blocks) != len(study.predictions) or not blocks:
            older.append(study.encoder.title)
            continue
        places = [_folder_of(folders, key) for key in study.predictions]
        if None in places:
            missing.append(study.encoder.title)
            continue
        placed = zip(places, study.predictions, blocks, strict=True)
        sources.append(_Source(study, tuple((p, k, b) for p, k, b in placed if p is not None)))
    lacks = [
        f"predictions.parquet lacks {first_few(list(dict.fromkeys(labels)))}: {why}; run the same "
        f"'xprobe sweep' again{', which trains nothing' if labels is older else ''}"
        for labels, why in (
            (older, "an older xprobe kept no list of their predictions"),
            (missing, "predictions were deleted"),
        )
        if labels
    ]
    return sources, lacks


def _folder_of(folders: Sequence[Path], key: str) -> Path | None:
    return next((folder for folder in folders if predictions_file(folder, key).is_file()), None)


def _fingerprint(file: Path) -> str:
    """Return the fingerprint that a table was written with; nothing if there is no whole table."""
    import pyarrow.parquet as pq

    try:
        metadata: dict[bytes, bytes] = pq.read_metadata(file).metadata or {}
        return metadata.get(_SOURCE.encode(), b"").decode()
    except UNREADABLE:
        return ""


def _write(stream: BinaryIO, sources: Sequence[_Source], fingerprint: str) -> None:
    """Write the table, a study after the other, so that few of its rows are in memory."""
    import pyarrow.parquet as pq

    # Without the schema of Arrow, words are words to a reader, and not categories.
    with pq.ParquetWriter(stream, _schema(), store_schema=False, write_page_checksum=True) as file:
        for source in sources:
            for table in _tables(source):
                file.write_table(table)
        file.add_key_value_metadata({_SOURCE: fingerprint})


def _schema() -> Any:
    """Return the Arrow schema of `PREDICTIONS`."""
    import pyarrow as pa

    numbers = {
        "probability": pa.float32(), "ratio": pa.float64(), "repeat": pa.int32(),
        "fold": pa.int32(), "seed": pa.int64(),
    }  # fmt: skip
    words = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([(name, numbers.get(name, words)) for name in PREDICTIONS])


@dataclass(frozen=True, eq=False)
class _Block:
    """What one setting predicted in one repeat.

    Attributes:
        run: the row of one of its folds.
        image: (n,) number of each test image among those of its study.
        label, predicted: (n,) classes.
        probability: (n,) of the predicted class.
        fold: (n,) in which the image was tested.
    """

    run: Run
    image: NDArray[np.int32]
    label: NDArray[np.int32]
    predicted: NDArray[np.int32]
    probability: NDArray[np.float32]
    fold: NDArray[np.int32]


def _tables(source: _Source) -> Iterator[Any]:
    """Yield the rows of a study as Arrow tables of about `_ROWS_AT_ONCE` rows."""
    image: dict[str, int] = {}
    blocks: list[_Block] = []
    for folder, key, runs in source.blocks:
        blocks.append(_load(source.study, folder, key, runs, image))
        if sum(len(block.image) for block in blocks) >= _ROWS_AT_ONCE:
            yield _table(source.study, image, blocks)
            blocks = []
    if blocks:
        yield _table(source.study, image, blocks)


def _load(
    study: Study, folder: Path, key: str, runs: Sequence[Run], image: dict[str, int]
) -> _Block:
    """Return the predictions of a block; images that `image` has no number of get the next one.

    Raises:
        XprobeError: they are damaged, or not those that the study was judged by.
    """
    loaded = load_predictions(folder, key)
    if loaded is None:
        raise XprobeError(f"{predictions_file(folder, key)} vanished; run 'xprobe sweep' again")
    predictions, record = loaded
    predicted = predictions.score.argmax(axis=1)
    right = np.bincount(predictions.fold, predictions.hit, minlength=len(record.c))
    tested = np.bincount(predictions.fold, minlength=len(record.c))
    wanted = {run.fold: run.accuracy for run in runs}
    share = np.array([wanted.get(fold, -1.0) for fold in range(len(tested))])
    if record.classes != study.manifest.classes or (abs(right - share * tested) > 0.5).any():
        raise XprobeError(
            f"{predictions_file(folder, key)}: not what {study.encoder.label} was judged by; run "
            f"the same 'xprobe sweep' again"
        )
    temperature = temperature_of(predictions, record)
    return _Block(
        run=runs[0],
        image=_int32([image.setdefault(id_, len(image)) for id_ in predictions.id]),
        label=_int32(predictions.label),
        predicted=_int32(predicted),
        probability=_highest(predictions.score, temperature),
        fold=_int32(predictions.fold),
    )


def _int32(values: Any) -> NDArray[np.int32]:
    return np.asarray(values, dtype=np.int32)


def _highest(score: Floats, temperature: Floats | None) -> NDArray[np.float32]:
    """Return the probability (n,) of the most probable class, calibrated where that is known."""
    if temperature is not None:
        score = score / temperature[:, None]
    apart = np.exp(score - score.max(axis=1, keepdims=True))  # 1 for the most probable class.
    return np.asarray(1 / apart.sum(axis=1), dtype=np.float32)


def _table(study: Study, image: Iterable[str], blocks: Sequence[_Block]) -> Any:
    """Return the rows of some blocks of a study as an Arrow table; words stand in it as numbers."""
    import pyarrow as pa

    schema = _schema()
    block = np.repeat(np.arange(len(blocks)), [len(b.image) for b in blocks])

    def chosen(name: str, words: Iterable[str]) -> Any:
        numbers = np.concatenate([getattr(b, name) for b in blocks])
        return pa.DictionaryArray.from_arrays(numbers, [visible(word) for word in words])

    def shared(name: str, values: Sequence[object]) -> Any:
        kind = schema.field(name).type
        if not pa.types.is_dictionary(kind):
            return pa.array(values, kind).take(block)
        words = [visible(value) if isinstance(value, str) else None for value in values]
        return pa.array(words, pa.string()).dictionary_encode().take(block)

    columns = {
        "id": chosen("image", image),
        "label": chosen("label", study.manifest.classes),
        "predicted": chosen("predicted", study.manifest.classes),
        "probability": np.concatenate([b.probability for b in blocks]),
        "fold": np.concatenate([b.fold for b in blocks]),
    }
    rows = [
        setting_fields(study, b.run)
        | {"repeat": b.run.repeat, "seed": seed_of(study, b.run), "study": study.key}
        for b in blocks
    ]
    for name in PREDICTIONS:
        if name not in columns:
            columns[name] = shared(name, [row[name] for row in rows])
    return pa.table(columns, schema)
