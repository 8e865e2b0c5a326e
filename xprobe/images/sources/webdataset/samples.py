"""The members of a shard by their keys: pictures, and the class and captions beside them."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Set
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from xprobe.base.errors import XprobeError, first_few
from xprobe.base.regular import opener
from xprobe.images.captions import captions_of, cell_of
from xprobe.images.containers.registry import Span
from xprobe.images.containers.tar import kept_members
from xprobe.images.formats import BESIDE_IMAGES, is_image, is_leftover
from xprobe.images.manifest import DESCRIBED, OPTIONAL, RECORDED, is_missing
from xprobe.images.sources.leftovers import Kind, LeftOut, kind_of_file
from xprobe.images.text import is_whole

LABEL_KEYS = ("label", "cls")
"""Keys of the class in .json members, of which the first counts that says one."""

# Columns of the image table that a .json member may have; its label has keys of its own.
_COLUMNS = frozenset(("source", *OPTIONAL, *RECORDED, *DESCRIBED))

# Extensions of members that say something of the picture of their key.
_CLASS, _JSON, _CAPTIONS = "cls", "json", ("txt", "caption")
_TEXTS = (_CLASS, _JSON, *_CAPTIONS)

_PICTURE = "picture"

# No text beside a picture needs more; a larger member would fill the memory.
_MOST_TEXT = 2**24

NO_LABEL = Kind(
    "pictures without a class",
    "add a .cls or .json of the same key, or say with --label-key which key of the .json has it",
)
NO_PICTURE = Kind("classes and captions without a picture", "add the pictures of their keys")
FURTHER_PICTURES = Kind(
    "further pictures of a key", "the one whose extension has no further dot is its picture"
)
VALUES = Kind("values in .json members that are neither text nor number", "write them as text")


class Label(NamedTuple):
    """The class of a picture, as its shard says it.

    Attributes:
        text: name or number of the class.
        is_number: whether it is the number of a class.
    """

    text: str
    is_number: bool


class Sample(NamedTuple):
    """A picture with its class.

    Attributes:
        name: name of the member.
        label: its class.
        further: its class as the .json member says it, where the .cls member says one, too.
        columns: what else is known of it, columns of the image table.
    """

    name: str
    label: Label
    further: Label | None
    columns: dict[str, str]


def samples_in(shard: Path, label_key: str, left_out: LeftOut) -> Iterator[Sample]:
    """Yield the pictures of a shard that have a class, in the order of the shard.

    The key of a member is its path up to the first dot of its name, its extension all that follows.
    Members of one key belong together, wherever they stand.

    Args:
        shard: the archive, whose headers are read once, and then what stands beside pictures.
        label_key: key of the class in .json members, which alone say it then; empty: the class is
            that of the .cls member, or else the first of `LABEL_KEYS`.
        left_out: takes what is left out.

    Raises:
        ArchiveError: as in `containers.tar.members`; half a shard would be another data set.
        XprobeError: one key has several pictures and no rule chooses among them; or a .cls, .json
            or caption member is not valid.
    """
    pictures, texts = _members_of(shard, left_out)
    annotations = _Annotations(shard, label_key, left_out)
    annotations.read(texts)
    del texts
    for key, name in pictures.items():
        if key in annotations.classes:
            labels = annotations.classes[key]
            yield Sample(
                name, labels[0], labels[1] if labels[1:] else None, annotations.columns_of(key)
            )
        else:
            left_out.add(NO_LABEL, f"{shard}::{name}")
    lonely = annotations.keys - pictures.keys()
    if lonely:
        left_out.add(NO_PICTURE, f"{shard}::{min(lonely)}", n=len(lonely))


_Text = tuple[Span, bytes | None, str, str]
"""A text beside a picture: its place, its content if it is known, its key and its extension."""


def _members_of(shard: Path, left_out: LeftOut) -> tuple[dict[str, str], list[_Text]]:
    """Return the picture of each key, and the texts beside pictures as they lie in the shard."""
    pictures: dict[str, str] = {}
    others: dict[str, list[str]] = {}
    texts: dict[tuple[str, str], _Text] = {}  # Of members that share a name the last one counts.
    for name, span, content in kept_members(shard):
        folder, slash, base = name.rpartition("/")
        stem, dot, extension = base.partition(".")
        if is_leftover(name) or not stem:
            continue
        key = f"{folder}{slash}{stem}"
        meaning = _meaning_of(dot + extension)
        if meaning == _PICTURE:
            if "." in extension or pictures.setdefault(key, name) != name:
                others.setdefault(key, []).append(name)
        elif meaning in _TEXTS:
            texts[key, meaning] = span, content, key, meaning
        elif meaning:
            left_out.add(kind_of_file(base), f"{shard}::{name}", meaning)
    _choose_pictures(shard, pictures, others, left_out)
    return pictures, sorted(texts.values(), key=itemgetter(0))


@lru_cache(maxsize=4096)
def _meaning_of(extension: str) -> str:
    """Return `_PICTURE`, one of `_TEXTS`, nothing, or the suffix of what is not read.

    Args:
        extension: extension of a member with its first dot; empty: it has none.
    """
    suffix = f".{extension.rpartition('.')[2]}".lower() if extension else "without suffix"
    if is_image(f"x{suffix}"):
        return _PICTURE
    text = extension[1:].lower()
    return text if text in _TEXTS else "" if suffix in BESIDE_IMAGES else suffix


def _choose_pictures(
    shard: Path, pictures: dict[str, str], others: dict[str, list[str]], left_out: LeftOut
) -> None:
    """Settle which of several pictures of a key is taken, as `FURTHER_PICTURES` says.

    Raises:
        XprobeError: that does not decide.
    """
    for key, names in others.items():
        names = list(dict.fromkeys(names))
        plain = [name for name in names if name.rpartition("/")[2].count(".") == 1]
        if plain or (key not in pictures and len(names) > 1):
            every = [pictures[key], *plain] if plain else names
            raise XprobeError(
                f"{shard}: the key {key} has several pictures, {first_few(every, 3)}; keep one, or "
                f"give one alone an extension without a further dot, such as {key}.png"
            )
        if key in pictures:
            left_out.add(FURTHER_PICTURES, f"{shard}::{names[0]}", n=len(names))
        else:
            pictures[key] = names[0]


# --- what stands beside pictures -----------------------------------------------------------


class _Annotations:
    """What the texts of a shard say, by key.

    Attributes:
        keys: all keys that have a text.
        classes: classes, that of the .cls member first.
    """

    def __init__(self, shard: Path, label_key: str, left_out: LeftOut) -> None:
        self.keys: set[str] = set()
        self.classes: dict[str, tuple[Label, ...]] = {}
        self._columns: dict[str, dict[str, str]] = {}
        self._captions: dict[str, list[str]] = {}
        self._shard, self._label_key, self._left_out = shard, label_key, left_out
        self._label_keys = (label_key,) if label_key else LABEL_KEYS
        self._keys = {*self._label_keys, *_COLUMNS}

    def columns_of(self, key: str) -> dict[str, str]:
        """Return columns of the image table; several captions are a JSON list."""
        columns = self._columns.get(key, {})
        if key not in self._captions:
            return columns
        cell = cell_of(list(dict.fromkeys(filter(None, self._captions[key]))))
        return columns | {"prompt": cell} if cell else columns

    def read(self, texts: Iterable[_Text]) -> None:
        """Read texts, which are in the order in which they lie in the shard.

        Raises:
            XprobeError: one is no UTF-8, too long, no JSON, or its class is none.
        """
        with open(self._shard, "rb", opener=opener) as stream:  # As in `contents`.
            for span, content, key, extension in texts:
                where = f"{self._shard}::{key}.{extension}"
                if content is None:
                    content = _content_at(stream, span, where)
                text = _decoded(content, where)
                self.keys.add(key)
                if extension in _CAPTIONS:
                    self._captions.setdefault(key, []).append(text)
                elif extension == _JSON:
                    self._add_json(key, text, where)
                elif not self._label_key and (label := _label(text)):
                    self.classes[key] = (label, *self.classes.get(key, ()))

    def _add_json(self, key: str, text: str, where: str) -> None:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise XprobeError(f"{where}: no JSON ({error}); mend or remove it") from error
        if not isinstance(values, dict):
            return
        _check_once(values.keys() & self._keys, text, where)
        if columns := self._columns_in(values, key, where):
            self._columns[key] = columns
        labels = (_label_of(values[name], where) for name in self._label_keys if name in values)
        if label := next(filter(None, labels), None):
            self.classes[key] = (*self.classes.get(key, ()), label)

    def _columns_in(self, values: dict[str, Any], key: str, where: str) -> dict[str, str]:
        """Return the columns of the image table in an object; prompts go to the captions."""
        columns = {}
        for name in _COLUMNS & values.keys():
            value = values[name]
            if name == "prompt":
                # A text may be the cell of a table, which holds several captions.
                lines = captions_of(value) if isinstance(value, str) else value
                lines = lines if isinstance(lines, list) else []
                texts = [line.strip() for line in lines if isinstance(line, str)]
                _check_whole(name, "".join(texts), where)
                self._captions.setdefault(key, []).extend(texts)
            elif isinstance(value, str | int | float) and not isinstance(value, bool):
                if not is_missing(cell := str(value)):
                    _check_whole(name, cell, where)
                    columns[name] = cell.strip()
            elif value is not None:
                self._left_out.add(VALUES, where, name)
        return columns


def _check_once(names: Set[str], text: str, where: str) -> None:
    """Refuse an object that has one of some keys twice, so that it is open which value counts.

    Raises:
        XprobeError: it has.
    """
    # Most texts name no key twice, not even inside of another object, and need not be read again.
    for name in names:
        if text.count(f'"{name}"') > 1:
            keys = [key for key, _ in json.loads(text, object_pairs_hook=list)]
            if keys.count(name) > 1:
                raise XprobeError(f"{where}: the key {name} is there twice; remove one")


def _check_whole(name: str, text: str, where: str) -> None:
    """Refuse a cell that no table can hold.

    Raises:
        XprobeError: it is one.
    """
    if not is_whole(text):
        raise XprobeError(f"{where}: its {name} holds NUL or half a character; write it otherwise")


def _content_at(stream: BinaryIO, span: Span, where: str) -> bytes:
    offset, size = span
    if size > _MOST_TEXT:
        raise XprobeError(f"{where}: {size:,} bytes, and no text beside a picture needs as much")
    stream.seek(offset)
    return stream.read(size)


def _decoded(content: bytes, where: str) -> str:
    try:
        # Python's "utf-8-sig" is not written in C, and takes as long as all the rest.
        return content.removeprefix(codecs.BOM_UTF8).decode().strip()
    except UnicodeDecodeError as error:
        raise XprobeError(f"{where}: no text in UTF-8; write it so") from error


def _label_of(value: Any, where: str) -> Label | None:
    """Return a class, or None where the value says that there is none.

    Raises:
        XprobeError: it is neither a text nor a whole number.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or value != value:  # NaN, as pandas writes it.
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise XprobeError(
            f"{where}: the class {value!r:.40} is neither a name nor a whole number; if another "
            f"key has the class, name it with --label-key"
        )
    return _label(str(value).strip())


@lru_cache(maxsize=4096)
def _label(text: str) -> Label | None:
    """Return a class by its text, which pictures of it share; None: it says that there is none."""
    if is_missing(text):
        return None
    return Label(text, text.removeprefix("-").isdecimal() and text.isascii())
