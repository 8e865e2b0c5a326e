"""Outlines of objects: from well-known text and xBD labels to masks, and to pasted images."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from xprobe.base.errors import XprobeError
from xprobe.encoders.load import load
from xprobe.images import read as manifests
from xprobe.images.augment import Augmentation
from xprobe.images.manifest import Manifest
from xprobe.images.polygons import outlines_digest, read_polygons
from xprobe.images.sources import table as table_module
from xprobe.learners.finetune.masks import Masks

SQUARE = "POLYGON ((0 0, 16 0, 16 8, 0 8, 0 0))"
HOLED = "POLYGON ((0 0, 31 0, 31 31, 0 31, 0 0), (8 8, 24 8, 24 24, 8 24, 8 8))"


def label_file(path: Path, *wkt: str) -> str:
    named = [{"properties": {"feature_type": "building"}, "wkt": text} for text in wkt]
    path.write_text(json.dumps({"features": {"lng_lat": [], "xy": named}, "metadata": {}}))
    return str(path)


def test_well_known_text_and_xbd_labels_are_read(tmp_path: Path) -> None:
    assert [p.wkt for p in read_polygons(SQUARE)] == [SQUARE]
    both = "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))"
    assert len(read_polygons(both)) == 2
    assert len(read_polygons(label_file(tmp_path / "l.json", SQUARE, HOLED))) == 2
    assert read_polygons(label_file(tmp_path / "none.json")) == []
    assert read_polygons("") == []
    assert read_polygons("POLYGON EMPTY") == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("POLYGON ((0 0, 1", "no well-known text"),
        ("POINT (1 1)", "no well-known text of a polygon"),
        ("nowhere.json", "no such file"),
        ("POLYGON ((inf 0, 1 1, 2 2, inf 0))", "corners that are no finite numbers"),
        # Collections are read by recursion, which would end the process without a word.
        ("GEOMETRYCOLLECTION (" * 100_000, "no well-known text of a polygon"),
    ],
)
def test_what_is_no_polygon_is_refused(text: str, match: str) -> None:
    with pytest.raises(XprobeError, match=match):
        read_polygons(text)


def test_other_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"features": []}')
    with pytest.raises(XprobeError, match="not an xBD label file"):
        read_polygons(str(file))


@pytest.fixture
def table(tmp_path: Path, make_manifest: Callable[..., Manifest]) -> Manifest:
    """Two pictures of 32 x 16 and 32 x 32 pixels with outlines, and one without."""
    for name, size in (("a", (32, 16)), ("b", (32, 32)), ("c", (32, 32))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    return make_manifest(["x", "x", "y"], path=paths, polygons=[SQUARE, HOLED, ""])


def test_masks_follow_the_pixels_of_the_encoder(table: Manifest) -> None:
    encoder = load("pixels")  # The encoder squashes images to 16 x 16.
    masks = Masks(table, encoder)
    first, second, none = masks[np.array([0, 1, 2])]
    assert first.shape == (16, 16)
    expected = np.zeros((16, 16), dtype=bool)
    expected[:8, :8] = True  # The outline covers half of both sides.
    assert (first != expected).mean() < 0.1
    assert second[0, 0]
    assert not second[8, 8]
    assert not none.any()
    assert np.array_equal(masks[np.array([1])][0], second)


def test_an_image_that_is_gone_is_named(table: Manifest) -> None:
    Path(table.path[0]).unlink()
    with pytest.raises((XprobeError, OSError), match=r"a\.png"):
        Masks(table, load("pixels"))[np.array([0])]


def test_the_digest_is_that_of_the_polygons_wherever_they_stand(
    table: Manifest, tmp_path: Path
) -> None:
    named = [label_file(tmp_path / "l.json", SQUARE), HOLED, ""]
    assert outlines_digest(table) == outlines_digest(replace(table, polygons=named))
    assert outlines_digest(table) != outlines_digest(replace(table, polygons=["", HOLED, ""]))
    assert table.fingerprint == replace(table, polygons=["", "", ""]).fingerprint


def test_pasting_takes_the_outlined_pixels_and_their_share_of_the_label() -> None:
    x = torch.arange(3.0)[:, None, None, None].expand(3, 3, 4, 4)
    target = torch.eye(3)
    mask = torch.zeros(3, 4, 4, dtype=torch.bool)
    mask[0, :2] = True  # Half of the first image is pasted onto the second.
    mixed, label = Augmentation("copy-paste", 3).mix(x, target, mask)
    assert (mixed[1, :, :2] == 0).all()
    assert (mixed[1, :, 2:] == 1).all()
    assert torch.equal(mixed[0], x[0])
    assert torch.equal(mixed[2], x[2])
    assert label.tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]


def test_manifests_keep_polygons_and_find_label_files_beside_them(
    tmp_path: Path, make_data: Callable[..., Path]
) -> None:
    data = make_data(real=2, synthetic=2)
    label_file(data / "0.json", SQUARE)
    read = manifests.read(data)
    cells = [str(data / "0.json"), SQUARE, *[""] * (len(read) - 2)]
    named: Any = replace(read, polygons=cells)
    for suffix in ("csv", "jsonl", "parquet"):
        file = data / f"m.{suffix}"
        table_module.write_table(named, file)
        assert manifests.read(file).polygons.tolist() == named.polygons.tolist()


def test_masks_are_drawn_once(table: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load("pixels")
    calls: list[int] = []
    watched = SimpleNamespace(
        spec=encoder.spec, preprocess=lambda image: (calls.append(1), encoder.preprocess(image))[1]
    )
    masks = Masks(table, watched)  # type: ignore[arg-type]
    for _ in range(3):
        masks[np.array([0, 1, 2])]
    assert len(calls) == 2
