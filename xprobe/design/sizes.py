"""Numbers of real images for a learning curve: how near each other they must be.

Pure Python, since the command line reads it before anything heavy is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

MOST_APART = 1.6
"""How many times the smaller one of two neighbouring sizes the larger one may be.

A learning curve is concave in the logarithm of the size, so that a line between two sizes lies
below it, and synthetic images seem to be worth too much: between 20 and 80 by about half. A fitted
curve a − b·n^−c is no way out: over 5, 10, 20, 40 and 80 the medians of its values were up to 1.5
times the truth in simulated studies (docs/concepts/protocol.md, "Data value").
"""


def are_close(sizes: Sequence[float]) -> bool:
    """Return whether neighbours of ascending sizes are close enough for a line between them."""
    return all(_is_close(a, b) for a, b in pairwise(sizes))


def closer_sizes(sizes: Sequence[int]) -> list[int]:
    """Return sizes, ascending, with as many further ones between them as make neighbours close.

    The smallest size becomes 2 if it is 1, which no other size is close to.
    """
    wanted = sorted({max(2, size) for size in sizes})
    closer = wanted[:1]
    for size in wanted[1:]:
        while not _is_close(last := closer[-1], size):
            steps = math.ceil(math.log(size / last) / math.log(MOST_APART))
            middle = round(last * (size / last) ** (1 / steps))
            closer.append(min(middle, int(MOST_APART * last)))
        closer.append(size)
    return closer


def _is_close(a: float, b: float) -> bool:
    return b <= MOST_APART * a
