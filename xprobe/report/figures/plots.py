"""Which figures a report has, and what decides each; nothing is drawn, nor matplotlib loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xprobe.report.confusions import confusions_of_shown, shares, shown_mix
from xprobe.report.figures.drawing import Names
from xprobe.report.figures.plot import Plot
from xprobe.report.matrix import judged_mixes
from xprobe.report.words import (
    ALTERNATIVES,
    METRICS,
    family_title,
    in_order,
    setting_title,
    study_title,
)
from xprobe.results.distance import DistanceRow, Distances, is_wanted
from xprobe.results.rows import OfSetting, Result
from xprobe.results.study import Study

ROWS_A_PAGE = 44

SHOWN_DISTANCE = "mmd"

_METHODS = {"pca": "Two principal axes", "tsne": "t-SNE", "umap": "UMAP"}

Block = tuple[str, float | None, list[Result]]  # a block of a forest plot: title, margin, rows

Sized = tuple[float, Result]  # the number of real images trained on, and a row of that study


def study_plots(
    studies: Sequence[Study], shown: Study | None, every: bool = False
) -> Iterator[Plot]:
    """Yield the figures of studies, those over all of them first.

    Args:
        studies: the studies.
        shown: the one whose classes and confusions are drawn.
        every: whether those of all studies and settings are drawn.
    """
    names = Names()
    yield from _of_all(studies, names)
    for i, study in enumerate(studies):
        yield from _of_study(i, study, names)
        if every or study is shown:
            yield from _of_classes(i, study, names, every)


def _of_all(studies: Sequence[Study], names: Names) -> Iterator[Plot]:
    if any(judged_mixes(study) for study in studies):
        rows = [(study_title(study), judged_mixes(study)) for study in studies]
        title = "Encoders and generators: difference in accuracy to real-only"
        yield _plot(names.new("matrix"), "matrix", None, title, "maps:matrix", rows)
    for kind, words, in_place in (
        ("differences", "Differences in accuracy to real-only", False),
        ("in-place", "Synthetic in place of real images: differences in accuracy", True),
    ):
        pages = _pages(studies, in_place)
        for number, page in enumerate(pages, start=1):
            part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
            title = f"{words}{part}"
            yield _plot(names.new(kind), kind, None, title, "study:forest", page, title)
    for name, sized in _by_size(studies):
        title = f"Accuracy over the number of real images, {name}"
        yield _plot(names.new(f"sizes-{name}"), "sizes", None, title, "study:sizes", sized, title)


def _of_study(i: int, study: Study, names: Names) -> Iterator[Plot]:
    name = study_title(study)
    for metric, words in METRICS.items():
        if rows := [row for row in study.results if row.metric == metric]:
            stem, title = names.new(f"{metric}-{name}"), f"{words} over the ratios, {name}"
            yield _plot(stem, metric, i, title, "study:curves", rows, words, name)
    rows = sorted((row for row in study.results if row.metric == "accuracy"), key=in_order)
    title = f"Accuracy of each setting, {name}"
    yield _plot(names.new(f"settings-{name}"), "settings", i, title, "study:bars", rows, title)


def _of_classes(i: int, study: Study, names: Names, every: bool) -> Iterator[Plot]:
    """Yield what a study says of its classes: of its shown mixes, or of every setting."""
    name, classes = study_title(study), study.manifest.classes
    for generator in study.generators:
        rows = [r for r in study.classes if r.generator == generator and not r.augment]
        title = f"Recall of each class against real-only, {name} · {generator}"
        if rows:
            stem = names.new(f"classes-{name}-{generator}")
            yield _plot(stem, "classes", i, title, "maps:classes", rows, title)
    mix = shown_mix(study)
    settings = sorted(study.settings, key=in_order) if every else []
    pair = confusions_of_shown(study)
    if mix is not None and pair is not None:
        title = " · ".join([name, *_generator(mix), setting_title(mix)])
        matrices = [shares(setting.confusion) for setting in pair]
        yield _plot(names.new(f"confusion-{title}-and-real-only"), "confusion", i,
                    f"Confusions of real-only and {title}", "maps:confusion_pair",
                    classes, matrices, title)  # fmt: skip
    for setting in settings:
        title = " · ".join([name, *_generator(setting), setting_title(setting)])
        stem = names.new(f"confusion-{title}")
        yield _plot(
            stem, "confusion", i, title, "maps:confusion", classes, shares(setting.confusion), title
        )


def _plot(name: str, kind: str, study: int | None, title: str, make: str, *args: Any) -> Plot:
    return Plot(name, kind, study, title, f"xprobe.report.figures.{make}", args)


def _generator(row: OfSetting) -> list[str]:
    return [] if row.generator is None else [row.generator]


def _pages(studies: Sequence[Study], in_place: bool) -> list[list[Block]]:
    """Return the blocks of every forest plot: a family a block.

    Args:
        studies: the studies.
        in_place: whether it shows synthetic images in place of real ones, which lie so far away
            that they need an axis of their own, or all other comparisons.
    """
    pages: list[list[Block]] = [[]]
    filled = 0
    for study in studies:
        judged = (
            row
            for row in study.results
            if row.verdict is not None and (row.setting == "synthetic-only") == in_place
        )
        rows = sorted(judged, key=in_order)
        families = [None if row.augment else row.generator for row in rows]
        for generator in dict.fromkeys(families):
            part = [row for row, name in zip(rows, families, strict=True) if name == generator]
            if filled and filled + len(part) > ROWS_A_PAGE:
                pages.append([])
                filled = 0
            title = f"{study_title(study)} · {generator or ALTERNATIVES}"
            pages[-1].append((title, study.config.margin, part))
            filled += len(part) + 1
    return [page for page in pages if page]


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


def distance_plots(document: Distances | None, encoders: Sequence[str] = ()) -> Iterator[Plot]:
    """Yield the figures of what `xprobe distance` measured, of these encoders or of all."""
    if document is None:
        return
    names = Names()

    yield from _bars([row for row in document.distances if is_wanted(row, encoders)], names)
    for plane in document.maps:
        if is_wanted(plane, encoders):
            title = f"{_METHODS.get(plane.method, plane.method)} of the features, {plane.title}"
            stem = names.new(f"map-{plane.title}-{plane.method}")
            yield _plot(stem, "map", None, title, "distance:feature_map", plane.points, title,
                        plane.method == "pca")  # fmt: skip


def _bars(rows: Sequence[DistanceRow], names: Names) -> Iterator[Plot]:
    """Yield the distance of each class, a figure an encoder that has any."""
    classes = [row for row in rows if row.metric == SHOWN_DISTANCE and row.class_ is not None]
    for encoder in dict.fromkeys(row.title for row in classes):
        title = f"Distance of synthetic to real images of each class, {encoder}"
        part = [row for row in classes if row.title == encoder]
        if any(row.value is not None for row in part):
            stem = names.new(f"distance-{encoder}")
            yield _plot(stem, "distance", None, title, "distance:bars", part, title)
