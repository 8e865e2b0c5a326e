"""What fits where synthetic images are too few, and that it is what finds most that comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from makers import MakeManifest

from xprobe.design.config import SweepConfig
from xprobe.design.design import TooFewSyntheticError, make_design
from xprobe.design.remedies import Way, ways_to_fit, words_of
from xprobe.images.manifest import Manifest

CONFIG = SweepConfig(ratios=(1,), repeats=2, inner_folds=2)


@pytest.fixture
def few(make_manifest: MakeManifest) -> Manifest:
    """Two classes of 40 real images each, and 12 and 10 synthetic ones."""
    label = ["a"] * 40 + ["b"] * 40 + ["a"] * 12 + ["b"] * 10
    return make_manifest(label, source=["real"] * 80 + ["synthetic"] * 22)


def chosen(way: Way, config: SweepConfig) -> SweepConfig:
    """The configuration that a way asks for."""
    flag, value = way.option.split()
    kinds: Mapping[str, type] = {"--real-fraction": float, "--holdout": float, "--per-class": int}
    return replace(config, **{flag[2:].replace("-", "_"): kinds[flag](value)})


def test_ways_fit_and_a_little_more_does_not(few: Manifest) -> None:
    with pytest.raises(TooFewSyntheticError):
        make_design(few, CONFIG)
    ways = {way.option.split()[0]: way for way in ways_to_fit(few, CONFIG)}
    assert ways["--real-fraction"].option == "--real-fraction 0.31"  # 10 of 32 in a fold
    assert ways["--holdout"].option == "--holdout 0.75"  # 30 of 40 are tested
    assert ways["--per-class"].option == "--per-class 12"  # 9 or 10 of them in a fold
    for way in ways.values():
        make_design(few, chosen(way, CONFIG))
    for more in ({"real_fraction": 0.35}, {"holdout": 0.7}, {"per_class": 13}):
        with pytest.raises(TooFewSyntheticError):
            make_design(few, replace(CONFIG, **more))


def test_the_way_that_throws_test_images_away_comes_last(few: Manifest) -> None:
    ways = ways_to_fit(few, CONFIG)
    assert [way.detectable for way in ways] == sorted(way.detectable for way in ways)
    assert ways[-1].option.startswith("--per-class")
    assert ways[-1].detectable > 1.5 * ways[0].detectable
    words = words_of(ways)
    assert words.startswith(f"what fits, the best first: {ways[0].option} (detects about ±")
    assert words.endswith("or take smaller --ratios, make more images, or go on with --allow-fewer")


def test_a_hold_out_that_the_data_have_is_not_drawn_again(make_manifest: MakeManifest) -> None:
    label = ["a", "b"] * 40 + ["a", "b"] * 10 + ["a", "b"] * 10
    split = ["train"] * 80 + ["test"] * 20 + ["train"] * 20
    images = make_manifest(label, source=["real"] * 100 + ["synthetic"] * 20, split=split)
    ways = ways_to_fit(images, CONFIG)
    assert {way.option for way in ways} == {"--real-fraction 0.25", "--per-class 10"}
    for way in ways:
        make_design(images, chosen(way, CONFIG))


def test_a_learning_curve_is_told_its_sizes(few: Manifest) -> None:
    (way,) = ways_to_fit(few, replace(CONFIG, train_per_class=20))
    assert way.option == "--real-curve of sizes up to 10"


def test_where_nothing_fits_the_other_ways_are_left(few: Manifest) -> None:
    ways = ways_to_fit(few, replace(CONFIG, ratios=(20,)))
    assert ways == []
    assert words_of(ways).startswith("take smaller --ratios")
