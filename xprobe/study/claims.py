"""What all studies of a folder may claim together: a study-wide p for each comparison.

Whoever looks through many comparisons finds one that chance alone has made. The set of comparisons
is therefore fixed by rule, and not by what is shown: every mix against real-only, in every study
of the folder, but for floors, random weights, and parts of the real images (learning curves).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xprobe.base.arrays import Strings
from xprobe.base.documents import replace
from xprobe.base.streams import stream
from xprobe.learners.kinds import kind_read
from xprobe.results.hits import Hits, load_hits
from xprobe.results.rows import Result, SettingRow, family_kind
from xprobe.results.study import Results, Study
from xprobe.verdict import joint
from xprobe.verdict.errors import Estimates, Vector, mean_differences


class _Name(NamedTuple):
    """A mix of a study, by which its row is known."""

    study: str
    generator: str | None
    ratio: float | None


def is_of_set(study: Study) -> bool:
    """Return whether the mixes of a study belong to the set of study-wide comparisons."""
    return bool(study.hits) and study.part == (1, None) and study.encoder.is_learned


def with_claims(results: Results, studies: Sequence[Study]) -> list[Study]:
    """Return studies with the study-wide p of their mixes, which is None outside of the set.

    It is adjusted step by step (min-p) by the joint distribution of all comparisons: those on the
    same test images go together as their per-image differences do, others are independent.

    Args:
        results: the folder of the results, or several.
        studies: all studies there.

    Raises:
        XprobeError: the hits of a study are missing or damaged.
    """
    names: list[_Name] = []
    p: list[Vector] = []
    adds: list[Vector] = []
    scenes: list[Strings] = []
    # The order of studies decides what is drawn for which; their keys do not depend on time.
    for study in sorted(filter(is_of_set, studies), key=lambda study: study.key):
        hits = load_hits(results, study)
        mixes = [
            i for i, row in enumerate(hits.settings)
            if family_kind(row.setting, row.augment) == "mix"
        ]  # fmt: skip
        against_real = _estimates(study, hits, mixes, [_index(hits, "real-only", None)])
        names += [
            _Name(study.key, hits.settings[i].generator, hits.settings[i].ratio) for i in mixes
        ]
        p.append(_p(study, hits, mixes, against_real))
        adds.append(against_real.scores / against_real.se[:, None])
        # The scores are in the order of the names of the groups, as `np.unique` has them.
        _, first = np.unique(hits.group.astype(str), return_index=True)
        scenes.append(hits.scene[first])
    if not names:
        return list(studies)
    adjusted = joint.step_down(
        np.concatenate(p), correlation_of(adds, scenes), stream(0, "study-wide")
    )
    by_name = dict(zip(names, adjusted.tolist(), strict=True))
    return [
        replace(study, results=tuple(_with_p(study, row, by_name) for row in study.results))
        for study in studies
    ]


def _with_p(study: Study, row: Result, by_name: dict[_Name, float]) -> Result:
    if row.metric != "accuracy" or family_kind(row.setting, row.augment) != "mix":
        return row
    return replace(row, p_study_wide=by_name.get(_Name(study.key, row.generator, row.ratio)))


def _index(hits: Hits, setting: str, ratio: float | None) -> int:
    """Return the number of a setting without a generator, or −1."""
    wanted = SettingRow(setting=setting, ratio=ratio)
    return hits.settings.index(wanted) if wanted in hits.settings else -1


def _estimates(
    study: Study, hits: Hits, settings: Sequence[int], against: Sequence[int]
) -> Estimates:
    """Compare settings with one other, or each with its own."""
    reference = hits.hit[against[0]] if len(against) == 1 else hits.hit[list(against)]
    takes_steps = kind_read(study.config.head).takes_steps
    return mean_differences(
        reference, hits.hit[list(settings)], hits.group.astype(str),
        model=hits.model if takes_steps else None, by_group=study.config.leave_one_group_out,
    )  # fmt: skip


def _p(study: Study, hits: Hits, mixes: Sequence[int], against_real: Estimates) -> Vector:
    """Return p of each mix; the larger one of two where a fine-tune has a control to beat."""
    p = joint.two_sided(against_real.t, against_real.df)
    controls = [_index(hits, "real-duplicated", hits.settings[i].ratio) for i in mixes]
    has_control = [place for place, control in enumerate(controls) if control >= 0]
    if not has_control:
        return p
    chosen = [mixes[place] for place in has_control]
    controlled = _estimates(study, hits, chosen, [controls[place] for place in has_control])
    p_control = joint.two_sided(controlled.t, controlled.df)
    agree = np.sign(controlled.difference) == np.sign(against_real.difference[has_control])
    p[has_control] = np.where(agree, np.maximum(p[has_control], p_control), 1.0)
    return p


def correlation_of(adds: Sequence[Vector], scenes: Sequence[Strings]) -> Vector:
    """Return the correlation (S, S) of all comparisons, from what each scene adds to each.

    Args:
        adds: (s, G) of the comparisons of each study, in units of their standard errors.
        scenes: (G,) names of the groups of each study.
    """
    every, place = np.unique(np.concatenate(scenes).astype(str), return_inverse=True)
    ends = np.cumsum([len(part) for part in scenes])
    wide = []
    for part, columns in zip(adds, np.split(place, ends[:-1]), strict=True):
        row = np.zeros((len(part), len(every)))
        row[:, columns] = part
        wide.append(row)
    table = np.concatenate(wide)
    correlation = table @ table.T
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)
