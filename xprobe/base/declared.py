"""Options as fields: a frozen dataclass declares once what the user may choose, and how.

The command line, its help, the settings file and the tables of the documentation are made from the
fields that `option` declares; Python takes the dataclass itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields, replace
from keyword import iskeyword
from typing import Any

from xprobe.base.errors import XprobeError

ENCODING = "Encoding"
COMPARED = "What is compared"
PROTOCOL = "Protocol"
HEADS = "Heads"
FINE_TUNES = "Fine-tunes"
ALTERNATIVES = "Alternatives"
GENERATED = "What is generated"
MONEY = "Money and consent"
EXECUTION = "Execution"
FILES = "Input and output"

PANELS = (
    ENCODING, COMPARED, PROTOCOL, HEADS, FINE_TUNES, ALTERNATIVES, GENERATED, MONEY, EXECUTION,
    FILES,
)  # fmt: skip
"""Headings of options, in the order in which a help shows them."""


@dataclass(frozen=True)
class Option:
    """How a field is shown and read by the command line, settings files and the documentation.

    Attributes:
        help: one or two sentences.
        panel: heading under which the option is listed, one of `PANELS`.
        flag: name on the command line, such as ``--encoder``.
        parse: function from text to the value, for values such as lists; it raises a ValueError
            that says what the option takes. None: the type of the field is enough.
        shown: the default of such a value as text; empty: nothing is shown.
        metavar: placeholder for the value in the help; empty: that of the type.
        least: smallest number that is allowed.
        values: names that a shell offers for the value, or for each of a list; others may be
            allowed, too.
    """

    help: str
    panel: str
    flag: str
    parse: Callable[[str], Any] | None
    shown: str
    metavar: str
    least: float | None
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """The flag as a name of Python, such as ``real_fraction``, or ``from_`` of a keyword."""
        name = self.flag.removeprefix("--").replace("-", "_")
        return f"{name}_" if iskeyword(name) else name


def option(
    default: Any,
    help: str,
    *,
    panel: str = FILES,
    flag: str = "",
    parse: Callable[[str], Any] | None = None,
    shown: str | None = None,
    metavar: str = "",
    least: float | None = None,
    values: Iterable[str] = (),
) -> Any:
    """Return a field that a user may fill in; `Option` explains the other arguments.

    Args:
        default: default of the field.
        flag: empty: ``--`` and the field's name.
        shown: None: the default's parts with commas.
    """
    if shown is None:
        parts = default if isinstance(default, tuple) else ()
        shown = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
    words = Option(help, panel, flag, parse, shown, metavar, least, tuple(values))
    return field(default=default, metadata={"option": words})


def same(kind: type, name: str) -> Any:
    """Return a field that declares the option of another dataclass again."""
    (original,) = (member for member in fields(kind) if member.name == name)
    return field(default=original.default, metadata=original.metadata)


def options(kind: type) -> list[tuple[Field[Any], Option]]:
    """Return the fields of a dataclass that are options, each with its `Option`."""
    return [
        (member, replace(words, flag=words.flag or "--" + member.name.replace("_", "-")))
        for member in fields(kind)
        if (words := member.metadata.get("option"))
    ]


def check_least(value: Any, error: type[XprobeError] = XprobeError) -> None:
    """Refuse a dataclass with a number below the smallest one that its field allows.

    Raises:
        XprobeError: a number is too small, or none, as ``nan`` is; `error` may name a subclass to
            raise.
    """
    for member, words in options(type(value)):
        number = getattr(value, member.name)
        if isinstance(number, float) and not math.isfinite(number):
            raise error(f"{words.flag} must be a number, not {number}")
        if words.least is not None and number is not None and number < words.least:
            raise error(f"{words.flag} must be {words.least:g} or more")


def parse_numbers(text: str) -> tuple[float, ...]:
    """Return the numbers of a list with commas.

    Raises:
        ValueError: a part is no number; the message says what the option takes.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError("takes numbers like 1,2,3,4") from error


def parse_shares(text: str) -> tuple[float, ...]:
    """Return the shares of a list with commas, each above 0 and at most 1.

    Raises:
        ValueError: a part is none; the message says what the option takes.
    """
    words = "takes shares above 0 and up to 1, such as 0.25,1 (50% is 0.5)"
    try:
        shares = parse_numbers(text)
    except ValueError as error:
        raise ValueError(words) from error
    if not all(0 < share <= 1 for share in shares):
        raise ValueError(words)
    return shares


def parse_names(text: str) -> tuple[str, ...]:
    """Return the parts of a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def split_names(texts: Iterable[str], is_name: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the names in texts that are a name or a list of names with commas, each name once.

    A name may hold commas itself: a text that is a name stays whole.

    Args:
        texts: what a user wrote.
        is_name: whether something has a name.
    """
    names: list[str] = []
    for text in texts:
        names += [text] if is_name(text) else parse_names(text)
    return tuple(dict.fromkeys(names))


def parse_counts(text: str) -> tuple[int, ...]:
    """Return the numbers of a list, which may be empty; they count images of a class.

    Raises:
        ValueError: a part is no positive number; the message says what the option takes.
    """
    if not all(part.isdecimal() and int(part) for part in parse_names(text)):
        raise ValueError("takes numbers of images, as 20,30,45,60,80")
    return tuple(int(part) for part in parse_names(text))
