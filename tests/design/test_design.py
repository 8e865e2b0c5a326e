"""What is trained and tested: shared folds, nothing known of a test image, one draw for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xprobe.base.errors import XprobeError
from xprobe.base.streams import stream
from xprobe.design.blocks import Block
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design, TooFewSyntheticError, make_design
from xprobe.images.manifest import Manifest
from xprobe.learners.solve import Problem

MakeStudy = Callable[..., Manifest]
CONFIG = SweepConfig(ratios=(1, 2), repeats=2)


@pytest.fixture(scope="session")
def make_study(make_manifest: Callable[..., Manifest]) -> MakeStudy:
    """``make_study(real=8, synthetic=20, test=0, lineage=False, …)``: numbers a class of two.

    With `lineage`, the i-th synthetic image of a class is made from its i-th real one, round and
    round, first training, then test images. `columns` are functions row → value.
    """

    def make(
        real: int = 8,
        synthetic: int = 20,
        test: int = 0,
        lineage: bool = False,
        generators: tuple[str, ...] = ("default",),
        **columns: Callable[[dict[str, str]], str],
    ) -> Manifest:
        rows: list[dict[str, str]] = []
        for c in "ab":
            own = [(f"r{c}{i}", "train") for i in range(real)]
            own += [(f"t{c}{i}", "test") for i in range(test)]
            for id_, split in own:
                rows.append({"id": id_, "label": c, "source": "real", "split": split, "group": id_})
            for g in generators:
                for i in range(synthetic):
                    parent = own[i % len(own)][0] if lineage else ""
                    rows.append({"id": f"s{g}{c}{i}", "label": c, "source": "synthetic",
                                 "split": "train", "parent": parent, "generator": g})  # fmt: skip
        for row in rows:
            row |= {name: make_value(row) for name, make_value in columns.items()}
        names = ("id", "label", "source", "split", "group", "parent", "generator")
        return make_manifest(**{name: [row.get(name, "") for row in rows] for name in names})

    return make


def scene_of(id_: str) -> str:
    """Return the name of the scene that two consecutive real images show."""
    return f"scene {id_[:2]}{int(id_[2:]) // 2}"


def settings_of(design: Design) -> list[tuple[str, str | None]]:
    return [(b.setting.title, b.setting.generator) for b in design.blocks if b.repeat == 0]


def pick(design: Design, title: str, repeat: int = 0, generator: str | None = None) -> Block:
    (found,) = [
        b
        for b in design.blocks
        if b.setting.title == title and b.repeat == repeat
        and (generator is None or b.setting.generator == generator)
    ]  # fmt: skip
    return found


def parts(problem: Problem) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield each training part with the parts that it must not know."""
    yield problem.train, [problem.test]
    for train, validation in problem.inner:
        yield train, [validation, problem.test]


def is_real(design: Design) -> np.ndarray:
    return np.asarray(design.study.source == "real")


def all_rows(design: Design) -> list[Any]:
    """Return every row of every problem, by id: equal for equal designs."""
    id_ = design.study.id
    return [
        (b.setting, b.repeat, [[sorted(id_[part]) for pair in (*p.inner, (p.train, p.test))
                                for part in pair] for p in b.problems])
        for b in design.blocks
    ]  # fmt: skip


# --- settings and folds ------------------------------------------------------------------


def test_every_generator_has_its_settings_and_real_only_is_made_once(
    make_study: MakeStudy,
) -> None:
    design = make_design(make_study(generators=("x", "y")), CONFIG)
    each = [("synthetic-only", "1:1", "1:2"), ("x", "y")]
    assert settings_of(design) == [
        ("real-only", None), *((title, g) for g in each[1] for title in each[0]),
        ("1:1 pooled", None), ("1:2 pooled", None),
    ]  # fmt: skip
    assert design.generators == ("x", "y")
    assert len(design.blocks) == 2 * 9
    assert design.protocol == "5-fold cross-validation, 2 repeats"


def test_all_settings_share_test_and_validation_parts(make_study: MakeStudy) -> None:
    design = make_design(make_study(lineage=True), CONFIG)
    for block in design.blocks:
        real_only = pick(design, "real-only", block.repeat)
        for own, other in zip(block.problems, real_only.problems, strict=True):
            assert own.test.tolist() == other.test.tolist()
            assert len(own.inner) == len(other.inner) == 5
            for (_, mine), (_, theirs) in zip(own.inner, other.inner, strict=True):
                assert mine.tolist() == theirs.tolist()


def test_every_real_image_and_no_other_is_tested_once_a_repeat(make_study: MakeStudy) -> None:
    design = make_design(make_study(lineage=True), CONFIG)
    for block in design.blocks:
        assert sorted(block.test) == np.flatnonzero(is_real(design)).tolist()
        assert block.fold.tolist() == [i for i, p in enumerate(block.problems) for _ in p.test]
        for problem in block.problems:
            assert all(is_real(design)[v].all() for _, v in problem.inner)


