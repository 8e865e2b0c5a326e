"""The estimators are scikit-learn's, to the last digits that float64 holds."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from xprobe.base.errors import XprobeWarning
from xprobe.learners.estimators import LogisticHead, LogisticHeadCV, RidgeHeadCV

GRID = tuple(np.logspace(-3, 3, 7).tolist())
HEADS = (LogisticHead(), LogisticHeadCV(GRID), RidgeHeadCV())


def data(
    k: int = 3, n: int = 120, d: int = 8, sep: float = 0.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy classes with axes of unlike spread, in random order and of unequal size."""
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    centres = rng.normal(size=(k, d))
    return sep * centres[y] + rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.3, y


def exact(C: float = 1.0, **kwargs: Any) -> LogisticRegression:
    return LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000, **kwargs)


def assert_same(head: Any, reference: Any, x: np.ndarray, rtol: float = 1e-9) -> None:
    """Equal coefficients and decisions, to `rtol` of the largest.

    The Newton decrement is 1e-22 of the objective at most, half the squared error of the logits
    in the metric of the Hessian: relative errors are about 1e-11, times the root of its condition.
    """
    for mine, theirs in (
        (head.coef_, np.atleast_2d(reference.coef_)),  # RidgeClassifierCV: (d,) of two classes
        (head.decision_function(x), reference.decision_function(x)),
    ):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=rtol * np.abs(theirs).max())
    # Intercepts are sums that cancel: they are as exact as what they are summed from.
    np.testing.assert_allclose(
        head.intercept_, reference.intercept_, atol=rtol * (1 + np.abs(theirs).max())
    )
    np.testing.assert_array_equal(head.classes_, reference.classes_)


@parametrize_with_checks(
    list(HEADS),
    expected_failed_checks=lambda head: (
        {
            "check_sample_weight_equivalence_on_dense_data": (
                "leave-one-out takes out a row of weight 2 whole, but only one of two equal rows"
            )
        }
        if isinstance(head, RidgeHeadCV)
        else {}
    ),
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("d", [8, 200])
def test_a_head_is_logistic_regression(k: int, c: float, d: int) -> None:
    x, y = data(k, d=d)
    head, reference = LogisticHead(c).fit(x, y), exact(c).fit(x, y)
    assert head.converged_
    assert_same(head, reference, x)
    np.testing.assert_allclose(head.predict_proba(x), reference.predict_proba(x), atol=1e-9)
    np.testing.assert_allclose(
        head.predict_log_proba(x), reference.predict_log_proba(x), rtol=1e-8, atol=1e-9
    )
    np.testing.assert_array_equal(head.predict(x), reference.predict(x))


@pytest.mark.parametrize("k", [2, 3])
def test_weights_of_rows_and_of_classes_are_those_of_scikit_learn(k: int) -> None:
    x, y = data(k)
    weight = np.random.default_rng(1).uniform(0, 3, len(y)) * (np.arange(len(y)) % 5 > 0)
    factors = {0: 2.0, 1: 0.3}
    head = LogisticHead(class_weight=factors).fit(x, y, weight)
    assert_same(head, exact(class_weight=factors).fit(x, y, weight), x)
    balanced = LogisticHead(class_weight="balanced").fit(x, y)
    assert_same(balanced, exact(class_weight="balanced").fit(x, y), x)


def test_a_balanced_head_counts_weights_as_rows() -> None:
    x, y = data()
    counts = np.random.default_rng(1).integers(3, size=len(y))
    weighted = LogisticHead(class_weight="balanced").fit(x, y, counts)
    repeated = LogisticHead(class_weight="balanced").fit(x.repeat(counts, 0), y.repeat(counts))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-9)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(("scale", "mean"), [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e6), (1e-6, 1.0)])
def test_scale_and_mean_change_no_optimum(k: int, scale: float, mean: float) -> None:
    """Means of 1e6 spreads leave the features 1e-10 of their digits; errors are some of these."""
    x, y = data(k)
    shifted = x * scale + mean
    head, reference = LogisticHead(1 / scale**2).fit(shifted, y), exact().fit(x, y)
    assert head.converged_
    atol = 1e-8 if mean else 1e-9
    np.testing.assert_allclose(head.coef_ * scale, reference.coef_, atol=atol)
    np.testing.assert_allclose(head.predict_proba(shifted), reference.predict_proba(x), atol=atol)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
