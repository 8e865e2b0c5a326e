"""Logistic heads of a whole grid: rotation, path over C, inner cross-validation, final fit.

The objective is scikit-learn's: C·Σᵢ CE(W xᵢ + b, yᵢ) + ‖W‖²/2; the intercept b is not penalised.
Four things make a grid of problems cheap without changing any optimum:

* the rows of a problem are rotated into the principal axes of all rows from which it is drawn,
  where the Hessian is nearly diagonal and columns without variance fall away;
* the path over C is solved in waves, from coarse to fine: problems and their inner folds start from
  the path of all rows (of many rows a quarter is solved first), and how far the solved values of C
  moved from this start is interpolated to the next values by a cubic;
* inner folds are sample weights on the rows of their problem, so that all are solved together;
* C is ranked at `RANK_TOLERANCE`, and the reported fit alone is solved to `solver.TOLERANCE`.

A GPU waits for launches, not for products: there all values of C are solved in one wave.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from xprobe.base.arrays import Floats, Ints
from xprobe.engine.device import pick_device
from xprobe.learners.logistic import solver
from xprobe.learners.logistic.basis import Basis
from xprobe.learners.logistic.newton import reference
from xprobe.learners.logistic.paths import cubic, interpolate, shifted, stack, waves
from xprobe.learners.logistic.rows import InMemory, count_rows
from xprobe.learners.logistic.solver import Batch, Solution, Start
from xprobe.learners.problem import (
    IMPOSSIBLE,
    Fit,
    Options,
    Pool,
    Problem,
    as_scores,
    choose,
    class_weights,
    fit_temperature,
)

# The path by which C is chosen is solved to these tolerances of `solver.minimise`.
RANK_TOLERANCE = 1e-6
RANK_GRADIENT_TOLERANCE = 3e-5

# A path that serves only as a start is solved to these tolerances on objective and gradient.
_START_TOLERANCES = 1e-4, 1e-3

# Zero-shot probabilities have this share in soft targets, at this temperature (He et al. 2023).
SOFT_SHARE, SOFT_TEMPERATURE = 0.5, 2.0

# The working arrays of one process get this much memory, or a GPU's; batches are split to fit.
MEMORY_MIB, GPU_MEMORY_MIB = 512, 4096

# From this many rows on, a quarter of them is solved first, as a start for all.
_QUARTER_FROM = 4096

# So many rotated pools are kept in memory. Few suffice, as problems come ordered by mixture.
_MIXTURES = 2


class Logistic:
    """A logistic head that solves problems on one pool.

    Attributes:
        text: whether it starts from the zero-shot logits and penalises the deviation from them, so
            that C → 0 leaves the zero-shot classifier but for its intercepts.
        soft: whether zero-shot probabilities are mixed into the targets of synthetic rows.
        passes: how many passes over the rows all problems took together.
    """

    text = soft = False

    def __init__(self, pool: Pool, options: Options, device: str = "cpu") -> None:
        """Take what all problems share.

        Args:
            pool: the rows.
            options: how C is chosen.
            device: torch device; ``auto``: a CUDA one if there is one, else the CPU.
        """
        self.pool, self.options = pool, options
        self.device = pick_device(device, float64=True)
        self.passes = 0
        self._shared: OrderedDict[tuple[float, ...], _Shared] = OrderedDict()

    def solve(self, problem: Problem) -> Fit:
        """Choose C on the inner folds, fit all training rows, score the test rows."""
        fitted = self.fit(problem)
        logits = fitted.basis.logits(fitted.rotated, problem.test)
        if self.text:
            assert self.pool.text_logits is not None
            logits = logits + self.pool.text_logits[problem.test]
        return Fit(
            as_scores(logits, self.pool.present(problem.train)), fitted.c, fitted.at_edge,
            fitted.fits, fitted.finished, fitted.unconverged, fitted.temperature,
        )  # fmt: skip

    def fit(self, problem: Problem) -> Fitted:
        """Choose C on the inner folds, and fit all training rows."""
        pool, present = self.pool, self.pool.present(problem.train)
        shared = self._share(pool.mixture(problem))
        inner = problem.merged_inner()
        grid = self.options.grid(bool(inner))
        rows = np.unique(np.concatenate([problem.train, *(p for pair in inner for p in pair)]))
        task = _Task(self, shared.basis, rows, count_rows(rows, problem.train), present)
        path, held = task.paths(
            grid, inner=inner, near=shared.path(grid, present), total=shared.task.total
        )
        best, at_edge, temperature, accuracy = 0, False, None, np.zeros(0)
        if inner:
            held_rows = np.concatenate([validation for _, validation in inner])
            truth, weight = pool.y[held_rows], pool.weight[held_rows]
            hits = (held.argmax(axis=2) == truth) @ weight
            accuracy = hits / weight.sum()
            best, at_edge = choose(hits, weight.sum(), self.options.c_rule)
            temperature = fit_temperature(held[best], truth, present, weight)
        (rotated,) = task.final([grid[best]], path.map(lambda t: t[best : best + 1]))
        return Fitted(
            shared.basis, rotated, grid[best], best, at_edge, accuracy, temperature, task.fits,
            task.finished, task.unconverged,
        )  # fmt: skip

    def _share(self, mixture: tuple[float, ...]) -> _Shared:
        if mixture not in self._shared:
            share = np.array(mixture)[self.pool.stratum]
            rows = np.flatnonzero(share)
            basis = Basis(self.pool, share, self.device)
            present = np.unique(self.pool.y[rows])
            self._shared[mixture] = _Shared(basis, _Task(self, basis, rows, share[rows], present))
            while len(self._shared) > _MIXTURES:
                self._shared.popitem(last=False)
        self._shared.move_to_end(mixture)
        return self._shared[mixture]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A head fitted on the training rows of a problem.

    Attributes:
        basis: the basis in which the coefficients stand.
        rotated: (k, r + 1) coefficients in this basis, the intercept last.
        c, best: the chosen C, and its position in the grid.
        at_edge, temperature, fits, finished, unconverged: see `Fit`.
        accuracy: (m,) accuracy of each C on the validation rows of all folds; empty without folds.
    """

    basis: Basis
    rotated: Tensor
    c: float
    best: int
    at_edge: bool
    accuracy: Floats
    temperature: float | None
    fits: int
    finished: int
    unconverged: int

    def linear(self) -> tuple[Floats, Floats]:
        """Return coefficients (k, d) and intercepts (k,) on the pool's own features, float64."""
        return self.basis.linear(self.rotated)


