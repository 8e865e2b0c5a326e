"""Sources leave as they are where providers take them; answers must be images to their end."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scripted import png

from xprobe.generation.base import LostError
from xprobe.generation.pictures import picture_of, source_content
from xprobe.images.decode import UnusableImageError


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp")])
def test_what_providers_take_leaves_as_it_lies_on_the_disk(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    file = tmp_path / "image.bin"
    file.write_bytes(png(kind=kind))
    assert source_content(str(file)) == png(kind=kind)
    picture = picture_of(png(kind=kind))
    assert (picture.format, picture.suffix, picture.width, picture.height) == (kind, suffix, 8, 6)


def test_other_formats_leave_as_png_with_the_same_pixels(tmp_path: Path) -> None:
    file = tmp_path / "image.tif"
    file.write_bytes(png(kind="TIFF"))
    content = source_content(str(file))
    assert content.startswith(b"\x89PNG")
    sent, real = (np.asarray(Image.open(BytesIO(c))) for c in (content, png()))
    assert (sent == real).all()


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_samples_of_16_bits_are_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"image.{suffix}"
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(file)
    with pytest.raises(UnusableImageError, match="samples of 16 bits"):
        source_content(str(file))


@pytest.mark.parametrize("content", [b"no image", b"II*\0", b"", png()[:20]])
def test_what_is_no_image_or_not_there_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image.tif").write_bytes(content)
    for name in ("image.tif", "missing.png"):
        with pytest.raises(UnusableImageError):
            source_content(str(tmp_path / name))


def test_an_image_that_is_cut_off_is_none() -> None:
    with pytest.raises(LostError, match="PNG image that cannot be used"):
        picture_of(png()[:-30])


def test_a_format_that_is_not_kept_is_named() -> None:
    with pytest.raises(LostError, match="the answer is a BMP file"):
        picture_of(png(kind="BMP"))
