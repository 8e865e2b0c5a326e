"""Settings × folds → problems: what is trained and tested, before anything is.

All settings share their folds, their inner folds and, per generator, one random order of the
synthetic images; nothing depends on the encoder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from xprobe.base.arrays import Ints, Strings
from xprobe.base.errors import XprobeError, first_few
from xprobe.base.streams import stream
from xprobe.design import folds, lineage, seen
from xprobe.design.alternatives import Made, lay_out
from xprobe.design.blocks import Block, BlockMaker, source_of
from xprobe.design.clusters import check_clusters, cluster_warnings, clusters_of
from xprobe.design.config import SweepConfig
from xprobe.design.folds import Fold
from xprobe.design.null_edits import null_edits_of
from xprobe.design.seen import Left
from xprobe.design.setting import Setting
from xprobe.design.shares import share_warnings
from xprobe.design.sizes import closer_sizes
from xprobe.images.classes import check_synthetic
from xprobe.images.manifest import Manifest
from xprobe.learners.kinds import kind_of

HOLD_OUT = "fixed hold-out"
"""The words with which the protocol of a fixed hold-out begins."""

MOST_GROUPS_AS_FOLDS = 50


class TooFewSyntheticError(XprobeError):
    """A generator has too few images for a ratio; `remedies` says what fits."""


@dataclass(frozen=True, eq=False)
class Design:
    """Everything that will be trained.

    Attributes:
        study: the images that take part; a row of a problem is the number of one of them.
        protocol: how the settings are tested, in words.
        generators: names, sorted.
        blocks: the settings' blocks, repeat by repeat.
        alternatives: the rows that heads train on besides images; they stand behind the study's.
        warnings: what the reader of the results must know.
        left: what is left of generators that were trained on events that are tested.
        errors_by: what is wider than groups and the standard errors are taken over, or empty.
    """

    study: Manifest
    protocol: str
    generators: tuple[str, ...]
    blocks: tuple[Block, ...]
    alternatives: tuple[Made, ...]
    warnings: tuple[str, ...]
    left: tuple[Left, ...] = ()
    errors_by: str = ""

    @cached_property
    def tested(self) -> Ints:
        """Rows (n,) of the images that are tested, ascending: every block tests just these."""
        return np.unique(self.blocks[0].test)

    @cached_property
    def clusters(self) -> Strings:
        """What the standard errors are taken over (n,): the group of each of `tested`, or wider."""
        return clusters_of(self.study.select(self.tested), self.errors_by)


def make_design(
    manifest: Manifest,
    config: SweepConfig,
    views: Mapping[str, int] = MappingProxyType({}),
    sources: Manifest | None = None,
) -> Design:
    """Lay out a sweep.

    Args:
        manifest: the images.
        config: what is trained; its alternatives are those of its head.
        views: of each augmentation that heads train on, how many views of each image there are.
        sources: all real images that parents may name, those without features, too; None: those
            of the manifest.

    Raises:
        TooFewSyntheticError: too few synthetic images for a ratio.
        XprobeError: no synthetic images; too few images or groups of a class; their lineage is
            required, and not known; or a generator was trained on what is tested.
    """
    whole, manifest = manifest, manifest.without_controls()
    real, test, warnings = parts(manifest, config)
    every = real
    real = folds.choose_real(every, config.per_class, stream(config.seed, "choose"))
    all_folds, protocol = lay_out_folds(real, test, config)
    # A class gets as many further real images as the largest mix adds synthetic ones.
    most = round(max(config.ratios) * max(Counter(real.label).values()))
    spare = folds.held_back(every, real, most, stream(config.seed, "held back"))
    extra = [*manifest.id[manifest.split == "extra"], *spare.id]
    synthetic = manifest.select(manifest.source == "synthetic")
    check_synthetic(synthetic)
    if sources is None:
        sources = manifest.select(manifest.source == "real")
    if config.require_lineage:
        lineage.require(synthetic, sources)
    generators = tuple(sorted(set(synthetic.generator)))
    null_edits, unused = null_edits_of(whole, real, generators)
    warnings += unused
    warnings += _supply_warnings(synthetic, generators, real, all_folds, config)
    takes_steps = kind_of(config.head).takes_steps
    if takes_steps and len(all_folds) == 1:
        warnings.append(
            "one fine-tune of each setting: how much fine-tunes vary by their seed cannot be told "
            "from it, and the intervals do not include it; use --finetune-repeats 3"
        )
    if any(not fold.inner for fold in all_folds):
        warnings.append("a class has a single group to train on: C is fixed, not chosen")
    tested = real if test is None else test
    warnings += cluster_warnings(tested, config.errors_by)
    left = seen.left_of(synthetic, sources, seen.groups_tested(all_folds, tested))
    if not config.ignore_lineage:
        seen.check_left(left)
        warnings += [row.words for row in left]
    warnings += seen.unchecked_warnings(synthetic, manifest.select(manifest.source == "real"))
    if config.leave_one_group_out:
        warnings += _one_class_warnings(tested, config.balanced)
    taking_part = [*real.id, *tested.id, *extra, *synthetic.id, *null_edits.id]
    study = whole.select(np.isin(whole.id.astype(str), np.array(taking_part, dtype=str)))
    maker = BlockMaker(study, extra, sources, config)
    if config.alternatives and not takes_steps:
        maker.alternatives = lay_out(
            maker.rows(real.id), config.alternatives, views, maker.most, len(study),
            stream(config.seed, "alternatives"),
        )  # fmt: skip
    warnings += maker.choose_null_ratios(all_folds, generators)
    blocks = [b for r in range(config.repeats) for b in maker.blocks(all_folds, r, generators)]
    warnings += [*_choice_warnings(blocks, all_folds), *share_warnings(study, blocks)]
    warnings += lineage.outside_warnings(synthetic, sources)
    warnings += lineage.unknown_warnings(synthetic, sources)
    if config.ignore_lineage:
        warnings.insert(0, _ignored_lineage_warning(maker, all_folds, generators))
    alternatives = tuple(maker.alternatives.values())
    return Design(
        study, protocol, generators, tuple(blocks), alternatives, tuple(warnings), left,
        config.errors_by,
    )  # fmt: skip


def parts(manifest: Manifest, config: SweepConfig) -> tuple[Manifest, Manifest | None, list[str]]:
    """Return the real images to train on, or to divide into folds; the hold-out; warnings.

    Raises:
        XprobeError: a hold-out is asked for that the data have, or that leaves nothing to train on.
    """
    test = manifest.select(manifest.split == "test")
    real = manifest.select((manifest.source == "real") & (manifest.split == "train"))
    if config.holdout is not None:
        if len(test):
            raise XprobeError(
                "the data have a test part, which is the hold-out; leave --holdout out, or use "
                "--folds to divide all but it"
            )
        return *folds.split_off(real, config.holdout, stream(config.seed, "hold out")), []
    if not len(test) or config.folds is not None or config.leave_one_group_out:
        return real, None, []
    kept = folds.away_from(real, test)
    left_out = len(real) - len(kept)
    warning = (
        f"{left_out} real training images share a group or their content with the hold-out and "
        f"are not trained on"
    )
    return kept, test, [warning] * (left_out > 0)


def _check_groups(real: Manifest) -> None:
    groups = {c: len(set(real.group[real.label == c])) for c in sorted(set(real.label))}
    few = [f"{c} ({int((real.label == c).sum())} of one group)" for c, n in groups.items() if n < 2]
    if few:
        raise XprobeError(
            f"fewer than two real images or groups of class {first_few(few)}; one is needed to "
            f"train, another to test or to choose by: add images, or remove the class"
        )


def _one_class_warnings(tested: Manifest, balanced: bool) -> list[str]:
    """Return warnings of a study that leaves groups out which each hold a single class."""
    pairs = set(zip(tested.group, tested.label, strict=True))
    n = len(set(tested.group))
    if n < len(pairs) or n == len(tested):
        return []
    learned_from = Counter(label for _, label in pairs)
    least, label = min((count - 1, label) for label, count in learned_from.items())
    warnings = [
        f"each of the {n} groups has images of one class: what is reported of a group is the "
        f"recall of its class, learned from the other groups of that class (of {label} from "
        f"{least}), and accuracy is the mean of that over groups"
    ]
    if not balanced:
        warnings.append(
            "leaving such a group out makes its class rarer in training than others, which holds "
            "accuracy down, of settings that know little below chance; --balanced lets classes "
            "weigh the same"
        )
    return warnings


def repeats_words(repeats: int, seeds: int = 1) -> str:
    """Return how people read a number of repeats, which may be those of several seeds."""
    words = f"{repeats} repeat{'s' * (repeats > 1)}"
    return words if seeds == 1 else f"{words} of {seeds} seeds"


def lay_out_folds(
    real: Manifest, test: Manifest | None, config: SweepConfig
) -> tuple[list[Fold], str]:
    """Return the folds of all repeats, and what they are in words; `test` is the hold-out.

    Raises:
        XprobeError: a class has too few images or groups for that.
    """
    _check_groups(real)
    n_clusters = check_clusters(real if test is None else test, config.errors_by)
    repeats = repeats_words(config.repeats)
    all_folds = []
    if test is not None:  # No real image is drawn, so that every repeat has the same folds.
        share = config.holdout
        part = "" if share is None else f" of {100 * share:g} % of the real images"
        protocol = f"{HOLD_OUT}{part}, {repeats}"
        for r in range(config.repeats):
            rng = stream(config.seed, "folds")
            all_folds.append(folds.hold_out(real, test, r, config.inner_folds, rng))
    elif config.leave_one_group_out:
        n = len(set(real.group))
        if n > MOST_GROUPS_AS_FOLDS:
            raise XprobeError(
                f"--leave-one-group-out is for few groups, and there are {n}; leave it out, and "
                f"groups stay whole in the folds all the same"
            )
        protocol = f"leave-one-group-out cross-validation over {n} groups, {repeats}"
        for r in range(config.repeats):
            rng = stream(config.seed, "folds")
            all_folds += folds.leave_one_group_out(real, r, config.inner_folds, rng)
    else:
        k = folds.count_folds(real.label, real.group, config.folds or folds.MOST_FOLDS)
        protocol = f"{k}-fold cross-validation, {repeats}"
        for r in range(config.repeats):
            rng = stream(config.seed, "folds", r)
            all_folds += folds.cross_validation(real, k, r, config.inner_folds, rng)
    if config.errors_by:
        protocol += f", errors over {n_clusters} {config.errors_by}s"
    size, fraction = config.train_per_class, config.real_fraction
    if size is None and fraction == 1:
        return all_folds, protocol
    if size is not None:
        _check_size(size, all_folds, real)

    def wanted(n: int) -> int:
        return size if size is not None else max(1, round(fraction * n))

    thinned = [
        folds.thin(
            fold, real, wanted, config.inner_folds,
            stream(config.seed, "fraction", fold.repeat, fold.index),
        )
        for fold in all_folds
    ]  # fmt: skip
    part = f"{100 * fraction:g} % of" if size is None else f"{size} of each class of"
    return thinned, f"{protocol}, {part} the real training images"


def _check_size(size: int, all_folds: Sequence[Fold], real: Manifest) -> None:
    label_of = dict(zip(real.id, real.label, strict=True))
    fold_counts = [Counter(label_of[i] for i in fold.train_real) for fold in all_folds]
    least = min((n, name) for counts in fold_counts for name, n in counts.items())
    if size > least[0]:
        fitting = closer_sizes((least[0] // 4, least[0]))
        example = f", such as {','.join(map(str, fitting))}" if len(fitting) > 1 else ""
        raise XprobeError(
            f"--real-curve {size}: of class {least[1]} a fold has {least[0]} real training images; "
            f"choose sizes up to that{example}"
        )


def _supply_warnings(
    synthetic: Manifest,
    generators: tuple[str, ...],
    real: Manifest,
    all_folds: list[Fold],
    config: SweepConfig,
) -> list[str]:
    largest = largest_part(real, all_folds)
    warnings = []
    for name in generators:
        images = synthetic.select(synthetic.generator == name)
        wrong = lineage.check_supply(images, name, largest, config.ratios)
        if wrong and not config.allow_fewer:
            raise TooFewSyntheticError(wrong)
        if wrong:
            warnings.append(f"{wrong}; went on with fewer, as asked")
    return warnings


def largest_part(real: Manifest, all_folds: Sequence[Fold]) -> dict[str, int]:
    """Return how many real images of each class the largest training part has."""
    label_of = dict(zip(real.id, real.label, strict=True))
    largest: Counter[str] = Counter()
    for fold in all_folds:
        # The operator | of two counters takes the larger count of each class.
        largest |= Counter(label_of[i] for i in fold.train_real)
    return dict(sorted(largest.items()))


def _choice_warnings(blocks: Sequence[Block], all_folds: Sequence[Fold]) -> list[str]:
    """Return a warning of settings that lack inner folds which lineage left nothing to train on."""
    whole = {(fold.repeat, fold.index): len(fold.inner) for fold in all_folds}
    names = {
        f"{block.setting.title} of {block.setting.generator}"
        for block in blocks
        for i, problem in enumerate(block.problems)
        if not problem.inner and whole[block.repeat, i]
    }
    if not names:
        return []
    return [
        f"lineage leaves no inner fold images of two classes of {first_few(sorted(names))}: there "
        f"C is fixed, not chosen"
    ]


def left_in_sweep(manifest: Manifest, config: SweepConfig) -> tuple[Left, ...]:
    """Return what a sweep would have left of generators that were trained on what it tests.

    Raises:
        XprobeError: as that sweep would.
    """
    manifest = manifest.without_controls()
    real, test, _ = parts(manifest, config)
    real = folds.choose_real(real, config.per_class, stream(config.seed, "choose"))
    all_folds, _ = lay_out_folds(real, test, config)
    is_real = manifest.source == "real"
    return seen.left_of(
        manifest.select(~is_real), manifest.select(is_real),
        seen.groups_tested(all_folds, real if test is None else test),
    )  # fmt: skip


def _ignored_lineage_warning(
    maker: BlockMaker, all_folds: Sequence[Fold], generators: Sequence[str]
) -> str:
    """Say how many synthetic images were trained on that show what was tested."""
    leaked = [
        int((~maker.supply[source].lineage.allowed(maker.groups_of(fold.test_real))).sum())
        for source in (source_of(Setting("synthetic-only", generator=name)) for name in generators)
        for fold in all_folds
    ]
    most = max(leaked, default=0)
    way = "from test images"
    if any(supply.lineage.seen.any() for supply in maker.supply.values()):
        way += " or by a network that has seen their events"
    known = (
        f"in a fold up to {most} synthetic images of a generator were made {way}, and may have "
        f"been trained on"
        if most
        else "but no synthetic image is known to be made from a test image"
    )
    return (
        f"LINEAGE WAS IGNORED, as asked: {known}. These results show the size of a leak, and "
        f"nothing else"
    )
