"""Folders whose names are those of splits, such as train, val and test: splits, or classes?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from xprobe.base.errors import XprobeError, first_few
from xprobe.images.sources.pictures import (
    holds_pictures,
    holds_pictures_itself,
    is_plain,
    kind_of_folder,
)
from xprobe.images.sources.tree import Folder

VAL = "val"
"""The split for validation, which `images.selection` makes one of training or of testing."""

# Names of splits, compared in lower case; tier3 and hold are those of xBD.
SPLIT_OF = {
    "train": "train", "training": "train", "tier3": "train",
    "val": VAL, "valid": VAL, "validation": VAL, "dev": VAL,
    "test": "test", "testing": "test", "held": "test", "holdout": "test", "hold-out": "test",
    "hold_out": "test", "hold": "test",
    "extra": "extra",
}  # fmt: skip

_ORDER = ("train", "val", "test", "extra")


@dataclass(frozen=True)
class Split:
    """A folder of a split.

    Attributes:
        name: ``train``, ``val``, ``test`` or ``extra``.
        folder: the folder, which holds class folders.
    """

    name: str
    folder: Folder


def is_trained_with(split: str) -> bool:
    """Return whether synthetic images may be of a split; ``""`` stands for train."""
    return split in ("", "train", VAL)


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
    return in_order(named)


def splits_below(folder: Folder) -> list[Split]:
    """Return the splits that a class folder holds, such as flooding/train and flooding/test.

    Raises:
        XprobeError: pictures lie beside them.
    """
    named = [inner for inner in folder.folders if split_of(inner) and holds_pictures(inner)]
    others = [
        inner.path
        for inner in folder.folders
        if inner not in named and kind_of_folder(inner) is None and holds_pictures(inner)
    ]
    if named and (others or holds_pictures_itself(folder)):
        raise XprobeError(
            f"{named[0].path} is called as a split is, but lies beside other pictures of its class "
            f"({first_few(others or [folder.path], 1)}); rename it, or move the others into a split"
        )
    return in_order(named)


def in_order(folders: Iterable[Folder]) -> list[Split]:
    """Return folders of splits as these, training first."""
    splits = [Split(split_of(folder), folder) for folder in folders]
    return sorted(splits, key=lambda split: _ORDER.index(split.name))


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
                f"{folder.path} may be a split, since it holds {first_few(sorted(doubtful), 3)}, "
                f"or a class or generator, since it lies beside {beside}; if it is a split, move "
                f"away what is none, else rename it"
            )


def _check_that_all_are_splits(named: list[Folder]) -> None:
    """Raise if a folder with the name of a split holds no class folders."""
    for folder in named:
        if not names_inside(folder):
            beside = [other.name for other in named if other is not folder]
            where = f" beside {first_few(beside, 3)}" if beside else ""
            raise XprobeError(
                f"{folder.path} is called as a split is{where}, but holds images and no class "
                f"folders; put them into {folder.path}/<class>/…, or rename {folder.name} if it "
                f"is a class"
            )
