"""What a study could find: its detectable difference falls and grows as it must."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import changed_config, make_row, make_study
from msgspec import structs
from scipy import stats

from xprobe.base.errors import XprobeError
from xprobe.design.config import SweepConfig
from xprobe.design.power import (
    SEED_SD,
    TYPICAL,
    TYPICAL_SPREAD,
    Detectable,
    Pilot,
    Study,
    count_study_wide,
    detectable,
    pilots,
    plan,
    typical_variance,
)
from xprobe.images.manifest import Manifest
from xprobe.results import study as study_module
from xprobe.verdict.family import compare

Make = Callable[..., Manifest]
STUDY = Study(real_per_class=100, test_images=600, groups=600, comparisons=5, models=0, repeats=10)
FINETUNED = replace(STUDY, models=5, repeats=1)


def falls(values: Sequence[float]) -> bool:
    return bool((np.diff(values) < 0).all())


# --- the typical variance ------------------------------------------------------------------


def test_the_typical_variance_goes_through_its_points() -> None:
    for size, variance in TYPICAL:
        assert typical_variance(size) == pytest.approx(variance, rel=1e-12)


def test_the_typical_variance_falls_and_is_linear_in_logarithms_between_and_beyond() -> None:
    assert falls([typical_variance(size) for size in np.geomspace(2, 10_000, 50)])
    (a, v), (b, w), (c, x) = TYPICAL
    assert typical_variance(np.sqrt(a * b)) == pytest.approx(np.sqrt(v * w))
    assert typical_variance(c**2 / b) == pytest.approx(x**2 / w)
    assert typical_variance(a**2 / b) == pytest.approx(v**2 / w)


@pytest.mark.parametrize("size", [0, 0.5, 1, 2])
def test_less_than_two_images_are_taken_for_two(size: float) -> None:
    assert typical_variance(size) == typical_variance(2) < 1


# --- the detectable difference -------------------------------------------------------------


# Ten classes with so many images each → points that were detectable, the least and the most, in
# studies of four ratios and ten repeats with a learned encoder.
MEASURED = {30: (4.1, 6.4), 100: (1.6, 2.6)}


@pytest.mark.parametrize("size", MEASURED)
def test_it_is_that_of_the_studies_that_the_typical_variance_comes_from(size: int) -> None:
    typical = 100 * detectable(Study(size, 10 * size, 10 * size, 4, 0, 10))
    ends = typical / TYPICAL_SPREAD, typical * TYPICAL_SPREAD
    assert tuple(round(end, 1) for end in ends) == MEASURED[size]


# Dunnett (1964), two-sided, 5 %: comparisons → critical value at 20 and 60 degrees of freedom.
DUNNETT = {1: (2.09, 2.00), 2: (2.38, 2.27), 3: (2.54, 2.41), 4: (2.65, 2.51), 5: (2.73, 2.58)}


@pytest.mark.parametrize("comparisons", DUNNETT)
def test_it_exceeds_dunnetts_critical_value_in_four_of_five_studies(comparisons: int) -> None:
    """Several treatments against one control, of equal size: correlations of one half."""
    for groups, critical in zip((21, 61), DUNNETT[comparisons], strict=True):
        study = Study(100, groups, groups, comparisons, 0, 10)
        se = np.sqrt(typical_variance(100) / groups + 1 / groups**2)
        # The table has two decimals and the critical value is drawn: .02 of it is .006 of power.
        chance = stats.nct.sf(critical, groups - 1, detectable(study) / se)
        assert chance == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("groups", [4, 6, 11])
def test_with_few_groups_it_is_found_in_four_of_five_studies(groups: int) -> None:
    """One comparison, whose critical value is Student's; c + 0.84 is found in .76 with 4."""
    study = Study(100, groups, groups, 1, 0, 10)
    se = np.sqrt(typical_variance(100) / groups + 1 / groups**2)
    critical = stats.t.isf(0.025, groups - 1)
    chance = stats.nct.sf(critical, groups - 1, detectable(study) / se)
    assert chance == pytest.approx(0.8, abs=0.01)


