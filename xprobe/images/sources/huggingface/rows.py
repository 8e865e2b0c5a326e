"""Hugging Face's data sets on disk → rows of the image table."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from xprobe.base.errors import XprobeError, XprobeNote, XprobeWarning, first_few
from xprobe.images.captions import cell_of
from xprobe.images.classes import composed
from xprobe.images.config import FormConfig
from xprobe.images.containers.columns import image_columns, is_binary, name_of_cell
from xprobe.images.manifest import REQUIRED, SOURCES, Row, is_missing
from xprobe.images.paths import why_no_path
from xprobe.images.sources.class_names import check_names, class_names
from xprobe.images.sources.huggingface.batches import Batch, rows_in
from xprobe.images.sources.huggingface.card import INFO, README, ClassNames, read_card, read_info
from xprobe.images.sources.huggingface.choice import (
    NUMBER,
    Choice,
    agreed_names,
    check_alike,
    chosen,
)
from xprobe.images.sources.huggingface.tree import (
    PARQUET,
    Shard,
    count_others,
    is_saved,
    parquet_shards,
    saved_shards,
    shard_names,
    split_named,
)
from xprobe.images.sources.leftovers import SYNTHETIC_TESTS, Kind, LeftOut
from xprobe.images.sources.splits import is_trained_with
from xprobe.images.sources.table import regroup
from xprobe.images.sources.tree import Folder
from xprobe.images.text import is_whole

ARROW = ".arrow"

UNLABELLED = Kind("images without a label", "fill in their label to keep them")
NULL = Kind("rows without an image", "their image is null")
UNSAFE = Kind(
    "images whose path does not lead to a file of the data set",
    "copy them into its folder, or their bytes into its rows",
)

_ALTERNATIVE = "name another column with --columns {0}=…, or none with --columns {0}=-"


def recognises(path: Path) -> bool:
    """Return whether a path is a data set in Parquet that holds images, or one saved to disk."""
    if path.is_file():
        # A damaged table may be Parquet, too; no other source reads Arrow.
        return path.suffix in (PARQUET, ARROW) and _holds_images(path, path.suffix == ARROW)
    if not path.is_dir():
        return False
    if is_saved(path):
        return True
    names = shard_names(Folder(str(path)), is_whole=False)
    return any(_holds_images(path / name, is_sure=True) for name in _first_of_folders(names))


def _first_of_folders(names: Iterable[str]) -> Iterator[str]:
    """Yield the first file of each folder."""
    folders = set()
    for name in names:
        folder = name.rpartition("/")[0]
        if folder not in folders:
            folders.add(folder)
            yield name


def _holds_images(file: Path, is_sure: bool) -> bool:
    """Return whether a file has a column of images, or of bytes and is no manifest.

    Args:
        file: the file.
        is_sure: what is returned of a file that cannot be read, so that reading it says why.
    """
    try:
        with rows_in(file) as rows:
            schema = rows.schema
    except XprobeError:
        return is_sure
    if image_columns(schema):
        return True
    is_table = set(schema.names).issuperset(REQUIRED)
    return not is_table and any(is_binary(field.type) for field in schema)


@dataclass(frozen=True)
class DataSet:
    """A data set, and what it states beside its rows.

    Attributes:
        folder: the folder that it lies in.
        name: what messages call it.
        stated: files beside its rows, and the names of classes that each of them states by column.
        licence: name of its licence; empty: not said.
    """

    folder: Path
    name: str
    stated: tuple[tuple[str, ClassNames], ...] = ()
    licence: str = ""


def read(data: Path, group: str, form: FormConfig) -> tuple[list[Row], Path]:
    """Return the rows of a data set, and its folder; no image is read.

    Raises:
        XprobeError: it cannot be read, or it cannot be told what its columns are.
    """
    if data.is_file():
        shards = [Shard(data.name)]
        return read_shards(DataSet(data.parent, str(data)), shards, group, form), data.parent
    if not data.is_dir():
        raise XprobeError(f"{data}: no such file or folder; correct its path")
    return read_folder(data, str(data), group, form), data


def read_folder(
    folder: Path, name: str, group: str, form: FormConfig, configuration: str = ""
) -> list[Row]:
    """Return the rows of a folder, with paths relative to it.

    Args:
        folder: the folder.
        name: what messages call it.
        group: column that says which images belong together; empty: none.
        form: what options say of the form.
        configuration: the part of the data set that is meant; empty: the only one.

    Raises:
        XprobeError: as in `read`.
    """
    card = read_card(folder)
    if is_saved(folder):
        shards = saved_shards(folder)
        info = read_info((folder / shards[0].name).parent)
        data = DataSet(folder, name, ((INFO, info),), card.licence)
        return read_shards(data, shards, group, form)
    root = Folder(str(folder))
    files = list(shard_names(root))
    if not files:
        raise XprobeError(
            f"{name}: no {PARQUET} files in it, nor a data set saved to disk; name the folder that "
            f"holds them, or leave --layout out"
        )
    part, shards = parquet_shards(name, files, card, configuration)
    stated = ((INFO, read_info(folder)), (README, card.names_in(part)))
    rows = read_shards(DataSet(folder, name, stated, card.licence), shards, group, form)
    left_out = LeftOut()
    count_others(root, {row["path"] for row in rows}, left_out)
    for line in left_out.lines:
        warnings.warn(f"{name}: {line}", XprobeNote, stacklevel=3)
    return rows


def read_shards(data: DataSet, shards: Sequence[Shard], group: str, form: FormConfig) -> list[Row]:
    """Return the rows of some files of a data set, with paths relative to its folder.

    Args:
        data: the data set.
        shards: the files.
        group: column that says which images belong together; empty: none.
        form: what options say of the form.

    Raises:
        XprobeError: a file cannot be read, or is unlike another one; or values do not fit.
    """
    choices, unused = [], list[str]()
    for shard in shards:
        with rows_in(data.folder / shard.name) as opened:
            choices.append(chosen(opened.schema, form, str(data.folder / shard.name)))
            used = {choices[-1].image, *choices[-1].used}
            unused += [name for name in opened.schema.names if name not in (*used, *unused)]
        check_alike(choices[0], choices[-1], (shards[0].name, shard.name))
    in_files = zip((shard.name for shard in shards), (c.class_names for c in choices), strict=True)
    stated = (*data.stated, *in_files)
    named_by_user = {choices[0].label} if form.classes else set()
    names = agreed_names(stated, {*choices[0].used} - named_by_user)
    if form.classes:
        _tell_replaced(data, choices[0].label, stated, form.classes)
    cells = _Cells(data, choices[0], _labels(data, choices[0], names, form), names)
    left_out = LeftOut()
    rows = [row for shard in shards for row in cells.rows_of(shard, left_out)]
    if not rows:
        why = "; ".join(left_out.lines) or "it has no rows"
        raise XprobeError(f"{data.name}: there are no images with a label in it: {why}")
    left_out.tell(data.name)
    _check_ids(rows, data)
    if unused:
        warnings.warn(
            f"{data.name}: columns that are not used: {first_few(unused, 20)}; to use one, say "
            f"what it is, such as --columns prompt={unused[0]}",
            XprobeNote,
            stacklevel=3,
        )
    return _grouped(rows, group, data) if group else rows


def _labels(
    data: DataSet, choice: Choice, names: ClassNames, form: FormConfig
) -> tuple[str, ...] | None:
    """Return the names of classes that are given as numbers; None: classes are texts.

    Classes without names are called by their numbers, and an empty tuple stands for these.

    Raises:
        XprobeError: names are given for classes that are texts, or they can be no names.
    """
    if choice.kinds[choice.label] != NUMBER:
        if form.classes:
            raise XprobeError(
                f"{data.name}: --classes {form.classes}: the classes in {choice.label} are names "
                f"already; leave --classes out"
            )
        return None
    if form.classes:
        return tuple(class_names(form.classes))
    known = names.get(choice.label, ())
    if known:
        check_names(known, data.name, "name all classes in a file, --classes FILE")
    else:
        _warn(
            f"{data.name}: the classes in {choice.label} are numbers without names; to name them, "
            f"write a file with a name a line, from 0, and say --classes FILE"
        )
    return known


def _tell_replaced(
    data: DataSet, label: str, stated: Iterable[tuple[str, ClassNames]], classes: str
) -> None:
    """Warn if a user's names of classes differ from those that the data set states itself."""
    given = tuple(class_names(classes))
    others = [names[label] for _, names in stated if names.get(label, given) != given]
    if others:
        _warn(
            f"{data.name}: its classes are {first_few(others[0], 3)}, and "
            f"{first_few(given, 3)} in this study, as --classes {classes} says"
        )


