"""What is left of generators that were trained on events that are tested."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from makers import MakeManifest

from xprobe.base.errors import XprobeError
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design, left_in_sweep, make_design
from xprobe.design.seen import unchecked_warnings
from xprobe.images.manifest import Manifest

FOLDED = SweepConfig(ratios=(1,), repeats=2, folds=3)
HELD_OUT = SweepConfig(ratios=(1,), repeats=2)


def with_columns(
    manifest: Manifest, split: Sequence[str] = (), **further: Sequence[str]
) -> Manifest:
    columns = {name: getattr(manifest, name) for name in Manifest.columns()}
    columns |= {"split": split} if split else {}
    return Manifest(**columns, further=dict(manifest.further) | further)  # type: ignore[arg-type]


@pytest.fixture
def study(make_manifest: MakeManifest) -> Manifest:
    """Of each class six real images of three events, and six synthetic ones of each generator.

    What made three images of x of each class was trained on the events a0 and b0, the rest not.
    """
    rows = [(c, "real", f"{c}{i // 2}", "", "") for c in "ab" for i in range(6)]
    rows += [
        (c, "synthetic", "", g, "A0; b0;elsewhere" if g == "x" and i < 3 else "")
        for c in "ab"
        for g in "xy"
        for i in range(6)
    ]
    label, source, event, generator, trained_on = zip(*rows, strict=True)
    table = make_manifest(label, source=source, generator=generator)
    return with_columns(table, event=event, trained_on=trained_on)


def holding_out(study: Manifest, *events: str) -> Manifest:
    """Return the study with the real images of these events as its fixed hold-out."""
    return with_columns(study, ["test" if e in events else "train" for e in study.column("event")])


def knowing(study: Manifest, *events: str, generator: str = "x") -> Manifest:
    """Return the study with a generator all of whose images know these events."""
    return with_columns(
        study, trained_on=[";".join(events) if g == generator else "" for g in study.generator]
    )


def kept_out(design: Design) -> set[int]:
    """Return how many synthetic images are kept out of a fold, of x alone."""
    assert not any(
        any(b.dropped) for b in design.blocks if b.setting.generator in (None, "y")
        and b.setting.name != "mix-pooled"
    )  # fmt: skip
    return {n for b in design.blocks if b.setting.generator == "x" for n in b.dropped}


def test_images_of_a_generator_that_knows_a_held_out_event_are_in_no_training_part(
    study: Manifest,
) -> None:
    design = make_design(study, FOLDED)
    images = design.study
    for problem in (p for b in design.blocks for p in b.problems):
        parts = [(problem.train, [problem.test])]
        parts += [(train, [held, problem.test]) for train, held in problem.inner]
        for train, held_out in parts:
            held = {images.column("event")[i] for rows in held_out for i in rows}
            if held & {"a0", "b0"}:
                assert not any(images.column("trained_on")[train])
    assert kept_out(design) == {0, 6} or kept_out(design) == {6}


def test_a_fixed_hold_out_drops_the_same_images_in_every_repeat(study: Manifest) -> None:
    assert kept_out(make_design(holding_out(study, "a0", "b2"), HELD_OUT)) == {6}
    assert kept_out(make_design(holding_out(study, "a1", "b2"), HELD_OUT)) == {0}


def test_it_is_said_how_many_are_left_and_plan_counts_the_same(study: Manifest) -> None:
    study = holding_out(study, "a0", "b2")
    design = make_design(study, HELD_OUT)
    assert design.left == left_in_sweep(study, HELD_OUT)
    said = (
        "generator x was trained on events that are tested (column trained_on): of its 12 images 6"
    )
    assert [w for w in design.warnings if "trained" in w] == [f"{said} are left to train on"]
    assert not make_design(holding_out(study, "a1"), HELD_OUT).left


def test_a_generator_of_which_none_is_left_is_refused_by_its_name(study: Manifest) -> None:
    study = knowing(holding_out(study, "a0", "b2"), "b2")
    with pytest.raises(
        XprobeError, match=r"generator x .* its 12 images none are left .*--generator"
    ):
        make_design(study, HELD_OUT)
    shown = make_design(study, SweepConfig(ratios=(1,), repeats=1, ignore_lineage=True))
    assert "in a fold up to 12 synthetic images" in shown.warnings[0]
    assert "or by a network that has seen their events" in shown.warnings[0]
    assert kept_out(shown) == {0}


def test_where_lineage_leaves_inner_folds_nothing_c_is_fixed_for_synthetic_only_alone(
    study: Manifest,
) -> None:
    trained = knowing(holding_out(study, "a0", "b0"), "a1", "a2", "b1", "b2")
    design = make_design(trained, HELD_OUT)
    inner = {b.setting.title: len(b.problems[0].inner) for b in design.blocks
             if b.setting.generator in (None, "x")}  # fmt: skip
    assert inner["synthetic-only"] == 0
    assert inner["1:1"] == inner["real-only"] > 1
    assert any("synthetic-only of x: there C is fixed" in w for w in design.warnings)
    assert all(b.n_synthetic[0] for b in design.blocks if b.setting.name == "mix")


def test_real_images_without_an_event_are_counted(study: Manifest) -> None:
    real = study.source == "real"
    synthetic = study.select(~real)
    assert unchecked_warnings(synthetic, study.select(real)) == []
    some = with_columns(
        study, event=["" if i < 2 else e for i, e in enumerate(study.column("event"))]
    )
    assert (
        "2 of 12 real images have no event" in unchecked_warnings(synthetic, some.select(real))[0]
    )
    none = with_columns(study, event=[""] * len(study))
    (said,) = unchecked_warnings(synthetic, none.select(real))
    assert "no real image has an event" in said
    assert "6 synthetic images have seen" in said
    assert said in make_design(none, HELD_OUT).warnings
    assert unchecked_warnings(knowing(none).select(~real), none.select(real)) == []


def test_the_fingerprint_changes_only_where_something_was_trained_on_events(
    study: Manifest,
) -> None:
    plain = with_columns(knowing(study), event=[""] * len(study))
    assert plain.fingerprint == knowing(study).fingerprint
    assert len({plain.fingerprint, study.fingerprint, knowing(study, "a0").fingerprint}) == 3