def test_it_falls_with_images_and_with_groups_and_grows_with_comparisons() -> None:
    images = [replace(STUDY, test_images=n, groups=n) for n in (60, 120, 600, 3000)]
    in_scenes = [replace(STUDY, test_images=n, groups=60) for n in (60, 120, 600, 3000)]
    groups = [replace(STUDY, groups=n) for n in (10, 30, 100, 300, 600)]
    sizes = [replace(STUDY, real_per_class=n) for n in (10, 30, 100, 1000)]
    comparisons = [replace(STUDY, comparisons=n) for n in (16, 8, 4, 2, 1)]
    for studies in (images, in_scenes, groups, sizes, comparisons):
        assert falls([detectable(study) for study in studies])


def test_more_images_of_the_same_scenes_help_less_than_more_scenes() -> None:
    few = replace(STUDY, test_images=600, groups=600)
    same, other = (replace(few, test_images=2400, groups=groups) for groups in (600, 2400))
    assert detectable(other) < detectable(same) < detectable(few)
    assert detectable(few) / detectable(same) < 1.6
    assert 2 < detectable(few) / detectable(other) < 2.3


@pytest.mark.parametrize("repeats", [1, 10])
def test_fine_tunes_are_less_sensitive_than_heads_and_less_so_with_more_models(
    repeats: int,
) -> None:
    heads = replace(STUDY, repeats=repeats)
    fine_tuned = [detectable(replace(heads, models=n)) for n in (2, 5, 20, 100, 100_000)]
    assert falls([*fine_tuned, detectable(heads)])
    assert fine_tuned[-1] == pytest.approx(detectable(heads), rel=0.01)
    assert fine_tuned[0] > SEED_SD  # of two accuracies, each of one fine-tune


def test_one_repeat_is_less_sensitive_than_ten() -> None:
    assert detectable(replace(STUDY, repeats=1)) > 1.2 * detectable(STUDY)


def test_it_is_the_same_in_every_call() -> None:
    assert detectable(FINETUNED) == detectable(FINETUNED)


# --- pilots --------------------------------------------------------------------------------


@given(st.floats(2, 5000), st.integers(5, 500))
@settings(max_examples=25)
def test_a_pilot_of_the_typical_variance_gives_the_typical_answer(size: float, n: int) -> None:
    study = Study(50, n, n, 2, 0, 10)
    pilot = Pilot("encoder", "logistic", typical_variance(size), size)
    assert detectable(study, pilot) == pytest.approx(detectable(study), rel=1e-9)


def test_four_times_the_variance_of_a_pilot_doubles_it() -> None:
    one, four = (Pilot("encoder", "logistic", v, 100) for v in (0.1, 0.4))
    assert detectable(STUDY, four) == pytest.approx(2 * detectable(STUDY, one), rel=0.01)


def test_a_pilot_of_fine_tunes_has_their_variation_in_its_own() -> None:
    pilot = Pilot("encoder", "finetune", 0.1, 100)
    assert detectable(FINETUNED, pilot) == detectable(replace(FINETUNED, models=50), pilot)


R, N = 3, 120
ALONE = np.arange(N)
CLASSES = ["a", "b", "c"]


def hits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hits of real-only (R, N) and of settings (S, R, N) that share the images' difficulty."""
    rng = np.random.default_rng(seed)
    skill = rng.normal(0.5, 1, N)
    hit = skill + rng.normal(0, 0.7, (count + 1, R, N)) > 0
    return hit[0], hit[1:]


