"""What an image says of itself: prompt, maker, date and source, in PNG text, EXIF, XMP and C2PA.

Files are read, and never changed. What they say was written by anybody: only text of a sensible
length is taken, nothing in it is followed, and what cannot be read is counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree

from PIL import ExifTags, Image

from xprobe.images import contents
from xprobe.images.adopted import credentials
from xprobe.images.decode import probe
from xprobe.images.formats import opened

LONGEST = 10_000
"""A prompt has at most so many characters; a longer text is none."""

_LONGEST_NAME = 300  # of a maker, or of a source

_MOST_XMP_BYTES = 2**18

UNREADABLE = "metadata that cannot be read"
TOO_LONG = f"a prompt of more than {LONGEST:,} characters, which is not taken"
SEALED = "Content Credentials (C2PA), which need 'pip install c2pa-python' to be read"

# How web UIs for Stable Diffusion end the prompt in the text ``parameters``.
_AFTER_PROMPT = re.compile(r"^(Negative prompt:|Steps: \d+)", re.MULTILINE)
_MODEL = re.compile(r"\bModel: ([^,\n]+)")

_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)\S*)?")

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Said:
    """What an image says of itself; ``""``: nothing.

    Attributes:
        prompt: the text that it was made with.
        maker: the program or network that made it.
        date: when, as ISO 8601.
        parent: the name of the image that it was made from.
        remarks: what else to know, in words that are equal for equal cases.
    """

    prompt: str = ""
    maker: str = ""
    date: str = ""
    parent: str = ""
    remarks: tuple[str, ...] = ()


@dataclass
class _Notes:
    """What was read so far; of several places that say something the first one counts."""

    values: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, name: str, value: object) -> None:
        text = as_plain_text(value)
        if name == "date":
            text = as_date(text)
        if name == "prompt" and len(text) > LONGEST:
            self.remarks.append(TOO_LONG)
        elif text and len(text) <= (LONGEST if name == "prompt" else _LONGEST_NAME):
            self.values.setdefault(name, text)


def said_by(path: str) -> Said:
    """Return what an image says of itself; no pixel is decoded.

    Raises:
        UnusableImageError: it has no header that can be read.
    """
    notes = _Notes()
    is_sealed = False
    try:
        with contents.stream_of(path) as stream, opened(stream) as image:
            kind = image.format or ""
            for read in (_read_texts, _read_exif, _read_xmp):
                _try(read, image, notes)
            is_sealed = credentials.are_in(image)
    except Exception:  # Pillow's plugins raise errors of any type on damaged input.
        probe(path)  # It says in words why it fails, unless another library reads the image.
        return Said()
    if is_sealed and not credentials.can_read():
        notes.remarks.append(SEALED)
    elif is_sealed:
        _try(_read_credentials, (path, kind), notes)
    return Said(**notes.values, remarks=tuple(dict.fromkeys(notes.remarks)))


def _try(read: Callable[[Any, _Notes], None], source: Any, notes: _Notes) -> None:
    try:
        read(source, notes)
    except Exception:  # Libraries raise errors of any type on damaged input.
        notes.remarks.append(UNREADABLE)


# --- places in files -----------------------------------------------------------------------


def _read_texts(image: Image.Image, notes: _Notes) -> None:
    """Read the text chunks of a PNG."""
    texts = {
        name.casefold(): text
        for name, text in image.info.items()
        if isinstance(name, str) and isinstance(text, str)
    }
    _read_parameters(texts.get("parameters", ""), notes)
    if texts.get("prompt", "").lstrip().startswith("{"):
        notes.add("maker", "ComfyUI")  # It writes its graph, which is no text that anybody typed.
    else:
        notes.add("prompt", texts.get("prompt", ""))
    notes.add("maker", texts.get("software", ""))
    for name in ("creation time", "date"):
        notes.add("date", texts.get(name, ""))
    notes.add("parent", texts.get("parent", ""))


def _read_parameters(value: object, notes: _Notes) -> None:
    """Read the text of web UIs: prompt, negative prompt, and steps with all other settings."""
    text = as_plain_text(value)
    end = _AFTER_PROMPT.search(text)
    if end is None:
        return
    notes.add("prompt", text[: end.start()])
    model = _MODEL.search(text, end.start())
    notes.add("maker", model[1] if model else "Stable Diffusion web UI")


def _read_exif(image: Image.Image, notes: _Notes) -> None:
    # Pillow decodes a PNG to look for EXIF behind its pixels, where nobody writes it.
    if "exif" not in image.info and image.format not in ("TIFF", "JPEG", "WEBP"):
        return
    exif = image.getexif()
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    _read_parameters(_user_comment(inner.get(ExifTags.Base.UserComment)), notes)
    notes.add("maker", exif.get(ExifTags.Base.Software))
    notes.add("date", inner.get(ExifTags.Base.DateTimeOriginal))
    notes.add("date", exif.get(ExifTags.Base.DateTime))


def _user_comment(value: object) -> object:
    """Return a comment of EXIF without the name of its encoding."""
    if not isinstance(value, bytes):
        return value
    name, text = value[:8], value[8:]
    if name == b"UNICODE\0":
        # Of UTF-16 no order of bytes is asked for; text mostly has a zero as its high byte.
        is_big = text[::2].count(0) >= text[1::2].count(0)
        return text.decode("utf-16-be" if is_big else "utf-16-le", "replace")
    return text if name.rstrip(b"\0") in (b"", b"ASCII") else value


_XMP_FIELDS = {
    "AIPromptInformation": "prompt", "AISystemUsed": "maker", "CreatorTool": "maker",
    "CreateDate": "date", "DerivedFrom": "parent", "filePath": "parent",
}  # fmt: skip


def _read_xmp(image: Image.Image, notes: _Notes) -> None:
    xmp = image.info.get("xmp", b"")
    packet = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    if not packet:
        return
    # Entities could make a short text fill the memory, and no XMP has any. In UTF-16 and UTF-32
    # zeros lie between the characters.
    plain = packet.replace(b"\0", b"").replace(b"<!--", b"")
    if len(packet) > _MOST_XMP_BYTES or b"<!" in plain:
        notes.remarks.append(UNREADABLE)
        return
    for name, text in _xmp_values(ElementTree.fromstring(packet.strip(b"\0 \r\n\t"))):
        if name in _XMP_FIELDS:
            notes.add(_XMP_FIELDS[name], text)


def _xmp_values(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Yield the local name and the text of all attributes and elements."""
    for element in root.iter():
        for name, text in element.attrib.items():
            yield name.rpartition("}")[2], text
        # A list of texts, such as one for each language, has two elements around the first of them.
        inner = element[0][0] if len(element) and len(element[0]) else element
        yield element.tag.rpartition("}")[2], (element.text or "").strip() or inner.text or ""


def _read_credentials(source: tuple[str, str], notes: _Notes) -> None:
    for name, text in credentials.read(*source).items():
        notes.add(name, text)


# --- text that can stand in a table --------------------------------------------------------


def as_plain_text(value: object) -> str:
    """Return a value as text without controls, composed; ``""`` if it is none."""
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            return as_plain_text(value.decode())
        return ""
    if not isinstance(value, str):
        return ""
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", _CONTROLS.sub("", text)).strip()


def as_date(text: str) -> str:
    """Return a date of EXIF, of ISO 8601 or of e-mail as ISO 8601, without its zone."""
    if match := _DATE.fullmatch(text):
        year, month, day, time = match.groups()
        iso = f"{year}-{month}-{day}" + (f"T{time}" if time else "")
        with suppress(ValueError):
            datetime.fromisoformat(iso)
            return iso
        return ""
    with suppress(TypeError, ValueError, IndexError, OverflowError):
        return parsedate_to_datetime(text[:60]).replace(tzinfo=None).isoformat()
    return ""
