"""Patterns of file names, such as ``{event}_{number}_post_*``, and the values that names give."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from xprobe.base.errors import XprobeError
from xprobe.images.names import parts_of, without_suffix

EXAMPLE = "'{event}_{number}_post_*'"

_TOKEN = re.compile(r"\{(\w+)\}|(\*)|([^{}*]+)|([{}])")


def is_pattern(text: str) -> bool:
    """Return whether a text is a pattern, rather than the name of a table."""
    return bool(set(text) & set("{}*"))


class Pattern:
    """A pattern of the names of files without their suffix.

    ``{name}`` matches what stands before the next text of the pattern, and at least one character;
    a name that stands in it twice must match the same both times. ``*`` matches anything. A pattern
    with slashes is compared with as many folders above the file.

    Raises:
        XprobeError: the text has no field, or it cannot be told where one ends.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._depth = text.count("/") + 1
        # Names are composed (NFC), too.
        bare = without_suffix(unicodedata.normalize("NFC", text).removesuffix(".*"))
        tokens = [match.groups() for match in _TOKEN.finditer(bare)]
        if any(brace for *_, brace in tokens):
            raise XprobeError(
                f"the pattern {text!r} has a brace that belongs to no field; a field is a name in "
                f"braces, such as {EXAMPLE}"
            )
        if not any(field for field, *_ in tokens):
            raise XprobeError(
                f"the pattern {text!r} has no field, so that every name gives the same; put what "
                f"tells scenes apart in braces, such as {EXAMPLE}"
            )
        if any(not (one[2] or other[2]) for one, other in pairwise(tokens)):
            raise XprobeError(
                f"the pattern {text!r} has a field or * right behind another, so that it cannot be "
                f"told where one ends; put the text between them that names have there"
            )
        self.fields = tuple(dict.fromkeys(field for field, *_ in tokens if field))
        self._regex = re.compile(_regex_of(tokens))

    def values(self, path: str) -> tuple[str, ...] | None:
        """Return the values of `fields` that a path gives, or None if it does not match."""
        parts = parts_of(path)[-self._depth :]
        if len(parts) < self._depth:
            return None
        match = self._regex.fullmatch("/".join([*parts[:-1], without_suffix(parts[-1])]))
        return match and tuple(match[field] for field in self.fields)

    def words(self, values: tuple[str, ...]) -> str:
        """Return values as people read them: ``event flood, number 7``."""
        return ", ".join(f"{n} {v}" for n, v in zip(self.fields, values, strict=True))


def _regex_of(tokens: list[tuple[str, ...]]) -> str:
    """Return a regular expression whose time is proportional to the length of a name.

    What stands between two stars is taken where it fits first: if the rest, which begins with a
    star, fits behind a later place, it fits behind this one, too. So no other place is tried
    (``(?>…)``), unless fields must be matched again.
    """
    pieces, known = [""], set[str]()
    fields = [field for field, *_ in tokens if field]
    for i, (field, star, literal, _) in enumerate(tokens):
        if star:
            pieces.append("[^/]*?")
        elif literal:
            pieces[-1] += re.escape(literal)
        elif field in known:
            pieces[-1] += f"(?P={field})"
        else:
            known.add(field)
            follows = tokens[i + 1][2] if i + 1 < len(tokens) else ""
            until = f"(?!{re.escape(follows)})" if follows else ""
            pieces[-1] += f"(?P<{field}>(?:{until}[^/])+)"
    is_repeated = len(set(fields)) < len(fields)
    *firsts, last = pieces
    return "".join(firsts if is_repeated else (f"(?>{piece})" for piece in firsts)) + last
