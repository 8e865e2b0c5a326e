"""What the report says of distances, copies and shortcuts: what `xprobe distance` found, in words.

Nothing is measured here but the rank correlation of distances and gains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from xprobe.design.setting import head_title
from xprobe.distance.checks.shortcuts import ALL, NAMES
from xprobe.distance.metrics import DISTANCES, PAIRED, Metric, headline
from xprobe.report.words import part_of, study_title
from xprobe.verdict.correlation import rank_correlation

Study = dict[str, Any]

Row = dict[str, Any]

MOST_LEAKS, MOST_CLASSES = 20, 200  # rows of tables that could be endless

_LEAKS = ("a test", "a training", "an extra", "")  # in the words of a kind, the worst first


def of_encoders(document: Row | None, encoders: Sequence[str]) -> list[Row]:
    """Return the rows of the encoders that are reported on."""
    rows = [] if document is None else document["distances"]
    return [row for row in rows if not encoders or row["encoder"] in encoders]


def distance_view(
    document: Row,
    distances: Sequence[Row],
    studies: Sequence[Study],
    drawings: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return what the section on distances shows."""
    own = [r for r in distances if r["metric"] in headline()]
    others = [r for r in distances if r["metric"] not in headline() and r["class"] is None]
    return {
        "note": _other_images(document, studies),
        "headline": [{"name": name, "title": DISTANCES[name].title} for name in headline()],
        "rows": _side_by_side([r for r in own if r["class"] is None]),
        "classes": _classes_view([r for r in own if r["class"] is not None]),
        "others": [
            {**r, "title": _metric(r).title, "larger": _metric(r).larger_is_nearer} for r in others
        ],
        "drawings": [d for d in drawings if d["kind"] == "distance"],
        "maps": [d for d in drawings if d["kind"] == "map"],
        "examples": [d for d in drawings if d["kind"] == "examples"],
        "leaks": _leaks_view(document),
        "shortcuts": _shortcuts_view(document),
        "predictions": _predictions(distances, studies),
        "created": document["created"],
        "command": document["command"],
    }  # fmt: skip


def _metric(row: Row) -> Metric:
    """Return the metric of a row; of a name that another version wrote, the name stands for it."""
    name = row["metric"]
    return PAIRED if name == PAIRED.name else DISTANCES.get(name, Metric(name, name))


