"""``xprobe sweep``: train every setting, test on real images, judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xprobe.cli import progress, tables
from xprobe.cli.options import (
    DEFAULT_RATIOS,
    AllowFewer,
    Alternatives,
    Balanced,
    CGrid,
    Concurrent,
    CRule,
    Data,
    Device,
    DryRun,
    Features,
    FinetuneRepeats,
    Folds,
    Group,
    Heads,
    Holdout,
    IgnoreLineage,
    InnerFolds,
    Json,
    LeaveOneGroupOut,
    MemoryGib,
    PerClass,
    Ratios,
    RealCurve,
    RealFraction,
    Repeats,
    WithSynthetic,
    Workers,
    names,
    numbers,
    whole_numbers,
    with_recipe,
)
from xprobe.cli.printing import out, print_json, print_table, warn
from xprobe.design.config import SweepConfig
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.kinds import MEMORY_GIB

if TYPE_CHECKING:
    from xprobe.results.answers import SweepAnswer
    from xprobe.results.study import Study
    from xprobe.study.estimate import Estimate


DENSE_C_GRID = tuple(10.0 ** (-6 + 0.25 * i) for i in range(45))


@with_recipe
def sweep(
    recipe: Recipe,
    data: Data = Path("data"),
    ratios: Ratios = DEFAULT_RATIOS,
    encoder: Annotated[
        list[str] | None, typer.Option(help="Name in the store; repeat. Default: all in it.")
    ] = None,
    features: Features = Path("features"),
    results: Annotated[Path, typer.Option("--out", help="Folder for predictions and studies.")] = (
        Path("results")
    ),
    per_class: PerClass = SweepConfig.per_class,
    real_fraction: RealFraction = "1",
    real_curve: RealCurve = "",
    folds: Folds = SweepConfig.folds,
    holdout: Holdout = SweepConfig.holdout,
    leave_one_group_out: LeaveOneGroupOut = SweepConfig.leave_one_group_out,
    group: Group = "",
    repeats: Repeats = SweepConfig.repeats,
    inner_folds: InnerFolds = SweepConfig.inner_folds,
    c_grid: CGrid = "default",
    c_rule: CRule = SweepConfig.c_rule,
    balanced: Balanced = SweepConfig.balanced,
    heads: Heads = SweepConfig.head,
    finetune_repeats: FinetuneRepeats = SweepConfig.finetune_repeats,
    alternatives: Alternatives = "",
    with_synthetic: WithSynthetic = SweepConfig.with_synthetic,
    margin: Annotated[
        float | None,
        typer.Option(help="Accuracy differences up to this fraction count as equal, e.g. 0.02."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random choice follows.")] = SweepConfig.seed,
    allow_fewer: AllowFewer = SweepConfig.allow_fewer,
    ignore_lineage: IgnoreLineage = SweepConfig.ignore_lineage,
    workers: Workers = None,
    device: Device = "auto",
    memory_gib: MemoryGib = MEMORY_GIB,
    concurrent: Concurrent = 1,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train real only, synthetic only and mixes; test on unseen real images; judge."""
    from xprobe.features.store import Store
    from xprobe.images import read as manifests
    from xprobe.study.estimate import estimate
    from xprobe.study.sweep import sweep as sweep_settings

    if margin is not None and not 0 < margin < 1:
        raise typer.BadParameter("--margin is a fraction between 0 and 1, such as 0.02")
    config = SweepConfig(
        ratios=numbers(ratios, "--ratios"),
        per_class=per_class,
        folds=folds,
        holdout=holdout,
        leave_one_group_out=leave_one_group_out,
        repeats=repeats,
        inner_folds=inner_folds,
        c_grid=_c_grid(c_grid),
        c_rule=c_rule,
        balanced=balanced,
        finetune_repeats=finetune_repeats,
        recipe=recipe,
        alternatives=tuple(names(alternatives)),
        with_synthetic=with_synthetic,
        seed=seed,
        allow_fewer=allow_fewer,
        ignore_lineage=ignore_lineage,
    )
    how: dict[str, Any] = {
        "encoders": encoder or (), "heads": names(heads), "workers": workers, "device": device,
        "concurrent": concurrent, "memory_gib": memory_gib, "progress": progress.bar,
        **_parts_of_real(real_fraction, real_curve),
    }  # fmt: skip
    manifest, store = manifests.read(data, group=group), Store(features)
    if dry_run:
        _show_estimate(estimate(manifest, store, results, config, **how), as_json)
        return
    studies = sweep_settings(manifest, store, results, config, margin=margin, **how)
    show_studies(studies, as_json)


def show_studies(studies: Sequence[Study], as_json: bool) -> None:
    """Print what studies answer together, and their warnings."""
    from xprobe.results.answers import answer_of

    answer = answer_of(studies)
    if as_json:
        print_json(answer)
    else:
        _print_tables(studies, answer)
    warn(answer.warnings)


def _print_tables(studies: Sequence[Study], answer: SweepAnswer) -> None:
    for study in studies:
        for generator in study.generators:
            print_table(tables.of_family(study, generator))
    if len(studies) > 1:
        for generator in dict.fromkeys(g for study in studies for g in study.generators):
            print_table(tables.side_by_side(studies, generator))
    if len(answer.families) > 1:
        print_table(tables.of_families(answer.families))
    if answer.data_value:
        print_table(tables.of_worth(answer.data_value))


def _parts_of_real(real_fraction: str, real_curve: str) -> dict[str, Any]:
    """Return which parts of the real images are trained on, a study each."""
    fractions = numbers(real_fraction, "--real-fraction")
    curve = whole_numbers(real_curve, "--real-curve")
    if curve and fractions != (1.0,):
        raise typer.BadParameter("--real-curve and --real-fraction exclude each other; keep one")
    if len(set(curve)) == 1:
        raise typer.BadParameter("--real-curve takes two or more numbers, such as 20,40,60,80")
    return {"real_fractions": fractions, "real_curve": curve}


def _show_estimate(rows: Sequence[Estimate], as_json: bool) -> None:
    from xprobe.study.estimate import DryRun

    seconds = round(sum(row.seconds for row in rows), 1)
    if as_json:
        print_json(DryRun(studies=tuple(rows), seconds=seconds))
        return
    columns = (
        "encoder", "head", "real_fraction", "train_per_class", "tested", "done", "fits", "steps",
        "seconds",
    )  # fmt: skip
    print_table(tables.of_rows("to do", columns, rows))
    out.print(f"about {tables.duration(seconds)} in all")


def _c_grid(text: str) -> tuple[float, ...]:
    if text == "default":
        return SweepConfig.c_grid
    return DENSE_C_GRID if text == "dense" else numbers(text, "--c-grid")
