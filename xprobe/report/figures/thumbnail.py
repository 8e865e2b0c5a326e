"""Pictures of the images that were studied, small enough for a figure or a page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from xprobe.images.decode import UnusableImageError, decode


def thumbnail(path: str, most_px: int) -> Image.Image | None:
    """Return an image no larger than `most_px`, or None if it cannot be read any more."""
    try:
        image = decode(path)
    except (OSError, ValueError, UnusableImageError):  # ValueError: the text is no path
        return None
    image.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
    return image


def thumbnail_uri(path: str, most_px: int) -> str:
    """Return an image as the address of a small JPEG; nothing if it cannot be read any more."""
    image = thumbnail(path, most_px) if path else None
    if image is None:
        return ""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
