"""The headline, word by word: what each generator does, and what nobody may claim."""

from __future__ import annotations

import pytest
from makers import (
    changed,
    changed_config,
    claimed,
    make_comparison,
    make_study,
    with_comparisons,
)
from msgspec import structs

from xprobe.report.answer import answer
from xprobe.report.headline import NOTHING
from xprobe.report.words import LINEAGE_IGNORED
from xprobe.results.study import Study

YES = "Yes, these synthetic images help."
NO = "No, these synthetic images hurt."
NOT_DETECTED = "Not detected that these synthetic images help or hurt."
DEPENDS = "It depends on the generator of these synthetic images."


def of(*studies: Study, unshown: tuple[Study, ...] = ()) -> str:
    """The headline of studies; others of their folder are not shown."""
    return answer(studies, [*studies, *unshown]).headline


def learned(encoder: str = "clip", **fields: object) -> Study:
    return claimed(make_study(encoder, **fields))  # type: ignore[arg-type]


def of_real(study: Study, n: float) -> Study:
    """The same study with so many real training images."""
    return changed(study, "results", lambda _row: True, n_train_real=n)


def of_size(study: Study, n: int) -> Study:
    """The same study as a size of a learning curve."""
    return of_real(changed_config(study, train_per_class=n), 2.0 * n)


def with_random_weights(study: Study, head: str = "logistic") -> Study:
    encoder = structs.replace(study.encoder, weights="random:0")
    return changed_config(structs.replace(study, encoder=encoder), head=head)


def fails_at(study: Study, *ratios: float) -> Study:
    """The same study, of which these ratios do not hold over all comparisons."""
    return changed(
        study, "results", lambda row: row.ratio in ratios and row.p_study_wide, p_study_wide=0.2
    )


# --- planted studies -------------------------------------------------------------------------


def test_one_generator_helps_and_one_does_not() -> None:
    effect = {"A": 0.046, "B": 0.001}
    both = [learned(name, generators=("A", "B"), effect=effect) for name in ("clip", "dino")]
    assert of(*both) == (
        f"{DEPENDS} Generator A: helps, +4.6 points at 1:1 with 40 real images a class (median of "
        "the 2 encoders; range +4.6 … +4.6). Generator B: no difference detected with 40 real "
        "images a class (±2.8 would have been; 2 encoders)."
    )


def test_floor_encoders_never_say_yes_or_no() -> None:
    floor = make_study("hog", source="builtin:hog")
    assert of(floor) == (
        "Of a floor encoder without learned weights: generator default: helps, +5.0 points [+3.0, "
        "+7.0] at 1:1 with 40 real images a class (hog), in its family alone. This says nothing "
        "of what these synthetic images do for learned ones."
    )
    assert of(floor, make_study("pixels", source="builtin:pixels", effect=-0.05)) == (
        "Of floor encoders without learned weights: generator default: mixed: 1 of 2 encoders "
        "gains and 1 loses, 0.0 points at 1:1 with 40 real images a class (median of "
        "the 2 encoders; range −5.0 … +5.0), in each family alone. This says nothing of what these "
        "synthetic images do for learned ones."
    )


def test_further_real_images_were_better_than_the_mix() -> None:
    study = with_comparisons(
        learned(ratios=(1, 2)),
        make_comparison("real-more", "mix", "real-more", -0.04, generator="default", ratio=1),
        make_comparison("real-more", "mix", "real-more", -0.06, generator="default", ratio=2),
    )
    assert of(study) == (
        f"{YES} Generator default: helps, +5.0 points [+3.0, +7.0] at 1:1 with 40 real images a "
        "class (clip); that is 4.0 points less than as many further real images gave [−6.0, −2.0]."
    )


def test_encoders_that_disagree_are_counted() -> None:
    effects = {"a": 0.05, "b": 0.03, "c": 0.0}
    studies = [learned(name, effect=effect) for name, effect in effects.items()]
    assert of(*studies) == (
        "Mixed: the encoders differ in what these synthetic images do. Generator default: mixed: "
        "2 of 3 encoders gain, +3.0 points at 1:1 with 40 real images a class (median of the 3 "
        "encoders; range 0.0 … +5.0)."
    )


def test_three_seeds_are_pooled_or_counted() -> None:
    pooled = learned(seeds=(0, 1, 2), created="2026-02")
    assert of(pooled) == (
        f"{YES} Generator default: helps, +5.0 points [+3.0, +7.0] at 1:1 with 40 real images a "
        "class (clip; 3 seeds pooled)."
    )
    others = [
        structs.replace(changed_config(study, seed=seed), key=f"{seed}", created="2025")
        for seed, study in ((1, learned(effect=0.0)), (2, learned()))
    ]
    assert of(learned(created="2026-02"), unshown=tuple(others)) == (
        f"{YES} Generator default: helps, +5.0 points [+3.0, +7.0] at 1:1 with 40 real images a "
        "class (clip); 2 further studies of it not shown: 1 no difference detected, 1 helps."
    )


