"""The basis in which heads are solved: the principal axes of the rows that they are drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from xprobe.base.arrays import Floats, Ints
from xprobe.learners.logistic.rows import InMemory, Rows, sample, squares_by_sample
from xprobe.learners.problem import Pool

_CHUNK = 8192  # rows read at once of features that do not fit into memory

_AXES_OF = 8192  # rows, drawn from more; in other axes heads only take more passes

_NULL_VARIANCE = 1e-12  # of the largest; float32 features cannot tell less from none


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal axes of weighted rows.

    Attributes:
        mean: (d,).
        axes: (d, r) orthonormal columns, by falling variance; those without any are left out.
        variance: (r,).
    """

    mean: Floats
    axes: Floats
    variance: Floats

    def rotate(self, x: Floats) -> Floats:
        """Return (x − mean)·axes with a last column of ones, (n, r + 1) float32."""
        rotated = np.empty((len(x), self.axes.shape[1] + 1), dtype=np.float32)
        axes = self.axes.astype(np.float32)
        for first in range(0, len(x), _CHUNK):
            of = slice(first, first + _CHUNK)
            np.matmul((x[of] - self.mean).astype(np.float32), axes, out=rotated[of, :-1])
        rotated[:, -1] = 1
        return rotated


def principal_axes(x: Floats, weight: Floats | Ints, keep_null: bool = False) -> Axes:
    """Return the principal axes of rows x (n, d) under weights (n,).

    The penalised optimum is the same in any orthogonal basis, and lies in the span of the rows.
    Axes without variance are left out, unless they are to be kept, as for a sample of the rows that
    are solved.
    """
    weight = weight / weight.sum()
    x, weight = x[weight > 0], weight[weight > 0]
    mean = (weight @ x).astype(x.dtype)
    centred = (x - mean).astype(np.float64) * np.sqrt(weight)[:, None]
    n, d = centred.shape
    if n >= d or keep_null:
        span, covariance = None, centred.T @ centred
    else:
        span, within = np.linalg.qr(centred.T)  # the axes lie in the span of the rows
        covariance = within @ within.T
    variance, vectors = np.linalg.eigh(covariance)
    null = max(variance[-1] * _NULL_VARIANCE, np.finfo(np.float64).tiny)
    kept = (variance > null) | keep_null
    axes = vectors[:, kept][:, ::-1]
    axes = np.ascontiguousarray(axes if span is None else span @ axes)
    return Axes(mean, axes, variance[kept][::-1])


@dataclass(frozen=True, eq=False)
class Streamed:
    """Rows of a pool that are read, centred and multiplied chunk by chunk (`rows.Rows`).

    The rotation is applied to coefficients and gradients instead, which are few.
    """

    pool: Pool
    rows: Ints
    axes: Axes
    like: Tensor

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def d(self) -> int:
        """Number of columns, that of the intercept included."""
        return int(self.axes.axes.shape[1]) + 1

    def double(self) -> Streamed:
        """Return the same rows in float64."""
        return replace(self, like=self.like.double())

    def _chunks(self) -> Iterator[tuple[slice, Tensor]]:
        for first in range(0, self.n, _CHUNK):
            which = slice(first, min(first + _CHUNK, self.n))
            x = self.pool.rows(self.rows[which]) - self.axes.mean
            yield which, torch.from_numpy(x).to(self.like)

    def _basis(self) -> Tensor:
        return torch.from_numpy(self.axes.axes).to(self.like)

    @cached_property
    def _sample(self) -> tuple[Tensor, Tensor]:
        """Return a sample of the rows, (m,), and the squares of their rotated features, (m, d)."""
        which = sample(self.n)
        x = torch.from_numpy(self.pool.rows(self.rows[which.numpy()]) - self.axes.mean)
        squares = (x.to(self.like) @ self._basis()).square_()
        squares = torch.cat([squares, squares.new_ones(len(which), 1)], dim=1)
        return which.to(self.like.device), squares

    def times(self, w: Tensor) -> Tensor:
        """Return w (q, d) times the rows, (q, n)."""
        raw, intercept = w[:, :-1] @ self._basis().T, w[:, -1:]
        z = w.new_empty(len(w), self.n)
        for which, x in self._chunks():
            z[:, which] = raw @ x.T + intercept
        return z

    def gather(self, r: Tensor) -> Tensor:
        """Return the sum of the rows weighted by r (q, n), (q, d)."""
        total = r.new_zeros(len(r), len(self.axes.mean))
        for which, x in self._chunks():
            total += r[:, which] @ x
        return torch.cat([total @ self._basis(), r.sum(1, keepdim=True)], dim=1)

    def gather_squares(self, h: Tensor) -> Tensor:
        """Return the sum of the squared rows weighted by h (q, n), (q, d), by a sample of them."""
        return squares_by_sample(h, *self._sample)


class Basis:
    """A pool in the principal axes of one mixture."""

    def __init__(self, pool: Pool, share: Floats | Ints, device: str) -> None:
        self.pool = pool
        self.like = torch.zeros(0, dtype=torch.float32, device=device)
        self.rotated: Tensor | None = None
        of = np.flatnonzero(share)
        d = pool.rows(of[:1]).shape[1]
        drawn = of[sample(len(of), max(_AXES_OF, 2 * d)).numpy()]
        self.axes = principal_axes(pool.rows(drawn), share[drawn], keep_null=len(drawn) < len(of))
        if pool.in_memory:
            self.rotated = torch.from_numpy(self.axes.rotate(pool.rows())).to(device)

    def rows(self, rows: Ints) -> Rows:
        """Return rows of the pool for the solver."""
        if self.rotated is None:
            return Streamed(self.pool, rows, self.axes, self.like)
        if len(rows) == len(self.rotated):  # they come sorted
            return InMemory(self.rotated)
        return InMemory(self.rotated[torch.from_numpy(rows).to(self.rotated.device)])

    def linear(self, coefficients: Tensor) -> tuple[Floats, Floats]:
        """Return coefficients (k, d) and intercepts (k,) on the pool's features, float64."""
        rotated = coefficients.double().cpu().numpy()
        w = rotated[:, :-1] @ self.axes.axes.T.astype(np.float64)
        return w, rotated[:, -1] - w @ self.axes.mean

    def logits(self, coefficients: Tensor, rows: Ints) -> Floats:
        """Return logits (n, k) of rows of the pool under coefficients (k, d)."""
        return np.asarray(self.rows(rows).times(coefficients).T.cpu().numpy())