class _Cells:
    """Makes rows of the image table from the cells of a data set."""

    def __init__(
        self, data: DataSet, choice: Choice, labels: tuple[str, ...] | None, names: ClassNames
    ) -> None:
        self._data, self._choice, self._labels, self._names = data, choice, labels, names
        self._known: set[str] = set()

    def rows_of(self, shard: Shard, left_out: LeftOut) -> Iterator[Row]:
        """Yield the rows of a file, but for what is left out, which is counted.

        Raises:
            XprobeError: the file is damaged, or values do not fit.
        """
        column = self._choice.image if self._choice.is_named else ""
        with rows_in(self._data.folder / shard.name) as opened:
            width, start = len(str(opened.n)), 0
            for batch in opened.batches(self._choice.used, self._choice.image):
                for i in range(batch.n):
                    path = f"{shard.name}::{name_of_cell(start + i, width, column)}"
                    row = self._row(batch, i, path, shard)
                    if isinstance(row, Kind):
                        left_out.add(row, path)
                    else:
                        yield row
                start += batch.n

    def _row(self, batch: Batch, i: int, path: str, shard: Shard) -> Row | Kind:
        """Return the row of an image, or why there is none."""
        label = self._label(batch.values[self._choice.label][i], path)
        if not label:
            return UNLABELLED
        place = path
        if i in batch.paths:
            written = batch.paths[i]
            if not written:
                return NULL
            place = _place(self._data.folder, shard.name, written)
            if not place:
                return UNSAFE
        row = {"path": place, "label": label, "source": "", "split": shard.split}
        for name, column in self._choice.others.items():
            if text := self._text(batch.values[column][i], column):
                row[name] = text
        if self._data.licence:
            row.setdefault("licence", self._data.licence)
        _check_row(row, path, shard)
        if row["source"] == "synthetic" and not is_trained_with(row["split"]):
            return SYNTHETIC_TESTS
        return row

    def _label(self, value: Any, path: str) -> str:
        """Return the class of a value, ``""`` for none.

        Raises:
            XprobeError: it is no name of a class, or no number of one.
        """
        if value is None or value == -1:
            return ""
        if self._labels is None:
            text = composed(str(value).strip())
            if text not in self._known and not is_missing(text):
                check_names([text], path, "write it otherwise")
                self._known.add(text)
            return "" if is_missing(text) else text
        if not self._labels:
            return str(value)
        if not 0 <= value < len(self._labels):
            raise XprobeError(
                f"{path}: its class is {value}, and names are known of the classes 0 to "
                f"{len(self._labels) - 1} alone; name all classes in the file of --classes"
            )
        return composed(self._labels[value])

    def _text(self, value: Any, column: str) -> str:
        """Return a cell as text, empty if it holds no value; several texts are a JSON list."""
        if value is None or value != value:  # NaN, which pandas writes where there is no value.
            return ""
        if isinstance(value, list):
            return cell_of([text for text in value if text])
        names = self._names.get(column, ())
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
            return names[value]
        text = str(value).strip()
        return "" if is_missing(text) else text