def test_any_scale_converges_at_the_default_grid(scale: float) -> None:
    """Penalties of up to 1e16 and down to 1e-18 of the loss, on classes that can be separated."""
    x, y = data(n=60, d=100, sep=1.5)
    head = LogisticHeadCV(class_weight="balanced").fit(x * scale, y)  # else shares decide at C = 0
    assert head.converged_
    assert head.n_iter_ < 1000
    assert head.scores_.min() > 0.9
    for c in (1e-2, 1e4):
        assert LogisticHead(c).fit(x * scale, y).converged_


def test_columns_of_unlike_units_are_told() -> None:
    x, y = data()
    units = np.ones(x.shape[1])
    units[0] = 1e5
    heads = (head.fit(x * units, y) for head in (LogisticHead(), exact()))
    mine, theirs = (head.predict_proba(x * units) for head in heads)
    np.testing.assert_allclose(mine, theirs, atol=1e-9)
    units[0] = 1e8
    with pytest.warns(XprobeWarning, match="7 of 8 columns"):
        LogisticHead().fit(x * units, y)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0}])
def test_c_is_chosen_as_by_a_grid_search(k: int, class_weight: Any) -> None:
    """Folds of one size: then all rows together are the mean over folds.

    A path over C is solved in float32 to `RANK_TOLERANCE`, logits to about 1e-3, so that now and
    then one row in hundreds lies too near a border: scores may differ by one row.
    """
    x, y = data(k, n=150)
    folds = list(KFold(5).split(x))
    head = LogisticHeadCV(GRID, cv=folds, class_weight=class_weight).fit(x, y)
    search = GridSearchCV(exact(class_weight=class_weight), {"C": GRID}, cv=folds).fit(x, y)
    accuracy = search.cv_results_["mean_test_score"]
    assert len(np.unique(accuracy)) > 3  # else the choice proves nothing
    np.testing.assert_allclose(head.scores_, accuracy, atol=1.5 / len(y))
    assert head.C_ == search.best_params_["C"]
    assert_same(head, search.best_estimator_, x)
    assert head.at_edge_ == (head.C_ in (GRID[0], GRID[-1]))


def test_folds_may_be_a_number_a_splitter_or_pairs_and_strengths_in_any_order() -> None:
    x, y = data()
    splitter = StratifiedKFold(4)
    heads = [
        LogisticHeadCV(grid, cv=cv).fit(x, y)
        for grid, cv in (
            (GRID, 4),
            (GRID[::-1] + GRID, splitter),
            (np.array(GRID), list(splitter.split(x, y))),
        )
    ]
    for head in heads[1:]:
        np.testing.assert_array_equal(head.c_grid_, GRID)
        np.testing.assert_array_equal(head.scores_, heads[0].scores_)
        np.testing.assert_array_equal(head.coef_, heads[0].coef_)


def test_one_standard_error_takes_the_smallest_c_that_is_as_good() -> None:
    x, y = data()
    best, careful = (LogisticHeadCV(GRID, c_rule=rule).fit(x, y) for rule in ("best", "one-se"))
    np.testing.assert_array_equal(best.scores_, careful.scores_)
    top = best.scores_.max()
    bound = top - np.sqrt(top * (1 - top) / len(y))
    assert careful.C_ == GRID[int(np.argmax(careful.scores_ >= bound))] < best.C_


def test_temperature_calibrates_and_changes_no_label() -> None:
    """On rows that C = 1000 has fitted too well, doubt has to be added."""
    x, y = data(n=1000, d=30, sep=0.2)
    head = LogisticHeadCV([1000.0]).fit(x[:60], y[:60])
    assert head.temperature_ > 1
    assert not head.at_edge_
    new, truth = x[60:], y[60:]
    plain, calibrated = head.predict_proba(new), head.calibrated_proba(new)
    np.testing.assert_array_equal(plain.argmax(1), calibrated.argmax(1))
    true_class = np.arange(len(truth)), truth
    assert -np.log(calibrated[true_class]).mean() < -np.log(plain[true_class]).mean()


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(("n", "d"), [(120, 8), (60, 100)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_ridge_head_is_ridge_classifier_cv(k: int, n: int, d: int, scale: float) -> None:
    x, y = data(k, n, d)
    x = x * scale + 5
    alphas = np.logspace(-3, 3, 7) * scale**2
    for weight in (None, np.random.default_rng(1).uniform(0.5, 2, n)):
        head = RidgeHeadCV(alphas).fit(x, y, weight)
        reference = RidgeClassifierCV(alphas).fit(x, y, weight)
        assert head.alpha_ == reference.alpha_
        assert_same(head, reference, x, 1e-7)
        total = n if weight is None else weight.sum()  # scikit-learn divides by n
        np.testing.assert_allclose(head.best_score_ * total / n, reference.best_score_, rtol=1e-7)
    balanced = RidgeHeadCV(alphas, class_weight="balanced").fit(x, y)
    assert_same(balanced, RidgeClassifierCV(alphas, class_weight="balanced").fit(x, y), x, 1e-7)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (20, 40)])
