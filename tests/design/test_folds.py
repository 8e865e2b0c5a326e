"""Folds that keep groups whole, and draws of synthetic images that know no test image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xprobe.base.arrays import frozen_strings
from xprobe.base.errors import XprobeError
from xprobe.design import folds
from xprobe.design import lineage as lineage_module
from xprobe.images.manifest import Manifest

Make = Callable[..., Manifest]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def counts_by_fold(label: np.ndarray, fold: np.ndarray, k: int) -> np.ndarray:
    """Return the number of images (k, classes)."""
    return np.array([[((fold == i) & (label == c)).sum() for c in set(label)] for i in range(k)])


def share_of(fraction: float) -> Callable[[int], int]:
    """Return a function of n that gives the number of images in this fraction, at least one."""
    return lambda n: max(1, round(fraction * n))


# --- divide ------------------------------------------------------------------------------

TABLES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=40)


@given(TABLES, st.integers(2, 5), st.integers(0, 99))
def test_every_image_is_in_one_fold_and_its_whole_group_with_it(
    table: list[tuple[str, int]], k: int, seed: int
) -> None:
    label, group = (frozen_strings(map(str, column)) for column in zip(*table, strict=True))
    fold = folds.divide(label, group, k, rng(seed))
    assert fold.shape == label.shape
    assert set(fold) <= set(range(k))
    assert all(len(set(fold[group == g])) == 1 for g in set(group))


@given(st.lists(st.sampled_from("abcd"), min_size=5, max_size=60), st.integers(2, 5))
def test_classes_of_single_images_are_spread_evenly(label: list[str], k: int) -> None:
    group = frozen_strings(map(str, range(len(label))))
    fold = folds.divide(frozen_strings(label), group, k, rng())
    counts = counts_by_fold(np.array(label), fold, k)
    assert np.ptp(counts, axis=0).max() <= 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=1, max_size=25),
    st.integers(0, 99),
)
def test_every_fold_has_every_class_that_has_groups_enough(
    groups: list[tuple[str, int]], seed: int
) -> None:
    """Each group holds one class, and there are as many folds as the smallest class has groups."""
    label = frozen_strings(c for c, size in groups for _ in range(size))
    group = frozen_strings(str(g) for g, (_, size) in enumerate(groups) for _ in range(size))
    k = folds.count_folds(label, group, 5)
    fold = folds.divide(label, group, k, rng(seed))
    assert counts_by_fold(label, fold, k).min() >= 1


def test_small_groups_make_up_for_a_large_one() -> None:
    sizes = [1, 1, 1, 4, 1]
    group = frozen_strings(str(g) for g, n in enumerate(sizes) for _ in range(n))
    fold = folds.divide(frozen_strings("a" * 8), group, 2, rng())
    assert sorted(Counter(fold.tolist()).values()) == [4, 4]


def test_divide_follows_its_generator() -> None:
    label, group = frozen_strings("ab" * 20), frozen_strings(map(str, range(40)))
    one, same, other = (folds.divide(label, group, 5, rng(seed)) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_all_divisions_are_equally_likely() -> None:
    """Of four images in two folds, the first meets each other image equally often."""
    group, label = frozen_strings("wxyz"), frozen_strings("aaaa")
    one = rng()
    draws = [folds.divide(label, group, 2, one) for _ in range(900)]
    mates = Counter(int(np.flatnonzero(fold[1:] == fold[0])[0]) for fold in draws)
    assert all(abs(n - 300) < 4.5 * np.sqrt(900 * 2 / 9) for n in mates.values())
    assert len(mates) == 3


def test_the_number_of_folds_is_the_smallest_number_of_groups_up_to_the_most() -> None:
    label, group = frozen_strings("aaaabbb"), frozen_strings("1234567")
    assert folds.count_folds(label, group, 5) == 3
    assert folds.count_folds(label, group, 2) == 2
    assert folds.count_folds(label, frozen_strings("1234556"), 5) == 2


# --- cross-validation and hold-out -------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=4, max_size=30))
@settings(max_examples=60)
def test_folds_test_every_image_once_and_inner_folds_validate_every_other_once(
    make_manifest: Make, table: list[tuple[str, int]]
) -> None:
    label = [c for c, _ in table]
    group = [f"{c}{g}" for c, g in table]  # Each group holds one class.
    real = make_manifest(label, group=group)
    k = folds.count_folds(real.label, real.group, 5)
    if k < 2:
        return
    group_of = dict(zip(real.id, real.group, strict=True))
    repeat = folds.cross_validation(real, k, 3, 5, rng())
    assert Counter(i for f in repeat for i in f.test_real) == Counter(real.id)
    for index, fold in enumerate(repeat):
        assert (fold.repeat, fold.index) == (3, index)
        assert {*fold.train_real} | {*fold.test_real} == {*real.id}
        assert not {group_of[i] for i in fold.train_real} & {group_of[i] for i in fold.test_real}
        if fold.inner:
            assert Counter(i for _, v in fold.inner for i in v) == Counter(fold.train_real)
        for train, validation in fold.inner:
            assert {*train} | {*validation} == {*fold.train_real}
            assert not {group_of[i] for i in train} & {group_of[i] for i in validation}


def test_a_class_whose_groups_all_fall_into_one_fold_is_an_error(make_manifest: Make) -> None:
    """Where scenes show several classes, a rare class may be in one scene only."""
    real = make_manifest("aaab", group=["1", "2", "3", "3"])
    with pytest.raises(XprobeError, match="no group of class b left to train on"):
        folds.cross_validation(real, 2, 0, 5, rng())


def test_no_inner_folds_where_a_class_has_a_single_group(make_manifest: Make) -> None:
    assert folds.inner_divisions(make_manifest("aabb", group=["1", "2", "3", "3"]), 5, rng()) == ()
    assert len(folds.inner_divisions(make_manifest("aabb"), 5, rng())) == 2


def test_the_hold_out_is_tested_and_its_groups_never_trained_on(make_manifest: Make) -> None:
    real = make_manifest("aaabbb", group=["1", "2", "3", "4", "5", "6"])
    test = make_manifest("ab", id=["t1", "t2"], group=["2", "6"])
    kept = folds.away_from(real, test)
    assert kept.group.tolist() == ["1", "3", "4", "5"]
    fold = folds.hold_out(kept, test, 0, 5, rng())
    assert fold.train_real.tolist() == kept.id.tolist()
    assert fold.test_real.tolist() == ["t1", "t2"]


def test_a_class_that_the_hold_out_takes_away_whole_is_an_error(make_manifest: Make) -> None:
    real = make_manifest("aabb", group=["1", "2", "3", "3"])
    with pytest.raises(XprobeError, match="class b shares its group"):
        folds.away_from(real, make_manifest("b", id=["t"], group=["3"]))


def test_per_class_takes_that_many_of_each(make_manifest: Make) -> None:
    real = make_manifest("aaaaabbbb")
    chosen = folds.choose_real(real, 3, rng())
    assert Counter(chosen.label) == {"a": 3, "b": 3}
    assert folds.choose_real(real, None, rng()) is real
    other = folds.choose_real(real, 3, rng(5))
    assert chosen.id.tolist() != other.id.tolist()
    with pytest.raises(XprobeError, match=r"per-class 5: .* class b \(4\)"):
        folds.choose_real(real, 5, rng())


def test_what_is_held_back_is_what_was_not_chosen(make_manifest: Make) -> None:
    real = make_manifest("aaaaabbbb")
    chosen = folds.choose_real(real, 2, rng())
    held = folds.held_back(real, chosen, 2, rng())
    assert Counter(held.label) == {"a": 2, "b": 2}
    assert not set(held.id) & set(chosen.id)
    assert len(folds.held_back(real, real, 9, rng())) == 0


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=12, max_size=40),
    st.integers(0, 99),
)
def test_a_smaller_fraction_is_a_subset_of_whole_groups_and_tests_the_same_images(
    table: list[tuple[str, int]], seed: int
) -> None:
    label = [name for name, _ in table]
    group = [f"{name}{g}" for name, g in table]
    ids = [str(i) for i in range(len(table))]
    real = Manifest(
        *[ids] * 3, label, ["real"] * len(ids), group, *[[""] * len(ids)] * 2,
        ["train"] * len(ids), [""] * len(ids),
    )  # fmt: skip
    whole = folds.Fold(0, 0, real.id, frozen_strings([]), ())
    of_id = dict(zip(ids, zip(label, group, strict=True), strict=True))
    before: set[str] = set()
    for fraction in (0.1, 0.5, 0.8, 1.0):
        thin = folds.thin(whole, real, share_of(fraction), 2, rng(seed))
        kept = set(thin.train_real)
        assert before <= kept
        assert {of_id[i][1] for i in kept}.isdisjoint({of_id[i][1] for i in set(ids) - kept})
        for name in set(label):
            n, m = label.count(name), sum(of_id[i][0] == name for i in kept)
            assert m >= max(1, round(fraction * n))
        for train, held in thin.inner:
            assert set(train) | set(held) == kept
        assert list(thin.test_real) == list(whole.test_real)
        before = kept
    assert before == set(ids)


def test_so_many_of_each_class_are_just_so_many_where_images_are_their_own_groups(
    make_manifest: Make,
) -> None:
    real = make_manifest("aaaaaaabbbbb")
    whole = folds.hold_out(real, make_manifest("ab", id=["t1", "t2"]), 0, 5, rng())
    before: set[str] = set()
    for size in (1, 2, 4, 5):
        thin = folds.thin(whole, real, lambda _, size=size: size, 3, rng(4))
        assert Counter(real.label[np.isin(real.id, thin.train_real)]) == {"a": size, "b": size}
        assert before < set(thin.train_real)
        assert thin.test_real.tolist() == ["t1", "t2"]
        assert len(thin.inner) == (0 if size == 1 else min(size, 3))
        before = set(thin.train_real)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), min_size=3, max_size=40),
    st.integers(0, 99),
)
def test_some_groups_are_whole_enough_of_each_class_and_nested(
    make_manifest: Make, table: list[tuple[str, int]], seed: int
) -> None:
    """Scenes may show several classes, and each class still gets enough images."""
    label, group = [c for c, _ in table], [f"scene {g}" for _, g in table]
    images = make_manifest(label, group=group)
    before = np.zeros(len(images), dtype=bool)
    for wanted in (1, 2, 5, 40):
        held = folds.some_groups(images, lambda n, wanted=wanted: min(n, wanted), rng(seed))
        assert (before <= held).all()
        assert not set(images.group[held]) & set(images.group[~held])
        for name in set(label):
            assert (held & (images.label == name)).sum() >= min(wanted, label.count(name))
        before = held
    assert before.all()


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=20, max_size=60),
    st.sampled_from([0.1, 0.3, 0.5]),
    st.integers(0, 9),
)
@settings(max_examples=60)
def test_a_share_is_split_off_with_whole_groups_and_no_more_than_one_group_too_many(
    make_manifest: Make, table: list[tuple[str, int]], share: float, seed: int
) -> None:
    label, group = [c for c, _ in table], [f"{c}{g}" for c, g in table]
    real = make_manifest(label, group=group)
    try:
        rest, test = folds.split_off(real, share, rng(seed))
    except XprobeError as error:
        assert "leaves no group of class" in str(error)
        return
    assert sorted([*rest.id, *test.id]) == sorted(real.id)
    assert not set(rest.group) & set(test.group)
    for name in set(label):
        test_groups = test.group[test.label == name]
        wanted = max(1, round(share * label.count(name)))
        assert wanted <= len(test_groups) < wanted + max(Counter(test_groups).values())


def test_a_share_that_leaves_nothing_to_train_on_is_refused(make_manifest: Make) -> None:
    real = make_manifest("aaaabbbb", group=list("1234") + ["5"] * 4)
    with pytest.raises(XprobeError, match=r"--holdout 0\.3 leaves no group of class b to train on"):
        folds.split_off(real, 0.3, rng())
    with pytest.raises(XprobeError, match=r"class a, b to train on; hold out less"):
        folds.split_off(real, 0.9, rng())


def test_each_group_is_a_fold_and_validated_alone_within_the_others(make_manifest: Make) -> None:
    group = ["storm", "flood", "fire", "fire"] * 3
    real = make_manifest("aabb" * 2 + "baab", group=group)
    repeat = folds.leave_one_group_out(real, 2, 5, rng())
    assert [(f.repeat, f.index) for f in repeat] == [(2, 0), (2, 1), (2, 2)]
    group_of = dict(zip(real.id, real.group, strict=True))
    for fold, name in zip(repeat, ("fire", "flood", "storm"), strict=True):
        assert {group_of[i] for i in fold.test_real} == {name}
        assert len(fold.test_real) == group.count(name)
        assert sorted([*fold.train_real, *fold.test_real]) == sorted(real.id)
        for train, held in fold.inner:
            assert {group_of[i] for i in train}.isdisjoint({group_of[i] for i in held})
            assert sorted([*train, *held]) == sorted(fold.train_real)


def test_a_class_of_one_group_cannot_be_left_out(make_manifest: Make) -> None:
    real = make_manifest("aabb", group=["1", "2", "3", "3"])
    with pytest.raises(XprobeError, match="without group 3 there are no images of class b"):
        folds.leave_one_group_out(real, 0, 5, rng())


# --- lineage -----------------------------------------------------------------------------


def test_an_image_is_kept_out_if_its_parent_or_group_is_held_out(make_manifest: Make) -> None:
    real = make_manifest("aaaa", id=["p", "q", "r", "s"], group=["g", "g", "h", "s"])
    table = [
        # The columns are parent, group, and whether the image is kept out while g is held out.
        ("p", "", True),  # made from an image of g
        ("g", "", True),  # made from scene g
        ("", "g", True),  # shows scene g
        ("r", "g", True),  # One of the two is enough.
        ("q", "h", True),
        ("r", "h", False),
        ("s", "", False),
        ("", "", False),  # The origin is unknown.
        ("unheard of", "", False),
        ("", "unheard of", False),
    ]
    parent, group, held = zip(*table, strict=True)
    n = len(table)
    synthetic = make_manifest("a" * n, source=["synthetic"] * n, parent=parent, group=group)
    lineage = lineage_module.trace(synthetic, real)
    assert (~lineage.allowed(frozen_strings(["g"]))).tolist() == list(held)
    assert lineage.allowed(frozen_strings([])).all()
    real_names = {*real.id, *real.group}
    assert lineage.known.tolist() == [bool({p, g} & real_names) for p, g, _ in table]
    assert lineage.is_outside.tolist() == [(p or g) == "unheard of" for p, g, _ in table]


def test_a_parent_named_like_an_image_and_like_a_group_is_kept_out_with_either(
    make_manifest: Make,
) -> None:
    real = make_manifest("aa", id=["x", "y"], group=["scene", "x"])
    lineage = lineage_module.trace(
        make_manifest("a", id=["s"], source=["synthetic"], parent=["x"]), real
    )
    assert not lineage.allowed(frozen_strings(["scene"])).any()
    assert not lineage.allowed(frozen_strings(["x"])).any()


def test_nothing_synthetic_has_an_empty_lineage(make_manifest: Make) -> None:
    real = make_manifest("ab")
    lineage = lineage_module.trace(real.select(real.label == "c"), real)
    assert lineage.allowed(frozen_strings(["i0"])).shape == (0,)


# --- draws -------------------------------------------------------------------------------


def supply(make_manifest: Make, **n: int) -> Manifest:
    label = [c for c, count in n.items() for _ in range(count)]
    return make_manifest(label, source=["synthetic"] * len(label))


@given(
    st.integers(0, 99),
    st.lists(st.floats(0.1, 4), min_size=2, max_size=2).map(sorted),
    st.integers(1, 6),
)
@settings(max_examples=50)
def test_draws_respect_the_ratio_of_each_class_and_are_nested(
    make_manifest: Make, seed: int, ratios: list[float], n_b: int
) -> None:
    synthetic = supply(make_manifest, a=24, b=30)
    order = rng(seed).permutation(54)
    train = frozen_strings(["a"] * 5 + ["b"] * n_b)
    allowed = np.ones(54, dtype=bool)
    few, many = (lineage_module.draw(synthetic, allowed, order, train, r) for r in ratios)
    for ratio, drawn in zip(ratios, (few, many), strict=True):
        label = synthetic.label[drawn.rows]
        assert (label == "a").sum() == round(5 * ratio)
        assert (label == "b").sum() == round(n_b * ratio)
        assert len(set(drawn.rows)) == len(drawn.rows)
        assert not drawn.short
    assert set(few.rows) <= set(many.rows)


def test_what_is_not_allowed_is_not_drawn_and_a_shortage_is_noted(make_manifest: Make) -> None:
    synthetic = supply(make_manifest, a=6, b=6)
    allowed = np.arange(12) % 2 == 0
    order, train = rng().permutation(12), frozen_strings("aabb")
    full = lineage_module.draw(synthetic, allowed, order, train, 1.5)
    assert full.rows.tolist() == [0, 2, 4, 6, 8, 10]
    assert not full.short
    lacking = lineage_module.draw(synthetic, allowed, order, train, 2)
    assert lacking.rows.tolist() == full.rows.tolist()
    assert lacking.short


def test_keeping_one_image_out_exchanges_no_other(make_manifest: Make) -> None:
    synthetic = supply(make_manifest, a=20)
    order, train = rng().permutation(20), frozen_strings("aaaaa")
    allowed = np.ones(20, dtype=bool)
    before = lineage_module.draw(synthetic, allowed, order, train, 1).rows
    allowed[before[2]] = False
    after = lineage_module.draw(synthetic, allowed, order, train, 1).rows
    assert len(set(before) - set(after)) == 1
    assert before[2] not in after


def test_too_few_synthetic_images_are_named_with_the_largest_possible_ratio(
    make_manifest: Make,
) -> None:
    synthetic = supply(make_manifest, a=11, b=9)
    assert lineage_module.check_supply(synthetic, "x", {"a": 4, "b": 3}, (1, 2)) is None
    wrong = lineage_module.check_supply(synthetic, "x", {"a": 4, "b": 3}, (1, 3))
    assert wrong is not None
    assert "generator x" in wrong
    assert "class a (11 of 12);" in wrong
    assert wrong.endswith("the largest possible ratio is 1:2")
    both = lineage_module.check_supply(synthetic, "x", {"a": 40, "b": 30}, (0.5, 4))
    assert both is not None
    assert "a (11 of 160), b (9 of 120)" in both
    assert both.endswith("1:0.27")


@given(st.integers(1, 40), st.integers(0, 40))
def test_the_ratio_that_is_called_possible_is_possible(
    make_manifest: Make, n_real: int, n_synthetic: int
) -> None:
    synthetic, train = supply(make_manifest, a=n_synthetic), {"a": n_real}
    wrong = lineage_module.check_supply(synthetic, "x", train, (50,))
    assert wrong is not None
    largest = float(wrong.rsplit("1:", 1)[1])
    if largest > 0:
        assert lineage_module.check_supply(synthetic, "x", train, (largest,)) is None


def test_no_images_make_no_folds() -> None:
    nothing = frozen_strings([])
    with pytest.raises(XprobeError, match=r"none of the real images can be used; failed.csv"):
        folds.count_folds(nothing, nothing, 5)
