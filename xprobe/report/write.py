"""Studies → a report: the answer in words first, then tables, figures and how it was measured.

Nothing is measured here: every number shown is one of a study's or of `xprobe distance`, formatted,
but for the rank correlation of the two.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from xprobe.base import documents
from xprobe.base.atomic import put
from xprobe.base.documents import Document
from xprobe.base.errors import XprobeWarning
from xprobe.base.visible import visible
from xprobe.encoders.names import asked_aliases
from xprobe.report.answer import answer
from xprobe.report.distance_section import distance_view, distance_warnings, is_wanted, of_encoders
from xprobe.report.figures import distance as distance_figures
from xprobe.report.figures import fonts, style
from xprobe.report.figures import study as figures
from xprobe.report.figures.drawing import Drawing
from xprobe.report.left_out import left_out
from xprobe.report.overview import (
    count_tables,
    differing_options,
    facts,
    plans,
    side_by_side,
    warnings_of,
)
from xprobe.report.spreadsheets import distances_csv, result_rows, results_csv, runs_csv
from xprobe.report.study_section import Costs, Valued, study_view, worth_view
from xprobe.report.words import (
    FLOOR,
    METRICS,
    QUESTION,
    badge,
    count,
    estimate,
    interval,
    number,
    p_value,
    percent,
    points,
    span,
    study_title,
    title_of_family,
    verdict_words,
)
from xprobe.results.distance import DistanceRow, Distances, load_distances
from xprobe.results.distance import with_aliases as named_distances
from xprobe.results.families import Family, families
from xprobe.results.study import Results, Study, newest, read_studies, with_aliases, without_held
from xprobe.study.claims import with_claims

# Markdown takes these for markup, but not the brackets of an interval or the "<" of "< 0.001".
_MARKUP = re.compile(r"[\\`*_|~>]|\](?=\()|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])")


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
        answer: sentences, the headline first.
        not_shown: the studies that are not shown.
        valued: what synthetic images are worth.
        figures: paths of the figures' files.
    """

    report: str
    summary: str
    answer: tuple[str, ...]
    not_shown: tuple[NotShown, ...]
    valued: tuple[Valued, ...]
    figures: tuple[str, ...]


def write_report(
    results: Results, out: Path, encoders: Sequence[str] = (), costs: Costs | None = None
) -> Written:
    """Write the report of the studies in a results folder, or in several taken together.

    Args:
        results: what `xprobe sweep` wrote; the newest study of each encoder and head is shown, and
            the others are listed.
        out: where index.html, summary.md, results.csv, runs.csv, results.json and figures/ go, and
            distances.csv where `xprobe distance` has left its answer.
        encoders: names or aliases to report on; none: all. ``ALIAS=name`` shows it under the alias.
        costs: what an image costs, to say which way to the same accuracy is cheaper.

    Raises:
        XprobeError: there are no results, or none of a named encoder, or some are damaged.
        OSError: `out` cannot be written.
    """
    # What is shown changes nothing about what is claimed: all studies of the results are judged.
    asked = asked_aliases(encoders)
    every = with_aliases(read_studies(results), {name: a for name, a in asked.items() if a})
    claimed = with_claims(results, without_held(every))
    encoders = [alias or name for name, alias in asked.items()]
    studies = newest(claimed, encoders)
    by_key = {study.key: study for study in claimed}
    others = left_out(studies, [by_key.get(study.key, study) for study in every])
    compared = families(row for study in studies for row in study.results)
    document = load_distances(results)
    if document is not None:
        aliases = {study.encoder.label: study.encoder.alias for study in every}
        document = named_distances(document, aliases)
    distances = of_encoders(document, encoders)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    drawings, files = [], []
    for drawing in itertools.chain(figures.draw(studies), _of_distances(document, encoders)):
        for suffix, content in ((".svg", drawing.svg), (".png", drawing.png)):
            files.append(out / "figures" / (drawing.name + suffix))
            put(files[-1], content)
        drawings.append(drawing)
    for text in fonts.remarks(_names_in_figures(studies)):
        warnings.warn(text, XprobeWarning, stacklevel=2)
    said = answer(studies, compared, others)
    valued = worth_view(studies, costs)
    view = _studies_view(studies, compared, drawings) | {
        "answer": said, "worth": valued, "distance": None,
    }  # fmt: skip
    if document is not None:
        view["distance"] = distance_view(document, distances, studies, drawings)
        view["warnings"] += distance_warnings(document, view["warnings"])
    put(out / "index.html", _render("report.html.j2", view))
    put(out / "summary.md", _render("summary.md.j2", view))
    _write_tables(out, studies, compared, document, distances)
    _remove_former(out / "figures", files)
    return Written(
        report=str(out / "index.html"),
        summary=str(out / "summary.md"),
        answer=tuple(said.sentences),
        not_shown=tuple(
            NotShown(study=o.study.key, title=study_title(o.study), why=o.why) for o in others
        ),
        valued=tuple(valued),
        figures=tuple(str(file) for file in files),
    )


