"""What the report says of one study, beside the answer: tables, recalls, what images are worth.

Nothing is measured here but what the images of a data value cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xprobe.encoders.spec import RANDOM
from xprobe.learners.kinds import kind_read
from xprobe.report.words import (
    METRICS,
    in_order,
    points,
    setting_title,
    span,
    study_title,
    verdict_kind,
)
from xprobe.verdict import metrics
from xprobe.verdict.worth import worth_interval

Study = dict[str, Any]

Row = dict[str, Any]

RANDOM_WEIGHTS = "RANDOM WEIGHTS: says nothing of a trained encoder"

FROM_RANDOM = "FROM RANDOM WEIGHTS: pretrained ones may answer otherwise"

LINEAGE_IGNORED = "LINEAGE IGNORED: shows the size of a leak, and nothing else"

# The words of metrics that are means over images, as a sentence lists them.
_LOWER_IS_BETTER = " and ".join(
    metric.words
    for metric in metrics.METRICS.values()
    if metric.per_image is not None and not metric.larger_is_better
)

_MOST_CLASSES = 60  # rows of a table that could be endless


@dataclass(frozen=True)
class Costs:
    """What an image costs, in any one currency."""

    real: float
    synthetic: float


def badge(row: Row) -> str:
    """Return the style of a verdict: helps, hurts, equivalent, no; nothing without a verdict."""
    return verdict_kind(row["verdict"]).split()[0] if row["verdict"] else ""


def random_words(study: Study) -> str:
    """Return what is to be said of weights that were never trained; nothing of others."""
    if not str(study["encoder"]["weights"]).startswith(RANDOM):
        return ""
    return FROM_RANDOM if kind_read(study["config"]["head"]).takes_steps else RANDOM_WEIGHTS


def is_floor(study: Study) -> bool:
    """Return whether the encoder has no learned weights, by design."""
    return bool(study["encoder"]["source"].startswith("builtin:"))


def study_view(i: int, study: Study, drawings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the section of the i-th study shows, with those of the drawings that are its."""
    own = [d for d in drawings if d["study"] == i]
    return {
        "title": study_title(study),
        "floor": is_floor(study),
        "leaky": LINEAGE_IGNORED if is_leaky(study) else "",
        "random": random_words(study),
        "groups": _setting_groups(study),
        "dropped": any(r["dropped_by_lineage"] for r in study["results"]),
        "controlled": any(r["control_difference"] is not None for r in study["results"]),
        "curves": [d for d in own if d["kind"] in METRICS],
        "confusions": [d for d in own if d["kind"] == "confusion"],
        "recall": _recall(study),
        "classes": _classes(study),
        "others": _others(study),
        "kept_out": _kept_out(study),
        "mcnemar": any(r.get("p_mcnemar") is not None for r in study["results"]),
        "document": study,
    }


def is_leaky(study: Study) -> bool:
    """Return whether a study trained on what was made from test images, as asked."""
    return bool(study["config"].get("ignore_lineage"))


def _classes(study: Study) -> list[dict[str, Any]]:
    """Return what each class gains or loses, by generator: a column a setting."""
    found = []
    rows = [r for r in study.get("classes", ()) if r["generator"] and not r["augment"]]
    for generator in dict.fromkeys(r["generator"] for r in rows):
        own = sorted((r for r in rows if r["generator"] == generator), key=in_order)
        titles = list(dict.fromkeys(setting_title(r) for r in own))
        cells = {(r["class"], setting_title(r)): r | {"badge": badge(r)} for r in own}
        names = list(dict.fromkeys(r["class"] for r in own))
        table = [(name, [cells.get((name, title)) for title in titles]) for name in names]
        table.sort(key=lambda line: not any(c and c["badge"] != "no" for c in line[1]))
        claims = [
            f"{r['class']} {points(r['difference'])} at {setting_title(r)}"
            for r in own
            if verdict_kind(r["verdict"]) in ("helps", "hurts")
        ]
        found.append({
            "generator": generator, "titles": titles, "rows": table[:_MOST_CLASSES],
            "n": len(table), "claims": claims,
        })  # fmt: skip
    return found


def _others(study: Study) -> dict[str, Any]:
    """Return the table of the metrics that stand beside: a row a setting."""
    given = {r["metric"] for r in study["results"]}
    names = [name for name in metrics.METRICS if name != "accuracy" and name in given]
    cells: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in sorted(study["results"], key=in_order):
        key = row["generator"], setting_title(row)
        cells.setdefault(key, {})[row["metric"]] = row
    rows = [
        (" · ".join(filter(None, key)), [_other(own.get(name)) for name in names])
        for key, own in cells.items()
        if any(name in own for name in names)
    ]
    titles = [metrics.METRICS[name].title for name in names]
    return {"titles": titles, "rows": rows, "lower": _LOWER_IS_BETTER}