def test_without_a_mix_nothing_was_judged() -> None:
    study = make_study()
    rows = tuple(row for row in study.results if row.setting != "mix")
    assert of(structs.replace(study, results=rows)) == NOTHING


def test_a_study_of_version_1_is_told_by_its_rules() -> None:
    assert of(claimed(structs.replace(make_study(), version=1))) == (
        "By the rules of an older version: generator default: helps, +5.0 points [+3.0, +7.0] at "
        "1:1 with 40 real images a class (clip), in its family alone. Run again, the same sweep "
        "judges these synthetic images by those of today; it trains nothing but the pooled arm."
    )


# --- what may be claimed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effects", "beginning"),
    [
        ((0.05, 0.05), f"{YES} Generator default: helps, +5.0"),
        ((-0.05, -0.05), f"{NO} Generator default: hurts, −5.0"),
        ((0.05, -0.05), "Mixed: the encoders differ in what these synthetic images do. Generator "
         "default: mixed: 1 of 2 encoders gains and 1 loses, 0.0"),
        ((-0.05, 0.0), "Mixed: the encoders differ in what these synthetic images do. Generator "
         "default: mixed: 1 of 2 encoders loses, −2.5"),
        ((0.0, 0.0), f"{NOT_DETECTED} Generator default: no difference detected with 40 real"),
    ],
)  # fmt: skip
def test_what_the_studies_answer(effects: tuple[float, float], beginning: str) -> None:
    assert of(*(learned(f"e{i}", effect=e) for i, e in enumerate(effects))).startswith(beginning)


def test_the_ratio_is_the_smallest_at_which_most_encoders_pass() -> None:
    studies = [learned("a"), fails_at(learned("b"), 1), fails_at(learned("c"), 1, 2)]
    assert of(*studies) == (
        f"{YES} Generator default: helps, +5.0 points at 1:2 with 40 real images a class (median "
        "of the 3 encoders; range +5.0 … +5.0; 2 of them pass at this ratio)."
    )


def test_an_encoder_that_gains_and_loses_is_mixed() -> None:
    study = changed(
        learned(), "results", lambda row: row.ratio == 4 and row.verdict, verdict="hurts"
    )
    assert of(study).startswith(
        "Mixed: it depends on the ratio of these synthetic images. Generator default: mixed: it "
        "gains at some ratios and loses at others, +5.0 points [+3.0, +7.0] at 1:1 with"
    )


def test_what_holds_in_its_family_alone_is_not_certain() -> None:
    said = of(claimed(make_study(), p=0.12), claimed(make_study("dino", effect=0.0), p=1.0))
    assert said == (
        "Not certain whether these synthetic images help or hurt. Generator default: not certain, "
        "+2.5 points at 1:1 with 40 real images a class (median of the 2 encoders; range 0.0 … "
        "+5.0), in each family alone; over all 6 comparisons together nothing holds (least "
        "study-wide p 0.120)."
    )


def test_a_margin_is_a_claim_where_it_holds_for_all() -> None:
    equal = learned("a", effect=0.0, half=0.01, margin=0.02)
    assert of(equal) == (
        "No difference that matters: these synthetic images neither help nor hurt. Generator "
        "default: equivalent within ±2 points in all 3 comparisons with 40 real images a class."
    )
    assert of(equal, learned("b", effect=0.0, half=0.03, margin=0.02)).endswith(
        "(±1.4–4.2 would have been; 2 encoders; 3 of 6 comparisons are equivalent within the "
        "margin)."
    )


def test_what_cannot_be_told_from_longer_training_is_no_gain() -> None:
    apart = changed(
        learned(), "results", lambda row: row.setting == "mix" and row.verdict,
        verdict="not separable from training longer", control_difference=-0.06, control_low=-0.08,
        control_high=-0.04, judged_low=-0.08, judged_high=0.07,
    )  # fmt: skip
    assert of(apart) == (
        "What these synthetic images do cannot be told from training longer. Generator default: "
        "not separable from training longer, +5.0 points [+3.0, +7.0] at 1:1 with 40 real images a "
        "class (clip; −6.0 points [−8.0, −4.0] against its control, judged by [−8.0, +7.0])."
    )


