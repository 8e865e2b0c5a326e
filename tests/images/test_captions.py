"""Captions in a cell of a table: one text, or a JSON list of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xprobe.images.captions import captions_of, cell_of


@pytest.mark.parametrize(
    ("cell", "captions"),
    [
        ("", []), ("  ", []), ("a river", ["a river"]), ('["a", "b"]', ["a", "b"]), ("[]", []),
        ("[sic] a river", ["[sic] a river"]), ("[1, 2]", ["[1, 2]"]),
        pytest.param("[" * 100_000, ["[" * 100_000], id="deep"),
    ],
)  # fmt: skip
def test_a_cell_holds_one_caption_or_a_list(cell: str, captions: list[str]) -> None:
    assert captions_of(cell) == captions


@given(st.lists(st.text().filter(str.strip) | st.just('["a"]') | st.just("[")))
def test_captions_come_back_from_their_cell(captions: list[str]) -> None:
    assert captions_of(cell_of(captions)) == captions


def test_one_caption_is_a_plain_text() -> None:
    assert cell_of(["a river"]) == "a river"
    assert cell_of([]) == ""
