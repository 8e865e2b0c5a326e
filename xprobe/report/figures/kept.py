"""Figures on disk: what has not changed since the last report is not drawn again.

``drawn.json`` beside the figures says of each by which key it was drawn, and the digests of its two
files: a file that was changed or deleted is drawn anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import msgspec

from xprobe.base import documents
from xprobe.base.atomic import put
from xprobe.base.documents import Document
from xprobe.report.figures.drawing import MARK, Drawing
from xprobe.report.figures.plot import Plot

INDEX = "drawn.json"


class Kept(Document, frozen=True, kw_only=True):
    """By which key a figure was drawn, and the digests of its files."""

    key: str
    svg: str
    png: str


def draw_all(plots: Iterable[Plot], folder: Path) -> list[Drawing]:
    """Return the figures, each drawn unless its files in a folder are still those of its key.

    All are written there; figures of a former report that are not among them are removed, files of
    others stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept, drawings, index = _read_index(folder / INDEX), [], {}
    for plot in plots:
        drawing = _read(plot, folder, kept.get(plot.name))
        if drawing is None:
            drawing = _draw(plot)
            put(folder / f"{plot.name}.svg", drawing.svg)
            put(folder / f"{plot.name}.png", drawing.png)
        drawings.append(drawing)
        index[plot.name] = Kept(key=plot.key, svg=_digest(drawing.svg), png=_digest(drawing.png))
    put(folder / INDEX, documents.encode(index))
    _remove_former(folder, {drawing.name for drawing in drawings})
    return drawings


def _draw(plot: Plot) -> Drawing:
    # matplotlib takes longer to load than a report whose figures are all kept.
    from xprobe.report.figures.style import finish

    module, _, function = plot.make.partition(":")
    make = getattr(import_module(module), function)
    return finish(plot.name, plot.kind, plot.study, plot.title, make, *plot.args)


def _read(plot: Plot, folder: Path, kept: Kept | None) -> Drawing | None:
    """Return a figure from its files, or None if they are not those of its key."""
    if kept is None or kept.key != plot.key:
        return None
    try:
        svg, png = ((folder / f"{plot.name}{suffix}").read_bytes() for suffix in (".svg", ".png"))
    except OSError:
        return None
    if (_digest(svg), _digest(png)) != (kept.svg, kept.png):
        return None
    return Drawing(plot.name, plot.kind, plot.study, plot.title, svg, png)


def _read_index(file: Path) -> dict[str, Kept]:
    """Return what was drawn before; nothing if that cannot be known."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Kept])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove_former(folder: Path, names: set[str]) -> None:
    """Remove figures of a former report; those of others, which lack the mark, stay."""
    for file in sorted(folder.iterdir()):
        if file.suffix in (".svg", ".png") and file.stem not in names and file.is_file():
            with file.open("rb") as stream:
                if MARK.encode() in stream.read(4096):
                    file.unlink()
