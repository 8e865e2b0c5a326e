"""Many multinomial logistic regressions on one pool of rows, minimised together.

For each problem p of a batch, with sample weights w that sum to 1,

    f(W) = Σᵢ wᵢ·CE(W xᵢ + oᵢ, tᵢ) + λ/2 ‖W without its last column‖²

is minimised by L-BFGS with a diagonal preconditioner (Nocedal & Wright 2006, ch. 7), all problems
in step: their coefficients stand in one matrix, so that each pass is two large matrix products
however many problems there are. What decides on the course, a few numbers a problem, is computed on
the host: a GPU takes as long to launch an operation on few numbers as on many, and each decision
has to wait for them in any case. A diagonal preconditioner is only any good if the columns are
uncorrelated: rotate the rows into their principal axes first (`basis`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xprobe.learners.logistic.rows import Rows, is_many

# A problem is done when its estimated relative distance to the optimal objective is this small.
TOLERANCE = 3e-8

# The estimate can be too low. Where a tolerance below this one is asked for, the estimate times the
# factor by which it was seen to be too low must be at most this, too.
_SURE = 1e-7

# ‖∇f‖ must be this small, too. Alone it would stop too late at large C, and too early at small C.
GRADIENT_TOLERANCE = 1e-5

MOST_PASSES = 200

# L-BFGS remembers so many steps; the longer memory saves passes, which cost most with many rows.
# On a GPU they cost less than the operations on the memory.
_HISTORY, _LONG_HISTORY = 2, 20

# The preconditioner is renewed at these passes.
_REFRESH = frozenset({0, 6, 16, 40, 100})

# The curvature of an intercept counts as at least this, as no penalty bounds it from below.
_INTERCEPT_FLOOR = 1e-3

# A step is long enough once the slope along it has fallen to this share.
_SLOPE_LEFT = 0.3

_MOST_TRIALS = 20


@dataclass(frozen=True, eq=False)
class Batch:
    """Problems on one pool; all tensors of one type and on one device.

    Attributes:
        rows: the pool.
        target: (k, n) class probabilities of each row, one-hot for labels.
        weight: (f, n) sample weights, each of sum 1; 0 leaves a row out.
        weight_of: (p,) the row of `weight` that each problem has.
        penalty: (p,) λ; that of scikit-learn's C is 1/(C·S), S the sum of the weights before they
            were normalised.
        offset: (k, n) logits that are added to all problems', or None.
        hard: whether all targets are one-hot. Residuals are then computed without cancellation,
            so that float32 holds for losses far below its resolution.
    """

    rows: Rows
    target: Tensor
    weight: Tensor
    weight_of: Tensor
    penalty: Tensor
    offset: Tensor | None = None
    hard: bool = True

    def select(self, problems: Tensor) -> Batch:
        """Return some of the problems, by number."""
        return replace(self, weight_of=self.weight_of[problems], penalty=self.penalty[problems])

    def double(self) -> Batch:
        """Return the same problems in float64."""
        return replace(
            self,
            rows=self.rows.double(),
            target=self.target.double(),
            weight=self.weight.double(),
            penalty=self.penalty.double(),
            offset=None if self.offset is None else self.offset.double(),
        )


@dataclass(frozen=True, eq=False)
class Start:
    """Where problems are started.

    Attributes:
        coefficients: (p, k, d).
        logits: (p, k, n) logits of all rows, offset included, or None: not known. The solver
            overwrites them.
        curvature: (p, k, d) Hessian diagonal of the loss, without the penalty, or None: not known.
            It need not be exact: it only decides the speed, and is renewed on long ways.
        stretch: (p,) factor by which the estimated distance to the optimum was seen to be too low,
            or None: not known.
    """

    coefficients: Tensor
    logits: Tensor | None = None
    curvature: Tensor | None = None
    stretch: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Start:
        """Return all parts that are known, changed."""
        return Start(
            change(self.coefficients),
            None if self.logits is None else change(self.logits),
            None if self.curvature is None else change(self.curvature),
            None if self.stretch is None else change(self.stretch),
        )


@dataclass(frozen=True, eq=False)
class Solution:
    """The minima of a batch of problems.

    Attributes:
        coefficients: (p, k, d).
        logits: (p, k, n) logits of all rows, also those of weight 0; the offset is included.
        curvature, stretch: (p, k, d) and (p,) as in `Start`; they were taken on the way, not at
            the minimum.
        passes: (p,) gradient evaluations after the first, on the CPU.
        converged: (p,) whether both tolerances were reached, on the CPU.
    """

    coefficients: Tensor
    logits: Tensor
    curvature: Tensor
    stretch: Tensor
    passes: Tensor
    converged: Tensor


def minimise(
    batch: Batch,
    start: Start,
    tolerance: float = TOLERANCE,
    gradient_tolerance: float = GRADIENT_TOLERANCE,
    most_passes: int = MOST_PASSES,
) -> Solution:
    """Minimise all problems of a batch from their starts.

    A problem is done when ‖∇f‖ ≤ `gradient_tolerance` and ½·∇fᵀM⁻¹∇f ≤ `tolerance`·min(f, the same
    at W = 0), M being the diagonal of the Hessian: the latter estimates how far f lies above its
    minimum. It is too low by as much as M⁻¹ times the Hessian is ill-conditioned: below a tolerance
    of `_SURE`, the estimate times the largest sᵀMs/sᵀy of all steps must be as small as that, too.
    A problem that is done leaves the batch, and the others go on.
    """
    state = _State(batch, start)
    p = len(state.problem)
    coefficients, logits = torch.empty_like(state.w), torch.empty_like(state.z)
    curvature, stretch = torch.empty_like(state.w), torch.empty_like(state.at_zero)
    passes, converged = torch.zeros(p, dtype=torch.long), torch.zeros(p, dtype=torch.bool)
    for number in range(most_passes + 1):
        if number in _REFRESH and (number or start.curvature is None):
            state.refresh()
        reached = state.reached(tolerance, gradient_tolerance)
        done = reached if number < most_passes else torch.ones_like(reached)
        if bool(done.any()):
            passes[state.problem[done]] = number
            converged[state.problem[done]] = reached[done]
            ended = done.nonzero()[:, 0].to(logits.device)
            which = state.problem[done].to(logits.device)
            coefficients[which], logits[which] = state.w[ended], state.z[ended]
            curvature[which], stretch[which] = state.h[ended], state.stretch[ended]
            if bool(done.all()):
                break
            state.keep(~done)
        state.step()
    return Solution(coefficients, logits, curvature, stretch, passes, converged)


class _State:
    """The problems still under way, by number on the CPU, and their memory of past steps."""

    def __init__(self, batch: Batch, start: Start) -> None:
        p, _, d = start.coefficients.shape
        self.rows, self.hard = batch.rows, batch.hard
        self.target, self.other = batch.target, 1 - batch.target
        self.problem = torch.arange(p)
        self.weight = batch.weight[batch.weight_of]
        penalised = start.coefficients.new_ones(d)
        penalised[-1] = 0
        self.penalty = batch.penalty[:, None, None] * penalised
        self.w = start.coefficients
        is_long = is_many(batch.rows.n) and not batch.rows.is_on_gpu
        self.history = _LONG_HISTORY if is_long else _HISTORY
        # A step is (s, y, 1/sᵀy); one with a 0 in place of 1/sᵀy has no influence.
        self.steps: list[tuple[Tensor, Tensor, Tensor]] = []
        self.at_zero = self._scale_at_zero(batch)
        self.stretch = torch.ones_like(self.at_zero) if start.stretch is None else start.stretch
        if start.logits is not None:
            self.z = start.logits
        else:
            self.z = self.logits(self.w)
            if batch.offset is not None:
                self.z += batch.offset
        if start.curvature is not None:
            self._scale(start.curvature)
        self.spare = [torch.empty_like(self.z) for _ in range(3)]
        self.r, self.loss = self._residual(self.z, self.spare.pop())
        self.g = self._gradient()

    def _scale_at_zero(self, batch: Batch) -> Tensor:
        """Return ½·∇fᵀM⁻¹∇f at W = 0, (p,); problems that differ in λ alone share its parts."""
        k = len(self.target)
        flat = self.w.new_full((k, 1), 1 / k)
        g = self._gather((flat - self.target) * batch.weight[:, None])[batch.weight_of]
        h = self.rows.gather_squares(batch.weight * ((1 - 1 / k) / k))[batch.weight_of][:, None]
        return 0.5 * _dot(g, g / self._bounded(h + self.penalty))

    def _gather(self, r: Tensor) -> Tensor:
        """Return r x: (p, k, n) → (p, k, d)."""
        return self.rows.gather(r.flatten(0, 1)).view(*r.shape[:2], -1)

    def logits(self, w: Tensor) -> Tensor:
        """Return w xᵀ: (p, k, d) → (p, k, n)."""
        return self.rows.times(w.flatten(0, 1)).view(*w.shape[:2], -1)

    @staticmethod
    def _bounded(m: Tensor) -> Tensor:
        m[:, :, -1].clamp_(min=_INTERCEPT_FLOOR)
        return m.clamp_(min=torch.finfo(m.dtype).tiny)

    def _residual(
        self, z: Tensor, out: Tensor, problems: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return w·(softmax(z) − target), written to `out`, and the mean loss (p,).

        `z` are the logits of some problems, by number; None: of all. Where labels are certain,
        1 − p_y is summed from the other classes instead of subtracted.
        """
        weight = self.weight if problems is None else self.weight[problems]
        if self.hard:
            r = torch.softmax(z, 1, out=out).mul_(self.other)
            wrong = r.sum(1)
            r.addcmul_(self.target, wrong[:, None], value=-1)
            # −log(1 − x) loses small x to rounding, but is at least x.
            loss = torch.maximum(wrong, (1 - wrong).clamp_(min=2.0**-23).log_().neg_())
        else:
            loss = torch.logsumexp(z, 1) - (z * self.target).sum(1)
            r = torch.softmax(z, 1, out=out).sub_(self.target)
        return r.mul_(weight[:, None]), torch.linalg.vecdot(loss, weight)

    def _gradient(self) -> Tensor:
        self.pull = self.penalty * self.w
        self.f = self.loss + 0.5 * _dot(self.pull, self.w)
        return self._gather(self.r).add_(self.pull)

    def refresh(self) -> None:
        """Renew the preconditioner: the diagonal of the Hessian, Σ wᵢ·pᵢ(1 − pᵢ)·xᵢ² + λ."""
        a = self.r.abs()
        if self.hard:  # With certain labels |r| is w·p or w·(1 − p), and |r| − r²/w is w·p·(1 − p).
            share = torch.where(self.weight > 0, 1 / self.weight, 0)
            h = a.addcmul_(a * share[:, None], a, value=-1)
        else:
            p = torch.softmax(self.z, 1)
            h = p.addcmul_(p, p, value=-1).mul_(self.weight[:, None])
        self._scale(self.rows.gather_squares(h.flatten(0, 1)).view(*h.shape[:2], -1))

    def _scale(self, h: Tensor) -> None:
        self.h, self.m = h, self._bounded(h + self.penalty)

    def reached(self, tolerance: float, gradient_tolerance: float) -> Tensor:
        """Return which problems (p,) are done, on the CPU."""
        gap, square, f, at_zero, stretch = _on_host(
            0.5 * _dot(self.g, self.g / self.m), _dot(self.g, self.g), self.f, self.at_zero,
            self.stretch,
        )  # fmt: skip
        scale = torch.minimum(f, at_zero)
        done = (square.sqrt() <= gradient_tolerance) & (gap <= tolerance * scale)
        return done & (gap * stretch <= _SURE * scale) if tolerance < _SURE else done

    def keep(self, which: Tensor) -> None:
        """Forget the other problems; (p,) on the CPU."""
        self.problem = self.problem[which]
        index = which.nonzero()[:, 0].to(self.z.device)
        for name in (
            "weight",
            "penalty",
            "w",
            "z",
            "r",
            "loss",
            "g",
            "pull",
            "f",
            "h",
            "m",
            "stretch",
        ):
            setattr(self, name, getattr(self, name)[index])
        self.at_zero = self.at_zero[index]
        self.spare = [buffer[: len(index)] for buffer in self.spare]
        self.steps = [(s[index], y[index], rho[index]) for s, y, rho in self.steps]

    def step(self) -> None:
        """Go one step on, in all problems."""
        d = self._centred(self._direction())
        slope = _dot(self.g, d)
        (slope_now,) = _on_host(slope)
        up = slope_now >= 0  # Next to the optimum, rounding can make a step lead upwards.
        if bool(up.any()):
            instead = self._centred(-self.g / self.m)
            d = torch.where(up.to(d.device)[:, None, None], instead, d)
            slope = _dot(self.g, d)
        z_d = self.logits(d)
        length, slope_at_end, z, r = self._search(d, z_d, slope)
        s = d.mul_(length[:, None, None])
        self.spare = [self.z, self.r]
        self.w, self.z, self.r = self.w + s, z, r
        before, self.g = self.g, self._gradient()
        y = self.g - before
        # The slopes along the line give sᵀy exactly, even where y has lost its digits.
        sy = length * (slope_at_end - slope)
        rho = torch.where(sy > 0, 1 / sy, 0)
        # Intercepts do not count: their curvature is bounded below and changes the most.
        moved = (s * s * self.m)[:, :, :-1].sum((1, 2))
        self.stretch = torch.maximum(self.stretch, rho * moved)
        self.steps = [*self.steps[1 - self.history :], (s, y, rho)]

    def _centred(self, d: Tensor) -> Tensor:
        """Return a step after which no coefficients are common to all classes.

        They change no probability, only the penalty for the worse; and as all that bends f along
        them is λ, a preconditioner for the loss would all but never get rid of them.
        """
        common = d.mean(1, keepdim=True)
        common[:, :, :-1] += self.w[:, :, :-1].mean(1, keepdim=True)
        return d.sub_(common)

    def _direction(self) -> Tensor:
        """Return −H⁻¹∇f by the two-loop recursion."""
        q = self.g.clone()
        alphas = []
        for s, y, rho in reversed(self.steps):
            alpha = rho * _dot(s, q)
            q.addcmul_(alpha[:, None, None], y, value=-1)
            alphas.append(alpha)
        q /= self.m
        if self.steps:
            s, y, rho = self.steps[-1]
            bend = rho * _dot(y, y / self.m)  # It is 0 if the gradient did not change.
            q *= torch.where(bend > 0, 1 / bend, 1)[:, None, None]
        for (s, y, rho), alpha in zip(self.steps, reversed(alphas), strict=True):
            q.addcmul_((alpha - rho * _dot(y, q))[:, None, None], s)
        return q.neg_()

    def _search(
        self, d: Tensor, z_d: Tensor, slope: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return how far to go along `d` (p,), and the slope, logits and residuals at its end.

        On cached logits this takes no matrix product. The slope along a line is monotone as f is
        convex, so where 1 is no good length, secants within a bracket find its root.
        """
        z, buffer = self.spare
        torch.add(self.z, z_d, out=z)
        r, self.loss = self._residual(z, buffer)
        linear, square = _dot(self.pull, d), _dot(self.penalty * d, d)
        length = torch.ones_like(slope)
        slope_at_end = _dot(r, z_d) + linear + square
        first, last, linear, square = _on_host(slope, slope_at_end, linear, square)
        bad = (last.abs() > _SLOPE_LEFT * first.abs()).nonzero()[:, 0]
        if not len(bad):
            return length, slope_at_end, z, r
        index = bad.to(z.device)
        z_0, z_d, linear, square = self.z[index], z_d[index], linear[bad], square[bad]
        now, target = last[bad], _SLOPE_LEFT * first[bad].abs()
        t = torch.ones_like(now)
        low, slope_low = torch.zeros_like(t), first[bad]
        high, slope_high = torch.full_like(t, torch.inf), torch.zeros_like(t)
        for _ in range(_MOST_TRIALS):
            open_ = now.abs() > target
            rising = now > 0
            # A secant alone would move one end of the interval and creep. Halving the slope of the
            # end that stays (the Illinois rule of regula falsi) lets both ends close in.
            slope_high = torch.where(rising, now, slope_high * 0.5)
            slope_low = torch.where(rising, slope_low * 0.5, now)
            high, low = torch.where(rising, t, high), torch.where(rising, low, t)
            inside = low + (high - low) * (slope_low / (slope_low - slope_high))
            t = torch.where(open_, torch.where(torch.isinf(high), 4 * t, inside), t)
            trial = torch.addcmul(z_0, t.to(z.device)[:, None, None], z_d)
            r_t, loss = self._residual(trial, torch.empty_like(trial), index)
            now = _on_host(_dot(r_t, z_d))[0] + linear + t * square
            if not bool(((now.abs() > target) & open_).any()):
                break
        length[index], slope_at_end[index] = t.to(z.device), now.to(z.device)
        z[index], r[index], self.loss[index] = trial, r_t, loss
        return length, slope_at_end, z, r


def _on_host(*values: Tensor) -> list[Tensor]:
    """Return values (p,) on the CPU; they come from another device all at once."""
    is_on_cpu = values[0].device.type == "cpu"
    return list(values) if is_on_cpu else list(torch.stack(values).cpu())


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each problem's part, (p, …) · (p, …) → (p,)."""
    product: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return product
