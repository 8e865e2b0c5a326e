"""The solver's minima are those of an independent optimiser, in whatever company they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

from xprobe.learners.logistic import basis, solver
from xprobe.learners.logistic.basis import Streamed, principal_axes
from xprobe.learners.logistic.rows import InMemory
from xprobe.learners.logistic.solver import Batch, Solution, Start
from xprobe.learners.problem import Pool

# The solver promises an objective at most this far above its minimum, relative.
GAP = 1e-6
# Up to this C float32 reaches it; beyond, it may leave a problem to float64.
C_ALWAYS = 100.0
KINDS = ("plain", "power law", "duplicated", "constant", "one row a class")


@pytest.fixture(autouse=True, scope="module")
def one_core() -> Iterator[None]:
    """Run on one core, as threads cost more than they bring where everything is small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@dataclass
class Case:
    """One problem in float32; x has the intercept's column, target is (k, n)."""

    x: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    penalty: float
    offset: np.ndarray | None
    hard: bool

    def objective(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Return f(W) in float64, written as in the docstring of the solver, and its gradient."""
        w, x, t = flat.reshape(len(self.target), -1), self.x.astype(np.float64), self.target.T
        log_p = log_softmax(self.logits(w), axis=1)
        penalty = np.full_like(w, self.penalty)
        penalty[:, -1] = 0
        residual = self.weight[:, None] * (np.exp(log_p) * t.sum(axis=1, keepdims=True) - t)
        value = -(self.weight[:, None] * t * log_p).sum() + (penalty * w**2).sum() / 2
        return float(value), (residual.T @ x + penalty * w).ravel()

    def hessian(self, flat: np.ndarray) -> np.ndarray:
        w, x = flat.reshape(len(self.target), -1), self.x.astype(np.float64)
        p = np.exp(log_softmax(self.logits(w), axis=1))
        inner = p[:, :, None] * (np.eye(len(w)) - p[:, None])
        whole = np.einsum("n,nab,nd,ne->adbe", self.weight, inner, x, x, optimize=True)
        penalty = np.full_like(w, self.penalty)
        penalty[:, -1] = 0
        return whole.reshape(w.size, w.size) + np.diag(penalty.ravel())

    def logits(self, w: np.ndarray) -> np.ndarray:
        z = self.x.astype(np.float64) @ w.T
        return z if self.offset is None else z + self.offset.T

    def minimum(self) -> float:
        """Return the minimum by scipy's trust region with the exact Hessian, in float64."""
        zero = np.zeros(len(self.target) * self.x.shape[1])
        options = {"gtol": 1e-10, "maxiter": 1000}
        solution = minimize(
            self.objective, zero, method="trust-exact", jac=True, hess=self.hessian, options=options
        )
        # Rounding may end scipy's method a step early, but another step would gain next to nothing.
        step = np.linalg.lstsq(self.hessian(solution.x), solution.jac, rcond=1e-13)[0]
        assert solution.jac @ step / 2 < 1e-3 * GAP * solution.fun
        return float(solution.fun)

    def gap(self, coefficients: torch.Tensor) -> float:
        least = self.minimum()
        return (self.objective(coefficients.double().numpy().ravel())[0] - least) / least


def case(kind: str, c: float, hard: bool, offset: bool, seed: int) -> Case:
    """Return a random problem, rotated into its principal axes as the solver asks for."""
    rng = np.random.default_rng(seed)
    k, d = int(rng.integers(2, 5)), int(rng.integers(1, 14))
    n = k if kind == "one row a class" else int(rng.integers(2 * k, 60))
    y = rng.permutation(np.arange(n) % k)
    x = rng.choice([0, 0.3, 3]) * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d))
    if kind == "power law":
        x *= np.arange(1, d + 1.0) ** -rng.choice([1, 2, 4])
    elif kind == "duplicated":
        x = np.hstack([x, x, x[:, :1]])
    elif kind == "constant":
        x[:, : d // 2] = 1
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weight = rng.choice([0.0, 1.0, 1.0, 3.0], size=n)
    weight[np.unique(y, return_index=True)[1]] = 1  # Every class has a row that counts.
    target = np.eye(k)[y].T
    if not hard:
        target = 0.5 * target + 0.5 * rng.dirichlet(np.ones(k), n).T
    return Case(
        x=principal_axes(x, weight).rotate(x),
        target=target.astype(np.float32),
        weight=(weight / weight.sum()).astype(np.float32),
        penalty=float(np.float32(1 / (c * weight.sum()))),
        offset=2 * rng.normal(size=(k, n)).astype(np.float32) if offset else None,
        hard=hard,
    )


def batch(
    problem: Case, weight: np.ndarray | None = None, penalty: list[float] | None = None
) -> Batch:
    """Return a case as a batch; `weight` (p, n) and `penalty` replace its own."""
    weight = problem.weight[None] if weight is None else weight
    λ = [problem.penalty] if penalty is None else penalty
    offset = None if problem.offset is None else torch.from_numpy(problem.offset)
    return Batch(
        InMemory(torch.from_numpy(problem.x)),
        torch.from_numpy(problem.target),
        torch.from_numpy(weight),
        torch.arange(len(weight)),
        torch.tensor(λ),
        offset,
        problem.hard,
    )


def zero(problems: Batch) -> Start:
    shape = (len(problems.weight_of), len(problems.target), problems.rows.d)
    return Start(torch.zeros(shape, dtype=problems.target.dtype))


def minimum(problems: Batch, most_passes: int = solver.MOST_PASSES) -> Solution:
    return solver.minimise(problems, zero(problems), most_passes=most_passes)


CASES = st.builds(
    case,
    kind=st.sampled_from(KINDS),
    c=st.floats(-6, 5).map(lambda power: 10**power),
    hard=st.booleans(),
    offset=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)


@settings(max_examples=100)
@given(CASES)
def test_what_is_called_converged_is_within_a_millionth_of_the_minimum(problem: Case) -> None:
    solution = minimum(batch(problem))
    if not solution.converged[0]:
        assert 1 / problem.penalty > C_ALWAYS  # At least one row counts.
        problems = batch(problem).double()
        solution = minimum(problems, most_passes=20_000)
    assert solution.converged[0]
    assert problem.gap(solution.coefficients[0]) <= GAP


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hard", [True, False])
def test_up_to_c_of_a_hundred_float32_converges(kind: str, hard: bool) -> None:
    for seed, c in enumerate(np.logspace(-6, np.log10(C_ALWAYS), 9)):
        solution = minimum(batch(case(kind, c, hard, offset=False, seed=seed)))
        assert solution.converged[0]


def several(problem: Case) -> tuple[np.ndarray, list[float]]:
    """Return weights (4, n) that leave different rows out, and a penalty for each."""
    rng = np.random.default_rng(0)
    weight = rng.choice([0.0, 1.0, 2.0], size=(4, len(problem.weight)))
    weight[:, :8] = 1  # Every class has a row that counts.
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32), [1.0, 0.1, 1e-2, 1e-3]


