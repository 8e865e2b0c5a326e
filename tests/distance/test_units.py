"""Which images are one draw, by what the image table says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from xprobe.distance.units import FEWEST_PROMPTS, GIVEN_PROMPTS, INDEPENDENT, scenes, units
from xprobe.images.manifest import Manifest


@pytest.fixture
def measured(make_manifest: Callable[..., Manifest]) -> Callable[..., tuple[list[int], Any]]:
    """``measured([group of a real image, …], parent=[…], …)``, columns of synthetic images: for
    each image the first position of one of its unit, and what is assumed.
    """

    def measure(real: list[str], **columns: list[str]) -> tuple[list[int], str | None]:
        n, m = len(real), max(map(len, columns.values()))
        empty = [""] * m
        images = make_manifest(
            ["a"] * n + columns.get("label", ["a"] * m),
            id=[f"r{i}" for i in range(n)] + [f"s{i}" for i in range(m)],
            source=["real"] * n + ["synthetic"] * m,
            group=real + columns.get("group", empty),
            parent=[""] * n + columns.get("parent", empty),
            prompt=[""] * n + columns.get("prompt", empty),
        )
        scene = scenes(images, images.select(images.source == "real"))
        outside = [p not in ("", *images.id, *real) for p in images.parent]
        found = units(images, scene, np.array(outside))
        _, first, code = np.unique(found.number, return_index=True, return_inverse=True)
        return first[code].tolist(), found.assumption

    return measure


def test_an_edit_is_of_the_scene_of_its_parent(measured: Any) -> None:
    # r0 and r1 show scene x, r2 scene y: an edit of r1, one of the scene y, and one named by group.
    unit, assumption = measured(["x", "x", "y"], parent=["r1", "y", ""], group=["", "", "y"])
    assert unit == [0, 0, 2, 0, 2, 2]
    assert assumption is None


def test_edits_of_an_image_that_is_not_there_are_one_unit(measured: Any) -> None:
    """That it is independent of the real ones is assumed, since its name may be misspelt."""
    unit, assumption = measured(["x", "y"], parent=["lost", "lost", "other"])
    assert unit == [0, 1, 2, 2, 4]
    assert assumption == INDEPENDENT


def test_an_image_of_two_scenes_joins_them(measured: Any) -> None:
    unit, _ = measured(["x", "y", "z"], parent=["r0", "r2"], group=["y", ""])
    assert unit == [0, 0, 2, 0, 2]


def test_images_of_a_prompt_are_a_unit_if_prompts_are_many(measured: Any) -> None:
    many = [f"p{i}" for i in range(FEWEST_PROMPTS)]
    assert measured(["x"], prompt=many * 2) == ([0, *range(1, 11), *range(1, 11)], None)
    assert measured(["x"], prompt=many[1:] * 2) == (list(range(19)), GIVEN_PROMPTS)


def test_prompts_must_be_many_in_every_class(measured: Any) -> None:
    many, few = [f"p{i}" for i in range(10)], ["q"] * 5
    label = ["a"] * 10 + ["b"] * 5
    assert measured(["x"], prompt=many + few, label=label) == (list(range(16)), GIVEN_PROMPTS)


def test_neither_source_nor_prompt_assumes_independent_images(measured: Any) -> None:
    assert measured(["x"], parent=["", ""]) == ([0, 1, 2], INDEPENDENT)
    assert measured(["x"], parent=["r0", ""]) == ([0, 0, 2], INDEPENDENT)
    many = [f"p{i}" for i in range(10)]
    unit, assumption = measured(["x"], prompt=[*many, *many, ""])
    assert (unit[11:], assumption) == ([*range(1, 11), 21], INDEPENDENT)


def test_a_source_counts_before_a_prompt(measured: Any) -> None:
    many = [f"p{i}" for i in range(10)]
    unit, assumption = measured(["x"], parent=["r0"] + [""] * 10, prompt=["p0", *many])
    assert unit == [0, 0, *range(2, 12)]
    assert assumption is None


def test_no_images_have_no_units(make_manifest: Callable[..., Manifest]) -> None:
    none = make_manifest(["a"]).select(np.zeros(0, dtype=int))
    assert_array_equal(scenes(none, none), [])
    assert units(none, scenes(none, none), np.zeros(0, dtype=bool)).assumption is None
