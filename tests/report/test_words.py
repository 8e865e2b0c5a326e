"""The words of the report: made from values, and without drawing anything."""

from __future__ import annotations

import subprocess
import sys

import pytest
from makers import make_row, make_study
from msgspec import structs

from xprobe.report import words
from xprobe.report.words import Protocol
from xprobe.results.rows import Result


def test_words_load_no_matplotlib_and_of_scipy_little() -> None:
    """Every command that shows or judges results would wait for these for a second or more."""
    slow = ("matplotlib", "scipy.stats", "scipy.optimize", "torch")
    code = (
        "import sys, xprobe.design.power, xprobe.study.sweep\n"
        "from xprobe.report import answer, distance_section, headline, study_section, words\n"
        f"print(*(name for name in sys.modules if name.startswith({slow})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_titles_are_those_of_head_and_part() -> None:
    assert words.family_title("e", "logistic", (1.0, None)) == "e"
    assert words.family_title("e", "logistic", (0.5, None), "g") == "e · 50 % of real · g"
    assert words.family_title("e", "knn", (1.0, 20)) == "e · knn head, 20 real of each class"
    assert words.family_title("e", "finetune", (1.0, None)) == "e · finetune"


@pytest.mark.parametrize(
    ("text", "short", "hold_out", "folds"),
    [
        ("5-fold cross-validation, 10 repeats", None, False, 5),
        ("fixed hold-out, 1 repeat, 50 % of the real training images", "fixed hold-out, 1 repeat",
         True, None),
        ("fixed hold-out, 1 repeat, errors over 4 events, 9 of each class of the real training "
         "images", "fixed hold-out, 1 repeat, errors over 4 events", True, None),
        ("leave-one-group-out cross-validation over 7 groups, 2 repeats", None, False, None),
        (f"{'9' * 5000}-fold cross-validation", None, False, None),
    ],
)  # fmt: skip
def test_a_protocol_is_read_once(
    text: str, short: str | None, hold_out: bool, folds: int | None
) -> None:
    assert Protocol.read(text) == Protocol(text, short or text, hold_out, folds)


def mix(difference: float = 0.05, **fields: object) -> Result:
    """A judged mix 1:2 of 80 real images; `fields` are what it has otherwise."""
    names = {"setting": "mix", "ratio": 2, "generator": "default"}
    row = make_row("clip", names, "accuracy", difference, 0.02, 0.2, "5-fold cross-validation")
    return structs.replace(row, **fields)


def test_a_certain_difference_may_be_less_than_the_margin() -> None:
    assert words.verdict_words(mix()) == "helps, by less than the margin"
    assert words.verdict_words(mix(-0.05)) == "hurts, by less than the margin"
    assert words.verdict_words(mix(within_margin=False)) == "helps"
    assert words.verdict_words(mix(within_margin=None)) == "helps"
    # The word of an equivalence says it already.
    assert words.verdict_words(mix(0.0)) == "equivalent within ±20 points"
    only = mix(setting="synthetic-only", ratio=None, verdict="hurts")
    assert words.verdict_words(only) == "worse than real-only, by less than the margin"
    apart = mix(verdict="not separable from training longer")
    assert words.verdict_words(apart) == "not separable from training longer"


def test_the_family_p_has_the_study_wide_one_beside_it() -> None:
    assert words.p_words(mix(p_adjusted=0.0123, p_study_wide=0.0456)) == (
        "p 0.012 in its family, 0.046 study-wide"
    )
    assert words.p_words(mix(p_adjusted=0.0123)) == "p 0.012 in its family alone"
    only = mix(setting="synthetic-only", ratio=None)
    assert words.p_words(only) == "p < 0.001 in its family"


def test_a_control_is_told_with_the_interval_that_is_judged() -> None:
    assert words.control_words(mix()) == ""
    row = mix(control_difference=-0.03, control_low=-0.05, control_high=-0.01)
    said = "−3.0 points [−5.0, −1.0] against its control"
    assert words.control_words(structs.replace(row, judged_low=None, judged_high=None)) == said
    row = structs.replace(row, judged_low=-0.05, judged_high=0.07)
    assert words.control_words(row) == f"{said}, judged by [−5.0, +7.0]"


def test_images_are_counted_and_called_these() -> None:
    real = make_study().real_only
    added = "160 of these synthetic images added to 80 real ones"
    assert words.images_words(mix(), real) == added
    assert words.images_words(mix(synthetic_units=None), real) == added  # of version 1
    assert words.images_words(mix(synthetic_units=40.0), real) == (
        "160 of these synthetic images, made of 40, added to 80 real ones"
    )
    only = mix(setting="synthetic-only", ratio=None, n_train_real=0.0)
    assert words.images_words(only, real) == (
        "160 of these synthetic images in place of 80 real ones"
    )
    augmented = mix(n_train_synthetic=0.0, synthetic_units=0.0)
    assert words.images_words(augmented, real) == "80 real images"


def test_images_are_whole() -> None:
    assert [words.count(n) for n in (1234.0, 80, 666.7, 2.4)] == [
        "1,234", "80", "about 667", "about 2",
    ]  # fmt: skip
    real = structs.replace(make_study().real_only, n_train_real=666.7)
    assert words.images_words(mix(n_train_synthetic=1333.3, synthetic_units=40.0), real) == (
        "about 1,333 of these synthetic images, made of 40, added to about 667 real ones"
    )


def test_studies_that_are_not_shown_are_counted() -> None:
    assert words.left_out_note(1, 0) == "1 other study of these results is not shown"
    assert words.left_out_note(1, 1).endswith(" is not shown, but counts in the study-wide p")
    assert words.left_out_note(3, 0) == "3 other studies of these results are not shown"
    assert words.left_out_note(3, 1).endswith("shown; 1 of them counts in the study-wide p")
    assert words.left_out_note(3, 2).endswith("shown; 2 of them count in the study-wide p")
    assert words.left_out_note(3, 3).endswith("shown; all count in the study-wide p")


def test_the_properties_that_tell_a_generator_stand_in_one_sentence() -> None:
    told = "Real and generator g can be told apart by"
    aucs: dict[str | None, float | None] = {"width": 0.8}
    assert words.shortcut_sentence("g", aucs) == f"{told} width alone (AUC 0.80)."
    aucs |= {"JPEG quality": 0.97, "height": None, None: 1.0}
    assert words.shortcut_sentence("g", aucs) == (
        f"{told} each of width, JPEG quality and height alone (AUC 0.80 to 0.97), and by all file "
        f"properties together (AUC 1.00)."
    )
    assert words.shortcut_sentence("g", {None: None}) == f"{told} all file properties together."


def test_a_moment_is_read_to_the_minute() -> None:
    assert words.moment("2026-01-02T18:25:58.675637+00:00") == "2026-01-02 18:25 UTC"
    assert words.moment("2026-01-02T18:25:58+02:00") == "2026-01-02T18:25:58+02:00"
    assert words.moment("") == ""