def test_repeats_divide_and_draw_anew(make_study: MakeStudy) -> None:
    design = make_design(make_study(), CONFIG)
    for title in ("real-only", "1:1"):
        one, two = (pick(design, title, r).problems[0].train.tolist() for r in (0, 1))
        assert one != two


def test_the_settings_train_on_what_their_names_say(make_study: MakeStudy) -> None:
    design = make_design(make_study(real=10), CONFIG)
    real = is_real(design)
    for index in range(5):
        base = pick(design, "real-only").problems[index]
        assert real[base.train].all()
        assert len(base.train) == 16
        only, one, two = (
            pick(design, t).problems[index] for t in ("synthetic-only", "1:1", "1:2")
        )  # fmt: skip
        assert not real[only.train].any()
        assert set(only.train) == set(two.train[~real[two.train]])
        for mix, ratio in ((one, 1), (two, 2)):
            assert set(mix.train[real[mix.train]]) == set(base.train)
            drawn = Counter(design.study.label[mix.train[~real[mix.train]]])
            assert drawn == {"a": 8 * ratio, "b": 8 * ratio}
        assert set(one.train) < set(two.train)
    block = pick(design, "1:2")
    assert (block.n_real, block.n_synthetic) == ((16,) * 5, (32,) * 5)
    assert pick(design, "synthetic-only").n_real == (0,) * 5
    assert pick(design, "real-only").n_synthetic == (0,) * 5
    assert not any(b.short or any(b.dropped) for b in design.blocks)


def test_inner_draws_are_of_the_ratio_too(make_study: MakeStudy) -> None:
    design = make_design(make_study(real=10), CONFIG)
    real = is_real(design)
    for problem in pick(design, "1:2").problems:
        for train, _ in problem.inner:
            label = design.study.label[train]
            for c in "ab":
                n_real = (real[train] & (label == c)).sum()
                assert (~real[train] & (label == c)).sum() == 2 * n_real


def test_the_number_of_folds_follows_the_smallest_class_and_the_option(
    make_study: MakeStudy,
) -> None:
    assert make_design(make_study(real=3), CONFIG).protocol.startswith("3-fold")
    assert make_design(make_study(), replace(CONFIG, folds=2)).protocol.startswith("2-fold")
    assert make_design(make_study(), replace(CONFIG, folds=7)).protocol.startswith("7-fold")
    one = make_design(make_study(), replace(CONFIG, repeats=1))
    assert one.protocol == "5-fold cross-validation, 1 repeat"


# --- lineage -----------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["parent", "group"])
@pytest.mark.parametrize("test", [0, 3])
def test_no_part_is_trained_on_images_made_from_its_held_out_parts(
    make_study: MakeStudy, column: str, test: int
) -> None:
    """Scenes of two images; lineage given by image, or by scene in the group column."""

    def group(row: dict[str, str]) -> str:
        if row["source"] == "real":
            return scene_of(row["id"])
        return scene_of(row["parent"]) if column == "group" else ""

    manifest = make_study(lineage=True, test=test, group=group)
    if column == "group":
        manifest = replace(manifest, parent=[""] * len(manifest))  # type: ignore[arg-type]
    design = make_design(manifest, CONFIG)
    study = design.study
    of = dict(zip(study.id, study.group, strict=True))
    origin = [of.get(p, g) for p, g in zip(study.parent, study.group, strict=True)]
    seen = 0
    for block in design.blocks:
        for index, problem in enumerate(block.problems):
            for train, held in parts(problem):
                held_scenes = {of[study.id[i]] for part in held for i in part}
                assert not {origin[i] for i in train} & held_scenes
                seen += 1
            held_out = {of[study.id[i]] for i in problem.test}
            made = [origin[i] for i in np.flatnonzero(~is_real(design))]
            expected = sum(o in held_out for o in made) if block.setting.generator else 0
            assert block.dropped[index] == expected
    assert seen > len(design.blocks)
    assert not any("lineage" in w for w in design.warnings)


def test_an_image_made_from_a_real_one_outside_the_study_keeps_away_from_its_scene(
    make_study: MakeStudy,
) -> None:
    """--per-class leaves out one image of a scene and tests another."""
    manifest = make_study(
        real=8, synthetic=40, lineage=True,
        group=lambda r: scene_of(r["id"]) if r["source"] == "real" else "",
    )  # fmt: skip
    design = make_design(manifest, replace(CONFIG, per_class=4, ratios=(0.5,)))
    study = design.study
    assert any(p not in set(study.id) for p in study.parent if p), "nothing to tell apart"
    for block in design.blocks:
        for problem in block.problems:
            for train, held in parts(problem):
                made_from = {scene_of(study.parent[i]) for i in train if study.parent[i]}
                assert not made_from & {study.group[i] for part in held for i in part}


