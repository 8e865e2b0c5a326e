"""Distances of synthetic images to real ones → figures, in the style that all figures share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from xprobe.images.decode import UnusableImageError, decode
from xprobe.report.figures.drawing import Drawing, Names
from xprobe.report.figures.style import COLOURS, INK, MARKERS, MUTED, finish, headline, shown
from xprobe.results.distance import DistanceRow, Example, FeatureMap, MapPoint

SHOWN = "mmd"

_MOST_CLASSES = 40

_MOST_BARS = 160  # A column of panels shows no more bars than this.

_PANELS_A_ROW = 3

_MOST_EXAMPLES = 12  # a figure has examples of no more classes

_THUMBNAIL_PX = 96

_METHODS = {"pca": "Two principal axes", "tsne": "t-SNE", "umap": "UMAP"}


def draw(rows: Sequence[DistanceRow]) -> Iterator[Drawing]:
    """Draw the distance of each class, one figure an encoder.

    Args:
        rows: distances, of which only MMD² of single classes is drawn.
    """
    names = Names()
    classes = [row for row in rows if row.metric == SHOWN and row.class_ is not None]
    for encoder in dict.fromkeys(row.title for row in classes):
        title = f"Distance of synthetic to real images of each class, {encoder}"
        bars = [row for row in classes if row.title == encoder]
        if all(row.value is None for row in bars):
            continue
        stem = names.new(f"distance-{encoder}")
        yield finish(stem, "distance", None, title, _bars, bars, title)


def draw_maps(maps: Sequence[FeatureMap]) -> Iterator[Drawing]:
    """Draw where images lie, a figure a map."""
    names = Names()
    for plane in maps:
        method = plane.method
        title = f"{_METHODS.get(method, method)} of the features, {plane.title}"
        stem = names.new(f"map-{plane.title}-{method}")
        yield finish(stem, "map", None, title, _map, plane.points, title, method == "pca")


def draw_examples(examples: Sequence[Example]) -> Iterator[Drawing]:
    """Draw synthetic images beside their nearest real ones, a figure an encoder and generator.

    Classes whose files are gone are left out, and figures without any.
    """
    names = Names()
    for who in dict.fromkeys((row.title, row.generator) for row in examples):
        rows = [row for row in examples if (row.title, row.generator) == who]
        pairs = [(row, _picture(row.path), _picture(row.neighbour_path)) for row in rows]
        whole = [pair for pair in pairs if pair[1] is not None and pair[2] is not None]
        if whole:
            title = f"Synthetic images and the nearest real ones, {' · '.join(who)}"
            stem = names.new(f"examples-{'-'.join(who)}")
            yield finish(stem, "examples", None, title, _examples, whole, title)


def _picture(path: str) -> Image.Image | None:
    try:
        image = decode(path)
    except (OSError, ValueError, UnusableImageError):  # ValueError: the text is no path
        return None
    image.thumbnail((_THUMBNAIL_PX,) * 2, Image.Resampling.LANCZOS)
    return image


def _map(points: Sequence[MapPoint], title: str, has_axes: bool) -> Figure:
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    ax = figure.subplots()
    generators = list(dict.fromkeys(p.generator for p in points if p.generator))
    looks: list[tuple[str | None, str, str, str]] = [(None, "real", MUTED, "o")]
    for i, name in enumerate(generators):
        look = COLOURS[i % len(COLOURS)], MARKERS[1 + i % (len(MARKERS) - 1)]
        looks.append((name, name, *look))
    for generator, label, colour, marker in looks:
        part = [point for point in points if point.generator == generator]
        ax.scatter(
            [point.x for point in part], [point.y for point in part], s=9, color=colour,
            marker=marker, alpha=0.5, lw=0, label=shown(label, 32),
        )  # fmt: skip
    ax.set_xticks([])
    ax.set_yticks([])
    if has_axes:
        ax.set_xlabel("First principal axis")
        ax.set_ylabel("Second principal axis")
    headline(figure, title)
    figure.legend(loc="outside lower center", ncols=3, markerscale=2)
    return figure


def _examples(pairs: Sequence[tuple[Example, Image.Image, Image.Image]], title: str) -> Figure:
    """Draw a row per class: closest, median and farthest image, each with its nearest real one."""
    classes = list(dict.fromkeys(row.class_ for row, *_ in pairs))[:_MOST_EXAMPLES]
    columns = list(dict.fromkeys(row.which for row, *_ in pairs))
    across = 2 * len(columns)
    size = (0.95 * across + 1.2, 0.95 * len(classes) + 1.0)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(classes), across, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for row, synthetic, real in pairs:
        if row.class_ not in classes:
            continue
        i, j = classes.index(row.class_), 2 * columns.index(row.which)
        axes[i, j].imshow(synthetic)
        axes[i, j + 1].imshow(real)
        if j == 0:
            name = shown(row.class_, 16)
            axes[i, j].text(-0.08, 0.5, name, transform=axes[i, j].transAxes, ha="right",
                            va="center", fontsize=8)  # fmt: skip
    for j, which in enumerate(columns):
        axes[0, 2 * j].set_title(which, fontsize=8.5, loc="left", fontweight="bold")
        axes[0, 2 * j + 1].set_title("real", fontsize=8.5, loc="left", color=MUTED)
    headline(figure, title)
    return figure


def _bars(rows: Sequence[DistanceRow], title: str) -> Figure:
    """Draw a panel per generator, in it a bar per class with interval and real-to-real floor."""
    generators = list(dict.fromkeys(row.generator for row in rows))
    down = -(-len(generators) // _PANELS_A_ROW)
    across = -(-len(generators) // down)
    classes = _farthest(rows, max(5, min(_MOST_CLASSES, _MOST_BARS // down)))
    n, total = len(classes), len({row.class_ for row in rows})
    if n < total:
        title = f"{title}: the {n} farthest of {total}"
    labels = [shown(name, 24) for name in classes]
    beside = 0.065 * max(len(label) for label in labels)
    size = (max(4.8, 2.3 * across + beside + 0.4), down * (0.21 * n + 0.75) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for ax, generator in zip(axes.flat, generators, strict=False):
        by_class = {row.class_: row for row in rows if row.generator == generator}
        for y, name in enumerate(classes):
            _bar(ax, y, by_class.get(name))
        _panel(ax, generator)
    for ax in axes.flat[len(generators) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, len(generators) - across) : len(generators)]:
        ax.tick_params(labelbottom=True)  # the last panel of a column bears its axis
        ax.set_xlabel("MMD² →\u2002farther")
    axes[0, 0].set_yticks(range(n), labels)
    axes[0, 0].set_ylim(n - 0.4, -0.6)
    headline(figure, title)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3)
    return figure


def _farthest(rows: Sequence[DistanceRow], most: int) -> list[str]:
    """Return the classes by the largest distance of any generator, the farthest first."""
    largest: dict[str, float] = {}
    for row in rows:
        value, name = float("-inf") if row.value is None else row.value, row.class_ or ""
        largest[name] = max(value, largest.get(name, value))
    return sorted(largest, key=lambda name: (-largest[name], name))[:most]


def _bar(ax: Axes, y: float, row: DistanceRow | None) -> None:
    if row is None or row.value is None:
        ax.annotate("no value", (0, y), (3, 0), textcoords="offset points", va="center",
                    fontsize=7, color=MUTED)  # fmt: skip
        return
    ax.barh(y, row.value, height=0.62, color=COLOURS[0], alpha=0.55, lw=0)
    if row.ci_low is not None and row.ci_high is not None:
        ends = [row.ci_low, row.ci_high]
        ax.plot(ends, [y, y], color=INK, lw=1.1, marker="|", ms=4, mew=1.1)
    if row.floor is not None:
        ax.plot([row.floor] * 2, [y - 0.45, y + 0.45], color=COLOURS[1], lw=1.8)


def _panel(ax: Axes, generator: str) -> None:
    ax.set_title(shown(generator, 32), loc="left", fontweight="bold", fontsize=8.5)
    ax.axvline(0, color=INK, lw=0.9)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.locator_params(axis="x", nbins=4)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


def _legend() -> list[Line2D | Patch]:
    return [
        Patch(color=COLOURS[0], alpha=0.55, lw=0, label="MMD²"),
        Line2D([], [], color=INK, lw=1.1, marker="|", ms=4, mew=1.1, label="its 95 % interval"),
        Line2D([], [], color=COLOURS[1], lw=1.8, label="floor: real against real"),
    ]
