"""Results as tables for a terminal; they are built here, and the commands print them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xprobe.base.documents import Document, to_json
from xprobe.base.errors import counted
from xprobe.base.visible import visible
from xprobe.cli.sheets import Sheet
from xprobe.design.setting import head_title, setting_title
from xprobe.images.manifest import DEFAULT_GENERATOR

if TYPE_CHECKING:
    from xprobe.design.power import Detectable
    from xprobe.images.sources.xbd.selection import Step
    from xprobe.images.survey import Count, Shape
    from xprobe.results.distance import DistanceRow, LeakRow, PlaceRow
    from xprobe.results.families import Family
    from xprobe.results.rows import DataValue, MixComparison, Result
    from xprobe.results.study import Study
    from xprobe.study.beside import BesideRow, StudyPair

Row = Mapping[str, Any]


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    spare: Sequence[str] = (),
) -> Sheet:
    """Return a table of values; None is a dash."""
    cells = tuple(tuple(_cell(value) for value in row) for row in rows)
    return Sheet(visible(title), tuple(map(visible, columns)), cells, tuple(spare))


def of_rows(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Document | Row],
    spare: Sequence[str] = (),
) -> Sheet:
    """Return a table of these fields of flat rows; a list is shown as the number of its entries.

    An optional field that a row leaves out is a dash.

    `spare` names fields, as `Sheet` names headings.
    """
    names = [column.replace("_", " ") for column in columns]
    flat = [to_json(row) for row in rows]
    cells = [[row.get(column) for column in columns] for row in flat]
    return table(
        title, names, [[len(c) if isinstance(c, list) else c for c in row] for row in cells],
        [column.replace("_", " ") for column in spare],
    )  # fmt: skip


def of_counts(rows: Sequence[Count]) -> Sheet:
    """Return the table of `survey.counts`: a row a class, a column each part of the images."""
    order = {"train": 0, "test": 1}
    parts: dict[str, Counter[str]] = {}
    for row in sorted(rows, key=lambda row: (row.source, order.get(row.split, 2))):
        generator = "synthetic" if row.generator == DEFAULT_GENERATOR else row.generator
        words = (generator, row.control) if generator else (row.source, row.split)
        parts.setdefault(" ".join(filter(None, words)), Counter())[row.class_] += row.n
    labels = list(dict.fromkeys(row.class_ for row in rows))
    cells = [[label, *(counts[label] or None for counts in parts.values())] for label in labels]
    total = sum(counts.total() for counts in parts.values())
    title = f"{counted(total, 'image', 'images')} of {counted(len(labels), 'class', 'classes')}"
    every = ["all", *(counts.total() for counts in parts.values())]
    return table(title, ["class", *parts], [*cells, every])


def of_formats(rows: Sequence[Shape]) -> Sheet:
    """Return the table of `survey.shapes`."""
    columns = ("source", "format", "n", "width", "height")
    cells = [
        [row.source, row.format, row.n, *(", ".join(map(str, s)) for s in (row.width, row.height))]
        for row in rows
    ]
    return table("pixels (smallest, median, largest)", columns, cells)


def of_steps(steps: Sequence[Step]) -> Sheet:
    """Return the table of what the steps of a selection leave, by class and event."""
    kinds = sorted({kind for step in steps for kind in step.counts})
    cells: list[list[Any]] = []
    for label in dict.fromkeys(label for label, _ in kinds):
        events = [event for of_label, event in kinds if of_label == label]
        rows = [[step.counts[label, event] for step in steps] for event in events]
        cells += [[label, event, *row] for event, row in zip(events, rows, strict=True)]
        cells.append([label, "all", *map(sum, zip(*rows, strict=True))])
    names = [step.name for step in steps]
    return table("tiles that are left", ["class", "event", *names], cells)


def of_family(study: Study, generator: str) -> Sheet:
    """Return what a study says of one generator, real-only first, accuracy in percent."""
    head = head_title(study.config.head, *study.part)
    names = (
        study.encoder.title, head, f"generator {generator}", study.protocol, "accuracy, %",
    )  # fmt: skip
    rows = _accuracies(study, generator)
    columns = ["setting", "accuracy", "95 %", "minus real-only"]
    left = [study.without_fingerprint(row) for row in rows]
    if any(left):
        columns.append("minus null edits")
    if any(row.control_difference is not None for row in rows):
        columns += ["minus its control", "judged by"]
    columns.append("p")
    if any(row.p_study_wide is not None for row in rows):
        columns.append("study-wide p")
    columns += ["verdict", "detectable"]
    cells = [
        [_result_cells(row, null)[c] for c in columns] for row, null in zip(rows, left, strict=True)
    ]
    return table(" · ".join(names), columns, cells, ("95 %", "p", "judged by", "study-wide p"))


def _accuracies(study: Study, generator: str) -> list[Result]:
    """Return the accuracy of the settings of a generator, and of those without any."""
    return [
        row
        for row in study.results
        if row.metric == "accuracy" and row.generator in (None, generator)
    ]


def side_by_side(studies: Sequence[Study], generator: str) -> Sheet:
    """Return accuracy, %, and verdict of every setting in every study of a generator."""
    from xprobe.report.words import verdict_words

    names = [f"{s.encoder.title}, {head_title(s.config.head, *s.part)}" for s in studies]
    cells: dict[str, list[str | None]] = {}
    for i, study in enumerate(studies):
        for row in _accuracies(study, generator):
            title = setting_title(row.setting, row.ratio, row.augment)
            words = f"{100 * row.value:.1f} {_short(verdict_words(row))}".strip()
            cells.setdefault(title, [None] * len(studies))[i] = words
    rows = [[title, *texts] for title, texts in cells.items()]
    return table(f"side by side · generator {generator} · accuracy, %", ["setting", *names], rows)


def of_distances(rows: Sequence[DistanceRow]) -> Sheet:
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
    return table("how far synthetic lies from real", columns, cells, ("remark", "n", "floor"))


def _number(value: float | None) -> str | None:
    from xprobe.report.words import number

    return None if value is None else number(value)


def _estimate(value: float | None, low: float | None, high: float | None) -> str | None:
    from xprobe.report.words import interval

    return " ".join(filter(None, [_number(value), interval(low, high)])) or None


def of_leaks(rows: Sequence[LeakRow]) -> Sheet:
    """Return the table of copies and duplicates."""
    cells = [[row.id, row.kind, row.neighbour, row.similarity] for row in rows]
    columns = ["id", "kind", "neighbour", "similarity"]
    return table("copies and duplicates", columns, cells, ("similarity",))


def of_place(rows: Sequence[PlaceRow]) -> Sheet:
    """Return the table of what encoders know from the place alone, accuracy in percent."""
    from xprobe.report.words import place_estimate, place_share, place_words

    columns = ["encoder", "after", "before", "chance", "share of the place", "scenes", "verdict"]
    cells = [
        [
            row.title, _percent(row.after), place_estimate(row), _percent(row.chance),
            place_share(row), row.n, place_words(row),
        ]
        for row in rows
    ]  # fmt: skip
    title = "the event or the place · accuracy on unseen scenes after and before the event, %"
    return table(title, columns, cells, ("scenes", "chance"))


def of_families(families: Sequence[Family]) -> Sheet:
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
    title = f"{len(families)} families of comparisons"
    return table(title, columns, cells, ("smallest p", "of"))


def _result_cells(row: Result, left: MixComparison | None) -> dict[str, str | None]:
    """Return the cells of a result, and of a mix's comparison with null edits, by column."""
    from xprobe.report.words import verdict_words

    mix = "mix " if row.setting == "mix" else ""
    interval = None
    if row.ci_low is not None and row.ci_high is not None:
        interval = f"[{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"
    is_controlled = row.control_difference is not None
    return {
        "setting": mix + setting_title(row.setting, row.ratio, row.augment),
        "accuracy": f"{100 * row.value:.1f}",
        "95 %": interval,
        "minus real-only": _span(row.difference, row.difference_low, row.difference_high),
        "minus null edits": None if left is None else _span(left.difference, left.low, left.high),
        "minus its control": _span(row.control_difference, row.control_low, row.control_high),
        "judged by": _ends(row.judged_low, row.judged_high) if is_controlled else None,
        "p": _p(row.p_adjusted),
        "study-wide p": _p(row.p_study_wide),
        "verdict": _short(verdict_words(row)) or None,
        "detectable": None if row.detectable is None else f"±{100 * row.detectable:.1f}",
    }


