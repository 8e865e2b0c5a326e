"""Results of studies → figures, as PNG and SVG bytes.

Equal studies give equal bytes. Figures are drawn through matplotlib's object API, so that nothing
of the caller's plotting state is used or changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xprobe.report.figures.plots import Block, Sized
from xprobe.report.figures.style import (
    COLOURS,
    INK,
    MARKERS,
    MUTED,
    VERDICTS,
    headline,
    shown,
)
from xprobe.report.words import of_setting, points, ratio_title, setting_title, span
from xprobe.results.rows import Result

_DOTTED = (0, (1.5, 1.5))
_DASHES = ("-", (0, (5, 1.5)), _DOTTED, (0, (5, 1.5, 1, 1.5)))


def curves(rows: Sequence[Result], metric: str, title: str) -> Figure:
    """Draw a metric over ratios: a line a generator, which begins at ratio 0 with real-only.

    As many further real images are a grey line where they were measured, the null edits of a
    generator a dotted one of its colour. Synthetic-only stands on an axis of its own, since it lies
    far away.
    """
    figure = Figure(figsize=(5.4, 3.9), layout="constrained")
    generators = list(dict.fromkeys(r.generator for r in rows if r.generator is not None))
    has_only = any(row.setting == "synthetic-only" for row in rows)
    axes = figure.subplots(1, 1 + has_only, squeeze=False, width_ratios=[4, 1][: 1 + has_only])[0]
    ratios = sorted({_ratio(row) for row in rows if row.setting in ("mix", "real-more")})
    beyond = _places(ratios)
    # Real-only stands one place before the first ratio, whatever the scale.
    place = {0.0: min(beyond.values(), default=1.0) - 1} | beyond
    step = min(0.12, 0.5 / max(1, len(generators)))
    handles = _real_line(axes[0], rows)
    start = [row for row in rows if row.setting == "real-only"]
    more = sorted((row for row in rows if row.setting == "real-more"), key=_ratio)
    if more:
        x = [place[0], *(place[_ratio(row)] for row in more)]
        _points(axes[0], x, [*start, *more], MUTED, "*", _DOTTED)
        handles.append(_handle("as many further real images", MUTED, "*", _DOTTED))
    for i, generator in enumerate(generators):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        dash = _DASHES[i % len(_DASHES)]
        shift = (i - (len(generators) - 1) / 2) * step
        part = [row for row in rows if row.generator == generator and not row.augment]
        mixes = sorted((row for row in part if row.setting == "mix"), key=_ratio)
        _points(axes[0], [place[_ratio(row)] + shift for row in mixes], mixes, colour, marker, dash)
        if start and mixes:
            ends = [place[0], place[_ratio(mixes[0])] + shift]
            values = [100 * start[0].value, 100 * mixes[0].value]
            axes[0].plot(ends, values, color=colour, ls=dash, lw=0.8)
        only = [row for row in part if row.setting == "synthetic-only"]
        if has_only:
            _points(axes[1], [shift] * len(only), only, colour, marker, "none")
        handles.append(_handle(shown(f"real + {generator}", 38), colour, marker, dash))
        if null := sorted((row for row in part if row.setting == "null-edit"), key=_ratio):
            x = [place[_ratio(row)] + shift + step / 2 for row in null]
            _points(axes[0], x, null, colour, "x", _DOTTED)
            name = shown(f"null edits of {generator}", 38)
            handles.append(_handle(name, colour, "x", _DOTTED))
    axes[0].set_xticks(list(place.values()), ["0", *map(ratio_title, ratios)])
    axes[0].set_xlabel("Real : synthetic training images")
    axes[0].set_ylabel(f"{metric} (%)")
    if has_only:
        axes[1].set_xticks([0], ["synthetic-\nonly"])
        axes[1].set_xlim(-0.6, 0.6)
    for ax in axes:
        ax.grid(axis="y")
    headline(figure, title)
    figure.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=2.6)
    return figure


def bars(rows: Sequence[Result], title: str) -> Figure:
    """Draw the accuracy of each setting as a bar with its interval; real-only runs across."""
    labels = [shown(" · ".join([*_generator(row), setting_title(row)]), 40) for row in rows]
    figure = Figure(figsize=(6, 0.24 * len(rows) + 1.1), layout="constrained")
    ax = figure.subplots()
    generators = list(dict.fromkeys(row.generator for row in rows if row.generator))
    for y, row in enumerate(rows):
        colour = MUTED
        if row.generator:
            colour = COLOURS[generators.index(row.generator) % len(COLOURS)]
        low, high = _ends(row)
        ax.barh(y, 100 * row.value, height=0.66, color=colour, alpha=0.55, lw=0)
        ax.plot([100 * low, 100 * high], [y, y], color=INK, lw=1.1)
        ax.text(1.01, y, f"{100 * row.value:.1f}", transform=ax.get_yaxis_transform(),
                va="center", fontsize=8)  # fmt: skip
    for row in rows:
        if row.setting == "real-only":
            ax.axvline(100 * row.value, color=INK, lw=0.9, ls=(0, (6, 3)))
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    ax.set_xlabel("Accuracy (%) with its 95 % interval")
    headline(figure, title)
    return figure


def _generator(row: Result) -> list[str]:
    return [] if row.generator is None else [row.generator]


def _handle(label: str, colour: str, marker: str, dash: Any) -> Line2D:
    return Line2D([], [], label=label, color=colour, marker=marker, ls=dash, ms=5, lw=1.5)


def _ratio(row: Result) -> float:
    return row.ratio or 0


def _places(ratios: Sequence[float]) -> dict[float, float]:
    """Return the place of each ratio on the axis, 1 apart at the least; logarithmic if wide."""
    scale = np.asarray(ratios, dtype=float)
    if len(scale) > 1:
        scale = np.log2(scale) if scale[-1] / scale[0] > 10 else scale
        scale = scale / np.diff(scale).min()
        if scale[-1] - scale[0] > 12:  # too wide for a figure to scale
            scale = np.arange(len(ratios), dtype=float)
    return dict(zip(ratios, scale.tolist(), strict=True))


def _real_line(ax: Axes, rows: Sequence[Result]) -> list[Line2D | Patch]:
    for row in rows:
        if row.setting != "real-only":
            continue
        low, high = _ends(row)
        ax.axhspan(100 * low, 100 * high, color="#000000", alpha=0.09, lw=0)
        ax.axhline(100 * row.value, color="#333333", lw=1.3, ls=(0, (6, 3)))
    line = Line2D([], [], color="#333333", lw=1.3, ls=(0, (6, 3)), label="real-only")
    return [line, Patch(color="#000000", alpha=0.09, lw=0, label="its 95 % interval")]


def _ends(row: Result) -> tuple[float, float]:
    """Return the ends of the interval of a result, or its value where it has no interval."""
    if row.ci_low is None or row.ci_high is None:
        return row.value, row.value
    return row.ci_low, row.ci_high


def _points(
    ax: Axes, x: Sequence[float], rows: Sequence[Result], colour: str, marker: str, dash: Any
) -> None:
    y = [100 * row.value for row in rows]
    down = [max(0.0, 100 * (row.value - _ends(row)[0])) for row in rows]
    up = [max(0.0, 100 * (_ends(row)[1] - row.value)) for row in rows]
    inside = "white" if dash == "none" else colour
    ax.errorbar(
        x, y, yerr=[down, up], color=colour, marker=marker, ls=dash, lw=1.5, ms=5, mfc=inside,
        mew=1.2, elinewidth=1, capsize=2.5, capthick=1,
    )  # fmt: skip


def sizes(pairs: Sequence[Sized], title: str) -> Figure:
    """Draw accuracy over the number of real images: real-only, and a line for each ratio."""
    figure = Figure(figsize=(4.8, 3.9), layout="constrained")
    ax = figure.subplots()
    sizes = sorted({size for size, _ in pairs})
    mixes = [(size, row) for size, row in pairs if row.setting == "mix"]
    lines = [("real-only", [pair for pair in pairs if pair[1].setting == "real-only"])]
    lines += [
        (ratio_title(ratio), [pair for pair in mixes if pair[1].ratio == ratio])
        for ratio in sorted({_ratio(row) for _, row in mixes})
    ]
    looks: Any = zip(
        itertools.cycle(("#333333", *COLOURS)), itertools.cycle(MARKERS), itertools.cycle(_DASHES)
    )
    handles = []
    for i, ((label, line), (colour, marker, dash)) in enumerate(zip(lines, looks, strict=False)):
        by_size = dict(sorted(line, key=lambda pair: pair[0]))
        apart = 1.015 ** (i - (len(lines) - 1) / 2)  # A factor shifts points on a logarithmic axis.
        _points(ax, [n * apart for n in by_size], list(by_size.values()), colour, marker, dash)
        handles.append(_handle(label, colour, marker, dash))
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{n:,.0f}" for n in sizes])
    ax.minorticks_off()
    ax.set_xlabel("Real training images")
    ax.set_ylabel("Accuracy (%)")
    ax.grid(axis="y")
    headline(figure, title)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=2.6)
    return figure


def forest(blocks: Sequence[Block], title: str) -> Figure:
    """Draw differences to real-only with simultaneous intervals, by family."""
    lines = sum(len(rows) + 1.4 for _, _, rows in blocks)
    figure = Figure(figsize=(7, 0.235 * lines + 1.35), layout="constrained")
    ax = figure.subplots()
    across = ax.get_yaxis_transform()
    y, ticks, labels, seen = 0.0, [], [], []
    for title, margin, rows in blocks:
        ax.text(
            0, y, shown(title, 70), transform=across, va="center", fontweight="bold", fontsize=8.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
        if margin is not None:
            between = [y + 0.5, y + len(rows) + 0.5]
            ax.fill_betweenx(
                between, -100 * margin, 100 * margin, color="#009E73", alpha=0.13, lw=0
            )
        for row in rows:
            y += 1
            ticks.append(y)
            alone = not row.augment
            labels.append(" · ".join([*([] if alone else _generator(row)), setting_title(row)]))
            seen.append(_difference(ax, y, row))
        y += 1.4
    ax.axvline(0, color=INK, lw=0.9, zorder=1)
    ax.set_yticks(ticks, labels)
    ax.set_ylim(y - 0.7, -0.7)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    ax.set_xlabel("← worse\u2003Difference in accuracy (percentage points)\u2003better →")
    headline(figure, f"{title}, with simultaneous 95 % intervals")
    margins = {margin for _, margin, _ in blocks} - {None}
    figure.legend(handles=_verdict_legend(seen, margins), loc="outside lower center", ncols=4)
    return figure


def _difference(ax: Axes, y: float, row: Result) -> tuple[str, str]:
    """Draw a difference; return the kind of its verdict, and how people read that."""
    colour, marker, filled = VERDICTS[row.kind]
    difference, low, high = (
        end or 0.0 for end in (row.difference, row.difference_low, row.difference_high)
    )
    ax.plot([100 * low, 100 * high], [y, y], color=colour, lw=1.5, solid_capstyle="butt")
    if row.control_difference is not None and row.judged_low is not None:
        judged = [100 * end for end in (row.judged_low, row.judged_high or 0.0)]
        ax.plot(judged, [y, y], color=colour, lw=0.6, solid_capstyle="butt")
    inside = colour if filled else "white"
    ax.plot(100 * difference, y, marker=marker, ms=5.5, color=colour, mfc=inside, mew=1.3)
    text = f"{points(difference)}\u2002{span(low, high)}"
    across = ax.get_yaxis_transform()
    ax.text(1.02, y, text, transform=across, va="center", fontsize=8)
    return row.kind, of_setting(row.kind, row)


def _verdict_legend(seen: Sequence[tuple[str, str]], margins: set[Any]) -> list[Line2D | Patch]:
    """Return the entries of the legend: the mark of each verdict, and its word in these rows."""
    order = list(VERDICTS)
    handles: list[Line2D | Patch] = []
    for kind, word in sorted(dict.fromkeys(seen), key=lambda pair: order.index(pair[0])):
        colour, marker, filled = VERDICTS[kind]
        inside = colour if filled else "white"
        handles.append(
            Line2D(
                [], [], lw=1.5, label=word, color=colour, marker=marker, mfc=inside, mew=1.3,
                ms=5.5,
            )
        )  # fmt: skip
    if margins:
        words = " or ".join(f"±{100 * m:g}" for m in sorted(margins))
        handles.append(Patch(color="#009E73", alpha=0.13, lw=0, label=f"margin {words} points"))
    return handles
