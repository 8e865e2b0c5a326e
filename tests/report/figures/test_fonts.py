"""Fonts for what DejaVu Sans lacks: found by their characters, or named once with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from xprobe.report.figures import fonts
from xprobe.report.figures.drawing import Drawing
from xprobe.report.figures.style import finish, headline


def make_font(file: Path, family: str, characters: str) -> Path:
    """Write a font in which these characters are black squares."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    glyphs = {".notdef": TTGlyphPen(None).glyph()}
    glyphs |= {f"u{ord(c):04X}": pen.glyph() for c in characters}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(c): f"u{ord(c):04X}" for c in characters})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 100)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, sTypoDescender=-100)
    builder.setupPost()
    builder.save(file)
    return file


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files of fonts on a machine where matplotlib has listed its own fonts alone."""
    files: list[str] = []
    manager = font_manager.fontManager
    own = [entry for entry in manager.ttflist if entry.fname.startswith(mpl.get_data_path())]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: files)
    for cached in (fonts._families_for, fonts._add_new_fonts):
        cached.cache_clear()
    yield files
    for cached in (fonts._families_for, fonts._add_new_fonts):
        cached.cache_clear()


def drawn(title: str) -> Drawing:
    def make() -> Figure:
        figure = Figure(figsize=(3, 1), layout="constrained")
        headline(figure, title)
        return figure

    return finish("x", "x", None, title, make)


def test_nothing_is_looked_for_while_the_base_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_families_for", None)
    assert fonts.families_for("Müller · Ωж −→ 1:2 \n مرحبا") == ()
    assert fonts.remarks(["Müller"]) == []


def test_a_font_that_is_newer_than_the_list_is_found(machine: list[str], tmp_path: Path) -> None:
    machine.append(str(make_font(tmp_path / "one.ttf", "Tiny Sans", "帽子")))
    machine.append(str(tmp_path / "broken.ttf"))
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert fonts.families_for("帽 x") == ("Tiny Sans",)
    assert fonts.remarks(["帽", "子"]) == []


def test_the_font_with_most_of_the_text_goes_first(machine: list[str], tmp_path: Path) -> None:
    for family, characters in (("A", "帽"), ("B Serif", "帽子衬"), ("C", "衬衫"), ("D", "한")):
        machine.append(str(make_font(tmp_path / f"{family}.ttf", family, characters)))
    assert fonts.families_for("帽子衬衫") == ("B Serif", "C")
    assert fonts.families_for("衬衫") == ("C",)
    assert fonts.families_for("한") == ("D",)


def test_of_equal_fonts_that_of_the_language_is_taken(machine: list[str], tmp_path: Path) -> None:
    for family in ("Tiny Sans JP", "Tiny Sans SC", "Tiny Sans KR", "Tiny Serif SC"):
        machine.append(str(make_font(tmp_path / f"{family}.ttf", family, "帽の한")))
    assert fonts.families_for("帽") == ("Tiny Sans SC",)
    assert fonts.families_for("帽の") == ("Tiny Sans JP",)
    assert fonts.families_for("帽한") == ("Tiny Sans KR",)


def test_a_font_that_was_deleted_is_no_harm(machine: list[str], tmp_path: Path) -> None:
    file = make_font(tmp_path / "one.ttf", "Tiny Sans", "帽")
    font_manager.fontManager.addfont(file)
    file.unlink()
    assert fonts.families_for("帽") == ()


def test_the_characters_that_no_font_has_are_named_once(machine: list[str], tmp_path: Path) -> None:
    machine.append(str(make_font(tmp_path / "one.ttf", "Tiny Sans", "帽")))
    (text,) = fonts.remarks(["帽子", "子衬", "x"])
    assert text.startswith("no font of this machine has 子 衬: they are boxes in PNG figures")
    assert "fonts-noto-cjk" in text
    (text,) = fonts.remarks(["".join(map(chr, range(0x4E00, 0x4E00 + 50)))])
    assert "and 30 more" in text


@pytest.mark.parametrize("text", ["مرحبا", "שלום", "x\u0323\u0302"])
def test_an_older_matplotlib_cannot_join_letters(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "SHAPING", (99, 0))
    (remark,) = fonts.remarks([text])
    assert remark.startswith("letters that join, stack or run from right to left")
    monkeypatch.setattr(fonts, "SHAPING", (3, 9))
    assert fonts.remarks([text]) == []


def test_a_figure_has_the_letters_of_the_font(
    machine: list[str], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    machine.append(str(make_font(tmp_path / "one.ttf", "Tiny Sans", "帽")))
    first, second = drawn("帽帽帽帽"), drawn("帽帽帽帽")
    assert (first.png, first.svg) == (second.png, second.svg)
    assert "帽帽帽帽" in first.svg.decode() and "Tiny Sans" in first.svg.decode()
    assert black(first) > 2 * black(drawn("子子子子")) and not recwarn.list
    assert mpl.rcParams["font.family"] != ["DejaVu Sans", "Tiny Sans"]


def black(drawing: Drawing) -> int:
    """How many pixels of a figure are black."""
    from io import BytesIO

    from PIL import Image

    image = Image.open(BytesIO(drawing.png), formats=["PNG"]).convert("L")
    return int((np.asarray(image) < 60).sum())


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "$\\frac{", "x" * 60, "‮שלום", "%&_#"]
)
def test_any_label_can_be_drawn(text: str) -> None:
    svg = drawn(text).svg.decode()
    assert "<script" not in svg
