"""Which shards DATA is, and the split that the name of a shard says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.images.braces import files_of, is_pattern
from xprobe.images.lists import ARCHIVE
from xprobe.images.sources.leftovers import ARCHIVES, Kind, LeftOut, kind_of_file
from xprobe.images.sources.located import MANIFEST
from xprobe.images.sources.pictures import holds_pictures
from xprobe.images.sources.splits import SPLIT_OF, split_of
from xprobe.images.sources.tree import Folder

# Of the names of splits those that stand between others in the names of shards, as in
# cifar-train-000.tar; shards of the generator flux-dev are no split.
_WORDS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))

_OTHER_SPLITS = Kind(
    "shards whose names say no split, beside others that say train",
    "write train, val or test into their names, or name them alone",
)
_OTHER_FOLDERS = Kind(
    "shards in folders that are not called as splits", "name such a folder as DATA, too"
)


@dataclass(frozen=True)
class Shard:
    """A tar archive of a data set.

    Attributes:
        path: its path.
        id: its path relative to the folder that all shards of the data set lie in.
        split: ``train``, ``val``, ``test`` or ``extra``, by its name or its folder.
    """

    path: Path
    id: str
    split: str


def recognises(path: Path) -> bool:
    """Return whether a path is a shard, a folder of shards, or a pattern of shards.

    A folder of shards holds no pictures and no table, and no folders but those of splits; a pattern
    is none if a file has that name.
    """
    if path.is_dir():
        return _holds_shards(Folder(str(path)))
    return path.suffix == ARCHIVE and (path.is_file() or is_pattern(str(path)))


def _holds_shards(folder: Folder) -> bool:
    if MANIFEST in folder.files or not any(_shards_in(folder)):
        return False
    others = [inner for inner in folder.folders if not split_of(inner)]
    return not any(map(folder.holds_picture, folder.files)) and not any(map(holds_pictures, others))


def _shards_in(folder: Folder) -> Iterator[Path]:
    """Yield the shards that lie in a folder, or in folders in it that are called train, val, …"""
    for part in (folder, *filter(split_of, folder.folders)):
        yield from (Path(part.path, name) for name in part.files if name.endswith(ARCHIVE))


def shards_of(data: Path, left_out: LeftOut) -> tuple[list[Shard], Path]:
    """Return the shards that DATA is, by path, and the folder that all of them lie in.

    Shards that say no split are trained with. Beside shards that say train they are left out, since
    what others are may be for tests.

    Args:
        data: a shard, a folder or a pattern.
        left_out: takes shards that are left out, and archives in a folder that are none.

    Raises:
        XprobeError: shards of a pattern are missing, or the name of one says two splits.
    """
    if data.is_dir():
        folder = Folder(str(data))
        base, paths = data, list(_shards_in(folder))
        _count_others(folder, left_out)
    else:
        paths = files_of(data)
        base = Path(os.path.commonpath([path.parent for path in paths]))
    splits = {path: _split_of(path, base) for path in sorted(paths)}
    if "train" in splits.values():
        for path in [path for path, split in splits.items() if not split]:
            left_out.add(_OTHER_SPLITS, str(path))
            del splits[path]
    shards = [
        Shard(path, path.relative_to(base).as_posix(), split or "train")
        for path, split in splits.items()
    ]
    return shards, base


def _count_others(folder: Folder, left_out: LeftOut) -> None:
    """Count what a folder of shards holds that may be shards, and is not read."""
    for part in (folder, *filter(split_of, folder.folders)):
        for name in part.files:
            if kind_of_file(name) is ARCHIVES and not name.endswith(ARCHIVE):
                left_out.add_file(f"{part.path}/{name}")
    for inner in folder.folders:
        names = [] if split_of(inner) else [n for n in inner.files if n.endswith(ARCHIVE)]
        if names:
            left_out.add(_OTHER_FOLDERS, f"{inner.path}/{names[0]}", n=len(names))


def _split_of(path: Path, base: Path) -> str:
    """Return the split of a shard: what its name says, or else the nearest folder; else ``""``.

    Raises:
        XprobeError: the file's name has the words of two splits, such as train and test.
    """
    words = _WORDS.intersection(re.findall("[a-z]+", path.stem.lower()))
    splits = {SPLIT_OF[word] for word in words}
    if len(splits) > 1:
        raise XprobeError(
            f"{path}: its name says {' and '.join(sorted(splits))}, and a shard is of one split; "
            f"rename it"
        )
    if splits:
        return splits.pop()
    folders = [base.resolve().name, *path.relative_to(base).parts[:-1]]
    named = [SPLIT_OF[name.lower()] for name in folders if name.lower() in SPLIT_OF]
    return named[-1] if named else ""
