"""Does the verdict keep the error rate that it claims?

    python benchmarks/bench_calibration.py [--quick] [--only errors groups …] [--markdown FILE]
                                           [--images FOLDER]

Studies are made up again and again from populations that are known, and xprobe's own functions
judge them; what they claim is compared with what is true. The parts, each with a module in
`calibration/` that says how its figures come about:

- errors, coverage, power, edges, symmetries, noise, value, leaks, tuning, sweep: the eight
  requirements that the protocol began with (docs/concepts/protocol.md), numbered;
- populations, wrong-labels: clusters, edits, imbalance, a ceiling, shifts; the contrast that users
  make, n against n + r·n, with labels wrong just so often that nothing is gained;
- families: what is claimed study-wide over 18 families of null mixes, and power beside Holm's;
- groups; models, hold-outs: few and unequal groups; fine-tunes, emulated;
- probabilities: log-loss, Brier score and calibration error through the whole sweep;
- mixes: generators and ratios against each other;
- own, shares, classes: intervals of own values, words of classes;
- distance, worth: p-values and intervals of distances; what synthetic images are worth;
- judging: seconds and memory;
- digits: the same on real images, handwritten digits; ``--images FOLDER`` takes <class>/<image>.

``after`` is measured now; ``before`` is the same figure by the rules of studies of version 1, on
real features that cannot be had here, measured once and written down. ``± MC`` is the Monte-Carlo
standard error. What is asked as ``≤ 0.05`` passes within two such errors of the bound, so ≤ .064 at
1000 replications; ``≤ 0.064`` is asked as it stands. Figures that are known to be short are shown.

Two processes of one thread each; seeds are fixed. ``--quick``: a few replications, to see that all
parts work; nothing passes or fails by it.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # Processes take the cores; NumPy reads this when imported.

import argparse
import importlib.metadata
import json
import platform
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from calibration import (
    contrasts,
    core,
    digits,
    distance,
    families,
    groups,
    judging,
    lineage,
    mixes,
    models,
    own,
    probabilities,
    worth,
)
from calibration.rows import SHOWN, WORKERS, Part, Row, from_dict, from_dicts

QUESTION = "Does the verdict keep the error rate that it claims?"


def distances(B: int) -> Iterator[Row]:
    """Yield the rows of distances; power and intervals with half of the replications."""
    yield from from_dicts(distance.rows_of(B, ("null", "gain"), WORKERS))
    yield from from_dicts(distance.rows_of(max(2, B // 2), ("power", "intervals"), WORKERS))


def data_values(B: int) -> Iterator[Row]:
    """Yield the rows of data values: of one population all, of the others those of good sizes."""
    advised = ",".join(map(str, worth.ADVISED))
    for row in worth.rows_of(B, WORKERS):
        is_first = row["world"] == worth.WORLDS[0].title
        if row["asked"] and (is_first or row["item"].startswith(advised)):
            yield from_dict(row)


PARTS: dict[str, Part] = {
    "errors": Part(core.errors, 1000),
    "coverage": Part(core.coverage, 1000),
    "power": Part(core.power, 1000),
    "edges": Part(core.edges, 500),
    "symmetries": Part(core.symmetries, 1, 1),
    "noise": Part(core.stochastic, 500),
    "value": Part(core.values, 200),
    "leaks": Part(lineage.leaks, 1, 1),
    "tuning": Part(lineage.tuning, 200),
    "sweep": Part(lineage.sweeps, 60, 1),
    "populations": Part(contrasts.populations, 500),
    "wrong-labels": Part(contrasts.calibrated, 1000),
    "families": Part(families.flagship, 400),
    "groups": Part(groups.events, 16000, 100),
    "models": Part(models.fine_tunes, 4000, 20),
    "hold-outs": Part(models.hold_outs, 8000, 20),
    "probabilities": Part(probabilities.probabilities, 200, 1),
    "mixes": Part(mixes.among_mixes, 500),
    "own": Part(own.own_intervals, 500),
    "shares": Part(own.binomial, 1, 1),
    "classes": Part(own.classes, 200),
    "distance": Part(distances, 1000),
    "worth": Part(data_values, 80),
    "judging": Part(judging.speed, 100, 2),
    "digits": Part(digits.handwritten, 1000),
}


def shown(row: Row) -> tuple[str, str, str, str]:
    """Return before, after, ± MC and met as people read them."""
    if row.asked == "always":
        after = "yes" if row.after else "no"
    else:
        after = f"{row.after:.1g}" if 0 < abs(row.after) < 1e-3 else f"{row.after:.3f}"
    before = f"{row.before:.3f}" if isinstance(row.before, float) else row.before or "–"
    met = {None: "–", True: "yes", False: "**no**"}[row.met]
    error = f"{row.error:.3f}" if row.error else "–"
    return before, after, error, met


def markdown(rows: Sequence[tuple[Row, float]], seconds: float) -> str:
    """Return the table of rows and the seconds that each took."""
    lines = ["| item | world | asked | before | after | ± MC | B | seconds | met |",
             "|---|---|---|---:|---:|---:|---:|---:|---|"]  # fmt: skip
    for row, row_s in rows:
        before, after, error, met = shown(row)
        taken = f"{row_s:.0f}" if row_s >= 0.5 else ""  # The same replications give several rows.
        lines.append(
            f"| {row.item} | {row.world} | {row.asked} | {before} | {after} | {error} | {row.B} | "
            f"{taken} | {met} |"
        )
    minutes = f"{seconds / 60:.0f} minutes, {WORKERS} processes on {os.cpu_count()} cores."
    return "\n".join([*lines, "", minutes])


def document_of(rows: Sequence[tuple[Row, float]]) -> dict[str, Any]:
    """Return the document that the last line holds."""
    names = ("xprobe", "numpy", "scipy", "scikit-learn", "torch")
    return {
        "question": QUESTION,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: importlib.metadata.version(name) for name in names},
        "rows": [vars(row) | {"seconds": round(row_s, 1)} for row, row_s in rows],
        "targets": [
            {"name": f"{row.item}: {row.world}", "asked": row.asked, "measured": row.after,
             "met": row.met}
            for row, _ in rows if row.asked != SHOWN and row.met is not None
        ],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="a few replications of each part")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="these parts alone")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    parser.add_argument("--images", type=Path, help="also take a folder <class>/<image>")
    chosen = parser.parse_args()
    parts = {name: PARTS[name] for name in chosen.only or PARTS}
    if chosen.images:
        parts["images"] = Part(partial(digits.real_images, str(chosen.images)), PARTS["digits"].B)
    begun = start = time.perf_counter()
    rows: list[tuple[Row, float]] = []
    for name, part in parts.items():
        for row in part.rows(part.quick if chosen.quick else part.B):
            now = time.perf_counter()
            rows.append((row, now - start))
            start = now
            before, after, error, _ = shown(row)
            remark = "  NOT MET" if row.met is False and not chosen.quick else ""
            print(f"{now - begun:6.0f} s  {name:<13} {row.item:<66} {row.world:<56} "
                  f"asked {row.asked:<12} before {before:<9} after {after} ± {error} "
                  f"(B = {row.B}){remark}", flush=True)  # fmt: skip
    if chosen.markdown:
        text = markdown(rows, time.perf_counter() - begun)
        chosen.markdown.write_text(f"{text}\n", encoding="utf-8")
    print(json.dumps(document_of(rows), ensure_ascii=False))


if __name__ == "__main__":
    main()
