"""What a study could find before it is made: detectable differences (docs/concepts/protocol.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xprobe.base.documents import Document, Number
from xprobe.base.streams import stream
from xprobe.design.clusters import clusters_of
from xprobe.design.config import SweepConfig
from xprobe.design.design import HOLD_OUT, lay_out_folds, parts
from xprobe.design.folds import choose_real
from xprobe.design.seen import Left
from xprobe.encoders.names import asked_aliases
from xprobe.encoders.presets import ENCODERS, canonical
from xprobe.images.classes import generators as names_of_generators
from xprobe.images.manifest import Manifest
from xprobe.learners.kinds import kind_of, kind_read
from xprobe.results import study as study_module
from xprobe.verdict.family import ALPHA, detectable_times

# Pairs of a number of real images of each class and a variance. A mix changes whether a test image
# is hit, on average over ten repeats, by a difference that has this variance over test images. It
# was measured with four ratios, ten repeats and a learned encoder on ten classes of 30 and of 100
# images; the differences that were detectable there lie around 5.1 and 2.0 points. From 100 to 500
# images it falls as in simulated studies: more real images leave synthetic ones less to change.
TYPICAL = ((30, 0.068), (100, 0.037), (500, 0.0165))

# What was detectable in these studies lay within this factor of the typical difference, above it or
# below: 4.1 to 6.4 points with 30 images of each class, 1.6 to 2.6 with 100.
TYPICAL_SPREAD = 1.255

# One repeat has this many times the variance of ten, since training sets differ, too (1.7 to 3.2 in
# simulated studies).
ONE_REPEAT = 2.0

# The accuracy of one fine-tune has this standard deviation over seeds.
SEED_SD = 0.017

# The differences of test images within a scene have this correlation.
SCENE_CORRELATION = 0.3

SIZES = (30, 50, 100, 200, 500, 1000)

# The estimates of a family typically have this correlation. Its critical value is that of the
# largest of correlated normal numbers, found from so many draws.
_CORRELATION, _DRAWS = 0.5, 40_000


@dataclass(frozen=True)
class Study:
    """A study that might be made.

    Attributes:
        real_per_class: real images of each class, those that are tested included.
        test_images, groups: how many images and groups are tested, the same in all repeats.
        comparisons: how many comparisons the family has.
        models: how many fine-tunes each setting has; 0 for heads, which do not vary by seed.
        repeats: how many repeats there are; each predicts every test image once.
    """

    real_per_class: float
    test_images: int
    groups: int
    comparisons: int
    models: int
    repeats: int


@dataclass(frozen=True)
class Pilot:
    """A finished study, which says how much others of its kind vary.

    Attributes:
        encoder, head: the study's encoder, by what people call it, and its head.
        variance: variance of the mean difference over test images, groups respected.
        real_per_class: how many real images of each class the study had.
    """

    encoder: str
    head: str
    variance: float
    real_per_class: float


class Detectable(Document, frozen=True, kw_only=True):
    """The difference that a study could find.

    Attributes:
        what: ``heads`` or ``finetune``; with a pilot, the pilot's head.
        real_per_class: real images of each class, those that are tested included.
        at_hand: whether the study is one of the images that there are.
        test_images, groups, comparisons: as in `Study`.
        detectable: the difference in accuracy that is found with 80 % probability, a fraction.
        detectable_low, detectable_high: where the measured studies put it that a typical variance
            comes from; None with a pilot.
        basis: what the variance is taken from.
    """

    what: str
    real_per_class: Number
    at_hand: bool
    test_images: int
    groups: int
    comparisons: int
    detectable: Number
    detectable_low: Number | None = None
    detectable_high: Number | None = None
    basis: str


class Plan(Document, frozen=True, kw_only=True):
    """What ``xprobe plan`` answers.

    Attributes:
        plan: a row for each kind of training and number of real images.
        comparisons_study_wide: how many comparisons the study-wide p would count; None where no
            encoders and heads were named.
        left: what a sweep would have left of generators that were trained on what it tests.
    """

    plan: tuple[Detectable, ...]
    comparisons_study_wide: int | None = None
    left: tuple[Left, ...] = ()


def typical_variance(real_per_class: float) -> float:
    """Return `TYPICAL` between and beyond its points, linear in the logarithms of both."""
    size, variance = (np.log(column) for column in np.array(TYPICAL).T)
    x = np.log(max(real_per_class, 2.0))
    i = int(np.clip(np.searchsorted(size, x), 1, len(size) - 1))
    slope = (variance[i] - variance[i - 1]) / (size[i] - size[i - 1])
    return float(np.exp(variance[i - 1] + slope * (x - size[i - 1])))


def detectable(study: Study, pilot: Pilot | None = None) -> float:
    """Return the difference that is found with 80 % probability.

    Without a pilot the variance is the typical one, and scenes are taken to be alike by
    `SCENE_CORRELATION`; fine-tunes vary by `SEED_SD`, too. A pilot's variance holds for its number
    of images, and changes from there as the typical one does.
    """
    variance = typical_variance(study.real_per_class)
    if pilot is not None:
        variance *= pilot.variance / typical_variance(pilot.real_per_class)
    else:
        if study.repeats == 1:
            variance *= ONE_REPEAT
        variance *= 1 + SCENE_CORRELATION * (study.test_images / study.groups - 1)
    of_images = variance / study.test_images + 1 / study.test_images**2
    total, df = of_images, float(study.groups - 1)
    if study.models and pilot is None:
        of_models = 2 * SEED_SD**2 / study.models
        total += of_models
        if study.models > 1:
            df = total**2 / (of_images**2 / df + of_models**2 / (study.models - 1))
    return float(detectable_times(_critical(study.comparisons, df), df) * np.sqrt(total))


def _critical(comparisons: int, df: float) -> float:
    """Return what max|T| of so many comparisons exceeds in one of twenty cases."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((_DRAWS, 1)) * np.sqrt(_CORRELATION)
    single = rng.standard_normal((_DRAWS, comparisons)) * np.sqrt(1 - _CORRELATION)
    largest = np.abs(common + single).max(axis=1) / np.sqrt(rng.chisquare(df, _DRAWS) / df)
    return float(np.quantile(largest, 1 - ALPHA))