def made(
    real: np.ndarray, mixes: np.ndarray, group: np.ndarray = ALONE, *, head: str = "logistic",
    protocol: str = "5-fold cross-validation, 3 repeats", trained: float = 96.0,
    fraction: float = 1.0, of_each: int | None = None,
) -> study_module.Study:  # fmt: skip
    """A study that a pilot is made of; the last mix is no mix."""
    comparisons = compare(real, mixes, group, np.random.default_rng(0), draws=500).comparisons
    names = {"setting": "real-only", "ratio": None, "generator": None}
    real_only = structs.replace(
        make_row("an encoder", names, "accuracy", None, 0, None, protocol), n_test=N,
        n_groups=len(set(group.tolist())), n_train_real=trained, real_fraction=fraction,
        train_per_class=of_each,
    )  # fmt: skip
    rows = [real_only]
    for i, c in enumerate(comparisons):
        is_mix = i + 1 < len(comparisons)
        row = structs.replace(
            real_only, setting="mix" if is_mix else "synthetic-only",
            ratio=i + 1 if is_mix else None, generator="g", difference=c.difference,
            difference_low=c.low, difference_high=c.high, se=c.se, df=c.df,
        )  # fmt: skip
        rows.append(structs.replace(row, detectable=c.detectable))
        rows.append(structs.replace(row, metric="macro_f1"))
    study = make_study("an encoder", classes=tuple(CLASSES), protocol=protocol, results=tuple(rows))
    return changed_config(study, head=head, real_fraction=fraction, train_per_class=of_each)


def variance_by_loop(real: np.ndarray, hit: np.ndarray, group: np.ndarray) -> float:
    """Variance of a difference over images: N times that of its mean, groups respected."""
    d = (hit.astype(float) - real).mean(axis=0)
    sums = [sum(d[group == g] - d.mean()) for g in set(group.tolist())]
    return float(len(sums) / (len(sums) - 1) * sum(u**2 for u in sums) / N)


@pytest.mark.parametrize("scene", [1, 4])
def test_a_pilot_has_the_median_variance_of_the_mixes(scene: int) -> None:
    real, hit = hits(4)
    group = ALONE // scene
    (pilot,) = pilots([made(real, hit, group)])
    expected = np.median([variance_by_loop(real, mix, group) for mix in hit[:-1]])
    assert pilot.variance == pytest.approx(expected, rel=1e-9)
    assert (pilot.encoder, pilot.head) == ("an encoder", "logistic")
    assert pilot.real_per_class == N / 3


def test_a_pilot_of_a_fixed_hold_out_has_the_real_images_that_were_trained_on() -> None:
    study = made(*hits(2), protocol="fixed hold-out, 3 repeats", trained=60)
    assert pilots([study])[0].real_per_class == 20


@pytest.mark.parametrize("thinned", [{"fraction": 0.25}, {"of_each": 8}])
def test_a_pilot_of_a_part_of_the_real_images_has_that_part(thinned: dict[str, Any]) -> None:
    study = made(*hits(2), trained=24, **thinned)
    assert pilots([study])[0].real_per_class == 8


def test_mixes_that_change_nothing_leave_a_pilot_some_variance() -> None:
    real, _ = hits(1)
    (pilot,) = pilots([made(real, np.stack([real] * 3))])
    assert pilot.variance == pytest.approx(1 / N)


def test_studies_without_mixes_are_no_pilots() -> None:
    assert pilots([made(*hits(1)), made(*hits(3))]) == pilots([made(*hits(3))])
    assert pilots([made(*hits(1))]) == pilots([]) == []


def test_planned_anew_a_pilot_has_the_detectable_difference_that_it_had() -> None:
    """Of one comparison, where the critical value is that of Student."""
    real, hit = hits(1)
    study = made(real, hit.repeat(2, axis=0))
    had = compare(real, hit, ALONE, np.random.default_rng(0)).comparisons[0].detectable
    found = detectable(Study(N / 3, N, N, 1, 0, R), pilots([study])[0])
    assert found == pytest.approx(had, rel=0.02)


# --- the plan ------------------------------------------------------------------------------

LABEL = [c for c in CLASSES for _ in range(10)]
PAIRS = [f"{c}{i // 2}" for c in CLASSES for i in range(10)]
CONFIG = SweepConfig(ratios=(1, 2), repeats=10, finetune_repeats=2)


