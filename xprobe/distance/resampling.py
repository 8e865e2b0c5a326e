"""What p and interval of kernel metrics come from: permutations and bootstrap draws. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from scipy.special import ndtri, stdtrit

from xprobe.base.arrays import Floats, Ints
from xprobe.distance import kernels
from xprobe.distance.exchange import FEWEST_UNITS, Exchange, make_test
from xprobe.distance.kernels import CACHED_ROWS, Pairs
from xprobe.distance.sides import Distance


@dataclass(frozen=True, eq=False)
class Resampled:
    """The N rows that p and the interval come from, few enough to keep all their pairs.

    Attributes:
        pairs: the pairs of these rows.
        share: the share of the units of a side that have rows here, on the side where it is larger.
        units: number of units on the side with fewer of them.
        note: what the reader must know about the choice of rows, or None.
        test: the permutation test of both sides; None: none was asked for.
        drawn: (N, 1 + draws) float32, how often a row occurs; the first column has every row once,
            the others are bootstrap draws.
    """

    pairs: Pairs
    share: float
    units: int
    note: str | None
    test: Exchange | None
    drawn: Floats

    @property
    def weight(self) -> Floats:
        """The weights of the rows in draws, and before them those that the test needs."""
        return self.drawn if self.test is None else np.hstack([self.test.weight, self.drawn])

    def sums(self, wanted: dict[str, kernels.KernelOf]) -> dict[str, kernels.Sums]:
        """Return the sums of kernels over the pairs, by the kernel's name, with these weights."""
        return kernels.add_up(self.pairs, wanted, weight=self.weight, weighted=wanted)

    def complete(self, row: Distance, kernel: kernels.KernelOf, sums: kernels.Sums) -> Distance:
        """Return the row of results with its p-value and interval.

        The interval is that of bootstrap quantiles, wider by what a t quantile of the number of
        units is above a normal one, and as draws of n units have (n − 1)/n of the variance. The
        quantiles are Weibull's, beyond which 5 % are expected: of few draws others lie further in.
        If only a share of the units was kept, the interval is narrowed by the root of that share.
        There is none for fewer than `FEWEST_UNITS` units of a side.
        """
        few = f"fewer than {FEWEST_UNITS} units a side, too few for an interval"
        notes = [self.note, few if self.units < FEWEST_UNITS else None]
        row, count = replace(row, reason="; ".join(filter(None, notes)) or None), 0
        if self.test is not None:
            count = self.test.weight.shape[1]
            side_sums = replace(sums, drawn=sums.drawn[:, :count])
            row = replace(row, p=self.test.p(self.pairs, kernel, side_sums))
        if self.drawn.shape[1] > 1 and self.units >= FEWEST_UNITS and row.value is not None:
            draw_sums = replace(sums, drawn=sums.drawn[:, count:])
            drawn = kernels.bootstrap(self.pairs, draw_sums, self.drawn)
            wider = stdtrit(self.units - 1, 0.975) / ndtri(0.975)
            wider *= np.sqrt(self.units / (self.units - 1))
            ends = np.nanquantile(drawn[1:] - drawn[0], [0.025, 0.975], method="weibull")
            off = ends * np.sqrt(self.share)
            low, high = (row.value + float(end) for end in wider * off)
            row = replace(row, ci_low=low, ci_high=high)
        return row


def resample(pairs: Pairs, permutations: int, draws: int, rngs: dict[str, Generator]) -> Resampled:
    """Draw permutations and bootstrap draws of rows that are few enough to keep all their pairs."""
    test_pairs, share, note = _thinned(pairs, rngs["permutations"])
    unit, n = test_pairs.unit, test_pairs.n_real
    units = min(len(np.unique(unit[:n])), len(np.unique(unit[n:])))
    test = None
    if permutations and units > 1:
        test = make_test(test_pairs, permutations, rngs["permutations"])
    rng = np.random.default_rng(int(rngs["bootstrap"].integers(2**31)))
    drawn = kernels.resampled(unit, n, draws, rng)
    once = np.ones((len(test_pairs.x), 1), dtype=np.float32)
    return Resampled(test_pairs, share, units, note, test, np.hstack([once, drawn]))


def _thinned(pairs: Pairs, rng: Generator) -> tuple[Pairs, float, str | None]:
    """Return pairs few enough to keep, the share of the units of a side, and a note or None."""
    if pairs.kept is not None:
        return pairs, 1.0, None
    n, m = pairs.n_real, len(pairs.x) - pairs.n_real
    few_real = min(n, max(CACHED_ROWS // 2, CACHED_ROWS - m))
    few_synthetic = min(m, CACHED_ROWS - few_real)
    real = kernels.shuffled(pairs.unit[:n], few_real, rng)[0][:few_real]
    synthetic = n + _choose_synthetic(pairs.unit, n, real, rng)[:few_synthetic]
    unit = pairs.unit[np.concatenate([real, synthetic])]
    test = kernels.pair_up(pairs.x[real], pairs.x[synthetic], unit, block=pairs.block)
    note = f"p and interval from {len(real)} real and {few_synthetic} synthetic rows, drawn"
    kept = len(np.unique(pairs.unit[real])), len(np.unique(pairs.unit[synthetic]))
    every = len(np.unique(pairs.unit[:n])), len(np.unique(pairs.unit[n:]))
    return test, max(kept[0] / every[0], kept[1] / every[1]), note


def _choose_synthetic(unit: Ints, n: int, real: Ints, rng: Generator) -> Ints:
    """Return the synthetic rows (m,) in the order in which they are to be kept.

    Rows whose scene has real rows, none of which is kept, come last. Before these every unit has a
    row before one has two, since the number of units says more than that of their rows.
    """
    order = rng.permutation(len(unit) - n)
    synthetic = unit[n:][order]
    by_unit = np.argsort(synthetic, kind="stable")
    _, start, code = np.unique(synthetic[by_unit], return_index=True, return_inverse=True)
    rank = np.empty(len(order), dtype=np.intp)
    rank[by_unit] = np.arange(len(order)) - start[code]
    left = np.isin(synthetic, np.setdiff1d(unit[:n], unit[real]))
    return order[np.lexsort((rank, left))]
