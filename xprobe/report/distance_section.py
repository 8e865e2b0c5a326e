"""What the report says of distances, copies and shortcuts: what `xprobe distance` found, in words.

Nothing is measured here but the rank correlation of distances and gains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xprobe.base.streams import stream
from xprobe.distance.checks.shortcuts import ALL, NAMES
from xprobe.distance.metrics import DISTANCES, MEASURED, R_AT_1, DistanceMetric, headline
from xprobe.report.figures.drawing import Drawing
from xprobe.report.words import (
    Part,
    Warned,
    gain_sentence,
    leaks_sentence,
    retrieval_sentence,
    shortcut_sentence,
    study_title,
    threshold_sentence,
)
from xprobe.results.distance import (
    DistanceRow,
    Distances,
    LeakRow,
    PlaceRow,
    Shortcut,
    is_wanted,
)
from xprobe.results.rows import Result
from xprobe.results.study import Study
from xprobe.verdict.correlation import rank_correlation

# Tables stop at so many rows, since there may be thousands of copies or classes.
MOST_LEAKS, MOST_CLASSES = 20, 200

# Words that the kinds of copies contain, the worst kind first; the last stands for all others.
_LEAKS = ("a test", "a training", "an extra", "")


@dataclass(frozen=True)
class SideBySide:
    """The headline metrics of an encoder, generator and class.

    Attributes:
        encoder: its title.
        class_: the class that was measured; None: all classes together.
        far: the distance by each metric that was measured.
        n, m: numbers of real and synthetic images.
        reasons: what to know about the values.
    """

    encoder: str
    generator: str
    class_: str | None
    far: dict[str, DistanceRow]

    @property
    def rows(self) -> list[DistanceRow]:
        """The metrics that there are, in the order of headline metrics."""
        return [self.far[metric] for metric in headline() if metric in self.far]

    @property
    def n(self) -> float:
        """Number of real images."""
        return self.rows[0].n_real

    @property
    def m(self) -> float:
        """Number of synthetic images."""
        return self.rows[0].n_synthetic

    @property
    def reasons(self) -> list[str]:
        """What to know about the values, each once."""
        texts = [text for row in self.rows for text in (row.assumption, row.reason)]
        return list(dict.fromkeys(filter(None, texts)))


@dataclass(frozen=True)
class ClassesTable:
    """The classes of an encoder, the farthest first: `rows` are the first of `n`."""

    encoder: str
    rows: list[SideBySide]
    n: int


@dataclass(frozen=True)
class OtherDistance:
    """A distance by a metric that is no headline; `larger`: whether larger values are nearer."""

    row: DistanceRow
    title: str
    larger: bool


@dataclass(frozen=True)
class LeaksView:
    """Copies and duplicates: `rows` are the worst of `n`; `threshold` says what counts as one."""

    sentence: str
    rows: list[LeakRow]
    n: int
    threshold: str


@dataclass(frozen=True)
class ShortcutView:
    """A property of the files under its title."""

    row: Shortcut
    title: str


@dataclass(frozen=True)
class ShortcutsView:
    """What tells images apart (`told`: whether anything does), and every property."""

    told: bool
    sentences: list[str]
    rows: list[ShortcutView]


@dataclass(frozen=True)
class DistanceView:
    """What the section on distances shows.

    Attributes:
        notes: say so if the distances are not of the images that were studied, or are older.
        headline: the metrics that `rows` and `classes` show side by side, those that were measured.
        rows: these metrics of all classes together.
        drawings, maps, examples: figures.
        note: what became of the pictures of other examples, and why; empty if there are none.
        place: what each encoder knows from the place; empty without images from before the event.
        predictions: how distance and gain go together, a sentence each.
        retrieval: how many images find their own prompt, a sentence for each encoder and generator.
    """

    notes: list[str]
    headline: list[DistanceMetric]
    rows: list[SideBySide]
    classes: list[ClassesTable]
    others: list[OtherDistance]
    drawings: list[Drawing]
    maps: list[Drawing]
    examples: list[Drawing]
    note: str
    leaks: LeaksView
    shortcuts: ShortcutsView
    place: list[PlaceRow]
    predictions: list[str]
    retrieval: list[str]
    created: str
    command: str


def of_encoders(document: Distances | None, encoders: Sequence[str]) -> list[DistanceRow]:
    """Return the rows of the encoders that are reported on."""
    rows = () if document is None else document.distances
    return [row for row in rows if is_wanted(row, encoders)]


def distance_view(
    document: Distances,
    distances: Sequence[DistanceRow],
    studies: Sequence[Study],
    drawings: Sequence[Drawing],
    note: str = "",
) -> DistanceView:
    """Return what the section on distances shows; `note` says what became of its pictures."""
    first = headline()
    shown = {row.encoder for row in distances}
    rows = [row for row in distances if row.metric in first]
    others = [row for row in distances if row.metric not in first and row.class_ is None]
    return DistanceView(
        notes=list(filter(None, [_other_images(document, studies), _older_rules(distances)])),
        headline=[DISTANCES[name] for name in first if any(r.metric == name for r in rows)],
        rows=_side_by_side([row for row in rows if row.class_ is None]),
        classes=_classes([row for row in rows if row.class_ is not None]),
        others=[
            OtherDistance(row, _metric(row).title, _metric(row).larger_is_nearer) for row in others
        ],
        drawings=[drawing for drawing in drawings if drawing.kind == "distance"],
        maps=[drawing for drawing in drawings if drawing.kind == "map"],
        examples=[drawing for drawing in drawings if drawing.kind == "examples"],
        note=note,
        leaks=_leaks(document),
        shortcuts=_shortcuts(document),
        place=[row for row in document.place if row.encoder in shown],
        predictions=_predictions(distances, studies),
        retrieval=[retrieval_sentence(row) for row in others if row.metric == R_AT_1.name],
        created=document.created,
        command=document.command,
    )


def _metric(row: DistanceRow) -> DistanceMetric:
    """Return the metric of a row; one that this version does not know is titled by its name."""
    return MEASURED.get(row.metric, DistanceMetric(row.metric, row.metric))


def distance_warnings(document: Distances, shared: Sequence[Warned]) -> list[Warned]:
    """Return the warnings of `xprobe distance` that no study has said."""
    said = {warning.text for warning in shared}
    texts = dict.fromkeys(text for text in document.warnings if text not in said)
    return [Warned("distance", text) for text in texts]


def _other_images(document: Distances, studies: Sequence[Study]) -> str:
    """Return a note if distances are not of the images that were studied, or nothing."""
    holds_for = {document.fingerprint, *document.holds_for}
    differ = [study for study in studies if study.manifest.fingerprint not in holds_for]
    if not differ:
        return ""
    who = "the studies" if len(differ) == len(studies) else ", ".join(map(study_title, differ))
    return (
        f"Measured on other images than {who}: some were added, changed or left out. Read the "
        "distances with care, or run 'xprobe distance' and 'xprobe sweep' on the same images."
    )


def _older_rules(rows: Sequence[DistanceRow]) -> str:
    """Return a note if p-values are of an xprobe that took every synthetic image for a unit."""
    if all(row.p is None or row.units_real is not None for row in rows):
        return ""
    return (
        "Measured by an older xprobe, whose p and intervals took all synthetic images for "
        "independent, also edits of one image and images of one prompt: run 'xprobe distance' "
        "again."
    )


def _side_by_side(rows: Sequence[DistanceRow]) -> list[SideBySide]:
    """Return the headline metrics of each encoder, generator and class in one row."""
    beside: dict[tuple[str, str, str | None], dict[str, DistanceRow]] = {}
    for row in rows:
        beside.setdefault((row.title, row.generator, row.class_), {})[row.metric] = row
    return [SideBySide(*names, far) for names, far in beside.items()]


def _classes(rows: Sequence[DistanceRow]) -> list[ClassesTable]:
    """Return a table of the classes for each encoder, the farthest first."""
    tables = []
    for encoder in dict.fromkeys(row.title for row in rows):
        lines = _side_by_side([row for row in rows if row.title == encoder])
        lines.sort(key=lambda line: -_or_least(line.far.get("mmd")))
        tables.append(ClassesTable(encoder, lines[:MOST_CLASSES], len(lines)))
    return tables


def _or_least(row: DistanceRow | None) -> float:
    return float("-inf") if row is None or row.value is None else float(row.value)


def _leaks(document: Distances) -> LeaksView:
    def place(row: LeakRow) -> tuple[int, float, str]:
        rank = next(i for i, words in enumerate(_LEAKS) if words in row.kind)
        return rank, -row.similarity, row.id

    ordered = sorted(document.leaks, key=place)
    kinds = Counter(row.kind for row in ordered)
    threshold = document.leak_threshold
    return LeaksView(
        sentence=leaks_sentence(kinds, looked_for=threshold is not None),
        rows=ordered[:MOST_LEAKS],
        n=len(ordered),
        threshold="" if threshold is None else threshold_sentence(threshold),
    )


def _shortcuts(document: Distances) -> ShortcutsView:
    rows = document.shortcuts
    by_generator: dict[str, list[Shortcut]] = {}
    for row in rows:
        if row.tells_apart:
            by_generator.setdefault(row.generator, []).append(row)
    told = [shortcut_sentence(name, _by_title(rows)) for name, rows in by_generator.items()]
    none = "No property of the files was found to tell real and synthetic images apart; how sure "
    none += "that is, the intervals say."
    if all(row.auc is None for row in rows):
        none = "Whether files alone tell real and synthetic images apart was not measured."
    titles = {**NAMES, ALL: "all together"}
    views = [ShortcutView(row, titles.get(row.property, row.property)) for row in rows]
    return ShortcutsView(bool(told), told or [none], views)


def _by_title(rows: Sequence[Shortcut]) -> dict[str | None, float | None]:
    """Return the AUC of each property by its title; that of all together has the key None."""
    return {
        None if row.property == ALL else NAMES.get(row.property, row.property): row.auc
        for row in rows
    }


def _predictions(distances: Sequence[DistanceRow], studies: Sequence[Study]) -> list[str]:
    """Say how distance and gain go together, for each head where enough points are."""
    far = {
        (row.encoder, row.generator): row.value
        for row in distances
        if row.metric == "mmd" and row.class_ is None and row.value is not None
    }
    pairs: dict[tuple[str, Part, float], dict[str, dict[str, tuple[float, float]]]] = {}
    for study in studies:
        ratio = max(study.config.ratios, default=0)
        for row in study.results:
            distance = far.get((study.encoder.label, row.generator or ""))
            if distance is not None and row.difference is not None and _is_gain(row, ratio):
                encoders = pairs.setdefault((study.config.head, study.part, ratio), {})
                generators = encoders.setdefault(study.encoder.label, {})
                generators[row.generator or ""] = distance, row.difference
    sentences = []
    for (head, part, ratio), encoders in pairs.items():
        # The test exchanges generators for all encoders alike, which needs the same ones for all.
        shared = sorted(set.intersection(*map(set, encoders.values())))
        points = np.array([[rows[name] for name in shared] for rows in encoders.values()])
        x, y = points.reshape(len(encoders), -1, 2).transpose(2, 0, 1)
        correlation = rank_correlation(x, y, stream(0, "distance and gain"))
        if correlation is not None:
            sentences.append(gain_sentence(head, part, ratio, correlation))
    return sentences


def _is_gain(row: Result, ratio: float) -> bool:
    mix = row.setting == "mix" and row.ratio == ratio and not row.augment
    return mix and row.metric == "accuracy"
