"""What a published set was taken as, and what its rows are where it does not say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.manifest import Row
from xprobe.images.sources.taken import filled_in, taken_as

DATA = Path("data")


def rows_of(*labels: str, **columns: str) -> list[Row]:
    return [{"path": f"{i}.png", "label": k, "source": ""} | columns for i, k in enumerate(labels)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (rows_of("a", "b"), "UC Merced, 2 classes × 1"),
        (rows_of("a", "a", "b"), "UC Merced, 2 classes × 1–2"),
        (rows_of(*(["a"] * 5000)), "UC Merced, 1 class × 5,000"),
        ([], "UC Merced, no images"),
        (
            [*rows_of("a"), *rows_of("a", split="val"), *rows_of("a", split="test")],
            "UC Merced, train: 1 class × 1; test: 1 class × 1; val: 1 class × 1",
        ),
        (
            [*rows_of("a", source="real"), *rows_of("a", source="synthetic", generator="sd")],
            "UC Merced, 1 class × 1 real; 1 class × 1 synthetic of sd",
        ),
        (rows_of("a", dataset="RSICD"), "RSICD (UC Merced), 1 class × 1"),
        ([*rows_of("a", dataset="RSICD"), *rows_of("a")], "UC Merced, 1 class × 2"),
    ],
)
def test_the_line_that_says_what_data_was_taken_as(rows: list[Row], said: str) -> None:
    assert taken_as("UC Merced", DATA, rows) == f"data: taken as: {said}"


def test_the_source_is_that_of_the_place_unless_the_set_says_it() -> None:
    rows = [*rows_of("a"), *rows_of("a", source="real")]
    assert [row["source"] for row in filled_in(rows, "synthetic", "x", DATA)] == [
        "synthetic", "real"
    ]  # fmt: skip


def test_synthetic_images_of_a_test_part_are_left_out() -> None:
    rows = [row for split in ("train", "val", "test", "extra") for row in rows_of("a", split=split)]
    assert len(filled_in(rows, "real", "x", DATA)) == 4
    with pytest.warns(XprobeWarning, match="data: 2 synthetic images of a test part left out"):
        kept = filled_in(rows, "synthetic", "x", DATA)
    assert [row["split"] for row in kept] == ["train", "val"]
    with pytest.raises(XprobeError, match="data: all of its synthetic images are of a test part"):
        filled_in(rows_of("a", split="test"), "synthetic", "x", DATA)


def test_the_name_and_the_licence_of_a_set() -> None:
    rows = [
        *rows_of("a"), *rows_of("a", dataset="RSICD"), *rows_of("a", licence="mine"),
        *rows_of("a", dataset="mine"),
    ]  # fmt: skip
    assert [
        (row["dataset"], row.get("licence")) for row in filled_in(rows, "real", "EuroSAT", DATA)
    ] == [("EuroSAT", "MIT"), ("RSICD", "unknown"), ("EuroSAT", "mine"), ("mine", None)]


def test_synthetic_images_in_the_form_of_a_set_are_none_of_it() -> None:
    rows = [*rows_of("a"), *rows_of("a", dataset="CIFAR-10"), *rows_of("a", dataset="hf:a/b@0")]
    kept = filled_in(rows, "synthetic", "EuroSAT", DATA)
    assert [(row.get("dataset", ""), row.get("licence")) for row in kept] == [
        ("", None), ("", None), ("hf:a/b@0", None),
    ]  # fmt: skip
    stated = filled_in(rows_of("a", source="synthetic"), "real", "CIFAKE", DATA)
    assert [(row["dataset"], row["licence"]) for row in stated] == [("CIFAKE", "MIT")]


@pytest.mark.parametrize("name", ["a/b", "a\nb", "a\x1b[31m", "a\u2028b"])
def test_a_class_that_no_folder_could_be_called_as_is_refused(name: str) -> None:
    with pytest.raises(
        XprobeError, match=r"data: the class '.*' holds a slash or a control"
    ) as error:
        filled_in(rows_of("b", name), "real", "x", DATA)
    assert str(error.value).isprintable()
    assert filled_in(rows_of("été", "a\u00a0b", "a b"), "real", "x", DATA)


@pytest.mark.parametrize("names", [("FAKE", "REAL"), ("ai", "nature"), ("real", "synthetic")])
def test_classes_that_tell_real_from_synthetic_are_told(names: tuple[str, str]) -> None:
    said = (
        f"data: its classes are {names[0]} and {names[1]}, and all of its images are taken as real"
    )
    with pytest.warns(XprobeWarning, match=said):
        filled_in(rows_of(*names), "real", "x", DATA)
    filled_in(rows_of(*names, source="real"), "real", "x", DATA)
    filled_in(rows_of(*names, "cat"), "real", "x", DATA)
