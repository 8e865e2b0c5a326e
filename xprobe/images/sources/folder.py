"""The image table of a folder of classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from xprobe.base.errors import XprobeError, did_you_mean
from xprobe.images.decode import is_image
from xprobe.images.manifest import (
    DEFAULT_GENERATOR,
    LAYOUT,
    Row,
    as_text,
)


def read_folder(data: Path, group: str = "") -> tuple[Iterator[Row], Path]:
    """Return the rows of a folder of classes, and the folder that their paths are relative to.

    Raises:
        XprobeError: a `group` is asked for, and a folder has no columns; or the folder has another
            layout, which is only seen while the rows are taken.
    """
    if group:
        raise XprobeError(
            f"{data}: --group {group}: a folder has no columns; write a manifest with 'xprobe scan "
            f"{data} -o manifest.csv', add the column {group} to it, and name it as DATA"
        )
    return _scan_folder(data), data


def _scan_folder(data: Path) -> Iterator[Row]:
    real = data / "real"
    if not real.is_dir():
        raise XprobeError(f"{data}: no folder {real}; a study needs {data}/{LAYOUT}")
    parts = {"train": real, "test": data / "test", "extra": data / "extra"}
    inside = {folder.name for folder in _folders(real)}
    # The splits may also lie below real: real/train/<class> and real/test/<class>.
    if "train" in inside and inside <= set(parts):
        for split in inside:
            if split != "train" and parts[split].is_dir():
                raise XprobeError(f"both {real / split} and {parts[split]} exist; keep one")
            parts[split] = real / split
    classes: list[str] = []
    for split, root in parts.items():
        for folder in _folders(root) if root.is_dir() else ():
            if split == "train":
                classes.append(folder.name)
            for file in _images(folder):
                yield _image_row(data, file, folder.name, "real", split=split)
    if not classes:
        raise XprobeError(f"{real}: no class folders; put images into {real}/<class>/…")
    yield from _scan_synthetic(data, set(classes))


def _scan_synthetic(data: Path, classes: set[str]) -> Iterator[Row]:
    root = data / "synthetic"
    for first in _folders(root) if root.is_dir() else ():
        if first.name in classes:
            for file in _images(first):
                yield _image_row(data, file, first.name, "synthetic", generator=DEFAULT_GENERATOR)
            continue
        inside = [folder for folder in _folders(first) if folder.name in classes]
        if not inside and any(_images(first)):
            raise XprobeError(
                f"{first} is no class of {data / 'real'}{did_you_mean(first.name, classes)}, nor a "
                f"generator with class folders; add real images of that class, or remove it"
            )
        for folder in _folders(first):
            for file in _images(folder):
                yield _image_row(data, file, folder.name, "synthetic", generator=first.name)


def _image_row(
    data: Path, file: str, label: str, source: str, generator: str = "", split: str = "train"
) -> Row:
    path = file[len(str(data)) :].replace(os.sep, "/").lstrip("/") if str(data) != "." else file
    return {
        "id": as_text(path), "path": path, "label": as_text(label), "source": source,
        "generator": as_text(generator), "split": split,
    }  # fmt: skip


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(root: Path) -> list[str]:
    """Return the image files below a folder, sorted; links are followed, circles are not."""
    files: list[str] = []  # A Path for every file would take most of the time of a scan.
    seen: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = [name for name in below if not name.startswith(".")]
        files.extend(
            f"{folder}{os.sep}{name}"
            for name in names
            if not name.startswith(".") and is_image(name)
        )
    return sorted(files)
