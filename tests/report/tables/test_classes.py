"""classes.csv and confusion.csv say what a study says of its classes."""

from __future__ import annotations

from typing import Any

from makers import changed, make_study
from msgspec import structs

from xprobe.report.tables.classes import CLASSES, CONFUSION, classes, confusion
from xprobe.results.rows import ClassResult, SettingResult
from xprobe.results.study import Study

NAMES = ("cat", "dog", "eel")
COUNTS = ((5, 0, 2), (0, 0, 0), (1, 0, 0))


def make_classes() -> Study:
    """A study of three classes whose real-only predicts no dog, and one mix."""
    mix: dict[str, Any] = {"setting": "mix", "ratio": 2, "generator": "g"}
    rates: dict[str, Any] = {
        "recall": (0.1, 0.2, 0.3),
        "precision": (0.4, 0.5, 0.6),
        "f1": (0.7, 0.8, 0.9),
    }
    older = SettingResult(setting="real-only", confusion=COUNTS, recall=(5 / 7, 0, 0))
    settings = (older, SettingResult(**mix, confusion=COUNTS, **rates))
    judged = tuple(
        ClassResult(
            **mix, class_=name, difference=0.1 * i, low=-0.1, high=0.5, p_adjusted=0.2,
            verdict="helps", n_test=10 + i, n_groups=5,
        )
        for i, name in enumerate(NAMES)
    )  # fmt: skip
    return structs.replace(make_study(classes=NAMES), settings=settings, classes=judged)


def test_a_class_has_its_rates_and_its_difference_to_real_only() -> None:
    study = make_classes()
    rows = list(classes([study]))
    assert [(row["setting"], row["class"]) for row in rows] == [
        (setting, name) for setting in ("real-only", "mix") for name in NAMES
    ]
    assert all(row.keys() <= set(CLASSES) for row in rows)
    real, mix = rows[1], rows[5]
    names = ("recall", "precision", "f1", "n_test", "n_groups")
    assert [real[name] for name in names] == [0, None, None, 11, 5]
    assert "verdict" not in real
    assert [mix[name] for name in names] == [0.3, 0.6, 0.9, 12, 5]
    judged = ("difference", "difference_low", "difference_high", "p_adjusted", "verdict")
    assert [mix[name] for name in judged] == [0.2, -0.1, 0.5, 0.2, "helps"]
    assert (mix["encoder"], mix["head"], mix["ratio"], mix["study"]) == (
        "clip", "logistic", 2, study.key
    )  # fmt: skip


def test_a_class_has_the_word_of_the_page() -> None:
    study = make_classes()
    for part in ("classes", "settings"):
        study = changed(
            study, part, lambda row: row.setting == "mix", setting="synthetic-only", ratio=None
        )
    rows = list(classes([study]))
    assert {row.get("verdict") for row in rows} == {None, "better than real-only"}


def test_confusions_are_long_and_whole() -> None:
    rows = list(confusion([make_classes()]))
    assert all(set(row) == set(CONFUSION) for row in rows)
    cells = [(r["true"], r["predicted"], r["n"]) for r in rows if r["setting"] == "mix"]
    assert cells == [
        ("cat", "cat", 5), ("cat", "eel", 2), ("dog", "dog", 0), ("eel", "cat", 1),
        ("eel", "eel", 0),
    ]  # fmt: skip
    assert len(rows) == 2 * len(cells)


def test_a_study_without_rows_of_classes_has_its_rates_all_the_same() -> None:
    rows = list(classes([structs.replace(make_classes(), classes=())]))
    assert [row["recall"] for row in rows[3:]] == [0.1, 0.2, 0.3]
    assert all("n_test" not in row for row in rows)