def mixed(offset: bool = False, hard: bool = True) -> Case:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(48, 6)) * np.arange(1, 7.0) ** -1.0
    y = np.arange(48) % 4
    x[:, :4] += 0.5 * np.eye(4)[y]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weight = np.full(48, 1 / 48, dtype=np.float32)
    target = np.eye(4, dtype=np.float32)[y].T
    if not hard:
        target = (0.5 * target + 0.125).astype(np.float32)
    shift = rng.normal(size=(4, 48)).astype(np.float32) if offset else None
    return Case(principal_axes(x, weight).rotate(x), target, weight, 1e-2, shift, hard)


@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize("hard", [True, False])
def test_problems_of_a_batch_do_not_change_one_another(offset: bool, hard: bool) -> None:
    problem = mixed(offset, hard)
    weight, penalty = several(problem)
    order = np.array([2, 0, 3, 1])
    together = minimum(batch(problem, weight, penalty))
    permuted = minimum(batch(problem, weight[order], [penalty[i] for i in order]))
    for i in range(4):
        single = Case(
            problem.x,
            problem.target,
            weight[i],
            float(np.float32(penalty[i])),
            problem.offset,
            hard,
        )
        alone = minimum(batch(single))
        for solution in (together.coefficients[i], permuted.coefficients[order == i][0]):
            assert single.gap(solution) <= GAP
        assert single.gap(alone.coefficients[0]) <= GAP
        z = single.logits(together.coefficients[i].double().numpy())
        rounding = 64 * np.finfo(np.float32).eps * np.abs(z).max()  # of a sum of steps
        assert_allclose(together.logits[i].T, z, atol=rounding)


