"""Which classes gain, and what fewer real images change."""

from __future__ import annotations

from makers import changed, changed_config, claimed, make_study
from msgspec import structs

from xprobe.report.finding import find
from xprobe.report.gains import class_sentences, size_sentence
from xprobe.report.panel import panels
from xprobe.results.rows import ClassResult
from xprobe.results.study import Study


def with_classes(study: Study, **differences: float) -> Study:
    """The same study with recalls of classes at 1:1; those of more than 2 points are detected."""
    rows = []
    for name, difference in differences.items():
        verdict = "helps" if difference > 0 else "hurts"
        rows.append(
            ClassResult(
                setting="mix", ratio=1, generator="default", class_=name, difference=difference,
                low=difference - 0.02, high=difference + 0.02, p_adjusted=0.01, n_test=60,
                n_groups=60,
                verdict=verdict if abs(difference) > 0.02 else "no detectable difference",
            )
        )  # fmt: skip
    return structs.replace(study, classes=tuple(rows))


def sentence(*studies: Study) -> str:
    (panel,) = panels(studies)
    (said,) = class_sentences([find(panel, 3)])
    return said


def test_classes_that_gain_and_lose_are_named_the_largest_first() -> None:
    study = with_classes(claimed(make_study()), cat=0.03, dog=-0.05, owl=0.06, emu=0.01)
    assert sentence(study) == (
        "Classes with generator default at 1:1 with 40 real images a class, gain: owl +6.0, cat "
        "+3.0; lose: dog −5.0."
    )


def test_of_several_encoders_it_is_said_with_how_many() -> None:
    a = with_classes(claimed(make_study("a")), cat=0.03)
    b = with_classes(claimed(make_study("b")), cat=0.01)
    assert sentence(a, b).endswith(", gain: cat +3.0 (1 of 2).")
    (panel,) = panels([claimed(make_study())])
    assert class_sentences([find(panel, 3)]) == []


def test_generators_of_which_no_class_changes_share_a_sentence() -> None:
    study = with_classes(claimed(make_study(generators=("x", "y", "z"))), cat=0.0)
    (row,) = study.classes
    rows = [structs.replace(row, generator=g) for g in ("x", "y", "z")]
    rows[1] = structs.replace(rows[1], verdict="helps", difference=0.03)
    findings = [find(panel, 3) for panel in panels([structs.replace(study, classes=tuple(rows))])]
    assert class_sentences(findings) == [
        "Classes with generator y at 1:1 with 40 real images a class, gain: cat +3.0.",
        "No class was detected to gain or lose with generator x at 1:1, z at 1:1, with 40 real "
        "images a class.",
    ]


def test_many_classes_are_counted() -> None:
    study = with_classes(claimed(make_study()), **{f"c{i}": 0.03 + i / 100 for i in range(7)})
    assert sentence(study).endswith("gain: c6 +9.0, c5 +8.0, c4 +7.0, c3 +6.0, c2 +5.0 and 2 more.")


def of_size(study: Study, n: int) -> Study:
    sized = changed(study, "results", lambda _row: True, n_train_real=2.0 * n)
    return structs.replace(changed_config(sized, train_per_class=n), key=str(n))


def test_a_curve_of_sizes_is_told_beside_the_answer() -> None:
    whole = claimed(make_study())
    studies = [of_size(make_study(effect=0.08), 10), of_size(make_study(effect=0.06), 20), whole]
    (panel,) = panels(studies)
    assert panel.studies == (whole,)
    assert size_sentence(find(panel, 3), studies) == (
        "These synthetic images of generator default at 1:1 by the number of real ones (clip, "
        "points; parts of the real images claim nothing study-wide): +8.0 with 10 real images a "
        "class; +6.0 with 20 real images a class; +5.0 with 40 real images a class."
    )
    assert size_sentence(find(panel, 3), [whole]) == ""
