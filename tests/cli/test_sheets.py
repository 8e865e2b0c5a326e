"""Tables in a terminal of any width: no number is broken, and columns go before that."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import changed, claimed, make_study
from rich.cells import cell_len

from xprobe.cli.sheets import LONG_WORD, Sheet, draw
from xprobe.cli.tables import of_families, of_family, side_by_side, table
from xprobe.results.families import families

LONG = "timm:tf_efficientnet_lite0/home/somebody/weights/lite0.safetensors"


def test_a_wide_terminal_shows_all_as_it_is() -> None:
    sheet = table("of two", ["name", "n", "span"], [["a", 7, "+5.0 [+3.0, +7.0]"], [None, 12, ""]])
    assert draw(sheet, 160).lines == (
        "of two",
        "name   n  span",
        "────  ──  ─────────────────",
        "a      7  +5.0 [+3.0, +7.0]",
        "–     12",
        "",
    )
    assert draw(sheet, 160).left_out == ()


def test_long_names_lose_their_middle_before_a_column_goes() -> None:
    sheet = table("t", ["name", "n", "least"], [[LONG, 1, 2]], ["least"])
    assert draw(sheet, 80).lines[3].startswith(f"{LONG}  1")
    drawn = draw(sheet, 40)
    assert drawn.left_out == ()
    assert drawn.lines[3].split() == ["timm:tf_effi…safetensors", "1", "2"]
    assert len(drawn.lines[3].split()[0]) == LONG_WORD


def test_the_least_important_columns_go_first_and_are_named() -> None:
    names = ["name", "one", "two", "three"]
    sheet = table("t", names, [["a" * 8, "1" * 9, "2" * 9, "3" * 9]], ["three", "one"])
    assert draw(sheet, 50).left_out == ()
    assert draw(sheet, 30).left_out == ("three",)
    drawn = draw(sheet, 19)
    assert drawn.left_out == ("one", "three")
    assert drawn.lines[1].split() == ["name", "two"]


def test_columns_that_cannot_go_follow_beside_the_first_one_again() -> None:
    sheet = table("t", ["name", "one", "two"], [["real-only", "1" * 9, "2" * 9]])
    assert [line.split() for line in draw(sheet, 22).lines if line and line[0] not in "t─"] == [
        ["name", "one"], ["real-only", "1" * 9], ["name", "two"], ["real-only", "2" * 9],
    ]  # fmt: skip


def test_a_study_of_fine_tunes_keeps_its_verdicts_whole_at_80_columns() -> None:
    study = claimed(
        changed(
            make_study(LONG, ratios=(2,)), "results", lambda row: row.setting == "mix",
            control_difference=-0.06, control_low=-0.08, control_high=-0.04, judged_low=-0.08,
            judged_high=0.07,
        )
    )  # fmt: skip
    drawn = draw(of_family(study, "default"), 80)
    text = "\n".join(drawn.lines)
    assert "+5.0 [+3.0, +7.0]" in text
    assert "−6.0 [−8.0, −4.0]" in text
    assert "±2.8" in text
    assert "synthetic-only" in text
    assert set(drawn.left_out) == {"95 %", "p", "judged by", "study-wide p"}


def test_heads_keep_the_study_wide_p_at_80_columns() -> None:
    drawn = draw(of_family(claimed(make_study(LONG), p=0.0456), "default"), 80)
    assert set(drawn.left_out) == {"95 %", "p"}
    assert "0.046" in "\n".join(drawn.lines)


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_broken(width: int) -> None:
    studies = [
        claimed(make_study(name)) for name in ("clip-vit-b32", LONG, "日本語の長い名前", "d")
    ]
    sheets = [
        *(of_family(study, "default") for study in studies), side_by_side(studies, "default"),
        of_families(families([row for study in studies for row in study.results])),
    ]  # fmt: skip
    for sheet in sheets:
        lines = draw(sheet, width).lines
        assert max(map(cell_len, lines)) <= width
        shown = set(re.findall(r"[-+±]?\d+\.\d+", " ".join(lines)))
        assert shown <= set(re.findall(r"[-+±]?\d+\.\d+", " ".join(map(" ".join, sheet.rows))))


@given(
    cells=st.lists(
        st.tuples(*[st.text(st.sampled_from("ab1.[]-, 日é"), max_size=20)] * 3), min_size=1
    ),
    width=st.integers(1, 60),
)
def test_every_table_is_drawn_within_any_width(
    cells: list[tuple[str, str, str]], width: int
) -> None:
    lines = draw(Sheet("title", ("one-two", "b", "c"), tuple(cells), ("c",)), width).lines
    assert width < 9 or max(map(cell_len, lines)) <= width
