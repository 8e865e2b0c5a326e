"""Shaded tables → figures: verdicts of encoders and generators, classes, confusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from xprobe.report.class_map import LEAST_SCALE as LEAST_CLASS_SCALE
from xprobe.report.figures.style import INK, headline, shown
from xprobe.report.matrix import LEAST_SCALE
from xprobe.report.words import in_order, points, setting_title
from xprobe.results.rows import ClassResult, Result
from xprobe.verdict.family import HELPS, HURTS

_MOST_CLASSES_WITH_NUMBERS = 20

_BLUES = LinearSegmentedColormap.from_list(
    "share", ["#ffffff", "#b7d3ea", "#3f86bf", "#08306b"]
).with_extremes(bad="#ececec")

_BOTH_WAYS = LinearSegmentedColormap.from_list(
    "difference", ["#b34a00", "#f0b58a", "#ffffff", "#8fc1e3", "#005a92"]
).with_extremes(bad="#ececec")

_SIGNS = {HELPS: "▲", HURTS: "▼", "equivalent": "="}


def matrix(studies: Sequence[tuple[str, Sequence[Result]]]) -> Figure:
    """Draw studies × mixes: the shade is the difference to real-only, the sign the verdict.

    Args:
        studies: title and judged mixes of each.
    """
    columns = sorted({(r.generator or "", r.ratio or 0.0) for _, rows in studies for r in rows})
    values = np.full((len(studies), len(columns)), np.nan)
    figure = Figure(figsize=(0.62 * len(columns) + 3, 0.3 * len(studies) + 1.5),
                    layout="constrained")  # fmt: skip
    ax = figure.subplots()
    for i, (_, rows) in enumerate(studies):
        for row in rows:
            j = columns.index((row.generator or "", row.ratio or 0.0))
            values[i, j] = 100 * (row.difference or 0)
            text = f"{_SIGNS.get(row.kind, '')} {points(row.difference or 0)}".strip()
            weight = "bold" if row.kind in _SIGNS else "normal"
            ax.text(j, i, text, ha="center", va="center", fontsize=7.5, fontweight=weight)
    scale = max(100 * LEAST_SCALE, float(np.nanmax(np.abs(values))))
    # The shade stays so pale that the numbers can be read.
    image = ax.imshow(values, cmap=_BOTH_WAYS, vmin=-1.6 * scale, vmax=1.6 * scale, aspect="auto")
    titles = [f"{shown(generator, 18)}\n1:{ratio:g}" for generator, ratio in columns]
    ax.set_xticks(range(len(columns)), titles)
    ax.set_yticks(range(len(studies)), [shown(title, 40) for title, _ in studies])
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax, pad=0.02, aspect=14, boundaries=np.linspace(-scale, scale))
    bar.set_label("Points")
    bar.outline.set_visible(False)
    headline(figure, "Difference in accuracy to real-only; ▲ helps, ▼ hurts, = equivalent")
    return figure


def classes(rows: Sequence[ClassResult], title: str) -> Figure:
    """Draw classes × settings: the shade is the difference in recall to real-only."""
    settings = list(dict.fromkeys(setting_title(row) for row in sorted(rows, key=in_order)))
    names = list(dict.fromkeys(row.class_ for row in rows))
    values = np.full((len(names), len(settings)), np.nan)
    figure = Figure(figsize=(0.62 * len(settings) + 3.4, 0.2 * len(names) + 1.4),
                    layout="constrained")  # fmt: skip
    ax = figure.subplots()
    for row in rows:
        i, j = names.index(row.class_), settings.index(setting_title(row))
        values[i, j] = 100 * row.difference
        sign = _SIGNS.get(row.kind)
        text = f"{sign} {points(row.difference)}" if sign else points(row.difference)
        ax.text(j, i, text, ha="center", va="center", fontsize=6.5)
    scale = max(100 * LEAST_CLASS_SCALE, float(np.nanmax(np.abs(values))))
    image = ax.imshow(values, cmap=_BOTH_WAYS, vmin=-1.6 * scale, vmax=1.6 * scale, aspect="auto")
    ax.set_xticks(range(len(settings)), settings)
    ax.set_yticks(range(len(names)), [shown(name, 24) for name in names], fontsize=7.5)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax, pad=0.02, aspect=28, boundaries=np.linspace(-scale, scale))
    bar.set_label("Points of recall")
    bar.outline.set_visible(False)
    headline(figure, title)
    return figure


def confusion_pair(
    classes: Sequence[str], matrices: Sequence[NDArray[np.float64]], title: str
) -> Figure:
    """Draw the confusions of real-only and of a mix, and their difference.

    Args:
        classes: names of the k classes.
        matrices: two of (k, k), in percent of each true class.
        title: title of the mix.
    """
    before, after = matrices
    cells, label, size = _sizes(classes)
    wide = 3 * (cells + 0.5) + label + 1.8
    figure = Figure(figsize=(wide, cells + label + 0.9), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    panels = zip(("real-only", title, "difference"), (before, after, after - before), strict=True)
    for ax, (words, values) in zip(axes, panels, strict=True):
        is_difference = words == "difference"
        image = _panel(ax, classes, values, size, is_difference)
        ax.set_title(shown(words, 44), loc="left", fontsize=8.5)
        bar = figure.colorbar(image, ax=ax, shrink=0.7, aspect=28, pad=0.02)
        bar.set_label("Points" if is_difference else "Share of the true class (%)")
        bar.outline.set_visible(False)
    axes[0].set_ylabel("True class")
    headline(figure, "Confusions, rows as shares of the true class")
    return figure


def confusion(classes: Sequence[str], values: NDArray[np.float64], title: str) -> Figure:
    """Draw a confusion matrix (k, k) in percent of each true class: recall on the diagonal."""
    cells, label, size = _sizes(classes)
    figure = Figure(figsize=(cells + label + 1.3, cells + label + 0.9), layout="constrained")
    ax = figure.subplots()
    image = _panel(ax, classes, values, size, False)
    ax.set_ylabel("True class")
    bar = figure.colorbar(image, ax=ax, shrink=0.7 if len(classes) > 6 else 1, aspect=28, pad=0.02)
    bar.set_label("Share of the true class (%)")
    bar.outline.set_visible(False)
    headline(figure, title)
    return figure


def _sizes(classes: Sequence[str]) -> tuple[float, float, float]:
    """Return the length of a side and of the longest name in inches, and the size of names."""
    cells = float(np.clip(0.34 * len(classes), 1.8, 12))
    size = min(8.5, 0.6 * 72 * cells / len(classes))
    label = max(len(shown(name, 24)) for name in classes) * 0.62 * size / 72
    return cells, label, size


def _panel(
    ax: Axes, classes: Sequence[str], values: NDArray[np.float64], size: float, is_difference: bool
) -> Any:
    """Draw a matrix with the names of its classes, and return what a colour bar needs."""
    k, names = len(classes), [shown(name, 24) for name in classes]
    if is_difference:
        scale = max(10.0, float(np.nanmax(np.abs(values), initial=0)))
        looks: dict[str, Any] = {"cmap": _BOTH_WAYS, "vmin": -1.6 * scale, "vmax": 1.6 * scale}
    else:
        looks = {"cmap": _BLUES, "vmin": 0, "vmax": 100}
    image = ax.imshow(values, interpolation="nearest", **looks)
    ax.set_xticks(range(k), names, rotation=90, fontsize=size)
    ax.set_yticks(range(k), names, fontsize=size)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("Predicted class")
    if k <= _MOST_CLASSES_WITH_NUMBERS:
        for i, j in np.argwhere(np.abs(values) >= 0.5):
            dark = not is_difference and values[i, j] > 55
            ax.text(
                j, i, f"{values[i, j]:+.0f}" if is_difference else f"{values[i, j]:.0f}",
                ha="center", va="center", color="white" if dark else INK, fontsize=7.5,
                fontweight="bold" if i == j else "normal",
            )  # fmt: skip
    return image
