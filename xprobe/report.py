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

from xprobe import distance_figures, figures, results
from xprobe.atomic import put
from xprobe.augment import AUGMENTATIONS
from xprobe.distance_view import distance_view, distance_warnings, of_encoders
from xprobe.figures import (
    ALTERNATIVES,
    METRICS,
    family_title,
    in_order,
    points,
    setting_title,
    span,
    study_title,
    verdict_kind,
)
from xprobe.study_view import (
    LINEAGE_IGNORED,
    Costs,
    badge,
    is_floor,
    is_leaky,
    random_words,
    study_view,
    worth_view,
)
from xprobe.types import FINETUNE, Result
from xprobe.verdict import ALPHA

Study = dict[str, Any]
Row = dict[str, Any]

FLOOR = "a floor, not a learned encoder"
QUESTION = "Do AI-generated images help image recognition?"
_OTHER_WORDS = {"helps": "better than real-only", "hurts": "worse than real-only"}
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
    studies = results.load_studies(results_folder, encoders)
    families = results.families(studies)
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


def _of_distances(document: Row | None, encoders: Sequence[str]) -> Iterable[figures.Drawing]:
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
                if figures.MARK.encode() in stream.read(4096):
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


def _drawing_view(drawing: figures.Drawing) -> dict[str, Any]:
    uri = f"data:image/svg+xml;base64,{base64.b64encode(drawing.svg).decode()}"
    return {"uri": uri, **{k: getattr(drawing, k) for k in ("name", "kind", "study", "title")}}


def _render(template: str, view: dict[str, Any]) -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xprobe"),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_markdown if template.endswith(".md.j2") else None,
    )
    environment.filters |= {
        "percent": _percent, "points": points, "span": span, "p": _p, "count": _count,
        "estimate": _estimate, "number": _number, "interval": _interval,
    }  # fmt: skip
    return environment.get_template(template).render(view).strip().encode() + b"\n"


def _markdown(value: Any) -> Any:
    """Escape a value for Markdown, in a table cell too; what a template calls safe stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _MARKUP.sub(lambda found: "\\" + found[0], " ".join(value.splitlines()))
    return value


def _estimate(row: Row) -> str:
    return f"{_percent(row['value'])} [{_percent(row['ci_low'])}, {_percent(row['ci_high'])}]"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _p(p: float) -> str:
    if p < 0.001:
        return "< 0.001"
    return f"{p:.4f}" if abs(p - ALPHA) < 0.0005 else f"{p:.3f}"  # never on the wrong side of .05


def _count(n: float) -> str:
    return f"{n:,.0f}" if float(n).is_integer() else f"{n:,.1f}"


def _number(value: float | None) -> str:
    """Return a number of any size, to three digits: ``0.120``, ``12.3``, ``1,234``."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")
    return text.replace("-", "−")


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{_number(low)}, {_number(high)}]"


def _answer(studies: Sequence[Study], families: Sequence[Row]) -> dict[str, Any]:
    """Say what was found: a headline, then a sentence for each comparison."""
    rows = ((s, r) for s in studies for r in sorted(s["results"], key=in_order))
    judged = [(s, r) for s, r in rows if r["verdict"] is not None]
    mixes = [(s, r) for s, r in judged if r["setting"] == "mix" and not r["augment"]]
    headline = _headline([r for _, r in mixes], families)
    if any(map(is_leaky, studies)):
        headline = f"{LINEAGE_IGNORED}. With the leak: {headline[0].lower()}{headline[1:]}"
    notes = _notes(studies, families)
    lines = [_line(s, r) for s, r in mixes]
    valued = [
        f"{row['study']} · generator {row['generator']} · {row['setting']} — {row['words']} "
        f"{row['interval']}."
        for row in worth_view(studies, None)
    ]
    others = [_line(s, r) for s, r in judged if r["setting"] == "synthetic-only"]
    alternatives = [_line(s, r) for s, r in judged if r["augment"] or r["setting"] in AUGMENTATIONS]
    every = (*lines, *others, *alternatives)
    sentences = [headline, *notes, *(line["sentence"] for line in every), *valued]
    grouped: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        grouped.setdefault(line["who"], []).append(line)
    return {
        "headline": headline, "notes": notes, "lines": lines, "grouped": list(grouped.items()),
        "others": others, "alternatives": alternatives, "valued": valued, "sentences": sentences,
    }  # fmt: skip


def _headline(mixes: Sequence[Row], families: Sequence[Row]) -> str:
    n = len(mixes)
    kinds = [verdict_kind(row["verdict"]) for row in mixes]
    helps, hurts, equal = (kinds.count(kind) for kind in ("helps", "hurts", "equivalent"))
    if not helps and not hurts:
        if n and equal == n:
            return f"No difference that matters: equivalent within the margin in {_of(n, n)}."
        some = f"; {equal} of them were equivalent within the margin" if equal else ""
        where = "the only comparison" if n == 1 else f"any of {n} comparisons"
        return (
            f"No detectable difference: adding synthetic images did not change accuracy detectably "
            f"in {where}{some}."
        )
    if helps and hurts:
        text = f"raised accuracy in {helps} and lowered it in {hurts} of {n} comparisons"
    else:
        text = f"{'raised' if helps else 'lowered'} accuracy in {_of(helps or hurts, n)}"
    if rest := n - helps - hurts:
        text += f"; in the other {rest if rest > 1 else 'one'} no difference was detected"
    best = _study_wide(mixes, families)
    if best > ALPHA:
        return (
            f"Not certain: adding synthetic images {text}. This does not hold over all "
            f"{len(families)} families of comparisons together (study-wide p {_p(best)})."
        )
    start = "Mixed" if helps and hurts else "Yes" if helps else "No, they hurt"
    return f"{start}: adding synthetic images {text}."


