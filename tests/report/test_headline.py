"""The headline claims what holds over all comparisons together, and says what it is about."""

from __future__ import annotations

import pytest
from makers import changed, changed_config, claimed, make_study
from msgspec import structs

from xprobe.report import headline as module
from xprobe.report.headline import headline
from xprobe.report.words import LINEAGE_IGNORED
from xprobe.results.study import Study

ADDED = "adding these synthetic images to 80 real ones"


def compared(*studies: Study) -> int:
    return sum(row.p_study_wide is not None for study in studies for row in study.results)


def of(*studies: Study, more: int = 0) -> str:
    """The headline of some studies; `more` comparisons of the folder are not shown."""
    return headline(studies, compared(*studies) + more)


def of_real(study: Study, n: float) -> Study:
    """The same study with so many real training images."""
    return changed(study, "results", lambda _row: True, n_train_real=n)


def of_size(study: Study, n: int) -> Study:
    """The same study as a size of a learning curve."""
    return of_real(changed_config(study, train_per_class=n), 2.0 * n)


def with_random_weights(study: Study, head: str = "logistic") -> Study:
    encoder = structs.replace(study.encoder, weights="random:0")
    return changed_config(structs.replace(study, encoder=encoder), head=head)


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        ((0.05, 0.05), f"Yes: {ADDED} raised accuracy in all 6 comparisons, all judged together."),
        (
            (0.05, 0.0),
            f"In part: {ADDED} raised accuracy in 3 of 6 comparisons, all judged together; "
            "in the other 3 no difference was detected.",
        ),
        (
            (-0.05, -0.05),
            f"No, they hurt: {ADDED} lowered accuracy in all 6 comparisons, all judged together.",
        ),
        (
            (-0.05, 0.0),
            f"They hurt in part: {ADDED} lowered accuracy in 3 of 6 comparisons, all judged "
            "together; in the other 3 no difference was detected.",
        ),
        (
            (0.05, -0.05),
            f"Mixed: {ADDED} raised accuracy in 3 and lowered it in 3 of 6 comparisons, all judged "
            "together.",
        ),
        (
            (0.0, 0.0),
            f"Not detected: {ADDED} was not detected to change accuracy in any of 6 comparisons; "
            "2.8 points could have been detected.",
        ),
    ],
)
def test_what_the_studies_answer(effects: tuple[float, float], said: str) -> None:
    assert of(*(claimed(make_study(f"e{i}", effect=e)) for i, e in enumerate(effects))) == said


def test_a_single_comparison_is_called_so() -> None:
    for effect, said in (
        (0.05, f"Yes: {ADDED} raised accuracy in the only comparison."),
        (
            0.0,
            f"Not detected: {ADDED} was not detected to change accuracy in the only comparison; "
            "2.8 points could have been detected.",
        ),
    ):
        assert of(claimed(make_study(ratios=(1,), effect=effect))) == said


def test_the_number_of_real_images_is_a_range_where_studies_differ() -> None:
    small, large = (of_real(claimed(make_study(e)), n) for e, n in (("a", 24.0), ("b", 1080.5)))
    assert "to 24–1,080.5 real ones raised accuracy in all 6" in of(small, large)


def test_comparisons_that_are_not_shown_count() -> None:
    assert of(claimed(make_study()), more=9).endswith(
        "raised accuracy in all 3 comparisons, judged together with all 12 of the folder."
    )


def test_what_holds_in_its_family_alone_is_not_certain() -> None:
    studies = [claimed(make_study("e0"), p=0.12), claimed(make_study("e1", effect=0.0), p=1.0)]
    assert of(*studies) == (
        f"Not certain: each family for itself, {ADDED} raised accuracy in 3 of 6 comparisons; "
        "in the other 3 no difference was detected; over all 6 comparisons together none of this "
        "holds (least study-wide p 0.120)."
    )
    assert of(claimed(make_study(ratios=(1,)), p=0.06)).startswith("Not certain: in its family al")


