"""Predictions of a design → what a study answers: rows with verdicts, confusions, single runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from xprobe.base.arrays import Ints
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design
from xprobe.design.setting import Setting
from xprobe.learners.kinds import Kind, kind_of
from xprobe.results.hits import Hits
from xprobe.results.predictions import PredictionRecord
from xprobe.results.rows import (
    ClassResult,
    MixComparison,
    Result,
    Run,
    SettingResult,
    SettingRow,
    family_kind,
)
from xprobe.study.comparisons import compare_mixes
from xprobe.study.result_rows import ResultRows
from xprobe.study.seeds import Pooled
from xprobe.study.tested import Tested, folds_of, gather, labelled
from xprobe.verdict import metrics
from xprobe.verdict.intervals import compare_classes

FEWEST_STEPS = 50
"""A fine-tune of fewer optimiser steps is warned of."""

LEAST_MOVED = 0.001
"""A fine-tune that moves the encoder's weights less, relative to their norm, is warned of."""


@dataclass(frozen=True)
class Judged:
    """The rows and the warnings that answer what a study asks, and the hits that they come from."""

    results: tuple[Result, ...]
    comparisons: tuple[MixComparison, ...]
    classes: tuple[ClassResult, ...]
    settings: tuple[SettingResult, ...]
    runs: tuple[Run, ...]
    warnings: tuple[str, ...]
    hits: Hits


class _Named(TypedDict):
    """The fields that name a setting in a row."""

    setting: str
    ratio: float | None
    generator: str | None
    augment: str | None


def judge(
    pooled: Pooled, folder: Path, config: SweepConfig, label: str, zero_shot: Ints | None = None
) -> Judged:
    """Return what the predictions of a design answer.

    `zero_shot` are the classes that text features predict for the images of the study, or None.
    """
    design = pooled.design
    tested, y, group = gather(design, pooled.runs, folder)
    maker = ResultRows(design, config, label, y, group)
    real = tested[Setting("real-only")]
    rows = maker.alone(Setting("real-only"), real)
    for settings in _controls(tested):
        rows += maker.controls(real, {s: tested[s] for s in settings})
    for setting, pooled_mix in tested.items():
        if setting.name == "mix-pooled":
            rows += maker.alone(setting, pooled_mix)
    if zero_shot is not None:
        setting = Setting("zero-shot")
        tested[setting] = labelled(zero_shot[design.tested], y, len(design.study.classes))
        rows += maker.alone(setting, tested[setting])
    for settings in families_of(tested):
        rows += maker.family(real, {s: tested[s] for s in settings}, tested)
    k = len(design.study.classes)
    return Judged(
        results=tuple(rows),
        comparisons=tuple(compare_mixes(maker, tested)),
        classes=tuple(_class_rows(design, tested, y, group)),
        settings=tuple(_setting_result(s, t, y, k) for s, t in tested.items()),
        runs=tuple(
            row for s, t in tested.items() if t.blocks for row in _run_rows(s, t, y, design)
        ),
        warnings=(
            *design.warnings,
            *(f"{label}: {text}" for text in _choice_warnings(tested, config)),
        ),
        hits=_hits(pooled, tested, y),
    )


def _hits(pooled: Pooled, tested: Mapping[Setting, Tested], y: Ints) -> Hits:
    """Return which test images the settings got right that are trained on something."""
    design, trained = pooled.design, {s: t for s, t in tested.items() if t.blocks}
    order, first = design.tested, next(iter(trained.values()))
    return Hits(
        settings=tuple(SettingRow(**_named(setting)) for setting in trained),
        hit=np.stack([t.predicted == y for t in trained.values()]),
        fold=folds_of(first, order),
        seed=np.array(pooled.seed_of_repeat),
        image=design.study.sha256[order],
        group=design.clusters,
        label=y,
    )


def _controls(settings: Iterable[Setting]) -> list[list[Setting]]:
    """Return the controls whose intervals hold together: of real images; of each generator."""
    controls: dict[str | None, list[Setting]] = {}
    for setting in settings:
        if setting.name in ("real-duplicated", "real-more", "null-edit"):
            controls.setdefault(setting.generator, []).append(setting)
    return list(controls.values())


def families_of(settings: Iterable[Setting]) -> list[list[Setting]]:
    """Return the settings that are judged together, family by family, alternatives first."""
    families: dict[tuple[bool, str, str], list[Setting]] = {}
    for setting in settings:
        if kind := family_kind(setting.name, setting.augment):
            generator = "" if setting.is_alternative else setting.generator or ""
            name = not setting.is_alternative, generator, kind
            families.setdefault(name, []).append(setting)
    return [families[name] for name in sorted(families)]


def _class_rows(
    design: Design, tested: dict[Setting, Tested], y: Ints, group: Ints
) -> list[ClassResult]:
    """Return the difference of each class's recall to real-only's, family by family."""
    real = tested[Setting("real-only")].predicted == y
    rows = []
    for settings in families_of(tested):
        hit = np.stack([tested[setting].predicted == y for setting in settings])
        for (s, c), comparison in compare_classes(real, hit, y, group).items():
            name = design.study.classes[c]
            rows.append(ClassResult(**_named(settings[s]), class_=name, **asdict(comparison)))
    return rows


