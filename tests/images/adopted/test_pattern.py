"""Patterns of file names: what they match, and what they cannot mean."""

from __future__ import annotations

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images.adopted.pattern import Pattern


@pytest.mark.parametrize(
    ("pattern", "path", "values"),
    [
        ("{event}_{number}_post_*", "x/flood_00000012_post_disaster.png", ("flood", "00000012")),
        ("{event}_{number}_post_*", "flood_00000012_post_rsedit.jpg", ("flood", "00000012")),
        ("{event}_{number}_post_*", "flood_00000012_pre_disaster.png", None),
        ("{event}__*", "flood__post.png", ("flood",)),
        # A field ends where the text after it stands first, whatever comes later.
        ("{event}_{rest}", "a_b_c.png", ("a", "b_c")),
        ("{event}_{number}_end", "a_b_c_end.png", ("a", "b_c")),
        ("*_{number}", "a_b_3.png", ("b_3",)),
        ("x-*-{number}", "x-a-b-3.png", ("b-3",)),
        ("{scene}", "tile.tif", ("tile",)),
        ("{scene}.png", "tile.jpeg", ("tile",)),
        ("{scene}.*", "tile.jpeg", ("tile",)),
        ("{scene}_v", "_v.png", None),
        ("{event}/{number}_*", "data/flood/7_gen.png", ("flood", "7")),
        ("{event}/{number}_*", "7_gen.png", None),
        ("{a}_{a}", "7_7.png", ("7",)),
        ("{a}_{a}", "7_8.png", None),
        ("tile({n})", "tile(4).png", ("4",)),
        ("*_{n}-q", "_a-q_b-q.png", ("b",)),
        ("{a}_*_{a}", "7_8_7.png", ("7",)),
        # Letters may be composed in one and not in the other.
        ("caf\u00e9_{n}", "cafe\u0301_1.png", ("1",)),
        ("cafe\u0301_{n}", "caf\u00e9_1.png", ("1",)),
        # With a search over all places of all stars this would not end.
        ("*_*_*_*_*_*_{n}_z", "_a" * 120, None),
    ],
)
def test_values_of_a_pattern(pattern: str, path: str, values: tuple[str, ...] | None) -> None:
    assert Pattern(pattern).values(path) == values


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("tile_*", "no field"),
        ("*", "no field"),
        ("{a}{b}", "right behind another"),
        ("{a}*", "right behind another"),
        ("*{a}", "right behind another"),
        ("{a}_{", "brace"),
        ("{}_x", "brace"),
        ("{a b}_x", "brace"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(XprobeError, match=said):
        Pattern(pattern)
