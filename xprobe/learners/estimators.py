"""The heads of a study as scikit-learn estimators, for use from Python.

They have scikit-learn's own objectives on the features as they are: no row is scaled to length 1
here, unlike in a sweep. Logistic heads divide the centred features by one number s and solve at
C·s², which changes no optimum, so that features of any scale converge alike. All fits are solved
together in float32; from there Newton's method takes the one that is kept to what float64 can
tell. Directions in which the features vary a million times less than in their widest one are taken
as constant: standardise columns of unlike units. Small problems are solved on one core; large ones
use as many as torch is set to (``torch.set_num_threads``), which pays on idle cores only.

Notation: n rows, d features, K classes, m values of C.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from xprobe.base.arrays import Floats, Ints
from xprobe.engine.threads import one_core
from xprobe.learners.estimator_inputs import folds_of, strengths, training_data, weights_of_classes
from xprobe.learners.kinds import C_GRID, C_RULES
from xprobe.learners.logistic.head import Fitted, Logistic
from xprobe.learners.logistic.newton import Objective, newton
from xprobe.learners.problem import Options, Pool, Problem, class_weights
from xprobe.learners.ridge import Ridge, signs

ALPHAS = tuple(1 / c for c in reversed(C_GRID))
"""The strengths of a sweep's ridge heads."""

# C is ranked where C·s²·Σ weights is between these two, so that float32 can tell the coefficients:
# below, heads guess classes by their shares; above, the penalty has no say.
_RANKED = np.array([1e-4, 1e10])

# Below so many numbers in X, threads lose more by waiting than they gain.
_ONE_CORE = 2**21


class _LinearHead(ClassifierMixin, BaseEstimator):
    """What all heads share: decisions that are linear in the features.

    Attributes:
        classes_: (K,) labels, sorted.
        coef_: (K, d), or of two classes (1, d), of the second against the first.
        intercept_: (K,) or (1,).
        n_features_in_: d.
    """

    classes_: NDArray[Any]
    coef_: Floats
    intercept_: Floats

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return decision values (n, K) of rows (n, d); of two classes (n,), above 0: the second.

        Raises:
            ValueError: `X` is no finite matrix of as many columns as it was fitted on.
            NotFittedError: `fit` was not called.
        """
        check_is_fitted(self)
        rows: Floats = validate_data(self, X, dtype=np.float64, reset=False)
        decision = rows @ self.coef_.T + self.intercept_
        return np.asarray(decision[:, 0] if decision.shape[1] == 1 else decision)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return labels (n,) of rows (n, d); raises as `decision_function` does."""
        decision = self.decision_function(X)
        chosen = (decision > 0).astype(np.intp) if decision.ndim == 1 else decision.argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def _keep(self, coefficients: Floats, intercept: Floats) -> None:
        """Keep coefficients (K, d) and intercepts (K,); of two classes the difference."""
        if len(self.classes_) == 2 and len(coefficients) == 2:
            coefficients, intercept = np.diff(coefficients, axis=0), np.diff(intercept)
        self.coef_, self.intercept_ = coefficients, intercept


class _ProbableHead(_LinearHead):
    """A head that minimises the log-loss, so that its decision values are logits."""

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Return log-probabilities (n, K) of rows (n, d); raises as `decision_function` does."""
        return self._log_proba(X, 1.0)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return probabilities (n, K) of rows (n, d); raises as `decision_function` does."""
        return np.asarray(np.exp(self._log_proba(X, 1.0)))

    def _log_proba(self, X: ArrayLike, temperature: float) -> Floats:
        logits = self.decision_function(X) / temperature
        if logits.ndim == 1:
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        return np.asarray(log_softmax(logits, axis=1))


class LogisticHead(_ProbableHead):
    """Multinomial logistic regression at one C: the optimum of scikit-learn's `LogisticRegression`.

    Minimises C·Σᵢ wᵢ·CE(W xᵢ + b, yᵢ) + ‖W‖²/2, the intercepts b not penalised; with two classes
    scikit-learn's binary objective.

    Args:
        C: inverse strength of the penalty, above 0.
        class_weight: what the weights of a class's rows are multiplied by, by label (missing: 1);
            ``balanced``: Σ weights / (K · Σ weights of the class); None: 1.
        device: torch device; ``auto``: a CUDA one if there is one, else the CPU.

    Attributes:
        classes_, coef_, intercept_, n_features_in_: see `_LinearHead`.
        n_iter_: (1,) passes over the rows, in float32 and float64 together.
        converged_: whether the optimum was reached.
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        class_weight: Mapping[Any, float] | str | None = None,
        device: str = "auto",
    ) -> None:
        self.C = C
        self.class_weight = class_weight
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit on rows (n, d), labels (n,) and weights (n,) not below 0, None: 1.

        A row of weight 2 counts as two of weight 1.

        Raises:
            ValueError: a parameter or the data cannot be used; fewer than two classes have weight.
        """
        grid = strengths("C", (self.C,))
        _solve(self, *training_data(self, X, y, sample_weight), np.array(grid), "best", [])
        return self


