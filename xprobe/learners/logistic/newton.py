"""Newton's method for one logistic regression in float64, to the last digit of float64.

It starts from where the solver in float32 ended, and needs few steps from there. Its conjugate
gradients cope with Hessians that the diagonal of `logistic.solver` fits badly. `reference` is the
same problem solved by scikit-learn.
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

# Steps end at this Newton decrement, relative to the objective; logits are then right to 1e-11.
_DECREMENT = 1e-22

# Every Newton step is solved to this relative error.
_INNER_TOLERANCE = 1e-2

# One Newton step takes at most this many products with the Hessian, and all steps together take at
# most this many passes over the rows.
_MOST_PRODUCTS, _MOST_PASSES = 1000, 10_000


@dataclass(frozen=True, eq=False)
class Objective:
    """The objective of one logistic regression in float64, as in `logistic.solver`.

    Attributes:
        x: (n, d) rows; the last column is 1, for the intercept.
        target: (k, n) one-hot classes.
        weight: (n,) weights with a sum of 1.
        penalty: (d,) λ of each column, 0 for the last.
    """

    x: Tensor
    target: Tensor
    weight: Tensor
    penalty: Tensor

    def evaluate(self, w: Tensor) -> tuple[float, Tensor, Tensor]:
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
        z = z - (z * self.target).sum(0)  # Any shift will do, and this one avoids cancellation.
        return (p * (z - (p * z).sum(0)) * self.weight) @ self.x + self.penalty * v

    def diagonal(self, p: Tensor) -> Tensor:
        """Return the diagonal of the Hessian (k, d), kept above 0."""
        h = (p * (1 - p) * self.weight) @ (self.x * self.x) + self.penalty
        return h.clamp(min=float(h.max()) * 1e-12)


class Minimum(NamedTuple):
    """Coefficients (k, d), the passes over the rows, and whether the optimum was reached."""

    coefficients: Tensor
    passes: int
    converged: bool


def newton(objective: Objective, w: Tensor) -> Minimum:
    """Minimise from coefficients (k, d) by Newton's method with conjugate gradients.

    The Newton decrement estimates how far the value lies above its minimum. The steps end when it
    is below `_DECREMENT` of the value, or of the decrement at 0 if that is smaller, or when
    rounding keeps it from falling; then a relative decrement of `TOLERANCE` counts as converged.
    """
    w = w - w.mean(0)
    value, g, p = objective.evaluate(torch.zeros_like(w))
    at_zero = 0.5 * float((g * g / objective.diagonal(p)).sum())
    value, g, p = objective.evaluate(w)
    passes, last_decrement = 0, float("inf")
    while passes < _MOST_PASSES:
        d, products = _conjugate_gradients(objective, g, p)
        passes += products + 1
        decrement = -0.5 * float((g * d).sum())
        allowed = min(value, at_zero)
        if decrement <= _DECREMENT * allowed or last_decrement <= decrement <= TOLERANCE * allowed:
            break
        last_decrement = decrement
        length, slope = 1.0, -2 * decrement
        trial = objective.evaluate(w + d)
        while float((trial[1] * d).sum()) > 0.5 * abs(slope) and length > 1e-6:
            length, passes = length / 2, passes + 1
            trial = objective.evaluate(w + length * d)
        w, (value, g, p) = w + length * d, trial
    return Minimum(w, passes, decrement <= TOLERANCE * allowed)


def _conjugate_gradients(objective: Objective, g: Tensor, p: Tensor) -> tuple[Tensor, int]:
    """Return −H⁻¹g (k, d) to `_INNER_TOLERANCE`, and the number of products with H.

    The result sums to 0 over classes, as the optimum does: a common shift changes no probability.
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
        if bend <= 0:  # Only rounding can make the curvature negative.
            return d, number
        d, r = d + size / bend * v, r - size / bend * product
        y = scaled(r)
        size, last_size = float((r * y).sum()), size
        v = y + (size / last_size) * v
    return d, _MOST_PRODUCTS


def reference(x: Floats, y: Ints, weight: Floats, penalty: float, k: int) -> tuple[Floats, bool]:
    """Solve one problem by scikit-learn's Newton method in float64, far closer than its default.

    Args:
        x: (n, d) rows; the last column is 1, for the intercept.
        y, weight: (n,) labels, and weights with a sum of 1.
        penalty: λ of `logistic.solver`.
        k: number of classes.

    Returns:
        Coefficients (k, d), and whether the method converged.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    is_used = weight > 0
    is_binary = len(np.unique(y[is_used])) == 2
    head = LogisticRegression(
        C=(2 if is_binary else 1) / penalty, solver="newton-cg", tol=1e-9, max_iter=1000
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # The caller counts such problems.
        # Newton's line search gives up where rounding hides the last decimals of progress.
        warnings.filterwarnings("ignore", message=".*[Ll]ine [Ss]earch.*")
        head.fit(x[is_used, :-1], y[is_used], sample_weight=weight[is_used])
    fitted = np.concatenate([head.coef_, head.intercept_[:, None]], axis=1)
    if is_binary:
        fitted = np.concatenate([-fitted / 2, fitted / 2])
    coefficients = np.zeros((k, x.shape[1]))
    coefficients[:, -1] = IMPOSSIBLE
    coefficients[head.classes_] = fitted
    return coefficients, bool(head.n_iter_.max() < 1000)
