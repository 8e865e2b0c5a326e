"""Studies → a report: the answer in words first, then tables, figures and how it was measured.

Nothing is measured here: every number shown is one of a study's or of `xprobe distance`, formatted,
but for the rank correlation of the two.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from xprobe.base.atomic import put
from xprobe.learners.kinds import kind_read
from xprobe.report.answer import answer, title_of
from xprobe.report.distance_section import distance_view, distance_warnings, of_encoders
from xprobe.report.figures import distance as distance_figures
from xprobe.report.figures import study as figures
from xprobe.report.figures import style
from xprobe.report.study_section import Costs, badge, is_leaky, study_view, worth_view
from xprobe.report.words import (
    METRICS,
    count,
    estimate,
    family_title,
    in_order,
    interval,
    number,
    p_value,
    percent,
    points,
    setting_title,
    span,
    study_title,
)
from xprobe.results import distance as results
from xprobe.results import study as study_module
from xprobe.results.study import Result

Study = dict[str, Any]

Row = dict[str, Any]

FLOOR = "a floor, not a learned encoder"

QUESTION = "Do AI-generated images help image recognition?"

# What Markdown would take for markup; an interval in brackets and "< 0.001" it would not.
_MARKUP = re.compile(r"[\\`*_|~>]|\](?=\()|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])")


def write_report(
    results_folder: Path, out: Path, encoders: Sequence[str] = (), costs: Costs | None = None
) -> dict[str, Any]:
    """Write the report of the studies in a results folder.

    Args:
        results_folder: what `xprobe sweep` wrote; the newest study of each encoder and head counts.
        out: where index.html, summary.md, results.csv, runs.csv, results.json and figures/ go, and
            distances.csv where `xprobe distance` has left its answer.
        encoders: names to report on; none: all.
        costs: of an image, to say which way to the same accuracy is cheaper.

    Returns:
        ``report`` and ``summary`` (paths), ``answer`` (sentences), ``valued`` (rows of what
        synthetic images are worth) and ``figures`` (paths).

    Raises:
        XprobeError: there are no results, or none of a named encoder.
        OSError: `out` cannot be written.
    """
    studies = study_module.load_studies(results_folder, encoders)
    families = study_module.families(studies)
    document = results.load_distance(results_folder)
    distances = of_encoders(document, encoders)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    drawings, files = [], []
    for drawing in itertools.chain(figures.draw(studies), _of_distances(document, encoders)):
        for suffix, content in ((".svg", drawing.svg), (".png", drawing.png)):
            files.append(out / "figures" / (drawing.name + suffix))
            put(files[-1], content)
        drawings.append(_drawing_view(drawing))
    view = _view(studies, families, drawings)
    view["worth"] = worth_view(studies, costs)
    view["distance"] = None
    if document is not None:
        view["distance"] = distance_view(document, distances, studies, drawings)
        view["warnings"] += distance_warnings(document, view["warnings"])
    put(out / "index.html", _render("report.html.j2", view))
    put(out / "summary.md", _render("summary.md.j2", view))
    _write_tables(out, studies, families, document, distances)
    _remove_former(out / "figures", files)
    return {
        "report": str(out / "index.html"), "summary": str(out / "summary.md"),
        "answer": view["answer"]["sentences"],
        "valued": view["worth"], "figures": [str(file) for file in files],
    }  # fmt: skip


def _of_distances(document: Row | None, encoders: Sequence[str]) -> Iterable[style.Drawing]:
    """Return the figures of what `xprobe distance` found."""
    if document is None:
        return []
    parts = {
        name: [row for row in document.get(name, []) if not encoders or row["encoder"] in encoders]
        for name in ("distances", "maps", "examples")
    }
    return itertools.chain(
        distance_figures.draw(parts["distances"]),
        distance_figures.draw_maps(parts["maps"]),
        distance_figures.draw_examples(parts["examples"]),
    )


def _write_tables(
    out: Path, studies: Sequence[Study], families: Sequence[Row], document: Row | None,
    distances: Sequence[Row],
) -> None:  # fmt: skip
    rows = [row for study in studies for row in study["results"]]
    put(out / "results.csv", _csv([f.name for f in fields(Result)], rows))
    put(out / "runs.csv", _runs_csv(studies))
    whole: dict[str, Any] = {
        "results": rows,
        "families": families,
        "studies": [{k: v for k, v in s.items() if k not in ("results", "runs")} for s in studies],
    }
    if document is None:
        (out / "distances.csv").unlink(missing_ok=True)  # a former report's
    else:
        put(out / "distances.csv", _csv(results.DISTANCE_COLUMNS, distances))
        whole["distance"] = document
    put(out / "results.json", f"{json.dumps(whole, indent=1, ensure_ascii=False)}\n".encode())


def _remove_former(folder: Path, current: Sequence[Path]) -> None:
    """Remove figures of a former report that are not of this one; those of others stay."""
    for file in sorted(folder.iterdir()):
        if file.suffix in (".svg", ".png") and file not in current and file.is_file():
            with file.open("rb") as stream:
                if style.MARK.encode() in stream.read(4096):
                    file.unlink()


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _runs_csv(studies: Sequence[Study]) -> bytes:
    rows = [
        {"encoder": study["encoder"]["label"], "head": study["config"]["head"], **run}
        for study in studies
        for run in study["runs"]
    ]
    return _csv(list(dict.fromkeys(name for row in rows for name in row)), rows)


def _drawing_view(drawing: style.Drawing) -> dict[str, Any]:
    uri = f"data:image/svg+xml;base64,{base64.b64encode(drawing.svg).decode()}"
    return {"uri": uri, **{k: getattr(drawing, k) for k in ("name", "kind", "study", "title")}}


def _render(template: str, view: dict[str, Any]) -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xprobe.report"),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_markdown if template.endswith(".md.j2") else None,
    )
    environment.filters |= {
        "percent": percent, "points": points, "span": span, "p": p_value, "count": count,
        "estimate": estimate, "number": number, "interval": interval,
    }  # fmt: skip
    return environment.get_template(template).render(view).strip().encode() + b"\n"


def _markdown(value: Any) -> Any:
    """Escape a value for Markdown, in a table cell too; what a template calls safe stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _MARKUP.sub(lambda found: "\\" + found[0], " ".join(value.splitlines()))
    return value


