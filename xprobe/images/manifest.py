"""The image table, as a value."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from xprobe.base.arrays import Bools, Ints, Strings, digest_of, frozen_strings
from xprobe.base.errors import OptionError, XprobeError, first_few

SOURCES = ("real", "synthetic")

SPLITS = ("train", "test", "extra", "pre")

NULL_EDIT = "null-edit"

UNLABELLED = "unlabelled"
"""The class of the images of a set that states no classes."""

CONTROLS = (NULL_EDIT,)
"""Values of the column ``control``: synthetic images that are made for a control alone."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """The image table: one row an image, columns of equal length n.

    Attributes:
        id: unique name of the image; by default its POSIX path relative to DATA.
        path: absolute path of its file, or of a member of an archive.
        sha256: hex digest of the file's content; ``""`` if the file cannot be read.
        label: class name.
        source: ``real`` or ``synthetic``.
        group: the scene that the image shows; images of one group are never split between
            training and test. ``""`` on a synthetic image: not known.
        parent: id or group of the real image that a synthetic image was made from, or the name of
            a source that is not in the table; ``""``: not known.
        generator: what made a synthetic image; ``""`` on a real image.
        split: ``train``, ``test`` (fixed hold-out), ``extra`` (real images for controls only) or
            ``pre`` (scenes before the event, for the place check only).
        prompt: the text that a synthetic image was made with; ``""``: not known.
        polygons: outlines of the objects in the image, as in `polygons.read_polygons`; ``""``: no
            outlines, which is the default of all images.
        classes: the class names, sorted; the columns of every score.
        further: columns that are no field of their own, by name: those of `RECORDED` that a table
            has, and columns that xprobe does not use, kept for whoever does.
        limit: how many real images of each class were taken at most, for a smoke test; None: all
            there are.

    Raises:
        XprobeError: two images have one id, a source, split or control is unknown, or a real image
            has a control.
    """

    id: Strings
    path: Strings
    sha256: Strings
    label: Strings
    source: Strings
    group: Strings
    parent: Strings
    generator: Strings
    split: Strings
    prompt: Strings
    polygons: Strings = field(default_factory=lambda: frozen_strings([]))
    classes: tuple[str, ...] = field(default=())
    further: Mapping[str, Strings] = field(default_factory=dict)
    limit: int | None = None

    def __post_init__(self) -> None:
        if not len(self.polygons):
            object.__setattr__(self, "polygons", [""] * len(self.id))
        for name in self.columns():
            object.__setattr__(self, name, frozen_strings(getattr(self, name)))
        further = {name: frozen_strings(values) for name, values in self.further.items()}
        object.__setattr__(self, "further", further)
        lengths = {name: len(getattr(self, name)) for name in self.columns()}
        lengths |= {name: len(values) for name, values in further.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of different length: {lengths}")
        if not self.classes:
            object.__setattr__(self, "classes", tuple(sorted(set(self.label))))
        names, counts = np.unique(self.id.astype(str), return_counts=True)
        if (counts > 1).any():
            raise XprobeError(
                f"ids given twice: {first_few(names[counts > 1])}; give every image an id of its "
                f"own"
            )
        known_values = {"source": SOURCES, "split": SPLITS, "control": ("", *CONTROLS)}
        for column, known in known_values.items():
            unknown = sorted(set(self.column(column)) - set(known))
            if unknown:
                raise XprobeError(
                    f"unknown {column} {first_few(map(repr, unknown))}; known: "
                    f"{', '.join(filter(None, known))}"
                )
        if (wrong := self.is_control & (self.source == "real")).any():
            raise XprobeError(
                f"real images with a control: {first_few(self.id[wrong])}; the column control is "
                f"for synthetic images"
            )

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the names of the per-image columns that xprobe uses, in order."""
        return tuple(f.name for f in fields(cls) if f.name not in ("classes", "further", "limit"))

    def __len__(self) -> int:
        return len(self.id)

    def select(self, rows: Bools | Ints) -> Manifest:
        """Return the images that a mask (n,) or positions choose, with the same classes."""
        columns = {name: getattr(self, name)[rows] for name in self.columns()}
        further = {name: values[rows] for name, values in self.further.items()}
        return Manifest(**columns, classes=self.classes, further=further, limit=self.limit)

    def without(self, ids: Iterable[str]) -> Manifest:
        """Return the images of other ids than these, such as those of images that failed."""
        return self.select(~np.isin(self.id.astype(str), list(ids)))

    def column(self, name: str) -> Strings:
        """Return a column (n,) by name, empty texts where the table has none of that name."""
        if name in self.columns():
            values: Strings = getattr(self, name)
            return values
        return self.further.get(name, frozen_strings([""] * len(self)))

    @property
    def is_control(self) -> Bools:
        """(n,) whether a synthetic image is made for a control alone, so that no mix takes it."""
        return np.array([bool(control) for control in self.column("control")], dtype=bool)

    def without_controls(self) -> Manifest:
        """Return the real images, and those synthetic ones that are made to be trained on."""
        is_control = self.is_control
        return self.select(~is_control) if is_control.any() else self

    @property
    def fingerprint(self) -> str:
        """Digest of all columns and classes that every study of the table depends on."""
        columns = [c for c in self.columns() if c not in ("path", "prompt", "polygons")]
        decisive = [list(self.classes), [getattr(self, c).tolist() for c in columns]]
        if any(self.column("trained_on")):  # Without that column events decide nothing.
            decisive.append([self.column(c).tolist() for c in ("event", "trained_on")])
        if any(self.column("control")):
            decisive.append(["control", self.column("control").tolist()])
        return digest_of(decisive)