def _names_in_figures(studies: Sequence[Study]) -> list[str]:
    """Return the names that people gave, and that stand in figures."""
    titles = [study_title(study) for study in studies]
    return titles + [
        name for study in studies for name in (*study.generators, *study.manifest.classes)
    ]


def _of_distances(document: Distances | None, encoders: Sequence[str]) -> Iterable[Drawing]:
    """Return the figures of what `xprobe distance` found."""
    if document is None:
        return []
    return itertools.chain(
        distance_figures.draw(of_encoders(document, encoders)),
        distance_figures.draw_maps([m for m in document.maps if is_wanted(m, encoders)]),
        distance_figures.draw_examples(
            [row for row in document.examples if is_wanted(row, encoders)]
        ),
    )


def _write_tables(
    out: Path,
    studies: Sequence[Study],
    compared: Sequence[Family],
    document: Distances | None,
    distances: Sequence[DistanceRow],
) -> None:
    put(out / "results.csv", results_csv(studies))
    put(out / "runs.csv", runs_csv(studies))
    whole: dict[str, Any] = {
        "results": [row for study in studies for row in result_rows(study)],
        "families": compared,
        "studies": [_about(s) for s in studies],
    }
    if document is None:
        (out / "distances.csv").unlink(missing_ok=True)  # a former report has left it
    else:
        put(out / "distances.csv", distances_csv(document, distances))
        whole["distance"] = document
    put(out / "results.json", documents.encode(whole))


def _about(study: Study) -> Mapping[str, object]:
    """Return a study as JSON without its results and runs, which have tables of their own."""
    apart = ("results", "runs", "predictions")
    return {name: part for name, part in documents.to_json(study).items() if name not in apart}


def _remove_former(folder: Path, current: Sequence[Path]) -> None:
    """Remove figures of a former report that are not of this one; those of others stay."""
    for file in sorted(folder.iterdir()):
        if file.suffix in (".svg", ".png") and file not in current and file.is_file():
            with file.open("rb") as stream:
                if style.MARK.encode() in stream.read(4096):
                    file.unlink()


def _render(template: str, view: dict[str, Any]) -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xprobe.report"),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_markdown if template.endswith(".md.j2") else _visible,
    )
    environment.filters |= {
        "percent": percent, "points": points, "span": span, "p": p_value, "count": count,
        "estimate": estimate, "number": number, "interval": interval, "verdict": verdict_words,
    }  # fmt: skip
    return environment.get_template(template).render(view).strip().encode() + b"\n"


def _visible(value: Any) -> Any:
    """Write out what nobody would see of a text; what a template calls safe stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _markdown(value: Any) -> Any:
    """Escape a value for Markdown, in a table cell too; what a template calls safe stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _MARKUP.sub(lambda match: "\\" + match[0], visible(value))
    return value


def _studies_view(
    studies: Sequence[Study], compared: Sequence[Family], drawings: Sequence[Drawing]
) -> dict[str, Any]:
    """Return what the templates show of all studies."""
    judged_together = any(family.p_study_wide is not None for family in compared)
    plan_view = {"plans": plans(studies), "judged_together": judged_together}
    measured = _render("measured.txt.j2", plan_view).decode()
    titled = [line.split(": ", 1) for line in measured.splitlines() if line.strip()]
    return {
        "question": QUESTION,
        "floor": FLOOR,
        "facts": facts(studies),
        "warnings": [*differing_options(studies), *warnings_of(studies)],
        "families": [(title_of_family(family), family) for family in compared],
        "studies": [study_view(i, study, drawings) for i, study in enumerate(studies)],
        "differences": [drawing for drawing in drawings if drawing.kind == "differences"],
        "sizes": [drawing for drawing in drawings if drawing.kind == "sizes"],
        "measured": [(term, text) for term, text in titled if term != "Limit"],
        "limits": [text for term, text in titled if term == "Limit"],
        "overview": side_by_side(studies),
        "badge": badge,
        "counts": count_tables(studies),
        "metrics": METRICS,
    }
