"""Which files of a Hugging Face data set hold its rows, of which split they are; by names alone."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from xprobe.base.errors import XprobeError, XprobeWarning, counted, first_few
from xprobe.images.formats import is_image
from xprobe.images.sources.huggingface.card import README, Card, read_json
from xprobe.images.sources.leftovers import ARCHIVES, Kind, LeftOut, kind_of_file
from xprobe.images.sources.splits import SPLIT_OF
from xprobe.images.sources.tree import Folder

PARQUET = ".parquet"

STATE, SPLITS = "state.json", "dataset_dict.json"
"""Files that ``save_to_disk`` writes beside the rows of a split, and beside the splits."""

# Folders of data lie no deeper: <configuration>/<split>/0000.parquet.
_DEPTH = 2

# train-00000-of-00002, which older versions of `datasets` write with 16 further digits.
_SHARD = re.compile(r"(?P<stem>.*)-(?P<i>\d{5,})-of-(?P<n>\d{5,})(-[0-9a-f]{16})?")

# The hub's conversion of the first part of a large split lies in such a folder.
_PARTIAL = "partial-"

# Names of files that may hold rows end so, in any case.
_OF_ROWS = (PARQUET, ".parq", ".arrow")

_PICTURES = Kind("pictures beside the rows", "name their folder as DATA, too")
_TOO_DEEP = Kind(
    f"{PARQUET} files more than {_DEPTH} folders deep", "name the folder that they lie in"
)
_OTHER_ROWS = Kind(f"files of rows whose names do not end in {PARQUET}", "rename or name them")


@dataclass(frozen=True)
class Shard:
    """A file with rows of a data set.

    Attributes:
        name: its path relative to the data set's folder, with slashes.
        split: ``train``, ``val``, ``test`` or ``extra``; empty: not said.
    """

    name: str
    split: str = ""


def shard_names(folder: Folder, is_whole: bool = True) -> Iterator[str]:
    """Yield the paths, relative to a folder, of the Parquet files in it and in its subfolders.

    Args:
        folder: the folder.
        is_whole: whether all folders are searched; else the search ends at the first one that
            holds pictures, since the whole is then of another form, and may be long to search.
    """
    for inner, prefix in _folders_in(folder):
        yield from (prefix + name for name in inner.files if name.endswith(PARQUET))
        if not is_whole and prefix and any(map(is_image, inner.files)):
            return


def _folders_in(folder: Folder) -> Iterator[tuple[Folder, str]]:
    """Yield a folder and those in it, and what the paths of files in each of them begin with."""
    stack: list[tuple[Folder, str, int]] = [(folder, "", 0)]
    while stack:
        inner, prefix, depth = stack.pop()
        yield inner, prefix
        if depth < _DEPTH:
            stack += [(f, f"{prefix}{f.name}/", depth + 1) for f in reversed(inner.folders)]


def count_others(folder: Folder, read: Collection[str], left_out: LeftOut) -> None:
    """Count the files in a folder of Parquet files that may hold images and are not read.

    Args:
        folder: the folder.
        read: paths of pictures that rows lead to.
        left_out: takes what is counted.
    """
    for inner, names in folder.walk():
        for name in inner.files:
            path = f"{inner.path}/{name}"
            if is_image(name):
                if "/".join((*names, name)) not in read:
                    left_out.add(_PICTURES, path)
            elif name.endswith(PARQUET) and len(names) > _DEPTH:
                left_out.add(_TOO_DEEP, path)
            elif kind_of_file(name) is ARCHIVES:
                left_out.add_file(path)
            elif name.lower().endswith(_OF_ROWS) and not name.endswith(PARQUET):
                left_out.add(_OTHER_ROWS, path)


def is_saved(folder: Path) -> bool:
    """Return whether ``save_to_disk`` wrote a folder: a data set, or one of several splits."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def saved_shards(folder: Path) -> list[Shard]:
    """Return the files of a data set that ``save_to_disk`` wrote.

    Raises:
        XprobeError: files are missing, or the rows are chosen by an index.
    """
    if not (folder / SPLITS).is_file():
        state = read_json(folder / STATE)
        return _shards_of_state(folder, "", split_named(str(state.get("_split") or "")))
    splits = read_json(folder / SPLITS).get("splits")
    if not isinstance(splits, list) or not splits or not all(map(_is_plain, splits)):
        raise XprobeError(f"{folder / SPLITS}: it names no splits; write the data set again")
    for split in splits:
        if not (folder / split / STATE).is_file():
            raise XprobeError(
                f"{folder / split}: the split {split} of {SPLITS} is missing; copy the whole folder"
            )
    kept = _known_splits({split: [split] for split in splits}, str(folder))
    return [
        shard
        for split, named in kept.items()
        for shard in _shards_of_state(folder / split, f"{split}/", named)
    ]


