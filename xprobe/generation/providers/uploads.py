"""How an image is sent: its kind told from its content."""

from __future__ import annotations

import base64

from xprobe.images.formats import HEAD_BYTES, kind_of


def media_type(content: bytes) -> str:
    """Return what an image is, such as ``image/png``."""
    return f"image/{kind_of(content[:HEAD_BYTES]).lower()}"


def file_name(content: bytes) -> str:
    """Return a name for an image whose suffix says what it is; nothing of the user's is in it."""
    return f"image.{media_type(content).removeprefix('image/')}"


def data_url(content: bytes) -> str:
    """Return an image as an address that holds it."""
    return f"data:{media_type(content)};base64,{base64.b64encode(content).decode()}"
