"""RSICap as it is published: long captions, no classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from makers import SavePicture

from xprobe.images import read as manifests


@pytest.mark.parametrize("wrap", [list, lambda entries: {"annotations": entries}])
def test_it_has_captions_and_no_classes(
    tmp_path: Path, save_picture: SavePicture, wrap: Any
) -> None:
    names = ("P0001_0004.png", "P0002_0001.png")
    for name in names:
        save_picture(tmp_path / "images" / name)
    entries = [{"filename": name, "text_output": f"This is {name}.\n\nIt"} for name in names]
    (tmp_path / "captions.json").write_text(json.dumps(wrap(entries)))
    with (
        pytest.warns(match="captions.json: it states no classes, so that all images are of"),
        pytest.warns(match="taken as: RSICap, 1 class × 2"),
    ):
        images = manifests.read(tmp_path, whole=False)
    assert images.prompt.tolist() == [f"This is {name}. It" for name in names]
    assert set(images.label) == {"unlabelled"}
    assert set(images.source) == {"real"}
