"""Settings × encoders × folds → predictions → verdicts; skips what is done."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from xprobe import heads, results
from xprobe.design import Block, Design, make_design
from xprobe.encoders import canonical
from xprobe.errors import XprobeError, nearest
from xprobe.judge import judge
from xprobe.manifest import counts, find_problems
from xprobe.prompts import classify
from xprobe.store import Store, StoredEncoder
from xprobe.types import (
    Floats,
    Manifest,
    Predictions,
    Progress,
    SweepConfig,
    digest_of,
    no_progress,
)

HEAD_VERSION = 1  # raised when a change of the heads changes their scores


def sweep(
    manifest: Manifest,
    store: Store,
    folder: Path,
    config: SweepConfig,
    *,
    encoders: Sequence[str] = (),
    margin: float | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Train and test every setting on every encoder, save all predictions, and judge.

    Args:
        manifest: the images.
        store: their features.
        folder: where predictions and studies are kept; what is there is not computed again.
        config: what is trained.
        encoders: names in the store; none: all that have features of this manifest.
        margin: accuracy differences up to this size count as equal; None claims no equivalence.
        workers: processes; default one a core.
        progress: how long work is shown.

    Returns:
        One study document an encoder (docs/results.md).
    """
    if config.head not in heads.HEADS:
        raise XprobeError(
            f"unknown head {config.head!r}{nearest(config.head, heads.HEADS)}; "
            f"known: {', '.join(heads.HEADS)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    chosen = _choose(store, manifest, encoders)
    labels = store.labels()
    designs: dict[str, Design] = {}
    studies = []
    for encoder in chosen:
        features, failed = store.read(encoder, manifest)
        usable = manifest.select(~np.isin(manifest.id.astype(str), list(failed)))
        if usable.fingerprint not in designs:
            designs[usable.fingerprint] = make_design(usable, config)
        design = designs[usable.fingerprint]
        row = {id_: i for i, id_ in enumerate(features.id)}
        x = features.x[[row[i] for i in design.study.id]]
        runs = _run_keys(design, encoder.key, config)
        _solve_missing(design, x, runs, folder, config, labels[encoder.key], workers, progress)
        text = store.read_text(encoder, design.study.classes)
        zero_shot = None if text is None else classify(x, text).argmax(axis=1)
        judged = judge(design, runs, folder, config, labels[encoder.key], margin, zero_shot)
        judged["warnings"] += find_problems(usable)
        if encoder.spec.has_random_weights:
            judged["warnings"].insert(
                0, f"{labels[encoder.key]} has RANDOM WEIGHTS, as asked: this says nothing of any "
                "trained encoder",
            )  # fmt: skip
        if failed:
            judged["warnings"].append(
                f"{len(failed)} images could not be embedded and take no part (see failed.csv)"
            )
        judged["prompts"] = None if text is None else text.prompts
        study = _document(encoder, labels[encoder.key], usable, design, config, margin) | judged
        key = digest_of([encoder.key, usable.fingerprint, asdict(config), margin])
        results.save_study(folder, key, study)
        studies.append(study)
    return studies


def _choose(store: Store, manifest: Manifest, names: Sequence[str]) -> list[StoredEncoder]:
    if names:
        found = [encoder for name in names for encoder in store.find(canonical(name))]
    else:
        found = [encoder for encoder in store.encoders() if store.coverage(encoder, manifest)]
    if not found:
        raise XprobeError(
            f"{store.folder} has no features of these images; run 'xprobe embed' first"
        )
    return list({encoder.key: encoder for encoder in found}.values())


def _run_keys(design: Design, encoder: str, config: SweepConfig) -> list[str]:
    """Return, for each block, the digest of everything that decides its predictions.

    That is the encoder, the head, and which contents under which labels are trained on, chosen
    by and tested: not how they came to be drawn. So a further ratio, generator or repeat leaves
    what is done as it is.
    """
    study = design.study
    names = zip(study.sha256, study.label, study.id, strict=True)
    token = np.array(
        [hashlib.sha256("\0".join(each).encode()).digest()[:16] for each in names], dtype="V16"
    )
    head = [HEAD_VERSION, config.head, list(config.c_grid), heads.TOLERANCE, list(study.classes)]
    keys = []
    for block in design.blocks:
        digest = hashlib.sha256(digest_of([encoder, head]).encode())
        for problem in block.problems:
            for rows in (problem.train, problem.test, *(r for pair in problem.inner for r in pair)):
                digest.update(len(rows).to_bytes(8, "little"))
                digest.update(token[rows].tobytes())
        keys.append(digest.hexdigest())
    return keys


def _solve_missing(
    design: Design,
    x: Floats,
    runs: list[str],
    folder: Path,
    config: SweepConfig,
    label: str,
    workers: int | None,
    progress: Progress,
) -> None:
    """Solve and save the blocks that have no predictions yet, each as soon as its folds are in."""
    todo: dict[str, Block] = {}
    for run, block in zip(runs, design.blocks, strict=True):
        if not results.predictions_file(folder, run).is_file():
            todo.setdefault(run, block)
    if not todo:
        return
    k = len(design.study.classes)
    y = np.searchsorted(np.array(design.study.classes), design.study.label.astype(str))
    problems = [problem for block in todo.values() for problem in block.problems]
    places = [(run, i) for run, block in todo.items() for i in range(len(block.problems))]
    waiting: dict[str, dict[int, heads.Fit]] = {run: {} for run in todo}
    with progress(f"sweep {label}", len(problems)) as advance:
        for number, fit in heads.solve(x, y, k, problems, config.c_grid, workers):
            run, fold = places[number]
            waiting[run][fold] = fit
            if len(waiting[run]) == len(todo[run].problems):
                fits = waiting.pop(run)
                _save(folder, run, todo[run], [fits[i] for i in sorted(fits)], y, design, label)
            advance(1)


def _save(
    folder: Path,
    run: str,
    block: Block,
    fits: list[heads.Fit],
    y: np.ndarray[Any, Any],
    design: Design,
    label: str,
) -> None:
    test = block.test
    predictions = Predictions(
        run, design.study.id[test], y[test], np.concatenate([f.score for f in fits]), block.fold
    )
    about = {
        "encoder": label,
        **asdict(block.setting),
        "repeat": block.repeat,
        "classes": list(design.study.classes),
        "c": [f.c for f in fits],
        "at_edge": [f.at_edge for f in fits],
        "fits": sum(f.fits for f in fits),
        "unconverged": sum(f.unconverged for f in fits),
    }
    results.save_predictions(folder, predictions, about)


def _document(
    encoder: StoredEncoder,
    label: str,
    usable: Manifest,
    design: Design,
    config: SweepConfig,
    margin: float | None,
) -> dict[str, Any]:
    return {
        "version": results.STUDY_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "command": " ".join(["xprobe", *sys.argv[1:]]),
        "encoder": {
            "label": label,
            "name": encoder.name,
            "key": encoder.key,
            **asdict(encoder.spec),
        },
        "protocol": design.protocol,
        "config": {**asdict(config), "margin": margin},
        "generators": list(design.generators),
        "manifest": {
            "fingerprint": usable.fingerprint,
            "classes": list(usable.classes),
            "counts": counts(usable),
        },
        **results.provenance(),
    }
