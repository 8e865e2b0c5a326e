"""One logistic regression in float64, to what float64 can tell: Newton's method.

It takes over where float32 has ended: few steps are needed from there, and conjugate gradients cope
with Hessians that the diagonal of `xprobe.solver` fits badly. `reference` is scikit-learn's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from xprobe.base.arrays import Floats, Ints
from xprobe.learners.logistic.solver import TOLERANCE
from xprobe.learners.problem import IMPOSSIBLE

_DECREMENT = 1e-22  # relative; logits to about 1e-11

_INNER_TOLERANCE = 1e-2  # of a Newton step, relative

_MOST_PRODUCTS, _MOST_PASSES = 1000, 10_000  # of one Newton step, of all


@dataclass(frozen=True, eq=False)
class Objective:
    """One logistic regression in float64, as in `xprobe.solver`.

    Attributes:
        x: (n, d) rows, the last column ones.
        target: (k, n) one-hot.
        weight: (n,) of sum 1.
        penalty: (d,) λ, of the last column 0.
    """

    x: Tensor
    target: Tensor
    weight: Tensor
    penalty: Tensor

    def at(self, w: Tensor) -> tuple[float, Tensor, Tensor]:
        """Return the value at coefficients (k, d), its gradient (k, d), and probabilities (k, n).

        1 − p_y is summed from the other classes, so that small losses do not cancel.
        """
        p = torch.softmax(w @ self.x.T, dim=0)
        r = p * (1 - self.target)
        wrong = r.sum(0)
        r = (r - self.target * wrong) * self.weight
        pull = self.penalty * w
        loss = -torch.log1p(-wrong.clamp(max=1 - 2.0**-52)) @ self.weight
        return float(loss + 0.5 * (pull * w).sum()), r @ self.x + pull, p

    def curve(self, p: Tensor, v: Tensor) -> Tensor:
        """Return the Hessian where probabilities are p, times v (k, d)."""
        z = v @ self.x.T
        z = z - (z * self.target).sum(0)  # any shift will do; this one does not cancel
        return (p * (z - (p * z).sum(0)) * self.weight) @ self.x + self.penalty * v

    def diagonal(self, p: Tensor) -> Tensor:
        """Return the diagonal of the Hessian (k, d), kept above 0."""
        h = (p * (1 - p) * self.weight) @ (self.x * self.x) + self.penalty
        return h.clamp(min=float(h.max()) * 1e-12)


class Minimum(NamedTuple):
    """Coefficients (k, d), passes over the rows, and whether they are the optimum."""

    coefficients: Tensor
    passes: int
    converged: bool


def newton(objective: Objective, w: Tensor) -> Minimum:
    """Minimise from coefficients (k, d) by Newton's method with conjugate gradients.

    Stops when the Newton decrement, which estimates how far the value lies above its minimum,
    is `_DECREMENT` of the value or of the decrement at 0, the smaller of both, or when rounding
    keeps it from falling further; the latter counts as converged at `TOLERANCE`.
    """
    w = w - w.mean(0)
    value, g, p = objective.at(torch.zeros_like(w))
    at_zero = 0.5 * float((g * g / objective.diagonal(p)).sum())
    value, g, p = objective.at(w)
    passes, before = 0, float("inf")
    while passes < _MOST_PASSES:
        d, own = _conjugate_gradients(objective, g, p)
        passes += own + 1
        decrement = -0.5 * float((g * d).sum())
        allowed = min(value, at_zero)
        if decrement <= _DECREMENT * allowed or before <= decrement <= TOLERANCE * allowed:
            break
        before = decrement
        length, slope = 1.0, -2 * decrement
        there = objective.at(w + d)
        while float((there[1] * d).sum()) > 0.5 * abs(slope) and length > 1e-6:
            length, passes = length / 2, passes + 1
            there = objective.at(w + length * d)
        w, (value, g, p) = w + length * d, there
    return Minimum(w, passes, decrement <= TOLERANCE * allowed)


def _conjugate_gradients(objective: Objective, g: Tensor, p: Tensor) -> tuple[Tensor, int]:
    """Return −H⁻¹g (k, d) to `_INNER_TOLERANCE`, and the number of products with H.

    It sums to 0 over the classes, as the optimum does: a shift of all changes no probability.
    """

    def scaled(r: Tensor) -> Tensor:
        y = (r - r.mean(0)) / m
        return y - y.mean(0)

    m = objective.diagonal(p)
    d, r = torch.zeros_like(g), -g
    y = scaled(r)
    v, size = y, float((r * y).sum())
    enough = _INNER_TOLERANCE**2 * size
    for number in range(_MOST_PRODUCTS):
        if size <= enough:
            return d, number
        product = objective.curve(p, v)
        bend = float((v * product).sum())
        if bend <= 0:  # rounding
            return d, number
        d, r = d + size / bend * v, r - size / bend * product
        y = scaled(r)
        size, last = float((r * y).sum()), size
        v = y + (size / last) * v
    return d, _MOST_PRODUCTS


def reference(x: Floats, y: Ints, weight: Floats, penalty: float, k: int) -> tuple[Floats, bool]:
    """Solve one problem by scikit-learn's Newton method in float64, far closer than its default.

    Args:
        x: (n, d) rows, the last column ones.
        y, weight: (n,) labels and weights of sum 1.
        penalty: λ of `xprobe.solver`.
        k: number of classes.

    Returns:
        Coefficients (k, d), and whether it converged.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    used = weight > 0
    two = len(np.unique(y[used])) == 2
    head = LogisticRegression(
        C=(2 if two else 1) / penalty, solver="newton-cg", tol=1e-9, max_iter=1000
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the caller counts it
        # Newton's line search gives up where rounding hides the last decimals of progress.
        warnings.filterwarnings("ignore", message=".*[Ll]ine [Ss]earch.*")
        head.fit(x[used, :-1], y[used], sample_weight=weight[used])
    found = np.concatenate([head.coef_, head.intercept_[:, None]], axis=1)
    if two:
        found = np.concatenate([-found / 2, found / 2])
    coefficients = np.zeros((k, x.shape[1]))
    coefficients[:, -1] = IMPOSSIBLE
    coefficients[head.classes_] = found
    return coefficients, bool(head.n_iter_.max() < 1000)
