"""RSICap (Hu et al. 2023): pictures in one folder, a JSON file with a long caption of each.

It states neither classes nor splits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from xprobe.images.config import FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources import captions
from xprobe.images.sources.tree import Folder

_ANY = re.compile(".+")


def recognises(path: Path) -> bool:
    """Return whether a folder, or the JSON file in it, is RSICap."""
    return captions.recognises(path, captions.TEXT_OUTPUT, _ANY)


def read(data: Path, group: str, form: FormConfig) -> tuple[list[Row], Path]:
    """Return the rows of RSICap, as `captions.read` does."""
    return captions.read(data, group, captions.TEXT_OUTPUT, _classes)


def _classes(names: Sequence[str], folder: Folder) -> dict[str, str]:
    return {}
