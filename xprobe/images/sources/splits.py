"""Folders whose names are those of splits, such as train, val and test: splits, or classes?"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from xprobe.base.errors import XprobeError, first_few
from xprobe.images.sources.pictures import (
    holds_pictures,
    is_plain,
    kind_of_folder,
)
from xprobe.images.sources.tree import Folder

# Names of splits, compared in lower case; tier3 and hold are those of xBD.
SPLIT_OF = {
    "train": "train", "training": "train", "tier3": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "held": "test", "holdout": "test", "hold-out": "test",
    "hold_out": "test", "hold": "test",
    "extra": "extra",
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """A folder of a split.

    Attributes:
        name: ``train``, ``val``, ``test`` or ``extra``.
        folder: the folder, which holds class folders.
    """

    name: str
    folder: Folder


def split_of(folder: Folder) -> str:
    """Return the split that a folder is called by; ``""`` if it is called otherwise."""
    return SPLIT_OF.get(folder.name.lower(), "")


def names_inside(folder: Folder) -> set[str]:
    """Return the names of the folders with pictures in a folder that may be those of classes."""
    names: set[str] = set()
    for inner in folder.folders:
        if is_plain(inner):
            names |= names_inside(inner)
        elif kind_of_folder(inner) is None and holds_pictures(inner):
            names.add(inner.name)
    return names


def splits_in(
    folder: Folder, classes: Collection[str] = (), known: Callable[[], set[str]] = set
) -> list[Split]:
    """Return the splits that a folder holds; none if what it holds are classes.

    Folders of such names are splits where all folders beside them are, too, and hold class
    folders. Beside others they are classes, unless they hold folders of the others' names.

    Args:
        folder: folder of splits, of classes or of generators.
        classes: names that are classes whatever else they may be.
        known: function that returns names which are those of classes elsewhere.

    Raises:
        XprobeError: it cannot be told whether the folders are splits or classes.
    """
    named = [
        inner
        for inner in folder.folders
        if split_of(inner) and inner.name not in classes and holds_pictures(inner)
    ]
    others = [
        inner
        for inner in folder.folders
        if inner not in named and kind_of_folder(inner) is None and holds_pictures(inner)
    ]
    if not named:
        return []
    if others:
        _check_that_none_is_a_split(named, others, known())
        return []
    _check_that_all_are_splits(named)
    return [Split(split_of(inner), inner) for inner in named]


def _check_that_none_is_a_split(named: list[Folder], others: list[Folder], known: set[str]) -> None:
    """Raise if folders that are called as splits hold folders that are called as classes are."""
    inside = {folder.path: names_inside(folder) for folder in named}
    for folder in named:
        elsewhere = known.union(
            (other.name for other in others),
            *(names for path, names in inside.items() if path != folder.path),
        )
        doubtful = inside[folder.path] & elsewhere
        if doubtful:
            beside = first_few((other.name for other in others), 3)
            raise XprobeError(
                f"{folder.path} holds {first_few(sorted(doubtful), 3)} as a split would, but lies "
                f"beside {beside}, which no split is called; move {beside} elsewhere, or into "
                f"such a split, or rename {folder.name} if it is a class or a generator"
            )


def _check_that_all_are_splits(named: list[Folder]) -> None:
    """Raise if a folder that is called as a split is holds no class folders."""
    for folder in named:
        if not names_inside(folder):
            beside = [other.name for other in named if other is not folder]
            where = f" beside {first_few(beside, 3)}" if beside else ""
            raise XprobeError(
                f"{folder.path} is called as a split is{where}, but holds images and no class "
                f"folders; put them into {folder.path}/<class>/…, or rename {folder.name} if it "
                f"is a class"
            )
