"""Results as tables for a terminal; they are built here, and the commands print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from xprobe.base.documents import Document, to_json
from xprobe.base.visible import visible
from xprobe.design.setting import head_title, setting_title

if TYPE_CHECKING:
    from xprobe.results.distance import DistanceRow, LeakRow
    from xprobe.results.families import Family
    from xprobe.results.rows import DataValue, Result
    from xprobe.results.study import Study

if TYPE_CHECKING:
    from xprobe.design.power import Detectable
    from xprobe.images.survey import Shape

Row = Mapping[str, Any]

# Called ASCII, since rich would draw another box where the encoding of stdout is no UTF-8; printing
# finds a sign for the rule itself.
RULED = box.Box(str(box.SIMPLE_HEAD), ascii=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table of visible text; numbers stand right, None is a dash."""
    grid = Table(
        title=visible(title), title_justify="left", title_style="bold", box=RULED, pad_edge=False
    )
    for i, column in enumerate(columns):
        numbers = all(isinstance(row[i], (int, float)) for row in rows)
        grid.add_column(visible(column), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    return grid


def of_rows(title: str, columns: Sequence[str], rows: Sequence[Document | Row]) -> Table:
    """Return a table of these fields of flat rows; a list is shown as the number of its entries."""
    names = [column.replace("_", " ") for column in columns]
    flat = [to_json(row) for row in rows]
    cells = [[row[column] for column in columns] for row in flat]
    return table(
        title, names, [[len(c) if isinstance(c, list) else c for c in row] for row in cells]
    )


def of_formats(rows: Sequence[Shape]) -> Table:
    """Return the table of `survey.shapes`."""
    columns = ("source", "format", "n", "width", "height")
    cells = [
        [row.source, row.format, row.n, *(", ".join(map(str, s)) for s in (row.width, row.height))]
        for row in rows
    ]
    return table("pixels (smallest, median, largest)", columns, cells)


def of_family(study: Study, generator: str) -> Table:
    """Return what a study says of one generator, real-only first, accuracy in percent."""
    head = head_title(study.config.head, *study.part)
    names = (
        study.encoder.title, head, f"generator {generator}", study.protocol, "accuracy, %",
    )  # fmt: skip
    rows = _accuracies(study, generator)
    columns = ["setting", "accuracy", "minus real-only"]
    if any(row.control_difference is not None for row in rows):
        columns += ["minus its control", "judged by"]
    columns.append("p")
    if any(row.p_study_wide is not None for row in rows):
        columns.append("study-wide p")
    columns += ["verdict", "detectable"]
    cells = [_result_cells(row) for row in rows]
    return table(" · ".join(names), columns, [[by_name[c] for c in columns] for by_name in cells])


def _accuracies(study: Study, generator: str) -> list[Result]:
    """Return the accuracy of the settings of a generator, and of those without any."""
    return [
        row
        for row in study.results
        if row.metric == "accuracy" and row.generator in (None, generator)
    ]


def side_by_side(studies: Sequence[Study], generator: str) -> Table:
    """Return accuracy, %, and verdict of every setting in every study of a generator."""
    from xprobe.report.words import verdict_words

    names = [f"{s.encoder.title}, {head_title(s.config.head, *s.part)}" for s in studies]
    cells: dict[str, list[str | None]] = {}
    for i, study in enumerate(studies):
        for row in _accuracies(study, generator):
            title = setting_title(row.setting, row.ratio, row.augment)
            words = f"{100 * row.value:.1f} {verdict_words(row)}".strip()
            cells.setdefault(title, [None] * len(studies))[i] = words
    rows = [[title, *texts] for title, texts in cells.items()]
    return table(f"side by side · generator {generator} · accuracy, %", ["setting", *names], rows)


def of_distances(rows: Sequence[DistanceRow]) -> Table:
    """Return the table of distances; single classes have the first metric alone."""
    first = rows[0].metric if rows else ""
    shown = [
        row for row in rows if row.class_ is None or (row.metric == first and row.value is not None)
    ]
    columns = ["encoder", "generator", "class", "metric", "value", "floor", "p", "n", "remark"]
    cells = [
        [
            row.title, row.generator, row.class_ or "all", row.metric,
            _estimate(row.value, row.ci_low, row.ci_high), _number(row.floor),
            _p(row.p), row.n,
            "; ".join(filter(None, [row.assumption, row.reason])) or None,
        ]
        for row in shown
    ]  # fmt: skip
    return table("how far synthetic lies from real", columns, cells)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _estimate(value: float | None, low: float | None, high: float | None) -> str | None:
    if value is None or low is None or high is None:
        return _number(value)
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def of_leaks(rows: Sequence[LeakRow]) -> Table:
    """Return the table of copies and duplicates."""
    cells = [[row.id, row.kind, row.neighbour, row.similarity] for row in rows]
    return table("copies and duplicates", ["id", "kind", "neighbour", "similarity"], cells)


def of_families(families: Sequence[Family]) -> Table:
    """Return the table of `results.families`."""
    columns = ("encoder", "head", "generator", "of", "smallest p", "study-wide p")
    cells = [
        [
            f.title,
            head_title(f.head, f.real_fraction, f.train_per_class),
            f.generator,
            f.setting,
            _p(f.p_smallest),
            _p(f.p_study_wide),
        ]
        for f in families
    ]
    return table(f"{len(families)} families of comparisons", columns, cells)


def _result_cells(row: Result) -> dict[str, str | None]:
    """Return the cells of a result by the name of their column."""
    from xprobe.report.words import verdict_words

    mix = "mix " if row.setting == "mix" else ""
    accuracy = f"{100 * row.value:.1f}"
    if row.ci_low is not None and row.ci_high is not None:
        accuracy += f" [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"
    is_controlled = row.control_difference is not None
    return {
        "setting": mix + setting_title(row.setting, row.ratio, row.augment),
        "accuracy": accuracy,
        "minus real-only": _span(row.difference, row.difference_low, row.difference_high),
        "minus its control": _span(row.control_difference, row.control_low, row.control_high),
        "judged by": _ends(row.judged_low, row.judged_high) if is_controlled else None,
        "p": _p(row.p_adjusted),
        "study-wide p": _p(row.p_study_wide),
        "verdict": verdict_words(row) or None,
        "detectable": None if row.detectable is None else f"±{100 * row.detectable:.1f}",
    }


def _span(value: float | None, low: float | None, high: float | None) -> str | None:
    ends = _ends(low, high)
    return None if value is None or ends is None else f"{100 * value:+.1f} {ends}"


def _ends(low: float | None, high: float | None) -> str | None:
    if low is None or high is None:
        return None
    return f"[{100 * low:+.1f}, {100 * high:+.1f}]"


def of_worth(rows: Sequence[DataValue]) -> Table:
    """Return the table of what the mixes of learning curves are worth."""
    from xprobe.report.words import worth_interval

    columns = ["encoder", "head", "generator", "setting", "real of each class",
               "synthetic of each class", "worth, further real ones"]  # fmt: skip
    cells = [
        [
            row.alias or row.encoder, row.head, row.generator, f"1:{row.ratio:g}",
            f"{row.real_per_class:.0f}", f"{row.synthetic_per_class:.0f}",
            f"{row.value:.0f} {worth_interval(row)}",
        ]
        for row in rows
    ]  # fmt: skip
    return table("what synthetic images are worth", columns, cells)


def of_plan(rows: Sequence[Detectable]) -> Table:
    """Return the table of `power.plan`."""
    columns = ["what", "real of each class", "tested", "groups", "comparisons",
               "detectable, points", "variance"]  # fmt: skip
    cells = [
        [
            row.what, f"{row.real_per_class:g}{' (at hand)' if row.at_hand else ''}",
            row.test_images, row.groups, row.comparisons, _detectable(row), row.basis,
        ]
        for row in rows
    ]  # fmt: skip
    return table("what could be detected", columns, cells)


def _detectable(row: Detectable) -> str:
    if row.detectable_low is None or row.detectable_high is None:
        return f"{100 * row.detectable:.1f}"
    return f"{100 * row.detectable_low:.1f}–{100 * row.detectable_high:.1f}"


def duration(seconds: float) -> str:
    """Return a time as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _p(p: float | None) -> str | None:
    """Return a p-value as the report shows it; None without one."""
    from xprobe.report.words import p_value

    return None if p is None else p_value(p)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return visible(str(value))
