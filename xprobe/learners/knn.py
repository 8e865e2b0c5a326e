"""kNN heads: the nearest training images vote."""

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

# A neighbour's vote is exp(cosine / 0.07) (Wu et al. 2018).
_SHARPNESS = 1 / 0.07


class NearestNeighbors:
    """A kNN head, as it is used on frozen features since Wu et al. 2018.

    The most similar training rows vote for their class, each with a weight of exp(cosine / 0.07).
    The field `c` of a fit is the number of neighbours that vote.
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

    def _votes(self, train: Ints, queries: Ints, grid: Sequence[int]) -> Floats:
        """Return the log votes (m, n, k) for each number of neighbours, query and class."""
        pool, most = self.pool, max(grid)
        cosine = pool.rows(queries) @ pool.rows(train).T
        neighbours = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        similarity = np.take_along_axis(cosine, neighbours, axis=1)
        order = np.argsort(-similarity, axis=1, kind="stable")
        similarity = np.take_along_axis(similarity, order, axis=1).astype(np.float64)
        voter = np.take_along_axis(neighbours, order, axis=1)
        label = pool.y[train][voter]
        share = class_weights(pool.y[train], np.ones(len(train)), self.options.balanced)
        vote = share[voter] * np.exp(_SHARPNESS * (similarity - similarity[:, :1]))
        class_vote = vote[:, :, None] * (label[:, :, None] == np.arange(pool.k))
        total = class_vote.cumsum(axis=1)[:, np.array(grid) - 1]
        # One vote more, which all classes share, keeps every probability above 0.
        return np.asarray(np.log(total + 1 / pool.k).transpose(1, 0, 2))