def distance_warnings(document: Row, shared: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the warnings of `xprobe distance` that no study has said."""
    said = {warning["text"] for warning in shared}
    texts = [text for text in dict.fromkeys(document["warnings"]) if text not in said]
    return [{"who": "distance", "text": text} for text in texts]


def _other_images(document: Row, studies: Sequence[Study]) -> str:
    """Return a note if distances are not of the images that were studied, or nothing."""
    holds_for = {document["fingerprint"], *document.get("holds_for", ())}
    differ = [s for s in studies if s["manifest"]["fingerprint"] not in holds_for]
    if not differ:
        return ""
    of = "the studies" if len(differ) == len(studies) else ", ".join(map(study_title, differ))
    return (
        f"Measured on other images than {of}: some were added, changed or left out. Read the "
        "distances with care, or run 'xprobe distance' and 'xprobe sweep' on the same images."
    )


def _side_by_side(rows: Sequence[Row]) -> list[Row]:
    """Return the headline metrics of each encoder, generator and class in one row."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        names = {name: row[name] for name in ("encoder", "generator", "class")}
        both = found.setdefault(tuple(names.values()), names | dict.fromkeys(headline()))
        both[row["metric"]] = row | {"times": _times(row)}
    for both in found.values():
        there = [both[metric] for metric in headline() if both[metric]]
        reasons = dict.fromkeys(row["reason"] for row in there if row["reason"])
        both |= {"n": there[0]["n_real"], "m": there[0]["n_synthetic"], "reasons": list(reasons)}
    return list(found.values())


def _classes_view(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a table of the classes for each encoder, the farthest first."""
    tables = []
    for encoder in dict.fromkeys(row["encoder"] for row in rows):
        own = _side_by_side([row for row in rows if row["encoder"] == encoder])
        own.sort(key=lambda row: -_or_least(row["mmd"]))
        tables.append({"encoder": encoder, "rows": own[:MOST_CLASSES], "n": len(own)})
    return tables


def _times(row: Row) -> str:
    """Return how many times its floor a distance is, or a dash."""
    if row["value"] is None or row["floor"] is None or row["floor"] <= 0:
        return "–"
    times = round(row["value"] / row["floor"], 1) + 0.0  # no −0.0
    return f"{times:,.1f}".replace("-", "−")


def _or_least(row: Row | None) -> float:
    return float("-inf") if row is None or row["value"] is None else float(row["value"])


def _leaks_view(document: Row) -> dict[str, Any]:
    rows, threshold = document["leaks"], document["leak_threshold"]

    def place(row: Row) -> tuple[int, float, str]:
        rank = next(i for i, words in enumerate(_LEAKS) if words in row["kind"])
        return rank, -row["similarity"], row["id"]

    ordered = sorted(rows, key=place)
    kinds = Counter(row["kind"] for row in ordered)
    sentence = "No copies of real images were found, and no duplicates."
    if kinds:
        counts = "; ".join(f"{n:,} × {kind}" for kind, n in kinds.items())
        many = "1 image was" if len(rows) == 1 else f"{len(rows):,} images were"
        sentence = f"{many} found to be copies or duplicates: {counts}."
    elif not threshold:
        sentence = "Copies and duplicates were not looked for."
    above = ""
    if threshold:
        near = threshold["similarity"]
        above = (
            f"Taken for a copy is what has a similarity above {near:.3g}, a distance below "
            f"{1 - near:.3g}. Why: {_ended(threshold['reason'])}"
        )
    return {"sentence": sentence, "rows": ordered[:MOST_LEAKS], "n": len(rows), "threshold": above}


def _shortcuts_view(document: Row) -> dict[str, Any]:
    rows = document["shortcuts"]
    titles = {**NAMES, ALL: "all together"}
    found = [_ended(row["verdict"], capital=True) for row in rows if row.get("found")]
    none = "No property of the files was found to tell real and synthetic images apart; how sure "
    none += "that is, the intervals say."
    if not any(row.get("auc") is not None for row in rows):
        none = "Whether files alone tell real and synthetic images apart was not measured."
    return {
        "found": found,
        "sentences": found or [none],
        "rows": [{**r, "title": titles.get(r["property"], r["property"])} for r in rows],
    }


def _ended(text: str, capital: bool = False) -> str:
    """Return a text that ends as a sentence does, and begins as one if wanted."""
    text = text.strip()
    text = text[:1].upper() + text[1:] if capital else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _predictions(distances: Sequence[Row], studies: Sequence[Study]) -> list[str]:
    """Say how distance and gain go together, for each head where enough points are."""
    far = {
        (r["encoder"], r["generator"]): r["value"]
        for r in distances
        if r["metric"] == "mmd" and r["class"] is None and r["value"] is not None
    }
    points_of: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for study in studies:
        config = study["config"]
        head = head_title(config["head"], *part_of(config))
        ratio = max(config["ratios"], default=0)
        for row in study["results"]:
            pair = study["encoder"]["label"], row["generator"]
            if pair in far and _is_gain(row, ratio):
                own = points_of.setdefault((head, ratio), [])
                own.append((far[pair], row["difference"]))
    return [
        text
        for (head, ratio), own in points_of.items()
        if (text := _prediction(f"{head[:1].upper()}{head[1:]}, 1:{ratio:g}", own))
    ]


def _is_gain(row: Row, ratio: float) -> bool:
    mix = row["setting"] == "mix" and row["ratio"] == ratio and not row["augment"]
    return mix and row["metric"] == "accuracy" and row["difference"] is not None


def _prediction(what: str, of: Sequence[tuple[float, float]]) -> str:
    found = rank_correlation([x for x, _ in of], [y for _, y in of])
    if found is None:
        return ""
    rho, low, high = (f"{value:+.2f}".replace("-", "−") for value in found)
    return (
        f"{what}: Spearman's rank correlation of MMD² and the difference in accuracy is "
        f"{rho} [{low}, {high}] over {len(of)} pairs of encoder and generator."
    )
