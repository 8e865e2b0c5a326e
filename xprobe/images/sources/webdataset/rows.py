"""Labelled shards of WebDataset → rows of the image table."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning, counted
from xprobe.images.classes import composed
from xprobe.images.config import FormConfig
from xprobe.images.lists import ARCHIVE
from xprobe.images.manifest import SOURCES, SPLITS, Row
from xprobe.images.sources.class_names import check_signs, class_names
from xprobe.images.sources.leftovers import SYNTHETIC_TESTS, Kind, LeftOut
from xprobe.images.sources.splits import SPLIT_OF, VAL, is_trained_with
from xprobe.images.sources.table import check_no_group
from xprobe.images.sources.webdataset.samples import NO_LABEL, Label, Sample, samples_in
from xprobe.images.sources.webdataset.shards import Shard, recognises, shards_of

__all__ = ["read", "recognises"]

_WORDS = {
    "source": Kind(
        "values of source in .json members", f"they are not used, since none is {SOURCES[0]} or "
        f"{SOURCES[1]}",
    ),
    "split": Kind("values of split in .json members", "the name of the shard decides"),
}  # fmt: skip

# No number of a class has more; Python refuses to read those of some thousands.
_MOST_DIGITS = 20


def read(data: Path, group: str, form: FormConfig) -> tuple[Iterable[Row], Path]:
    """Return the rows of labelled shards, and the folder that the shards lie in.

    `shards.recognises` says what DATA may be, and `samples.samples_in` what a shard says. Paths are
    ``shard.tar::member``.

    Raises:
        XprobeError: a shard is damaged or missing, no picture has a class, classes are numbers
            without names, or what members say contradicts each other; a `group` is asked for,
            which shards have none of.
    """
    check_no_group(data, group, "shards are not grouped by a column")
    left_out = LeftOut()
    shards, base = shards_of(data, left_out)
    names = _Names(form)
    rows = [
        row
        for shard in shards
        for sample in samples_in(shard.path, form.label_key, left_out)
        if (row := _row_of(sample, shard, names, left_out))
    ]
    names.check()
    if not rows:
        raise _nothing(data, bool(shards), form.label_key, left_out)
    _settle_ids(rows, data)
    left_out.tell(str(data))
    return rows, base


def _row_of(sample: Sample, shard: Shard, names: _Names, left_out: LeftOut) -> Row | None:
    """Return the row of a picture; None: it is a synthetic one of a part for tests."""
    path = f"{shard.id}::{sample.name}"
    label = names.name_of(sample, shard)
    row = {"id": path, "path": path, "label": label, "source": "", "split": shard.split}
    if not sample.columns:
        return row
    row |= sample.columns
    where = f"{shard.path}::{sample.name}"
    row["source"] = row["source"].lower()
    if row["source"] not in ("", *SOURCES):
        left_out.add(_WORDS["source"], where, row["source"])
        row["source"] = ""
    split = row["split"].lower()
    row["split"] = SPLIT_OF.get(split, split)
    if row["split"] not in (*SPLITS, VAL):
        left_out.add(_WORDS["split"], where, row["split"])
        row["split"] = shard.split
    if row["source"] == "synthetic" and not is_trained_with(row["split"]):
        left_out.add(SYNTHETIC_TESTS, where)
        return None
    return row


class _Names:
    """Names of the classes, which a data set gives all as names or all as numbers."""

    def __init__(self, form: FormConfig) -> None:
        self._file = form.classes
        self._names = class_names(form.classes) if form.classes else []
        self._first: dict[bool, str] = {}  # The first class that is a number, and that is a name.
        self._checked: dict[Label, str] = {}

    def name_of(self, sample: Sample, shard: Shard) -> str:
        """Return the class of a picture; a number without a file of names stays for `check`.

        Raises:
            XprobeError: its members say two classes, the file has no such number, or a name is none
                that a class can have.
        """
        label = sample.label
        if label in self._checked and sample.further in (None, label):
            return self._checked[label]
        where = f"{shard.path}::{sample.name}"
        self._first.setdefault(label.is_number, f"{where} ({label.text:.40})")
        name = self._name(label, where)
        if sample.further and sample.further != label:
            other = self._name(sample.further, where)
            if sample.further.is_number != label.is_number and not self._names:
                raise self._unnamed(where)
            if other != name:
                raise XprobeError(
                    f"{where}: its .cls says {name}, and its .json {other}; mend one, or say "
                    f"--label-key, so that the .json alone counts"
                )
        return name

    def check(self) -> None:
        """Refuse numbers beside names, numbers without names, and names without need.

        Raises:
            XprobeError: classes are so.
        """
        if len(self._first) > 1:
            raise XprobeError(
                f"classes are numbers in one place and names in another: {self._first[True]} and "
                f"{self._first[False]}; write them in one way"
            )
        if True in self._first and not self._names:
            raise self._unnamed(self._first[True])
        if False in self._first and self._names:
            raise XprobeError(
                f"--classes {self._file}: the classes have names already, such as "
                f"{self._first[False]}; leave it out"
            )

    def _name(self, label: Label, where: str) -> str:
        if label not in self._checked:
            text = composed(label.text)
            if label.is_number and self._names:
                text = self._numbered(text, where)
            check_signs(text, where, "rename the class")
            self._checked[label] = text
        return self._checked[label]

    def _numbered(self, text: str, where: str) -> str:
        number = int(text) if len(text) < _MOST_DIGITS else -1
        if not 0 <= number < len(self._names):
            raise XprobeError(
                f"{where}: its class is {text:.40}, and {self._file} names the classes 0 to "
                f"{len(self._names) - 1} alone; name all classes there"
            )
        return self._names[number]

    def _unnamed(self, where: str) -> XprobeError:
        return XprobeError(
            f"{where}: its class is a number; name the classes in a file, a name a line, that of "
            f"class 0 first, and say --classes FILE"
        )


def _nothing(data: Path, has_shards: bool, label_key: str, left_out: LeftOut) -> XprobeError:
    """Return the error for DATA that has no shards, or shards in which no picture has a class."""
    if not has_shards:
        return XprobeError(
            f"{data}: no shards (*{ARCHIVE}) in it; name the folder that holds them, or leave "
            f"--layout out"
        )
    n, example = left_out.of_kind(NO_LABEL)
    if not n:
        return XprobeError(f"{data}: no pictures in it; name shards that hold some")
    if label_key:
        return XprobeError(
            f"{data}: none of its {counted(n, 'picture', 'pictures')} has a .json with the key "
            f"{label_key}, the first is {example}; correct --label-key, or leave it out to take "
            f"the classes of .cls members"
        )
    alone = f"{data}/*{ARCHIVE}" if data.is_dir() else data
    return XprobeError(
        f"{data}: none of its {counted(n, 'picture', 'pictures')} has a class, the first is "
        f"{example}; {NO_LABEL.remedy}; images without classes are embedded with 'xprobe embed "
        f"{alone}' and no further option"
    )


def _settle_ids(rows: list[Row], data: Path) -> None:
    """Leave the ids of .json members out if two pictures share one, as where shards count anew."""
    name, n = Counter(row["id"] for row in rows).most_common(1)[0]
    if n > 1:
        warnings.warn(
            f"{data}: several pictures have one id in their .json members, such as {name}; their "
            f"paths are their ids",
            XprobeWarning,
            stacklevel=3,
        )
        for row in rows:
            row["id"] = row["path"]