def test_a_plan_is_of_heads_and_fine_tunes_at_hand_and_at_other_sizes(make_manifest: Make) -> None:
    rows = plan(make_manifest(LABEL), CONFIG, sizes=(5, 40))
    assert [(r.what, r.real_per_class, r.at_hand) for r in rows] == [
        (what, size, size == 10) for what in ("heads", "finetune") for size in (10, 5, 40)
    ]
    for row, size in zip(rows, (10, 5, 40) * 2, strict=True):
        models, repeats = (0, 10) if row.what == "heads" else (2 * 5, 2)
        study = Study(size, 3 * size, 3 * size, 2, models, repeats)
        assert row.test_images == row.groups == 3 * size
        assert row.comparisons == 2  # Synthetic-only is a family of its own.
        assert row.detectable == pytest.approx(detectable(study))
        assert row.basis == "typical"
        assert row.detectable_low == pytest.approx(row.detectable / TYPICAL_SPREAD)
        assert row.detectable_high == pytest.approx(row.detectable * TYPICAL_SPREAD)


def test_fine_tunes_of_a_plan_are_less_sensitive_than_its_heads(make_manifest: Make) -> None:
    rows = plan(make_manifest(LABEL), CONFIG)
    heads, fine_tunes = ([r for r in rows if r.what == what] for what in ("heads", "finetune"))
    for one, other in zip(heads, fine_tunes, strict=True):
        assert other.detectable > one.detectable
    assert falls([r.detectable for r in heads[1:]])


DIFFERS = {"what", "detectable", "detectable_low", "detectable_high"}


def at_hand(manifest: Manifest, config: SweepConfig = CONFIG, **options: Any) -> Detectable:
    heads, fine_tunes = plan(manifest, config, sizes=(), **options)
    assert structs.asdict(heads).keys() == DIFFERS | {
        name for name, value in structs.asdict(fine_tunes).items()
        if value == getattr(heads, name)
    }  # fmt: skip
    return heads


def test_groups_of_a_plan_are_those_of_the_real_images(make_manifest: Make) -> None:
    apart, together = make_manifest(LABEL), make_manifest(LABEL, group=PAIRS)
    assert (at_hand(together).test_images, at_hand(together).groups) == (30, 15)
    assert at_hand(together).detectable > at_hand(apart).detectable
    scaled = plan(together, CONFIG, sizes=(40,))[1]
    assert (scaled.test_images, scaled.groups) == (120, 60)


def test_synthetic_and_extra_images_are_not_planned_with(make_manifest: Make) -> None:
    n = len(LABEL)
    table = make_manifest(
        LABEL * 3, source=["real"] * n + ["synthetic"] * n + ["real"] * n,
        split=["train"] * 2 * n + ["extra"] * n,
    )  # fmt: skip
    assert at_hand(table) == at_hand(make_manifest(LABEL))


def test_a_test_part_is_what_is_tested(make_manifest: Make) -> None:
    table = make_manifest(LABEL * 2 + CLASSES, split=["train"] * 60 + ["test"] * 3)
    one = at_hand(table)
    assert (one.real_per_class, one.test_images, one.groups) == (20, 3, 3)
    study = Study(20, 3, 3, 2, 2, 2)
    assert plan(table, CONFIG, ())[1].detectable == pytest.approx(detectable(study))
    assert at_hand(table, replace(CONFIG, folds=5)).test_images == 60
    with pytest.raises(XprobeError, match="few groups, and there are 60"):
        at_hand(table, replace(CONFIG, leave_one_group_out=True))
    with pytest.raises(XprobeError, match="have a test part"):
        at_hand(table, replace(CONFIG, holdout=0.3))


def test_a_share_held_out_is_what_is_tested(make_manifest: Make) -> None:
    config = replace(CONFIG, holdout=0.4)
    one = at_hand(make_manifest(LABEL, group=PAIRS), config)
    assert (one.real_per_class, one.test_images, one.groups) == (10, 12, 6)
    whole = at_hand(make_manifest(LABEL, group=PAIRS))
    assert one.detectable > whole.detectable