def test_problems_may_share_weights() -> None:
    problem = mixed()
    weight, penalty = several(problem)
    apart = batch(problem, weight[[1, 0, 1]], [penalty[i] for i in (0, 1, 2)])
    shared = Batch(
        apart.rows,
        apart.target,
        torch.from_numpy(weight[:2]),
        torch.tensor([1, 0, 1]),
        apart.penalty,
    )
    assert_array_equal(minimum(apart).coefficients, minimum(shared).coefficients)


def test_the_order_of_rows_and_of_classes_does_not_matter() -> None:
    problem = mixed(offset=True)
    assert problem.offset is not None
    rng = np.random.default_rng(0)
    rows, classes = rng.permutation(48), rng.permutation(4)
    moved = Case(
        problem.x[rows],
        problem.target[np.ix_(classes, rows)],
        problem.weight[rows],
        problem.penalty,
        problem.offset[np.ix_(classes, rows)],
        hard=True,
    )
    solution = minimum(batch(moved)).coefficients[0]
    back = torch.empty_like(solution)
    back[torch.from_numpy(classes)] = solution
    assert problem.gap(back) <= GAP


def test_a_row_of_weight_0_leaves_no_trace() -> None:
    problem = mixed()
    weight = problem.weight.copy()
    weight[40:] = 0
    weight /= weight.sum()
    x = problem.x.copy()
    x[40:, :-1] *= 100
    changed = Case(x, np.roll(problem.target, 1, axis=0), weight, problem.penalty, None, hard=True)
    changed.target[:, :40] = problem.target[:, :40]
    without = Case(
        problem.x[:40], problem.target[:, :40], weight[:40], problem.penalty, None, hard=True
    )
    assert without.gap(minimum(batch(changed)).coefficients[0]) <= GAP


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_the_start_does_not_matter(scale: float) -> None:
    problem = mixed()
    far = scale * torch.from_numpy(np.random.default_rng(1).normal(size=(1, 4, problem.x.shape[1])))
    start = Start(far.float())
    assert problem.gap(solver.minimise(batch(problem), start).coefficients[0]) <= GAP
    z = batch(problem).rows.times(far[0].float())[None]
    known = Start(far.float(), z, torch.full_like(far.float(), 0.1))
    assert problem.gap(solver.minimise(batch(problem), known).coefficients[0]) <= GAP


def test_a_solution_is_a_start_that_needs_no_pass() -> None:
    problems = batch(mixed())
    solution = minimum(problems)
    again = solver.minimise(
        problems, Start(solution.coefficients, solution.logits, solution.curvature)
    )
    assert again.passes[0] <= 1  # Rounding may take one pass.


def test_a_problem_that_may_not_go_on_is_told_unconverged() -> None:
    problem = mixed()
    stopped = minimum(batch(problem), most_passes=2)
    assert (bool(stopped.converged[0]), int(stopped.passes[0])) == (False, 2)
    assert problem.gap(stopped.coefficients[0]) > GAP


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_where_only_rounding_is_left_does_no_harm(kind: str) -> None:
    for seed, c in enumerate([1e-6, 1e-3, 1.0]):
        problem = case(kind, c, hard=True, offset=True, seed=seed)
        solution = solver.minimise(batch(problem), zero(batch(problem)), tolerance=0)
        assert problem.gap(solution.coefficients[0]) <= GAP


