"""Distances of synthetic images to real ones → figures, in the style of `figures`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xprobe.figures import _COLOURS, _INK, _MUTED, Drawing, Row, _finish, _headline, _Names, _shown

SHOWN = "mmd"
_MOST_CLASSES = 40
_MOST_BARS = 160  # in one column of panels
_PANELS_A_ROW = 3


def draw(rows: Sequence[Row]) -> Iterator[Drawing]:
    """Draw the distance of each class, one figure an encoder.

    Args:
        rows: ``distances`` of `results.load_distance`; what is not MMD² of a class is passed over.
    """
    names = _Names()
    own = [r for r in rows if r["metric"] == SHOWN and r["class"] is not None]
    for encoder in dict.fromkeys(r["encoder"] for r in own):
        title = f"Distance of synthetic to real images of each class, {encoder}"
        of = [r for r in own if r["encoder"] == encoder]
        if all(r["value"] is None for r in of):
            continue
        stem = names.new(f"distance-{encoder}")
        yield _finish(stem, "distance", None, title, _bars, of, title)


def _bars(rows: Sequence[Row], title: str) -> Figure:
    """A panel per generator, in it a bar per class with interval and floor."""
    generators = list(dict.fromkeys(r["generator"] for r in rows))
    down = -(-len(generators) // _PANELS_A_ROW)
    across = -(-len(generators) // down)
    classes = _farthest(rows, max(5, min(_MOST_CLASSES, _MOST_BARS // down)))
    n, of = len(classes), len({r["class"] for r in rows})
    if n < of:
        title = f"{title}: the {n} farthest of {of}"
    labels = [_shown(name, 24) for name in classes]
    beside = 0.065 * max(len(label) for label in labels)
    size = (max(4.8, 2.3 * across + beside + 0.4), down * (0.21 * n + 0.75) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for ax, generator in zip(axes.flat, generators, strict=False):
        own = {r["class"]: r for r in rows if r["generator"] == generator}
        for y, name in enumerate(classes):
            _bar(ax, y, own.get(name))
        _panel(ax, generator)
    for ax in axes.flat[len(generators) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, len(generators) - across) : len(generators)]:
        ax.tick_params(labelbottom=True)  # the lowest panel of each column, whatever its row
        ax.set_xlabel("MMD² →\u2002farther")
    axes[0, 0].set_yticks(range(n), labels)
    axes[0, 0].set_ylim(n - 0.4, -0.6)
    _headline(figure, title)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3)
    return figure


def _farthest(rows: Sequence[Row], most: int) -> list[str]:
    """Return the classes by the largest distance of any generator, the farthest first."""
    largest: dict[str, float] = {}
    for row in rows:
        value = float("-inf") if row["value"] is None else row["value"]
        largest[row["class"]] = max(value, largest.get(row["class"], value))
    return sorted(largest, key=lambda name: (-largest[name], name))[:most]


def _bar(ax: Axes, y: float, row: Row | None) -> None:
    if row is None or row["value"] is None:
        ax.annotate("no value", (0, y), (3, 0), textcoords="offset points", va="center",
                    fontsize=7, color=_MUTED)  # fmt: skip
        return
    ax.barh(y, row["value"], height=0.62, color=_COLOURS[0], alpha=0.55, lw=0)
    if row["ci_low"] is not None and row["ci_high"] is not None:
        ends = [row["ci_low"], row["ci_high"]]
        ax.plot(ends, [y, y], color=_INK, lw=1.1, marker="|", ms=4, mew=1.1)
    if row["floor"] is not None:
        ax.plot([row["floor"]] * 2, [y - 0.45, y + 0.45], color=_COLOURS[1], lw=1.8)


def _panel(ax: Axes, generator: str) -> None:
    ax.set_title(_shown(generator, 32), loc="left", fontweight="bold", fontsize=8.5)
    ax.axvline(0, color=_INK, lw=0.9)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.locator_params(axis="x", nbins=4)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


def _legend() -> list[Line2D | Patch]:
    return [
        Patch(color=_COLOURS[0], alpha=0.55, lw=0, label="MMD²"),
        Line2D([], [], color=_INK, lw=1.1, marker="|", ms=4, mew=1.1, label="its 95 % interval"),
        Line2D([], [], color=_COLOURS[1], lw=1.8, label="floor: real against real"),
    ]