class LogisticHeadCV(_ProbableHead):
    """`LogisticHead` whose C is chosen by cross-validated accuracy; all fits are solved together.

    Args:
        c_grid: values of C, above 0, in any order.
        cv: number of stratified folds, or a splitter, or pairs (training rows, validation rows).
        c_rule: ``best``: the highest accuracy; ``one-se``: the smallest C within one binomial
            standard error of it. The smallest C on ties.
        class_weight, device: as of `LogisticHead`; ``balanced`` is computed on each training part.

    Attributes:
        classes_, coef_, intercept_, n_features_in_: see `_LinearHead`; fitted on all rows at `C_`.
        c_grid_: (m,) the distinct values of C, ascending.
        scores_: (m,) accuracy of each on the validation rows of all folds together, each counting
            by its sample weight. Folds of one size: scikit-learn's mean over folds, but that a row
            within float32's reach of a border between classes may fall to its other side.
        C_: the chosen value.
        at_edge_: whether it is the smallest or largest of several.
        temperature_: what `calibrated_proba` divides logits by, fitted on the validation rows at
            `C_` (Guo et al. 2017).
        n_iter_: (1,) passes over the rows, of all fits together.
        converged_: whether the optimum at `C_` was reached.
    """

    def __init__(
        self,
        c_grid: Sequence[float] = C_GRID,
        *,
        cv: Any = 5,
        c_rule: str = "best",
        class_weight: Mapping[Any, float] | str | None = None,
        device: str = "auto",
    ) -> None:
        self.c_grid = c_grid
        self.cv = cv
        self.c_rule = c_rule
        self.class_weight = class_weight
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose C and fit all rows; arguments as of `LogisticHead.fit`.

        Raises:
            ValueError: a parameter or the data cannot be used; fewer than two classes have weight;
                the training part of a fold lacks a class, or no fold has validation rows.
        """
        grid = np.unique(strengths("c_grid", self.c_grid))
        if self.c_rule not in C_RULES:
            raise ValueError(f"c_rule must be one of {', '.join(C_RULES)}; got {self.c_rule!r}")
        rows, codes, weight = training_data(self, X, y, sample_weight)
        folds = folds_of(self.cv, rows, codes, weight)
        chosen = _solve(self, rows, codes, weight, grid, self.c_rule, folds)
        self.c_grid_, self.scores_, self.temperature_ = grid, chosen.accuracy, chosen.temperature
        self.C_ = float(grid[chosen.best])
        self.at_edge_ = len(grid) > 1 and chosen.best in (0, len(grid) - 1)
        return self

    def calibrated_proba(self, X: ArrayLike) -> Floats:
        """Return probabilities (n, K) of logits divided by `temperature_`.

        `predict` is the same by either. Raises as `decision_function` does.
        """
        check_is_fitted(self)
        return np.asarray(np.exp(self._log_proba(X, self.temperature_)))


class RidgeHeadCV(_LinearHead):
    """Ridge regression on targets ±1: the optimum of scikit-learn's `RidgeClassifierCV`.

    Minimises Σᵢ wᵢ·‖tᵢ − W xᵢ − b‖² + α‖W‖². All α come from one eigendecomposition, and are
    compared by the exact squared error on each row of the head that is fitted without it.

    Args:
        alphas: strengths of the penalty, above 0; the first of equally good ones is taken.
        class_weight: as of `LogisticHead`.

    Attributes:
        classes_, coef_, intercept_, n_features_in_: see `_LinearHead`.
        alpha_: the chosen strength.
        best_score_: its mean squared error, weighted and over the K targets (of two classes over
            one), times −1.
        scores_: (m,) the same of each.
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        *,
        class_weight: Mapping[Any, float] | str | None = None,
    ) -> None:
        self.alphas = alphas
        self.class_weight = class_weight

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose α and fit all rows; arguments as of `LogisticHead.fit`.

        A row is left out whole, whatever its weight, so that weight 2 chooses as two rows do only
        if these were left out together.

        Raises:
            ValueError: a parameter or the data cannot be used; fewer than two classes have weight.
        """
        alphas = strengths("alphas", self.alphas)
        rows, codes, weight = training_data(self, X, y, sample_weight)
        rows, codes, weight = rows[weight > 0], codes[weight > 0], weight[weight > 0]
        k = len(self.classes_)
        balanced, of_class = weights_of_classes(self)
        total = weight.sum()
        weight = class_weights(codes, weight, balanced) * of_class[codes]
        target = signs(codes, k)[:, 1 if k == 2 else 0 :]
        ridge = Ridge(rows, target, weight)
        left_out = (target - ridge.leave_one_out(alpha) for alpha in alphas)
        errors = np.array([np.sum(weight[:, None] * error**2) for error in left_out])
        self.scores_ = -errors / (total * target.shape[1])
        best = int(np.argmax(self.scores_))
        self.alpha_, self.best_score_ = alphas[best], float(self.scores_[best])
        shrunk = ridge.axes.axes / (ridge.eigenvalue + self.alpha_)
        coefficients = (shrunk @ ridge.moment).T
        self._keep(coefficients, ridge.centre - coefficients @ ridge.axes.mean)
        return self


class _Choice(NamedTuple):
    """The choice that folds make: a number in the grid, all accuracies (m,), the temperature."""

    best: int
    accuracy: Floats
    temperature: float


def _solve(
    head: Any,
    X: Floats,
    y: Ints,
    weight: Floats,
    grid: Floats,
    rule: str,
    folds: Sequence[tuple[Ints, Ints]],
) -> _Choice:
    """Choose among ascending values of C on the folds, fit all rows, set the head's attributes."""
    balanced, of_class = weights_of_classes(head)
    used, place = np.flatnonzero(weight), np.cumsum(weight > 0) - 1
    inner = tuple((place[train], place[validation]) for train, validation in folds)
    X, y, weight = X[used], y[used], weight[used]
    mean = weight @ X / weight.sum()
    X = X - mean
    scale = _scale(X, weight)
    pool = Pool(X / scale, y, len(head.classes_), weight=weight, normalise=False)
    weight = class_weights(y, weight, balanced) * of_class[y]
    total = weight.sum()
    scaled = grid * scale**2
    ranked, rank = np.unique(scaled.clip(*(_RANKED / total)), return_inverse=True)
    options = Options(tuple(ranked.tolist()), rule, balanced, tuple(of_class.tolist()))
    solver, every = Logistic(pool, options, head.device), np.arange(len(y))
    with one_core() if X.size < _ONE_CORE else nullcontext():
        fitted = solver.fit(Problem(every, every[:0], inner))
        best = int(np.argmax(rank == fitted.best))
        penalty = (2 if pool.k == 2 else 1) / (scaled[best] * total)
        objective = _objective(pool, weight / total, penalty, fitted)
        exact = newton(objective, fitted.rotated.double())
    coefficients, intercept = replace(fitted, rotated=exact.coefficients).linear()
    coefficients, intercept = coefficients / scale, intercept - intercept.mean()
    head._keep(coefficients, intercept - coefficients @ mean)
    head.n_iter_, head.converged_ = np.array([solver.passes + exact.passes]), exact.converged
    _warn_of_unconverged(
        int(not exact.converged) + (fitted.unconverged if folds else 0), fitted.fits
    )
    accuracy = fitted.accuracy[rank] if folds else fitted.accuracy
    return _Choice(best, accuracy, float(fitted.temperature or 1))


