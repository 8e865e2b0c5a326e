"""Mixes against the null edits of their generator: what is left without its fingerprint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from makers import featured

from xprobe.design.config import SweepConfig
from xprobe.engine.execution import Execution
from xprobe.images.manifest import Manifest
from xprobe.results.hits import load_hits
from xprobe.results.study import Study
from xprobe.study.sweep import sweep

CONFIG = SweepConfig(ratios=(1, 2), repeats=2, c_grid=(0.1, 10.0), inner_folds=2, folds=3)

ALONE = Execution(workers=1)


def swept(folder: Path, *, config: SweepConfig = CONFIG, **made: Any) -> Study:
    table, store = featured(folder, **made)
    (study,) = sweep(table, store, folder / "results", config, execution=ALONE)
    return study


def values(study: Study) -> dict[tuple[Any, ...], Any]:
    return {
        (r.setting, r.generator, r.ratio): r for r in study.results if r.metric == "accuracy"
    }  # fmt: skip


def test_null_edits_are_a_control_beside_each_mix(tmp_path: Path) -> None:
    study = swept(tmp_path, null_edits=2)
    of = values(study)
    rows = [c for c in study.comparisons if c.kind == "null-edit"]
    assert [(c.subject, c.against, c.generator, c.ratio) for c in rows] == [
        ("mix", "null-edit", g, r) for g in ("x", "y") for r in (1, 2)
    ]
    for c in rows:
        mix, null = of["mix", c.generator, c.ratio], of["null-edit", c.generator, c.ratio]
        assert c.difference == pytest.approx(mix.value - null.value, abs=1e-12)
        assert c.low < c.difference < c.high
        assert null.difference == pytest.approx(null.value - of["real-only", None, None].value)
        assert null.difference_low < null.difference < null.difference_high
        assert (null.verdict, null.p_adjusted, null.p_study_wide) == (None, None, None)
        assert null.n_train_synthetic == c.ratio * null.n_train_real
        assert null.synthetic_units == null.n_train_real
        assert null.ratio_actual == c.ratio
        assert study.without_fingerprint(mix) == c
        assert study.without_fingerprint(null) is None
    settings = [
        (row.setting, row.generator) for row in load_hits(tmp_path / "results", study).settings
    ]
    assert settings.count(("null-edit", "x")) == 2


def test_null_edits_change_nothing_else_that_is_trained(tmp_path: Path) -> None:
    config = replace(CONFIG, ratios=(1,), repeats=1)
    table, store = featured(tmp_path, null_edits=1)
    results = tmp_path / "results"
    (without,) = sweep(table.without_controls(), store, results, config, execution=ALONE)
    files = {file.name for file in (results / "predictions").rglob("*.npz")}
    (study,) = sweep(table, store, results, config, execution=ALONE)
    more = {file.name for file in (results / "predictions").rglob("*.npz")} - files
    assert len(more) == 2  # One of each generator.
    assert study.key != without.key
    of, before = values(study), values(without)
    assert of.keys() - before.keys() == {("null-edit", g, 1) for g in ("x", "y")}
    for name, row in before.items():
        assert of[name].value == row.value
        assert of[name].difference_low == row.difference_low
        assert (of[name].p_study_wide is None) == (row.p_study_wide is None)


def test_what_passes_unchanged_and_leaves_no_trace_changes_little(tmp_path: Path) -> None:
    of = values(swept(tmp_path, null_edits=1, generators=("x",), real=40))
    assert abs(of["null-edit", "x", 1].difference) < 0.02


def test_a_fingerprint_shows_against_real_only_and_not_against_null_edits(tmp_path: Path) -> None:
    study = swept(
        tmp_path, null_edits=2, generators=("x",), real=40, effect=0.6, fingerprint=3.0
    )  # fmt: skip
    of = values(study)
    for ratio in (1, 2):
        null, mix = of["null-edit", "x", ratio], of["mix", "x", ratio]
        assert null.difference_high < 0
        assert null.difference < -0.15
        assert mix.verdict == "hurts"
        (left,) = [c for c in study.comparisons if (c.kind, c.ratio) == ("null-edit", ratio)]
        assert abs(left.difference) < abs(mix.difference) / 3
        assert left.verdict == "no detectable difference"


def test_seeds_are_pooled_where_both_have_the_control(tmp_path: Path) -> None:
    table, store = featured(tmp_path, null_edits=1, generators=("x",))
    config = replace(CONFIG, ratios=(1,), repeats=1)
    for seed in (0, 7):
        (study,) = sweep(
            table, store, tmp_path / "results", replace(config, seed=seed), execution=ALONE
        )
    assert set(study.seeds) == {0, 7}
    hits = load_hits(tmp_path / "results", study)
    assert hits.hit.shape[:2] == (4, 2)


def test_a_table_with_null_edits_alone_has_nothing_to_compare(tmp_path: Path) -> None:
    table, store = featured(tmp_path, null_edits=1)
    alone: Manifest = table.select((table.source == "real") | table.is_control)
    with pytest.raises(Exception, match="no synthetic images to compare with"):
        sweep(alone, store, tmp_path / "results", CONFIG, execution=ALONE)
