"""Whether a view gives the pixels that the library of a network gives, tried on a few images."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError, first_line
from xprobe.encoders.tower import View
from xprobe.images.resize import INTERPOLATIONS, resize

# Sizes (width, height) of the images that are tried: wide, tall, small, long, large, square.
_SIZES_PX = ((75, 64), (64, 75), (17, 23), (300, 40), (40, 300), (1400, 1000), (96, 96))

_TOLERANCE = 1e-5  # Of the largest value: the libraries round in another order.


def check_view(
    view: View, see: Callable[[Image.Image], Floats], file: str, suspects: Iterable[str]
) -> None:
    """Refuse a view by which some image looks otherwise than to the network's own library.

    This is what finds a field of the preprocessing that is unknown here, or known by another
    meaning.

    Args:
        view: the view that was read.
        see: the library's own preprocessing of an RGB image, (3, height, width).
        file: the file that states the preprocessing, for the error.
        suspects: what in the file may be to blame, for the error.

    Raises:
        XprobeError: the view is another one, or the library itself cannot use the file.
    """
    if view.interpolation not in INTERPOLATIONS:
        raise XprobeError(f"{file}: the interpolation {view.interpolation!r} is not supported")
    blame = f"{file}: the preprocessing is not supported ({', '.join(suspects)})"
    remedy = "embed with its own library and run 'xprobe import-features FILE'"
    for width, height in _SIZES_PX:
        image = _image(width, height)
        try:
            expected = np.asarray(see(image))
        except Exception as error:  # Every library raises errors of its own.
            raise XprobeError(f"{blame}: {first_line(error)}; {remedy}") from error
        pixels = pixels_by(view, image)
        largest = max(float(np.abs(expected).max()), 1e-6) if expected.size else 0
        if pixels.shape != expected.shape or not (
            np.abs(pixels - expected).max() <= _TOLERANCE * largest
        ):
            raise XprobeError(f"{blame}: pixels would differ from those of its library; {remedy}")


def pixels_by(view: View, image: Image.Image) -> Floats:
    """Return what a network is given of an image by its view, (3, height, width)."""
    seen = resize(image, view.input_px, view.resize, view.interpolation, view.resize_px)
    scaled = (np.asarray(seen) / np.float32(255) - view.mean) / view.std
    return (scaled[..., ::-1] if view.channels == "bgr" else scaled).transpose(2, 0, 1)


def _image(width: int, height: int) -> Image.Image:
    """Return an image in which every pixel differs from its neighbours, in each channel."""
    y, x, channel = np.ogrid[:height, :width, :3]
    return Image.fromarray(((x * 37 + y * 91 + x * y * 5 + channel * 53) % 256).astype(np.uint8))
