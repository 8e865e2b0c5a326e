"""Names, first bytes, and the formats that Pillow is given."""

from __future__ import annotations

import io
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from xprobe.images import formats
from xprobe.images.formats import is_image, is_leftover, is_picture, kind_of, opened, tiff_layout

PICTURE = Image.fromarray(np.arange(96, dtype=np.uint8).reshape(4, 8, 3))


def stored(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(
    bits: int, bands: int, photometric: int, sample_format: int = 1, order: str = "<"
) -> bytes:
    """Return an uncompressed TIFF of 2 x 2 pixels with any layout."""
    data = bytes(4 * bands * bits // 8)
    kinds = {256: 2, 257: 2, 258: bits, 259: 1, 262: photometric, 273: 8, 277: bands, 278: 2,
             279: len(data), 339: sample_format}  # fmt: skip
    entries, further = b"", b""
    place = 8 + len(data) + 2 + 12 * len(kinds) + 4
    for tag, value in kinds.items():
        many = bands if tag in (258, 339) else 1
        field = struct.pack(f"{order}{many}H", *[value] * many)
        if len(field) > 4:
            entries += struct.pack(f"{order}HHII", tag, 3, many, place + len(further))
            further += field
        else:
            entries += struct.pack(f"{order}HHI", tag, 3, many) + field.ljust(4, b"\0")
    head = b"II" if order == "<" else b"MM"
    return (
        head + struct.pack(f"{order}HI", 42, 8 + len(data)) + data
        + struct.pack(f"{order}H", len(kinds)) + entries + bytes(4) + further
    )  # fmt: skip


@pytest.mark.parametrize("kind", formats.FORMATS)
def test_every_format_is_known_by_its_first_bytes_and_opened(kind: str) -> None:
    content = stored(kind)
    if kind == "DIB":  # It has no beginning of its own; its suffix tells.
        assert is_picture("x.dib", content)
    else:
        assert kind_of(content[: formats.HEAD_BYTES]) == kind
        assert is_picture("x", content[: formats.HEAD_BYTES])
    with opened(content) as image:
        assert (image.format, image.size) == (kind, (8, 4))


def test_no_other_format_reaches_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow asks a format whether it accepts the beginning of a file."""
    Image.init()
    asked: list[bytes] = []
    others = set(Image.OPEN) - set(formats.FORMATS)
    assert {"EPS", "ICO", "PCX"} < others
    for kind in others:
        monkeypatch.setitem(Image.OPEN, kind, (Image.OPEN[kind][0], asked.append))
    with pytest.raises(UnidentifiedImageError), opened(b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n"):
        pass
    assert asked == []


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"%PDF-1.7", "PDF"),
        (b"BMore text than a picture of any kind", ""),
        (b"P1 of the list", ""),
        (b"", ""),
    ],
)
def test_what_is_no_picture_that_is_read_is_none(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind
    assert is_picture("x", head) is (kind == "AVIF")


def test_names_decide_before_contents() -> None:
    assert is_image("a/B.PNG") and is_image("x.jp2") and not is_image(".png")
    assert is_picture("damaged.png", b"") and not is_picture("notes.txt", b"text")
    assert not is_picture("a/._x.png", stored("PNG"))
    assert not is_picture("__MACOSX/a/x.png", stored("PNG"))
    assert [is_leftover(name) for name in ("._a", "b/._a", "b/a._c", "a/b")] == [True, True, False,
                                                                               False]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        (tiff(16, 3, 1), "3 bands of 16 bits"),
        (tiff(16, 13, 1, order=">"), "13 bands of 16 bits"),
        (tiff(32, 3, 2, 3), "3 bands of 32 floating-point bits"),
        (tiff(16, 1, 1, 2), "1 band of 16 signed bits"),
        (stored("TIFF", big_tiff=True), "3 bands of 8 bits"),
    ],
)
def test_the_layout_of_a_tiff_is_told_in_words(content: bytes, layout: str) -> None:
    assert tiff_layout(content) == layout


def test_neither_pillow_nor_libtiff_writes_lines_of_its_own(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # As it is without pytest.
    damaged = bytearray(stored("TIFF", compression="tiff_lzw"))
    damaged[12:20] = b"\xff" * 8
    with pytest.raises(OSError, match="decoder"), opened(bytes(damaged)) as image:
        image.load()
    with pytest.raises(UnidentifiedImageError), opened(tiff(8, 200, 1)):
        pass
    assert capfd.readouterr().err == ""


def test_a_decoder_that_this_pillow_lacks_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(formats.lacks_decoder(kind) for kind in (*formats.FORMATS, "HEIC", ""))
    monkeypatch.setattr(formats.features, "check", lambda name: name != "webp")
    assert formats.lacks_decoder("WEBP") and not formats.lacks_decoder("PNG")
    monkeypatch.setattr(formats, "FORMATS", ("PNG",))
    assert formats.lacks_decoder("AVIF") and not formats.lacks_decoder("HEIC")


def test_a_file_that_states_its_format_in_its_name_alone_is_left_to_its_content(
    tmp_path: Path,
) -> None:
    (tmp_path / "photo.jpg").write_bytes(stored("PNG"))
    with (tmp_path / "photo.jpg").open("rb") as stream, opened(stream) as image:
        assert image.format == "PNG"
