"""CIFAR-10 and CIFAR-100 as their makers publish them: batches, unpacked or in an archive."""

from __future__ import annotations

import posixpath
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.config import FormConfig
from xprobe.images.containers import batches
from xprobe.images.containers.batches import BatchError
from xprobe.images.manifest import Row
from xprobe.images.sources.class_names import check_names
from xprobe.images.sources.table import check_no_group
from xprobe.images.sources.tree import Folder

_AGAIN = "fetch or unpack the data set again"


@dataclass(frozen=True)
class CifarSet:
    """How the files of CIFAR-10, or of CIFAR-100, are called in one form.

    Attributes:
        name: name of the set.
        batch: names of the files of images, a regular expression.
        classes: name of the file that names the classes.
        key: key of these names in a pickle.
        is_told: whether the batches alone tell the set, without the names of its classes.
    """

    name: str
    batch: str
    classes: str
    key: str = ""
    is_told: bool = False

    def batches_in(self, files: Iterable[str]) -> list[str]:
        """Return the names of the batches among those of files."""
        return sorted(file for file in files if re.fullmatch(self.batch, file))

    def fits(self, files: Iterable[str]) -> bool:
        """Return whether files of these names are of this set."""
        names = set(files)
        return bool(self.batches_in(names)) and (self.is_told or self.classes in names)


@dataclass(frozen=True)
class _Place:
    """Where a set lies: a folder, or a folder in an archive.

    Attributes:
        cifar: the set.
        base: folder that paths of its images are relative to.
        inside: what these paths begin with; empty unless the set lies in an archive.
        files: names of the files there.
    """

    cifar: CifarSet
    base: str
    inside: str
    files: tuple[str, ...]

    @property
    def path(self) -> str:
        """What the path of a file of the set begins with."""
        return f"{self.base}/{self.inside}"


@dataclass(frozen=True)
class CifarForm:
    """A form that the sets are published in.

    Attributes:
        sets: the sets, whose files have other names.
        names: function that returns the names of the classes in a file, in the order of their
            numbers.
    """

    sets: tuple[CifarSet, ...]
    names: Callable[[str, CifarSet], list[str]]

    def recognises(self, path: Path) -> bool:
        """Return whether a set lies in a folder, in one inside of it, or in an archive."""
        if path.is_dir():
            return bool(self._places(path))
        if not batches.is_archive(str(path)) or not path.is_file():
            return False
        name = posixpath.basename(batches.first_name(str(path)))
        return any(cifar.classes == name or cifar.batches_in([name]) for cifar in self.sets)

    def read(self, data: Path, group: str, form: FormConfig) -> tuple[Iterable[Row], Path]:
        """Return the rows of a set: the test part is the fixed hold-out.

        Raises:
            XprobeError: a `group` is asked for; there is no set, or more than one; or a file of it
                is missing, damaged, or does not fit the others.
        """
        check_no_group(data, group, "a batch of CIFAR has no columns")
        places = self._places(data)
        if len(places) != 1:
            raise XprobeError(
                f"{data}: it holds {' and '.join(place.path for place in places)}; name one of "
                f"them as DATA"
                if places
                else f"{data}: no batches such as {self._example()} lie in it; name the folder or "
                f"the .tar.gz that they lie in"
            )
        (place,) = places
        return self._rows(place), Path(place.base)

    def _rows(self, place: _Place) -> list[Row]:
        if place.cifar.classes not in place.files:
            raise XprobeError(
                f"{place.path}: the names of the classes are missing; put {place.cifar.classes} "
                f"beside the batches"
            )
        names_file = f"{place.path}{place.cifar.classes}"
        names = self.names(names_file, place.cifar)
        if not names:
            raise XprobeError(f"{names_file}: it names no class; {_AGAIN}")
        check_names(names, names_file, _AGAIN)
        files = place.cifar.batches_in(place.files)
        _warn_of_gaps(place.path, files)
        rows = []
        for file in files:
            labels = batches.labels_of(f"{place.path}{file}")
            split = "test" if file.startswith("test") else "train"
            for number, label in enumerate(labels):
                if not 0 <= label < len(names):
                    raise BatchError(
                        f"{place.path}{file}: image {number} is of class {label}, and "
                        f"{place.cifar.classes} names {len(names)} classes, from 0; {_AGAIN}"
                    )
                rows.append({
                    "path": f"{place.inside}{file}::{number:0{len(str(len(labels)))}}",
                    "label": names[label], "source": "", "split": split,
                    "dataset": place.cifar.name,
                })  # fmt: skip
        return rows

    def _places(self, data: Path) -> list[_Place]:
        """Return where sets lie: in the folder itself, else in folders or archives of them."""
        if data.is_dir():
            folder = Folder(str(data))
            return list(self._in_folder(folder)) or [
                place
                for inner in folder.folders
                if any(Path(inner.path, cifar.classes).is_file() for cifar in self.sets)
                for place in self._in_folder(inner)  # Others may be long to list.
            ]
        by_folder: dict[str, list[str]] = {}
        for name in batches.files_in(str(data)) if data.is_file() else ():
            inside, _, file = name.rpartition("/")
            by_folder.setdefault(f"{inside}/" if inside else "", []).append(file)
        return [
            _Place(cifar, str(data.parent), f"{data.name}::{inside}", tuple(files))
            for inside, files in by_folder.items()
            for cifar in self.sets
            if cifar.fits(files)
        ]

    def _in_folder(self, folder: Folder) -> Iterator[_Place]:
        for cifar in self.sets:
            if cifar.fits(folder.files):
                yield _Place(cifar, folder.path, "", tuple(folder.files))

    def _example(self) -> str:
        return "data_batch_1.bin" if "bin" in self.sets[0].batch else "data_batch_1"


def _warn_of_gaps(path: str, files: Sequence[str]) -> None:
    """Warn if a batch is missing before the last one that is there, by their numbers."""
    numbers = {int(match[1]) for file in files if (match := re.match(r"data_batch_(\d+)", file))}
    first = next(i for i in count(1) if i not in numbers)
    if first < max(numbers, default=0):
        warnings.warn(
            f"{path}: data_batch_{first} is missing, and batches of higher numbers are there; "
            f"fetch or unpack the data set again if it is to count",
            XprobeWarning,
            stacklevel=4,
        )
