"""Sizes of a learning curve: which are close enough, and what to add."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xprobe.design.sizes import MOST_APART, are_close, closer_sizes


@pytest.mark.parametrize(
    ("sizes", "close"),
    [
        ((20, 30, 45, 60, 80), True),
        ((5, 8), True),  # just so far apart as may be
        ((35, 56), True),
        ((20, 33), False),
        ((20, 80), False),
        ((20, 40, 60, 80), False),
        ((1, 2), False),
        ((7,), True),
    ],
)
def test_neighbouring_sizes_are_at_most_so_far_apart(sizes: tuple[int, ...], close: bool) -> None:
    assert are_close(sizes) == close


@pytest.mark.parametrize(
    ("sizes", "closer"),
    [
        ((20, 80), [20, 32, 51, 80]),
        ((20, 40, 60, 80), [20, 28, 40, 60, 80]),
        ((80, 20, 45, 60, 30), [20, 30, 45, 60, 80]),
        ((2, 4), [2, 3, 4]),
        ((1, 3), [2, 3]),
        ((10, 10), [10]),
    ],
)
def test_sizes_between_make_neighbours_close(sizes: tuple[int, ...], closer: list[int]) -> None:
    assert closer_sizes(sizes) == closer


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=5))
def test_closer_sizes_are_close_few_and_hold_the_sizes(sizes: list[int]) -> None:
    closer = closer_sizes(sizes)
    assert are_close(closer)
    assert closer == sorted(set(closer))
    assert set(closer) >= {max(2, size) for size in sizes}
    assert closer_sizes(closer) == closer
    # Rounding to whole images costs a step or two where sizes are small.
    span = np.log(closer[-1] / closer[0])
    assert len(closer) <= len(set(sizes)) + 3 + span / np.log(MOST_APART)