def _warn_of_unconverged(short: int, fits: int) -> None:
    if short:
        warnings.warn(
            f"{short} of {fits} fits did not reach their optimum; choose smaller C, or "
            f"standardise the features",
            ConvergenceWarning,
            stacklevel=4,
        )


def _objective(pool: Pool, weight: Floats, penalty: float, fitted: Fitted) -> Objective:
    """Return the objective of all rows of a pool in the basis of a fit."""
    axes, like = fitted.basis.axes, fitted.rotated
    x = np.ones((len(pool.y), axes.axes.shape[1] + 1))
    x[:, :-1] = (pool.rows() - axes.mean) @ axes.axes
    penalties = np.full(x.shape[1], penalty)
    penalties[-1] = 0
    parts = (x, np.eye(pool.k)[:, pool.y], weight, penalties)
    return Objective(*(torch.from_numpy(part).to(like.device) for part in parts))


def _scale(centred: Floats, weight: Floats) -> float:
    """Return the root mean square length of rows (n, d), 1 if all are zeros."""
    largest = float(np.abs(centred).max())  # Squares of tiny numbers would vanish.
    if not largest:
        return 1.0
    square = ((centred / largest) ** 2).sum(axis=1)
    return largest * float(np.sqrt(np.average(square, weights=weight)))
