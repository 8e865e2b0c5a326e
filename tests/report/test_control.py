"""What synthetic images must beat, beside the verdict."""

from __future__ import annotations

from makers import (
    changed,
    claimed,
    make_comparison,
    make_study,
    with_comparisons,
    with_null_edits,
)
from msgspec import structs

from xprobe.report.control import control_clauses
from xprobe.report.panel import panels
from xprobe.results.study import Study


def clauses(*studies: Study, ratio: float | None = 1) -> list[str]:
    (panel,) = panels(studies)
    return control_clauses(panel, ratio)


def beside_real(encoder: str, difference: float, *ratios: float) -> Study:
    rows = [
        make_comparison("real-more", "mix", "real-more", difference, generator="default", ratio=r)
        for r in ratios
    ]
    return with_comparisons(claimed(make_study(encoder)), *rows)


def test_as_many_real_images_are_the_best_control() -> None:
    assert clauses(beside_real("clip", 0.01, 1, 2)) == [
        "that is 1.0 points more than as many further real images gave [−1.0, +3.0], not detected"
    ]
    assert clauses(beside_real("clip", -0.03, 2), ratio=None) == [
        "at 1:2 that is 3.0 points less than as many further real images gave [−5.0, −1.0]"
    ]


def test_of_several_encoders_the_interval_holds_all_of_theirs() -> None:
    studies = [beside_real("a", 0.03, 1), beside_real("b", 0.05, 1), claimed(make_study("c"))]
    assert clauses(*studies) == [
        "that is 4.0 points more than as many further real images gave [+1.0, +7.0] (2 of 3 "
        "encoders)"
    ]


def augmented(study: Study, **effects: float) -> Study:
    """The same study, of which synthetic-only is the model of rows of augmented real images."""
    rows = list(study.results)
    (row,) = (r for r in rows if r.setting == "synthetic-only" and r.metric == "accuracy")
    for name, effect in effects.items():
        rows.append(
            structs.replace(
                row, setting=name, generator=None, difference=effect,
                difference_low=effect - 0.02, difference_high=effect + 0.02,
            )
        )  # fmt: skip
    return structs.replace(study, results=tuple(rows))


def test_the_best_augmentation_stands_beside() -> None:
    study = augmented(claimed(make_study()), classic=0.01)
    assert clauses(study) == [
        "classic augmentation of the real images alone gave +1.0 points [−1.0, +3.0]"
    ]
    assert clauses(augmented(study, mixup=0.03)) == [
        "the augmentation mixup, the best of 2, of the real images alone gave +3.0 points [+1.0, "
        "+5.0]"
    ]
    mixed = changed(claimed(make_study()), "results", lambda row: row.ratio == 4, augment="classic")
    assert clauses(mixed) == []


def test_null_edits_say_what_the_fingerprint_does_and_what_is_left() -> None:
    of_one = [with_null_edits(claimed(make_study(e)), 0.01, 0.03, 1, 2) for e in ("a", "b")]
    said = (
        "its fingerprint alone (null edits: the real images passed through it unchanged) gave +1.0 "
        "points [−1.0, +3.0], not detected; without it +3.0 points [+1.0, +5.0] are left"
    )
    assert clauses(*of_one) == [said]
    assert clauses(of_one[0], ratio=4) == [f"at 1:2 {said}"]
    assert clauses(of_one[0], claimed(make_study("c"))) == [
        said.replace(", not", " (1 of 2 encoders), not")
    ]
    small = with_null_edits(claimed(make_study()), 0.05, 0.0, 1)
    assert clauses(small) == [
        "its fingerprint alone (null edits: the real images passed through it unchanged) gave +5.0 "
        "points [+3.0, +7.0]; without it 0.0 points [−2.0, +2.0] are left, not detected"
    ]
