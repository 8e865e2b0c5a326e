"""Rows that logistic regressions are solved on: all that the solver does is multiply by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1024  # rows: narrow products with many are twice as fast in blocks

MANY = 8192  # rows: more are multiplied in blocks, and their curvature is that of so many


class Rows(Protocol):
    """Rows x (n, d), the last column the intercept's, all ones; only ever multiplied."""

    @property
    def n(self) -> int:
        """Number of rows."""
        ...

    @property
    def d(self) -> int:
        """Number of columns."""
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

    def times(self, w: Tensor) -> Tensor:
        """Return w xᵀ."""
        if not self._blocked:
            return w @ self.x.T
        z = w.new_empty(len(w), self.n)
        for of, x in self._blocks():
            z[:, of] = w @ x.T
        return z

    def gather(self, r: Tensor) -> Tensor:
        """Return r x."""
        if not self._blocked:
            return r @ self.x
        total = r.new_zeros(len(r), self.d)
        for of, x in self._blocks():
            total.addmm_(r[:, of], x)
        return total

    def gather_squares(self, h: Tensor) -> Tensor:
        """Return h (x∘x), of many rows by a sample of them."""
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
        return is_many(self.n) and not self.x.is_cuda

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        for first in range(0, self.n, _BLOCK):
            of = slice(first, first + _BLOCK)
            yield of, self.x[of]


def is_many(n: int) -> bool:
    """Return whether so many rows are worth blocks, samples and a longer memory."""
    return n > MANY


def sample(n: int, most: int | None = None) -> Tensor:
    """Return at most `most` (None: `MANY`) of n rows, in order, always the same ones."""
    most = MANY if most is None else most
    drawn = np.arange(n) if n <= most else np.random.default_rng(0).choice(n, most, replace=False)
    return torch.from_numpy(np.sort(drawn))


def squares_by_sample(h: Tensor, which: Tensor, squares: Tensor) -> Tensor:
    """Return the sum of squared rows weighted by h (q, n), (q, d), from those of a sample (m, d).

    What it is for, the preconditioner, need not be exact.
    """
    if len(which) == h.shape[1]:
        return h @ squares
    drawn = h[:, which]
    share = h.sum(1) / drawn.sum(1).clamp_(min=torch.finfo(h.dtype).tiny)
    return (drawn @ squares).mul_(share[:, None])
