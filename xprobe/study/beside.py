"""Two folders of results beside each other: the same settings, paired where they can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import lcm
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Ints
from xprobe.base.documents import Document, Number, replace
from xprobe.base.errors import XprobeError, first_few
from xprobe.base.streams import stream
from xprobe.learners.kinds import kind_read
from xprobe.results.hits import load_hits, models_of
from xprobe.results.rows import OfSetting
from xprobe.results.study import Study, load_studies, names_of_kind, newest
from xprobe.study.comparisons import WORDS
from xprobe.verdict.family import compare, judge


class BesideRow(Document, frozen=True, kw_only=True):
    """A setting in both studies, or in one of them.

    Attributes:
        setting, ratio, augment: what was trained on.
        generator_a, generator_b: generator of the synthetic images.
        value_a, value_b: accuracy; None where a study lacks the setting.
        difference: that of b less that of a; None where one is missing.
        low, high: its 95 % interval, which holds for all settings of the two studies; None where
            they are not paired, as `p` and `verdict` are.
        p: adjusted within these settings (single-step max-T).
        verdict: ``better`` (b than a), ``worse``, ``equivalent within ±m``, ``no detectable
            difference``.
    """

    setting: str
    ratio: Number | None = None
    augment: str | None = None
    generator_a: str | None = None
    generator_b: str | None = None
    value_a: Number | None = None
    value_b: Number | None = None
    difference: Number | None = None
    low: Number | None = None
    high: Number | None = None
    p: Number | None = None
    verdict: str | None = None


class StudyPair(Document, frozen=True, kw_only=True):
    """A study of either folder, compared with each other, and the settings that both have.

    Attributes:
        encoder, head, real_fraction, train_per_class: what they share.
        study_a, study_b: their ids.
        n_train_a, n_train_b, n_test_a, n_test_b: numbers of their real images.
        is_paired: whether they were tested on the same images; `why` says why not.
    """

    encoder: str
    head: str
    real_fraction: Number
    train_per_class: int | None
    study_a: str
    study_b: str
    n_train_a: Number
    n_train_b: Number
    n_test_a: int
    n_test_b: int
    is_paired: bool
    why: str
    rows: tuple[BesideRow, ...]


class Beside(Document, frozen=True, kw_only=True):
    """Output of ``xprobe compare --json``.

    Attributes:
        a, b: the folders.
        pairs: the studies that both have.
        only_a, only_b: ids of studies that the other one has nothing like.
    """

    a: str
    b: str
    pairs: tuple[StudyPair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


class _Name(NamedTuple):
    """A setting by its name."""

    setting: str
    ratio: Number | None
    generator: str | None
    augment: str | None


class _Names(NamedTuple):
    """The name of a setting in both studies; None where one of them lacks it."""

    a: _Name | None
    b: _Name | None


class _Judged(NamedTuple):
    """The fields of a row that come from paired test images."""

    difference: float
    low: float
    high: float
    p: float
    verdict: str


class _Aligned(NamedTuple):
    """The hits of a study, its test images in the order of their digests.

    Attributes:
        hit: by the name of a setting, (R, N) whether it was right.
        fold: (R, N) fold in which an image was tested.
        image, label, scene: (N,) digests of the images, names of their classes and groups.
    """

    hit: dict[_Name, Bools]
    fold: Ints
    image: NDArray[np.str_]
    label: NDArray[np.str_]
    scene: NDArray[np.str_]


def compare_results(a: Path, b: Path) -> Beside:
    """Set the newest studies of two results folders beside each other.

    Studies go together by encoder, head and part of the real images, settings by their names; where
    each has one generator and these have other names, the two are set beside each other.

    Raises:
        XprobeError: a folder has no results, or damaged ones, or they have nothing in common.
    """
    if a.resolve() == b.resolve():
        raise XprobeError(f"{a} and {b} are the same folder; name two folders of results")
    studies_a, studies_b = newest(load_studies(a)), newest(load_studies(b))
    pairs = list(_pairs(studies_a, studies_b))
    if not pairs:
        raise XprobeError(
            f"{a} and {b} have no encoder with the same head and part of the real images in "
            f"common: {a} has {_titles(studies_a)}; {b} has {_titles(studies_b)}"
        )
    keys = {study.key for pair in pairs for study in pair}
    return Beside(
        a=str(a),
        b=str(b),
        pairs=tuple(_pair(*pair, a, b) for pair in pairs),
        only_a=tuple(study.key for study in studies_a if study.key not in keys),
        only_b=tuple(study.key for study in studies_b if study.key not in keys),
    )


def _titles(studies: Sequence[Study]) -> str:
    return first_few(f"{study.encoder.title} ({study.config.head})" for study in studies)


def _pairs(studies_a: Sequence[Study], studies_b: Sequence[Study]) -> Iterator[tuple[Study, Study]]:
    """Yield the studies of a kind, those with the most generators in common first."""
    left = list(studies_b)
    for study in studies_a:
        names = set(names_of_kind(study))
        alike = [other for other in left if names.intersection(names_of_kind(other))]
        if alike:
            shared = [len(set(study.generators) & set(other.generators)) for other in alike]
            other = alike[shared.index(max(shared))]
            left.remove(other)
            yield study, other


def _pair(a: Study, b: Study, folder_a: Path, folder_b: Path) -> StudyPair:
    names = _names(a, b)
    why, judged = _why_unlike(a, b), {}
    if not why:
        hits_a, hits_b = _aligned(a, folder_a), _aligned(b, folder_b)
        why = _why_unpaired(a, hits_a, hits_b)
        if not why:
            judged = _judged(a, b, hits_a, hits_b, names)
    values_a, values_b = _values(a), _values(b)
    return StudyPair(
        encoder=a.encoder.label,
        head=a.config.head,
        real_fraction=a.config.real_fraction,
        train_per_class=a.config.train_per_class,
        study_a=a.key,
        study_b=b.key,
        n_train_a=a.real_only.n_train_real,
        n_train_b=b.real_only.n_train_real,
        n_test_a=a.real_only.n_test,
        n_test_b=b.real_only.n_test,
        is_paired=not why,
        why=why,
        rows=tuple(_row(name, values_a, values_b, judged.get(name)) for name in names),
    )


def _names(a: Study, b: Study) -> list[_Names]:
    """Return the settings that go together, those of b alone last."""
    of_a, of_b = list(_values(a)), list(_values(b))
    renamed: dict[str | None, str] = {}
    if len(a.generators) == len(b.generators) == 1:
        renamed = {a.generators[0]: b.generators[0]}
    pairs = []
    for name in of_a:
        same = name._replace(generator=renamed.get(name.generator, name.generator))
        pairs.append(_Names(name, same if same in of_b else None))
    taken = {pair.b for pair in pairs}
    return [*pairs, *(_Names(None, name) for name in of_b if name not in taken)]


def _values(study: Study) -> dict[_Name, Number]:
    """Return the accuracy of each setting."""
    return {_name(row): row.value for row in study.results if row.metric == "accuracy"}


def _name(row: OfSetting) -> _Name:
    return _Name(row.setting, row.ratio, row.generator, row.augment)


def _row(
    names: _Names,
    values_a: dict[_Name, Number],
    values_b: dict[_Name, Number],
    judged: _Judged | None,
) -> BesideRow:
    """Return a row of two settings; the difference is that of the values unless it was judged."""
    name = names.a or names.b
    assert name is not None
    a = None if names.a is None else values_a[names.a]
    b = None if names.b is None else values_b[names.b]
    row = BesideRow(
        setting=name.setting,
        ratio=name.ratio,
        augment=name.augment,
        generator_a=None if names.a is None else names.a.generator,
        generator_b=None if names.b is None else names.b.generator,
        value_a=a,
        value_b=b,
        difference=None if a is None or b is None else b - a,
    )
    return row if judged is None else replace(row, **judged._asdict())


# --- on the same test images -------------------------------------------------------------------


def _why_unlike(a: Study, b: Study) -> str:
    """Say why studies cannot be paired whatever they were tested on; nothing if they can."""
    older = [side for side, study in (("a", a), ("b", b)) if not study.hits]
    if older:
        return f"{' and '.join(older)}: of version 1, which kept no single images; sweep again"
    if a.config.leave_one_group_out != b.config.leave_one_group_out:
        return "one is a mean over groups, the other over images"
    return ""


def _aligned(study: Study, folder: Path) -> _Aligned:
    hits = load_hits(folder, study)
    image = hits.image.astype(str)
    label = np.array(study.manifest.classes)[hits.label]
    order = np.lexsort((label, image))
    return _Aligned(
        {
            _name(row): hits.hit[i][:, order]
            for i, row in enumerate(hits.settings)
        },
        hits.fold[:, order], image[order], label[order], hits.scene[order],
    )  # fmt: skip


def _why_unpaired(study: Study, a: _Aligned, b: _Aligned) -> str:
    """Say why hits cannot be paired; nothing if they can."""
    if not np.array_equal(a.image, b.image):
        shared = len(np.intersect1d(a.image, b.image))
        return (
            f"tested on other images ({shared:,} of {len(a.image):,} and {len(b.image):,} are the "
            "same)"
        )
    if not np.array_equal(a.label, b.label):
        return "test images have other classes"
    if not np.array_equal(a.scene, b.scene):
        return "test images are in other groups"
    if kind_read(study.config.head).takes_steps and not np.array_equal(a.fold, b.fold):
        return "fine-tunes of other folds or repeats, whose models do not go together"
    return ""


def _judged(
    a: Study, b: Study, hits_a: _Aligned, hits_b: _Aligned, names: Sequence[_Names]
) -> dict[_Names, _Judged]:
    """Compare the settings that both have hits of, all in one family."""
    both = [pair for pair in names if pair.a in hits_a.hit and pair.b in hits_b.hit]
    if not both:
        return {}
    # The mean over repeats is what counts: with each as often, their numbers may differ.
    repeats = lcm(len(hits_a.fold), len(hits_b.fold))
    family = compare(
        _repeated([hits_a.hit[pair.a] for pair in both if pair.a], repeats),
        _repeated([hits_b.hit[pair.b] for pair in both if pair.b], repeats),
        np.unique(hits_a.scene, return_inverse=True)[1],
        stream(0, "beside"),
        model=models_of(hits_a.fold) if kind_read(a.config.head).takes_steps else None,
        by_group=a.config.leave_one_group_out,
    )
    margin = a.config.margin if a.config.margin == b.config.margin else None
    judged = {}
    for pair, comparison in zip(both, family.comparisons, strict=True):
        verdict = judge(comparison, None, margin).verdict
        judged[pair] = _Judged(
            comparison.difference, comparison.low, comparison.high, comparison.p_adjusted,
            WORDS.get(verdict, verdict),
        )  # fmt: skip
    return judged


def _repeated(hit: Sequence[Bools], repeats: int) -> Bools:
    """Return hits (S, repeats, N) that hold each repeat of a setting equally often."""
    stacked = np.stack(hit)
    return np.repeat(stacked, repeats // stacked.shape[1], axis=1)