def _setting_result(setting: Setting, tested: Tested, y: Ints, k: int) -> SettingResult:
    confusion = np.asarray(sum(metrics.confusion(y, p, k) for p in tested.predicted))
    recall, precision, f1 = (tuple(values.tolist()) for values in metrics.per_class(confusion))
    return SettingResult(
        **_named(setting), confusion=tuple(map(tuple, confusion.tolist())), recall=recall,
        precision=precision, f1=f1, short=any(b.short for b in tested.blocks),
    )  # fmt: skip


def _named(setting: Setting) -> _Named:
    return {
        "setting": setting.name,
        "ratio": setting.ratio,
        "generator": setting.generator,
        "augment": setting.augment or None,
    }


def _run_rows(setting: Setting, tested: Tested, y: Ints, design: Design) -> list[Run]:
    """Return a row for each fold of each repeat."""
    order = design.tested
    place = {row: i for i, row in enumerate(order)}
    k = len(design.study.classes)
    rows = []
    for block, record, predicted in zip(
        tested.blocks, tested.records, tested.predicted, strict=True
    ):
        for fold, problem in enumerate(block.problems):
            rows_of_fold = np.array([place[r] for r in problem.test])
            counts = metrics.confusion(y[rows_of_fold], predicted[rows_of_fold], k)
            rows.append(
                Run(
                    **_named(setting),
                    repeat=block.repeat,
                    fold=fold,
                    n_train_real=block.n_real[fold],
                    n_train_synthetic=block.n_synthetic[fold],
                    dropped_by_lineage=block.dropped[fold],
                    dropped_in_inner_folds=block.dropped_inner[fold],
                    n_test=len(rows_of_fold),
                    c=record.c[fold],
                    accuracy=metrics.accuracy(y[rows_of_fold], predicted[rows_of_fold]),
                    macro_f1=float(metrics.macro_f1(counts)),
                    steps=record.steps[fold] or None if record.steps else None,
                    training_accuracy=_of_fold(record.training_accuracy, fold),
                    moved=_of_fold(record.moved, fold),
                )
            )
    return rows


def _of_fold(values: Sequence[float | None], fold: int) -> float | None:
    """Return the value of a fold; None where there are none."""
    return values[fold] if values else None


def _choice_warnings(tested: dict[Setting, Tested], config: SweepConfig) -> list[str]:
    """Return warnings about the choices of C, the solver and the fine-tunes."""
    warnings = []
    records = [(setting, record) for setting, t in tested.items() for record in t.records]
    edges = [
        (setting, c)
        for setting, record in records
        for c, is_edge in zip(record.c, record.at_edge, strict=True)
        if is_edge and c is not None
    ]
    if edges:
        titles = _titles(edges)
        choices = sum(len(record.c) for _, record in records)
        warnings.append(_edge_warning(config, [c for _, c in edges], choices, titles))
    unconverged = sum(record.unconverged for _, record in records)
    if unconverged:
        warnings.append(f"{unconverged} logistic regressions did not converge")
    notes = Counter(note for _, record in records for note in record.notes)
    warnings += [f"{note} ({n} fine-tunes)" for note, n in notes.items()]
    return [*warnings, *_training_warnings(records)]


def few_steps(steps: Sequence[tuple[Setting, int]]) -> list[str]:
    """Return a warning if fine-tunes, each of a setting, take so few steps that they say little."""
    few = [(setting, n) for setting, n in steps if n < FEWEST_STEPS]
    if not few:
        return []
    least, most = min(n for _, n in few), max(n for _, n in few)
    return [
        f"{len(few)} of {len(steps)} fine-tunes take fewer than {FEWEST_STEPS} steps "
        f"({least if least == most else f'{least} to {most}'}; settings {_titles(few)}): they say "
        f"little of what training the network does; more --epochs or a smaller --batch-size make "
        f"more steps"
    ]


def _training_warnings(records: Sequence[tuple[Setting, PredictionRecord]]) -> list[str]:
    """Return warnings if fine-tunes trained so little that they are hardly any."""
    warnings = few_steps([(setting, n) for setting, record in records for n in record.steps if n])
    moved = [(setting, by) for setting, record in records for by in record.moved if by is not None]
    if hardly := [(setting, by) for setting, by in moved if by < LEAST_MOVED]:
        warnings.append(
            f"{len(hardly)} of {len(moved)} fine-tunes moved the encoder's weights by less than "
            f"{100 * LEAST_MOVED:g} % of their size (settings {_titles(hardly)}): they say nearly "
            f"what a head on the frozen features says; a larger --lr or more --epochs move them "
            f"further"
        )
    return warnings


def _titles(cases: Sequence[tuple[Setting, float]]) -> str:
    return ", ".join(sorted({setting.title for setting, _ in cases}))


def _edge_warning(config: SweepConfig, edges: list[float], choices: int, titles: str) -> str:
    strength = kind_of(config.head).strength
    if strength != Kind.strength:
        return (
            f"{strength} was chosen at an edge of its grid in {len(edges)} of "
            f"{choices} cases (settings {titles})"
        )
    low, high = config.c_grid[0], config.c_grid[-1]
    at_low = sum(c == low for c in edges)
    return (
        f"C of the {config.head} head was chosen at an edge of its grid in {len(edges)} of "
        f"{choices} cases ({at_low} × {low:g}, {len(edges) - at_low} × {high:g}; settings "
        f"{titles}): a wider --c-grid may fit better"
    )
