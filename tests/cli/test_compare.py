"""``xprobe compare``: a table that fits 80 columns, JSON, and errors in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from makers import Ran, error_of, make_study
from msgspec import structs

from xprobe.cli import sheets, tables
from xprobe.results.study import save_study
from xprobe.study.beside import BesideRow, StudyPair


def test_values_stand_side_by_side_with_the_reason(
    tmp_path: Path, xprobe: Callable[..., Ran]
) -> None:
    study = structs.replace(make_study(ratios=(1,)), version=1)
    save_study(tmp_path / "a", study)
    save_study(tmp_path / "b", study)
    ran = xprobe("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"A: {tmp_path}/a\nB: {tmp_path}/b\n")
    assert "clip · logistic head · generator default · accuracy, %" in " ".join(ran.out.split())
    assert "not paired: a and b: of version 1, which kept no single images" in ran.out
    document = xprobe("compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json").json
    assert document["pairs"][0]["rows"][0]["setting"] == "real-only"
    assert not document["pairs"][0]["is_paired"]


def test_errors_are_one_line(tmp_path: Path, xprobe: Callable[..., Ran]) -> None:
    save_study(tmp_path / "a", make_study())
    assert "no results; run 'xprobe sweep'" in error_of(
        xprobe("compare", "none", str(tmp_path / "a"))
    )
    assert "are the same folder" in error_of(xprobe("compare", str(tmp_path), str(tmp_path)))


def test_numbers_stay_whole_at_80_columns() -> None:
    row = BesideRow(
        setting="mix", ratio=1.5, augment="copy-paste", generator_a="g", generator_b="g",
        value_a=0.9512, value_b=0.8234, difference=-0.1278, low=-0.1612, high=-0.1044, p=0.0001,
        verdict="no detectable difference",
    )  # fmt: skip
    pair = StudyPair(
        encoder="clip", head="logistic", real_fraction=1, train_per_class=None, study_a="1",
        study_b="2", n_train_a=80, n_train_b=80, n_test_a=100, n_test_b=100, is_paired=True,
        why="", rows=(row,),
    )  # fmt: skip
    drawn = sheets.draw(tables.of_pair(pair)[0], 80)
    (line,) = [line for line in drawn.lines if "copy-paste" in line]
    assert line.split("  ")[0].strip() == "1:1.5 + copy-paste"
    assert "−12.8 [−16.1, −10.4]" in line
    assert "not detected" in line
