"""Classes with fewer synthetic images than others: a watermark then names the class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from makers import MakeManifest

from xprobe.base.arrays import frozen_strings
from xprobe.design.config import SweepConfig
from xprobe.design.design import make_design
from xprobe.images.manifest import Manifest

CONFIG = SweepConfig(ratios=(1, 2), repeats=1, folds=2, allow_fewer=True)


def table(make_manifest: MakeManifest, real: dict[str, int], synthetic: dict[str, int]) -> Manifest:
    """Return so many real and synthetic images of each class."""
    label = [name for n in (real, synthetic) for name in n for _ in range(n[name])]
    n = sum(real.values())
    return make_manifest(label, source=["real"] * n + ["synthetic"] * (len(label) - n))


def said(manifest: Manifest, config: SweepConfig = CONFIG) -> list[str]:
    return [text for text in make_design(manifest, config).warnings if "share of" in text]


def test_a_class_that_falls_short_is_named(make_manifest: MakeManifest) -> None:
    short = table(make_manifest, {"flooding": 12, "wind": 12}, {"flooding": 12, "wind": 8})
    assert said(short) == [
        "mix 1:2 of generator default: the share of synthetic images differs between classes "
        "(flooding 2.0, wind 1.3 a real image): a watermark or codec of the generator can then "
        "name the class"
    ]
    assert said(short, replace(CONFIG, ratios=(1,))) == []


@pytest.mark.parametrize(
    ("real", "synthetic"),
    [
        ({"a": 13, "b": 7}, {"a": 26, "b": 14}),  # Each class has its ratio.
        ({"a": 12, "b": 12}, {"a": 8, "b": 8}),  # All classes lack as many.
        ({"a": 90, "b": 90}, {"a": 90, "b": 88}),  # Less than one in twenty is missing.
    ],
)
def test_shares_that_are_equal_but_for_rounding_are_not(
    make_manifest: MakeManifest, real: dict[str, int], synthetic: dict[str, int]
) -> None:
    assert said(table(make_manifest, real, synthetic), replace(CONFIG, ratios=(0.3, 1, 2))) == []


def test_what_lineage_alone_takes_is_named_too(make_manifest: MakeManifest) -> None:
    """All edits of class b are made from one scene, which some fold tests."""
    images = table(make_manifest, {"a": 8, "b": 8}, {"a": 16, "b": 16})
    is_edit = (images.source == "synthetic") & (images.label == "b")
    parent = frozen_strings(np.where(is_edit, "i8", ""))
    (text,) = said(replace(images, parent=parent), replace(CONFIG, allow_fewer=False))
    assert "(a 1.0, b 0.50 a real image)" in text
