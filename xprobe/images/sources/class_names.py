"""Names of classes: what none of them may hold, and those of classes that are given as numbers."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning, first_few
from xprobe.base.regular import check_regular
from xprobe.images.classes import composed
from xprobe.images.manifest import is_missing
from xprobe.images.text import read_text

# Kinds of characters that break lines of text: controls, halves of characters, ends of lines.
_CONTROLS = frozenset(("Cc", "Cs", "Zl", "Zp"))

# A line of a list that is numbered, from 0, from 1 or in any order: ``1 cat``, ``0: dog``.
_NUMBERED = re.compile(r"(\d{1,9})[\s:,;=]+\S")


def check_signs(name: str, where: str, remedy: str) -> None:
    """Refuse the name of a class with a slash, as folders in folders have, or a control.

    Args:
        name: the name.
        where: where it stands, for the message.
        remedy: what to do, for the message.

    Raises:
        XprobeError: it has one.
    """
    if "/" in name or any(unicodedata.category(sign) in _CONTROLS for sign in name):
        raise XprobeError(
            f"{where}: the class {name!r:.60} holds a slash or a control character; {remedy}"
        )


def class_names(file: str | Path) -> list[str]:
    """Return the names of classes in a file, one a line; the first is that of the number 0.

    Raises:
        XprobeError: the file cannot be read, is no text in UTF-8 or UTF-16, has no or an empty
            line, numbers all lines, or has a name that `check_names` refuses.
    """
    file = Path(file)
    try:
        check_regular(file)
        text = read_text(file)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise XprobeError(f"--classes {file}: it cannot be read ({reason})") from error
    names = [line.strip(" \t") for line in text.lstrip("\ufeff").splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise XprobeError(f"--classes {file}: it names no class; write one a line")
    if "" in names:
        raise XprobeError(
            f"--classes {file}, line {names.index('') + 1}: it is empty; each line is the name of "
            f"a class, from 0"
        )
    if _are_numbered(names):
        raise XprobeError(
            f"--classes {file}: each line begins with a number, such as {names[0]!r:.40}; write "
            f"the names alone, that of class 0 first"
        )
    check_names(names, f"--classes {file}", "correct the file")
    return names


def tell_unused(file: str | Path, labels: Iterable[str], data: Path) -> None:
    """Warn of names of classes that no image has, since a line too many shifts all after it.

    Args:
        file: the file of ``--classes``.
        labels: the classes of the images.
        data: the data set of the images, for the message.
    """
    used = set(labels)
    unused = [name for name in class_names(file) if composed(name) not in used]
    if unused:
        warnings.warn(
            f"--classes {file}: {data} has no image of {first_few(unused)}; check that the first "
            f"line names class 0, and that no line is missing or too many",
            XprobeWarning,
            stacklevel=3,
        )


def _are_numbered(names: Sequence[str]) -> bool:
    """Return whether the names, two or more, begin with the numbers from 0 or 1 on."""
    numbers = sorted(int(match[1]) for name in names if (match := _NUMBERED.match(name)))
    n = len(names)
    return n > 1 and numbers in (list(range(n)), list(range(1, n + 1)))


def check_names(names: Sequence[str], where: str, remedy: str) -> None:
    """Refuse names of classes that cannot be those of folders and of columns.

    Args:
        names: the names.
        where: where they stand, for the message.
        remedy: what to do, for the message.

    Raises:
        XprobeError: a name is there twice, is empty or says that there is no value, or is refused
            by `check_signs`.
    """
    twice = [repr(name) for name, n in Counter(names).items() if n > 1]
    if twice:
        raise XprobeError(f"{where}: the class {first_few(twice, 3)} is there twice; {remedy}")
    for name in names:
        if is_missing(name):
            raise XprobeError(f"{where}: {name!r} is no name of a class; {remedy}")
        check_signs(name, where, remedy)
