"""Pictures of the images that were studied, small enough for a figure or a page."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from xprobe.base.errors import counted
from xprobe.images.decode import UnusableImageError, decode
from xprobe.images.samples import AS_IT_IS, Reading
from xprobe.results.study import EncoderUsed

GONE = "moved or deleted since"
"""Why there is no picture of an image whose file is not where it was."""

_MOST_REASONS = 3


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of an image, or the reason why there is none."""

    image: Image.Image | None
    reason: str = ""

    @property
    def uri(self) -> str:
        """The picture as a small JPEG in a ``data:`` address; empty if there is no picture."""
        if self.image is None:
            return ""
        buffer = io.BytesIO()
        self.image.convert("RGB").save(buffer, format="JPEG", quality=85)
        return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def reading_of(encoder: EncoderUsed) -> Reading:
    """Return which samples of an image an encoder was given, and in which range."""
    return Reading(encoder.bands, encoder.stretch)


def thumbnail(path: str, most_px: int, reading: Reading = AS_IT_IS) -> Thumbnail:
    """Return a picture of an image no larger than `most_px`, read as its encoder read it."""
    try:
        image = decode(path, reading)
    except (OSError, ValueError):  # A text that is no path is a ValueError.
        return Thumbnail(None, GONE)
    except UnusableImageError as error:
        is_gone = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
        return Thumbnail(None, GONE if is_gone else str(error))
    image.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
    return Thumbnail(image)


def lacking_words(reasons: Iterable[str]) -> list[str]:
    """Return a sentence for each reason why images have no picture, with how many they are."""
    counts = Counter(filter(None, reasons))
    sentences = []
    if n := counts.pop(GONE, 0):
        is_gone = counted(n, "image is not where it was", "images are not where they were")
        sentences.append(f"{is_gone} when the study was made.")
    sentences += [
        f"{counted(n, 'image', 'images')} cannot be shown: {reason}."
        for reason, n in counts.most_common(_MOST_REASONS)
    ]
    return sentences