def test_an_image_made_from_a_training_twin_of_the_hold_out_is_kept_out(
    make_study: MakeStudy,
) -> None:
    """ra0 shows the scene of test image ta0: it is not trained on, and no image made from it."""
    manifest = make_study(
        test=2, synthetic=30, lineage=True,
        group=lambda r: "" if r["source"] == "synthetic" else {"ra0": "ta0"}.get(r["id"], r["id"]),
    )  # fmt: skip
    design = make_design(manifest, CONFIG)
    study = design.study
    assert "ra0" not in study.id
    for block in design.blocks:
        for problem in block.problems:
            for train, _ in parts(problem):
                assert "ra0" not in study.parent[train]
                assert "ta0" not in study.parent[train]


def test_an_image_made_from_an_extra_image_keeps_away_from_its_scene(
    make_study: MakeStudy,
) -> None:
    manifest = make_study(
        test=4, synthetic=30, lineage=True,
        group=lambda r: r["id"].replace("t", "r") if r["source"] == "real" else "",
        split=lambda r: {"test": "extra"}.get(r["split"], r["split"]),
    )  # fmt: skip
    design = make_design(manifest, CONFIG)
    study = design.study
    for block in design.blocks:
        for problem in block.problems:
            assert not (study.split[problem.test] == "extra").any()
            if block.setting.name != "real-more":
                assert not (study.split[problem.train] == "extra").any()
            for train, held in parts(problem):
                made_from = {study.parent[i].replace("t", "r") for i in train} - {""}
                shows = {study.group[i] for i in train} - {""}
                assert not (made_from | shows) & {study.group[i] for part in held for i in part}


def test_a_shortage_by_lineage_alone_is_recorded_and_stops_nothing(make_study: MakeStudy) -> None:
    design = make_design(make_study(real=8, synthetic=14, lineage=True), CONFIG)
    block = pick(design, "1:2")
    assert block.short
    assert not pick(design, "1:1").short
    assert max(block.dropped) > 0
    assert any(n < 2 * r for n, r in zip(block.n_synthetic, block.n_real, strict=True))


def test_unknown_lineage_is_said(make_study: MakeStudy) -> None:
    def warned(manifest: Manifest) -> bool:
        return any("lineage" in w for w in make_design(manifest, CONFIG).warnings)

    assert warned(make_study())
    assert not warned(make_study(lineage=True))
    forgotten = make_study(lineage=True, parent=lambda r: r.get("parent", "").replace("rb0", ""))
    assert warned(forgotten)


def misspelt(row: dict[str, str]) -> str:
    """Return the parent of an image; those of rb0 and rb1 are misspelt."""
    return row.get("parent", "").replace("rb0", "lost").replace("rb1", "astray")


def test_a_parent_that_names_nothing_is_counted_and_is_no_known_lineage(
    make_study: MakeStudy,
) -> None:
    warnings = make_design(make_study(lineage=True, parent=misspelt), CONFIG).warnings
    assert (
        "6 of 40 parents of synthetic images (2 different) name no real image of the study, such "
        "as astray, lost: their source is outside the study, or misspelt; --require-lineage "
        "refuses them"
    ) in warnings
    assert any("lineage of 6 of 40 synthetic images is not known (generator def" in w
               for w in warnings)  # fmt: skip


def test_a_group_that_names_nothing_is_no_known_lineage(make_study: MakeStudy) -> None:
    manifest = make_study(
        parent=lambda r: "", group=lambda r: r["id"] if r["source"] == "real" else "scene"
    )
    warnings = " ".join(make_design(manifest, CONFIG).warnings)
    assert "40 of 40 groups of synthetic images (1 different) name no real image" in warnings
    assert "the lineage of 40 of 40 synthetic images is not known" in warnings


def test_required_lineage_refuses_what_is_missing_or_misspelt(make_study: MakeStudy) -> None:
    required = replace(CONFIG, require_lineage=True)
    known = make_study(lineage=True)
    assert all_rows(make_design(known, required)) == all_rows(make_design(known, CONFIG))
    with pytest.raises(XprobeError, match=r"40 of 40 .*: sdefaulta0 \(no parent\), "):
        make_design(make_study(), required)
    with pytest.raises(XprobeError, match=r"6 of 40 .*: sdefaultb0 \(lost\), .* and 3 more"):
        make_design(make_study(lineage=True, parent=misspelt), required)
    with pytest.raises(XprobeError, match="choose one of --ignore-lineage and --require-lineage"):
        replace(required, ignore_lineage=True)


