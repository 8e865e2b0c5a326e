"""Votes of the nearest training images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xprobe.base.arrays import Floats, Ints
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

NEIGHBORS = (1, 3, 5, 10, 20, 50, 100)

_SHARPNESS = 1 / 0.07  # of a neighbour's vote in its cosine (Wu et al. 2018)


class NearestNeighbors:
    """Weighted votes of the most similar training rows, as on frozen features since Wu et al.

    The vote of a neighbour is exp(cosine / 0.07); `c` of a fit is how many vote.
    """

    def __init__(self, pool: Pool, options: Options, _device: str = "cpu") -> None:
        """Take what all problems share; NumPy computes, whatever the device."""
        self.pool, self.options = pool, options

    def solve(self, problem: Problem) -> Fit:
        """Choose the number of neighbours on the inner folds, and vote on the test rows."""
        pool = self.pool
        present = pool.present(problem.train)
        inner = problem.merged_inner()
        fewest = min(len(train) for train in (problem.train, *(t for t, _ in inner)))
        grid = [n for n in NEIGHBORS if n <= fewest] if inner else [min(5, fewest)]
        best, at_edge, temperature = 0, False, None
        if inner:
            truth = np.concatenate([pool.y[validation] for _, validation in inner])
            held = np.concatenate([self._votes(*pair, grid) for pair in inner], axis=1)
            hits = (held.argmax(axis=2) == truth).sum(axis=1)
            best, at_edge = choose(hits, len(truth), self.options.c_rule)
            temperature = fit_temperature(held[best], truth, present)
        score = self._votes(problem.train, problem.test, [grid[best]])[0]
        fits = len(grid) * len(inner) + 1
        return Fit(
            as_scores(score, present), float(grid[best]), at_edge, fits, temperature=temperature
        )

    def _votes(self, train: Ints, asked: Ints, grid: Sequence[int]) -> Floats:
        """Return the logarithm of the votes (m, n, k) of each number of neighbours."""
        pool, most = self.pool, max(grid)
        cosine = pool.rows(asked) @ pool.rows(train).T
        nearest_ = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        near = np.take_along_axis(cosine, nearest_, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        near = np.take_along_axis(near, order, axis=1).astype(np.float64)
        voter = np.take_along_axis(nearest_, order, axis=1)
        label = pool.y[train][voter]
        share = class_weights(pool.y[train], np.ones(len(train)), self.options.balanced)
        vote = share[voter] * np.exp(_SHARPNESS * (near - near[:, :1]))
        each = vote[:, :, None] * (label[:, :, None] == np.arange(pool.k))
        total = each.cumsum(axis=1)[:, np.array(grid) - 1]
        # One vote more, shared by all classes, keeps the probability of none at 0.
        return np.asarray(np.log(total + 1 / pool.k).transpose(1, 0, 2))
