"""Which columns of a Hugging Face data set are used, and what their values are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xprobe.base.errors import OptionError, XprobeError, first_few
from xprobe.images.config import FormConfig
from xprobe.images.containers.columns import (
    features_of,
    image_columns,
    is_binary,
    is_struct_of_bytes,
)
from xprobe.images.manifest import DESCRIBED, OPTIONAL, RECORDED
from xprobe.images.sources.huggingface.card import ClassNames, names_of_features

LABELS = ("label", "labels", "class", "cls", "fine_label")
"""Names of columns of classes, which are taken unless ``--columns label=…`` names another."""

TAKEN = ("source", *OPTIONAL, *RECORDED, *DESCRIBED)
"""Columns of an image table, which are taken where a data set has them."""

IMAGE, LABEL = "image", "label"

NO_COLUMN = "-"
"""Stands in ``--columns`` in place of a column: none is taken."""

NUMBER, TEXT, TEXTS = "numbers", "text", "lists of text"

_COLUMNS = "--columns image=…,label=…"


@dataclass(frozen=True)
class Choice:
    """The columns that are used.

    Attributes:
        image: the column of images.
        is_named: whether the paths of images must name it.
        label: the column of classes.
        others: column of an image table → column of the data set.
        kinds: column of the data set → what its values are.
        class_names: names of classes by column, for numbers in their place.
    """

    image: str
    is_named: bool
    label: str
    others: Mapping[str, str]
    kinds: Mapping[str, str]
    class_names: ClassNames = field(default_factory=dict)

    @property
    def used(self) -> list[str]:
        """The columns that are read as they are, each once."""
        return list(dict.fromkeys((self.label, *self.others.values())))


def chosen(schema: Any, form: FormConfig, file: str) -> Choice:
    """Return the columns of a file that are used, and the class names that its schema has.

    Args:
        schema: Arrow's schema of the file.
        form: columns that options name.
        file: the file, for messages.

    Raises:
        OptionError: an option names a column that an image table lacks.
        XprobeError: a column is missing or of a type that it cannot have, or it cannot be told
            which one is meant.
    """
    twice = [repr(name) for name, n in Counter(schema.names).items() if n > 1]
    if twice:
        raise XprobeError(f"{file}: the column {first_few(twice)} is there twice; keep one")
    named = dict(form.columns)
    _check_named(named, schema, file)
    image, is_by_form = _image_of(named, schema, file)
    label = named.get(LABEL) or _label_of(schema, file)
    kinds = {label: _kind_of_label(schema.field(label).type, label, file)}
    others = {}
    for name in TAKEN:
        column = named.get(name, name)
        if (name in named and column != NO_COLUMN) or column in schema.names:
            kind = kind_of(schema.field(column).type)
            if kind in (NUMBER, TEXT) or (name, kind) == ("prompt", TEXTS):
                others[name] = column
                kinds[column] = kind
            elif name in named:
                raise XprobeError(
                    f"{file}: the column {column} holds {kind}, and no {name} of an image; leave "
                    f"{name}={column} out of --columns"
                )
    others = {name: column for name, column in others.items() if column not in (image, label)
              or name in named}  # fmt: skip
    names = names_of_features(features_of(schema))
    return Choice(image, not is_by_form, label, others, kinds, names)


def _check_named(named: Mapping[str, str], schema: Any, file: str) -> None:
    """Refuse pairs of ``--columns`` that name no column of an image table or of the file."""
    for name, column in named.items():
        if name not in (IMAGE, LABEL, *TAKEN):
            raise OptionError(
                f"--columns {name}={column}: an image table has no column {name}; it has {IMAGE}, "
                f"{LABEL}, {', '.join(TAKEN)}"
            )
        if column == NO_COLUMN and name in (IMAGE, LABEL):
            raise OptionError(f"--columns {name}={column}: every image needs one; name a column")
        if column != NO_COLUMN and column not in schema.names:
            raise XprobeError(
                f"{file}: --columns {name}={column}: there is no column {column}; there are "
                f"{first_few(schema.names, 20)}"
            )


def _image_of(named: Mapping[str, str], schema: Any, file: str) -> tuple[str, bool]:
    """Return the column of images, and whether the file alone says that it is this one."""
    by_form = image_columns(schema)
    column = named.get(IMAGE)
    if column is None:
        if len(by_form) == 1:
            return by_form[0], True
        many = (
            f"several columns hold images, {first_few(by_form)}" if by_form else "no image column"
        )
        raise XprobeError(
            f"{file}: {many}; say which with {_COLUMNS}; there are {_columns_of(schema)}"
        )
    kind = schema.field(column).type
    if not (is_binary(kind) or is_struct_of_bytes(kind)):
        raise XprobeError(
            f"{file}: the column {column} holds no images, but {kind}; images are bytes, or "
            f"structs of bytes and path"
        )
    return column, by_form == [column]


def _label_of(schema: Any, file: str) -> str:
    """Return the column of classes: that of a usual name, or else the only one with class names."""
    usual = [name for name in LABELS if name in schema.names]
    names = usual or [n for n in names_of_features(features_of(schema)) if n in schema.names]
    if len(names) == 1:
        return names[0]
    many = f"several columns may be the class, {first_few(names)}" if names else "no label column"
    raise XprobeError(f"{file}: {many}; say which with {_COLUMNS}; there are {_columns_of(schema)}")


def _columns_of(schema: Any) -> str:
    return first_few([f"{field.name} ({_short(field.type)})" for field in schema], 20)


def _short(kind: Any) -> str:
    return "image" if is_struct_of_bytes(kind) else str(kind)


def _kind_of_label(type_: Any, label: str, file: str) -> str:
    import pyarrow as pa

    kind = kind_of(type_)
    plain = type_.value_type if pa.types.is_dictionary(type_) else type_
    is_text = kind == TEXT and not (pa.types.is_boolean(plain) or pa.types.is_temporal(plain))
    if is_text or pa.types.is_integer(plain):
        return kind
    raise XprobeError(
        f"{file}: the column {label} holds {type_}, and a class is a text or a whole number; name "
        f"another column with --columns label=…"
    )


def kind_of(type_: Any) -> str:
    """Return what values of an Arrow type are: `NUMBER`, `TEXT`, `TEXTS`, or else their type."""
    import pyarrow.types as types

    if types.is_dictionary(type_):
        type_ = type_.value_type
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return TEXT
    if types.is_integer(type_) or types.is_floating(type_):
        return NUMBER
    if types.is_boolean(type_) or types.is_temporal(type_):
        return TEXT
    if types.is_list(type_) or types.is_large_list(type_):
        return TEXTS if kind_of(type_.value_type) == TEXT else str(type_)
    return str(type_)


def check_alike(first: Choice, other: Choice, files: tuple[str, str]) -> None:
    """Check that two files of a data set can be read in the same way.

    Args:
        first, other: the columns that are used of either file.
        files: their names, for the message.

    Raises:
        XprobeError: a column that is used is missing in one of the files, or has another type
            there.
    """
    pairs = {"image": (first.image, other.image), "label": (first.label, other.label)}
    names = sorted({*first.others, *other.others})
    pairs |= {n: (first.others.get(n, ""), other.others.get(n, "")) for n in names}
    for name, (a, b) in pairs.items():
        if a != b:
            said = " and ".join(
                f"{c or 'no column'} in {f}" for c, f in zip((a, b), files, strict=True)
            )
            raise XprobeError(f"the shards differ: the {name} is {said}; write them alike")
        kinds = first.kinds.get(a, ""), other.kinds.get(a, "")
        if kinds[0] != kinds[1]:
            raise XprobeError(
                f"the shards differ: the {name} ({a}) is {kinds[0]} in {files[0]} and {kinds[1]} "
                f"in {files[1]}; write them alike"
            )


def agreed_names(
    stated: Iterable[tuple[str, ClassNames]], columns: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return the names of classes in columns, which must be the same wherever they are stated.

    Args:
        stated: files of a data set, and the names that each of them states.
        columns: the columns.

    Raises:
        XprobeError: two files state different names.
    """
    first: dict[str, tuple[str, tuple[str, ...]]] = {}
    columns = set(columns)
    for file, names in stated:
        for column in columns & names.keys():
            place, known = first.setdefault(column, (file, names[column]))
            if known != names[column]:
                raise XprobeError(
                    f"the classes of {column} are {first_few(known, 3)} in {place} and "
                    f"{first_few(names[column], 3)} in {file}; write them alike, or name those of "
                    f"the class in a file, --classes FILE"
                )
    return {column: known for column, (_, known) in first.items()}
