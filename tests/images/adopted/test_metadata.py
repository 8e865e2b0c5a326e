"""What images say of themselves, and how little what they say can do."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import tiff_of
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xprobe.images.adopted.metadata import (
    LONGEST,
    SEALED,
    TOO_LONG,
    UNREADABLE,
    Said,
    as_date,
    as_plain_text,
    said_by,
)
from xprobe.images.decode import UnusableImageError

PARAMETERS = (
    "a flooded town, seen\nfrom above\nNegative prompt: people\n"
    "Steps: 20, Sampler: Euler a, Model: sd_xl_base, Version: v1.9"
)


def png(path: Path, **texts: str) -> str:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name.replace("_", " "), text)
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    return str(path)


def test_what_writers_write_into_png(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    assert said_by(png(file)) == Said()
    assert said_by(png(file, Prompt="a flood", Software="rsdiff 0.1")) == Said(
        "a flood", "rsdiff 0.1"
    )
    said = Said("a flooded town, seen\nfrom above", "sd_xl_base")
    assert said_by(png(file, parameters=PARAMETERS)) == said
    assert said_by(png(file, prompt='{"3": {"class_type": "KSampler"}}')) == Said(maker="ComfyUI")
    dated = png(file, Creation_Time="Tue, 3 Jun 2025 10:11:12 +0200", parent="tile_7")
    assert said_by(dated) == Said(date="2025-06-03T10:11:12", parent="tile_7")


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_what_web_uis_write_into_jpeg(tmp_path: Path, order: str) -> None:
    exif = Image.Exif()
    exif[0x0131] = "web ui"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + PARAMETERS.encode(order)
    exif.get_ifd(0x8769)[0x9003] = "2025:06:03 10:11:12"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    said = said_by(str(tmp_path / "a.jpg"))
    assert (said.prompt, said.maker) == ("a flooded town, seen\nfrom above", "sd_xl_base")
    assert said.date == "2025-06-03T10:11:12"


XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:s="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
 xmlns:m="http://ns.adobe.com/xap/1.0/mm/"><rdf:Description xmp:CreateDate="2025-06-03">
 <e:AIPromptInformation><rdf:Alt><rdf:li>a flood</rdf:li></rdf:Alt></e:AIPromptInformation>
 <e:AISystemUsed>Imaginer</e:AISystemUsed><m:DerivedFrom s:filePath="tile_7.png"/>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def with_xmp(path: Path, text: str) -> str:
    Image.new("RGB", (8, 8)).save(path, xmp=text.encode())
    return str(path)


def test_what_xmp_says(tmp_path: Path) -> None:
    said = Said("a flood", "Imaginer", "2025-06-03", "tile_7.png")
    assert said_by(with_xmp(tmp_path / "a.jpg", XMP)) == said
    assert said_by(with_xmp(tmp_path / "a.webp", XMP)) == said


@pytest.mark.parametrize(
    "text",
    [
        "<broken",
        '<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;">]><a>&c;</a>',
        f"<a>{'x' * 2**15}</a>" * 9,
    ],
)
def test_xmp_that_is_broken_or_hostile_is_said_and_no_more(tmp_path: Path, text: str) -> None:
    assert said_by(with_xmp(tmp_path / "a.webp", text)) == Said(remarks=(UNREADABLE,))


def test_entities_in_utf_16_are_not_followed(tmp_path: Path) -> None:
    text = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "boom">]><a CreatorTool="&b;"/>'
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", xmp=f"\ufeff{text}".encode("utf-16-be"))
    assert said_by(str(tmp_path / "a.webp")) == Said(remarks=(UNREADABLE,))


def test_an_image_that_pillow_does_not_know_says_nothing(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    (tmp_path / "a.tif").write_bytes(tiff_of(np.zeros((13, 8, 8), np.uint16)))
    assert said_by(str(tmp_path / "a.tif")) == Said()


def test_a_prompt_without_end_is_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    assert said_by(png(file, Prompt="x" * (LONGEST + 1))) == Said(remarks=(TOO_LONG,))
    assert len(said_by(png(file, Prompt="x" * LONGEST)).prompt) == LONGEST
    assert said_by(png(file, Software="x" * 1000)) == Said()


def test_controls_are_no_part_of_a_text() -> None:
    assert as_plain_text("a\x1b[31m\0b\r\nc\ud800 ") == "a[31mb\nc"
    assert as_plain_text(b"\xff\xfe") == ""
    values: list[Any] = [None, 7, [], b"\xc3\xa9"]
    assert [as_plain_text(value) for value in values] == ["", "", "", "é"]


def test_dates_are_iso_8601_or_none() -> None:
    assert as_date("2025:06:03 10:11:12") == as_date("2025-06-03T10:11:12.5Z")
    assert [as_date(text) for text in ("", "soon", "2025-13-40", "0000:00:00 00:00:00")] == [""] * 4


def test_a_file_that_is_no_image_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(UnusableImageError, match="not an image"):
        said_by(str(tmp_path / "a.png"))
    with pytest.raises(UnusableImageError, match="no such file"):
        said_by(str(tmp_path / "b.png"))


def test_a_text_that_unpacks_without_end_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    png(file)
    bomb = b"zTXt" + b"Prompt\0\0" + zlib.compress(b"x" * 2**26)
    content = file.read_bytes()
    chunk = struct.pack(">I", len(bomb) - 4) + bomb + struct.pack(">I", zlib.crc32(bomb))
    file.write_bytes(content[:33] + chunk + content[33:])  # behind the header
    with pytest.raises(UnusableImageError):
        said_by(str(file))


def test_content_credentials_are_said_where_nothing_can_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.png"
    png(file)
    content = file.read_bytes()
    chunk = struct.pack(">I", 4) + b"caBXjumb" + struct.pack(">I", zlib.crc32(b"caBXjumb"))
    file.write_bytes(content[:33] + chunk + content[33:])
    monkeypatch.setattr("xprobe.images.adopted.credentials.can_read", lambda: False)
    assert said_by(str(file)) == Said(remarks=(SEALED,))
    monkeypatch.setattr("xprobe.images.adopted.credentials.can_read", lambda: True)
    monkeypatch.setattr(
        "xprobe.images.adopted.credentials.read",
        lambda path, kind: {"maker": f"{kind} of {Path(path).name}", "parent": "tile_7"},
    )
    assert said_by(str(file)) == Said(maker="PNG of a.png", parent="tile_7")
