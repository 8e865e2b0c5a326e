"""Documents: frozen values that are JSON objects on disk, and the way from one to the other.

A document type is a subclass of `Document` whose annotated fields are the fields of the JSON
object, so that reading checks every field and a JSON Schema follows from the type. What a newer
xprobe wrote and this one does not know is kept beside the fields, in `unknown`, and written again.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

import msgspec

from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError
from xprobe.base.visible import visible_json

# The name of `Document.unknown` in msgspec, which no JSON object of xprobe uses for a field.
UNKNOWN = "*"

AnyDocument = TypeVar("AnyDocument", bound="Document")

Number: TypeAlias = int | float
"""A number of a document. What was read as 1 is written as 1; a field of type float writes 1.0."""


class NewerVersionError(ValueError):
    """The document has a version that only a newer xprobe can read."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object as a value.

    Attributes:
        OPTIONAL: names of the fields that are not written while they hold their default.
        unknown: fields that a newer xprobe wrote, by name.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ()

    unknown: dict[str, Any] = msgspec.field(name=UNKNOWN, default_factory=dict)


def to_json(value: Any) -> Any:
    """Return what `json.dumps` takes for a document, or for lists and mappings of documents.

    A dataclass, such as a configuration, becomes the object of its fields.
    """
    if isinstance(value, Document):
        return _fields_of(value) | value.unknown
    if dataclasses.is_dataclass(value):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: to_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    return value


def from_json(kind: type[AnyDocument], raw: Any) -> AnyDocument:
    """Return a document from what `json.loads` gave.

    Raises:
        msgspec.ValidationError: a field is missing or of another type; the message names its place,
            such as ``$.results[3].value``.
    """
    return cast(AnyDocument, _with_unknown(msgspec.convert(raw, kind), raw))


def replace(document: AnyDocument, **fields: Any) -> AnyDocument:
    """Return the document with other values in some of its fields."""
    return msgspec.structs.replace(document, **fields)


def extend(kind: type[AnyDocument], document: Document, **fields: Any) -> AnyDocument:
    """Return a document with all fields of another one, whose type it extends, and further ones."""
    return kind(**msgspec.structs.asdict(document), **fields)


def from_value(kind: type[AnyDocument], value: Any) -> AnyDocument:
    """Return a document of those attributes of a value that bear the names of its fields.

    Raises:
        msgspec.ValidationError: a field is missing or of another type.
    """
    return msgspec.convert(value, kind, from_attributes=True)


def encode(value: Any) -> bytes:
    """Return documents as JSON text with one entry a line.

    Any text can be kept, also the path of a file whose name is no UTF-8.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(to_json(value), indent=1, ensure_ascii=False, allow_nan=False)
    return f"{visible_json(text)}\n".encode()


def write(file: Path, document: Document) -> None:
    """Write a document whole or not at all; its folder is made if it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, encode(document))


def read(
    kind: type[AnyDocument], file: Path, remedy: str, newest: int | None = None
) -> AnyDocument:
    """Return the document in a file.

    Args:
        kind: type of the document.
        file: file of the document.
        remedy: what the user can do about a damaged file, such as ``run 'xprobe sweep' again``.
        newest: largest ``version`` that this xprobe reads; None: documents without versions.

    Raises:
        FileNotFoundError: there is no such file.
        XprobeError: the file is damaged (the message names the place in it), or of a newer version.
    """
    content = file.read_bytes()
    try:
        return parse(kind, content, newest)
    except NewerVersionError as error:
        raise XprobeError(f"{file}: written by a newer xprobe; upgrade this one") from error
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise XprobeError(f"{file}: damaged ({reason}); {remedy}") from error


def parse(kind: type[AnyDocument], text: str | bytes, newest: int | None = None) -> AnyDocument:
    """Return the document that a JSON text holds.

    Raises:
        ValueError: the text is no JSON, or not of this type; the message names the place. A
            `NewerVersionError` if its ``version`` is above `newest`.
        RecursionError: the text is nested deeper than any document.
    """
    raw = json.loads(text)
    _check_writable(raw, "$")
    if newest is not None and isinstance(raw, dict) and _is_newer(raw.get("version"), newest):
        raise NewerVersionError
    return from_json(kind, raw)


def schema(kind: type[Document]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a document type; further fields are allowed.

    Descriptions of types and of their fields are those of the docstrings.
    """
    raw = msgspec.json.schema(kind)
    for definition in raw.get("$defs", {}).values():
        properties = definition.get("properties", {})
        properties.pop(UNKNOWN, None)
        said, _, attributes = inspect.cleandoc(definition.get("description", "")).partition(
            "\n\nAttributes:\n"
        )
        if said:
            definition["description"] = _one_line(said)
        for name, meaning in _meanings(attributes.partition("\n\n")[0]):
            if name in properties:
                properties[name] = {"description": meaning} | properties[name]
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return cast(dict[str, Any], json.loads(json.dumps(dialect | raw)))


def _meanings(attributes: str) -> Iterator[tuple[str, str]]:
    """Yield each field of a docstring's section ``Attributes``, and its description."""
    for entry in re.split(r"\n(?= {4}\S)", attributes):
        names, _, meaning = entry.partition(": ")
        for name in names.split(","):
            if meaning:
                yield name.strip().rstrip("_"), _one_line(meaning)


def _one_line(text: str) -> str:
    return " ".join(text.split())


@functools.cache
def _infos(kind: type[Document]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return msgspec's description of a type's fields, which is slow to make, and thus cached."""
    return msgspec.structs.fields(kind)


def field_names(kind: type[Document]) -> list[str]:
    """Return the names of the fields of a document type, as JSON has them."""
    names = (field.encode_name for field in _infos(kind))
    return [name for name in names if name != UNKNOWN]


def _fields_of(document: Document) -> dict[str, Any]:
    return {
        field.encode_name: to_json(getattr(document, field.name))
        for field in _infos(type(document))
        if field.encode_name != UNKNOWN
        and not (
            field.name in document.OPTIONAL and getattr(document, field.name) == _default(field)
        )
    }


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default


def _is_newer(version: Any, newest: int) -> bool:
    return isinstance(version, int) and version > newest


def _check_writable(raw: Any, place: str) -> None:
    """Raise a ValueError if a value is not JSON, though Python's parser accepts it."""
    if isinstance(raw, float) and not math.isfinite(raw):
        raise ValueError(f"{json.dumps(raw)} is no number - at `{place}`")
    if isinstance(raw, dict):
        for name, part in raw.items():
            _check_writable(part, f"{place}.{name}")
    elif isinstance(raw, list):
        for i, part in enumerate(raw):
            _check_writable(part, f"{place}[{i}]")


def _with_unknown(value: Any, raw: Any) -> Any:
    """Return a value whose documents, at any depth, keep the fields of `raw` that they lack."""
    if isinstance(value, Document):
        fields = {field.encode_name: field.name for field in _infos(type(value))}
        changed: dict[str, Any] = {}
        for key, part in raw.items():
            if key in fields and key != UNKNOWN:
                before = getattr(value, fields[key])
                after = _with_unknown(before, part)
                if after is not before:
                    changed[fields[key]] = after
        strange = {key: part for key, part in raw.items() if key not in fields}
        if strange:
            changed["unknown"] = strange
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, list | tuple):
        parts = [_with_unknown(*pair) for pair in zip(value, raw, strict=True)]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if isinstance(value, dict):
        parts_by_name = {name: _with_unknown(value[name], raw[name]) for name in value}
        same = all(parts_by_name[name] is value[name] for name in value)
        return value if same else parts_by_name
    return value
