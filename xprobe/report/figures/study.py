"""Results of studies → figures, as PNG and SVG bytes.

Equal studies give equal bytes. Figures are drawn through matplotlib's object API, so that nothing
of the caller's plotting state is used or changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xprobe.report.figures.drawing import Drawing, Names
from xprobe.report.figures.style import COLOURS, INK, MARKERS, MUTED, finish, headline, shown
from xprobe.report.words import (
    ALTERNATIVES,
    METRICS,
    family_title,
    in_order,
    points,
    ratio_title,
    setting_title,
    span,
    study_title,
)
from xprobe.results.rows import OfSetting, Result
from xprobe.results.study import Study
from xprobe.verdict.family import HELPS, HURTS, NOT_DETECTED, NOT_SEPARABLE

_ROWS_A_PAGE = 44

_MOST_CLASSES_WITH_NUMBERS = 20

_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))

Block = tuple[str, float | None, list[Result]]  # a block of a forest plot: title, margin, rows

Sized = tuple[float, Result]  # the number of real images trained on, and a row of that study

# Each kind of verdict has a colour and a marker, which is filled or not.
_VERDICTS = {
    HELPS: ("#0072B2", "o", True),
    HURTS: ("#D55E00", "s", True),
    "equivalent": ("#009E73", "D", True),
    NOT_SEPARABLE: ("#8a5a00", "X", True),
    NOT_DETECTED: ("#5f5f5f", "o", False),
}

_BLUES = LinearSegmentedColormap.from_list(
    "share", ["#ffffff", "#b7d3ea", "#3f86bf", "#08306b"]
).with_extremes(bad="#ececec")


def draw(studies: Sequence[Study]) -> Iterator[Drawing]:
    """Draw every figure of a report, one after another.

    First the differences to real-only of all studies, and accuracy over the number of real images
    where that varies; then for each study accuracy and macro-F1 over the ratios, and the confusion
    matrix of each setting.
    """
    names = Names()
    pages = _pages(studies)
    for number, page in enumerate(pages, start=1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        title = f"Differences in accuracy to real-only{part}"
        yield finish(names.new("differences"), "differences", None, title, _forest, page)
    for name, rows in _by_size(studies):
        title = f"Accuracy over the number of real images, {name}"
        stem = names.new(f"sizes-{name}")
        yield finish(stem, "sizes", None, title, _sizes, rows, title)
    for i, study in enumerate(studies):
        name = study_title(study)
        for metric, words in METRICS.items():
            if curve := [row for row in study.results if row.metric == metric]:
                stem, title = names.new(f"{metric}-{name}"), f"{words} over the ratios, {name}"
                yield finish(stem, metric, i, title, _curves, curve, words, name)
        for setting in sorted(study.settings, key=in_order):
            title = " · ".join([name, *_generator(setting), setting_title(setting)])
            stem, classes = names.new(f"confusion-{title}"), study.manifest.classes
            confusion = setting.confusion
            yield finish(stem, "confusion", i, title, _confusion, classes, confusion, title)


def _generator(row: OfSetting) -> list[str]:
    return [] if row.generator is None else [row.generator]


def _curves(rows: Sequence[Result], metric: str, title: str) -> Figure:
    """Draw a metric over ratios: a line per generator, real-only across, synthetic-only beside."""
    figure = Figure(figsize=(4.8, 3.9), layout="constrained")
    ax = figure.subplots()
    generators = list(dict.fromkeys(r.generator for r in rows if r.generator is not None))
    ratios = sorted({_ratio(row) for row in rows if row.setting == "mix"})
    place = _places(ratios)
    beside = (max(place.values(), default=0.0)) + 1.25
    step = min(0.16, 0.6 / max(1, len(generators)))
    handles = _real_line(ax, rows)
    for i, generator in enumerate(generators):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        dash = _DASHES[i % len(_DASHES)]
        shift = (i - (len(generators) - 1) / 2) * step
        part = [row for row in rows if row.generator == generator and not row.augment]
        mixes = sorted((row for row in part if row.setting == "mix"), key=_ratio)
        _points(ax, [place[_ratio(row)] + shift for row in mixes], mixes, colour, marker, dash)
        only = [row for row in part if row.setting == "synthetic-only"]
        _points(ax, [beside + shift] * len(only), only, colour, marker, "none")
        handles.append(_handle(shown(f"real + {generator}", 38), colour, marker, dash))
    _ratio_axis(ax, place, beside)
    ax.set_ylabel(f"{metric} (%)")
    ax.grid(axis="y")
    headline(figure, title)
    figure.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=2.6)
    return figure


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


def _ratio_axis(ax: Axes, place: dict[float, float], beside: float) -> None:
    titles = [ratio_title(ratio) for ratio in place]
    ax.set_xticks([*place.values(), beside], [*titles, "synthetic-\nonly"])
    ax.set_xlim(min(place.values(), default=beside) - 0.5, beside + 0.5)
    ax.axvline(beside - 0.62, color=MUTED, lw=0.6, ls=(0, (1, 2)))
    ax.set_xlabel("Real : synthetic training images")


def _by_size(studies: Sequence[Study]) -> Iterator[tuple[str, list[Sized]]]:
    """Yield title and rows of each generator that was studied at several numbers of real images."""
    sized: dict[tuple[str, str], list[Sized]] = {}
    for study in studies:
        size = study.real_only.n_train_real
        sized.setdefault((study.encoder.title, study.config.head), []).extend(
            (size, row) for row in study.results if row.metric == "accuracy" and not row.augment
        )
    for (encoder, head), pairs in sized.items():
        if len({size for size, _ in pairs}) > 1:
            for generator in dict.fromkeys(row.generator for _, row in pairs if row.generator):
                part = [(n, row) for n, row in pairs if row.generator in (None, generator)]
                yield family_title(encoder, head, (1.0, None), generator), part


def _sizes(pairs: Sequence[Sized], title: str) -> Figure:
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


def _pages(studies: Sequence[Study]) -> list[list[Block]]:
    """Return the blocks of every forest plot: a family a block."""
    pages: list[list[Block]] = [[]]
    filled = 0
    for study in studies:
        judged = (row for row in study.results if row.verdict is not None)
        rows = sorted(judged, key=in_order)
        families = [None if row.augment else row.generator for row in rows]
        for generator in dict.fromkeys(families):
            part = [row for row, name in zip(rows, families, strict=True) if name == generator]
            if filled and filled + len(part) > _ROWS_A_PAGE:
                pages.append([])
                filled = 0
            title = f"{study_title(study)} · {generator or ALTERNATIVES}"
            pages[-1].append((title, study.config.margin, part))
            filled += len(part) + 1
    return [page for page in pages if page]


def _forest(blocks: Sequence[Block]) -> Figure:
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
    headline(figure, "Differences to real-only with simultaneous 95 % intervals")
    margins = {margin for _, margin, _ in blocks} - {None}
    figure.legend(handles=_verdict_legend(seen, margins), loc="outside lower center", ncols=5)
    return figure


def _difference(ax: Axes, y: float, row: Result) -> str:
    colour, marker, filled = _VERDICTS[row.kind]
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
    return row.kind


def _verdict_legend(seen: Sequence[str], margins: set[Any]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    for kind, (colour, marker, filled) in _VERDICTS.items():
        if kind in seen:
            inside = colour if filled else "white"
            handles.append(
                Line2D(
                    [], [], lw=1.5, label=kind, color=colour, marker=marker, mfc=inside, mew=1.3,
                    ms=5.5,
                )
            )  # fmt: skip
    if margins:
        words = " or ".join(f"±{100 * m:g}" for m in sorted(margins))
        handles.append(Patch(color="#009E73", alpha=0.13, lw=0, label=f"margin {words} points"))
    return handles


def _confusion(classes: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> Figure:
    """Draw a confusion matrix, rows as shares of their true class: recall on the diagonal."""
    k, matrix = len(classes), np.asarray(counts, dtype=float)
    total = matrix.sum(axis=1, keepdims=True)
    share = np.divide(100 * matrix, total, out=np.full_like(matrix, np.nan), where=total > 0)
    names = [shown(name, 24) for name in classes]
    cells = float(np.clip(0.34 * k, 1.8, 12))  # inches
    size = min(8.5, 0.6 * 72 * cells / k)
    label = max(len(name) for name in names) * 0.62 * size / 72
    figure = Figure(figsize=(cells + label + 1.3, cells + label + 0.9), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(share, cmap=_BLUES, vmin=0, vmax=100, interpolation="nearest")
    ax.set_xticks(range(k), names, rotation=90, fontsize=size)
    ax.set_yticks(range(k), names, fontsize=size)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("Predicted class")
    ax.set_ylabel("True class")
    if k <= _MOST_CLASSES_WITH_NUMBERS:
        _cell_numbers(ax, share)
    bar = figure.colorbar(image, ax=ax, shrink=0.7 if k > 6 else 1.0, aspect=28, pad=0.02)
    bar.set_label("Share of the true class (%)")
    bar.outline.set_visible(False)
    headline(figure, title)
    return figure


def _cell_numbers(ax: Axes, share: np.ndarray[Any, Any]) -> None:
    for i, j in np.argwhere(share >= 0.5):
        colour = "white" if share[i, j] > 55 else INK
        weight = "bold" if i == j else "normal"
        ax.text(
            j, i, f"{share[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=7.5,
            fontweight=weight, in_layout=False,
        )  # fmt: skip
