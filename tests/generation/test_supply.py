"""How many synthetic images a sweep has for each real one, when edits of what it tests are out."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import MakeData

from xprobe.generation.plan import Order
from xprobe.generation.supply import ratio_left
from xprobe.images.manifest import Manifest
from xprobe.images.read import read


@pytest.fixture
def images(make_data_in: MakeData, tmp_path: Path) -> Manifest:
    return read(make_data_in(tmp_path / "data", real=10, synthetic=0), whole=False)


def edits(images: Manifest, per_image: int) -> list[Order]:
    return [
        Order(f"{id_}-{k}", "", k, label, parent=id_)
        for id_, label in zip(images.id, images.label, strict=True)
        for k in range(per_image)
    ]


def test_edits_of_all_images_leave_as_many_a_real_image(images: Manifest) -> None:
    assert ratio_left(images, edits(images, 3)) == 3


def test_images_of_text_alone_are_never_left_out(images: Manifest) -> None:
    orders = [Order(f"{c}-{k}", "", k, c) for c in images.classes for k in range(8)]
    assert ratio_left(images, orders) == 1  # A fold trains on 8 of 10 images of a class.


def test_the_scarcest_class_counts(images: Manifest) -> None:
    orders = [o for o in edits(images, 2) if o.label == "a" or o.k == 0]
    assert ratio_left(images, orders) == 1


def test_too_few_real_images_make_no_study(make_data_in: MakeData, tmp_path: Path) -> None:
    few = read(make_data_in(tmp_path / "few", real=1, synthetic=0), whole=False)
    assert ratio_left(few, edits(few, 2)) is None