def pilots(studies: Sequence[study_module.Study]) -> list[Pilot]:
    """Return the pilots that finished studies are, each with the median variance of its mixes.

    Of several numbers of real images with one encoder and head the largest counts.
    """
    known: dict[tuple[str, str], Pilot] = {}
    for study in studies:
        variances = [
            max(row.se**2 - 1 / row.n_test**2, 1 / row.n_test**2) * row.n_test
            for row in study.results
            if row.metric == "accuracy" and row.setting == "mix" and row.se is not None
        ]  # fmt: skip
        if not variances:
            continue
        name = study.encoder.label, study.config.head
        variance = float(np.median(variances))
        pilot = Pilot(study.encoder.title, study.config.head, variance, _real_per_class(study))
        if name not in known or known[name].real_per_class < pilot.real_per_class:
            known[name] = pilot
    return list(known.values())


def _real_per_class(study: study_module.Study) -> float:
    """Return the real images of each class of a finished study, as `Study` counts them."""
    real, classes = study.real_only, len(study.manifest.classes)
    trained, tested = real.n_train_real / classes, real.n_test / classes
    if study.part != (1, None) or study.protocol.startswith(f"{HOLD_OUT},"):
        return trained
    return tested if study.config.holdout is None else tested + trained


def plan(
    manifest: Manifest,
    config: SweepConfig,
    sizes: Sequence[int] = SIZES,
    studies: Sequence[study_module.Study] = (),
) -> list[Detectable]:
    """Return what a sweep over these images could find, and sweeps over other numbers of them.

    Args:
        manifest: images; synthetic ones need not be there yet.
        config: ratios, folds and repeats.
        sizes: real images of each class for the other sweeps.
        studies: finished studies to take the variance from; none: it is the typical one.

    Raises:
        XprobeError: as a sweep over these images would.
    """
    known = pilots(studies)
    rows = []
    for what, takes_steps, repeats in (
        ("heads", False, config.repeats), ("finetune", True, config.finetune_repeats),
    ):  # fmt: skip
        pilots_of_kind = [p for p in known if kind_read(p.head).takes_steps == takes_steps]
        bases: list[Pilot | None] = [*pilots_of_kind] or [None]
        for pilot in bases:
            at_hand = study_of(manifest, config, takes_steps, repeats)
            # Part of the variance of fine-tunes comes from the seed, and more images do not lessen
            # it. A pilot does not tell that part, so it holds for the images at hand alone.
            elsewhere = sizes if pilot is None or not takes_steps else ()
            others = [_scaled(at_hand, n) for n in elsewhere if n != at_hand.real_per_class]
            for study in (at_hand, *others):
                name = what if pilot is None else pilot.head
                rows.append(_row(name, study, pilot, at_hand=study is at_hand))
    return rows


