"""Sets of satellite images that are published as class folders, and known by the names in them.

Both the folders and the pictures must be called as those of the set; a folder of another name, or
a picture, makes it an ImageFolder, which is read in the same way. What the folder of the whole set
is called says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.images.config import FormConfig
from xprobe.images.decode import is_image
from xprobe.images.manifest import Row
from xprobe.images.sources.folder import rows_of
from xprobe.images.sources.layout import Layout
from xprobe.images.sources.table import check_no_group
from xprobe.images.sources.tree import Folder

# Folders that hold nothing but a folder are looked into so far.
_MOST_WRAPPERS = 8

# Stands for a number in the names of pictures.
_NUMBER = re.compile("<(n+)>")


@dataclass(frozen=True)
class ClassFolders:
    """How the folders and pictures of a set are called.

    Attributes:
        title: name of the set.
        classes: names of the folders of its classes.
        picture: function that takes the name of a class folder and returns how its pictures are
            called, such as ``Forest_<n>.jpg``: ``<n>`` is a number, ``<nnn>`` one of three digits.
        label: function that returns the class of a folder.
    """

    title: str
    classes: frozenset[str]
    picture: Callable[[str], str]
    label: Callable[[str], str] = str

    def recognises(self, path: Path) -> bool:
        """Return whether all class folders, two or more, and all their pictures are of the set."""
        if not path.is_dir():
            return False
        folder = unwrapped(Folder(str(path)))
        named = [inner for inner in folder.folders if inner.name in self.classes]
        if len(named) < 2 or len(named) < len(folder.folders):
            return False
        pictures = [(inner, [name for name in inner.files if is_image(name)]) for inner in named]
        return sum(bool(names) for _, names in pictures) > 1 and all(
            not inner.folders and self._are_named_as(inner.name, names) for inner, names in pictures
        )

    def _are_named_as(self, folder: str, names: list[str]) -> bool:
        form = re.escape(self.picture(folder))
        picture = re.compile(_NUMBER.sub(lambda match: _digits(len(match[1])), form))
        return all(picture.fullmatch(name) for name in names)

    def read(self, data: Path, group: str, form: FormConfig) -> tuple[Iterable[Row], Path]:
        """Return the rows of the set.

        Raises:
            XprobeError: a `group` is asked for, which folders have none of; or DATA is another set.
        """
        check_no_group(data, group)
        if not self.recognises(data):
            name = sorted(self.classes)[0]
            example = _NUMBER.sub(lambda match: "1".zfill(len(match[1])), self.picture(name))
            raise XprobeError(
                f"{data}: no {self.title}: that has two or more of its class folders, such as "
                f"{name}, and in them nothing but pictures that are named like {example}; leave "
                f"--layout out to have it read by what it is"
            )
        folder = unwrapped(Folder(str(data)))
        layout = Layout()
        layout.add_real(Folder(folder.path, place=str(Path(folder.path).resolve())))
        return [
            row | {"source": "", "label": self.label(row["label"])} for row in rows_of(layout)
        ], data


def _digits(n: int) -> str:
    return r"\d+" if n == 1 else rf"\d{{{n}}}"


def unwrapped(folder: Folder) -> Folder:
    """Return the folder inside of folders that hold one folder, and no picture, each."""
    for _ in range(_MOST_WRAPPERS):
        if len(folder.folders) != 1 or any(map(is_image, folder.files)):
            break
        (folder,) = folder.folders
    return folder
