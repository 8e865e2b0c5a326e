"""The heads are the optimum, whatever the grid they are solved in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from xprobe import heads
from xprobe.errors import XprobeError
from xprobe.heads import Problem


def pool(
    n: int = 90, d: int = 12, k: int = 3, spread: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % k)
    centres = rng.normal(size=(k, d))
    x = centres[y] + spread * rng.normal(size=(n, d))
    return x.astype(np.float32), y.astype(np.intp)


def halves(n: int, folds: int = 3) -> tuple[np.ndarray, np.ndarray, tuple]:  # type: ignore[type-arg]
    train, test = np.arange(0, n, 2), np.arange(1, n, 2)
    inner = tuple((np.delete(train, np.s_[i::folds]), train[i::folds]) for i in range(folds))
    return train, test, inner


def only(found: object) -> heads.Fit:
    ((_, fit),) = found  # type: ignore[misc]
    return fit


def objective(
    flat: np.ndarray, x: np.ndarray, y: np.ndarray, k: int, c: float
) -> tuple[float, np.ndarray]:
    """Return C·Σ cross-entropy + ‖W‖²/2, the intercept not penalised, and its gradient."""
    weights = flat.reshape(k, -1)
    rows = np.hstack([x, np.ones((len(x), 1))])
    log_p = log_softmax(rows @ weights.T, axis=1)
    penalised = weights * ([1.0] * x.shape[1] + [0.0])
    residual = np.exp(log_p) - np.eye(k)[y]
    value = -c * log_p[np.arange(len(y)), y].sum() + (penalised**2).sum() / 2
    return float(value), (c * residual.T @ rows + penalised).ravel()


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_scores_are_those_of_an_independent_optimiser(c: float) -> None:
    """The mean loss is 1/(C·n)-strongly convex, so a gradient of ε bounds the error by ε·C·n."""
    x, y = pool()
    train, test, _ = halves(len(y))
    fit = only(heads.solve(x, y, 3, [Problem(train, test, ())], [c], workers=1))
    unit = heads.unit_rows(x).astype(np.float64)
    start = np.zeros(3 * (x.shape[1] + 1))
    best = minimize(
        objective, start, (unit[train], y[train], 3, c), "BFGS", jac=True, options={"gtol": 1e-9}
    )
    weights = best.x.reshape(3, -1)
    expected = log_softmax(unit[test] @ weights[:, :-1].T + weights[:, -1], axis=1)
    gradient_norm = heads.TOLERANCE * np.sqrt(weights.size)
    np.testing.assert_allclose(fit.score, expected, atol=2 * gradient_norm * c * len(train) + 1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_repeating_every_row_is_multiplying_c(k: int) -> None:
    x, y = pool(k=k)
    train, test, _ = halves(len(y))
    thrice = only(heads.solve(x, y, k, [Problem(np.tile(train, 3), test, ())], [2.0], workers=1))
    scaled = only(heads.solve(x, y, k, [Problem(train, test, ())], [6.0], workers=1))
    np.testing.assert_allclose(thrice.score, scaled.score, atol=1e-5)


def test_at_c_near_0_every_image_gets_the_class_shares() -> None:
    x, y = pool()
    train, test, _ = halves(len(y))
    train = train[: len(train) - 5]
    fit = only(heads.solve(x, y, 3, [Problem(train, test, ())], [1e-9], workers=1))
    shares = np.bincount(y[train]) / len(train)
    np.testing.assert_allclose(np.exp(fit.score), np.tile(shares, (len(test), 1)), atol=1e-4)


def test_fewer_rows_than_columns_and_null_columns_lose_nothing() -> None:
    """Rotated problems give what the plain ones give."""
    from sklearn.linear_model import LogisticRegression

    x, y = pool(n=40, d=100)
    x = np.hstack([x, np.zeros((40, 7), np.float32), x[:, :3]])
    train, test, _ = halves(40)
    fit = only(heads.solve(x, y, 3, [Problem(train, test, ())], [10.0], workers=1))
    unit = heads.unit_rows(x).astype(np.float64)
    plain = LogisticRegression(C=10.0, tol=1e-10, max_iter=10_000).fit(unit[train], y[train])
    np.testing.assert_allclose(
        fit.score, plain.predict_log_proba(unit[test]), atol=heads.TOLERANCE * 10 * 20 * 20
    )


def test_scale_of_the_features_does_not_matter() -> None:
    x, y = pool()
    train, test, inner = halves(len(y))
    grid = [0.1, 10.0]
    problem = [Problem(train, test, inner)]
    one = only(heads.solve(x, y, 3, problem, grid, workers=1))
    scaled = x * np.linspace(0.5, 20, len(x), dtype=np.float32)[:, None]
    other = only(heads.solve(scaled, y, 3, problem, grid, workers=1))
    np.testing.assert_allclose(one.score, other.score, atol=1e-4)


def test_c_is_the_best_on_the_inner_validation_images() -> None:
    x, y = pool(spread=2.0)
    train, test, inner = halves(len(y))
    grid = [1e-4, 0.1, 1.0, 10.0, 1e4]
    fit = only(heads.solve(x, y, 3, [Problem(train, test, inner)], grid, workers=1))
    hits = []
    for c in grid:
        found = heads.solve(x, y, 3, [Problem(a, b, ()) for a, b in inner], [c], workers=1)
        hits.append(sum((f.score.argmax(1) == y[inner[i][1]]).sum() for i, f in found))
    assert fit.c == grid[int(np.argmax(hits))]
    assert fit.at_edge == (fit.c in (grid[0], grid[-1]))
    assert fit.fits == len(grid) * len(inner) + 1
    assert fit.unconverged == 0


def test_a_tie_takes_the_smallest_c_and_an_edge_is_told() -> None:
    x, y = pool(spread=0.01)
    train, test, inner = halves(len(y))
    fit = only(heads.solve(x, y, 3, [Problem(train, test, inner)], [1.0, 10.0, 100.0], workers=1))
    assert (fit.c, fit.at_edge) == (1.0, True)


def test_without_inner_folds_c_is_fixed() -> None:
    x, y = pool()
    train, test, _ = halves(len(y))
    fit = only(heads.solve(x, y, 3, [Problem(train, test, ())], [0.1, 1.0], workers=1))
    assert (fit.c, fit.at_edge) == (heads.C_WITHOUT_CHOICE, False)


def test_neither_processes_nor_company_change_a_score() -> None:
    x, y = pool()
    train, test, inner = halves(len(y))
    problems = [Problem(train, test, inner), Problem(test, train, ()), Problem(train, test, inner)]
    alone = only(heads.solve(x, y, 3, problems[:1], [0.1, 1.0], workers=1))
    together = dict(heads.solve(x, y, 3, problems, [0.1, 1.0], workers=2))
    assert set(together) == {0, 1, 2}
    np.testing.assert_allclose(together[0].score, alone.score, atol=1e-6)
    assert together[2] is together[0]


def test_a_class_without_training_images_is_never_predicted_and_the_score_is_finite() -> None:
    x, y = pool()
    train = np.flatnonzero(y != 1)
    fit = only(heads.solve(x, y, 3, [Problem(train, np.arange(9), ())], [1.0], workers=1))
    assert np.isfinite(fit.score).all()
    assert not (fit.score.argmax(axis=1) == 1).any()


def test_a_single_class_cannot_be_learned() -> None:
    x, y = pool()
    problem = Problem(np.flatnonzero(y == 1), np.arange(9), ())
    with pytest.raises(XprobeError, match="fewer than two classes"):
        list(heads.solve(x, y, 3, [problem], [1.0], workers=1))


def test_rows_of_zeros_stay_finite() -> None:
    x, y = pool()
    x[0] = 0
    train, test, _ = halves(len(y))
    fit = only(heads.solve(x, y, 3, [Problem(train, test, ())], [1.0], workers=1))
    assert np.isfinite(fit.score).all()