def test_an_edit_of_an_image_without_features_is_kept_out_with_its_scene(
    make_study: MakeStudy,
) -> None:
    """Another image of the scene may be tested."""
    manifest = make_study(
        lineage=True, group=lambda r: scene_of(r["id"]) if r["source"] == "real" else ""
    )
    usable = manifest.select(~np.isin(manifest.id.astype(str), ["ra0", "rb0"]))
    design = make_design(usable, CONFIG, sources=manifest.select(manifest.source == "real"))
    assert not any("lineage" in warning for warning in design.warnings)
    parent = dict(zip(design.study.id, design.study.parent, strict=True))
    for block in design.blocks:
        for problem in block.problems:
            tested = {scene_of(id_) for id_ in design.study.id[problem.test]}
            trained = {parent[id_] for id_ in design.study.id[problem.train]} - {""}
            assert not tested & {scene_of(id_) for id_ in trained}


# --- hold-out ----------------------------------------------------------------------------


def test_the_hold_out_is_the_test_part_of_every_fit(make_study: MakeStudy) -> None:
    design = make_design(make_study(test=3), CONFIG)
    assert design.protocol == "fixed hold-out, 2 repeats"
    held = np.flatnonzero(design.study.split == "test")
    for block in design.blocks:
        assert block.test.tolist() == held.tolist()
        assert not {*held} & {*block.problems[0].train}
        assert all(not {*held} & ({*t} | {*v}) for t, v in block.problems[0].inner)


def test_on_a_hold_out_only_the_synthetic_images_are_drawn_anew(make_study: MakeStudy) -> None:
    design = make_design(make_study(test=3), CONFIG)
    one, two = (all_rows(design)[i][2] for i, b in enumerate(design.blocks)
                if b.setting.title == "real-only")  # fmt: skip
    assert one == two
    for title in ("synthetic-only", "1:1"):
        first, second = (pick(design, title, r).problems[0].train.tolist() for r in (0, 1))
        assert first != second


def test_training_images_that_share_a_group_with_the_hold_out_are_left_out_and_counted(
    make_study: MakeStudy,
) -> None:
    manifest = make_study(
        test=2,
        group=lambda r: {"ra0": "scene", "ra1": "scene", "ta1": "scene"}.get(r["id"], r["id"])
        if r["source"] == "real" else "",
    )  # fmt: skip
    design = make_design(manifest, CONFIG)
    assert not {"ra0", "ra1"} & set(design.study.id)
    assert any(w.startswith("2 real training images share a group") for w in design.warnings)


def test_asked_for_folds_the_hold_out_takes_no_part(make_study: MakeStudy) -> None:
    design = make_design(make_study(test=3), replace(CONFIG, folds=4))
    assert design.protocol.startswith("4-fold")
    assert "test" not in design.study.split


def test_synthetic_copies_and_images_of_the_unused_hold_out_may_be_trained_on(
    make_study: MakeStudy,
) -> None:
    """What is not tested needs no guard: nothing is dropped but for the test part."""
    design = make_design(make_study(test=3, lineage=True), replace(CONFIG, folds=4))
    of_test = sum(p.startswith("t") for p in design.study.parent)
    kept_out = sum(pick(design, "1:1").dropped)
    assert kept_out == (~is_real(design)).sum() - of_test


# --- a drawn hold-out ----------------------------------------------------------------------


def of_scenes(row: dict[str, str]) -> str:
    return scene_of(row["id"]) if row["source"] == "real" else ""


def test_a_share_is_drawn_as_a_hold_out_once_and_for_all_repeats(make_study: MakeStudy) -> None:
    manifest = make_study(real=20, synthetic=60, group=of_scenes)
    design = make_design(manifest, replace(CONFIG, holdout=0.3))
    assert design.protocol == "fixed hold-out of 30 % of the real images, 2 repeats"
    study = design.study
    ((*tested,),) = {tuple(sorted(b.test)) for b in design.blocks}
    assert Counter(study.label[tested]) == {"a": 6, "b": 6}
    assert is_real(design)[tested].all()
    for block in design.blocks:
        (problem,) = block.problems
        for train, held in parts(problem):
            known, unknown = (set(study.group[of]) - {""} for of in (train, np.concatenate(held)))
            assert not known & unknown
    trained = pick(design, "real-only").problems[0].train
    assert sorted([*trained, *tested]) == np.flatnonzero(is_real(design)).tolist()
    one, two = (pick(design, "real-only", repeat).problems[0] for repeat in (0, 1))
    assert one.train.tolist() == two.train.tolist()
    assert [v.tolist() for _, v in one.inner] == [v.tolist() for _, v in two.inner]
    first, second = (pick(design, "1:1", repeat).problems[0].train.tolist() for repeat in (0, 1))
    assert first != second


