"""Keys of studies, predictions and fine-tunes: those of before, whatever options come."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xprobe.base.arrays import digest_of
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design, make_design
from xprobe.images.manifest import Manifest
from xprobe.learners import kinds, problem
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.finetune.trainer import job_key
from xprobe.learners.kinds import Kind
from xprobe.learners.problem import Options
from xprobe.study import keys
from xprobe.study.keys import named_values, run_keys, study_key

GOLDEN = Path(__file__).parent.parent / "golden" / "results-v1"
STUDIES = {
    file.stem: json.loads(file.read_text()) for file in sorted((GOLDEN / "studies").glob("*.json"))
}
VIEWS = {"noise": 1, "mixup": 0}  # what the golden studies had of each augmentation


def images() -> Manifest:
    columns = json.loads((GOLDEN / "images.json").read_text())
    assert columns.pop("fingerprint") == Manifest(**columns).fingerprint
    return Manifest(**columns)


def config_of(study: dict[str, Any]) -> SweepConfig:
    """Return the configuration of a study."""
    values = dict(study["config"])
    values["recipe"] = Recipe(**values["recipe"])
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return SweepConfig(**(values | lists))


@dataclass(frozen=True)
class LaterRecipe(Recipe):
    """A recipe with an option more."""

    sharpness: float = 0.0


@dataclass(frozen=True)
class LaterConfig(SweepConfig):
    """A configuration with options more."""

    patience_days: int = 0
    names: tuple[str, ...] = ()


def later(config: SweepConfig, **changes: Any) -> SweepConfig:
    """Return the same configuration as a later version has it."""
    recipe = LaterRecipe(**asdict(config.recipe))
    values = {name: getattr(config, name) for name in SweepConfig.__dataclass_fields__}
    return LaterConfig(**(values | {"recipe": recipe} | changes))


def test_there_are_golden_studies() -> None:
    assert len(STUDIES) == 5
    assert {study["config"]["head"] for study in STUDIES.values()} == {
        "logistic", "knn", "finetune",
    }  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("change", [lambda config: config, later], ids=["now", "later"])
def test_a_study_keeps_the_name_of_its_file(name: str, change: Any) -> None:
    study = STUDIES[name]
    config = config_of(study)
    encoder, fingerprint = study["encoder"]["key"], study["manifest"]["fingerprint"]
    assert study_key(encoder, fingerprint, change(config))[:32] == name


@pytest.mark.parametrize("change", [lambda config: config, later], ids=["now", "later"])
def test_predictions_keep_their_keys(change: Any) -> None:
    table, found = images(), set()
    for study in STUDIES.values():
        config = change(config_of(study))
        views = {name: VIEWS[name] for name in config.alternatives}
        design = make_design(table, config, views)
        found |= set(run_keys(design, study["encoder"]["key"], config, None))
    assert sorted(found) == (GOLDEN / "runs.txt").read_text().split()


def test_a_later_option_counts_where_it_is_not_its_default() -> None:
    config = SweepConfig()
    key = study_key("encoder", "images", config)
    assert study_key("encoder", "images", later(config, names=("a",))) != key
    recipe = LaterRecipe(sharpness=1.0)
    assert study_key("encoder", "images", later(config, recipe=recipe)) != key
    assert study_key("encoder", "images", replace(config, margin=0.05)) != key


def test_required_lineage_refuses_a_study_and_changes_none() -> None:
    config = SweepConfig()
    required = study_key("encoder", "images", replace(config, require_lineage=True))
    assert required == study_key("encoder", "images", config)


def test_a_later_option_of_fine_tunes_leaves_only_heads_as_they_are() -> None:
    table = images()
    before, after = SweepConfig(ratios=(1,)).of_head("finetune"), LaterRecipe(sharpness=1.0)
    design = make_design(table, before)
    assert run_keys(design, "e", before, None) != run_keys(
        design, "e", replace(before, recipe=after), None
    )
    heads = SweepConfig(ratios=(1,))
    design = make_design(table, heads)
    assert run_keys(design, "e", heads, None) == run_keys(
        design, "e", replace(heads, recipe=after), None
    )


@dataclass(frozen=True)
class LaterOptions(Options):
    """What heads take, and an option more."""

    names: tuple[str, ...] = ()


def test_a_later_option_of_heads_counts_once_heads_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SweepConfig(ratios=(1,))
    design = make_design(images(), config)
    before = run_keys(design, "e", config, None)
    changed = later(config, names=("a",))
    assert run_keys(design, "e", changed, None) == before
    assert not hasattr(changed.head_options, "names")
    monkeypatch.setattr(keys, "Options", LaterOptions)
    monkeypatch.setattr(problem, "Options", LaterOptions)
    assert changed.head_options == LaterOptions(config.c_grid, names=("a",))
    assert run_keys(design, "e", later(config), None) == before
    assert run_keys(design, "e", changed, None) != before


def test_a_learner_that_changes_its_scores_raises_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = SweepConfig(ratios=(1,))
    design: Design = make_design(images(), config)
    before = run_keys(design, "e", config, None)
    rows = {**kinds.KINDS.rows, "logistic": Kind("logistic", "", "", version=1)}
    monkeypatch.setattr(kinds, "KINDS", replace(kinds.KINDS, rows=rows))
    assert run_keys(design, "e", config, None) != before


def test_all_fields_of_today_are_listed() -> None:
    """What `asdict` gave was the key: a field that is not listed counts from its default on."""
    config = SweepConfig()
    listed = named_values(config, keys._CONFIG, apart=("recipe", "margin"))
    listed["recipe"] = named_values(config.recipe, keys._RECIPE)
    of_today = asdict(config)
    known = {name: of_today[name] for name in listed}
    known["recipe"] = {name: of_today["recipe"][name] for name in listed["recipe"]}
    assert digest_of(listed) == digest_of(known)
    assert len(listed) == 20
    assert len(listed["recipe"]) == 22


def test_a_fine_tune_keeps_its_key() -> None:
    order = np.arange(6, dtype=np.intp).reshape(2, 3)
    key = "98afe9957b1e179baa9a5e12177fae9dd187be6c0dda238872adc86a4c8fd33d"
    assert job_key("run", 1, order) == key
    assert job_key("run", 2, order) != key
