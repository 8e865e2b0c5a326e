"""Images brought to the size that an encoder sees, and encoded anew."""

from __future__ import annotations

import io

import numpy as np
import PIL
from PIL import Image

from xprobe.base.errors import XprobeError
from xprobe.images.decode import MAX_PIXELS

# What decides a pixel: this module's rules and Pillow's decoders and filters. Pillow 13 resizes
# tall images in another order than 12 did, so its major version is part of every encoder's key.
PREPROCESSING = f"1/pillow-{PIL.__version__.split('.')[0]}"

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_FAST = ("bilinear", "bicubic")  # what torch has as Pillow has it


def check_codec(codec: str) -> int:
    """Return the quality of ``jpeg-<quality>``.

    Raises:
        XprobeError: it is something else.
    """
    kind, _, quality = codec.partition("-")
    if kind != "jpeg" or not quality.isdecimal() or not 1 <= int(quality) <= 100:
        raise XprobeError(f"--match-codec {codec!r}: it is jpeg-QUALITY, such as jpeg-90")
    return int(quality)


def reencode(image: Image.Image, codec: str) -> Image.Image:
    """Return an RGB image after a round through a codec in memory: JPEG, chroma halved."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=check_codec(codec), subsampling="4:2:0")
    return Image.open(buffer).convert("RGB")


def _scaled(
    image: Image.Image, size: tuple[int, int], interpolation: str, fast: bool
) -> Image.Image:
    """Return the image at (width, height) pixels."""
    if not fast or interpolation not in _FAST:
        return image.resize(size, INTERPOLATIONS[interpolation])
    import torch

    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    out = torch.nn.functional.interpolate(
        pixels, size=size[::-1], mode=interpolation, antialias=True
    )
    return Image.fromarray(out[0].permute(1, 2, 0).contiguous().numpy())


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

    `shortest` scales the shorter side to `scale_px` (0: to the target) and cuts the centre (CLIP,
    timm), `shortest-floor` the same with half pixels rounded down (transformers), `squash` ignores
    the aspect ratio (SigLIP), `longest` scales the longer side and pads with black. The geometry
    is that of the libraries, to the pixel.

    With `fast`, bilinear and bicubic scaling are torch's, which are some seven times as fast and
    off by up to two levels in less than one value of a hundred.
    """
    height, width = size
    if mode == "squash":
        return _scaled(image, (width, height), interpolation, fast)
    w, h = image.size
    if mode == "longest":
        factor = max(h / height, w / width)
        inside = max(1, round(w / factor)), max(1, round(h / factor))
        scaled = _scaled(image, inside, interpolation, fast)
        top, left = (height - scaled.height) // 2, (width - scaled.width) // 2
        paper = Image.new("RGB", (width, height))
        paper.paste(scaled, (left, top))
        return paper
    if height == width:
        # torchvision truncates the longer side
        side = scale_px or height
        scale_to = (side, int(side * h / w)) if w <= h else (int(side * w / h), side)
    else:
        factor = min(h / height, w / width)
        scale_to = (round(w / factor), round(h / factor))
    if scale_to[0] * scale_to[1] > MAX_PIXELS:  # an extreme strip: scale its centre alone
        part_w, part_h = width * w / scale_to[0], height * h / scale_to[1]
        x, y = (w - part_w) / 2, (h - part_h) / 2
        box = (x, y, x + part_w, y + part_h)
        return image.resize((width, height), INTERPOLATIONS[interpolation], box=box)
    scaled = image
    if scale_to != image.size:
        scaled = _scaled(image, scale_to, interpolation, fast)
    down, across = scaled.height - height, scaled.width - width
    if mode == "shortest-floor":
        top, left = down // 2, across // 2
    else:
        top, left = round(down / 2.0), round(across / 2.0)
    return scaled.crop((left, top, left + width, top + height))
