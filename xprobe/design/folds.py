"""Group-safe folds of real images and nested draws of synthetic ones (docs/concepts/protocol.md).

All randomness comes from the passed generator; the rules do not depend on the order of the rows
but through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Strings
from xprobe.base.errors import XprobeError, some
from xprobe.images.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Fold:
    """One train/test division of the images of a study, as ids.

    Attributes:
        repeat, index: which repeat, which fold within it.
        train_real: real images to train on.
        test_real: real images to test on; no image and no group of `train_real` among them.
        inner: for the choice of C, pairs (train, validation) that divide `train_real` in the same
            way; empty if a class has too few groups.
    """

    repeat: int
    index: int
    train_real: Strings
    test_real: Strings
    inner: tuple[tuple[Strings, Strings], ...]

    def __post_init__(self) -> None:
        for a, b in ((self.train_real, self.test_real), *self.inner):
            if set(a) & set(b):
                raise ValueError("training and test part share an image")


MOST_FOLDS = 5


def away_from(real: Manifest, test: Manifest) -> Manifest:
    """Return the real images that share no group, and so no content, with the hold-out.

    Raises:
        XprobeError: nothing of a class is left.
    """
    kept = real.select(~np.isin(real.group.astype(str), test.group.astype(str)))
    if lost := sorted(set(real.label) - set(kept.label)):
        raise XprobeError(
            f"every real training image of class {some(lost)} shares its group, or its content, "
            f"with the hold-out; nothing is left to train on"
        )
    return kept


def choose_real(real: Manifest, per_class: int | None, rng: Generator) -> Manifest:
    """Return `per_class` real images of each class, or all.

    Raises:
        XprobeError: a class has fewer images than that.
    """
    if per_class is None:
        return real
    keep: list[int] = []
    short = []
    for name in sorted(set(real.label)):
        rows = np.flatnonzero(real.label == name)
        if len(rows) < per_class:
            short.append(f"{name} ({len(rows)})")
            continue
        keep.extend(rng.permutation(rows)[:per_class])
    if short:
        raise XprobeError(
            f"--per-class {per_class}: fewer real images than that of class {some(short)}; "
            f"choose a smaller number, or add images"
        )
    return real.select(np.sort(np.array(keep, dtype=np.intp)))


def held_back(real: Manifest, chosen: Manifest, most: int, rng: Generator) -> Manifest:
    """Return up to `most` real images of each class that were not chosen: more of the same."""
    left = ~np.isin(real.id.astype(str), chosen.id.astype(str))
    rows = [
        rng.permutation(np.flatnonzero(left & (real.label == name)))[:most]
        for name in sorted(set(real.label))
    ]
    return real.select(np.sort(np.concatenate(rows)))


def some_groups(images: Manifest, wanted: Callable[[int], int], rng: Generator) -> Bools:
    """Return which images (n,) are of a random part in which groups are whole.

    Of each class the first groups in random order, until they have `wanted(n)` of its n images:
    fewer wanted from an equal generator give a subset.
    """
    order = {name: i for i, name in enumerate(rng.permutation(np.unique(images.group.astype(str))))}
    rank = np.array([order[name] for name in images.group])
    kept: set[int] = set()
    for name in sorted(set(images.label)):
        own = np.sort(rank[images.label == name])  # one entry an image, so quotas count images
        kept |= set(own[: wanted(len(own))].tolist())
    return np.isin(rank, list(kept))


def split_off(real: Manifest, share: float, rng: Generator) -> tuple[Manifest, Manifest]:
    """Return the rest of the real images, and a share of each class to test, groups whole.

    Raises:
        XprobeError: nothing of a class is left to train on.
    """
    held = some_groups(real, lambda n: max(1, round(share * n)), rng)
    rest, test = real.select(~held), real.select(held)
    if lost := sorted(set(real.label) - set(rest.label)):
        raise XprobeError(
            f"--holdout {share:g} leaves no group of class {some(lost)} to train on; hold out less"
        )
    return rest, test


def thin(
    fold: Fold, real: Manifest, wanted: Callable[[int], int], inner_folds: int, rng: Generator
) -> Fold:
    """Return a fold that trains on `some_groups` of its real images, and tests the same ones."""
    train = real.select(np.isin(real.id.astype(str), fold.train_real.astype(str)))
    rest = train.select(some_groups(train, wanted, rng))
    inner = inner_divisions(rest, inner_folds, rng)
    return Fold(fold.repeat, fold.index, rest.id, fold.test_real, inner)


def count_folds(label: Strings, group: Strings, most: int) -> int:
    """Return min(`most`, the smallest number of groups in a class)."""
    return min(most, *(len(set(group[label == name])) for name in sorted(set(label))))


def divide(label: Strings, group: Strings, k: int, rng: Generator) -> NDArray[np.intp]:
    """Return the fold (n,) of each image: groups whole, every class spread evenly.

    Groups go one by one, the largest first and equals in random order, to the fold that has the
    least of their classes so far.
    """
    _, codes = np.unique(label.astype(str), return_inverse=True)
    _, group_of = np.unique(group.astype(str), return_inverse=True)
    counts = np.zeros((int(group_of.max()) + 1, int(codes.max()) + 1), dtype=np.intp)
    np.add.at(counts, (group_of, codes), 1)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    load = np.zeros((k, counts.shape[1]))
    fold_of_group = np.empty(len(counts), dtype=np.intp)
    share = counts / counts.sum(axis=0)
    for g in order:
        of_its_classes = load @ (counts[g] > 0)
        total = load.sum(axis=1)
        fold = np.lexsort((rng.random(k), total, of_its_classes.round(12)))[0]
        fold_of_group[g] = fold
        load[fold] += share[g]
    return np.asarray(fold_of_group[group_of])


def cross_validation(
    real: Manifest, k: int, repeat: int, inner_folds: int, rng: Generator
) -> list[Fold]:
    """Return the k folds of one repeat over the real images."""
    fold_of = divide(real.label, real.group, k, rng)
    folds = []
    for index in range(k):
        train, test = real.select(fold_of != index), real.select(fold_of == index)
        if missing := sorted(set(real.label) - set(train.label)):
            raise XprobeError(
                f"fold {index + 1} of {k} has no group of class {some(missing)} left to train on; "
                f"choose fewer --folds"
            )
        inner = inner_divisions(train, inner_folds, rng)
        folds.append(Fold(repeat, index, train.id, test.id, inner))
    return folds


def leave_one_group_out(
    real: Manifest, repeat: int, inner_folds: int, rng: Generator
) -> list[Fold]:
    """Return a fold for each group, which tests just that group.

    Raises:
        XprobeError: a class has images of one group alone, so none to train on without it.
    """
    found = []
    for index, name in enumerate(np.unique(real.group.astype(str))):
        held = real.group.astype(str) == name
        train, test = real.select(~held), real.select(held)
        if missing := sorted(set(real.label) - set(train.label)):
            raise XprobeError(
                f"without group {name} there are no images of class {some(missing)} to train on"
            )
        inner = inner_divisions(train, inner_folds, rng)
        found.append(Fold(repeat, index, train.id, test.id, inner))
    return found


def hold_out(real: Manifest, test: Manifest, repeat: int, inner_folds: int, rng: Generator) -> Fold:
    """Return the one fold of a fixed hold-out."""
    return Fold(repeat, 0, real.id, test.id, inner_divisions(real, inner_folds, rng))


def inner_divisions(
    train: Manifest, most: int, rng: Generator
) -> tuple[tuple[Strings, Strings], ...]:
    """Return pairs (train, validation) of ids to choose C by; none if a class has one group."""
    k = count_folds(train.label, train.group, most)
    if k < 2:
        return ()
    fold_of = divide(train.label, train.group, k, rng)
    pairs = [(fold_of != i, fold_of == i) for i in range(k)]
    whole = len(set(train.label))
    if any(len(set(train.label[rest])) < whole for rest, _ in pairs):
        return ()  # groups of several classes can leave an inner training part without one
    return tuple((train.id[rest], train.id[held]) for rest, held in pairs)
