"""The demonstration's data: what it says they are. (The whole demo is run by .ci/run.)"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xprobe import demo
from xprobe.design.design import make_design
from xprobe.images import read as manifest
from xprobe.images import survey


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration's data, whose making tells of every image."""
    advanced: list[int] = []
    folder = demo.make_data(tmp_path_factory.mktemp("demo") / "data", advanced.append)
    assert sum(advanced) == demo.IMAGES
    return folder


def test_the_demo_is_a_valid_study(data: Path) -> None:
    table = manifest.read(data)
    counts = survey.counts(table)
    assert {(c.generator, c.n) for c in counts} == {
        (None, 100),
        ("font", 400),
        ("density", 400),
    }
    assert not survey.find_problems(table)
    formats, unusable = survey.shapes(table)
    assert not unusable
    assert not survey.codec_problems(formats)
    assert {row.format for row in formats} == {"PNG"}
    design = make_design(table, demo.CONFIG)
    assert design.protocol == "5-fold cross-validation, 1 repeat"
    assert {size for block in design.blocks for size in block.n_real} == {0, 800}


def test_it_is_made_once_and_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CLASSES", 2)  # All digits are made alike.
    data, again = (demo.make_data(tmp_path / name) for name in ("data", "again"))
    assert manifest.read(data).fingerprint == manifest.read(again).fingerprint
    file = data / "real/0/000.png"
    before = file.stat().st_mtime_ns
    demo.make_data(data)
    assert file.stat().st_mtime_ns == before


def test_no_synthetic_digit_is_a_copy_of_one_under_study(data: Path) -> None:
    def pixels(folder: str) -> np.ndarray:
        return np.stack(
            [np.asarray(Image.open(f)).ravel() for f in sorted((data / folder).glob("*/*.png"))]
        )

    real = {row.tobytes() for row in pixels("real")}
    for generator in ("font", "density"):
        assert not real & {row.tobytes() for row in pixels(f"synthetic/{generator}")}
