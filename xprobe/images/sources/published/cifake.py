"""CIFAKE: ``{train,test}/{REAL,FAKE}/0000 (2).jpg``, CIFAR-10 and what a generator made of it.

The class of a picture is the number behind its name, as CIFAR-10 counts its classes; the first one
has no number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.images.config import FormConfig
from xprobe.images.decode import is_image
from xprobe.images.manifest import Row, as_text
from xprobe.images.sources.leftovers import HIDDEN, SYNTHETIC_TESTS, Kind, LeftOut
from xprobe.images.sources.table import check_no_group
from xprobe.images.sources.tree import Folder

_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

_SPLITS = ("train", "test")

_SOURCES = {"real": "real", "fake": "synthetic"}

_NAME = re.compile(r"\d+(?: \((?P<number>[2-9]|10)\))?\.[A-Za-z]+")

_OTHERWISE = Kind(
    "pictures of another name than CIFAKE's", "rename them as 0000.jpg or 0000 (2).jpg to (10)"
)


def recognises(path: Path) -> bool:
    """Return whether a folder, or the one folder in it, holds train and test of REAL and FAKE."""
    return path.is_dir() and _splits_in(Folder(str(path))) is not None


def read(data: Path, group: str, form: FormConfig) -> tuple[Iterable[Row], Path]:
    """Return the rows of CIFAKE: what is fake is of the generator cifake, and none is tested on.

    Raises:
        XprobeError: a `group` is asked for, which folders have none of; DATA is another set; no
            picture has a name of CIFAKE's; or all are of one class, as where pictures of another
            set are numbered.
    """
    check_no_group(data, group)
    parts = _splits_in(Folder(str(data), place=str(data.resolve())))
    if parts is None:
        raise XprobeError(
            f"{data}: no CIFAKE: that has folders REAL and FAKE below train and test; leave "
            f"--layout out to have it read by what it is"
        )
    left_out = LeftOut()
    rows = [row for part in parts for row in _rows_of(part, left_out)]
    if not rows:
        raise XprobeError(
            f"{data}: it has the folders of CIFAKE, and no picture called as there, 0000.jpg or "
            f"0000 (2).jpg to (10), which says its class; if REAL and FAKE are its classes, say "
            f"--layout imagefolder"
        )
    if len(labels := {row["label"] for row in rows}) == 1:
        raise XprobeError(
            f"{data}: it has the folders of CIFAKE, and by their names all pictures are of its "
            f"class {labels.pop()}; if REAL and FAKE are its classes, say --layout imagefolder"
        )
    left_out.tell()
    return rows, data


def _splits_in(folder: Folder) -> list[Folder] | None:
    """Return the folders of the parts, below which are REAL and FAKE; None: these are others."""
    parts = _called(folder, _SPLITS)
    if not parts and len(folder.folders) == 1:
        parts = _called(folder.folders[0], _SPLITS)
    if not any(part.name.lower() == "train" for part in parts):
        return None
    if not all(len(_called(part, _SOURCES)) == len(_SOURCES) for part in parts):
        return None
    return parts


def _called(folder: Folder, names: Iterable[str]) -> list[Folder]:
    """Return the folders in a folder if all are called by these names, in any case."""
    folders = list(folder.folders)
    return folders if all(inner.name.lower() in names for inner in folders) else []


def _rows_of(part: Folder, left_out: LeftOut) -> list[Row]:
    """Return the rows of the train or of the test part."""
    rows = []
    split = part.name.lower()
    for folder in part.folders:
        source = _SOURCES[folder.name.lower()]
        for name in folder.hidden:
            left_out.add(HIDDEN, f"{folder.path}/{name}")
        for name in folder.files:
            match = _NAME.fullmatch(name)
            if not is_image(name):
                left_out.add_file(f"{folder.path}/{name}")
            elif match is None:
                left_out.add(_OTHERWISE, f"{folder.path}/{name}")
            elif source == "synthetic" and split == "test":
                left_out.add(SYNTHETIC_TESTS, f"{folder.path}/{name}")
            else:
                rows.append({
                    "id": as_text(f"{folder.id}/{name}"), "path": f"{folder.place}/{name}",
                    "label": _CLASSES[int(match["number"] or 1) - 1], "source": source,
                    "generator": "cifake" if source == "synthetic" else "", "split": split,
                })  # fmt: skip
    return rows