def _shards_of_state(folder: Path, prefix: str, split: str) -> list[Shard]:
    """Return the files that the state.json of a folder names.

    Raises:
        XprobeError: there are none, one is missing, or the rows are chosen by an index.
    """
    state = read_json(folder / STATE)
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise XprobeError(
            f"{folder}: its rows are chosen by an index beside them; write it again with "
            f"flatten_indices().save_to_disk(…)"
        )
    files = state.get("_data_files")
    entries = files if isinstance(files, list) else []
    names = [str(entry.get("filename")) for entry in entries if isinstance(entry, dict)]
    if not names or not all(map(_is_plain, names)):
        raise XprobeError(f"{folder / STATE}: it names no files of rows; write the data set again")
    for name in names:
        if not (folder / name).is_file():
            raise XprobeError(f"{folder / name}: this file is missing; copy the whole folder")
    return [Shard(prefix + name, split) for name in names]


def _is_plain(name: object) -> bool:
    """Return whether a value is the name of a file or folder beside others."""
    return isinstance(name, str) and bool(name) and PurePosixPath(name).name == name


def parquet_shards(
    data: str, names: Sequence[str], card: Card, asked: str = ""
) -> tuple[str, list[Shard]]:
    """Return the configuration that is read, and its Parquet files.

    Args:
        data: what messages call the data set.
        names: names of its Parquet files, relative to its folder.
        card: what it says of itself.
        asked: name of a configuration; empty: the only one.

    Raises:
        XprobeError: there are several configurations, or none of that name; shards are missing; or
            it cannot be told what the splits are.
    """
    by_config = by_configuration(names, card)
    listed = first_few([name or "." for name in by_config], 10)
    if asked and asked not in by_config:
        raise XprobeError(f"{data}: no configuration {asked}; there are {listed}")
    if not asked and len(by_config) > 1:
        raise XprobeError(
            f"{data}: it holds several configurations, {listed}; "
            f"{_how_to_name_one(by_config, data)}"
        )
    config = asked or next(iter(by_config))
    read = {name for splits in by_config.values() for files in splits.values() for name in files}
    if unlisted := [name for name in names if name not in read]:
        _warn(
            f"{data}: {counted(len(unlisted), 'file', 'files')} that {README} does not list left "
            f"out: {first_few(unlisted)}; name one of them to have it read"
        )
    splits = by_config[config]
    if missing := missing_shard([name for files in splits.values() for name in files]):
        raise XprobeError(
            f"{data}: {missing} is missing; copy the whole data set, or name the files that are to "
            f"be read"
        )
    kept = _known_splits(splits, data)
    return config, [Shard(n, named) for split, named in kept.items() for n in splits[split]]


def _how_to_name_one(by_config: Mapping[str, Mapping[str, Sequence[str]]], data: str) -> str:
    """Return how one of several configurations is named, which need not be folders."""
    name, splits = next((name, splits) for name, splits in by_config.items() if name)
    (first, *_), *_ = splits.values()
    if first.startswith(f"{name}/"):
        return f"name the folder of one, such as {data}/{name}"
    return f"name a file of one, such as {data}/{first}, or copy its files into a folder"