REQUIRED = ("path", "label", "source")

OPTIONAL = ("id", "group", "parent", "generator", "split", "prompt", "polygons")

RECORDED = ("event", "licence", "dataset", "damage", "trained_on", "control", "date")
"""Columns that single commands use or write, which most tables lack; `Manifest.column` has them."""

DESCRIBED = (
    "provider", "model", "parameters", "seed", "size", "cost", "request_id", "watermark", "terms",
)  # fmt: skip
"""Columns that say how an image was generated, which are kept, and shown as they are."""

# Further keys of a row, which are columns of no file.
SCENE = "\0scene"
"""The scene of a real image whose group is a wider one."""
TABLE = "\0table"
"""The DATA that the row is from, or the manifest in it, as messages name it."""
SPELT = "\0path"
"""The path as the table spells it, where ``path`` is absolute."""
WRITTEN = "\0id"
"""The name that the table gives the image, where ``id`` is another."""
GUESSED = "\0generator"
"""Stands in a row whose generator is not said, but taken from the name of its table."""
PARENT_PATH = "\0parent"
"""The file that the parent names if it is a path relative to the folder of the table."""

DEFAULT_GENERATOR = "default"

LAYOUT = "real/<class>/… and synthetic/[<generator>/]<class>/…"

EMPTY_FILE = hashlib.sha256(b"").hexdigest()
"""The digest of a file without content."""

# How tables, and those who fill them in, write that a value is missing.
_MISSING = frozenset(("", "nan", "none", "null", "na", "n/a", "<na>", "#n/a", "#na", "nat"))

Row = dict[str, str]
"""A row of the image table before it is checked: column → text."""


def is_missing(text: str) -> bool:
    """Return whether a cell of a table says that there is no value."""
    return text.strip().lower() in _MISSING


def check_generator(name: str, flag: str) -> None:
    """Refuse a generator's name that is empty or means *missing*, or holds commas or controls.

    Args:
        name: the name.
        flag: option that gave it, for the message.

    Raises:
        OptionError: it is none.
    """
    if is_missing(name) or name != name.strip() or not name.isprintable() or "," in name:
        raise OptionError(
            f"{flag} {name!r}: give what made the images a name without commas, such as rsedit"
        )


def as_text(name: str) -> str:
    """Return a file name as text, in which bytes that are no UTF-8 are written as escapes."""
    if name.isascii():
        return name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def id_of(row: Row) -> str:
    """Return the id of a row: by default its path."""
    if name := row.get("id"):
        return name
    path, parts = row["path"], f"/{row['path']}/"
    if "//" in parts or "/./" in parts or "\\" in path:
        return Path(path).as_posix()
    return path  # Most are so already, and a Path would take a fifth of listing an image.
