"""The problems of one setting and repeat: one a fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Ints, Strings
from xprobe.base.streams import stream
from xprobe.design import lineage, null_edits
from xprobe.design.alternatives import Made
from xprobe.design.config import SweepConfig
from xprobe.design.folds import Fold
from xprobe.design.lineage import Lineage
from xprobe.design.setting import Setting
from xprobe.images.manifest import NULL_EDIT, Manifest
from xprobe.learners.kinds import kind_of
from xprobe.learners.problem import Problem

POOLED, REAL_MORE = "mix-pooled", "real-more"
_GENERATOR, _NULL_EDIT = "generator:", f"{NULL_EDIT}:"


def source_of(setting: Setting) -> str:
    """Return the `Supply.source` that a setting draws from."""
    if setting.generator is None:
        return setting.name
    return (_NULL_EDIT if setting.name == NULL_EDIT else _GENERATOR) + setting.generator


@dataclass(frozen=True, eq=False)
class Supply:
    """What is added to the real images: those of a generator, of all of them, or further real ones.

    Attributes:
        source: ``generator:<name>``, ``null-edit:<name>`` for the null edits of a generator,
            ``mix-pooled`` for all generators, ``real-more`` for further real images.
        images: what there is to draw from.
        lineage: which of them show what real images show.
    """

    source: str
    images: Manifest
    lineage: Lineage

    def order(self, seed: int, repeat: int, fold: int) -> Ints:
        """Return in what random order a fold draws from the images."""
        # These names stand in the random streams of all that was drawn before: they must stay.
        name = {REAL_MORE: ""}.get(self.source, self.source.removeprefix(_GENERATOR))
        return stream(seed, "draw", name, repeat, fold).permutation(len(self.images))

    @cached_property
    def made_of(self) -> NDArray[np.str_]:
        """(n,) the real image that each one is made of (`null_edits.sources_of`)."""
        return null_edits.sources_of(self.images)

    @cached_property
    def _part(self) -> Ints:
        """(n,) number of what takes turns: a generator's class; of null edits the real image."""
        names = null_edits.with_label(self.images.generator, self.images.label)
        names = self.made_of if self.source.startswith(_NULL_EDIT) else names
        return np.asarray(np.unique(names, return_inverse=True)[1])

    def in_turn(self, order: Ints) -> Ints:
        """Return an order of the same images in which generators, or real images, take turns."""
        part = self._part[order]
        by_part = np.argsort(part, kind="stable")
        _, first = np.unique(part[by_part], return_index=True)
        size = np.diff(np.append(first, len(order)))
        turn = np.empty(len(order), dtype=np.intp)
        turn[by_part] = np.arange(len(order)) - np.repeat(first, size)
        return np.asarray(order[np.argsort(turn, kind="stable")])


