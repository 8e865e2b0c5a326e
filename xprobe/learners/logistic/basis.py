"""The basis in which heads are solved: the principal axes of the rows that they are drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from xprobe.base.arrays import Bools, Floats, Ints
from xprobe.learners.logistic.rows import InMemory, Rows, sample, squares_by_sample
from xprobe.learners.problem import Pool

# Features that do not fit into memory are read in chunks of this many rows.
_CHUNK = 8192

# The axes are computed from at most this many rows. With axes of a sample the heads need a few more
# passes but end at the same optimum.
_AXES_OF = 8192

# Variance below this share of the largest is none: float32 features do not resolve it.
_NULL_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal axes of weighted rows.

    Attributes:
        mean: (d,) weighted mean of the rows.
        axes: (d, r) orthonormal columns by falling variance; axes without variance are left out.
        variance: (r,) weighted variance along each axis.
    """

    mean: Floats
    axes: Floats
    variance: Floats

    def rotate(self, x: Floats) -> Floats:
        """Return (x − mean)·axes with a last column of ones, (n, r + 1) float32."""
        rotated = np.empty((len(x), self.axes.shape[1] + 1), dtype=np.float32)
        axes = self.axes.astype(np.float32)
        for first in range(0, len(x), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            np.matmul((x[chunk] - self.mean).astype(np.float32), axes, out=rotated[chunk, :-1])
        rotated[:, -1] = 1
        return rotated


def principal_axes(x: Floats, weight: Floats | Ints, keep_null: bool = False) -> Axes:
    """Return the principal axes of rows x (n, d) under weights (n,).

    The penalised optimum is the same in any orthogonal basis, and lies in the span of the rows.
    Axes without variance are therefore left out, unless `keep_null` is set because x is only a
    sample of the rows to be solved.
    """
    weight = weight / weight.sum()
    x, weight = x[weight > 0], weight[weight > 0]
    mean = (weight @ x).astype(x.dtype)
    centred = (x - mean).astype(np.float64) * np.sqrt(weight)[:, None]
    n, d = centred.shape
    if n >= d or keep_null:
        span, covariance = None, centred.T @ centred
    else:
        span, inner = np.linalg.qr(centred.T)  # The axes lie in the span of the rows.
        covariance = inner @ inner.T
    variance, vectors = np.linalg.eigh(covariance)
    kept = _kept(variance, keep_null)
    axes = vectors[:, kept][:, ::-1]
    axes = np.ascontiguousarray(axes if span is None else span @ axes)
    return Axes(mean, axes, variance[kept][::-1])


def _kept(variance: Floats, keep_null: bool) -> Bools:
    """Return which axes, by rising variance, are kept."""
    null = max(variance[-1] * _NULL_VARIANCE, np.finfo(np.float64).tiny)
    kept: Bools = (variance > null) | keep_null
    return kept


def principal_axes_on_device(x: Tensor, weight: Floats | Ints, keep_null: bool = False) -> Axes:
    """Return the same as `principal_axes` of rows that lie on a device, computed there."""
    share = torch.tensor(weight / weight.sum(), dtype=torch.float64, device=x.device)
    mean = (share @ x.double()).to(x.dtype)
    centred = (x - mean).double() * share.sqrt()[:, None]
    variance, vectors = (part.cpu().numpy() for part in torch.linalg.eigh(centred.T @ centred))
    kept = _kept(variance, keep_null)
    return Axes(
        mean.cpu().numpy(), np.ascontiguousarray(vectors[:, kept][:, ::-1]), variance[kept][::-1]
    )


def rotate_on_device(axes: Axes, x: Tensor) -> Tensor:
    """Return the same as `Axes.rotate` of rows that lie on a device, computed there."""
    mean, turn = torch.tensor(axes.mean, device=x.device), torch.from_numpy(axes.axes).to(x.device)
    rotated = torch.ones(len(x), turn.shape[1] + 1, device=x.device)
    for first in range(0, len(x), 8 * _CHUNK):
        rows = slice(first, first + 8 * _CHUNK)
        rotated[rows, :-1] = (x[rows] - mean).float() @ turn.float()
    return rotated


@dataclass(frozen=True, eq=False)
class Streamed:
    """Rows of a pool that are read, centred and multiplied chunk by chunk (`rows.Rows`).

    Not the rows are rotated into the axes, but coefficients and gradients, of which there are few.
    The tensor `like` has the dtype and the device of the results.
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

    @property
    def is_on_gpu(self) -> bool:
        """False: reading the rows takes longer than all else."""
        return False

    def double(self) -> Streamed:
        """Return the same rows in float64."""
        return replace(self, like=self.like.double())

    def _chunks(self) -> Iterator[tuple[slice, Tensor]]:
        for first in range(0, self.n, _CHUNK):
            chunk = slice(first, min(first + _CHUNK, self.n))
            x = self.pool.rows(self.rows[chunk]) - self.axes.mean
            yield chunk, torch.from_numpy(x).to(self.like)

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
        for chunk, x in self._chunks():
            z[:, chunk] = raw @ x.T + intercept
        return z

    def gather(self, r: Tensor) -> Tensor:
        """Return the sum of the rows weighted by r (q, n), (q, d)."""
        total = r.new_zeros(len(r), len(self.axes.mean))
        for chunk, x in self._chunks():
            total += r[:, chunk] @ x
        return torch.cat([total @ self._basis(), r.sum(1, keepdim=True)], dim=1)

    def gather_squares(self, h: Tensor) -> Tensor:
        """Return the sum (q, d) of squared rows weighted by h (q, n), estimated from a sample."""
        return squares_by_sample(h, *self._sample)


class Basis:
    """The rows of a pool in the principal axes of one mixture of them.

    The mixture is given by the share (n,) of each row of the pool.
    """

    def __init__(self, pool: Pool, share: Floats | Ints, device: str) -> None:
        self.pool = pool
        self.like = torch.zeros(0, dtype=torch.float32, device=device)
        self.rotated: Tensor | None = None
        members = np.flatnonzero(share)
        d = pool.rows(members[:1]).shape[1]
        sampled = members[sample(len(members), max(_AXES_OF, 2 * d)).numpy()]
        is_sample = len(sampled) < len(members)
        if pool.in_memory and self.is_on_gpu:
            self._rotate_on_device(share, sampled, is_sample)
            return
        self.axes = principal_axes(pool.rows(sampled), share[sampled], keep_null=is_sample)
        if pool.in_memory:
            self.rotated = torch.from_numpy(self.axes.rotate(pool.rows())).to(device)

    @property
    def is_on_gpu(self) -> bool:
        """Whether the rows lie on a GPU."""
        return self.like.is_cuda

    def _rotate_on_device(self, share: Floats | Ints, sampled: Ints, is_sample: bool) -> None:
        """Find the axes and rotate the pool on a GPU: on the CPU it would take longer than heads.

        Axes of fewer rows than columns take little, and are found on the CPU.
        """
        x = torch.tensor(self.pool.rows(), device=self.like.device)
        if len(sampled) >= x.shape[1]:
            drawn = x[torch.from_numpy(sampled).to(x.device)]
            self.axes = principal_axes_on_device(drawn, share[sampled], keep_null=is_sample)
        else:
            self.axes = principal_axes(self.pool.rows(sampled), share[sampled])
        self.rotated = rotate_on_device(self.axes, x)

    def rows(self, rows: Ints) -> Rows:
        """Return rows of the pool for the solver."""
        if self.rotated is None:
            return Streamed(self.pool, rows, self.axes, self.like)
        if len(rows) == len(self.rotated):  # Rows come sorted, so that these are all of them.
            return InMemory(self.rotated)
        return InMemory(self.rotated[torch.from_numpy(rows).to(self.rotated.device)])

    def linear(self, coefficients: Tensor) -> tuple[Floats, Floats]:
        """Return coefficients (k, d) and intercepts (k,) on the pool's features, float64."""
        rotated = coefficients.double().cpu().numpy()
        w = rotated[:, :-1] @ self.axes.axes.T.astype(np.float64, copy=False)
        return w, rotated[:, -1] - w @ self.axes.mean

    def logits(self, coefficients: Tensor, rows: Ints) -> Floats:
        """Return logits (n, k) of rows of the pool under coefficients (k, d)."""
        return np.asarray(self.rows(rows).times(coefficients).T.cpu().numpy())