def _check_row(row: Row, path: str, shard: Shard) -> None:
    """Check the source and the split of a row, and write the split as xprobe calls it.

    Raises:
        XprobeError: one of them is unknown, or a column holds what no table can.
    """
    for name, text in row.items():
        if name != "path" and not is_whole(text):
            raise XprobeError(
                f"{path}: its {name} holds NUL or half a character: {_ALTERNATIVE.format(name)}"
            )
    if row["source"] not in ("", *SOURCES):
        raise XprobeError(
            f"{path}: source {row['source']!r}; it is {' or '.join(SOURCES)}: "
            f"{_ALTERNATIVE.format('source')}"
        )
    if row["split"] != shard.split:
        split = split_named(row["split"])
        if not split:
            raise XprobeError(
                f"{path}: split {row['split']!r}; it is train, validation or test: "
                f"{_ALTERNATIVE.format('split')}"
            )
        row["split"] = split


def _place(base: Path, shard: str, path: str) -> str:
    """Return the path of an image relative to a folder; ``""``: it is no file of that folder.

    Args:
        base: folder of the data set.
        shard: file in it whose row has the path, which is relative to this file or to `base`.
        path: the path.
    """
    if why_no_path(path) or ".." in PurePosixPath(path.replace("\\", "/")).parts:
        return ""
    if os.path.isabs(path):  # noqa: PTH117  # It is a text.
        file, root = Path(path), base.resolve()
        return file.relative_to(root).as_posix() if root in file.parents and file.exists() else ""
    beside = (PurePosixPath(shard).parent / path).as_posix()
    return path if not (base / beside).exists() and (base / path).exists() else beside


def _check_ids(rows: Sequence[Row], data: DataSet) -> None:
    """Refuse a column of ids that does not tell the images apart.

    Raises:
        XprobeError: two images have one id, or are one file.
    """
    twice = [name for name, n in Counter(row["id"] for row in rows if "id" in row).items() if n > 1]
    if twice:
        raise XprobeError(
            f"{data.name}: ids given twice: {first_few(twice)}; {_ALTERNATIVE.format('id')}"
        )
    places = Counter(row["path"] for row in rows if "id" not in row)
    if shared := [path for path, n in places.items() if n > 1]:
        raise XprobeError(
            f"{data.name}: several rows lead to one file: {first_few(shared)}; keep a row for each "
            f"file, with its captions as a list"
        )


def _grouped(rows: Sequence[Row], group: str, data: DataSet) -> list[Row]:
    """Return rows whose group is their value in another column.

    Raises:
        XprobeError: the data set has no such column, or it cannot be the group.
    """
    if not any(group in row for row in rows):
        raise XprobeError(
            f"{data.name}: --group {group}: no such column; say which it is, --columns {group}=…"
        )
    # Images of which the data set does not say what they are have scenes as real ones do.
    settled = [row | {"source": row["source"] or "real"} for row in rows]
    regrouped = regroup(settled, group, Path(data.name))
    return [new | {"source": row["source"]} for new, row in zip(regrouped, rows, strict=True)]


def _warn(message: str) -> None:
    warnings.warn(message, XprobeWarning, stacklevel=3)
