"""The picture of the answer: a verdict in each cell."""

from __future__ import annotations

from makers import changed, make_study
from msgspec import structs

from xprobe.report.matrix import comparison_words, judged_mixes, matrix_of, shown_study


def test_columns_are_generators_and_ratios_and_rows_learned_studies_first() -> None:
    floor = make_study("hog", source="builtin:hog", generators=("a", "b"), ratios=(1, 2))
    clip = make_study("clip", generators=("a",), ratios=(1, 4))
    matrix = matrix_of([floor, clip])
    assert matrix is not None
    assert matrix.generators == [("a", 3), ("b", 2)]
    assert matrix.ratios == ["1:1", "1:2", "1:4", "1:1", "1:2"]
    assert [(row.title, row.is_learned) for row in matrix.rows] == [("clip", True), ("hog", False)]
    assert [cell and cell.row.ratio for cell in matrix.rows[0].cells] == [1, None, 4, None, None]


def test_the_largest_difference_has_the_full_shade_and_noise_stays_pale() -> None:
    study = make_study(generators=("a",), ratios=(1, 2), effect={"a": -0.1})
    matrix = matrix_of([study])
    assert matrix is not None
    (row,) = matrix.rows
    assert [round(cell.shade, 3) for cell in row.cells if cell] == [-1, -1]
    pale = matrix_of([make_study(ratios=(1,), effect=0.002)])
    assert pale is not None
    (cell,) = pale.rows[0].cells
    assert cell is not None
    assert round(cell.shade, 2) == 0.1
    assert pale.scale == 2


def test_without_a_judged_mix_there_is_no_matrix() -> None:
    study = make_study(ratios=(1,))
    assert matrix_of([changed(study, "results", lambda row: True, verdict=None)]) is None
    assert matrix_of([]) is None


def test_the_study_looked_at_first_is_learned_whole_and_of_the_default_head() -> None:
    floor = make_study("hog", source="builtin:hog")
    clip = make_study("clip")
    ridge = structs.replace(clip, config=structs.replace(clip.config, head="ridge"))
    half = structs.replace(clip, config=structs.replace(clip.config, real_fraction=0.5))
    assert shown_study([floor, ridge, half, clip]) is clip
    assert shown_study([floor, half, ridge]) is ridge
    assert shown_study([floor, half]) is half
    assert shown_study([floor]) is floor
    assert shown_study([]) is None


def test_a_comparison_as_one_line() -> None:
    study = make_study(ratios=(2,), effect=0.05, half=0.02)
    (row,) = judged_mixes(study)
    assert comparison_words(study, row).startswith(
        "clip · default · 1:2 (160 of these synthetic images added to 80 real ones): +5.0 points "
        "[+3.0, +7.0], helps; p "
    )
