"""Null edits as a control: of which images, at which ratios, and never of what is tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from makers import MakeManifest

from xprobe.base.errors import XprobeError
from xprobe.design.blocks import Block
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design, make_design
from xprobe.design.power import count_study_wide
from xprobe.design.remedies import ways_to_fit
from xprobe.images.manifest import Manifest

CONFIG = SweepConfig(ratios=(1, 2), repeats=2)

MakeStudy = Callable[..., Manifest]


@pytest.fixture
def make_study(make_manifest: MakeManifest) -> MakeStudy:
    """``make_study(copies=1, real=8, test=0, generators=("g",), lacking=())``: a class of two.

    Each generator has 40 images of a class, and so many null edits of every real image but for
    those of the real images that are lacking. Two real images that follow each other are a scene.
    `columns` are functions row → value.
    """

    def make(
        copies: int = 1, *, real: int = 8, test: int = 0, generators: tuple[str, ...] = ("g",),
        lacking: tuple[str, ...] = (), **columns: Callable[[dict[str, str]], str],
    ) -> Manifest:  # fmt: skip
        rows: list[dict[str, str]] = []
        for c in "ab":
            for part, n, split in (("r", real, "train"), ("t", test, "test")):
                rows += [
                    {"id": f"{part}{c}{i}", "label": c, "source": "real", "split": split,
                     "group": f"scene {part}{c}{i // 2}"}
                    for i in range(n)
                ]  # fmt: skip
        originals = list(rows)
        made = {"source": "synthetic", "split": "train", "group": ""}
        for g in generators:
            made_by = made | {"generator": g}
            rows += [made_by | {"id": f"s{g}{c}{i}", "label": c} for c in "ab" for i in range(40)]
            rows += [
                made_by | {"id": f"n{g}{k}{row['id']}", "label": row["label"], "parent": row["id"],
                           "control": "null-edit"}
                for row in originals if row["id"] not in lacking for k in range(copies)
            ]  # fmt: skip
        for row in rows:
            row |= {name: make_value(row) for name, make_value in columns.items()}
        names = ("id", "label", "source", "split", "group", "parent", "generator")
        table = make_manifest(**{name: [row.get(name, "") for row in rows] for name in names})
        return replace(table, further={"control": [row.get("control", "") for row in rows]})

    return make


def of_control(design: Design, ratio: float, generator: str = "g") -> list[Block]:
    name = ("null-edit", ratio, generator)
    return [
        b for b in design.blocks if (b.setting.name, b.setting.ratio, b.setting.generator) == name
    ]


def titles(design: Design, generator: str | None) -> list[str]:
    blocks = (b for b in design.blocks if b.repeat == 0 and b.setting.generator == generator)
    return [b.setting.title for b in blocks]


def without(design: Design) -> list[Any]:
    """Return all that is trained but the control, by id."""
    id_ = design.study.id
    return [
        (b.setting, b.repeat, [id_[p.train].tolist() for p in b.problems])
        for b in design.blocks
        if b.setting.name != "null-edit"
    ]


def test_no_other_setting_takes_null_edits(make_study: MakeStudy) -> None:
    table = make_study(2, generators=("g", "h"))
    design = make_design(table, CONFIG)
    assert titles(design, "g") == ["synthetic-only", "1:1", "1:2", "1:1 null edit", "1:2 null edit"]
    assert titles(design, None) == ["real-only", "1:1 pooled", "1:2 pooled"]
    assert without(design) == without(make_design(table.without_controls(), CONFIG))
    assert not any("null" in text for text in design.warnings)


WAYS: list[dict[str, Any]] = [
    {}, {"leave_one_group_out": True}, {"real_fraction": 0.6}, {"train_per_class": 3},
    {"per_class": 5}, {"head": "finetune"}, {"ignore_lineage": True},
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "test"), [*((way, n) for way in WAYS for n in (0, 4)), ({"holdout": 0.3}, 0)]
)
def test_a_part_trains_on_null_edits_of_its_own_real_images(
    make_study: MakeStudy, changes: dict[str, Any], test: int
) -> None:
    design = make_design(make_study(1, real=10, test=test), replace(CONFIG, **changes))
    study, tried = design.study, 0
    for block in of_control(design, 1):
        for problem, n_real, budget in zip(
            block.problems, block.n_real, block.budget, strict=True
        ):  # fmt: skip
            for train, *held in ((problem.train, problem.test), *problem.inner):
                real = study.id[train[study.source[train] == "real"]]
                made_of = study.parent[train[study.source[train] != "real"]]
                assert sorted(made_of) == sorted(real)
                scenes = set(study.group[np.concatenate([*held, problem.test])])
                assert not scenes & set(
                    study.group[np.isin(study.id.astype(str), real.astype(str))]
                )
                tried += 1
            assert budget == 2 * n_real
    assert tried
    mixes = [b for b in design.blocks if b.setting.title == "1:1"]
    assert [b.budget for b in of_control(design, 1)] == [b.budget for b in mixes]
    assert not of_control(design, 2)
    (said,) = [text for text in design.warnings if "null edits" in text and "too few" in text]
    assert said == (
        "null edits of generator g are too few for 1:2 (for a real training image a 1.0, b 1.0): "
        "the control null-edit is left out there"
    )


def test_draws_are_nested_and_real_images_take_turns(make_study: MakeStudy) -> None:
    design = make_design(make_study(3), replace(CONFIG, ratios=(0.5, 1, 2)))
    study = design.study
    for half, once, twice in zip(
        of_control(design, 0.5), of_control(design, 1), of_control(design, 2), strict=True
    ):
        for a, b, c in zip(half.problems, once.problems, twice.problems, strict=True):
            assert set(a.train) < set(b.train) < set(c.train)
            for n, problem in ((1, b), (2, c)):
                made_of = Counter(study.parent[problem.train]) - Counter({"": len(study)})
                assert set(made_of.values()) == {n}
    first, second = (block.problems[0].train for block in of_control(design, 0.5))
    assert set(first) != set(second)


def test_a_few_may_be_missing_and_not_more(make_study: MakeStudy) -> None:
    config = replace(CONFIG, ratios=(1,), folds=2)
    one = make_design(make_study(real=40, lacking=("ra3",)), config)
    assert any(b.short for b in of_control(one, 1))
    study = one.study
    for problem in (p for block in of_control(one, 1) for p in block.problems):
        for train in (problem.train, *(rows for rows, _ in problem.inner)):
            of_class = Counter(study.label[train[study.source[train] == "synthetic"]])
            assert of_class["a"] == of_class["b"]
    assert not any("null edits" in text for text in one.warnings)
    many = make_design(make_study(real=40, lacking=tuple(f"rb{i}" for i in range(6))), config)
    assert not of_control(many, 1)
    assert any("too few for 1:1 (for a real training image b 0." in text for text in many.warnings)


def test_what_is_of_no_training_image_of_its_class_is_left_out_and_named(
    make_study: MakeStudy,
) -> None:
    strange = {"ng0ra0": "", "ng0ra1": "lost", "ng0rb2": "ra2"}
    table = make_study(
        2, test=4, parent=lambda row: strange.get(row["id"], row.get("parent", ""))
    )  # fmt: skip
    design = make_design(table, replace(CONFIG, ratios=(1,)))
    assert not set(strange) & set(design.study.id)
    n = 3 + 2 * 2 * 4
    said = (
        f"{n} of 48 null edits of generator g name no real training image of their class as their "
        f"parent: they are left out"
    )
    assert [text for text in design.warnings if "null edits" in text] == [said]


def test_the_scene_may_stand_in_place_of_the_parent(make_study: MakeStudy) -> None:
    def scene(row: dict[str, str]) -> str:
        is_null = "control" in row
        return f"scene {row['parent'][:2]}{int(row['parent'][2:]) // 2}" if is_null else ""

    by_parent = make_study(1, parent=scene)
    by_group = make_study(
        1, group=lambda row: scene(row) or row["group"],
        parent=lambda row: "" if "control" in row else row.get("parent", ""),
    )  # fmt: skip
    for table in (by_parent, by_group):
        (first, *_) = of_control(make_design(table, CONFIG), 1)
        assert first.n_synthetic == first.n_real


def test_generators_may_have_none_or_nothing_else(make_study: MakeStudy) -> None:
    table = make_study(1, generators=("g", "h", "i"))
    is_gone = (table.generator == "h") & table.is_control
    is_gone |= (table.generator == "i") & ~table.is_control
    table = table.select(~is_gone)
    design = make_design(table, replace(CONFIG, ratios=(1,)))
    assert design.generators == ("g", "h")
    assert titles(design, "h") == ["synthetic-only", "1:1"]
    assert of_control(design, 1)
    assert "i" not in design.study.generator
    said = (
        "generator i has null edits alone, and no mix that they could be the control of: they are "
        "left out"
    )
    assert [text for text in design.warnings if "null edits" in text] == [said]
    assert count_study_wide(table, CONFIG, ["clip"], ["logistic"]) == 2 * 2


def test_null_edits_make_no_supply_of_a_mix(make_study: MakeStudy) -> None:
    table = make_study(9)
    config = replace(CONFIG, ratios=(8,))
    with pytest.raises(XprobeError, match=r"generator g has too few synthetic images .* a \(40 of"):
        make_design(table, config)
    assert ways_to_fit(table, config) == ways_to_fit(table.without_controls(), config)
    with pytest.raises(XprobeError, match="no synthetic images to compare with"):
        make_design(table.select((table.source == "real") | table.is_control), CONFIG)
