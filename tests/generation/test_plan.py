"""What is asked for: which images are sources, which prompt each gets, and keys that stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xprobe.base.errors import OptionError, XprobeError
from xprobe.generation.config import GenerateConfig
from xprobe.generation.plan import Plan, make_plan, seed_of
from xprobe.generation.prompts import read_prompts
from xprobe.images.manifest import Manifest


def images_of(*rows: dict[str, str]) -> Manifest:
    """An image table; rows say what differs from a real training image of class flooding."""
    usual = dict.fromkeys(Manifest.columns(), "") | {
        "label": "flooding", "source": "real", "split": "train",
    }  # fmt: skip
    names = [*usual, "event", "licence"]
    cells = []
    for row in rows:
        facts = {"path": row["id"], "sha256": f"sha of {row['id']}", "group": row["id"]}
        cells.append(dict.fromkeys(names, "") | usual | facts | row)
    columns = {name: [row[name] for row in cells] for name in Manifest.columns()}
    further = {name: [row[name] for row in cells] for name in ("event", "licence")}
    return Manifest(**columns, further=further)  # type: ignore[arg-type]


PAIRS = images_of(
    {"id": "a_post", "group": "a"}, {"id": "a_pre", "group": "a", "split": "pre"},
    {"id": "b_post", "group": "b"}, {"id": "b_pre", "group": "b", "split": "pre"},
    {"id": "t_post", "group": "t", "split": "test"}, {"id": "t_pre", "group": "t", "split": "pre"},
    {"id": "w_post", "group": "w", "label": "wind"},
    {"id": "w_pre", "group": "w", "label": "wind", "split": "pre", "licence": "xBD"},
)  # fmt: skip
"""Images after an event and before it, of two classes; t is the test part."""


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.txt"
    file.write_text("show {class}\nadd {class}\n")
    return file


def plan(images: Manifest, prompts: Path | str, **fields: Any) -> Plan:
    config = GenerateConfig(provider="openai", model="m", prompts=str(prompts), **fields)
    return make_plan(images, read_prompts(config.prompts), config, {"quality": "low"})


def test_images_from_before_are_sources_but_for_scenes_of_the_test_part(prompts: Path) -> None:
    made = plan(PAIRS, prompts)
    assert made.origin == "pre"
    assert [order.parent for order in made.orders] == ["a_pre", "b_pre", "w_pre"]
    assert made.warnings == (
        "1 image shows a scene of the test part and may be no source: t_pre",
    )  # fmt: skip


def test_images_from_before_that_nobody_tests_are_sources_of_a_target_domain(
    prompts: Path,
) -> None:
    images = images_of(
        {"id": "a_post", "group": "a"},
        {"id": "t_post", "group": "t", "split": "test"},
        {"id": "t_pre", "group": "t", "split": "pre"},
        {"id": "u_pre", "group": "u", "split": "pre"},
    )  # fmt: skip
    assert [order.parent for order in plan(images, prompts).orders] == ["u_pre"]


def test_real_images_are_sources_where_there_are_none_from_before(prompts: Path) -> None:
    images = images_of({"id": "a"}, {"id": "t", "split": "test"}, {"id": "x", "split": "extra"})
    made = plan(images, prompts)
    assert (made.origin, [order.parent for order in made.orders]) == ("real", ["a"])


def test_a_copy_of_a_test_image_is_no_source(prompts: Path) -> None:
    images = images_of({"id": "a", "group": "t"}, {"id": "b"}, {"id": "t", "split": "test"})
    assert [order.parent for order in plan(images, prompts).orders] == ["b"]


def test_templates_are_taken_in_turn(prompts: Path) -> None:
    made = plan(PAIRS, prompts, per_image=3)
    texts = [(order.prompt, order.k) for order in made.orders if order.parent == "w_pre"]
    assert texts == [("show wind", 0), ("add wind", 0), ("show wind", 1)]


def test_an_order_says_what_is_known_of_its_source(prompts: Path) -> None:
    order = plan(PAIRS, prompts).orders[-1]
    assert (order.label, order.path, order.content) == ("wind", "w_pre", "sha of w_pre")
    assert order.licence == "xBD"


def test_keys_stay_when_more_is_asked_for(prompts: Path) -> None:
    few = {order.key: order for order in plan(PAIRS, prompts).orders}
    many = {order.key: order for order in plan(PAIRS, prompts, per_image=4).orders}
    assert len(few) == 3
    assert len(many) == 12
    assert {key: many[key] for key in few} == few


@pytest.mark.parametrize(
    "change", [{"model": "n"}, {"seed": 1}, {"base_url": "https://other.example"}]
)
def test_everything_that_makes_another_image_makes_another_key(
    prompts: Path, change: dict[str, Any]
) -> None:
    usual = {"provider": "openai", "model": "m", "prompts": str(prompts)}
    keys = {
        make_plan(PAIRS, read_prompts(str(prompts)), GenerateConfig(**usual | fields), asked)
        .orders[0]
        .key
        for fields, asked in (({}, {"quality": "low"}), ({}, {"quality": "high"}), (change, {}))
    }
    assert len(keys) == 3


def test_seeds_differ_and_fit_into_what_providers_take(prompts: Path) -> None:
    seeds = [seed_of(order.key) for order in plan(PAIRS, prompts, per_image=50).orders]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_equal_pictures_of_two_rows_are_two_requests(prompts: Path) -> None:
    images = images_of({"id": "a", "sha256": "same"}, {"id": "b", "sha256": "same"})
    orders = plan(images, prompts).orders
    assert [order.k for order in orders] == [0, 1]
    assert len({order.key for order in orders}) == 2


def test_text_alone_needs_a_number_and_makes_so_many_of_each_class(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("a satellite photo of {class}\n")
    orders = plan(PAIRS, file, per_class=3).orders
    assert [order.label for order in orders] == ["flooding"] * 3 + ["wind"] * 3
    assert all(order.path == order.parent == "" for order in orders)
    with pytest.raises(OptionError, match="--from text needs --per-class"):
        plan(PAIRS, file, origin="text")


def test_an_equal_text_of_two_classes_makes_images_of_each(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("a satellite photo\n")
    few, many = (plan(PAIRS, file, per_class=n).orders for n in (1, 2))
    by_key = {order.key: order.label for order in many}
    assert len(by_key) == 4
    assert [by_key[order.key] for order in few] == ["flooding", "wind"]


def test_the_image_whose_caption_is_the_prompt_is_the_parent(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("{caption}\n")
    images = images_of(
        {"id": "a", "prompt": '["a river", "a bridge"]'}, {"id": "b", "prompt": "a field"},
        {"id": "c"}, {"id": "t", "prompt": "a test image", "split": "test"},
    )  # fmt: skip
    orders = plan(images, file, origin="text", per_image=3).orders
    assert [(order.parent, order.prompt, order.path) for order in orders] == [
        ("a", "a river", ""), ("a", "a bridge", ""), ("a", "a river", ""),
        ("b", "a field", ""), ("b", "a field", ""), ("b", "a field", ""),
    ]  # fmt: skip


def test_null_edits_are_of_real_training_images_and_a_control() -> None:
    made = plan(PAIRS, "null")
    assert [order.parent for order in made.orders] == ["a_post", "b_post", "w_post"]
    assert {order.control for order in made.orders} == {"null-edit"}
    with pytest.raises(OptionError, match="null edits are of real training images"):
        plan(PAIRS, "null", origin="pre")


def test_without_a_source_there_is_no_plan(prompts: Path) -> None:
    images = images_of({"id": "t", "split": "test"}, {"id": "u", "split": "test"})
    with pytest.raises(XprobeError, match="there are no real training images to make images from"):
        plan(images, prompts)


def test_a_source_that_cannot_be_read_is_left_out(prompts: Path) -> None:
    made = plan(images_of({"id": "a", "sha256": ""}, {"id": "b"}), prompts)
    assert [order.parent for order in made.orders] == ["b"]
    assert made.warnings == ("1 image cannot be read and may be no source: a",)


def test_a_class_without_a_prompt_is_named() -> None:
    images = images_of({"id": "a", "label": "meteor"})
    with pytest.raises(XprobeError, match="no prompt for 1 class: meteor"):
        plan(images, "disasters-en")
