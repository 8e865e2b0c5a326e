"""What a report shows → its page and its summary: templates, escaping, figures in the page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import PurePath
from typing import Any

import jinja2
from markupsafe import Markup, escape

from xprobe.base.visible import visible
from xprobe.report.figures.drawing import Drawing
from xprobe.report.words import (
    count,
    estimate,
    interval,
    moment,
    number,
    p_value,
    percent,
    place_estimate,
    place_share,
    place_words,
    points,
    signed,
    span,
    verdict_words,
    whole,
)

# Markdown takes these for markup, but not the brackets of an interval or the "<" of "< 0.001".
_MARKUP = re.compile(r"[\\`*_|~>]|\](?=\()|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])")

# Colours of figures that follow the page into the dark.
_COLOURS = {
    "#1a1a1a": "--ink", "#333333": "--ink", "#000000": "--ink", "#5f5f5f": "--soft",
    "#d0d0d0": "--rule", "#ffffff": "--paper",
}  # fmt: skip

# What an SVG of matplotlib has beside its shapes: metadata, comments, and names of its parts, which
# figures share, while a page takes each only once.
_BESIDE = re.compile(
    r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>"
    r'| id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick|legend|QuadMesh|'
    r'PathCollection|LineCollection|FillBetweenPolyCollection|PolyCollection)_\d+"',
    re.DOTALL,
)


def render(template: str, view: Mapping[str, Any]) -> bytes:
    """Return a template filled with a view."""
    kind = "".join(PurePath(template).suffixes)
    return _environment(kind).get_template(template).render(view).strip().encode() + b"\n"


@cache
def _environment(kind: str) -> jinja2.Environment:
    """Return what templates of a kind (``.html.j2``, ``.md.j2``, ``.txt.j2``) are rendered by.

    It keeps them compiled, which takes as long as drawing two figures.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xprobe.report"),
        autoescape=kind == ".html.j2",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_markdown if kind == ".md.j2" else _visible,
    )
    environment.filters |= {
        "percent": percent, "points": points, "span": span, "p": p_value, "count": count,
        "estimate": estimate, "number": number, "interval": interval, "verdict": verdict_words,
        "whole": whole, "figure": figure, "points0": lambda value: signed(100 * value, 0),
        "moment": moment, "place_estimate": place_estimate, "place_share": place_share,
        "place_words": place_words,
    }  # fmt: skip
    return environment


def page(view: Mapping[str, Any]) -> bytes:
    """Return the page of a report, which fetches nothing and runs its own script alone."""
    style, script = (_source(f"page/{name}") for name in ("style.css", "script.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "style": Markup(style), "script": Markup(script), "script_digest": f"sha256-{digest}",
    }  # fmt: skip
    return render("report.html.j2", {**view, **parts})


def _source(name: str) -> str:
    loader = jinja2.PackageLoader("xprobe.report")
    return loader.get_source(jinja2.Environment(), name)[0].strip()


def data_text(value: Sequence[Any]) -> Markup:
    """Return a value as JSON that may stand between the tags of a script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def figure(drawing: Drawing) -> Markup:
    """Return a figure as a part of the page, whose colours are the page's.

    One that shows pictures stays an image of its own, on white.
    """
    title = escape(visible(drawing.title))
    if drawing.kind == "examples":
        return Markup(f'<img src="{drawing.uri}" alt="{title}">')
    text = drawing.svg.decode()
    text = _BESIDE.sub("", text[text.index("<svg") :])
    for colour, name in _COLOURS.items():
        text = text.replace(colour, f"var({name})")
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1))


def _visible(value: Any) -> Any:
    """Write out what nobody would see of a text; what a template calls safe stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _markdown(value: Any) -> Any:
    """Escape a value for Markdown, in a table cell too; what a template calls safe stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _MARKUP.sub(lambda match: "\\" + match[0], visible(value))
    return value
