"""ImageFolder, as torchvision reads it: class folders, alone or below train, val and test."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.images.config import FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources.folder import rows_of
from xprobe.images.sources.layout import Layout
from xprobe.images.sources.pictures import holds_pictures, holds_pictures_itself, kind_of_folder
from xprobe.images.sources.splits import split_of
from xprobe.images.sources.table import check_no_group
from xprobe.images.sources.tree import Folder


def recognises(path: Path) -> bool:
    """Return whether a folder holds two class folders or more, or splits that do.

    Every folder of a class must hold pictures itself, unlike that of a generator, which holds
    folders of classes.
    """
    if not path.is_dir():
        return False
    folder = Folder(str(path))
    inside = _picture_folders(folder)
    splits = [inner for inner in inside if split_of(inner)]
    if splits and len(splits) == len(inside):
        return any(split_of(inner) == "train" for inner in splits) and all(
            _is_of_classes(_picture_folders(inner)) for inner in splits
        )
    return _is_of_classes(inside)


def _picture_folders(folder: Folder) -> list[Folder]:
    return [
        inner for inner in folder.folders if kind_of_folder(inner) is None and holds_pictures(inner)
    ]


def _is_of_classes(folders: list[Folder]) -> bool:
    return len(folders) > 1 and all(map(holds_pictures_itself, folders))


def read(data: Path, group: str, form: FormConfig) -> tuple[Iterable[Row], Path]:
    """Return the rows of an ImageFolder, whose place on the command line decides their source.

    Raises:
        XprobeError: a `group` is asked for, which folders have none of; DATA is no such folder; or
            a folder cannot be listed or told.
    """
    check_no_group(data, group)
    if not recognises(data):
        raise XprobeError(
            f"{data}: no ImageFolder: that has two or more class folders that hold pictures "
            f"themselves, alone or below train, val and test; leave --layout out to have it read "
            f"by what it is"
        )
    layout = Layout(is_told=True)
    layout.add_real(Folder(str(data), place=str(data.resolve())))
    return [row | {"source": ""} for row in rows_of(layout)], data