def _span(value: float | None, low: float | None, high: float | None) -> str | None:
    ends = _ends(low, high)
    return None if value is None or ends is None else f"{_points(value)} {ends}"


def _ends(low: float | None, high: float | None) -> str | None:
    from xprobe.report.words import span

    return None if low is None or high is None else span(low, high)


def of_pair(pair: StudyPair) -> list[Sheet]:
    """Return two studies beside each other, a table for each generator, settings without one last.

    The widest rows fit 80 columns.
    """
    by_generator: dict[tuple[str | None, str | None], list[BesideRow]] = {}
    for row in pair.rows:
        by_generator.setdefault((row.generator_a, row.generator_b), []).append(row)
    shared = [pair.encoder, head_title(pair.head, pair.real_fraction, pair.train_per_class)]
    tables = []
    for (a, b), rows in by_generator.items():
        names = [a or "–", b or "–"][: 1 if a == b else 2]
        title = [f"generator {' | '.join(names)}"] if a or b else []
        cells = [
            [
                setting_title(row.setting, row.ratio, row.augment), _percent(row.value_a),
                _percent(row.value_b), _span(row.difference, row.low, row.high)
                or _points(row.difference), _short(row.verdict or "") or None,
            ]
            for row in rows
        ]  # fmt: skip
        columns = ["setting", "A", "B", "B − A", "B is"]
        tables.append(table(" · ".join([*shared, *title, "accuracy, %"]), columns, cells))
    return tables


