"""Rows that logistic regressions are solved on: all that the solver does is multiply by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from xprobe.base.arrays import Ints

# Products with many rows are twice as fast in blocks of so many, if the other factor is narrow.
_BLOCK = 1024

# More rows than this are multiplied in blocks, and their curvature is estimated on so many of them.
MANY = 8192


class Rows(Protocol):
    """Rows x (n, d) to multiply by; the last column, all ones, is that of the intercept."""

    @property
    def n(self) -> int:
        """Number of rows."""
        ...

    @property
    def d(self) -> int:
        """Number of columns."""
        ...

    @property
    def is_on_gpu(self) -> bool:
        """Whether a product takes less than to launch it, so that few wide ones are the fastest."""
        ...

    def times(self, w: Tensor) -> Tensor:
        """Return w xᵀ: (q, d) → (q, n)."""
        ...

    def gather(self, r: Tensor) -> Tensor:
        """Return r x: (q, n) → (q, d)."""
        ...

    def gather_squares(self, h: Tensor) -> Tensor:
        """Return h (x∘x): (q, n) → (q, d)."""
        ...

    def double(self) -> Rows:
        """Return the same rows in float64."""
        ...


@dataclass(frozen=True, eq=False)
class InMemory:
    """Rows of one tensor (n, d)."""

    x: Tensor

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.x.shape[0]

    @property
    def d(self) -> int:
        """Number of columns."""
        return self.x.shape[1]

    @property
    def is_on_gpu(self) -> bool:
        """Whether a product takes less than to launch it."""
        return self.x.is_cuda

    def times(self, w: Tensor) -> Tensor:
        """Return w xᵀ."""
        if not self._blocked:
            return w @ self.x.T
        z = w.new_empty(len(w), self.n)
        for columns, x in self._blocks():
            z[:, columns] = w @ x.T
        return z

    def gather(self, r: Tensor) -> Tensor:
        """Return r x."""
        if not self._blocked:
            return r @ self.x
        total = r.new_zeros(len(r), self.d)
        for columns, x in self._blocks():
            total.addmm_(r[:, columns], x)
        return total

    def gather_squares(self, h: Tensor) -> Tensor:
        """Return h (x∘x); with many rows it is estimated from a sample of them."""
        return squares_by_sample(h, *self._squares)

    def double(self) -> InMemory:
        """Return the same rows in float64."""
        return InMemory(self.x.double())

    @cached_property
    def _squares(self) -> tuple[Tensor, Tensor]:
        which = sample(self.n).to(self.x.device)
        x = self.x[which] if is_many(self.n) else self.x
        return which, x * x

    @property
    def _blocked(self) -> bool:
        return is_many(self.n) and not self.is_on_gpu

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        for first in range(0, self.n, _BLOCK):
            rows = slice(first, first + _BLOCK)
            yield rows, self.x[rows]


def is_many(n: int) -> bool:
    """Return whether so many rows are worth blocks, samples and a longer memory."""
    return n > MANY


def sample(n: int, most: int | None = None) -> Tensor:
    """Return at most `most` (None: `MANY`) of n rows, in order, always the same ones."""
    most = MANY if most is None else most
    drawn = np.arange(n) if n <= most else np.random.default_rng(0).choice(n, most, replace=False)
    return torch.from_numpy(np.sort(drawn))


def count_rows(rows: Ints, train: Ints) -> Ints:
    """Return how often each of the sorted rows occurs in `train`."""
    return np.bincount(np.searchsorted(rows, train), minlength=len(rows))


def squares_by_sample(h: Tensor, which: Tensor, squares: Tensor) -> Tensor:
    """Return h (x∘x), (q, n) → (q, d), estimated from the squares (m, d) of a sample of the rows.

    It serves the preconditioner, which need not be exact.
    """
    if len(which) == h.shape[1]:
        return h @ squares
    drawn = h[:, which]
    share = h.sum(1) / drawn.sum(1).clamp_(min=torch.finfo(h.dtype).tiny)
    return (drawn @ squares).mul_(share[:, None])
