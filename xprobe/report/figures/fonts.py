"""Fonts for the characters that DejaVu Sans lacks, which comes with matplotlib.

Nothing is looked for while it has all of a text, as it has Latin, Greek and Cyrillic letters. What
is chosen depends on the characters and on the installed fonts alone, so that equal figures are
equal bytes.
"""

from __future__ import annotations

import logging
import os
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font

BASE = "DejaVu Sans"

# Fonts that have a sign for every character, and none that anybody could read, or in colours, which
# matplotlib cannot draw.
_NEVER = ("last resort", "lastresort", "adobe blank", "adobe notdef", "color", "colour")

_WEIGHTS = ("normal", "bold")

# From this version on matplotlib joins and orders letters as their script asks for.
SHAPING = (3, 11)

_MOST_NAMED = 20

# Words of fonts that suit a text, by the characters that tell its language; Han alone is Chinese.
_LANGUAGES = (
    (("HIRAGANA", "KATAKANA"), ("JP", "Hiragino", "Meiryo", "Yu Gothic", "IPA")),
    (("HANGUL",), ("KR", "Malgun", "Nanum", "SD Gothic")),
    (("BOPOMOFO",), ("TC", "TW", "JhengHei")),
    (("CJK",), ("SC", "CN", "GB", "YaHei", "WenQuanYi", "Hei")),
)

_NOT_PLAIN = ("serif", "mono", "song", "sung", "ming", "mincho", "batang", "kai", "unifont")


@contextmanager
def quiet() -> Iterator[None]:
    """Let matplotlib not say on stderr that a font has no bold letters, and which characters none.

    A report says once what its reader must know (`remarks`).
    """
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s)Glyph .* missing from font", UserWarning)
            yield
    finally:
        log.setLevel(level)


def families_for(text: str) -> tuple[str, ...]:
    """Return the fonts to be taken beside `BASE` for a text, the one with the most of it first."""
    lacking = _lacked_by_base(text)
    return _families_for(lacking) if lacking else ()


def remarks(texts: Iterable[str]) -> list[str]:
    """Return what readers of PNGs must know of the names in them: a sentence, or none.

    Args:
        texts: names of classes, generators, encoders and studies.
    """
    text = "".join(dict.fromkeys("".join(texts)))
    lacking = _lacked_by_base(text)
    boxes = "".join(c for c in text if c in _left_by(lacking, families_for(text)))
    words = []
    if boxes:
        more = f" and {len(boxes) - _MOST_NAMED} more" if len(boxes) > _MOST_NAMED else ""
        package = "fonts-noto-cjk" if any(map(_is_wide, boxes)) else "fonts-noto"
        words.append(
            f"no font of this machine has {' '.join(boxes[:_MOST_NAMED])}{more}: they are boxes in "
            f"PNG figures; install one, such as the package {package}, and write the report again"
        )
    if mpl.__version_info__[:2] < SHAPING and any(map(_is_shaped, text)):
        words.append(
            "letters that join, stack or run from right to left stand apart and from left to right "
            "in PNG figures, as this matplotlib draws them; version 3.11 does not"
        )
    return [f"{'; '.join(words)}. SVG figures and the page are right"] if words else []


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in ("W", "F")


def _is_shaped(character: str) -> bool:
    is_mark = unicodedata.category(character).startswith("M")
    return is_mark or unicodedata.bidirectional(character) in ("R", "AL")


def _lacked_by_base(text: str) -> frozenset[str]:
    """Return the characters of a text that are to be seen, and that `BASE` lacks."""
    if text.isascii():
        return frozenset()
    known = _characters_of_base()
    return frozenset(c for c in text if ord(c) not in known and c.isprintable())


@cache
def _characters_of_base() -> frozenset[int]:
    """Return the code points that `BASE` has in both weights."""
    regular, bold = (frozenset(_opened(_file_of(BASE, w)).get_charmap()) for w in _WEIGHTS)
    return regular & bold


