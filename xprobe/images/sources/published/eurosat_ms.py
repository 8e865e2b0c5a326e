"""EuroSAT in all 13 bands of Sentinel-2: ``<Class>/<Class>_<n>.tif``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from xprobe.base.errors import XprobeNote
from xprobe.images.config import FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources.published.class_folders import ClassFolders
from xprobe.images.sources.published.eurosat import CLASSES

_SET = ClassFolders("EuroSAT, 13 bands", CLASSES, lambda folder: f"{folder}_<n>.tif")

recognises = _SET.recognises


def read(data: Path, group: str, form: FormConfig) -> tuple[Iterable[Row], Path]:
    """Return the rows of the set, and note which bands make a picture.

    Raises:
        XprobeError: DATA is another set, or a `group` is asked for; see `ClassFolders.read`.
    """
    rows = _SET.read(data, group, form)
    warnings.warn(
        f"{data}: files of 13 bands are embedded with --bands 4,3,2 --stretch 0:2750, as red, "
        f"green and blue; beside RGB pictures render them once instead (docs/guide/layouts.md, "
        f"Satellite files)",
        XprobeNote,
        stacklevel=2,
    )
    return rows