def _short(verdict: str) -> str:
    """Return a verdict in words that a narrow column has room for."""
    from xprobe.verdict.family import NOT_DETECTED  # Here, since it loads SciPy, which is slow.

    return "not detected" if verdict == NOT_DETECTED else verdict


def pair_words(pair: StudyPair) -> str:
    """Say whether two studies are paired, and of which images they are."""
    from xprobe.report.words import count

    trained = " and ".join(dict.fromkeys((count(pair.n_train_a), count(pair.n_train_b))))
    if pair.is_paired:
        return f"paired on {pair.n_test_a:,} test images; {trained} real images to train on"
    return f"not paired: {pair.why}; {trained} real images to train on"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f}"


def _points(value: float | None) -> str | None:
    from xprobe.report.words import points

    return None if value is None else points(value)


def of_worth(rows: Sequence[DataValue]) -> Sheet:
    """Return the table of what the mixes and alternatives of learning curves are worth."""
    from xprobe.report.words import worth_interval

    columns = ["encoder", "head", "generator", "setting", "real of each class",
               "synthetic of each class", "worth, further real ones"]  # fmt: skip
    cells = [
        [
            row.alias or row.encoder, row.head, row.generator,
            setting_title(row.setting, row.ratio, row.augment),
            f"{row.real_per_class:.0f}", f"{row.synthetic_per_class:.0f}",
            f"{row.value:.0f} {worth_interval(row)}",
        ]
        for row in rows
    ]  # fmt: skip
    spare = ("head", "synthetic of each class")
    augmented = " and augmentations" if any(row.is_alternative for row in rows) else ""
    return table(f"what synthetic images{augmented} are worth", columns, cells, spare)


def of_plan(rows: Sequence[Detectable]) -> Sheet:
    """Return the table of `power.plan`."""
    from xprobe.report.words import count

    columns = ["what", "real of each class", "tested", "groups", "comparisons",
               "detectable, points", "variance"]  # fmt: skip
    cells = [
        [
            row.what, f"{count(row.real_per_class)}{' (at hand)' if row.at_hand else ''}",
            row.test_images, row.groups, row.comparisons, _detectable(row), row.basis,
        ]
        for row in rows
    ]  # fmt: skip
    return table("what could be detected", columns, cells, ("groups", "comparisons"))


def _detectable(row: Detectable) -> str:
    if row.detectable_low is None or row.detectable_high is None:
        return f"{100 * row.detectable:.1f}"
    return f"{100 * row.detectable_low:.1f}–{100 * row.detectable_high:.1f}"


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