@dataclass(frozen=True, eq=False)
class _Shared:
    """The basis of one mixture, and by grid the path of all its rows, from which problems start."""

    basis: Basis
    task: _Task
    paths: dict[tuple[float, ...], Start] = field(default_factory=dict)

    def path(self, grid: tuple[float, ...], present: Ints) -> Start | None:
        """Return the path (m, …) of all rows, or None for a problem that has other classes."""
        if not np.array_equal(present, self.task.present):
            return None
        if grid not in self.paths:
            self.paths[grid] = replace(self.task.paths(grid, _START_TOLERANCES)[0], logits=None)
        return self.paths[grid]


class _Task:
    """Weighted rows of a pool on which logistic regressions are solved, whole or fold by fold."""

    def __init__(
        self, head: Logistic, basis: Basis, rows: Ints, counts: Floats | Ints, present: Ints
    ) -> None:
        """Take the rows, how often each row counts, and the classes of the rows that count."""
        self.head, self.basis, self.rows, self.counts = head, basis, rows, counts
        self.present, pool = present, head.pool
        self.y, self.k = pool.y[rows], pool.k
        self.x = basis.rows(rows)
        self.target = torch.from_numpy(self._targets()).to(basis.like)
        self.offset = None
        if head.text:
            assert pool.text_logits is not None
            self.offset = torch.from_numpy(pool.text_logits[rows].T.copy()).to(basis.like)
        self.weight, self.total = self._weights(counts)
        self.fits = self.finished = self.unconverged = 0

    def _targets(self) -> Floats:
        """Return the targets (k, n): one-hot classes, softened on synthetic rows if asked."""
        target = np.zeros((self.k, len(self.y)), dtype=np.float32)
        target[self.y, np.arange(len(self.y))] = 1
        if self.head.soft:
            pool = self.head.pool
            assert pool.text_logits is not None
            logits = pool.text_logits[self.rows][:, self.present] / SOFT_TEMPERATURE
            is_synthetic = pool.synthetic[self.rows]
            target[:, is_synthetic] *= 1 - SOFT_SHARE
            soft = SOFT_SHARE * softmax(logits[is_synthetic], axis=1).T
            target[np.ix_(self.present, is_synthetic)] += soft
        return target

    def _weights(self, counts: Floats | Ints) -> tuple[Tensor, float]:
        """Return normalised weights (n,), and their sum before normalisation."""
        options = self.head.options
        weight = class_weights(self.y, counts * self.head.pool.weight[self.rows], options.balanced)
        if options.class_weight:
            weight = weight * np.array(options.class_weight)[self.y]
        total = float(weight.sum())
        return torch.from_numpy(weight / total).to(self.target), total

    def paths(
        self,
        grid: Sequence[float],
        tolerances: tuple[float, float] | None = None,
        inner: Sequence[tuple[Ints, Ints]] = (),
        near: Start | None = None,
        total: float = 0,
    ) -> tuple[Start, Floats]:
        """Solve all rows, and the training rows of inner folds, at each C.

        Args:
            grid: the m values of C, ascending.
            tolerances: on the objective and the gradient; by default those that C is ranked at.
            inner: training and validation rows of each fold.
            near: a path (m, …) to start from.
            total: sum of the weights with which `near` was solved.

        Returns:
            The path (m, …) of all rows, and the logits (m, n, k) of the validation rows, fold after
            fold.
        """
        log_c, near = np.log(grid), self._with_logits(near or self.cold_start(grid))
        weighted = [(self.weight, self.total)]
        weighted += [self._weights(count_rows(self.rows, train)) for train, _ in inner]
        lacking = [np.zeros(0, dtype=np.int64)]
        lacking += [np.setdiff1d(self.present, self.head.pool.y[train]) for train, _ in inner]
        held = [lacking[0], *(np.searchsorted(self.rows, validation) for _, validation in inner)]
        solutions: list[Start] = []
        logits: list[list[Floats]] = []
        batch_size = max(1, self._capacity(6 * len(grid)))
        for chunk in (slice(i, i + batch_size) for i in range(0, len(weighted), batch_size)):
            totals = [fold_total for _, fold_total in weighted[chunk]]
            starts = [shifted(near, log_c, float(np.log(t / (total or t)))) for t in totals]
            for start, classes in zip(starts, lacking[chunk], strict=True):
                self._rule_out(start, classes)
            weight = torch.stack([fold_weight for fold_weight, _ in weighted[chunk]])
            part, fold_logits = self._solve_weightings(
                weight, totals, grid, tolerances or self._tolerances(), stack(starts), held[chunk]
            )
            solutions.append(part.map(lambda t: t[0].clone()))
            logits += fold_logits
        return solutions[0], np.concatenate([np.stack(fold) for fold in logits], axis=1)

    def cold_start(self, grid: Sequence[float]) -> Start:
        """Return a start without a path: that of a quarter of many rows, or zeros for few rows.

        Classes without training images get an impossible intercept.
        """
        if len(self.rows) >= _QUARTER_FROM and not self.x.is_on_gpu:
            order = np.lexsort((np.random.default_rng(0).random(len(self.y)), self.y))
            rank = np.arange(len(order)) - np.searchsorted(self.y[order], self.y[order])
            quarter = np.sort(order[rank % 4 == 0])  # Every class has a quarter of its rows here.
            counts = self.counts[quarter] * (self.counts.sum() / self.counts[quarter].sum())
            task = _Task(self.head, self.basis, self.rows[quarter], counts, self.present)
            path, _ = task.paths(grid, _START_TOLERANCES)
            return Start(path.coefficients, curvature=path.curvature)
        zeros = self.target.new_zeros(len(grid), self.k, self.x.d)
        absent = np.setdiff1d(np.arange(self.k), self.present)
        zeros[:, torch.from_numpy(absent).to(zeros.device), -1] = IMPOSSIBLE
        return Start(zeros)

    def _with_logits(self, path: Start) -> Start:
        """Return a path with its logits, if memory allows to keep them."""
        m = len(path.coefficients)
        if not self._capacity(6 * m):
            return path
        z = self.x.times(path.coefficients.flatten(0, 1)).view(m, self.k, -1)
        return replace(path, logits=z if self.offset is None else z + self.offset)

    def _rule_out(self, start: Start, classes: Ints) -> None:
        """Give classes that a fold lacks an impossible intercept, since their best one is −∞."""
        if len(classes):
            absent = torch.from_numpy(classes).to(start.coefficients.device)
            if start.logits is not None:
                shift = IMPOSSIBLE - start.coefficients[:, absent, -1]
                start.logits[:, absent] += shift[:, :, None]
            start.coefficients[:, absent, -1] = IMPOSSIBLE

    def _solve_weightings(
        self,
        weight: Tensor,
        totals: list[float],
        grid: Sequence[float],
        tolerances: tuple[float, float],
        start: Start,
        held: Sequence[Ints] = (),
    ) -> tuple[Start, list[list[Floats]]]:
        """Solve F weightings (F, n) of the rows at each C of a grid, from a start (F, m, …).

        Returns:
            The solutions (F, m, …), and for each weighting the logits (m, n, k) of `held` rows.
        """
        folds, m = start.coefficients.shape[:2]
        log_c = np.log(grid)
        now = start.map(torch.clone)
        curvature = torch.empty_like(start.coefficients)
        stretch = curvature.new_ones(folds, m)
        logits: list[list[Floats]] = [[np.zeros(0)] * m for _ in held]
        known: list[int] = []
        for wave in waves(m, at_once=self.x.is_on_gpu):
            for i in wave if known else ():
                near, share = cubic(log_c[known], log_c[i])
                interpolate(now, start, i, [known[j] for j in near], share)
            penalty = [self._penalty(grid[i], total) for total in totals for i in wave]
            fold_of = torch.arange(folds, device=weight.device).repeat_interleave(len(wave))
            solution = self._minimise(
                self._batch(weight, fold_of, penalty),
                Start(
                    now.coefficients[:, wave].flatten(0, 1),
                    None if now.logits is None else now.logits[:, wave].flatten(0, 1),
                    None if now.curvature is None else now.curvature[:, wave].flatten(0, 1),
                ),
                *tolerances,
            )
            z = solution.logits.unflatten(0, (folds, -1))
            now.coefficients[:, wave] = solution.coefficients.unflatten(0, (folds, -1))
            curvature[:, wave] = solution.curvature.unflatten(0, (folds, -1))
            stretch[:, wave] = solution.stretch.unflatten(0, (folds, -1))
            if now.logits is not None:
                now.logits[:, wave] = z
            for fold, rows in enumerate(held):
                held_logits = z[fold][:, :, torch.from_numpy(rows).to(z.device)].transpose(1, 2)
                for i, logits_at_c in zip(wave, held_logits.cpu().numpy(), strict=True):
                    logits[fold][i] = logits_at_c
            known = sorted([*known, *wave])
        return Start(now.coefficients, now.logits, curvature, stretch), logits

    def _capacity(self, arrays: int) -> int:
        """Return how many problems fit into memory if each needs this many (k, n) arrays."""
        mib = GPU_MEMORY_MIB if self.x.is_on_gpu else MEMORY_MIB
        return int(mib * 2**20 // (4 * self.k * (len(self.rows) + self.x.d) * arrays))

    def _batch(self, weight: Tensor, weight_of: Tensor, penalty: list[float]) -> Batch:
        λ = weight.new_tensor(penalty)
        return Batch(self.x, self.target, weight, weight_of, λ, self.offset, not self.head.soft)

    def _penalty(self, c: float, total: float) -> float:
        # With two classes scikit-learn penalises their difference alone, which is half as much.
        return (2 if len(self.present) == 2 else 1) / (c * total)

    def _tolerances(self) -> tuple[float, float]:
        if self.head.options.full_tolerance:
            return solver.TOLERANCE, solver.GRADIENT_TOLERANCE
        return RANK_TOLERANCE, RANK_GRADIENT_TOLERANCE

    def final(self, grid: Sequence[float], path: Start) -> Tensor:
        """Return the coefficients (m, k, d) of all rows at each C, to full tolerance."""
        weight_of = torch.zeros(len(grid), dtype=torch.long, device=self.weight.device)
        penalty = [self._penalty(c, self.total) for c in grid]
        batch = self._batch(self.weight[None], weight_of, penalty)
        # The logits are computed anew, as those of a path have added up the rounding of each step.
        near = Start(path.coefficients, stretch=path.stretch)
        solution = self._minimise(batch, near, solver.TOLERANCE, solver.GRADIENT_TOLERANCE)
        self.fits -= len(grid)  # The path has counted these fits already.
        self.finished = min(self.finished, self.fits)
        return solution.coefficients

    def _minimise(
        self, batch: Batch, start: Start, tolerance: float, gradient_tolerance: float
    ) -> Solution:
        """Minimise a batch in parts that fit into memory, and finish what has not converged."""
        p = len(start.coefficients)
        batch_size = max(1, self._capacity(12))
        parts = []
        for numbers in torch.arange(p, device=self.weight.device).split(batch_size):
            part = batch.select(numbers)
            near = start.map(lambda t, numbers=numbers: t[numbers])  # type: ignore[misc]  # Types of lambdas.
            solution = solver.minimise(part, near, tolerance, gradient_tolerance)
            self.head.passes += int(solution.passes.sum())
            for j in (~solution.converged).nonzero()[:, 0].tolist():
                self._finish(part, j, solution, tolerance, gradient_tolerance)
            parts.append(solution)
        self.fits += p
        if len(parts) == 1:
            return parts[0]
        return Solution(*(torch.cat([getattr(s, f.name) for s in parts]) for f in fields(Solution)))

    def _finish(
        self, batch: Batch, j: int, solution: Solution, tolerance: float, gradient: float
    ) -> None:
        """Solve problem j anew, in place: in float64, and if that fails by scikit-learn."""
        self.finished += 1
        problem = batch.select(torch.tensor([j], device=self.weight.device)).double()
        start = Start(solution.coefficients[j : j + 1].double())
        retry = solver.minimise(problem, start, tolerance, gradient)
        solution.coefficients[j], solution.logits[j] = retry.coefficients[0], retry.logits[0]
        converged = bool(retry.converged[0])
        if not converged and isinstance(self.x, InMemory) and not self.head.text:
            x, weight = self.x.x.double().cpu(), problem.weight[problem.weight_of[0]].cpu()
            λ = float(problem.penalty[0])
            w, converged = reference(x.numpy(), self.y, weight.numpy(), λ, self.k)
            solution.coefficients[j] = torch.from_numpy(w)
            solution.logits[j] = self.x.times(solution.coefficients[j])
        self.unconverged += not converged


def solve_path(
    pool: Pool, rows: Ints, grid: Sequence[float], device: str = "cpu"
) -> tuple[Floats, Floats]:
    """Solve the path over C of some rows of a pool, each of its fits to full tolerance.

    Args:
        pool: the rows, and whether they are scaled to length 1.
        rows: numbers of the rows to train on.
        grid: the m values of C, ascending.
        device: torch device.

    Returns:
        Coefficients (m, k, d) and intercepts (m, k) on the pool's features, float64.
    """
    present = pool.present(rows)
    share = count_rows(np.arange(len(pool.y)), rows)
    head = Logistic(pool, Options(tuple(grid)), device)
    rows = np.flatnonzero(share)
    basis = Basis(pool, share, device)
    task = _Task(head, basis, rows, share[rows], present)
    path = task.cold_start(grid) if task.x.is_on_gpu else task.paths(grid, _START_TOLERANCES)[0]
    rotated = task.final(grid, path)
    linear = [basis.linear(coefficients) for coefficients in rotated]
    return np.stack([w for w, _ in linear]), np.stack([b for _, b in linear])