def test_one_claim_of_many_is_no_yes_and_takes_no_other_with_it() -> None:
    """Where one mix holds study-wide, those that hold in their family alone are not claimed."""
    study = changed(
        claimed(make_study(), p=0.2), "results", lambda row: row.ratio == 2 and row.p_study_wide,
        p_study_wide=0.01,
    )  # fmt: skip
    said = of(study, claimed(make_study("other", effect=0.0)))
    assert said.startswith(f"In part: {ADDED} raised accuracy in 1 of 6 comparisons, all judged")


def test_a_margin_is_a_claim_where_it_holds_for_all() -> None:
    equal = claimed(make_study("a", effect=0.0, half=0.01, margin=0.02))
    assert of(equal) == (
        f"No difference that matters: {ADDED} changed accuracy by less than the margin in all 3 "
        "comparisons."
    )
    assert of(equal, claimed(make_study("b", effect=0.0, half=0.03, margin=0.02))).endswith(
        "; 1.4–4.2 points could have been detected; 3 of them were equivalent within the margin."
    )


def test_what_cannot_be_told_from_longer_training_is_counted() -> None:
    study = changed(
        claimed(make_study()), "results", lambda row: row.ratio == 2 and row.verdict,
        verdict="not separable from training longer",
    )  # fmt: skip
    assert of(study).endswith(
        "raised accuracy in 2 of 3 comparisons, all judged together; "
        "in 1 it could not be told from training longer."
    )


def test_floors_and_other_outsiders_are_not_counted_beside_learned_encoders() -> None:
    learned = claimed(make_study("clip", effect=0.0))
    others = (make_study("hog", source="builtin:hog"), of_size(make_study("clip"), 20))
    assert of(learned, *others) == of(learned)


@pytest.mark.parametrize(
    ("study", "meaning"),
    [
        (make_study(source="builtin:hog"), module.FLOORS.meaning),
        (with_random_weights(make_study()), module.RANDOM.meaning),
        (with_random_weights(make_study(), "finetune"), module.FROM_RANDOM.meaning),
        (changed_config(make_study(), real_fraction=0.5), module.PARTS.meaning),
        (of_size(make_study(), 40), module.PARTS.meaning),
        (structs.replace(make_study(), version=1), module.OLDER.meaning),
    ],
    ids=["floor", "random", "fine-tuned from random", "fraction", "size", "version 1"],
)
def test_studies_outside_of_the_set_claim_nothing_and_say_what_that_means(
    study: Study, meaning: str
) -> None:
    assert compared(claimed(study)) == 0
    assert of(study) == (
        f"No study-wide claim: in its family alone, {ADDED} raised accuracy in all 3 comparisons. "
        f"{meaning}"
    )


def test_several_reasons_are_named_together() -> None:
    floor, random = make_study("hog", source="builtin:hog"), with_random_weights(make_study())
    said = of(floor, random)
    assert said.endswith(
        "No study here may claim more, being of floors without learned weights or of random "
        "weights."
    )
    assert "each family for itself" in said and "all 6 comparisons" in said


def test_sizes_of_a_learning_curve_are_no_comparisons() -> None:
    sizes = [of_size(make_study(effect=0.05 if n == 80 else 0.0), n) for n in (20, 80, 40)]
    assert of(*sizes, make_study("hog", source="builtin:hog")) == (
        "No study-wide claim: in its family alone, adding these synthetic images to 160 real ones "
        f"raised accuracy in all 3 comparisons. {module.PARTS.meaning}"
    )


def test_without_a_mix_nothing_was_judged() -> None:
    study = make_study()
    rows = tuple(row for row in study.results if row.setting != "mix")
    said = "Nothing was judged: there is no mix of real and synthetic images."
    assert of(structs.replace(study, results=rows)) == said


def test_a_leak_goes_before_the_headline_which_then_answers_nothing() -> None:
    leaky = changed_config(claimed(make_study()), ignore_lineage=True)
    assert of(leaky) == (
        f"{LINEAGE_IGNORED}. With the leak, {ADDED} raised accuracy in all 3 comparisons, all "
        "judged together."
    )