@cache
def _families_for(lacking: frozenset[str]) -> tuple[str, ...]:
    """Return families that have characters; a later one has some that no former one has."""
    families, left = _best_families(lacking)
    if left and _add_new_fonts():
        families, _ = _best_families(lacking)
    return families


def _left_by(lacking: frozenset[str], families: Iterable[str]) -> frozenset[str]:
    """Return the characters that none of the families has."""
    for family in families:
        lacking -= _part_in(family, lacking)
    return lacking


def _best_families(lacking: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return families, the next one always that with most of the characters, and what they lack."""
    files: dict[str, str] = {}
    for entry in font_manager.fontManager.ttflist:
        if not any(word in entry.name.lower() for word in (*_NEVER, BASE.lower())):
            files.setdefault(entry.name, _place(entry.fname, getattr(entry, "index", 0)))
    candidates = sorted(files, key=_preference(lacking))
    families: list[str] = []
    while lacking:
        best, most = "", frozenset[str]()
        for family in candidates:
            # Most fonts have nothing of it, which one of their files tells fast.
            if _in_file(files[family], lacking):
                part = _part_in(family, lacking)
                best, most = (family, part) if len(part) > len(most) else (best, most)
            if len(most) == len(lacking):
                break
        if not most:
            break
        families.append(best)
        lacking -= most
    return tuple(families), lacking


def _preference(lacking: frozenset[str]) -> Callable[[str], tuple[bool, bool, bool, str]]:
    """Return a sort key of families: the first ones suit the language of the characters best."""
    kinds = {word for c in lacking for word in unicodedata.name(c, "").split()[:1]}
    words = next((fonts for scripts, fonts in _LANGUAGES if kinds.intersection(scripts)), ())

    def key(family: str) -> tuple[bool, bool, bool, str]:
        is_plain = not any(word in family.lower() for word in _NOT_PLAIN)
        is_of_language = any(word in family for word in words)
        return not is_plain, not is_of_language, "Sans" not in family, family

    return key


def _part_in(family: str, characters: frozenset[str]) -> frozenset[str]:
    """Return those of some characters that a family has in both weights, as it would be drawn."""
    try:
        for file in dict.fromkeys(_file_of(family, weight) for weight in _WEIGHTS):
            characters = _in_file(file, characters)
    except ValueError:  # The font was deleted since matplotlib has listed it.
        return frozenset()
    return characters


def _in_file(file: str, characters: frozenset[str]) -> frozenset[str]:
    """Return those of some characters that the font of a file has."""
    try:
        font = _opened(file)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(c for c in characters if font.get_char_index(ord(c)))


def _opened(file: str) -> FT2Font:
    """Open a font; a file that holds several says which one it is, from matplotlib 3.11 on."""
    index = getattr(file, "face_index", 0)
    return FT2Font(str(file), face_index=index) if index else FT2Font(str(file))


def _place(file: str, index: int) -> str:
    return font_manager.FontPath(file, index) if index else file


def _file_of(family: str, weight: str) -> str:
    """Return the file that matplotlib takes for a family.

    Raises:
        ValueError: there is none any more.
    """
    properties = FontProperties(family=[family], weight=weight)
    with quiet():
        file: str = font_manager.findfont(properties, fallback_to_default=False)
    return file


@cache
def _add_new_fonts() -> bool:
    """Let matplotlib know fonts that were installed since it has listed them; are there some?

    Its list lies in a file that is as old as the first figure on this machine.
    """
    listed = font_manager.fontManager.ttflist
    n, known = len(listed), {os.path.realpath(entry.fname) for entry in listed}
    for file in sorted(font_manager.findSystemFonts()):
        if os.path.realpath(file) not in known:
            with suppress(Exception):  # Not every file of that suffix is a font that can be drawn.
                font_manager.fontManager.addfont(file)
    return len(font_manager.fontManager.ttflist) > n