def test_the_seed_draws_the_hold_out_and_nothing_else_does(make_study: MakeStudy) -> None:
    manifest, config = make_study(real=20, synthetic=60), replace(CONFIG, holdout=0.3)

    def tested(**changes: Any) -> list[str]:
        design = make_design(manifest, replace(config, **changes))
        return sorted(design.study.id[design.blocks[0].test])

    assert tested() == tested(ratios=(0.5,), repeats=1, inner_folds=2, train_per_class=3)
    assert tested() != tested(seed=1)
    larger = set(tested(holdout=0.5))
    assert len(larger) == 20
    assert set(tested()) < larger


def test_what_was_made_from_the_drawn_hold_out_is_kept_out(make_study: MakeStudy) -> None:
    manifest = make_study(real=10, synthetic=40, lineage=True, group=of_scenes)
    design = make_design(manifest, replace(CONFIG, holdout=0.4))
    block = pick(design, "1:1")
    (problem,) = block.problems
    tested = set(design.study.id[problem.test])
    assert block.dropped == (sum(p in tested for p in design.study.parent),) == (32,)
    assert not {design.study.parent[i] for i in problem.train} & tested


def test_a_hold_out_is_not_drawn_where_there_is_one_or_nothing_would_be_left(
    make_study: MakeStudy,
) -> None:
    with pytest.raises(XprobeError, match=r"the data have a test part.* leave --holdout out"):
        make_design(make_study(test=3), replace(CONFIG, holdout=0.3))
    with pytest.raises(XprobeError, match=r"--holdout 0\.9 leaves no group of class a, b"):
        make_design(make_study(real=4, group=of_scenes), replace(CONFIG, holdout=0.9))


@pytest.mark.parametrize(
    "options",
    [
        {"holdout": 0.3, "folds": 3},
        {"holdout": 0.3, "leave_one_group_out": True},
        {"folds": 3, "leave_one_group_out": True},
    ],
)
def test_there_is_one_way_to_test(options: dict[str, Any]) -> None:
    with pytest.raises(XprobeError, match="choose one of --folds, --holdout and --leave-one-group"):
        replace(CONFIG, **options)


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.3])
def test_a_hold_out_is_a_part(share: float) -> None:
    with pytest.raises(XprobeError, match="--holdout takes a share between 0 and 1"):
        replace(CONFIG, holdout=share)


# --- leave one group out -------------------------------------------------------------------

GROUPS_AS_FOLDS = replace(CONFIG, leave_one_group_out=True)


def of_events(row: dict[str, str]) -> str:
    return f"event {int(row['id'][2:]) % 3}" if row["source"] == "real" else ""


def test_every_event_is_tested_by_heads_that_know_nothing_of_it(make_study: MakeStudy) -> None:
    manifest = make_study(real=9, synthetic=40, lineage=True, group=of_events)
    design = make_design(manifest, GROUPS_AS_FOLDS)
    study = design.study
    assert design.protocol == "leave-one-group-out cross-validation over 3 groups, 2 repeats"
    event = dict(zip(study.id, study.group, strict=True))
    for block in design.blocks:
        assert [set(study.group[p.test]) for p in block.problems] == [
            {"event 0"}, {"event 1"}, {"event 2"}
        ]  # fmt: skip
        assert sorted(block.test) == np.flatnonzero(is_real(design)).tolist()
        for problem in block.problems:
            assert len(problem.inner) == 2
            for train, held in parts(problem):
                shown = {event.get(study.parent[i], study.group[i]) for i in train}
                assert not shown & {study.group[i] for part in held for i in part}


def test_repeats_redraw_the_synthetic_images_alone(make_study: MakeStudy) -> None:
    design = make_design(make_study(real=9, synthetic=40, group=of_events), GROUPS_AS_FOLDS)
    one, two = (
        [rows for setting, r, rows in all_rows(design) if r == repeat and setting.name == name]
        for repeat, name in ((0, "real-only"), (1, "real-only"))
    )
    assert one == two
    for index in range(3):
        first, second = (pick(design, "1:1", r).problems[index].train.tolist() for r in (0, 1))
        assert first != second


def test_groups_that_are_too_many_or_hold_a_class_alone_are_no_folds(
    make_study: MakeStudy,
) -> None:
    with pytest.raises(XprobeError, match="is for few groups, and there are 60"):
        make_design(make_study(real=30, synthetic=90), GROUPS_AS_FOLDS)
    assert make_design(make_study(real=25, synthetic=60), GROUPS_AS_FOLDS).protocol.startswith(
        "leave-one-group-out cross-validation over 50 groups"
    )
    alone = make_study(
        real=9, synthetic=40, group=lambda r: "b" if r["label"] == "b" else of_events(r)
    )
    with pytest.raises(XprobeError, match=r"groups of class b \(9 of one group\)"):
        make_design(alone, GROUPS_AS_FOLDS)


