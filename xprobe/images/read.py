"""DATA → the image table: reads rows, hashes contents, ties images, and checks classes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from xprobe.base.errors import OptionError, XprobeError, XprobeWarning, counted, first_few
from xprobe.images import contents
from xprobe.images.classes import check_classes
from xprobe.images.config import WIDER, Data, DataConfig
from xprobe.images.events import unify_events
from xprobe.images.manifest import (
    DEFAULT_GENERATOR,
    LAYOUT,
    OPTIONAL,
    REQUIRED,
    SCENE,
    SPELT,
    TABLE,
    WRITTEN,
    Manifest,
    Row,
)
from xprobe.images.parents import tie
from xprobe.images.selection import choose_generators, settle_validation, take_few
from xprobe.images.sources.huggingface.tree import split_by_name
from xprobe.images.sources.joined import joined
from xprobe.images.sources.located import below_synthetic, located, once
from xprobe.images.sources.named import labels_trained_on, read_named, sets_named
from xprobe.images.sources.registry import check_form, read_rows, source_of
from xprobe.images.sources.table import unify_labels
from xprobe.images.sources.tree import folders_listed_once


def read(
    data: Data = None,
    *,
    whole: bool = True,
    hashed: bool = True,
    group: str = "",
    config: DataConfig = DataConfig(),
) -> Manifest:
    """Return the manifest of a folder or of a CSV, JSONL or Parquet file, contents hashed.

    `sources.registry` lists all sources that can be read, published sets among them, of which a
    note says what they were taken as; ``<source>:<path>`` chooses one by name.
    Several folders and files are read as one table: `sources.joined` says what becomes of images
    that two of them give, of ids that clash, and of parents that lie in another one.

    A folder holds ``real/<class>/…`` and ``synthetic/[<generator>/]<class>/…``, optionally
    ``test/<class>/…`` (the fixed hold-out) and ``extra/<class>/…``, nested as deep as wished; a
    first folder below ``synthetic`` is a class exactly if it is a class of real, and a
    ``manifest.csv`` in that of a generator says what its images are. The columns of a
    file are `REQUIRED` and `OPTIONAL`, others are kept; its paths are relative to its own folder.
    `sources.layout` says which other layouts of folders are understood. With `config` folders
    may stand in place of DATA or beside it, and fewer generators take part.

    Images with equal content share a group (real) or count as made from each other (synthetic),
    so that no copy of a test image is ever trained on. Parents are the ids or groups of real
    images, however the data spell them (`parents.tie`); others name a source outside the table.

    With `whole` every generator must have images of every class, as a sweep needs. Without
    `hashed` no file is read: digests are empty, and no image is tied to another. With `group`
    images of one value in that column of a file are a group, such as all images of an event,
    instead of the scenes of the column group.

    Raises:
        XprobeError: the data cannot be read as a whole, or lack images that a study needs.
    """
    if group not in ("", *WIDER):
        raise OptionError(f"--group {group}: it takes the column {' or '.join(WIDER)}")
    rows = _rows(config, data, group)
    where = config.words(data)
    rows = take_few(settle_validation(rows, config.val), config.limit)
    manifest = replace(_manifest_of_rows(rows, hashed), limit=config.limit)
    if not len(manifest):
        raise XprobeError(f"{where}: no images found; put them into {where}/{LAYOUT}")
    if hashed and not any(manifest.sha256):
        raise XprobeError(
            f"{where}: none of the {len(manifest)} files can be read, the first is "
            f"{manifest.path[0]} ({_reason_of(manifest.path[0])}); paths are relative to the "
            f"folder of the manifest"
        )
    manifest = choose_generators(manifest, config, where)
    check_classes(manifest, where, whole)
    return manifest


@folders_listed_once()
def _rows(config: DataConfig, data: Data, group: str) -> list[Row]:
    """Return the rows of all that DATA and options name, as those of one table.

    Raises:
        XprobeError: one of them cannot be read, or they contradict each other.
    """
    parts: list[list[Row]] = []
    places = once(config.places(data))
    check_form([*places, *sets_named(config)], config.form)
    if len(places) > 1:
        _check_are_told(places, config)
    for place in places:
        plain, base = read_rows(place, group, config.form)
        part = list(located(plain, base, str(place)))
        is_whole = any(row["source"] == "real" for row in part)
        parts.append(part if is_whole else below_synthetic(part))
    if config.places_named:
        labels = labels_trained_on(row for part in parts for row in part)
        parts.append(list(read_named(config, labels, group)))
    rows = [row for part in parts for row in part]
    if len({row[TABLE] for row in rows}) > 1:
        unify_labels(rows, config.words(data))
        unify_events(rows, config.words(data))
    return joined(parts)


def _check_are_told(places: Iterable[Path], config: DataConfig) -> None:
    """Refuse one of several DATA of which nothing says what it is.

    Raises:
        XprobeError: it is a folder of mere class folders, whose images may be real or synthetic; it
            is a file for tests of a Hugging Face data set, which would be trained with by itself;
            or one of DATA is not there.
    """
    sources = [(place, *source_of(place, config.form)) for place in places]
    for place, source, path in sources:
        if source.name == "huggingface" and path.is_file() and split_by_name(path.name) == "test":
            raise XprobeError(
                f"{place}: its name says test, and files that are named one by one are trained "
                f"with; name the folder that they lie in, or --real for those to train on and "
                f"--test {place}"
            )
        if source.is_general and source.title and not config.form.layout:
            raise XprobeError(
                f"{place}: class folders, and nothing says whether their images are real or "
                f"synthetic; if they are real, name all real ones with --real in place of DATA; if "
                f"they are of synthetic ones, name them beside DATA, --synthetic NAME={place}"
            )


def _manifest_of_rows(rows: Iterable[Row], hashed: bool) -> Manifest:
    rows = list(rows)
    columns: dict[str, list[str]] = {name: [] for name in Manifest.columns()}
    paths: list[str] = []  # as the tables spell them
    scenes: list[str] = []
    tables: list[str] = []
    further = _further_columns(rows)
    for row in rows:
        synthetic = row["source"] == "synthetic"
        columns["id"].append(row["id"])
        columns["path"].append(row["path"])
        # What has got another id than its table gives it is no longer known by its path there.
        paths.append(row["id"] if WRITTEN in row else row[SPELT])
        scenes.append(row.get(SCENE, ""))
        tables.append(row[TABLE])
        columns["label"].append(row["label"])
        columns["source"].append(row["source"])
        columns["group"].append(row.get("group") or ("" if synthetic else row["id"]))
        columns["parent"].append(row.get("parent", ""))
        generator = (row.get("generator") or DEFAULT_GENERATOR) if synthetic else ""
        columns["generator"].append(generator)
        columns["split"].append(row.get("split") or "train")
        columns["prompt"].append(row.get("prompt", ""))
        columns["polygons"].append(row.get("polygons", ""))
    columns["sha256"] = [""] * len(columns["id"])
    if hashed:
        with ThreadPoolExecutor() as pool:
            columns["sha256"] = list(pool.map(contents.digest, columns["path"]))
        _warn_of_unreadable(columns, tables)
        _warn_of_captions_apart(columns)
        tie(columns, paths, scenes, tables)
    order = sorted(range(len(columns["id"])), key=lambda i: (_part(columns, i), columns["id"][i]))
    for name in columns:
        columns[name] = [columns[name][i] for i in order]
    further = {name: [values[i] for i in order] for name, values in further.items()}
    return Manifest(**columns, further=further)  # type: ignore[arg-type]  # Manifest freezes them.


def _part(columns: Mapping[str, Sequence[str]], i: int) -> int:
    """Return the place of an image's part of a study among the others.

    Sums of floating-point numbers depend on the order of the images. It is the same whatever the
    parts are called, so that one set of images has one result in every form that it is kept in.
    """
    split = columns["split"][i]
    if split in ("extra", "test"):
        return 0 if split == "extra" else 3
    return 1 if columns["source"][i] == "real" else 2


def _reason_of(path: str) -> str:
    """Return why a content cannot be read."""
    try:
        contents.read(path)
    except OSError as error:
        return contents.reason_of(error)
    return "it can be read now"


def _further_columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the columns of a table that are no column of an image table, by name."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: [row.get(name, "") for row in rows]
        for name in names
        if name not in (*REQUIRED, *OPTIONAL) and not name.startswith("\0")
    }


def _warn_of_unreadable(columns: Mapping[str, Sequence[str]], tables: Sequence[str]) -> None:
    """Warn of tables whose files are all missing, as where one table of several was moved."""
    paths: dict[str, list[str]] = {}
    readable: set[str] = set()
    for table, path, digest in zip(tables, columns["path"], columns["sha256"], strict=True):
        paths.setdefault(table, []).append(path)
        if digest:
            readable.add(table)
    for table in paths.keys() - readable if readable else ():
        warnings.warn(
            f"{table}: none of its {len(paths[table])} files can be read, the first is "
            f"{paths[table][0]}; paths are relative to the folder of the table",
            XprobeWarning,
            stacklevel=4,
        )


def _warn_of_captions_apart(columns: Mapping[str, Sequence[str]]) -> None:
    """Warn of real images that are there once for each of their captions.

    They stay as they are, since some sets hold a picture twice, which no table can tell from this.
    """
    names = ("source", "label", "split", "sha256")
    rows: dict[tuple[str, ...], list[int]] = {}
    for i, picture in enumerate(zip(*(columns[name] for name in names), strict=True)):
        if picture[0] == "real" and picture[-1] and columns["prompt"][i]:
            rows.setdefault(picture, []).append(i)
    again = [
        columns["id"][i]
        for first, *others in rows.values()
        for i in others
        if columns["prompt"][i] != columns["prompt"][first]
    ]
    if again:
        warnings.warn(
            f"{counted(len(again), 'real image is', 'real images are')} the same file as another "
            f"one of other captions, and count as images of their own: {first_few(again, 3)}; give "
            f"each picture one row, with its captions as a JSON list in the column prompt",
            XprobeWarning,
            stacklevel=4,
        )