@dataclass(frozen=True, eq=False)
class Block:
    """One setting in one repeat: a problem a fold, which together test every real image once.

    Attributes:
        setting: what is trained on.
        repeat: number of the repeat, from 0.
        problems: one a fold; their rows are those of the study.
        n_real, n_synthetic: training images of each fold.
        dropped: how many synthetic images the lineage guard kept out of each fold.
        dropped_inner: how many it kept out of each inner fold, on average over a fold's.
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


def _rows_of_mix(n_real: int, ratio: float) -> int:
    """Return how many images a mix 1:ratio trains on."""
    return round((1 + ratio) * n_real)


class BlockMaker:
    """Turns folds into blocks; holds what all of them share."""

    def __init__(
        self, study: Manifest, extra: Sequence[str], real: Manifest, config: SweepConfig
    ) -> None:
        self.study, self.config = study, config
        self.takes_steps = kind_of(config.head).takes_steps
        self.row = {id_: i for i, id_ in enumerate(study.id)}
        self.group = dict(zip(study.id, study.group, strict=True))
        self.alternatives: dict[str, Made] = {}
        # Of each generator the ratios at which it has the control of null edits.
        self.null_ratios: dict[str, tuple[float, ...]] = {}
        # An alternative makes as many rows of an image as the largest mix adds synthetic images.
        self.most = max(1, round(max(config.ratios)))
        generators = sorted(set(study.generator) - {""})
        is_control = study.is_control
        is_of = {g: np.asarray(study.generator == g) for g in generators}
        rows: dict[str, Bools] = {_GENERATOR + g: is_of[g] & ~is_control for g in generators}
        rows |= {_NULL_EDIT + g: is_of[g] & is_control for g in generators if is_control.any()}
        if config.pooled and len(generators) > 1:
            rows[POOLED] = (study.source == "synthetic") & ~is_control
        if extra:
            rows[REAL_MORE] = np.isin(study.id.astype(str), np.array(extra, dtype=str))
        self.supply: dict[str, Supply] = {}
        for source, chosen in rows.items():
            images = study.select(chosen)
            self.supply[source] = Supply(source, images, lineage.trace(images, real))

    def blocks(
        self, all_folds: list[Fold], repeat: int, generators: tuple[str, ...]
    ) -> list[Block]:
        """Return every setting's block of one repeat, real-only first."""
        folds = [fold for fold in all_folds if fold.repeat == repeat]
        blocks = self._real_only(folds, repeat)
        if REAL_MORE in self.supply:
            orders = self._orders(REAL_MORE, folds, repeat)
            blocks += [
                self._block(Setting(REAL_MORE, ratio), ratio, folds, orders, repeat)
                for ratio in self.config.ratios
                if all(self._has_extra(fold, ratio) for fold in folds)
            ]
        for name in generators:
            orders = self._orders(_GENERATOR + name, folds, repeat)
            largest = max(self.config.ratios)
            only = Setting("synthetic-only", None, name)
            blocks.append(self._block(only, largest, folds, orders, repeat))
            for ratio in self.config.ratios:
                mix = Setting("mix", ratio, name)
                blocks.append(self._block(mix, ratio, folds, orders, repeat))
            if self.config.with_synthetic:
                blocks += [
                    self._augmented(blocks[-1], augment) for augment in self._augmentations()
                ]
            if ratios := self.null_ratios.get(name, ()):
                orders = self._orders(_NULL_EDIT + name, folds, repeat)
                blocks += [
                    self._block(Setting(NULL_EDIT, ratio, name), ratio, folds, orders, repeat)
                    for ratio in ratios
                ]
        if POOLED in self.supply:
            orders = self._orders(POOLED, folds, repeat)
            blocks += [
                self._block(Setting(POOLED, ratio), ratio, folds, orders, repeat)
                for ratio in self.config.ratios
            ]
        return blocks

    def _augmentations(self) -> tuple[str, ...]:
        return self.config.alternatives if self.takes_steps else tuple(self.alternatives)

    def _augmented(self, block: Block, augment: str) -> Block:
        setting = replace(block.setting, augment=augment)
        if self.takes_steps:  # A fine-tune augments images as it trains, so its rows are the same.
            return replace(block, setting=setting)
        return self._with_alternative(block, setting)

    def _has_extra(self, fold: Fold, ratio: float) -> bool:
        """Return whether there are as many further real images of each class as a mix draws."""
        wanted = Counter(self.study.label[self.rows(fold.train_real)])
        return (
            lineage.check_supply(self.supply[REAL_MORE].images, "extra", wanted, (ratio,)) is None
        )

    def choose_null_ratios(self, folds: Sequence[Fold], generators: Sequence[str]) -> list[str]:
        """Choose at which ratios there are enough null edits; say at which there are too few."""
        warnings = []
        for name in generators:
            supply = self.supply.get(_NULL_EDIT + name)
            if supply is None or not len(supply.images):
                continue
            per_real = self._null_edits_per_real(supply, folds)
            chosen = null_edits.possible_ratios(per_real, self.config.ratios)
            self.null_ratios[name] = chosen
            if lacking := [ratio for ratio in self.config.ratios if ratio not in chosen]:
                warnings.append(null_edits.too_few_words(name, per_real, lacking))
        return warnings

    def _null_edits_per_real(self, supply: Supply, folds: Sequence[Fold]) -> dict[str, float]:
        """Return of each class the null edits for a real image, in the fold with the fewest."""
        least: dict[str, float] = {}
        for fold in folds:
            allowed = self._allowed(supply, (fold.test_real,))
            allowed &= self._made_of(supply, fold.train_real)
            label = self.study.label[self.rows(fold.train_real)]
            for name, n in lineage.supply_per_real(supply.images, allowed, label).items():
                least[name] = min(least.get(name, n), n)
        return least

    def _orders(self, source: str, folds: list[Fold], repeat: int) -> list[Ints]:
        """Return in what order each fold draws from a supply."""
        supply = self.supply[source]
        return [supply.order(self.config.seed, repeat, fold.index) for fold in folds]

    def _real_only(self, folds: list[Fold], repeat: int) -> list[Block]:
        """Return real-only, and for fine-tunes the controls of the mixes."""
        problems = tuple(
            Problem(
                self.rows(fold.train_real),
                self.rows(fold.test_real),
                tuple((self.rows(a), self.rows(b)) for a, b in fold.inner),
            )
            for fold in folds
        )
        sizes = tuple(len(p.train) for p in problems)
        none = (0,) * len(problems)
        only = Block(Setting("real-only"), repeat, problems, sizes, none, none, none, False, sizes)
        if not self.takes_steps:
            return [
                only,
                *(self._with_alternative(only, Setting(name)) for name in self.alternatives),
            ]
        return [
            only,
            *(
                replace(only, setting=setting, budget=tuple(_rows_of_mix(n, ratio) for n in sizes))
                for setting, ratio in self._controls()
            ),
        ]

    def _with_alternative(self, block: Block, setting: Setting) -> Block:
        """Return a block that trains on the rows made of its real images, too."""
        alternative = self.alternatives[setting.augment or setting.name]

        def more(train: Ints, real: Ints) -> Ints:
            return np.concatenate([train, alternative.rows(real, self.most)])

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
        self, setting: Setting, ratio: float, folds: list[Fold], orders: list[Ints], repeat: int
    ) -> Block:
        """Return the block of a setting that draws from a supply, each fold in its order."""
        problems, n_real, n_synthetic, dropped, dropped_inner = [], [], [], [], []
        short = False
        for fold, order in zip(folds, orders, strict=True):
            train, n_kept_out, lacks = self._training_rows(
                setting, ratio, order, fold.train_real, fold.test_real
            )
            held = fold.test_real
            drawn = [self._training_rows(setting, ratio, order, a, b, held) for a, b in fold.inner]
            inner = tuple(
                (d[0], self.rows(b))
                for d, (_, b) in zip(drawn, fold.inner, strict=True)
                if self._can_teach(d[0])
            )
            problems.append(Problem(train, self.rows(fold.test_real), inner))
            if setting.name == REAL_MORE:
                n_real.append(len(train))
            else:
                n_real.append(0 if setting.name == "synthetic-only" else len(fold.train_real))
            n_synthetic.append(len(train) - n_real[-1])
            dropped.append(n_kept_out)
            dropped_inner.append(float(np.mean([d[1] for d in drawn])) if drawn else 0.0)
            short |= lacks
        return Block(
            setting, repeat, tuple(problems), tuple(n_real), tuple(n_synthetic), tuple(dropped),
            tuple(dropped_inner), short,
            tuple(_rows_of_mix(len(fold.train_real), ratio) for fold in folds),
        )  # fmt: skip

    def _training_rows(
        self, setting: Setting, ratio: float, order: Ints, train: Strings, *held: Strings
    ) -> tuple[Ints, int, bool]:
        """Return training rows, the number of synthetic images kept out, and whether some lack.

        `held` are the parts that training must not know: an inner fold holds out its validation
        part and the test part.
        """
        supply = self.supply[source_of(setting)]
        allowed = kept = self._allowed(supply, held)
        label, possible = self.study.label[self.rows(train)], ratio
        if setting.name == NULL_EDIT:
            # All classes fall as short as the shortest, so that the fingerprint names none of them.
            allowed = kept & self._made_of(supply, train)
            per_real = lineage.supply_per_real(supply.images, allowed, label)
            possible = min(ratio, *per_real.values())
        if setting.name in (POOLED, NULL_EDIT):
            order = supply.in_turn(order[allowed[order]])
        drawn = lineage.draw(supply.images, allowed, order, label, possible)
        rows = self.rows(supply.images.id[drawn.rows])
        if setting.name != "synthetic-only":
            rows = np.concatenate([self.rows(train), rows])
        return np.sort(rows), int((~kept).sum()), drawn.short or possible < ratio

    def _can_teach(self, rows: Ints) -> bool:
        """Return whether rows have two classes: a generator may have seen all that is held out."""
        return len(set(self.study.label[rows])) > 1

    def _allowed(self, supply: Supply, held: tuple[Strings, ...]) -> Bools:
        if self.config.ignore_lineage:
            return np.ones(len(supply.images), dtype=bool)
        return supply.lineage.allowed(self.groups_of(*held))

    def _made_of(self, supply: Supply, train: Strings) -> Bools:
        """Return (n,) whether images are made of these real images, and of their class."""
        return null_edits.are_made_of(supply.made_of, self.study.select(self.rows(train)))

    def groups_of(self, *parts: Strings) -> Strings:
        """Return the groups of some real images."""
        groups = {self.group[id_] for part in parts for id_ in part}
        return np.array(sorted(groups), dtype=object)

    def rows(self, ids: Strings) -> Ints:
        """Return the rows of images."""
        return np.sort(np.array([self.row[i] for i in ids], dtype=np.intp))