def _of(k: int, n: int) -> str:
    if n == 1:
        return "the only comparison"
    if k == n == 2:
        return "both comparisons"
    return f"all {n} comparisons" if k == n else f"{k} of {n} comparisons"


def _study_wide(mixes: Sequence[Row], families: Sequence[Row]) -> float:
    """Return the smallest study-wide p of the families in which a mix helps or hurts."""
    claims = [r for r in mixes if verdict_kind(r["verdict"]) in ("helps", "hurts")]
    claimed = {results.family_of(r) for r in claims}
    return min(
        float(f["p_study_wide"])
        for f in families
        if tuple(f[name] for name in results.FAMILY) in claimed
    )


def _notes(studies: Sequence[Study], families: Sequence[Row]) -> list[str]:
    notes = []
    if all(map(is_floor, studies)):
        notes.append(
            "Every encoder here is a floor without learned weights: ask a learned one too."
        )
    if len(families) > 1:
        first = [f"{_family_title(f)} {_p(f['p_study_wide'])}" for f in families[:6]]
        more = f" and {len(families) - 6} more (see the table)" if len(families) > 6 else ""
        notes.append(
            f"There are {len(families)} families of comparisons, each with its own error rate of "
            f"5 %. Study-wide p over all of them (Holm): {', '.join(first)}{more}."
        )
    return notes


def _family_title(family: Row) -> str:
    of = family["generator"] or ALTERNATIVES
    part = family["real_fraction"], family["train_per_class"]
    return family_title(family["encoder"], family["head"], part, of)


def _line(study: Study, row: Row) -> dict[str, Any]:
    setting = setting_title(row)
    verdict = row["verdict"]
    if row["setting"] == "synthetic-only":
        real = next(r for r in study["results"] if r["setting"] == "real-only")
        setting += (
            f" ({_count(row['n_train_synthetic'])} synthetic in place of "
            f"{_count(real['n_train_real'])} real images)"
        )
    if row["setting"] != "mix":
        verdict = _OTHER_WORDS.get(verdict, verdict)
    of = [f"generator {row['generator']}"] if row["generator"] else []
    if row["augment"] or not of:
        of.insert(0, ALTERNATIVES)
    who = " · ".join([study_title(study), *of])
    difference = f"{points(row['difference'])} points"
    interval = span(row["difference_low"], row["difference_high"])
    could = f"a difference of {_percent(row['detectable'])} points could have been detected"
    if row["control_difference"] is not None:
        control = points(row["control_difference"])
        could = f"{control} points to its control; {could}"
    return {
        "who": who, "floor": is_floor(study), "random": random_words(study),
        "setting": setting, "difference": difference,
        "interval": interval, "verdict": verdict, "badge": badge(row), "could": could,
        "sentence": f"{who} · {setting} — {difference} {interval}, {verdict}; {could}.",
    }  # fmt: skip


def _view(
    studies: Sequence[Study], families: Sequence[Row], drawings: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return what the templates show."""
    measured = _render("measured.txt.j2", {"plans": _plans(studies), "families": len(families)})
    titled = [line.split(": ", 1) for line in measured.decode().splitlines() if line.strip()]
    return {
        "question": QUESTION,
        "floor": FLOOR,
        "answer": _answer(studies, families),
        "facts": _facts(studies),
        "warnings": _warnings(studies),
        "families": [{**f, "title": _family_title(f)} for f in families],
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


_HEADS = {
    "logistic": "Multinomial logistic regression with an L2 penalty on frozen features of unit "
    "length, solved to the optimum.",
    "ridge": "Ridge regression on frozen features of unit length to targets of 1 for the class and "
    "−1 for the others, solved exactly.",
    "knn": "Votes of the training images nearest in cosine, weighted by exp(cosine / 0.07).",
    "text": "Multinomial logistic regression on frozen features of unit length, solved to the "
    "optimum; its L2 penalty is on what it deviates from the zero-shot classifier.",
    "text-soft": "Multinomial logistic regression on frozen features of unit length, solved to the "
    "optimum; its L2 penalty is on what it deviates from the zero-shot classifier, and targets of "
    "synthetic images are half the label, half the zero-shot probabilities at temperature 2.",
    FINETUNE: "None apart: the whole network is trained, from pixels.",
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
            "head": _HEADS.get(study["config"]["head"], study["config"]["head"]),
            "n_train": _count(real["n_train_real"]),
            "n_test": _count(real["n_test"]),
            "n_groups": _count(real["n_groups"]),
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
        "Real images to train on": (_count(r["n_train_real"]) for r in real),
        "Real images to test on": (_count(r["n_test"]) for r in real),
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
    tuned = [s for s in studies if s["config"]["head"] == FINETUNE]
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