def _view(
    studies: Sequence[Study], families: Sequence[Row], drawings: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return what the templates show."""
    measured = _render("measured.txt.j2", {"plans": _plans(studies), "families": len(families)})
    titled = [line.split(": ", 1) for line in measured.decode().splitlines() if line.strip()]
    return {
        "question": QUESTION,
        "floor": FLOOR,
        "answer": answer(studies, families),
        "facts": _facts(studies),
        "warnings": _warnings(studies),
        "families": [{**f, "title": title_of(f)} for f in families],
        "studies": [study_view(i, s, drawings) for i, s in enumerate(studies)],
        "differences": [d for d in drawings if d["kind"] == "differences"],
        "sizes": [d for d in drawings if d["kind"] == "sizes"],
        "measured": [(term, text) for term, text in titled if term != "Limit"],
        "limits": [text for term, text in titled if term == "Limit"],
        "overview": _overview(studies),
        "badge": badge,
        "counts": _counts(studies),
        "metrics": METRICS,
    }


def _plans(studies: Sequence[Study]) -> list[dict[str, Any]]:
    """Return what decides how results came about, once for all studies that share it."""
    plans: dict[str, dict[str, Any]] = {}
    for study in studies:
        real = next(r for r in study["results"] if r["setting"] == "real-only")
        k, _, rest = study["protocol"].partition("-fold cross-validation")
        plan = {
            "protocol": study["protocol"],
            "hold_out": study["protocol"].startswith("fixed hold-out"),
            "k": int(k) if rest and k.isdecimal() else None,
            "config": study["config"],
            "fraction": study["config"].get("real_fraction", 1.0),
            "train_per_class": study["config"].get("train_per_class"),
            "leaky": is_leaky(study),
            "head": kind_read(study["config"]["head"]).words,
            "n_train": count(real["n_train_real"]),
            "n_test": count(real["n_test"]),
            "n_groups": count(real["n_groups"]),
        }
        found = plans.setdefault(json.dumps(plan, sort_keys=True), {**plan, "of": []})
        found["of"].append(study_title(study))
    return list(plans.values())


def _facts(studies: Sequence[Study]) -> list[tuple[str, str]]:
    real = [next(r for r in s["results"] if r["setting"] == "real-only") for s in studies]
    facts = {
        "Encoders": (
            family_title(s["encoder"]["label"], s["config"]["head"], (1.0, None)) for s in studies
        ),
        "Generators": (g for s in studies for g in s["generators"]),
        "Ratios": (f"1:{r:g}" for s in studies for r in s["config"]["ratios"]),
        "Classes": (str(len(s["manifest"]["classes"])) for s in studies),
        "Real images to train on": (count(r["n_train_real"]) for r in real),
        "Real images to test on": (count(r["n_test"]) for r in real),
        "Protocol": (", ".join(s["protocol"].split(", ")[:2]) for s in studies),
    }
    return [(term, ", ".join(dict.fromkeys(values))) for term, values in facts.items()]


def _warnings(studies: Sequence[Study]) -> list[dict[str, str]]:
    """Return every warning once, with the studies that it is of."""
    found: dict[str, list[str]] = {}
    for study in studies:
        for text in dict.fromkeys(study["warnings"]):
            found.setdefault(text, []).append(study_title(study))
    shared = [
        {"who": ", ".join(who) if len(who) < len(studies) else "", "text": text}
        for text, who in found.items()
    ]
    differ = ""
    tuned = [s for s in studies if kind_read(s["config"]["head"]).takes_steps]
    kinds = tuned, [s for s in studies if s not in tuned]  # fine-tunes may be fewer: they take long
    if len({s["manifest"]["fingerprint"] for s in studies}) > 1:
        differ = "the studies are not of the same images"
    elif any(len({json.dumps(_options(s), sort_keys=True) for s in kind}) > 1 for kind in kinds):
        differ = "the studies were made with different options"
    if differ:
        remedy = "compare encoders with care, or run 'xprobe sweep' again for all of them"
        shared.insert(0, {"who": "", "text": f"{differ}: {remedy}"})
    return shared


def _options(study: Study) -> dict[str, Any]:
    """Return what the heads, or the fine-tunes, of one sweep share."""
    own = {
        "head": "", "real_fraction": 1, "train_per_class": None, "alternatives": (),
        "with_synthetic": False,
    }  # fmt: skip
    return {**study["config"], **own}


def _overview(studies: Sequence[Study]) -> list[dict[str, Any]]:
    """Return accuracy by generator, setting and study; nothing of a single study."""
    if len(studies) < 2:
        return []
    cells = {
        (i, r["generator"], setting_title(r)): r
        for i, s in enumerate(studies)
        for r in sorted(s["results"], key=in_order)
        if r["metric"] == "accuracy"
    }
    found = []
    for generator in dict.fromkeys(g for s in studies for g in s["generators"]):
        titles = dict.fromkeys((of, title) for _, of, title in cells if of in (None, generator))
        rows = [
            (title, [cells.get((i, of, title)) for i in range(len(studies))])
            for of, title in titles
        ]
        found.append({"generator": generator, "rows": rows})
    return found


def _counts(studies: Sequence[Study]) -> list[dict[str, Any]]:
    """Return a table of the images per class for each set of images that was studied."""
    tables: dict[str, dict[str, Any]] = {}
    for study in studies:
        manifest = study["manifest"]
        if manifest["fingerprint"] not in tables:
            n = {
                (c["class"], (c["source"], c["generator"] or "", c["split"])): c["n"]
                for c in manifest["counts"]
            }
            columns = sorted({column for _, column in n})
            rows = [(name, [n.get((name, c), 0) for c in columns]) for name in manifest["classes"]]
            totals = [sum(cells[i] for _, cells in rows) for i in range(len(columns))]
            tables[manifest["fingerprint"]] = {
                "columns": columns, "rows": rows, "totals": totals, "of": [],
                "fingerprint": manifest["fingerprint"],
            }  # fmt: skip
        tables[manifest["fingerprint"]]["of"].append(study_title(study))
    return list(tables.values())
