"""Paths over C: in which order their values are solved, and what each one starts from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xprobe.base.arrays import Floats
from xprobe.learners.logistic.solver import Start

_KNOTS = 4  # values of C, at least, in the first wave of a path


def stack(starts: Sequence[Start]) -> Start:
    """Put starts together along a new first axis."""

    def stack(parts: list[Tensor | None]) -> Tensor | None:
        known = [part for part in parts if part is not None]
        return torch.stack(known) if known else None

    return Start(
        torch.stack([s.coefficients for s in starts]),
        stack([s.logits for s in starts]),
        stack([s.curvature for s in starts]),
        stack([s.stretch for s in starts]),
    )


def interpolate(
    now: Start, start: Start, i: int, known: Sequence[int], share: Sequence[float]
) -> None:
    """Add to what is not solved yet, value i of C, what the known ones deviate from their start.

    Logits are linear in the coefficients, so they need no product.
    """
    for q, s in zip(known, share, strict=True):
        now.coefficients[:, i] += s * (now.coefficients[:, q] - start.coefficients[:, q])
        if now.logits is not None and start.logits is not None:
            now.logits[:, i] += s * (now.logits[:, q] - start.logits[:, q])


def waves(m: int) -> list[list[int]]:
    """Return the order in which m values are solved: both ends and coarse knots, then halving."""
    stride = 1
    while m / (2 * stride) >= _KNOTS:
        stride *= 2
    found = [sorted({0, *range(m - 1, -1, -stride)})]
    while stride > 1:
        stride //= 2
        done = {i for wave in found for i in wave}
        found.append([i for i in range(m - 1, -1, -stride) if i not in done])
    return found


def cubic(known: Floats, at: float) -> tuple[list[int], list[float]]:
    """Return which of ascending values lie nearest around `at`, and their Lagrange shares."""
    right = int(np.searchsorted(known, at))
    first = max(0, min(right - 2, len(known) - 4))
    near = list(range(first, min(first + 4, len(known))))
    share = [
        float(np.prod([(at - known[q]) / (known[p] - known[q]) for q in near if q != p]))
        for p in near
    ]
    return near, share


def shifted(path: Start, log_c: Floats, shift: float) -> Start:
    """Return a path (m, …) at log C + shift, linear between its values, constant beyond.

    What a sum of losses over fewer rows makes of a C: fewer rows act as a smaller one.
    """
    if len(log_c) == 1:
        return path.map(torch.clone)
    right = np.clip(np.searchsorted(log_c, log_c + shift), 1, len(log_c) - 1)
    share = (log_c + shift - log_c[right - 1]) / (log_c[right] - log_c[right - 1])
    t = path.coefficients.new_tensor(np.clip(share, 0, 1))[:, None, None]

    def at(values: Tensor) -> Tensor:
        return t * values[right] + (1 - t) * values[right - 1]

    logits = None if path.logits is None else at(path.logits)
    return Start(at(path.coefficients), logits, path.curvature, path.stretch)
