"""Mixes against each other, against controls, and all generators together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from xprobe.design.setting import Setting
from xprobe.results.rows import MixComparison
from xprobe.study.result_rows import ResultRows
from xprobe.study.tested import Tested
from xprobe.verdict.family import HELPS, HURTS, judge

WORDS = {HELPS: "better", HURTS: "worse"}
"""What a verdict is called where neither side is real-only."""


class _Pair(NamedTuple):
    """Two settings that are compared, and how they are named."""

    subject: Setting
    against: Setting
    names: tuple[str, str]
    generator: str | None = None
    ratio: float | None = None


def compare_mixes(rows: ResultRows, tested: Mapping[Setting, Tested]) -> Iterator[MixComparison]:
    """Yield every comparison of mixes that is not one with real-only, family by family."""
    mixes = [s for s in tested if s.name == "mix" and not s.augment]
    for kind, pairs in (
        ("generators", _pairs_of_generators(mixes)),
        *(("ratios", pairs) for pairs in _pairs_of_ratios(mixes)),
        ("real-more", _against_real_more(mixes, tested)),
        *(("null-edit", pairs) for pairs in _against_null_edits(mixes, tested)),
        ("pooled", _pooled_against_real(tested)),
    ):
        if not pairs:
            continue
        reference = np.stack([tested[pair.against].predicted for pair in pairs])
        family = rows.compare(reference, [tested[pair.subject] for pair in pairs])
        for pair, comparison in zip(pairs, family.comparisons, strict=True):
            judgement = judge(comparison, None, rows.config.margin)
            yield MixComparison(
                kind=kind,
                subject=pair.names[0],
                against=pair.names[1],
                generator=pair.generator,
                ratio=pair.ratio,
                metric="accuracy",
                difference=comparison.difference,
                low=comparison.low,
                high=comparison.high,
                p=comparison.p_adjusted,
                verdict=WORDS.get(judgement.verdict, judgement.verdict),
            )


def _pairs_of_generators(mixes: list[Setting]) -> list[_Pair]:
    return [
        _Pair(a, b, (a.generator or "", b.generator or ""), ratio=a.ratio)
        for a, b in combinations(mixes, 2)
        if a.ratio == b.ratio
    ]


def _pairs_of_ratios(mixes: list[Setting]) -> list[list[_Pair]]:
    """Return the pairs of ratios of each generator, the larger ratio against the smaller one."""
    return [
        [
            _Pair(b, a, (b.title, a.title), generator=generator)
            for a, b in combinations([s for s in mixes if s.generator == generator], 2)
        ]
        for generator in dict.fromkeys(s.generator for s in mixes)
    ]


def _against_real_more(mixes: list[Setting], tested: Mapping[Setting, Tested]) -> list[_Pair]:
    return [
        _Pair(mix, more, ("mix", "real-more"), mix.generator, mix.ratio)
        for mix in mixes
        if (more := Setting("real-more", mix.ratio)) in tested
    ]


def _against_null_edits(
    mixes: list[Setting], tested: Mapping[Setting, Tested]
) -> list[list[_Pair]]:
    """Return the pairs of each generator: what is left of a mix without its fingerprint."""
    return [
        [
            _Pair(mix, null, (mix.name, null.name), generator, mix.ratio)
            for mix in mixes
            if mix.generator == generator
            and (null := Setting("null-edit", mix.ratio, generator)) in tested
        ]
        for generator in dict.fromkeys(mix.generator for mix in mixes)
    ]


def _pooled_against_real(tested: Mapping[Setting, Tested]) -> list[_Pair]:
    real = Setting("real-only")
    return [
        _Pair(s, real, (s.name, real.name), ratio=s.ratio) for s in tested if s.name == "mix-pooled"
    ]
