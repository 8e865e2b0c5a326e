"""Paths over C: the order in which the values of C are solved, and the start of each of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xprobe.base.arrays import Floats
from xprobe.learners.logistic.solver import Start

# The first wave of a path has at least this many values of C.
_FIRST_WAVE = 4


def stack(starts: Sequence[Start]) -> Start:
    """Put starts together along a new first axis."""

    def stack_known(parts: list[Tensor | None]) -> Tensor | None:
        known = [part for part in parts if part is not None]
        return torch.stack(known) if known else None

    return Start(
        torch.stack([s.coefficients for s in starts]),
        stack_known([s.logits for s in starts]),
        stack_known([s.curvature for s in starts]),
        stack_known([s.stretch for s in starts]),
    )


def interpolate(
    now: Start, start: Start, i: int, known: Sequence[int], share: Sequence[float]
) -> None:
    """Move value i of C, not solved yet, by how far the known values moved from their start.

    Their moves count by `share`. Logits are linear in the coefficients and move alike, which saves
    a product with the rows.
    """
    for q, s in zip(known, share, strict=True):
        now.coefficients[:, i] += s * (now.coefficients[:, q] - start.coefficients[:, q])
        if now.logits is not None and start.logits is not None:
            now.logits[:, i] += s * (now.logits[:, q] - start.logits[:, q])


def waves(m: int, at_once: bool = False) -> list[list[int]]:
    """Return the waves in which m values are solved: the ends and coarse knots, then halvings.

    Solved `at_once`, all are one wave: more passes for some of them, but fewer for all together.
    """
    if at_once:
        return [list(range(m))]
    stride = 1
    while m / (2 * stride) >= _FIRST_WAVE:
        stride *= 2
    order = [sorted({0, *range(m - 1, -1, -stride)})]
    while stride > 1:
        stride //= 2
        solved = {i for wave in order for i in wave}
        order.append([i for i in range(m - 1, -1, -stride) if i not in solved])
    return order


def cubic(known: Floats, x: float) -> tuple[list[int], list[float]]:
    """Return the positions of four ascending values around x, and their shares in the cubic at x.

    The shares are Lagrange's. Fewer values give a polynomial of lower degree.
    """
    right = int(np.searchsorted(known, x))
    first = max(0, min(right - 2, len(known) - 4))
    positions = list(range(first, min(first + 4, len(known))))
    share = [
        float(np.prod([(x - known[q]) / (known[p] - known[q]) for q in positions if q != p]))
        for p in positions
    ]
    return positions, share


def shifted(path: Start, log_c: Floats, shift: float) -> Start:
    """Return a path (m, …) read at log C + shift, linear between its values, constant beyond.

    The objective is a sum of losses over rows, so that fewer rows act like a smaller C.
    """
    if len(log_c) == 1:
        return path.map(torch.clone)
    right = np.clip(np.searchsorted(log_c, log_c + shift), 1, len(log_c) - 1)
    share = (log_c + shift - log_c[right - 1]) / (log_c[right] - log_c[right - 1])
    t = path.coefficients.new_tensor(np.clip(share, 0, 1))[:, None, None]

    def blend(values: Tensor) -> Tensor:
        return t * values[right] + (1 - t) * values[right - 1]

    logits = None if path.logits is None else blend(path.logits)
    return Start(blend(path.coefficients), logits, path.curvature, path.stretch)
