"""What all figures share: colours, fonts, marks, and how they are saved."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from xprobe.report.figures import fonts
from xprobe.report.figures.drawing import MARK, Drawing
from xprobe.verdict.family import HELPS, HURTS, NOT_DETECTED, NOT_SEPARABLE

_DPI = 200

INK, MUTED, _RULE = "#1a1a1a", "#5f5f5f", "#d0d0d0"

# Okabe & Ito's palette in an order whose greys differ too; markers and dashes say it once more.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4d4d4d")

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

VERDICTS = {
    HELPS: ("#0072B2", "o", True),
    HURTS: ("#D55E00", "s", True),
    "equivalent": ("#009E73", "D", True),
    NOT_SEPARABLE: ("#8a5a00", "X", True),
    NOT_DETECTED: ("#5f5f5f", "o", False),
}
"""Each kind of verdict has a colour and a marker, which is filled or not."""

_STYLE: Any = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.7, "axes.edgecolor": MUTED,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "grid.color": _RULE,
    "grid.linewidth": 0.5, "legend.frameon": False, "svg.fonttype": "none",
    "svg.hashsalt": "xprobe", "text.parse_math": False, "font.family": [fonts.BASE],
}  # fmt: skip


def finish(
    name: str, kind: str, study: int | None, title: str, make: Callable[..., Figure], *args: Any
) -> Drawing:
    """Return the figure that `make` draws of `args`, in the style of all figures, as both files."""
    svg, png = io.BytesIO(), io.BytesIO()
    with mpl.rc_context(), fonts.quiet():
        mpl.rcdefaults()  # The user's matplotlibrc must not change a figure.
        mpl.rcParams.update(_STYLE)
        figure = make(*args)
        text = "".join(part.get_text() for part in figure.findobj(Text))
        if others := fonts.families_for(text):  # Texts take their font when they are made.
            mpl.rcParams["font.family"] = [fonts.BASE, *others]
            figure = make(*args)
        figure.dpi = _DPI
        canvas = FigureCanvasAgg(figure)
        engine = figure.get_layout_engine()
        if engine is not None and figure.axes:
            engine.execute(figure)  # Both files share one layout, which takes long.
        figure.set_layout_engine("none")
        canvas.print_png(png, metadata={"Software": MARK})
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": MARK})
    # An SVG keeps its text as text, and whoever opens it may lack the font.
    family = b"font-family: 'DejaVu Sans'"
    content = svg.getvalue().replace(family, family + b", Verdana, Arial, sans-serif")
    return Drawing(name, kind, study, title, content, png.getvalue())


def shown(text: str, most: int) -> str:
    """Return a name as a figure can show it: printable, and no longer than `most`."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def headline(figure: Figure, text: str) -> None:
    """Write the title of a figure above it, wrapped to its width."""
    wide = int(figure.get_figwidth() * 11)
    lines = textwrap.wrap(shown(text, 3 * wide), wide)
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=9.5, fontweight="bold")
