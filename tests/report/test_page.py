"""Figures and data as parts of a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from xprobe.report.figures.drawing import Drawing
from xprobe.report.page import data_text, figure

SVG = b"""<?xml version="1.0"?><!DOCTYPE svg><svg width="9pt" viewBox="0 0 9 9">
<metadata>m</metadata><!-- c --><defs><style type="text/css">*{x: y}</style></defs>
<g id="figure_1"><path id="m1f2" d="M 0 0" style="fill: #1a1a1a; stroke: #0072b2"/></g></svg>"""


def test_a_figure_takes_the_colours_of_the_page() -> None:
    text = str(figure(Drawing("n", "matrix", None, 'a "<title>"', SVG, b"")))
    assert text.startswith('<svg role="img" aria-label="a &#34;&lt;title&gt;&#34;" width=')
    assert "fill: var(--ink); stroke: #0072b2" in text
    assert 'id="m1f2"' in text  # what others refer to stays
    for unwanted in ("metadata", "<!--", "<style", "figure_1", "<?xml", "DOCTYPE"):
        assert unwanted not in text


def test_a_figure_of_pictures_stays_an_image() -> None:
    assert "<img src=" in str(figure(Drawing("n", "examples", None, "t", SVG, b"")))


def test_data_cannot_end_their_script() -> None:
    value = ["</script><script>alert(1)</script>", "a & b", "日本"]
    text = str(data_text(value))
    assert json.loads(text) == value

    class Tags(HTMLParser):
        count = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.count += 1

    parser = Tags()
    parser.feed(f'<script type="application/json">{text}</script>')
    assert parser.count == 1
