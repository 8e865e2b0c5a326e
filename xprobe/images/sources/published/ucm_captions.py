"""UCM-Captions (Qu et al. 2016): the pictures of UC Merced by number, captions in a JSON file.

The pictures are those of UC Merced in its order, a hundred of a class, so that the number says the
class. That is taken for granted only where all of them are listed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from xprobe.base.errors import XprobeNote
from xprobe.images.config import FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources import captions
from xprobe.images.sources.published.ucmerced import CLASSES
from xprobe.images.sources.tree import Folder

_NAME = re.compile(r"\d+\.tiff?", re.IGNORECASE)

_PER_CLASS = 100


def recognises(path: Path) -> bool:
    """Return whether a folder, or the JSON file in it, is UCM-Captions."""
    return captions.recognises(path, captions.SENTENCES, _NAME)


def read(data: Path, group: str, form: FormConfig) -> tuple[list[Row], Path]:
    """Return the rows of UCM-Captions, as `captions.read` does."""
    return captions.read(data, group, captions.SENTENCES, _classes)


def _classes(names: Sequence[str], folder: Folder) -> dict[str, str]:
    """Return name of a picture → its class, if all pictures of UC Merced are there; else none."""
    n = len(CLASSES) * _PER_CLASS
    number_of = {name: int(name.partition(".")[0]) for name in names if _NAME.fullmatch(name)}
    if len(names) != n or set(number_of.values()) != set(range(1, n + 1)):
        said = (
            f"{folder.path}: {len(names):,} pictures, and not 1.tif to {n}.tif as in UCM-Captions, "
            f"so that their numbers say no class"
        )
        warnings.warn(said, XprobeNote, stacklevel=4)
        return {}
    said = (
        f"{folder.path}: the classes are those of UC Merced, whose {n:,} images these are in its "
        f"order: 1.tif to {_PER_CLASS}.tif {CLASSES[0]}, and so on"
    )
    warnings.warn(said, XprobeNote, stacklevel=4)
    return {name: CLASSES[(number - 1) // _PER_CLASS] for name, number in number_of.items()}
