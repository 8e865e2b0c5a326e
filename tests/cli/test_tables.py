"""Tables for a terminal say what the report says."""

from __future__ import annotations

import subprocess
import sys

from makers import changed, claimed, make_study, with_null_edits

from xprobe.cli.sheets import Sheet
from xprobe.cli.tables import of_counts, of_families, of_family, of_place, side_by_side
from xprobe.images.survey import Count
from xprobe.results.distance import PlaceRow
from xprobe.results.families import families


def read(sheet: Sheet) -> tuple[list[str], dict[str, list[str]]]:
    """The columns of a table, and its rows by their first cell."""
    return list(sheet.columns), {row[0]: list(row[1:]) for row in sheet.rows}


def test_what_only_lists_loads_no_scipy() -> None:
    code = "import sys\nimport xprobe.cli.outputs, xprobe.cli.tables\nprint('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_counts_have_a_row_a_class_and_a_column_each_part() -> None:
    def count(label: str, n: int, split: str = "train", **of: str) -> Count:
        source = "synthetic" if of else "real"
        return Count(class_=label, source=source, split=split, n=n, **of)

    rows = [
        count("a", 1000, "extra"), count("a", 7, "test"), count("a", 20),
        count("a", 4, generator="sd"), count("a", 2, generator="sd", control="null-edit"),
        count("b", 30), count("b", 5, generator="sd"), count("b", 6, generator="default"),
    ]  # fmt: skip
    sheet = of_counts(rows)
    columns, cells = read(sheet)
    assert sheet.title == "1,074 images of 2 classes"
    assert columns == [
        "class", "real train", "real test", "real extra", "sd", "sd null-edit", "synthetic"
    ]  # fmt: skip
    assert cells == {
        "a": ["20", "7", "1000", "4", "2", "–"], "b": ["30", "–", "–", "5", "–", "6"],
        "all": ["50", "7", "1000", "9", "2", "6"],
    }  # fmt: skip


def test_a_mix_has_the_study_wide_p_beside_its_familys() -> None:
    study = claimed(make_study(ratios=(2,), margin=0.2), p=0.0456)
    columns, rows = read(of_family(study, "default"))
    assert columns == [
        "setting", "accuracy", "95 %", "minus real-only", "p", "study-wide p", "verdict",
        "detectable",
    ]  # fmt: skip
    assert rows["mix 1:2"] == [
        "75.0", "[72.0, 78.0]", "+5.0 [+3.0, +7.0]", "< 0.001", "0.046",
        "helps, by less than the margin", "±2.8",
    ]  # fmt: skip
    assert rows["real-only"] == ["70.0", "[67.0, 73.0]", *["–"] * 5]
    assert rows["synthetic-only"][3:5] == ["< 0.001", "–"]
    columns, _ = read(of_family(make_study(source="builtin:hog"), "default"))
    assert "study-wide p" not in columns


def test_a_control_has_the_judged_interval_beside_it() -> None:
    study = changed(
        make_study(ratios=(2,)), "results", lambda row: row.setting == "mix" and row.verdict,
        control_difference=-0.06, control_low=-0.08, control_high=-0.04, judged_low=-0.08,
        judged_high=0.07, p_adjusted=1.0, verdict="not separable from training longer",
    )  # fmt: skip
    columns, rows = read(of_family(study, "default"))
    assert columns[3:7] == ["minus real-only", "minus its control", "judged by", "p"]
    assert rows["mix 1:2"][2:] == [
        "+5.0 [+3.0, +7.0]", "−6.0 [−8.0, −4.0]", "[−8.0, +7.0]", "1.000",
        "not separable from training longer", "±2.8",
    ]  # fmt: skip
    assert rows["synthetic-only"][3:5] == ["–", "–"]


def test_a_value_without_an_interval_is_shown_alone() -> None:
    study = changed(make_study(), "results", lambda _row: True, ci_low=None, ci_high=None)
    assert read(of_family(study, "default"))[1]["real-only"][:2] == ["70.0", "–"]


def test_families_say_of_what_they_are() -> None:
    study = claimed(make_study(), p=0.0456)
    _, rows = read(of_families(families(study.results)[:1]))
    assert rows["clip"] == ["logistic head", "default", "mix", "< 0.001", "0.046"]
    _, rows = read(of_families(families(study.results)[1:]))
    assert rows["clip"] == ["logistic head", "default", "synthetic-only", "< 0.001", "–"]


def test_side_by_side_a_small_difference_is_said_to_be_small() -> None:
    studies = [make_study("a", margin=0.2), make_study("b")]
    columns, rows = read(side_by_side(studies, "default"))
    assert columns == ["setting", "a, logistic head", "b, logistic head"]
    assert rows["1:2"] == ["75.0 helps, by less than the margin", "75.0 helps"]


def test_what_is_known_from_the_place_stands_in_a_row_of_each_encoder() -> None:
    row = PlaceRow(
        encoder="timm:vit/weights.pt", alias="vit", after=0.875, before=0.75, chance=0.5,
        share=2 / 3, low=0.65, high=0.85, n=40,
    )  # fmt: skip
    columns, rows = read(of_place([row]))
    assert columns[1:] == ["after", "before", "chance", "share of the place", "scenes", "verdict"]
    assert rows == {"vit": ["87.5", "75.0 [65.0, 85.0]", "50.0", "67 %", "40", "knows the place"]}


def test_a_mix_has_what_is_left_without_the_fingerprint_beside_it() -> None:
    columns, rows = read(of_family(with_null_edits(make_study(), 0.01, 0.03, 2), "default"))
    place = columns.index("minus null edits") - 1
    assert columns[place] == "minus real-only"
    assert rows["mix 1:2"][place] == "+3.0 [+1.0, +5.0]"
    assert {rows[title][place] for title in rows if title != "mix 1:2"} == {"–"}
    assert rows["1:2 null edit"][:place] == ["71.0", "[72.0, 78.0]", "+1.0 [−1.0, +3.0]"]
