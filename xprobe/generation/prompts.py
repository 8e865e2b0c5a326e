"""What is asked of a generator: files of prompts → templates a class → the prompt of an image.

A ``.txt`` file has one template a line, for every class; blank lines and comments (``# …``) are
left out, and a line that stands there twice is used twice as often. A ``.json`` file has templates
a class, as those in data/prompts/edits.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from xprobe.base import documents
from xprobe.base.documents import Document
from xprobe.base.errors import XprobeError, cannot_read, counted, did_you_mean, first_few
from xprobe.base.packed import packed
from xprobe.base.regular import check_regular
from xprobe.base.visible import visible
from xprobe.encoders.presets import PROMPTS as CLASS_PROMPTS
from xprobe.generation.presets import PROMPTS
from xprobe.images.manifest import CONTROLS
from xprobe.images.text import read_text, unified

T = TypeVar("T")

FIELDS = ("class", "event", "caption")
"""What a template may hold in braces."""

ANY_CLASS = "*"
"""Stands in a JSON file for the classes that it does not name."""

EDIT, TEXT = "edit", "text"
"""What prompts are for: to edit an image, or to make one from words alone."""

_FRAMED = "text"  # The field of a frame that stands for each template.

_FIELD = re.compile(r"\{([^{}]*)\}")

# Input methods for Chinese type braces of full width, which would be sent as they are.
_BRACES = "{}｛｝"

# The joiners of Persian, of Indian scripts and of emoji: nobody sees them, and words need them.
_JOINERS = "\u200c\u200d"
_WITHOUT_JOINERS = dict.fromkeys(map(ord, _JOINERS))

_BETWEEN_WORDS = re.compile(r"[\s_-]+")

_MOST_BYTES, _MOST_TEMPLATES, _MOST_CHARACTERS = 4 * 2**20, 10_000, 8_000


class TemplateEntry(Document, frozen=True):
    """A template in a JSON file.

    Attributes:
        text: the template.
        strength: how much is to change, such as ``light``; empty: it does not say.
    """

    text: str
    strength: str = ""


class PromptsFile(Document, frozen=True):
    """A JSON file of prompts.

    Attributes:
        templates: class → its templates; those under ``*`` are for all other classes.
        frame: a sentence around every template, which stands at ``{text}``.
        words: class → words for ``{class}``; by default its name with spaces for ``_`` and ``-``.
        like: class → the class whose templates it shares.
        use: ``edit``, ``text``, or empty for both.
        control: ``null-edit`` if the images are that control; else empty.
    """

    templates: dict[str, list[str | TemplateEntry]]
    frame: str = f"{{{_FRAMED}}}"
    words: dict[str, str] = msgspec.field(default_factory=dict)
    like: dict[str, str] = msgspec.field(default_factory=dict)
    use: str = ""
    control: str = ""


@dataclass(frozen=True)
class Template:
    """A prompt with places for what differs from image to image.

    Attributes:
        text: the prompt, with ``{class}``, ``{event}`` or ``{caption}`` at these places.
        strength: how much it changes, such as ``light``; empty: it does not say.
        words: words for ``{class}``.
        where: file and place of it, for messages.
    """

    text: str
    strength: str = ""
    words: str = ""
    where: str = ""

    def fill(self, values: Mapping[str, str], image: str = "") -> str:
        """Return the prompt for an image, on one line.

        Args:
            values: ``event`` and ``caption`` of the image, where it has them. In words of an event
                spaces stand for ``_`` and ``-``: ``santa rosa wildfire``.
            image: id of the image, for the message.

        Raises:
            XprobeError: the template has a field that the image lacks, or the prompt is too long.
        """
        given = {name: _clean(value) for name, value in values.items()}
        given["event"] = _in_words(given.get("event", ""))
        given["class"] = self.words or _in_words(given.get("class", ""))

        def value_of(match: re.Match[str]) -> str:
            value = given.get(match[1], "")
            if not value:
                raise XprobeError(
                    f"{image or 'an image'} has no {match[1]}, and {self.where or 'the prompt'} "
                    f"needs it: {self.text[:60]!r}; give it one, or use prompts without "
                    f"{{{match[1]}}}"
                )
            return value

        prompt = _FIELD.sub(value_of, self.text)
        if len(prompt) > _MOST_CHARACTERS:
            raise XprobeError(
                f"{image or 'an image'}: a prompt of {len(prompt):,} characters; it has at most "
                f"{_MOST_CHARACTERS:,}, so shorten the caption"
            )
        return prompt


@dataclass(frozen=True)
class Prompts:
    """The templates of each class.

    Attributes:
        name: name of the built-in prompts, or path of a file.
        templates: key of a class (`class_key`), or ``*`` → templates.
        words: key of a class → words for it.
        like: key of a class → key of the class whose templates it shares.
        use: ``edit``, ``text``, or empty for both.
        control: ``null-edit`` if the images are that control; else empty.
    """

    name: str
    templates: Mapping[str, tuple[Template, ...]]
    words: Mapping[str, str] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    use: str = ""
    control: str = ""

    def of_class(self, label: str) -> tuple[Template, ...]:
        """Return the templates of a class, in their order; none if it has no prompt."""
        key = class_key(label)
        words = self.words.get(key) or _in_words(_clean(label))
        shared = self.templates.get(key) or self.templates.get(self.like.get(key, ""))
        return tuple(
            Template(t.text, t.strength, words, t.where)
            for t in shared or self.templates.get(ANY_CLASS, ())
        )

    def check(self, labels: Iterable[str], with_source: bool) -> None:
        """Check that each class has a prompt, and that the prompts are for what is asked.

        Args:
            labels: the classes that images are to be made of.
            with_source: whether an image is edited, or text alone is sent.

        Raises:
            XprobeError: they are for something else, or classes have none; all of these are named.
        """
        if self.use and (self.use == EDIT) != with_source:
            raise XprobeError(
                f"the prompts {self.name} edit an image, and --from text sends none; use others, "
                f"such as scenes-en"
                if self.use == EDIT
                else f"the prompts {self.name} describe a whole image, and edit none; use them "
                f"with --from text, or others, such as disasters-en"
            )
        without = [label for label in dict.fromkeys(labels) if not self.of_class(label)]
        if without:
            near = did_you_mean(class_key(without[0]), [*self.templates, *self.like])
            raise XprobeError(
                f"{self.name}: no prompt for {counted(len(without), 'class', 'classes')}: "
                f"{first_few(map(visible, without), 20)}{near}"
                f'; add them, or a default under "{ANY_CLASS}"'
            )


def class_key(label: str) -> str:
    """Return what is equal for two spellings of a class: Wild_Fire, wild fire."""
    return _BETWEEN_WORDS.sub("-", label.strip().casefold())


def read_prompts(name: str) -> Prompts:
    """Return built-in prompts (`presets.PROMPTS`), or those of a ``.txt`` or ``.json`` file.

    Raises:
        XprobeError: there are no such prompts; the file is of another form, empty or too large, or
            is one of ``embed --prompts``; a template has an unknown field, a lone brace or hidden
            characters. The message names the place.
    """
    if name in PROMPTS:
        return _read_json(name, _packed(name))
    file = Path(name)
    if file.suffix.lower() not in (".txt", ".json") or not _is_there(file):
        raise XprobeError(_unknown(name))
    return (_read_json if file.suffix.lower() == ".json" else _read_lines)(name, file)


def _packed(name: str) -> Path:
    try:
        return packed(f"prompts/edits/{name}.json")
    except XprobeError:
        return packed(f"prompts/texts/{name}.json")


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # No file can have such a name.
        return False


def _unknown(name: str) -> str:
    if name in CLASS_PROMPTS:
        return (
            f"{name} are words for classes, of `embed --prompts`; prompts to make images are "
            f"{', '.join(PROMPTS)}, or a .txt or .json file"
        )
    return (
        f"no prompts '{visible(name[:80])}'{did_you_mean(name, PROMPTS)}; there are "
        f"{', '.join(PROMPTS)}; or name a .txt file with a prompt a line, or a .json file"
    )


def _text_of(file: Path) -> str:
    """Return the text of a file of prompts.

    Raises:
        XprobeError: it cannot be read, is no text in a usual encoding, or too large.
    """
    try:
        check_regular(file)
        if file.stat().st_size > _MOST_BYTES:
            raise XprobeError(
                f"{file}: larger than {_MOST_BYTES // 2**20} MiB; that is no file of prompts"
            )
        return read_text(file)
    except PermissionError as error:
        raise cannot_read(file, error) from error


def _read_lines(name: str, file: Path) -> Prompts:
    numbered = enumerate(map(str.strip, unified(_text_of(file)).split("\n")), 1)
    lines = {number: line for number, line in numbered if line and not line.startswith("#")}
    _check_number(file, len(lines))
    places = {f"{file}, line {number}": line for number, line in lines.items()}
    templates = (Template(_checked(line, where), where=where) for where, line in places.items())
    return Prompts(name, {ANY_CLASS: tuple(templates)})


def _read_json(name: str, file: Path) -> Prompts:
    content = _content_of(file)
    frame = _checked(content.frame, f"{file}, frame", (*FIELDS, _FRAMED))
    if frame.count(f"{{{_FRAMED}}}") != 1:
        raise XprobeError(f"{file}: the frame has {{{_FRAMED}}} once, where a template stands")
    _check_number(file, sum(map(len, content.templates.values())))
    templates: dict[str, tuple[Template, ...]] = {}
    for label, entries in _by_key(file, "templates", content.templates).items():
        if not entries:
            raise XprobeError(f"{file}: {visible(label)} has no template; remove it, or add one")
        templates[label] = tuple(
            _framed(frame, entry, f"{file}, prompt {i} of {visible(label)}")
            for i, entry in enumerate(entries, 1)
        )
    like = _by_key(file, "like", content.like)
    for label, other in like.items():
        if class_key(other) not in templates:
            raise XprobeError(
                f"{file}: {visible(label)} is to be like {other!r}, which has no templates"
                f"{did_you_mean(other, templates)}"
            )
    words = _by_key(file, "words", content.words)
    return Prompts(
        name,
        templates,
        {
            label: _words(text, f"{file}, words of {visible(label)}")
            for label, text in words.items()
        },
        {label: class_key(other) for label, other in like.items()},
        content.use,
        content.control,
    )


def _content_of(file: Path) -> PromptsFile:
    """Return what a JSON file says, once its keys are known ones and its types fit."""
    text = _text_of(file)
    try:
        raw = json.loads(text, object_pairs_hook=_object)
        if _is_of_classes(raw):
            raise XprobeError(
                f"{file} is a file of `embed --prompts`, which puts classes into words and asks "
                f"for no image; write prompts as data/prompts/edits/{PROMPTS[0]}.json has them, or "
                f"name {', '.join(PROMPTS)}"
            )
        content = documents.from_json(PromptsFile, raw)
    except (ValueError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise XprobeError(f"{file}: no prompts in JSON: {reason}") from error
    entries = [e for some in content.templates.values() for e in some if not isinstance(e, str)]
    for document in (content, *entries):
        known = documents.field_names(type(document))
        for key in document.unknown:
            raise XprobeError(
                f"{file}: unknown key {key!r}{did_you_mean(key, known)}; known: {', '.join(known)}"
            )
    for key, value, values in (
        ("use", content.use, (EDIT, TEXT)),
        ("control", content.control, CONTROLS),
    ):
        if value and value not in values:
            raise XprobeError(f"{file}: {key} {value!r}; it is {' or '.join(values)}, or left out")
    return content


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, of whose repeated keys json would keep the last without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = [repr(key) for key, n in Counter(key for key, _ in pairs).items() if n > 1]
        raise ValueError(f"the key {first_few(twice)} is there twice")
    return values


def _is_of_classes(raw: Any) -> bool:
    """Return whether JSON has the form of a file of `encoders.prompts`."""
    if not isinstance(raw, dict) or not isinstance(raw.get("templates"), list):
        return False
    return "classes" in raw or any(isinstance(t, str) and "{}" in t for t in raw["templates"])


def _by_key(file: Path, what: str, by_label: Mapping[str, T]) -> dict[str, T]:
    """Return values by the keys of their classes, of which no two may be equal."""
    labels: dict[str, str] = {}
    for label in by_label:
        if (first := labels.setdefault(class_key(label), label)) != label:
            raise XprobeError(f"{file}: {what} of {first!r} and {label!r}, which are one; keep one")
    return {key: by_label[label] for key, label in labels.items()}


def _framed(frame: str, entry: str | TemplateEntry, where: str) -> Template:
    if isinstance(entry, str):
        entry = TemplateEntry(text=entry)
    whole = frame.replace(f"{{{_FRAMED}}}", _checked(entry.text, where))
    strength = entry.strength and _words(entry.strength, where)
    return Template(_checked(whole, where), strength, where=where)


def _words(text: str, where: str) -> str:
    """Return words without fields on one line; empty words are an error."""
    words = _checked(text, where)
    if fields := _FIELD.findall(words):
        raise XprobeError(f"{where}: {{{fields[0]}}} cannot stand here; only a template has fields")
    return words


def _checked(text: str, where: str, fields: Sequence[str] = FIELDS) -> str:
    """Return a template on one line.

    Raises:
        XprobeError: it is empty or too long, has hidden characters, lone braces or unknown fields.
    """
    line = " ".join(text.split())
    if not line or len(line) > _MOST_CHARACTERS:
        raise XprobeError(
            f"{where}: {len(line):,} characters; a prompt has 1 to {_MOST_CHARACTERS:,}"
        )
    if hidden := _hidden(line):
        raise XprobeError(
            f"{where}: holds {visible(hidden[0])}, a character that nobody sees; remove it"
        )
    *between, last = _FIELD.split(line)
    for name in between[1::2]:
        if name not in fields:
            known = ", ".join(f"{{{known}}}" for known in fields)
            near = did_you_mean(name, fields) or ("" if name else " (did you mean {class}?)")
            raise XprobeError(f"{where}: unknown field {{{name}}}{near}; known: {known}")
    if lone := [c for part in (*between[::2], last) for c in part if c in _BRACES]:
        raise XprobeError(
            f"{where}: {lone[0]!r} stands alone; a field is written as {{class}}, and no other "
            f"brace can stand in a prompt"
        )
    return line


def _check_number(file: Path, n: int) -> None:
    if not 0 < n <= _MOST_TEMPLATES:
        raise XprobeError(
            f"{file}: {counted(n, 'prompt', 'prompts')}; it must have 1 to {_MOST_TEMPLATES:,}"
        )


def _clean(value: str) -> str:
    """Return an event, a class or a caption on one line, without invisible characters."""
    line = " ".join(value.split())
    hidden = _hidden(line)
    return line.translate(dict.fromkeys(map(ord, hidden))) if hidden else line


def _hidden(line: str) -> list[str]:
    """Return the characters of a line that nobody sees, but for joiners."""
    plain = line.translate(_WITHOUT_JOINERS)
    return [c for c in plain if visible(c) != c] if visible(plain) != plain else []


def _in_words(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").split())
