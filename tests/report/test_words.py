"""The words of the report: made from values, and without drawing anything."""

from __future__ import annotations

import subprocess
import sys

import pytest
from makers import changed_config, make_study

from xprobe.report import words
from xprobe.report.answer import answer
from xprobe.report.words import Protocol
from xprobe.results.families import families
from xprobe.results.study import Study


@pytest.mark.parametrize("module", ["answer", "words", "study_section", "distance_section"])
def test_words_load_no_matplotlib(module: str) -> None:
    code = (
        f"import sys, xprobe.report.{module}\n"
        "print(*(name for name in sys.modules if name.startswith('matplotlib')))"
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
        ("leave-one-group-out cross-validation over 7 groups, 2 repeats", None, False, None),
        (f"{'9' * 5000}-fold cross-validation", None, False, None),
    ],
)  # fmt: skip
def test_a_protocol_is_read_once(
    text: str, short: str | None, hold_out: bool, folds: int | None
) -> None:
    assert Protocol.read(text) == Protocol(text, short or text, hold_out, folds)


def headline(*studies: Study) -> str:
    rows = [row for study in studies for row in study.results]
    return answer(studies, families(rows)).headline


def test_a_leak_goes_before_the_headline_which_then_begins_small() -> None:
    leaky = changed_config(make_study(), ignore_lineage=True)
    plain, said = headline(make_study()), headline(leaky)
    assert plain.startswith("Yes: adding synthetic images raised accuracy")
    assert said == f"{words.LINEAGE_IGNORED}. With the leak: yes: {plain.removeprefix('Yes: ')}"