def test_ridge_errors_are_those_of_heads_without_the_row(n: int, d: int) -> None:
    x, y = data(2, n, d)
    weight = np.random.default_rng(1).uniform(0.5, 2, n)
    for alpha in (1e-6, 1.0):
        head, error = RidgeHeadCV([alpha]).fit(x, y, weight), 0.0
        for row in range(n):
            rest = np.delete(np.arange(n), row)
            without = RidgeHeadCV([alpha]).fit(x[rest], y[rest], weight[rest])
            miss = without.decision_function(x[[row]])[0] - (2 * y[row] - 1)
            error += weight[row] * miss**2
        np.testing.assert_allclose(head.best_score_, -error / weight.sum(), rtol=1e-6)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_heads_are_good_citizens(head: Any) -> None:
    """Labels of any type, clones, pickles, pipelines, and other people's searches."""
    x, y = data()
    names = np.array(["cat", "dog", "eel"])[y]
    copy = clone(head)
    with pytest.raises(NotFittedError):
        copy.predict(x)
    copy.fit(x, names)
    again = pickle.loads(pickle.dumps(copy))
    np.testing.assert_array_equal(again.decision_function(x), copy.decision_function(x))
    assert set(copy.predict(x)) == {"cat", "dog", "eel"}
    assert copy.score(x, names) > 0.5
    assert copy.set_params(class_weight="balanced").get_params()["class_weight"] == "balanced"
    assert not hasattr(clone(copy), "coef_")
    name = type(head).__name__.lower()
    grid = {f"{name}__class_weight": [None, "balanced"]}
    search = GridSearchCV(make_pipeline(StandardScaler(), head), grid, cv=3).fit(x, names)
    assert search.best_score_ > 0.5


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (LogisticHead(0.0), "C must be given as finite numbers above 0"),
        (LogisticHead(-1.0), "C must be"),
        (LogisticHead(np.nan), "C must be"),
        (LogisticHead(class_weight="even"), "class_weight must be None, 'balanced' or a dict"),
        (LogisticHead(class_weight={7: 2.0}), "names 7, which no row is of"),
        (LogisticHead(class_weight={0: -2.0}), "of 0 must be above 0"),
        (LogisticHeadCV(()), "c_grid must be"),
        (LogisticHeadCV((1.0, 0.0)), "c_grid must be"),
        (LogisticHeadCV(1.0), "c_grid must be"),
        (LogisticHeadCV(c_rule="worst"), "c_rule must be one of best, one-se"),
        (LogisticHeadCV(cv=1), "n_splits"),
        (LogisticHeadCV(cv=[(np.arange(120), np.arange(0))]), "no fold has validation rows"),
        (RidgeHeadCV(()), "alphas must be"),
        (RidgeHeadCV((np.inf,)), "alphas must be"),
    ],
)
def test_bad_parameters_are_refused(head: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head.fit(*data())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_bad_data_are_refused(head: Any) -> None:
    x, y = data()
    with pytest.raises(ValueError, match="one class, 0"):
        clone(head).fit(x, 0 * y)
    with pytest.raises(ValueError, match="one class, 1"):
        clone(head).fit(x, y, y == 1)
    with pytest.raises(ValueError, match=r"NaN"):
        clone(head).fit(np.where(x == x.max(), np.nan, x), y)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        clone(head).fit(x, y, np.where(y == 0, -1.0, 1.0))
    with pytest.raises(ValueError, match=r"features"):
        clone(head).fit(x, y).predict(x[:, :3])


def test_a_fold_without_a_class_is_refused() -> None:
    x, y = data()
    y = np.where(np.arange(len(y)) == 0, 9, y)
    with pytest.raises(ValueError, match="training part of a fold lacks a class"):
        LogisticHeadCV(cv=KFold(3)).fit(x, y)
