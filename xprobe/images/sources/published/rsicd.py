"""RSICD (Lu et al. 2017): pictures in one folder, ``dataset_rsicd.json`` with their captions.

The class of a picture stands in the set's lists of classes, ``txtclasses_rsicd/airport.txt`` and so
on, if they lie beside it, or in its file name, ``airport_12.jpg``. Names such as ``00012.jpg`` say
no class.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning, counted, first_few
from xprobe.images.config import FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources import captions
from xprobe.images.sources.splits import SPLIT_OF
from xprobe.images.sources.tree import Folder
from xprobe.images.text import read_text

_NAME = re.compile(r"(?:[A-Za-z]+_)?\d+\.jpe?g", re.IGNORECASE)

_CLASSED = re.compile(r"([A-Za-z]+)_\d+\.\w+")


def recognises(path: Path) -> bool:
    """Return whether a folder, or the JSON file in it, is RSICD."""
    return captions.recognises(path, captions.SENTENCES, _NAME)


def read(data: Path, group: str, form: FormConfig) -> tuple[list[Row], Path]:
    """Return the rows of RSICD, as `captions.read` does."""
    return captions.read(data, group, captions.SENTENCES, _classes)


def _classes(names: Sequence[str], folder: Folder) -> dict[str, str]:
    """Return the classes that names, and lists of names beside them, state: two or more, or none.

    Raises:
        XprobeError: a picture is in the lists of two classes.
    """
    label_of = {name: match[1] for name in names if (match := _CLASSED.fullmatch(name))}
    if len(set(label_of.values())) < 2:
        label_of = {}
    listed = _listed(set(names), folder)
    if contrary := [name for name in listed if label_of.get(name, listed[name]) != listed[name]]:
        warnings.warn(
            f"{folder.path}: the lists of classes say another class than the file name of "
            f"{counted(len(contrary), 'picture', 'pictures')}, and are taken: "
            f"{first_few([f'{name} ({listed[name]})' for name in contrary], 3)}",
            XprobeWarning,
            stacklevel=3,
        )
    return label_of | listed


def _listed(names: set[str], folder: Folder) -> dict[str, str]:
    """Return the classes of pictures by the lists of classes in a folder beside them."""
    label_of: dict[str, str] = {}
    for inner in folder.folders:
        files = [Path(inner.path, name) for name in inner.files if name.lower().endswith(".txt")]
        are_of_splits = all(file.stem.lower() in SPLIT_OF for file in files)
        if len(files) < 2 or len(files) < len(inner.files) or are_of_splits:
            continue
        for file in files:
            listed = names.intersection(map(str.strip, read_text(file).splitlines()))
            if double := sorted(listed & label_of.keys()):
                raise XprobeError(
                    f"{file}: lists {double[0]}, which {label_of[double[0]]}.txt lists, too; keep "
                    f"it in one class"
                )
            label_of |= dict.fromkeys(listed, file.stem)
    return label_of
