"""Image files, decoded to upright 8-bit RGB images."""

from __future__ import annotations

from pathlib import Path

import PIL
from PIL import ExifTags, Image

from xprobe.images import contents, decoders, geotiff
from xprobe.images.formats import (
    FORMATS,
    HEAD_BYTES,
    is_image,
    is_picture,
    kind_of,
    lacks_decoder,
    opened,
    tiff_layout,
    tiff_size,
    tiff_tags,
)
from xprobe.images.samples import (
    AS_IT_IS,
    LayoutError,
    Reading,
    UnusableImageError,
    bits_of,
    check_size,
    is_deep,
    to_rgb,
)

__all__ = [
    "AS_IT_IS", "HEAD_BYTES", "MAX_PIXELS", "Reading", "UnusableImageError", "decode",
    "decode_by_pillow", "is_image", "is_picture", "probe",
]  # fmt: skip

# Pillow itself refuses larger images; one of this size takes half a GB as RGB.
MAX_PIXELS = 178_956_970


def probe(path: str | Path) -> tuple[str, int, int]:
    """Return (file format, width, height) from the header alone, sizes in pixels.

    Raises:
        UnusableImageError: the header cannot be read.
    """
    content = b""
    try:
        with contents.stream_of(str(path)) as stream:
            content = stream.read(HEAD_BYTES)
            stream.seek(0)
            with opened(stream) as image:
                return image.format or "?", image.width, image.height
    except Exception as error:
        if kind_of(content) == "TIFF":
            content = _read(path)
        reason = _unusable(error, content)
        if isinstance(reason, LayoutError) and geotiff.is_installed():
            return "TIFF", *tiff_size(content)
        raise reason from error


def decode(file: str | Path | bytes, reading: Reading = AS_IT_IS) -> Image.Image:
    """Return the first frame of a file, or of its content, as 8-bit RGB, upright.

    Where `decoders` has a decoder that is faster than Pillow and gives the same pixels, it is used
    instead of Pillow. `geotiff` is given what Pillow lacks, and nothing else, so that no pixel of
    other images depends on whether rasterio is installed.

    EXIF orientation is applied; 16-bit and floating-point samples are scaled to 8 bits, their
    nodata to black; CMYK and palettes are converted; transparent pixels are laid on white, because
    the colour stored behind them is not part of the picture. `reading` may choose other bands and
    another range.

    Raises:
        UnusableImageError: the file cannot be read, is no image, is truncated or damaged, or has
            more than `MAX_PIXELS` pixels.
    """
    content = file if isinstance(file, bytes) else _read(file)
    is_plain = reading.bands in ((), (1, 2, 3))
    pixels = decoders.decode(content, MAX_PIXELS) if is_plain else None
    if pixels is not None:
        return Image.fromarray(pixels)
    try:
        return decode_by_pillow(content, reading)
    except LayoutError:
        if not geotiff.is_installed():
            raise
        return _decode_by_gdal(content, reading)
    except UnusableImageError:
        # A fast decoder may read what Pillow refuses. It must not depend on the number of cores,
        # which decides whether one is asked first, whether an image is used.
        pixels = decoders.decode(content, MAX_PIXELS, pays=True) if is_plain else None
        if pixels is None:
            raise
        return Image.fromarray(pixels)


def decode_by_pillow(content: bytes, reading: Reading = AS_IT_IS) -> Image.Image:
    """Return the image as `decode` defines it: the reference that every faster way must equal.

    Raises:
        UnusableImageError: the content cannot be used, as in `decode`.
    """
    try:
        with opened(content) as image:
            check_size(image.width, image.height, MAX_PIXELS)
            if reading.stretch and bits_of(image) > 8 and not is_deep(image):
                _refuse_high_bytes(image)
            image.load()
            return _turned(to_rgb(image, reading), _orientation(image))
    except Exception as error:  # Pillow's plugins raise errors of any type on damaged input.
        raise _unusable(error, content) from error


def _decode_by_gdal(content: bytes, reading: Reading) -> Image.Image:
    """Return what `decode` defines of a TIFF that Pillow does not give whole.

    Raises:
        UnusableImageError: the content cannot be used, as in `decode`.
    """
    try:
        orientation = tiff_tags(content).get(ExifTags.Base.Orientation, 1)
        return _turned(geotiff.decode(content, reading, MAX_PIXELS), orientation)
    except Exception as error:
        raise _unusable(error) from error


def _refuse_high_bytes(image: Image.Image) -> None:
    """Say that samples of which Pillow keeps the high byte cannot be stretched."""
    reason = (
        f"{len(image.getbands())} bands of 16 bits, of which Pillow keeps the high bytes alone, so "
        f"that --stretch comes too late"
    )
    if image.format == "TIFF":
        raise LayoutError(reason)
    raise UnusableImageError(f"{reason}; {CONVERT}", passing=True)


CONVERT = (
    "convert all images in the same way first, such as with 'gdal_translate -ot Byte -scale LOW "
    "HIGH 0 255 -b 1 -b 2 -b 3 IN OUT'"
)
"""What to do with samples that Pillow cannot give."""


def _read(path: str | Path) -> bytes:
    try:
        return contents.read(str(path))
    except (OSError, MemoryError) as error:
        raise _unusable(error) from error


# For every EXIF orientation but 1 (upright), the transposition that puts the image upright.
_TRANSPOSITION_OF = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> object:
    """Return the EXIF orientation of an image; 1, which is upright, if metadata are unreadable.

    `PIL.ImageOps.exif_transpose` is no help, as it rewrites all metadata and fails on odd entries.
    """
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1


def _turned(image: Image.Image, orientation: object) -> Image.Image:
    """Return an image of this EXIF orientation upright."""
    upright = _TRANSPOSITION_OF.get(orientation)  # type: ignore[call-overload]
    return image if upright is None else image.transpose(upright)


# --- why an image cannot be used -----------------------------------------------------------

NO_MEMORY = "not enough memory for it"
"""Why an image failed for which the memory did not suffice."""


def _unusable(error: Exception, content: bytes = b"") -> UnusableImageError:
    """Return the error that says in words why an image cannot be used, and whether it may pass."""
    if isinstance(error, UnusableImageError):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return UnusableImageError(NO_MEMORY, passing=True)
    # Pillow raises a KeyError where it does not know how a TIFF is packed.
    is_unknown = isinstance(error, KeyError) and kind_of(content[:HEAD_BYTES]) == "TIFF"
    if is_unknown or isinstance(error, PIL.UnidentifiedImageError):
        return _unidentified(content)
    if isinstance(error, OSError) and error.strerror:
        return UnusableImageError(contents.reason_of(error), passing=True)
    # Pillow says so of a decoder that it was built without.
    return UnusableImageError(
        f"{error}" or type(error).__name__, passing="not available" in str(error)
    )


def _unidentified(content: bytes) -> UnusableImageError:
    """Return why Pillow takes a content for no image."""
    kind = kind_of(content[:HEAD_BYTES])
    if lacks_decoder(kind):
        return UnusableImageError(
            f"{kind}, for which the installed Pillow has no decoder; run 'pip install -U Pillow'",
            passing=True,
        )
    if kind == "TIFF":
        try:
            return LayoutError(f"a TIFF of {tiff_layout(content)}, which Pillow cannot read")
        except Exception:  # Its header is damaged.
            pass
    elif kind and kind not in FORMATS:
        return UnusableImageError(f"{kind}, which is not read; convert it to PNG or JPEG")
    return UnusableImageError("not an image, or in a format that Pillow cannot read")
