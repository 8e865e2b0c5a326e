"""Pictures on their way out and in: what providers take, and what an answer must be to be kept."""

from __future__ import annotations

import io
from dataclasses import dataclass

from xprobe.generation.base import LostError
from xprobe.images import contents
from xprobe.images.decode import UnusableImageError, decode
from xprobe.images.formats import HEAD_BYTES, kind_of, opened
from xprobe.images.samples import bits_of

# The formats that every provider takes, and those that are kept, with the suffix of their files.
_SENT = ("PNG", "JPEG", "WEBP")
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif", "GIF": ".gif"}

_NO_PNG = "cannot be sent as they are; make PNGs of 8 bits of such images"

_SHOWN = 80  # characters of an answer that is no image


@dataclass(frozen=True)
class Picture:
    """What a received image is.

    Attributes:
        format: format of the file, such as ``PNG``.
        width, height: in pixels.
    """

    format: str
    width: int
    height: int

    @property
    def suffix(self) -> str:
        """The suffix of its file."""
        return SUFFIXES[self.format]


def source_content(path: str) -> bytes:
    """Return the content of an image as it is sent: a PNG, JPEG or WebP as it lies on the disk,
    everything else as a PNG of the same pixels.

    Raises:
        UnusableImageError: it is no image, or has bands or samples of more than 8 bits, of which
            nobody knows which are meant.
    """
    try:
        content = contents.read(path)
    except OSError as error:
        raise UnusableImageError(contents.reason_of(error), passing=True) from error
    is_sent = kind_of(content[:HEAD_BYTES]) in _SENT
    image = None if is_sent else decode(content)
    try:
        with opened(content) as file:
            bits = bits_of(file)
    except Exception as error:
        if is_sent:
            raise UnusableImageError("the image is damaged") from error
        # It is one of those that GDAL alone reads.
        raise UnusableImageError(f"its bands or samples {_NO_PNG}") from error
    if bits > 8:
        raise UnusableImageError(f"its samples of {bits} bits {_NO_PNG}")
    if image is None:
        return content
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def picture_of(content: bytes) -> Picture:
    """Return what a received image is; it is decoded to its end.

    Raises:
        LostError: it is no image that can be used, which may have been paid for all the same.
    """
    kind = kind_of(content[:HEAD_BYTES])
    if not content:
        raise LostError("the answer is empty")
    if kind not in SUFFIXES:
        start = content[:_SHOWN].decode("utf-8", "replace")
        what = f"a {kind} file" if kind else f"no image; it begins with {' '.join(start.split())!r}"
        raise LostError(f"the answer is {what}")
    try:
        image = decode(content)
    except UnusableImageError as error:
        raise LostError(f"the answer is a {kind} image that cannot be used: {error}") from error
    return Picture(kind, image.width, image.height)
