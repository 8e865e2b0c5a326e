"""Patterns of paths such as ``shards/{train,val}-{000..012}.tar``, spelled out without a shell."""

from __future__ import annotations

import re
from pathlib import Path

from xprobe.base.errors import XprobeError, counted, first_few

# Braces without braces in them: a range of numbers, or a list of two texts or more.
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")

# More files than this are named by a slip of the hand.
_MOST_FILES = 10**6


def is_pattern(text: str) -> bool:
    """Return whether a text holds braces that stand for several texts."""
    return _BRACES.search(text) is not None


def spelled_out(pattern: str) -> list[str]:
    """Return the texts that a pattern stands for, each once, in the order that a shell gives them.

    ``{7..12}`` are the numbers from 7 to 12; ``{007..012}`` as well, of three digits each.
    ``{train,val}`` are both texts. Lists may hold braces. A text without braces stands for itself.

    Raises:
        XprobeError: it stands for more than a million texts.
    """
    texts, whole = [pattern], list[str]()
    while texts:
        text = texts.pop()
        match = _BRACES.search(text)
        if match is None:
            whole.append(text)
            continue
        if len(parts := _parts(pattern, match)) + len(texts) + len(whole) > _MOST_FILES:
            raise _too_many(pattern)
        before, after = text[: match.start()], text[match.end() :]
        texts += [f"{before}{part}{after}" for part in reversed(parts)]
    return list(dict.fromkeys(whole))


def files_of(place: Path) -> list[Path]:
    """Return the files that a path stands for: itself, or those of a pattern.

    A path that exists is no pattern.

    Raises:
        XprobeError: some files of a pattern are missing.
    """
    if place.exists() or not is_pattern(str(place)):
        return [place]
    files = [Path(text) for text in spelled_out(str(place))]
    missing = [file for file in files if not file.exists()]
    if missing:
        raise XprobeError(
            f"{place}: {len(missing):,} of {counted(len(files), 'file', 'files')} missing: "
            f"{first_few(map(str, missing), 3)}; fetch them, or correct the pattern"
        )
    return files


def _parts(pattern: str, match: re.Match[str]) -> list[str]:
    first, last, texts = match.groups()
    if texts is not None:
        return str(texts).split(",")
    low, high = int(first), int(last)
    if abs(high - low) >= _MOST_FILES:
        raise _too_many(pattern)
    is_padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    width = max(len(first), len(last)) if is_padded else 1
    step = 1 if high >= low else -1
    return [f"{number:0{width}}" for number in range(low, high + step, step)]


def _too_many(pattern: str) -> XprobeError:
    return XprobeError(f"{pattern}: it stands for more than {_MOST_FILES:,} files; correct it")