def test_with_groups_as_folds_the_hold_out_takes_no_part(make_study: MakeStudy) -> None:
    design = make_design(make_study(test=3, group=of_events), GROUPS_AS_FOLDS)
    assert design.protocol.startswith("leave-one-group-out")
    assert "test" not in design.study.split


# --- lineage that is ignored, and what the guard does within folds ---------------------------


def test_ignored_lineage_drops_nothing_and_is_the_first_warning_with_a_count(
    make_study: MakeStudy,
) -> None:
    manifest = make_study(real=8, synthetic=14, lineage=True)
    config = replace(CONFIG, allow_fewer=True, ratios=(1, 2, 4))
    honest, leaky = (
        make_design(manifest, replace(config, ignore_lineage=ignored)) for ignored in (False, True)
    )
    assert not any("LINEAGE" in w for w in honest.warnings)
    assert len(leaky.warnings) == len(honest.warnings) + 1 == 2
    assert any(sum(b.dropped) for b in honest.blocks)
    most = 0
    for own, other in zip(leaky.blocks, honest.blocks, strict=True):
        assert set(own.dropped) == set(own.dropped_inner) == {0}
        assert own.test.tolist() == other.test.tolist()
        for problem in own.problems:
            tested = set(leaky.study.id[problem.test])
            most = max(most, sum(p in tested for p in leaky.study.parent))
    assert leaky.warnings[0].startswith(
        f"LINEAGE WAS IGNORED, as asked: in a fold up to {most} synthetic images"
    )
    leaked = {
        leaky.study.parent[i]
        for problem in pick(leaky, "1:4").problems
        for i in problem.train
        if leaky.study.parent[i] in set(leaky.study.id[problem.test])
    }
    assert leaked == set(leaky.study.id[is_real(leaky)])


def test_ignored_lineage_counts_each_generator_for_itself(make_study: MakeStudy) -> None:
    manifest = make_study(test=4, synthetic=24, lineage=True, generators=("x", "y"))
    design = make_design(manifest, replace(CONFIG, ignore_lineage=True))
    of_test = sum(p.startswith("t") for p in manifest.parent[manifest.generator == "x"])
    assert f"up to {of_test} synthetic" in design.warnings[0]
    unknown = make_design(make_study(test=4), replace(CONFIG, ignore_lineage=True))
    assert "no synthetic image is known to be made" in unknown.warnings[0]


def test_what_inner_folds_keep_out_is_counted_on_average(make_study: MakeStudy) -> None:
    manifest = make_study(real=10, synthetic=30, lineage=True, group=of_scenes)
    design = make_design(manifest, CONFIG)
    study = design.study
    scene = dict(zip(study.id, study.group, strict=True))
    made_from = [scene[p] for p in study.parent if p]
    for block in design.blocks:
        for problem, dropped, inner in zip(
            block.problems, block.dropped, block.dropped_inner, strict=True
        ):
            kept_out = [
                sum(s in {study.group[i] for i in [*held, *problem.test]} for s in made_from)
                for _, held in problem.inner
            ]
            if block.setting.name == "real-only":
                assert dropped == inner == 0
                continue
            assert inner == pytest.approx(np.mean(kept_out))
            assert inner > dropped > 0
    fixed = make_design(make_study(real=2, lineage=True), CONFIG)
    assert {n for b in fixed.blocks for n in b.dropped_inner} == {0}


# --- what does not matter, and what does -------------------------------------------------


def test_a_further_ratio_changes_no_other_mix(make_study: MakeStudy) -> None:
    manifest = make_study(synthetic=60, lineage=True)
    small = make_design(manifest, CONFIG)
    large = make_design(manifest, replace(CONFIG, ratios=(0.5, 1, 2, 3)))
    shared = ("real-only", "1:1", "1:2")
    kept = [row for row in all_rows(large) if row[0].title in shared]
    assert kept == [row for row in all_rows(small) if row[0].title in shared]


def test_a_further_generator_changes_no_other(make_study: MakeStudy) -> None:
    one = make_design(make_study(generators=("x",)), CONFIG)
    two = make_design(make_study(generators=("w", "x")), CONFIG)
    others = [r for r in all_rows(two) if r[0].generator != "w" and r[0].name != "mix-pooled"]
    assert others == all_rows(one)