def test_losses_far_below_the_resolution_of_float32_are_minimised() -> None:
    """The rows are separable and C is 10⁵, so that 1 − p is of the order of 10⁻⁵ and less."""
    x = np.eye(3, dtype=np.float32).repeat(5, axis=0)
    weight = np.full(15, 1 / 15, dtype=np.float32)
    target = np.eye(3, dtype=np.float32).repeat(5, axis=0).T
    rotated = principal_axes(x, weight).rotate(x)
    problem = Case(rotated, target, weight, float(np.float32(1e-5 / 15)), None, hard=True)
    solution = minimum(batch(problem))
    assert solution.converged[0]
    assert problem.minimum() < 1e-3
    assert problem.gap(solution.coefficients[0]) <= GAP


@pytest.mark.parametrize(("n", "d"), [(40, 7), (7, 40), (7, 7)])
def test_principal_axes_diagonalise_and_keep_distances(n: int, d: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    weight = rng.uniform(0.5, 2, size=n)
    axes = principal_axes(x, weight)
    centred = (x - axes.mean) @ axes.axes
    share = weight / weight.sum()
    assert_allclose(axes.mean, share @ x, atol=1e-12)
    covariance = (centred * share[:, None]).T @ centred
    assert_allclose(covariance, np.diag(axes.variance), atol=1e-12)
    assert (np.diff(axes.variance) <= 0).all()
    assert_allclose(centred @ centred.T, (x - axes.mean) @ (x - axes.mean).T, atol=1e-10)


@pytest.mark.parametrize("keep_null", [False, True])
def test_a_device_finds_the_same_axes_and_rotates_alike(keep_null: bool) -> None:
    rng = np.random.default_rng(0)
    x = np.hstack([rng.normal(size=(40, 5)), np.ones((40, 1))]).astype(np.float32)
    weight = rng.uniform(0.5, 2, size=40)
    expected = principal_axes(x, weight, keep_null)
    axes = basis.principal_axes_on_device(torch.from_numpy(x), weight, keep_null)
    assert axes.axes.shape == expected.axes.shape == (6, 6 if keep_null else 5)
    assert_allclose(axes.mean, expected.mean, atol=1e-6)
    assert_allclose(axes.variance, expected.variance, atol=1e-6)
    assert_allclose(np.abs((axes.axes * expected.axes).sum(axis=0)), 1, atol=1e-6)
    rotated = basis.rotate_on_device(expected, torch.from_numpy(x))
    assert rotated.dtype == torch.float32
    assert_allclose(rotated.numpy(), expected.rotate(x), atol=1e-6)


def test_columns_without_variance_and_rows_without_weight_have_no_axes() -> None:
    rng = np.random.default_rng(0)
    x = np.hstack([rng.normal(size=(30, 3)), np.ones((30, 2))])
    weight = np.ones(30)
    weight[10:] = 0
    whole = principal_axes(np.hstack([x, x]), weight)
    assert whole.axes.shape == (10, 3)
    part = principal_axes(np.hstack([x, x])[:10], np.ones(10))
    assert_allclose(whole.variance, part.variance, rtol=1e-10)


def test_rows_that_are_streamed_multiply_as_those_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(basis, "_CHUNK", 16)
    rng = np.random.default_rng(0)
    pool = Pool(rng.normal(size=(50, 6)), np.arange(50) % 2, 2)
    axes = principal_axes(pool.rows(), np.ones(50))
    rows = rng.permutation(50)[:37]
    streamed = Streamed(pool, rows, axes, torch.zeros(0, dtype=torch.float64))
    x = np.hstack([(pool.rows(rows) - axes.mean) @ axes.axes, np.ones((37, 1))])
    dense = InMemory(torch.from_numpy(x))
    assert (streamed.n, streamed.d) == (dense.n, dense.d) == (37, 7)
    w, r = torch.from_numpy(rng.normal(size=(3, 7))), torch.from_numpy(rng.normal(size=(3, 37)))
    assert_allclose(streamed.times(w), dense.times(w), atol=1e-12)
    assert_allclose(streamed.gather(r), dense.gather(r), atol=1e-12)
    assert_allclose(streamed.gather_squares(r), dense.gather_squares(r), atol=1e-12)
