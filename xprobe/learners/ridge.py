"""Ridge heads: one eigendecomposition gives all penalties, and exactly what leaving rows out does.

Minimised is Σᵢ wᵢ·‖tᵢ − B xᵢ − b‖² + α‖B‖², targets t being 1 for the true class and −1 for the
others, α = 1/C. Without the rows F, the residuals of F are (I − H_FF)⁻¹·(t − f)_F, H being the
matrix that maps targets to fitted values (Golub, Heath & Wahba 1979, for one row): no fold needs
a decomposition of its own.
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

_MOST_LEFT_OUT = 0.5  # of the rows; beyond, a fold is decomposed anew


class Ridge:
    """A decomposed ridge regression on rows (n, d), at any penalty."""

    def __init__(self, x: Floats, target: Floats, weight: Floats) -> None:
        """Decompose; targets (n, k), weights (n,) not below 0."""
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
        """Return the decision values (m, k) of training rows, fitted without these rows."""
        own, weight = self.rotated[rows], self.weight[rows]
        shrunk = own / (self.eigenvalue + alpha)
        hat = (1 / self.total + shrunk @ own.T) * weight
        residual = self.residual[rows] - shrunk @ self.moment
        without = np.linalg.solve(np.eye(len(rows)) - hat, residual)
        return np.asarray(self.centre + self.residual[rows] - without)

    def leave_one_out(self, alpha: float) -> Floats:
        """Return the decision values (n, k) of each row, fitted without it; weights above 0.

        Both the residual and 1 − leverage are summed from what α leaves of each axis, α/(λ + α), so
        that they are not lost to rounding where the head all but interpolates its rows.
        """
        root = np.sqrt(self.weight)[:, None]
        span = root * self.rotated / np.sqrt(self.eigenvalue)  # orthonormal columns
        target = root * self.residual
        within = span.T @ target
        beyond, free = np.zeros((1, 1)), np.zeros((1, 1))
        if span.shape[1] < len(span) - 1:  # else the axes and the intercept span everything
            beyond = target - span @ within
            free = 1 - root**2 / self.total - (span**2).sum(axis=1, keepdims=True)
        left = alpha / (self.eigenvalue + alpha)
        error = (beyond + (span * left) @ within) / (free + (span**2 @ left)[:, None])
        return np.asarray(self.centre + self.residual - error / root)


class RidgeHead:
    """Solves problems on one pool."""

    def __init__(self, pool: Pool, options: Options, _device: str = "cpu") -> None:
        """Take what all problems share; NumPy computes, whatever the device."""
        self.pool, self.options = pool, options

    def solve(self, problem: Problem) -> Fit:
        """Choose α on the inner folds, fit all training rows, score the test rows."""
        pool = self.pool
        present = pool.present(problem.train)
        rows, count = np.unique(problem.train, return_counts=True)
        fitted = self._fit(problem.train)
        inner = problem.merged_inner()
        grid = self.options.grid(bool(inner))
        best, at_edge, temperature = 0, False, None
        if inner:
            truth = np.concatenate([pool.y[validation] for _, validation in inner])
            parts = [self._held(fitted, rows, count, *pair, grid) for pair in inner]
            held = np.concatenate(parts, axis=1)
            hits = (held[:, :, present].argmax(axis=2) == np.searchsorted(present, truth)).sum(1)
            best, at_edge = choose(hits, len(truth), self.options.c_rule)
            temperature = fit_temperature(held[best], truth, present)
        score = fitted.predict(pool.rows(problem.test), 1 / grid[best])
        fits = len(grid) * (len(inner) + 1)
        return Fit(as_scores(score, present), grid[best], at_edge, fits, temperature=temperature)

    def _fit(self, train: Ints) -> Ridge:
        rows, count = np.unique(train, return_counts=True)
        y = self.pool.y[rows]
        weight = class_weights(y, count, self.options.balanced)
        return Ridge(self.pool.rows(rows), signs(y, self.pool.k), weight)

    def _held(
        self,
        fitted: Ridge,
        rows: Ints,
        count: Ints,
        train: Ints,
        validation: Ints,
        grid: Sequence[float],
    ) -> Floats:
        """Return the decision values (m, n, k) of validation rows at each C, trained on `train`."""
        own, own_count = np.unique(train, return_counts=True)
        place = np.searchsorted(rows, own).clip(max=len(rows) - 1)
        subset = (rows[place] == own).all() and (count[place] == own_count).all()
        out = np.setdiff1d(rows, own)
        few = len(out) <= _MOST_LEFT_OUT * len(rows) and np.isin(validation, out).all()
        if subset and few and not self.options.balanced:
            at = np.searchsorted(rows, out)
            asked = np.searchsorted(out, validation)
            return np.stack([fitted.left_out(at, 1 / c)[asked] for c in grid])
        anew = self._fit(train)
        return np.stack([anew.predict(self.pool.rows(validation), 1 / c) for c in grid])


def signs(y: Ints, k: int) -> Floats:
    """Return targets (n, k): 1 for the true class, −1 for the others."""
    return np.asarray(2.0 * np.eye(k)[y] - 1)
