"""Studies → a report: the answer in words first, then tables, figures and how it was measured.

Nothing is measured here: every number shown is one of a study's or of `xprobe distance`, formatted,
but for the rank correlation of the two.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xprobe.base.atomic import put
from xprobe.base.documents import Document
from xprobe.base.errors import XprobeWarning
from xprobe.report.answer import answer
from xprobe.report.confusions import confusions_data, confusions_view
from xprobe.report.distance_section import distance_view, distance_warnings, of_encoders
from xprobe.report.figures.drawing import Drawing
from xprobe.report.figures.examples import example_plots, lacking, pairs_of
from xprobe.report.figures.kept import draw_all
from xprobe.report.figures.plots import distance_plots, study_plots
from xprobe.report.forest import forests_of
from xprobe.report.gallery import gallery_of
from xprobe.report.glossary import GLOSSARY
from xprobe.report.licences import Pictures, licence_of
from xprobe.report.matrix import matrix_of, shown_study
from xprobe.report.overview import (
    count_tables,
    differing_options,
    facts,
    plans,
    side_by_side,
    warnings_of,
)
from xprobe.report.page import data_text, page, render
from xprobe.report.shown import distances_of, read_shown
from xprobe.report.study_section import Costs, Valued, study_view, worth_view
from xprobe.report.tables.write import Contents, write_tables
from xprobe.report.words import FLOOR, METRICS, QUESTION, badge, study_title, title_of_family
from xprobe.results.distance import Distances, is_wanted, load_distances, with_aliases
from xprobe.results.families import Family, families
from xprobe.results.study import Results, Study


class NotShown(Document, frozen=True, kw_only=True):
    """A study that a report does not show.

    Attributes:
        study: its id.
        title: how people read it.
        why: why it is not shown.
    """

    study: str
    title: str
    why: str


class Written(Document, frozen=True, kw_only=True):
    """What a report consists of, and what it says.

    Attributes:
        report, summary: paths of its page and of its summary in Markdown.
        brief: the answer in sentences, the headline first, without one for each comparison.
        answer: the same with them.
        not_shown: the studies that are not shown.
        valued: what synthetic images are worth.
        figures: paths of the figures' files.
        tables: paths of the tables' files.
        tables_lack: what the tables lack, in sentences.
        pictures: what became of pictures of images that may not be passed on, in sentences.
    """

    report: str
    summary: str
    brief: tuple[str, ...]
    answer: tuple[str, ...]
    not_shown: tuple[NotShown, ...]
    valued: tuple[Valued, ...]
    figures: tuple[str, ...]
    tables: tuple[str, ...]
    tables_lack: tuple[str, ...]
    pictures: tuple[str, ...]


def write_report(
    results: Results,
    out: Path,
    encoders: Sequence[str] = (),
    costs: Costs | None = None,
    *,
    generators: Sequence[str] = (),
    all_figures: bool = False,
    predictions: bool | None = None,
    images: bool | None = None,
) -> Written:
    """Write the report of the studies in a results folder, or in several taken together.

    Args:
        results: what `xprobe sweep` wrote; the newest study of each encoder and head is shown, and
            the others are listed.
        out: where index.html, summary.md, figures/ and the tables (docs/reference/tables.md) go.
        encoders: names or aliases to report on, or lists of them with commas; none: all.
            ``ALIAS=name`` shows it under the alias.
        costs: what an image costs, to say which way to the same accuracy is cheaper.
        generators: names to report on, or lists of them; none: all. What is shown changes no
            study-wide p.
        all_figures: whether classes and confusions of every study and setting are drawn.
        predictions: whether to write predictions.parquet; None: unless it has very many rows.
        images: whether pictures of images are shown; None: those that may be passed on.

    Raises:
        XprobeError: there are no results, or none of a named encoder or generator, or some are
            damaged.
        OSError: `out` cannot be written.
    """
    studies, every = read_shown(results, encoders, generators)
    compared = families(row for study in studies for row in study.results)
    named = [study.encoder.label for study in studies] if encoders else []
    chosen = dict.fromkeys(g for study in studies for g in study.generators) if generators else ()
    document = _distances_shown(results, every, list(chosen))
    distances = of_encoders(document, named)
    shown = shown_study(studies)
    pictures = Pictures(images)
    pairs = pairs_of(document, every, named, pictures)
    plots = [*study_plots(studies, shown, all_figures), *distance_plots(document, named)]
    drawings = draw_all([*plots, *example_plots(pairs)], out / "figures")
    _warn_of_fonts(studies)
    said = answer(studies, every, costs)
    others = said.left_out.others if said.left_out else ()
    valued = worth_view(studies, costs)
    view = _studies_view(studies, shown, compared, drawings) | {
        "answer": said, "worth": valued, "distance": None,
        "gallery": None if shown is None else gallery_of(results, shown, pictures),
    }  # fmt: skip
    notes = [] if view["gallery"] is None else [view["gallery"].note]
    if document is not None:
        examples = [row for row in document.examples if is_wanted(row, named)]
        notes.append(pictures.note(licence_of(row) for row in examples))
        note = " ".join(filter(None, [notes[-1], *lacking(pairs)]))
        view["distance"] = distance_view(document, distances, studies, drawings, note)
        view["warnings"] += distance_warnings(document, view["warnings"])
    contents = Contents(results, studies, compared, document, distances)
    tables, tables_lack = write_tables(out, contents, predictions)
    view["files"] = [table.name for table in tables]
    put(out / "index.html", page(view))
    put(out / "summary.md", render("summary.md.j2", view))
    return Written(
        report=str(out / "index.html"),
        summary=str(out / "summary.md"),
        brief=tuple(said.brief),
        answer=tuple(said.sentences),
        not_shown=tuple(
            NotShown(study=o.study.key, title=study_title(o.study), why=o.why) for o in others
        ),
        valued=tuple(valued),
        figures=tuple(
            str(out / "figures" / (drawing.name + suffix))
            for drawing in drawings
            for suffix in (".svg", ".png")
        ),
        tables=tuple(str(file) for file in tables),
        tables_lack=tuple(tables_lack),
        pictures=tuple(dict.fromkeys(filter(None, notes))),
    )


def _distances_shown(
    results: Results, studies: Sequence[Study], generators: Sequence[str]
) -> Distances | None:
    """Return what `xprobe distance` found of generators (none: all), by aliases of studies."""
    document = load_distances(results)
    aliases = {study.encoder.label: study.encoder.alias for study in studies}
    return None if document is None else distances_of(with_aliases(document, aliases), generators)


def _warn_of_fonts(studies: Sequence[Study]) -> None:
    """Warn of characters in figures that no font of this machine has."""
    names = [study_title(study) for study in studies]
    names += [name for s in studies for name in (*s.generators, *s.manifest.classes)]
    if all(name.isascii() for name in names):
        return
    from xprobe.report.figures import fonts  # It loads matplotlib.

    for text in fonts.remarks(names):
        warnings.warn(text, XprobeWarning, stacklevel=3)


def _studies_view(
    studies: Sequence[Study],
    shown: Study | None,
    compared: Sequence[Family],
    drawings: Sequence[Drawing],
) -> dict[str, Any]:
    """Return what the templates show of all studies."""
    judged_together = any(family.p_study_wide is not None for family in compared)
    plan_view = {"plans": plans(studies), "judged_together": judged_together}
    measured = render("measured.txt.j2", plan_view).decode()
    titled = [line.split(": ", 1) for line in measured.splitlines() if line.strip()]
    return {
        "question": QUESTION,
        "floor": FLOOR,
        "facts": facts(studies),
        "matrix": matrix_of(studies),
        "forests": forests_of(studies),
        "warnings": [*differing_options(studies), *warnings_of(studies)],
        "families": [(title_of_family(family), family) for family in compared],
        "shown": shown,
        "studies": [
            study_view(i, study, drawings, study is shown) for i, study in enumerate(studies)
        ],
        "confusions": None if shown is None else confusions_view(shown),
        "confusion_data": data_text(confusions_data(studies)),
        "differences": [d for d in drawings if d.kind in ("matrix", "differences", "in-place")],
        "sizes": [drawing for drawing in drawings if drawing.kind == "sizes"],
        "measured": [(term, text) for term, text in titled if term != "Limit"],
        "limits": [text for term, text in titled if term == "Limit"],
        "glossary": GLOSSARY,
        "overview": side_by_side(studies),
        "badge": badge,
        "counts": count_tables(studies),
        "metrics": METRICS,
    }