def test_the_pooled_arm_draws_alike_from_all_generators_and_guards_lineage(
    make_study: MakeStudy,
) -> None:
    design = make_design(make_study(generators=("x", "y"), lineage=True), CONFIG)
    study = design.study
    pooled = [block for block in design.blocks if block.setting.name == "mix-pooled"]
    assert pooled
    for block in pooled:
        mix = pick(design, f"1:{block.setting.ratio:g}", block.repeat, "x")
        for problem, same in zip(block.problems, mix.problems, strict=True):
            assert len(problem.train) == len(same.train)
            drawn = [i for i in problem.train if study.source[i] == "synthetic"]
            shares = Counter((study.generator[i], study.label[i]) for i in drawn)
            for label in study.classes:
                assert abs(shares["x", label] - shares["y", label]) <= 1
            tested = set(study.id[problem.test])
            assert not tested & {study.parent[i] for i in drawn}
    without = make_design(make_study(generators=("x", "y")), replace(CONFIG, pooled=False))
    assert not [block for block in without.blocks if block.setting.name == "mix-pooled"]


def test_a_further_repeat_changes_no_other(make_study: MakeStudy) -> None:
    few, many = (make_design(make_study(), replace(CONFIG, repeats=r)) for r in (1, 3))
    assert all_rows(many)[: len(few.blocks)] == all_rows(few)


def test_the_seed_decides_everything(make_study: MakeStudy) -> None:
    manifest = make_study()
    one, same = (all_rows(make_design(manifest, CONFIG)) for _ in range(2))
    other = all_rows(make_design(manifest, replace(CONFIG, seed=1)))
    assert one == same
    assert all(a[2] != b[2] for a, b in zip(one, other, strict=True))
    few = [make_design(manifest, replace(CONFIG, per_class=4, seed=s)) for s in (0, 0, 1)]
    chosen = [{design.study.id[i] for i in design.blocks[0].test} for design in few]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("test", [0, 3])
def test_the_images_of_another_split_change_nothing(make_study: MakeStudy, test: int) -> None:
    with_extra = make_study(
        real=10, test=test, split=lambda r: "extra" if r["id"][2:] in "89" else r["split"]
    )
    assert all_rows(make_design(with_extra, CONFIG)) == all_rows(
        make_design(with_extra.select(with_extra.split != "extra"), CONFIG)
    )


def test_real_images_that_were_held_back_are_what_real_more_adds(make_study: MakeStudy) -> None:
    manifest = make_study(
        real=20, synthetic=40, group=lambda r: scene_of(r["id"]) if r["source"] == "real" else ""
    )
    config = replace(CONFIG, per_class=6)
    design = make_design(manifest, config)
    blocks = {b.setting.title: b for b in design.blocks if b.repeat == 0}
    assert {"1:1 real", "1:2 real"} <= set(blocks)
    studied = {i for b in design.blocks for p in b.problems for i in p.test}
    for ratio in (1, 2):
        for only, more in zip(
            blocks["real-only"].problems, blocks[f"1:{ratio} real"].problems, strict=True
        ):
            added = set(more.train) - set(only.train)
            assert len(more.train) == (1 + ratio) * len(only.train)
            assert not added & studied
            scenes = {design.study.group[i] for i in more.test}
            assert scenes.isdisjoint({design.study.group[i] for i in added})
    assert "1:1 real" not in {b.setting.title for b in make_design(manifest, CONFIG).blocks}


