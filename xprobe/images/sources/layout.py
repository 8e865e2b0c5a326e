"""How folders are laid out: which of them are splits, generators and classes.

Nothing but the names of folders and files decides it, and nothing is left out without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.images.classes import composed, spelling
from xprobe.images.decode import is_image
from xprobe.images.manifest import DEFAULT_GENERATOR, as_text
from xprobe.images.sources.leftovers import (
    HIDDEN,
    LOOSE,
    MASKS,
    METADATA,
    METADATA_FILES,
    OTHERS,
    SYNTHETIC_TESTS,
    LeftOut,
    kind_of_file,
)
from xprobe.images.sources.pictures import (
    holds_pictures,
    holds_pictures_itself,
    is_plain,
    kind_of_folder,
    masks_beside,
)
from xprobe.images.sources.splits import (
    Split,
    is_trained_with,
    names_inside,
    split_of,
    splits_below,
    splits_in,
)
from xprobe.images.sources.synthetic import TabledFolder, has_manifest, is_begun
from xprobe.images.sources.tree import Folder


@dataclass(frozen=True)
class ClassFolder:
    """The folder of a class, and what its pictures are; the columns of their rows."""

    folder: Folder
    name: str
    source: str
    split: str
    generator: str = ""

    @property
    def label(self) -> str:
        """The class, in one form of Unicode."""
        return composed(as_text(self.name))


def name_of(folder: Folder) -> str:
    """Return the name of a folder as that of a class or generator, in one form of Unicode."""
    return composed(as_text(folder.name))


class Layout:
    """What folders of images are, understood one after the other, the real ones first.

    Args:
        is_told: whether something else says which splits are read, so that no note need.

    Attributes:
        classes: the class folders.
        tabled: folders of synthetic images whose tables say what they are.
        labels: the classes of the real images to train on.
        splits: the splits that real images lie in, where they lie in splits.
        notes: what the user should know of how the folders were read.
        left_out: what is no picture of a class.
    """

    def __init__(self, is_told: bool = False) -> None:
        self.classes: list[ClassFolder] = []
        self.tabled: list[TabledFolder] = []
        self.labels: set[str] = set()
        self.splits: list[Split] = []
        self.notes: list[str] = []
        self._read: dict[str, list[Split]] = {"real": [], "synthetic": []}
        self._is_told = is_told
        self.left_out = LeftOut()

    def add_real(self, folder: Folder, known: Callable[[], set[str]] = set) -> None:
        """Take in a folder of real images, of class folders or of splits.

        Args:
            folder: the folder.
            known: function that returns names which are those of classes elsewhere.

        Raises:
            XprobeError: it cannot be told what its folders are, or the splits have unlike classes.
        """
        if {"real", "synthetic"} <= {inner.name.lower() for inner in folder.folders}:
            raise XprobeError(
                f"{folder.path} holds folders real and synthetic itself; name it as DATA"
            )
        folder = self._unwrapped(folder, known)
        splits = self._splits_in(folder, known)
        if not splits:
            self._add_classes(folder, "real", "train", known=known)
            return
        if all(split.name != "train" for split in splits):
            raise XprobeError(
                f"{folder.path} holds the splits {_paths(splits)}, and none to train on; name one "
                f"of them {folder.path}/train, or move them out of {folder.path}"
            )
        self._read["real"] += splits
        for split in splits:
            self.add_split(split)

    def add_split(self, split: Split) -> None:
        """Take in the class folders of a split of real images.

        Raises:
            XprobeError: it holds splits itself, or classes that are not trained on.
        """
        if splits_in(split.folder, self.labels):
            raise XprobeError(
                f"{split.folder.path} holds splits, and is to be the split {split.name} itself; "
                f"name one of them"
            )
        known = set(self.labels)
        classes = self._add_classes(split.folder, "real", split.name)
        self.splits.append(split)
        for part in classes:
            if split.name == "val" and part.label not in known and holds_pictures(part.folder):
                raise XprobeError(
                    f"{part.folder.path} is no class of the real images to train on"
                    f"{did_you_mean(part.label, known, 1)}; add some of it there, or remove it"
                )

    def add_synthetic(self, folder: Folder) -> None:
        """Take in a folder of synthetic images: of classes, of generators, or of splits of these.

        A first folder in it is a class exactly if it is a class of real. A table in it, or in that
        of a generator, says what the images there are.

        Raises:
            XprobeError: it cannot be told what a folder is.
        """
        if has_manifest(folder):
            self.tabled.append(TabledFolder(folder, DEFAULT_GENERATOR, "train"))
            return
        if self._leave_out_begun(folder):
            return
        folder = self._unwrapped(folder)
        splits = self._splits_in(folder, lambda: self.labels)
        for split in self._to_train_on(splits):
            self._add_generators(self._unwrapped(split.folder), split.name)
        if not splits:
            self._add_generators(folder, "train")

    def add_generator(self, folder: Folder, generator: str, split: str = "train") -> None:
        """Take in a folder of synthetic images of one generator: of classes, or of splits.

        Raises:
            XprobeError: there are no class folders in it, and no table.
        """
        if has_manifest(folder):
            self.tabled.append(TabledFolder(folder, generator, split))
            return
        if self._leave_out_begun(folder):
            return
        inner = self._unwrapped(folder, lambda: self.labels)
        splits = self._splits_in(inner, lambda: self.labels)
        if not splits and not any(name_of(below) in self.labels for below in inner.folders):
            self._refuse(folder)
        for part in self._to_train_on(splits):
            self._add_classes(part.folder, "synthetic", part.name, generator)
        if not splits:
            self._add_classes(inner, "synthetic", split, generator)

    def finish(self, scene_of: Mapping[str, str]) -> None:
        """Note what is known at the end: splits, forms of Unicode, and pictures that are twins.

        Args:
            scene_of: the scene of each twin.
        """
        for source, splits in self._read.items():
            if splits and not self._is_told:
                words = "splits" if len(splits) > 1 else "a split"
                self.notes.append(f"read {_paths(splits)} as {words} of {source} images")
        forms: dict[str, set[str]] = {}
        for part in self.classes:
            forms.setdefault(part.label, set()).add(part.name)
        if several := [label for label, names in forms.items() if len(names) > 1]:
            self.notes.append(
                f"class {first_few(several)}: its folders are written in two forms of Unicode, and "
                f"read as one class"
            )
        if n := len(set(scene_of.values())):
            self.notes.append(
                f"scenes that are there before and after, by their names: {n}; the images of each "
                f"are one group, never split between training and test; an image from before an "
                f"event shows none of it, and may be of another class"
            )

    def _add_generators(self, folder: Folder, split: str) -> None:
        self._add_loose(folder)
        for first in folder.folders:
            if name_of(first) in self.labels:
                self.classes += self._classes_of(first, "synthetic", split, DEFAULT_GENERATOR)
            elif kind_of_folder(first):
                self._leave_out_masks(first)
            elif has_manifest(first) or holds_pictures(first):
                self.add_generator(first, name_of(first), split)

    def _splits_in(self, folder: Folder, known: Callable[[], set[str]]) -> list[Split]:
        """Return the splits in a folder, none if there are none; count what lies beside them."""
        splits = splits_in(folder, self.labels, known)
        if splits:
            self._add_loose(folder)
            for inner in folder.folders:
                if kind_of_folder(inner):
                    self._leave_out_masks(inner)
        return splits

    def _to_train_on(self, splits: list[Split]) -> list[Split]:
        """Return the splits that synthetic images may belong to; tests are on real ones alone."""
        for split in splits:
            if not is_trained_with(split.name):
                n = sum(_count(inner) for inner, _ in split.folder.walk())
                self.left_out.add(SYNTHETIC_TESTS, split.folder.path, n=n)
        used = [split for split in splits if is_trained_with(split.name)]
        self._read["synthetic"] += used
        return used

    def _add_classes(
        self,
        folder: Folder,
        source: str,
        split: str,
        generator: str = "",
        known: Callable[[], set[str]] = set,
    ) -> list[ClassFolder]:
        names = self.labels | known()
        folder = self._unwrapped(folder, lambda: names)
        self._add_loose(folder)
        masks = masks_beside(folder.folders, names)
        for inner in masks:
            self._leave_out_masks(inner)
        classes = []
        for inner in folder.folders:
            if inner not in masks:
                classes += self._classes_of(inner, source, split, generator)
        self.classes += classes
        if source == "real" and is_trained_with(split):
            self.labels |= {part.label for part in classes}
        return classes

    def _classes_of(
        self, folder: Folder, source: str, split: str, generator: str
    ) -> list[ClassFolder]:
        """Return a class folder, or those of the splits that lie in it.

        Raises:
            XprobeError: a folder in it is called as a split is, and what lies beside it is none.
        """
        splits = splits_below(folder)
        if splits and split != "train":
            raise XprobeError(
                f"{splits[0].folder.path} is called as a split is, and lies in the split {split}; "
                f"rename it"
            )
        if not splits:
            return [ClassFolder(folder, folder.name, source, split, generator)]
        if source == "synthetic":
            splits = self._to_train_on(splits)
        else:
            self.splits += splits
            self._read["real"] += splits
        return [
            ClassFolder(part.folder, folder.name, source, part.name, generator) for part in splits
        ]

    def _add_loose(self, folder: Folder) -> None:
        """Count what lies beside class folders: pictures of no class, and hidden files."""
        for name in folder.files:
            if is_image(name):
                self.left_out.add(LOOSE, f"{folder.path}/{name}")
            elif name in METADATA_FILES:
                self.left_out.add(METADATA, f"{folder.path}/{name}")
            elif kind_of_file(name) is not OTHERS:  # such as the archive of a class
                self.left_out.add_file(f"{folder.path}/{name}")
        for name in folder.hidden:
            self.left_out.add(HIDDEN, f"{folder.path}/{name}")

    def _leave_out_begun(self, folder: Folder) -> bool:
        """Return whether a folder holds no images yet that a table lists, and say so."""
        if is_begun(folder):
            self.notes.append(
                f"{folder.path} is left out: xprobe generate has begun it, and it has no table of "
                f"images yet; run that again"
            )
        return is_begun(folder)

    def _leave_out_masks(self, folder: Folder) -> None:
        n = sum(len(inner.files) for inner, _ in folder.walk())
        if n:
            self.left_out.add(kind_of_folder(folder) or MASKS, folder.path, n=n)

    def _unwrapped(self, folder: Folder, known: Callable[[], set[str]] = set) -> Folder:
        """Return the folder in a folder, such as images/, where what belongs here lies in it.

        Args:
            folder: the folder.
            known: function that returns names of classes, by which another folder is recognised.

        Raises:
            XprobeError: pictures lie in a folder images, and no class folders.
        """
        while (inner := _wrapped_in(folder, known)) is not None:
            for beside in folder.folders:
                if kind_of_folder(beside):
                    self._leave_out_masks(beside)
            self.notes.append(f"read {inner.path} in place of {folder.path}")
            folder = inner
        return folder

    def _refuse(self, folder: Folder) -> None:
        """Raise for a folder of synthetic images that is neither a class nor a generator."""
        label, labels = name_of(folder), self.labels
        if label in labels:
            raise XprobeError(f"{folder.path} holds no class folders; name the one that holds it")
        if alike := [name for name in labels if spelling(name) == spelling(label)]:
            raise XprobeError(
                f"{folder.path} and the class {alike[0]} of real differ only in how they are "
                f"written; give both one name"
            )
        if folder.folders:
            raise XprobeError(
                f"{folder.path} is no class of real{did_you_mean(label, labels)}, and its folders "
                f"{first_few(map(name_of, folder.folders))} are none either; the classes of real "
                f"are {first_few(sorted(labels))}: call the folders as these, or remove them"
            )
        raise XprobeError(
            f"{folder.path} is no class of real{did_you_mean(label, labels)}, nor a "
            f"generator with class folders; add real images of that class, or remove it"
        )


def _wrapped_in(folder: Folder, known: Callable[[], set[str]]) -> Folder | None:
    """Return the one folder in a folder if it holds what belongs in its place, else None."""
    holders = [
        inner for inner in folder.folders if kind_of_folder(inner) is None and holds_pictures(inner)
    ]
    if len(holders) != 1 or split_of(holders[0]):
        return None
    (inner,) = holders
    names = names_inside(inner)
    if not is_plain(inner):
        is_wrapper = not holds_pictures_itself(inner) and inner.name not in known()
        return inner if is_wrapper and names & known() else None
    if holds_pictures_itself(inner) or not names:
        raise XprobeError(
            f"{inner.path} holds images and no class folders: the classes of such a set stand in "
            f"its labels; sort the images into {folder.path}/<class>/…, or write a manifest with "
            f"their classes"
        )
    return inner


_MOST_PATHS = 6  # as many as a line names


def _paths(splits: list[Split]) -> str:
    paths = [split.folder.path for split in splits]
    if not 2 <= len(paths) <= _MOST_PATHS:
        return first_few(paths, _MOST_PATHS)
    return f"{', '.join(paths[:-1])} and {paths[-1]}"


def _count(folder: Folder) -> int:
    return sum(is_image(name) for name in folder.files)
