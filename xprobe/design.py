"""Settings × folds → problems: what is trained and tested, before anything is.

All settings share their folds, their inner folds and, per generator, one random order of the
synthetic images; nothing depends on the encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from xprobe import folds
from xprobe.errors import XprobeError, some
from xprobe.problems import Problem
from xprobe.types import FINETUNE, Bools, Fold, Ints, Manifest, Setting, Strings, SweepConfig
from xprobe.views import Made, lay_out

HOLD_OUT = "fixed hold-out"  # how its protocol begins
MOST_GROUPS_AS_FOLDS = 50
EXTRA = ""  # the part of real images that are for controls only; generators have names


@dataclass(frozen=True, eq=False)
class Block:
    """One setting in one repeat: a problem a fold, which together test every real image once.

    Attributes:
        setting, repeat: which.
        problems: one a fold, rows of the study.
        n_real, n_synthetic: training images of each fold.
        dropped: synthetic images that each fold's lineage guard kept out.
        dropped_inner: those that it kept out of the inner folds, on average over these.
        short: whether a class has fewer synthetic images than the ratio asks.
        budget: training rows of each fold that the steps of a fine-tune are counted by: those of
            real-only, or (1 + r) times as many, for a mix 1:r and its control alike.
    """

    setting: Setting
    repeat: int
    problems: tuple[Problem, ...]
    n_real: tuple[int, ...]
    n_synthetic: tuple[int, ...]
    dropped: tuple[int, ...]
    dropped_inner: tuple[float, ...]
    short: bool
    budget: tuple[int, ...]

    @property
    def test(self) -> Ints:
        """Rows of all test images, fold after fold."""
        return np.concatenate([p.test for p in self.problems])

    @property
    def fold(self) -> Ints:
        """Fold of each row of `test`."""
        return np.repeat(np.arange(len(self.problems)), [len(p.test) for p in self.problems])


@dataclass(frozen=True, eq=False)
class Design:
    """Everything that will be trained.

    Attributes:
        study: the images that take part; rows of the problems.
        protocol: how it is tested, in words.
        generators: names, sorted.
        blocks: repeat by repeat.
        made: the rows behind those of the study, of the alternatives of heads.
        warnings: what the reader of the results must know.
    """

    study: Manifest
    protocol: str
    generators: tuple[str, ...]
    blocks: tuple[Block, ...]
    made: tuple[Made, ...]
    warnings: tuple[str, ...]


def stream(seed: int, *names: str | int) -> Generator:
    """Return the random stream of a purpose: independent of all others, the same in every run."""
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def make_design(
    manifest: Manifest, config: SweepConfig, views: Mapping[str, int] = MappingProxyType({})
) -> Design:
    """Lay out a sweep.

    Args:
        manifest: the images.
        config: what is trained; its alternatives are those of its head.
        views: of each augmentation that heads train on, how many views of each image there are.

    Raises:
        XprobeError: no synthetic images; too few images or groups of a class, or too few
            synthetic ones for a ratio.
    """
    real, test, warnings = parts(manifest, config)
    every = real
    real = folds.choose_real(every, config.per_class, stream(config.seed, "choose"))
    all_folds, protocol = lay_out_folds(real, test, config)
    most = round(max(config.ratios) * max(Counter(real.label).values()))  # of the largest mix
    spare = folds.held_back(every, real, most, stream(config.seed, "held back"))
    extra = [*manifest.id[manifest.split == "extra"], *spare.id]
    synthetic = manifest.select(manifest.source == "synthetic")
    if not len(synthetic):
        raise XprobeError(
            "no synthetic images to compare with; put them into "
            "synthetic/[<generator>/]<class>/… and embed them"
        )
    generators = tuple(sorted(set(synthetic.generator)))
    warnings += _supply_warnings(synthetic, generators, real, all_folds, config)
    if config.head == FINETUNE and len(all_folds) == 1:
        warnings.append(
            "one fine-tune of each setting: how much fine-tunes vary by their seed cannot be told "
            "from it, and the intervals do not include it; use --finetune-repeats 3"
        )
    if any(not fold.inner for fold in all_folds):
        warnings.append("a class has a single group to train on: C is fixed, not chosen")
    tested = real if test is None else test
    study = manifest.select(
        np.isin(manifest.id.astype(str), np.concatenate([real.id, tested.id]).astype(str))
        | (manifest.source == "synthetic")
        | np.isin(manifest.id.astype(str), np.array(extra, dtype=str))
    )
    maker = _Maker(study, extra, manifest.select(manifest.source == "real"), config)
    if config.head != FINETUNE and config.alternatives:
        maker.made = lay_out(
            maker.rows(real.id), config.alternatives, views, maker.most, len(study),
            stream(config.seed, "alternatives"),
        )  # fmt: skip
    blocks = [b for r in range(config.repeats) for b in maker.blocks(all_folds, r, generators)]
    warnings += _lineage_warnings(synthetic, generators)
    if config.ignore_lineage:
        warnings.insert(0, _ignored(maker, all_folds, generators))
    made = tuple(maker.made.values())
    return Design(study, protocol, generators, tuple(blocks), made, tuple(warnings))


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
            f"fewer than two real images or groups of class {some(few)}; one is needed to train, "
            f"another to test or to choose by: add images, or remove the class"
        )


def lay_out_folds(
    real: Manifest, test: Manifest | None, config: SweepConfig
) -> tuple[list[Fold], str]:
    """Return the folds of all repeats, and what they are in words; `test` is the hold-out.

    Raises:
        XprobeError: a class has too few images or groups for that.
    """
    _check_groups(real)
    repeats = f"{config.repeats} repeat{'s' * (config.repeats > 1)}"
    made = []
    if test is not None:  # nothing is drawn on the real side, so every repeat has the same folds
        of = "" if config.holdout is None else f" of {100 * config.holdout:g} % of the real images"
        protocol = f"{HOLD_OUT}{of}, {repeats}"
        for r in range(config.repeats):
            rng = stream(config.seed, "folds")
            made.append(folds.hold_out(real, test, r, config.inner_folds, rng))
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
            made += folds.leave_one_group_out(real, r, config.inner_folds, rng)
    else:
        k = folds.count_folds(real.label, real.group, config.folds or folds.MOST_FOLDS)
        protocol = f"{k}-fold cross-validation, {repeats}"
        for r in range(config.repeats):
            rng = stream(config.seed, "folds", r)
            made += folds.cross_validation(real, k, r, config.inner_folds, rng)
    size, fraction = config.train_per_class, config.real_fraction
    if size is None and fraction == 1:
        return made, protocol
    if size is not None:
        _check_size(size, made, real)

    def wanted(n: int) -> int:
        return size if size is not None else max(1, round(fraction * n))

    thinned = [
        folds.thin(
            fold, real, wanted, config.inner_folds,
            stream(config.seed, "fraction", fold.repeat, fold.index),
        )
        for fold in made
    ]  # fmt: skip
    part = f"{100 * fraction:g} % of" if size is None else f"{size} of each class of"
    return thinned, f"{protocol}, {part} the real training images"


def _check_size(size: int, made: Sequence[Fold], real: Manifest) -> None:
    label_of = dict(zip(real.id, real.label, strict=True))
    counted = [Counter(label_of[i] for i in fold.train_real) for fold in made]
    least = min((n, name) for each in counted for name, n in each.items())
    if size > least[0]:
        raise XprobeError(
            f"--real-curve {size}: of class {least[1]} a fold has {least[0]} real training images; "
            f"choose sizes up to that"
        )


def _supply_warnings(
    synthetic: Manifest,
    generators: tuple[str, ...],
    real: Manifest,
    all_folds: list[Fold],
    config: SweepConfig,
) -> list[str]:
    label_of = dict(zip(real.id, real.label, strict=True))
    largest: Counter[str] = Counter()
    for fold in all_folds:
        largest |= Counter(label_of[i] for i in fold.train_real)  # the union takes the maximum
    found = []
    for name in generators:
        own = synthetic.select(synthetic.generator == name)
        wrong = folds.check_supply(own, name, dict(sorted(largest.items())), config.ratios)
        if wrong and not config.allow_fewer:
            raise XprobeError(
                f"{wrong}: choose smaller --ratios or --per-class, or go on with --allow-fewer"
            )
        if wrong:
            found.append(f"{wrong}; went on with fewer, as asked")
    return found


def _lineage_warnings(synthetic: Manifest, generators: tuple[str, ...]) -> list[str]:
    unknown = [
        name
        for name in generators
        if ((synthetic.parent == "") & (synthetic.group == ""))[synthetic.generator == name].any()
    ]
    if not unknown:
        return []
    return [
        f"the lineage of synthetic images is not known (generator {some(unknown)}): that some were "
        f"made from test images cannot be excluded; name their sources in the manifest's parent "
        f"column"
    ]


def _ignored(maker: _Maker, all_folds: Sequence[Fold], generators: Sequence[str]) -> str:
    """Say how many synthetic images were trained on that show what was tested."""
    leaked = [
        int((~maker.lineage[name].allowed(maker.groups_of(fold.test_real))).sum())
        for name in generators
        for fold in all_folds
    ]
    most = max(leaked, default=0)
    known = (
        f"in a fold up to {most} synthetic images of a generator were made from test images, and "
        f"may have been trained on"
        if most
        else "but no synthetic image is known to be made from a test image"
    )
    return (
        f"LINEAGE WAS IGNORED, as asked: {known}. These results show the size of a leak, and "
        f"nothing else"
    )


def _rows_of_mix(n_real: int, ratio: float) -> int:
    return round((1 + ratio) * n_real)


class _Maker:
    """Turns folds into blocks; holds what all of them share."""

    def __init__(
        self, study: Manifest, extra: Sequence[str], real: Manifest, config: SweepConfig
    ) -> None:
        self.study, self.config = study, config
        self.row = {id_: i for i, id_ in enumerate(study.id)}
        self.group = dict(zip(study.id, study.group, strict=True))
        self.made: dict[str, Made] = {}
        self.most = max(1, round(max(config.ratios)))  # of an image, instead of synthetic ones
        self.part: dict[str, Manifest] = {}
        self.lineage: dict[str, folds.Lineage] = {}
        parts = {name: study.generator == name for name in sorted(set(study.generator) - {""})}
        if extra:
            parts[EXTRA] = np.isin(study.id.astype(str), np.array(extra, dtype=str))
        for name, of in parts.items():
            self.part[name] = study.select(of)
            self.lineage[name] = folds.trace(self.part[name], real)

    def blocks(
        self, all_folds: list[Fold], repeat: int, generators: tuple[str, ...]
    ) -> list[Block]:
        """Return every setting's block of one repeat, real-only first."""
        own = [fold for fold in all_folds if fold.repeat == repeat]
        made = self._real(own, repeat)
        if EXTRA in self.part:
            orders = self._orders(EXTRA, own, repeat)
            made += [
                self._block(Setting("real-more", ratio), ratio, own, orders, repeat)
                for ratio in self.config.ratios
                if all(self._has_extra(fold, ratio) for fold in own)
            ]
        for name in generators:
            orders = self._orders(name, own, repeat)
            largest = max(self.config.ratios)
            only = Setting("synthetic-only", None, name)
            made.append(self._block(only, largest, own, orders, repeat))
            for ratio in self.config.ratios:
                made.append(self._block(Setting("mix", ratio, name), ratio, own, orders, repeat))
            if self.config.with_synthetic:
                made += [self._augmented(made[-1], augment) for augment in self._augmentations()]
        return made

    def _augmentations(self) -> tuple[str, ...]:
        return self.config.alternatives if self.config.head == FINETUNE else tuple(self.made)

    def _augmented(self, block: Block, augment: str) -> Block:
        setting = replace(block.setting, augment=augment)
        if self.config.head == FINETUNE:  # which augments images as it trains
            return replace(block, setting=setting)
        return self._with_made(block, setting)

    def _has_extra(self, fold: Fold, ratio: float) -> bool:
        """Return whether there are as many further real images of each class as a mix draws."""
        wanted = Counter(self.study.label[self.rows(fold.train_real)])
        return folds.check_supply(self.part[EXTRA], "extra", wanted, (ratio,)) is None

    def _orders(self, name: str, own: list[Fold], repeat: int) -> list[Ints]:
        """Return in what order each fold draws from a part."""
        return [
            stream(self.config.seed, "draw", name, repeat, fold.index).permutation(
                len(self.part[name])
            )
            for fold in own
        ]

    def _real(self, own: list[Fold], repeat: int) -> list[Block]:
        """Return real-only, and for fine-tunes the controls of the mixes."""
        problems = tuple(
            Problem(
                self.rows(fold.train_real),
                self.rows(fold.test_real),
                tuple((self.rows(a), self.rows(b)) for a, b in fold.inner),
            )
            for fold in own
        )
        sizes = tuple(len(p.train) for p in problems)
        none = (0,) * len(problems)
        only = Block(Setting("real-only"), repeat, problems, sizes, none, none, none, False, sizes)
        if self.config.head != FINETUNE:
            return [only, *(self._with_made(only, Setting(name)) for name in self.made)]
        return [
            only,
            *(
                replace(only, setting=setting, budget=tuple(_rows_of_mix(n, ratio) for n in sizes))
                for setting, ratio in self._controls()
            ),
        ]

    def _with_made(self, block: Block, setting: Setting) -> Block:
        """Return a block that trains on what was made of its real images, too."""
        made = self.made[setting.augment or setting.name]

        def more(train: Ints, real: Ints) -> Ints:
            return np.concatenate([train, made.rows(real, self.most)])

        real = self.study.source.astype(str) == "real"
        problems = tuple(
            Problem(
                more(p.train, p.train[real[p.train]]),
                p.test,
                tuple((more(a, a[real[a]]), b) for a, b in p.inner),
            )
            for p in block.problems
        )
        return replace(block, setting=setting, problems=problems)

    def _controls(self) -> list[tuple[Setting, float]]:
        """Return the controls that train on the real images alone, and the ratio of their steps."""
        ratios = self.config.ratios
        return [
            *((Setting("real-duplicated", ratio), ratio) for ratio in ratios),
            *((Setting(name), max(ratios)) for name in self.config.alternatives),
        ]

    def _block(
        self, setting: Setting, ratio: float, own: list[Fold], orders: list[Ints], repeat: int
    ) -> Block:
        problems, n_real, n_synthetic, dropped, dropped_inner = [], [], [], [], []
        short = False
        for fold, order in zip(own, orders, strict=True):
            train, n_kept_out, lacks = self._train(
                setting, ratio, order, fold.train_real, fold.test_real
            )
            held = fold.test_real
            drawn = [self._train(setting, ratio, order, a, b, held) for a, b in fold.inner]
            inner = tuple((d[0], self.rows(b)) for d, (_, b) in zip(drawn, fold.inner, strict=True))
            problems.append(Problem(train, self.rows(fold.test_real), inner))
            if setting.name == "real-more":
                n_real.append(len(train))
            else:
                n_real.append(len(fold.train_real) if setting.name == "mix" else 0)
            n_synthetic.append(len(train) - n_real[-1])
            dropped.append(n_kept_out)
            dropped_inner.append(float(np.mean([d[1] for d in drawn])) if drawn else 0.0)
            short |= lacks
        return Block(
            setting, repeat, tuple(problems), tuple(n_real), tuple(n_synthetic), tuple(dropped),
            tuple(dropped_inner), short,
            tuple(_rows_of_mix(len(fold.train_real), ratio) for fold in own),
        )  # fmt: skip

    def _train(
        self, setting: Setting, ratio: float, order: Ints, train: Strings, *held: Strings
    ) -> tuple[Ints, int, bool]:
        """Return training rows, the number of synthetic images kept out, and whether some lack.

        `held` are the parts that must not be known: an inner fold holds out its validation part
        and the test part.
        """
        name = setting.generator or EXTRA
        part, allowed = self.part[name], self._allowed(name, held)
        label = self.study.label[self.rows(train)]
        drawn = folds.draw(part, allowed, order, label, ratio)
        rows = self.rows(part.id[drawn.rows])
        if setting.name != "synthetic-only":
            rows = np.concatenate([self.rows(train), rows])
        return np.sort(rows), int((~allowed).sum()), drawn.short

    def _allowed(self, generator: str, held: tuple[Strings, ...]) -> Bools:
        if self.config.ignore_lineage:
            return np.ones(len(self.part[generator]), dtype=bool)
        return self.lineage[generator].allowed(self.groups_of(*held))

    def groups_of(self, *parts: Strings) -> Strings:
        """Return the groups of some real images."""
        groups = {self.group[id_] for part in parts for id_ in part}
        return np.array(sorted(groups), dtype=object)

    def rows(self, ids: Strings) -> Ints:
        """Return the rows of images."""
        return np.sort(np.array([self.row[i] for i in ids], dtype=np.intp))