def test_a_fraction_of_the_real_images_keeps_tests_and_ratios(make_study: MakeStudy) -> None:
    manifest = make_study(real=20, synthetic=40)
    whole, half = (make_design(manifest, replace(CONFIG, real_fraction=f)) for f in (1.0, 0.5))
    assert half.study.fingerprint == whole.study.fingerprint
    assert half.protocol.endswith(", 50 % of the real training images")
    for of_whole, of_half in zip(whole.blocks, half.blocks, strict=True):
        assert of_half.setting == of_whole.setting
        assert of_half.n_real == tuple(n // 2 for n in of_whole.n_real)
        assert of_half.n_synthetic == tuple(n // 2 for n in of_whole.n_synthetic)
        for one, other in zip(of_whole.problems, of_half.problems, strict=True):
            assert np.array_equal(one.test, other.test)
            if of_half.setting.name == "real-only":
                assert set(other.train) < set(one.train)


@pytest.mark.parametrize(("test", "folds"), [(0, 5), (4, 1)])
def test_so_many_of_each_class_are_trained_on_in_every_fold(
    make_study: MakeStudy, test: int, folds: int
) -> None:
    manifest = make_study(real=10, synthetic=40, test=test)
    whole = make_design(manifest, CONFIG)
    before: list[set[str]] = [set() for _ in range(2 * folds)]
    for size in (1, 2, 5, 8):
        design = make_design(manifest, replace(CONFIG, train_per_class=size))
        assert design.protocol == (
            f"{whole.protocol}, {size} of each class of the real training images"
        )
        assert design.study.fingerprint == whole.study.fingerprint
        for own, of_whole in zip(design.blocks, whole.blocks, strict=True):
            assert own.setting == of_whole.setting
            assert own.test.tolist() == of_whole.test.tolist()
            if own.setting.name == "mix":
                assert own.n_real == (2 * size,) * folds
                assert own.n_synthetic == (2 * size * own.setting.ratio,) * folds
        only = [b for b in design.blocks if b.setting.name == "real-only"]
        problems = [problem for block in only for problem in block.problems]
        for i, problem in enumerate(problems):
            assert Counter(design.study.label[problem.train]) == {"a": size, "b": size}
            trained = set(design.study.id[problem.train])
            assert before[i] < trained
            before[i] = trained


def test_more_of_each_class_than_a_fold_has_are_refused_with_their_number(
    make_study: MakeStudy,
) -> None:
    lacking = make_study(
        real=10, synthetic=40, split=lambda r: "extra" if r["id"] in ("rb8", "rb9") else r["split"]
    )
    with pytest.raises(
        XprobeError,
        match="--real-curve 7: of class b a fold has 6 real training images; "
        "choose sizes up to that, such as 2,3,4,6",
    ):
        make_design(lacking, replace(CONFIG, train_per_class=7))
    make_design(lacking, replace(CONFIG, train_per_class=6))
    with pytest.raises(XprobeError, match="of class a a fold has 10 real"):
        make_design(make_study(real=10, test=2), replace(CONFIG, train_per_class=11))
    with pytest.raises(XprobeError, match="--train-per-class must be 1 or more"):
        replace(CONFIG, train_per_class=0)


def test_streams_of_different_purposes_differ() -> None:
    names = [("folds", 0), ("folds", 1), ("draw", "x", 1), ("draw", "x1"), ("draw", "x", "1")]
    draws = {stream(seed, *n).integers(2**60) for n in names for seed in (0, 1)}
    assert len(draws) == 10
    assert stream(3, "a").integers(2**60) == stream(3, "a").integers(2**60)


# --- sizes -------------------------------------------------------------------------------


def test_per_class_studies_that_many_real_images(make_study: MakeStudy) -> None:
    design = make_design(make_study(real=9, synthetic=9), replace(CONFIG, per_class=5))
    (studied,) = {tuple(sorted(b.test)) for b in design.blocks}
    assert Counter(design.study.label[list(studied)]) == {"a": 5, "b": 5}
    assert pick(design, "real-only").n_real == (8,) * 5
    with pytest.raises(XprobeError, match="fewer real images"):
        make_design(make_study(real=3), replace(CONFIG, per_class=4))


def test_per_class_is_of_what_the_hold_out_leaves(make_study: MakeStudy) -> None:
    design = make_design(make_study(test=4), replace(CONFIG, per_class=5))
    (problem,) = pick(design, "real-only").problems
    assert Counter(design.study.label[problem.train]) == {"a": 5, "b": 5}
    assert Counter(design.study.split[problem.test]) == {"test": 8}


def test_a_shortage_is_an_error_unless_fewer_are_allowed(make_study: MakeStudy) -> None:
    manifest = make_study(real=10, synthetic=15)  # 8 in training
    with pytest.raises(
        TooFewSyntheticError, match=r"1:2 .*a \(15 of 16\), b .*possible ratio is 1:1$"
    ):
        make_design(manifest, CONFIG)
    design = make_design(manifest, replace(CONFIG, allow_fewer=True))
    assert [b.setting.title for b in design.blocks if b.repeat == 0 and b.short] == [
        "synthetic-only", "1:2",
    ]  # fmt: skip
    assert pick(design, "1:2").n_synthetic == (30,) * 5
    assert any("largest possible ratio" in w and "as asked" in w for w in design.warnings)


def test_a_class_of_two_groups_has_a_fixed_c_and_says_so(make_study: MakeStudy) -> None:
    design = make_design(make_study(real=2), CONFIG)
    assert design.protocol.startswith("2-fold")
    assert all(p.inner == () for b in design.blocks for p in b.problems)
    assert any("C is fixed" in w for w in design.warnings)
    assert not any("C is fixed" in w for w in make_design(make_study(), CONFIG).warnings)


def test_a_class_of_one_group_is_refused(make_study: MakeStudy) -> None:
    one_scene = make_study(group=lambda r: "b" if r["label"] == "b" else r.get("group", ""))
    with pytest.raises(XprobeError, match="fewer than two real images or groups of class b"):
        make_design(one_scene, CONFIG)


def test_nothing_synthetic_is_refused(make_study: MakeStudy) -> None:
    with pytest.raises(XprobeError, match="no synthetic images"):
        make_design(make_study(synthetic=0), CONFIG)