def test_the_study_wide_p_decides_and_comparisons_that_are_not_shown_count() -> None:
    study = fails_at(learned(ratios=(1,)), 1)
    others = tuple(structs.replace(learned(f"e{i}", effect=0.0), created="2025") for i in range(2))
    assert "over all 7 comparisons together nothing holds" in of(study, unshown=others)
    assert "over the study nothing holds" in of(study)


@pytest.mark.parametrize(
    ("study", "beginning"),
    [
        (with_random_weights(make_study()), "Of an encoder with random weights: generator"),
        (
            with_random_weights(make_study(), "finetune"),
            "Of a network that began with random weights: generator",
        ),
        (
            changed_config(make_study(), real_fraction=0.5),
            "Of a part of the real images: generator",
        ),
    ],
)
def test_studies_outside_of_the_set_claim_nothing(study: Study, beginning: str) -> None:
    said = of(claimed(study))
    assert said.startswith(beginning)
    assert ", in its family alone. " in said
    assert said.count("these synthetic images") == 1 or "These synthetic images" in said


def test_several_reasons_are_named_together() -> None:
    floor, random = make_study("hog", source="builtin:hog"), with_random_weights(make_study())
    said = of(floor, random)
    assert said.startswith(
        "Of encoders with random weights and of floor encoders without learned weights: generator "
        "default: helps, +5.0 points at 1:1"
    )
    assert said.endswith("No study here may claim more of these synthetic images.")


def test_floors_and_other_outsiders_are_not_heard_beside_learned_encoders() -> None:
    study = learned(effect=0.0)
    others = (
        make_study("hog", source="builtin:hog"), of_size(make_study("clip"), 20),
        with_random_weights(make_study("resnet")), structs.replace(make_study("v"), version=1),
    )  # fmt: skip
    assert of(study, *others) == of(study)


def test_a_generator_that_only_a_floor_has_seen_says_so_beside_others() -> None:
    said = of(learned(), make_study("hog", generators=("B",), source="builtin:hog"))
    assert said.startswith(f"{YES} Generator default: helps")
    assert " Generator B, of a floor encoder without learned weights: helps, +5.0" in said


def test_the_logistic_head_speaks_or_else_the_first_by_name() -> None:
    ridge, knn = (
        structs.replace(changed_config(learned(effect=effect), head=head), key=head)
        for head, effect in (("ridge", -0.05), ("knn", 0.03))
    )
    assert of(ridge, knn, learned()).startswith(f"{YES} Generator default: helps, +5.0")
    assert "+3.0 points [+1.0, +5.0] at 1:1 with 40 real images a class (clip; knn head)" in of(
        ridge, knn
    )


def test_sizes_of_a_learning_curve_are_no_encoders() -> None:
    sizes = [of_size(make_study(effect=0.05 if n == 80 else 0.0), n) for n in (20, 80, 40)]
    assert of(*sizes, make_study("hog", source="builtin:hog")).startswith(
        "Of a part of the real images: generator default: helps, +5.0 points [+3.0, +7.0] at 1:1 "
        "with 80 real images a class (clip), in its family alone."
    )


def test_the_number_of_real_images_is_a_range_where_studies_differ() -> None:
    small, large = (of_real(learned(name), n) for name, n in (("a", 17.0), ("b", 1080.0)))
    assert "at 1:1 with about 8–540 real images a class (" in of(small, large)
    counts = structs.replace(small.manifest.counts[0], n=200), *small.manifest.counts[1:]
    uneven = structs.replace(small, manifest=structs.replace(small.manifest, counts=counts))
    assert "at 1:1 with about 8 real images a class on average (" in of(uneven)


def test_many_generators_are_named_by_their_verdict() -> None:
    effect = {"A": 0.05, "B": -0.05, "C": 0.05, "D": 0.0}
    study = learned(generators=tuple(effect), effect=effect)
    said = answer([study], [study])
    assert said.headline == (
        f"{DEPENDS} 4 generators, with 40 real images a class: helps: A, C; hurts: B; no "
        "difference detected: D."
    )
    assert said.brief[1:5] == [one.sentence for one in said.generators]
    assert [one.badge for one in said.generators] == ["helps", "hurts", "helps", "no"]
    assert said.brief[3].startswith("Generator C: helps, +5.0 points")


def test_a_leak_goes_before_the_headline_which_then_answers_nothing() -> None:
    leaky = changed_config(learned(), ignore_lineage=True)
    said = of(leaky)
    assert said.startswith(
        f"{LINEAGE_IGNORED}. With the leak of these synthetic images: generator default: helps"
    )
    assert "Yes" not in said