def _other(row: Row | None) -> dict[str, str] | None:
    if row is None:
        return None
    metric = metrics.METRICS[row["metric"]]
    is_share, digits = metric.unit == "%", metric.digits
    scale = 100 if is_share else 1

    def shown(value: float) -> str:
        return f"{scale * value:.{digits}f}".replace("-", "−")

    difference = ""
    if row["difference"] is not None:
        if is_share:
            interval = span(row["difference_low"], row["difference_high"])
            difference = f"{points(row['difference'])} {interval}"
        else:
            low, high = shown(row["difference_low"]), shown(row["difference_high"])
            difference = f"{row['difference']:+.{digits}f}".replace("-", "−") + f" [{low}, {high}]"
    return {"value": shown(row["value"]), "difference": difference}


def _kept_out(study: Study) -> list[dict[str, Any]]:
    """Return how many images the lineage guard kept out of folds, by generator."""
    found = []
    for generator in study["generators"]:
        own = [r for r in study["runs"] if r["generator"] == generator and r["setting"] == "mix"]
        first = [r for r in own if r["ratio"] == own[0]["ratio"] and not r.get("augment")]
        counts = [r["dropped_by_lineage"] for r in first]
        inner = [r.get("dropped_in_inner_folds", 0.0) for r in first]
        if any(counts) or any(inner):
            found.append({
                "generator": generator, "low": min(counts), "high": max(counts),
                "inner_low": min(inner), "inner_high": max(inner), "folds": len(first),
            })  # fmt: skip
    return found


def worth_view(studies: Sequence[Study], costs: Costs | None) -> list[dict[str, Any]]:
    """Return what synthetic images are worth: a row for each mix of a learning curve."""
    rows = []
    for study in studies:
        classes = len(study["manifest"]["classes"])
        for row in study.get("data_value", ()):
            rows.append({
                **row, "study": study_title(study), "setting": f"1:{row['ratio']:g}",
                "interval": worth_interval(row), "words": _worth_words(row),
                "cost": _cost(row, classes, costs) if costs else None,
            })  # fmt: skip
    return rows


def _worth_words(row: Row) -> str:
    added = f"{row['synthetic_per_class']:.0f} synthetic images of each class, added to "
    added += f"{row['real_per_class']:.0f} real ones,"
    end, value = row["most"] - row["real_per_class"], round(row["value"])
    if row["value"] >= end:
        return f"{added} are worth {end:.0f} real ones or more (the end of the curve)"
    if row["value"] <= 0:
        return f"{added} are worth no real one"
    words = "less than one real one" if row["value"] < 0.5 else f"{value} further real one"
    words += "s" * (value > 1)
    return f"{added} are worth {words}{', and maybe none' if row['at_most'] else ''}"


def _cost(row: Row, classes: int, costs: Costs) -> str:
    """Say what the synthetic images cost, what real ones of their worth do, and which is less."""
    synthetic = row["synthetic_per_class"] * classes * costs.synthetic
    real = {name: row[name] * classes * costs.real for name in ("value", "low", "high")}
    said = f"{synthetic:,.2f} for the synthetic, {real['value']:,.2f} for as many real ones"
    if real["low"] > synthetic:
        return f"{said}: synthetic images are cheaper"
    if real["high"] < synthetic and not row["at_least"]:
        return f"{said}: real images are cheaper"
    return f"{said}: which is cheaper cannot be told"


def _setting_groups(study: Study) -> list[dict[str, Any]]:
    """Return the table of settings: a group for real-only, then one per generator."""
    by_setting: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in study["results"]:
        key = row["generator"], row["setting"], row["ratio"], row["augment"]
        cells = by_setting.setdefault(key, {})
        cells[row["metric"]] = row
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for cells in sorted(by_setting.values(), key=lambda c: in_order(c["accuracy"])):
        row = cells["accuracy"]
        ratio, actual = row["ratio"], row["ratio_actual"]
        differs = actual is not None and abs(actual - ratio) > 0.01 * ratio
        cells |= {"row": row, "title": setting_title(row), "badge": badge(row)}
        cells["actual"] = f"1:{actual:g}" if differs else None
        groups.setdefault(row["generator"], []).append(cells)
    return [{"generator": generator, "rows": rows} for generator, rows in groups.items()]


def _recall(study: Study) -> dict[str, Any]:
    settings = sorted(study["settings"], key=in_order)
    several = len(study["generators"]) > 1
    columns = [(s["generator"] if several else None, setting_title(s)) for s in settings]
    classes = study["manifest"]["classes"]
    rows = [(name, [s["recall"][c] for s in settings]) for c, name in enumerate(classes)]
    return {"columns": columns, "rows": rows}
