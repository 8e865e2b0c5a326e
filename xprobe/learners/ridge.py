"""Ridge heads: one eigendecomposition gives the fits for all penalties and all left-out rows.

The objective is Σᵢ wᵢ·‖tᵢ − B xᵢ − b‖² + α‖B‖² with α = 1/C; targets t are 1 for the true class
and −1 for the others. A fit without the rows F has the residuals (I − H_FF)⁻¹·(t − f)_F on them,
where H maps targets to fitted values (Golub, Heath & Wahba 1979, for one row). So no inner fold
needs a decomposition of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xprobe.base.arrays import Floats, Ints
from xprobe.learners.logistic.basis import principal_axes
from xprobe.learners.problem import (
    Fit,
    Options,
    Pool,
    Problem,
    as_scores,
    choose,
    class_weights,
    fit_temperature,
)

# Where a fold leaves out a larger share of the rows, decomposing it anew is faster.
_MOST_LEFT_OUT = 0.5


class Ridge:
    """A ridge regression on rows (n, d), decomposed once for all penalties."""

    def __init__(self, x: Floats, target: Floats, weight: Floats) -> None:
        """Decompose the rows; targets are (n, k), weights (n,) and not negative."""
        x = x.astype(np.float64)
        self.weight, self.total = weight, float(weight.sum())
        self.axes = principal_axes(x, weight)
        self.eigenvalue = self.axes.variance * self.total
        self.rotated = (x - self.axes.mean) @ self.axes.axes
        self.centre = weight @ target / self.total
        self.residual = target - self.centre
        self.moment = self.rotated.T @ (weight[:, None] * self.residual)

    def predict(self, x: Floats, alpha: float) -> Floats:
        """Return the decision values (m, k) of rows (m, d)."""
        inner = (x - self.axes.mean) @ self.axes.axes
        return np.asarray(self.centre + (inner / (self.eigenvalue + alpha)) @ self.moment)

    def left_out(self, rows: Ints, alpha: float) -> Floats:
        """Return the decision values (m, k) of training rows by a fit without these m rows."""
        rotated, weight = self.rotated[rows], self.weight[rows]
        shrunk = rotated / (self.eigenvalue + alpha)
        hat = (1 / self.total + shrunk @ rotated.T) * weight
        residual = self.residual[rows] - shrunk @ self.moment
        left_out_residual = np.linalg.solve(np.eye(len(rows)) - hat, residual)
        return np.asarray(self.centre + self.residual[rows] - left_out_residual)

    def leave_one_out(self, alpha: float) -> Floats:
        """Return the decision values (n, k) of each row by a fit without it; weights are above 0.

        The residual and 1 − leverage are summed from the share α/(λ + α) that is left of each axis.
        Rounding would swallow them as differences where the head all but interpolates its rows.
        """
        root = np.sqrt(self.weight)[:, None]
        span = root * self.rotated / np.sqrt(self.eigenvalue)  # The columns are orthonormal.
        target = root * self.residual
        projection = span.T @ target
        remainder, slack = np.zeros((1, 1)), np.zeros((1, 1))
        if span.shape[1] < len(span) - 1:  # Else the axes and the intercept span all targets.
            remainder = target - span @ projection
            slack = 1 - root**2 / self.total - (span**2).sum(axis=1, keepdims=True)
        share_left = alpha / (self.eigenvalue + alpha)
        error = (remainder + (span * share_left) @ projection) / (
            slack + (span**2 @ share_left)[:, None]
        )
        return np.asarray(self.centre + self.residual - error / root)


class RidgeHead:
    """A ridge head that solves problems on one pool."""

    def __init__(self, pool: Pool, options: Options, _device: str = "cpu") -> None:
        """Take what all problems share; NumPy computes, whatever the device."""
        self.pool, self.options = pool, options

    def solve(self, problem: Problem) -> Fit:
        """Choose α on the inner folds, fit all training rows, score the test rows."""
        pool = self.pool
        present = pool.present(problem.train)
        rows, count = np.unique(problem.train, return_counts=True)
        fitted = self._decompose(problem.train)
        inner = problem.merged_inner()
        grid = self.options.grid(bool(inner))
        best, at_edge, temperature = 0, False, None
        if inner:
            truth = np.concatenate([pool.y[validation] for _, validation in inner])
            parts = [self._validation_values(fitted, rows, count, *pair, grid) for pair in inner]
            held = np.concatenate(parts, axis=1)
            hits = (held[:, :, present].argmax(axis=2) == np.searchsorted(present, truth)).sum(1)
            best, at_edge = choose(hits, len(truth), self.options.c_rule)
            temperature = fit_temperature(held[best], truth, present)
        score = fitted.predict(pool.rows(problem.test), 1 / grid[best])
        fits = len(grid) * (len(inner) + 1)
        return Fit(as_scores(score, present), grid[best], at_edge, fits, temperature=temperature)

    def _decompose(self, train: Ints) -> Ridge:
        rows, count = np.unique(train, return_counts=True)
        y = self.pool.y[rows]
        weight = class_weights(y, count, self.options.balanced)
        return Ridge(self.pool.rows(rows), signs(y, self.pool.k), weight)

    def _validation_values(
        self,
        fitted: Ridge,
        rows: Ints,
        count: Ints,
        train: Ints,
        validation: Ints,
        grid: Sequence[float],
    ) -> Floats:
        """Return the decision values (m, n, k) of validation rows at each C by a fit on `train`.

        `rows` and `count` are those of `fitted`. If `train` leaves out few of them, and all of
        `validation`, the decomposition of `fitted` is used.
        """
        fold_rows, fold_count = np.unique(train, return_counts=True)
        position = np.searchsorted(rows, fold_rows).clip(max=len(rows) - 1)
        is_subset = (rows[position] == fold_rows).all() and (count[position] == fold_count).all()
        left_out = np.setdiff1d(rows, fold_rows)
        is_small = (
            len(left_out) <= _MOST_LEFT_OUT * len(rows) and np.isin(validation, left_out).all()
        )
        if is_subset and is_small and not self.options.balanced:
            positions = np.searchsorted(rows, left_out)
            selection = np.searchsorted(left_out, validation)
            return np.stack([fitted.left_out(positions, 1 / c)[selection] for c in grid])
        refit = self._decompose(train)
        return np.stack([refit.predict(self.pool.rows(validation), 1 / c) for c in grid])


def signs(y: Ints, k: int) -> Floats:
    """Return targets (n, k): 1 for the true class, −1 for the others."""
    return np.asarray(2.0 * np.eye(k)[y] - 1)