def _row(what: str, study: Study, pilot: Pilot | None, *, at_hand: bool) -> Detectable:
    difference = detectable(study, pilot)
    return Detectable(
        what=what,
        real_per_class=round(study.real_per_class, 1),
        at_hand=at_hand,
        test_images=study.test_images,
        groups=study.groups,
        comparisons=study.comparisons,
        detectable=difference,
        detectable_low=difference / TYPICAL_SPREAD if pilot is None else None,
        detectable_high=difference * TYPICAL_SPREAD if pilot is None else None,
        basis="typical" if pilot is None else f"pilot with {pilot.encoder}",
    )


def count_study_wide(
    manifest: Manifest, config: SweepConfig, encoders: Sequence[str], heads: Sequence[str]
) -> int:
    """Return how many comparisons the study-wide p of a sweep would count.

    They are all mixes against real-only, over encoders, generators and heads. Floor encoders stay
    outside (`study.claims.is_of_set`). Without synthetic images one generator is assumed.

    Raises:
        XprobeError: there is no head of that name.
    """
    learned = {name for name in asked_aliases(encoders) if not _is_floor(name)}
    kinds = {kind_of(name).name for name in heads}
    generators = names_of_generators(manifest)
    return len(config.ratios) * len(learned) * len(kinds) * max(1, len(generators))


def _is_floor(encoder: str) -> bool:
    """Return whether an encoder, by the name it has in a store, has no learned weights."""
    preset = ENCODERS.get(canonical(encoder.partition("@")[0]))
    return preset is not None and preset.source.startswith("builtin:")


def study_of(manifest: Manifest, config: SweepConfig, takes_steps: bool, repeats: int) -> Study:
    """Return the study that a sweep over these images would be.

    Raises:
        XprobeError: as that sweep would.
    """
    real, test, _ = parts(manifest, config)
    real = choose_real(real, config.per_class, stream(config.seed, "choose"))
    folds, _ = lay_out_folds(real, test, replace(config, repeats=1))
    tested = real if test is None else test
    n = len(real) + (len(tested) if config.holdout is not None else 0)
    if config.train_per_class is not None or config.real_fraction < 1:
        n = max(len(fold.train_real) for fold in folds)
    groups = set(clusters_of(tested, config.errors_by))
    return Study(
        n / len(manifest.classes), len(tested), len(groups), len(config.ratios),
        repeats * len(folds) if takes_steps else 0, repeats,
    )  # fmt: skip


def _scaled(study: Study, size: int) -> Study:
    """Return the same study of so many real images of each class; scenes as large as they are."""
    times = size / study.real_per_class
    n = max(2, round(study.test_images * times))
    return Study(
        size, n, min(n, max(2, round(study.groups * times))), study.comparisons, study.models,
        study.repeats,
    )  # fmt: skip
