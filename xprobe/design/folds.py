"""Group-safe folds of real images and nested draws of synthetic ones (docs/concepts/protocol.md).

All randomness comes from the generator that a function is given. The order of the rows matters
only for what this generator draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Strings
from xprobe.base.errors import XprobeError, first_few
from xprobe.images.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Fold:
    """One train/test division of the images of a study, as ids.

    Attributes:
        repeat, index: number of the repeat, and of the fold within it, from 0.
        train_real: ids of the real images to train on.
        test_real: ids of the real images to test on; they share no group with `train_real`.
        inner: pairs (train, validation) of ids that divide `train_real` by the same rules, for
            the choice of C; empty if a class has too few groups.
    """

    repeat: int
    index: int
    train_real: Strings
    test_real: Strings
    inner: tuple[tuple[Strings, Strings], ...]

    def __post_init__(self) -> None:
        for train, held_out in ((self.train_real, self.test_real), *self.inner):
            if set(train) & set(held_out):
                raise ValueError("training and test part share an image")


# The protocol takes five folds, or fewer where a class has fewer groups.
MOST_FOLDS = 5


def away_from(real: Manifest, test: Manifest) -> Manifest:
    """Return the real images that share no group, and so no content, with the hold-out.

    Raises:
        XprobeError: no image of a class is left.
    """
    kept = real.select(~np.isin(real.group.astype(str), test.group.astype(str)))
    if names := sorted(set(real.label) - set(kept.label)):
        raise XprobeError(
            f"every real training image of class {first_few(names)} shares its group, or its "
            f"content, with the hold-out; nothing is left to train on"
        )
    return kept


def choose_real(real: Manifest, per_class: int | None, rng: Generator) -> Manifest:
    """Return `per_class` random real images of each class, or all images for None.

    Raises:
        XprobeError: a class has fewer images than that.
    """
    if per_class is None:
        return real
    chosen: list[int] = []
    shortages = []
    for name in sorted(set(real.label)):
        rows = np.flatnonzero(real.label == name)
        if len(rows) < per_class:
            shortages.append(f"{name} ({len(rows)})")
            continue
        chosen.extend(rng.permutation(rows)[:per_class])
    if shortages:
        raise XprobeError(
            f"--per-class {per_class}: fewer real images than that of class "
            f"{first_few(shortages)}; choose a smaller number, or add images"
        )
    return real.select(np.sort(np.array(chosen, dtype=np.intp)))


def held_back(real: Manifest, chosen: Manifest, most: int, rng: Generator) -> Manifest:
    """Return up to `most` real images of each class that were not chosen for the study.

    They are the further real images of the control ``real-more``.
    """
    is_left = ~np.isin(real.id.astype(str), chosen.id.astype(str))
    rows = [
        rng.permutation(np.flatnonzero(is_left & (real.label == name)))[:most]
        for name in sorted(set(real.label))
    ]
    return real.select(np.sort(np.concatenate(rows)))


def some_groups(images: Manifest, wanted: Callable[[int], int], rng: Generator) -> Bools:
    """Return a mask (n,) of the images of random groups; no group is divided.

    Each class takes groups in random order until they hold `wanted(n)` of its n images. With an
    equal generator a smaller `wanted` gives a subset.
    """
    order = {name: i for i, name in enumerate(rng.permutation(np.unique(images.group.astype(str))))}
    rank = np.array([order[name] for name in images.group])
    chosen_ranks: set[int] = set()
    for name in sorted(set(images.label)):
        # A rank stands here once for each image, so that `wanted` counts images and not groups.
        ranks_of_class = np.sort(rank[images.label == name])
        chosen_ranks |= set(ranks_of_class[: wanted(len(ranks_of_class))].tolist())
    return np.isin(rank, list(chosen_ranks))


def split_off(real: Manifest, share: float, rng: Generator) -> tuple[Manifest, Manifest]:
    """Return (training images, test images): a share of each class is held out in whole groups.

    Raises:
        XprobeError: no image of a class is left to train on.
    """
    is_test = some_groups(real, lambda n: max(1, round(share * n)), rng)
    rest, test = real.select(~is_test), real.select(is_test)
    if names := sorted(set(real.label) - set(rest.label)):
        raise XprobeError(
            f"--holdout {share:g} leaves no group of class {first_few(names)} to train on; hold "
            f"out less"
        )
    return rest, test


def thin(
    fold: Fold, real: Manifest, wanted: Callable[[int], int], inner_folds: int, rng: Generator
) -> Fold:
    """Return the fold with fewer training images, by `some_groups`, and the same test images."""
    train = real.select(np.isin(real.id.astype(str), fold.train_real.astype(str)))
    rest = train.select(some_groups(train, wanted, rng))
    inner = inner_divisions(rest, inner_folds, rng)
    return Fold(fold.repeat, fold.index, rest.id, fold.test_real, inner)


def count_folds(label: Strings, group: Strings, most: int) -> int:
    """Return the number of folds: the smallest number of groups in a class, at most `most`.

    Raises:
        XprobeError: there are no images.
    """
    if not len(label):
        raise XprobeError("none of the real images can be used; failed.csv in the store says why")
    return min(most, *(len(set(group[label == name])) for name in sorted(set(label))))


def divide(label: Strings, group: Strings, k: int, rng: Generator) -> NDArray[np.intp]:
    """Return the fold (n,) of each image; no group is divided, every class is spread evenly.

    Groups are dealt out one by one, the largest first and equal ones in random order. Each goes to
    the fold that so far has the smallest share of the classes in that group.
    """
    _, class_of = np.unique(label.astype(str), return_inverse=True)
    _, group_of = np.unique(group.astype(str), return_inverse=True)
    counts = np.zeros((int(group_of.max()) + 1, int(class_of.max()) + 1), dtype=np.intp)
    np.add.at(counts, (group_of, class_of), 1)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    load = np.zeros((k, counts.shape[1]))
    fold_of_group = np.empty(len(counts), dtype=np.intp)
    share = counts / counts.sum(axis=0)
    for g in order:
        load_of_classes = load @ (counts[g] > 0)
        total = load.sum(axis=1)
        fold = np.lexsort((rng.random(k), total, load_of_classes.round(12)))[0]
        fold_of_group[g] = fold
        load[fold] += share[g]
    return np.asarray(fold_of_group[group_of])


def cross_validation(
    real: Manifest, k: int, repeat: int, inner_folds: int, rng: Generator
) -> list[Fold]:
    """Return the k folds of one repeat over the real images.

    Raises:
        XprobeError: a fold has no image of some class left to train on.
    """
    fold_of = divide(real.label, real.group, k, rng)
    folds = []
    for index in range(k):
        train, test = real.select(fold_of != index), real.select(fold_of == index)
        if absent := sorted(set(real.label) - set(train.label)):
            raise XprobeError(
                f"fold {index + 1} of {k} has no group of class {first_few(absent)} left to train "
                f"on; choose fewer --folds"
            )
        inner = inner_divisions(train, inner_folds, rng)
        folds.append(Fold(repeat, index, train.id, test.id, inner))
    return folds


def leave_one_group_out(
    real: Manifest, repeat: int, inner_folds: int, rng: Generator
) -> list[Fold]:
    """Return one fold for each group, which tests the images of that group alone.

    Raises:
        XprobeError: a class has images in one group alone, so that without it none are left.
    """
    folds = []
    for index, name in enumerate(np.unique(real.group.astype(str))):
        is_test = real.group.astype(str) == name
        train, test = real.select(~is_test), real.select(is_test)
        if absent := sorted(set(real.label) - set(train.label)):
            raise XprobeError(
                f"without group {name} there are no images of class {first_few(absent)} to train on"
            )
        inner = inner_divisions(train, inner_folds, rng)
        folds.append(Fold(repeat, index, train.id, test.id, inner))
    return folds


def hold_out(real: Manifest, test: Manifest, repeat: int, inner_folds: int, rng: Generator) -> Fold:
    """Return the one fold of a fixed hold-out: train on `real`, test on `test`."""
    return Fold(repeat, 0, real.id, test.id, inner_divisions(real, inner_folds, rng))


def inner_divisions(
    train: Manifest, most: int, rng: Generator
) -> tuple[tuple[Strings, Strings], ...]:
    """Return pairs (train, validation) of ids to choose C by; no pair if a class has one group."""
    k = count_folds(train.label, train.group, most)
    if k < 2:
        return ()
    fold_of = divide(train.label, train.group, k, rng)
    pairs = [(fold_of != i, fold_of == i) for i in range(k)]
    n_classes = len(set(train.label))
    if any(len(set(train.label[is_train])) < n_classes for is_train, _ in pairs):
        return ()  # Groups that hold several classes can leave a training part without a class.
    return tuple((train.id[is_train], train.id[is_validation]) for is_train, is_validation in pairs)