def test_a_fold_or_a_group_has_a_fine_tune_of_its_own(make_manifest: Make) -> None:
    table = make_manifest(LABEL, group=PAIRS)
    for changes, models in (
        ({}, 2 * 5), ({"folds": 3}, 2 * 3), ({"folds": 9}, 2 * 5),
        ({"leave_one_group_out": True}, 2 * 15),
    ):  # fmt: skip
        fine_tunes = plan(table, replace(CONFIG, **changes), ())[1]
        study = Study(10, 30, 15, 2, models, 2)
        assert fine_tunes.detectable == pytest.approx(detectable(study)), changes


def test_a_class_of_one_group_is_refused(make_manifest: Make) -> None:
    group = [g if c != "b" else "b" for g, c in zip(PAIRS, LABEL, strict=True)]
    with pytest.raises(XprobeError, match="fewer than two real images or groups"):
        plan(make_manifest(LABEL, group=group), CONFIG)


def test_a_plan_takes_the_variance_from_pilots_of_its_kind(make_manifest: Make) -> None:
    studies = [made(*hits(3), head="ridge"), made(*hits(3, seed=1), head="finetune")]
    rows = plan(make_manifest(LABEL), CONFIG, (40,), studies[:1])
    assert [(r.what, r.basis) for r in rows] == [
        *[("ridge", "pilot with an encoder")] * 2, *[("finetune", "typical")] * 2,
    ]  # fmt: skip
    rows = plan(make_manifest(LABEL), CONFIG, (40,), studies)
    assert [r.what for r in rows] == ["ridge"] * 2 + ["finetune"]
    assert {(r.detectable_low, r.detectable_high) for r in rows} == {(None, None)}
    heads, fine_tunes = pilots(studies)
    study = Study(40, 120, 120, 2, 0, 10)
    assert rows[1].detectable == pytest.approx(detectable(study, heads))
    # More images do not lessen the noise of the seed, a part of what a fine-tune's pilot saw.
    assert rows[2].at_hand
    n, groups = rows[2].test_images, rows[2].groups
    study = Study(n / 3, n, groups, 2, 10, 2)
    assert rows[2].detectable == pytest.approx(detectable(study, fine_tunes))


@pytest.mark.parametrize(
    ("encoders", "heads", "count"),
    [
        (("clip-vit-b32",), ("logistic",), 2 * 1),
        (("clip-vit-b32", "dinov2-vit-b14", "mine"), ("logistic", "finetune"), 2 * 3 * 2),
        (("clip-vit-b32", "clip-vit-b32", "hog", "builtin:pixels", "hog@0a1b"), ("ridge",), 2 * 1),
        (("hog",), ("logistic",), 0),
    ],
)
def test_study_wide_all_mixes_count_but_for_those_of_floor_encoders(
    make_manifest: Make, encoders: tuple[str, ...], heads: tuple[str, ...], count: int
) -> None:
    assert count_study_wide(make_manifest(LABEL), CONFIG, encoders, heads) == count
    with_two = make_manifest(
        LABEL * 3, source=["real"] * 30 + ["synthetic"] * 60,
        generator=[""] * 30 + ["one"] * 30 + ["two"] * 30,
    )  # fmt: skip
    assert count_study_wide(with_two, CONFIG, encoders, heads) == 2 * count


def test_studies_of_version_1_have_no_standard_error_and_are_no_pilots() -> None:
    study = made(*hits(3))
    rows = tuple(structs.replace(row, se=None, df=None) for row in study.results)
    assert pilots([structs.replace(study, results=rows)]) == []


@given(st.integers(2, 2000), st.integers(1, 10))
@settings(max_examples=25)
def test_a_plan_has_never_more_groups_than_images_nor_fewer_than_two(
    make_manifest: Make, size: int, scene: int
) -> None:
    label = [c for c in "ab" for _ in range(20)]
    group = [f"{c}{i // scene}" for c in "ab" for i in range(20)]
    for row in plan(make_manifest(label, group=group), CONFIG, (size,)):
        assert 2 <= row.groups <= row.test_images
        assert row.real_per_class == (20 if row.at_hand else size)
        assert np.isfinite(row.detectable)