def by_configuration(names: Sequence[str], card: Card) -> dict[str, dict[str, list[str]]]:
    """Return files by configuration and by split, as the card says, or else by their names.

    Raises:
        XprobeError: the card lists a file in two splits that a study keeps apart.
    """
    said: dict[str, dict[str, list[str]]] = {}
    for part in card.configurations:
        for name in names:
            if listed := part.splits_of(name):
                split = _only_split(listed, name) or _split_in(name)
                said.setdefault(part.name, {}).setdefault(split, []).append(name)
    if said:
        return said
    for name in names:
        folders = PurePosixPath(name).parts[:-1]
        if folders and _is_split(folders[-1]):
            folders = folders[:-1]
        splits = said.setdefault("/".join(folders), {})
        splits.setdefault(_split_in(name), []).append(name)
    return said


def _only_split(splits: Sequence[str], name: str) -> str:
    """Return one of the splits that README.md lists a file in.

    A split that a study knows, such as train, goes before those of other names.

    Raises:
        XprobeError: a study knows several of them, such as train and test.
    """
    known = {split_named(split): split for split in splits if split_named(split)}
    if len(known) > 1:
        raise XprobeError(
            f"{README} lists {name} in the splits {' and '.join(known.values())}, and no image may "
            f"be of both; correct {README}, or name the files of one split"
        )
    return next(iter(known.values()), splits[0])


def _split_in(name: str) -> str:
    """Return what the split of a file is called by its name, or else by the name of its folder."""
    path = PurePosixPath(name)
    shard = _SHARD.fullmatch(path.stem)
    stem = shard["stem"] if shard else path.stem
    if not SPLIT_OF.get(stem.lower()) and len(path.parts) > 1 and _is_split(path.parts[-2]):
        return path.parts[-2]
    return "" if stem.isdigit() else stem


def split_by_name(name: str) -> str:
    """Return the split of xprobe that the name of a file says; ``""`` if it says none."""
    return split_named(_split_in(name))


def _is_split(name: str) -> bool:
    return bool(split_named(name))


def split_named(name: str) -> str:
    """Return the split of xprobe that a split of a data set is; ``""`` if it is none."""
    return SPLIT_OF.get(name.removeprefix(_PARTIAL).lower(), "")


def _known_splits(splits: Mapping[str, Sequence[str]], data: str) -> dict[str, str]:
    """Return split → split of xprobe, for those that take part; the others are told.

    A data set of one split, whatever it is called, is trained with.

    Raises:
        XprobeError: there are several, and none has a name that is known.
    """
    known = {split: named for split in splits if (named := split_named(split))}
    for split in known:
        if split.startswith(_PARTIAL):
            _warn(f"{data}: {split} is the first part of a split that is larger")
    if len(splits) == 1:
        return known or dict.fromkeys(splits, "")
    others = [split for split in splits if split not in known]
    if not known:
        raise XprobeError(
            f"{data}: the splits {first_few(map(repr, others))} are neither train, validation nor "
            f"test; name the file or folder of one"
        )
    if others:
        n = sum(len(splits[split]) for split in others)
        _warn(
            f"{data}: {counted(n, 'file', 'files')} of other splits than train, validation and "
            f"test left out: {first_few(others)}; name one of them to have it read"
        )
    return known


def missing_shard(names: Iterable[str]) -> str:
    """Return the name of a shard that is missing beside others; ``""`` if none is."""
    numbers: dict[tuple[str, str], set[int]] = {}
    for name in names:
        path = PurePosixPath(name)
        if shard := _SHARD.fullmatch(path.stem):
            key = str(path.parent / shard["stem"]), shard["n"]
            numbers.setdefault(key, set()).add(int(shard["i"]))
    for (start, n), listed in numbers.items():
        first = next(i for i in count() if i not in listed)
        if first < int(n):
            return f"{start}-{first:0{len(n)}}-of-{n}{PARQUET}"
    return ""


def _warn(message: str) -> None:
    warnings.warn(message, XprobeWarning, stacklevel=3)
