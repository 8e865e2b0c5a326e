"""Images resized to what an encoder sees, or passed through a lossy codec."""

from __future__ import annotations

import io

import numpy as np
import PIL
from PIL import Image

from xprobe.base.errors import OptionError
from xprobe.images.decode import MAX_PIXELS

# This module's rules and Pillow's decoders and filters decide every pixel. Pillow 13 resizes tall
# images in another order than 12 did, so its major version is part of every encoder's key.
PREPROCESSING = f"1/pillow-{PIL.__version__.split('.')[0]}"

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# torch scales by these interpolations as Pillow does, up to rounding.
_FAST = ("bilinear", "bicubic")


def check_codec(codec: str) -> int:
    """Return the quality of ``jpeg-<quality>``.

    Raises:
        OptionError: the text has another form, or the quality is not from 1 to 100.
    """
    kind, _, quality = codec.partition("-")
    if kind != "jpeg" or not quality.isdecimal() or not 1 <= int(quality) <= 100:
        raise OptionError(f"--match-codec {codec!r}: it is jpeg-QUALITY, such as jpeg-90")
    return int(quality)


def reencode(image: Image.Image, codec: str) -> Image.Image:
    """Return an RGB image compressed by a codec and decoded again: JPEG with halved chroma."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=check_codec(codec), subsampling="4:2:0")
    return Image.open(buffer, formats=("JPEG",)).convert("RGB")


def _scale_image(
    image: Image.Image, size: tuple[int, int], interpolation: str, fast: bool
) -> Image.Image:
    """Return the image scaled to `size` = (width, height) pixels, whatever its aspect ratio."""
    if not fast or interpolation not in _FAST:
        return image.resize(size, INTERPOLATIONS[interpolation])
    import torch

    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    scaled = torch.nn.functional.interpolate(
        pixels, size=size[::-1], mode=interpolation, antialias=True
    )
    return Image.fromarray(scaled[0].permute(1, 2, 0).contiguous().numpy())


def resize(
    image: Image.Image,
    size: tuple[int, int],
    mode: str,
    interpolation: str,
    scale_px: int = 0,
    *,
    fast: bool = False,
) -> Image.Image:
    """Return the image at exactly `size` = (height, width) pixels.

    The mode `shortest` scales the shorter side to `scale_px` (0: to the target) and cuts the centre
    (CLIP, timm), `shortest-floor` does so with half pixels rounded down (transformers), `squash`
    ignores the aspect ratio (SigLIP) and cuts the centre if it scales to more than the target,
    `longest` scales the longer side and pads with black, `crop` scales nothing and cuts the centre,
    with black around a smaller image. The geometry equals that of these libraries to the pixel.

    With `fast`, torch does bilinear and bicubic scaling. It is some seven times as fast as Pillow,
    and differs from it by up to two levels in less than one value of a hundred.
    """
    height, width = size
    if mode == "squash" and not scale_px:
        return _scale_image(image, (width, height), interpolation, fast)
    w, h = image.size
    if mode == "longest":
        factor = max(h / height, w / width)
        fitting_size = max(1, round(w / factor)), max(1, round(h / factor))
        scaled = _scale_image(image, fitting_size, interpolation, fast)
        top, left = (height - scaled.height) // 2, (width - scaled.width) // 2
        canvas = Image.new("RGB", (width, height))
        canvas.paste(scaled, (left, top))
        return canvas
    if mode in ("squash", "crop"):
        scale_to = image.size if mode == "crop" else (scale_px, scale_px)
    elif height == width or scale_px:
        # The longer side is truncated, as torchvision does it.
        side = scale_px or height
        scale_to = (side, int(side * h / w)) if w <= h else (int(side * w / h), side)
    else:
        factor = min(h / height, w / width)
        scale_to = (round(w / factor), round(h / factor))
    # A very long strip would not fit into memory once scaled, so its centre alone is scaled.
    if mode != "crop" and scale_to[0] * scale_to[1] > MAX_PIXELS:
        part_w, part_h = width * w / scale_to[0], height * h / scale_to[1]
        x, y = (w - part_w) / 2, (h - part_h) / 2
        box = (x, y, x + part_w, y + part_h)
        return image.resize((width, height), INTERPOLATIONS[interpolation], box=box)
    scaled = image
    if scale_to != image.size:
        scaled = _scale_image(image, scale_to, interpolation, fast)
    excess_height, excess_width = scaled.height - height, scaled.width - width
    if mode != "shortest":
        top, left = excess_height // 2, excess_width // 2
    else:
        top, left = round(excess_height / 2.0), round(excess_width / 2.0)
    return scaled.crop((left, top, left + width, top + height))
