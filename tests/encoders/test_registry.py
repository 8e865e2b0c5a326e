"""Families of encoders by their rows, and encoders of somebody else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from makers import Ran, put_package
from numpy.typing import NDArray
from PIL import Image

import xprobe
from xprobe.base.errors import XprobeError
from xprobe.encoders import load as encoders
from xprobe.encoders import registry


@pytest.fixture
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 90, (3, 2))
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]


def features(encoder: xprobe.Encoder, images: list[Image.Image]) -> NDArray[np.float32]:
    return encoder.forward(np.stack([encoder.preprocess(image) for image in images]))


OWN = """
import numpy as np
from xprobe.encoders.base import Encoder
from xprobe.encoders.spec import EncoderSpec

class MeanColour(Encoder):
    spec = EncoderSpec(
        source="own:mean-colour", weights="", layer="output", dim=3, input_px=(32, 32),
        resize="squash", interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1),
        precision="fp32", preprocessing="1",
    )

    def forward(self, pixels):
        return pixels.mean(axis=(1, 2)).astype(np.float32)

def broken():
    return "no encoder"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_encoders.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_own_encoders", raising=False)


def test_an_own_encoder_is_module_and_function(own: None, pictures: list[Image.Image]) -> None:
    encoder = encoders.load("my_own_encoders:MeanColour")
    flat = Image.new("RGB", (9, 5), (10, 20, 30))
    np.testing.assert_allclose(features(encoder, [flat]), [[10, 20, 30]])
    with pytest.raises(XprobeError, match="returned a str"):
        encoders.load("my_own_encoders:broken")
    with pytest.raises(XprobeError, match="no attribute 'none'"):
        encoders.load("my_own_encoders:none")
    with pytest.raises(XprobeError, match="unknown encoder"):
        encoders.load("no_such_module_here:thing")


def test_a_package_brings_an_encoder_with_a_short_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[Image.Image]
) -> None:
    put_package(
        tmp_path, monkeypatch, "colours", OWN, registry.ENTRY_POINTS,
        mean__colour="MeanColour", broken="broken",
    )  # fmt: skip
    encoder = xprobe.load_encoder("mean-colour", resampling="fast")
    assert features(encoder, pictures).shape == (len(pictures), 3)
    assert encoder.spec.resampling == "fast"
    assert encoder.reference is not None and not encoder.reference.spec.resampling
    assert not encoders.has_network("mean-colour")
    with pytest.raises(XprobeError, match="did you mean mean-colour"):
        encoders.load("mean-color")
    with pytest.raises(XprobeError, match=r"returned a str, not an xprobe\.Encoder"):
        encoders.load("broken")


@pytest.mark.parametrize("taken", ["hog", "timm"])
def test_a_package_that_takes_a_built_in_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    points = {taken: "MeanColour", "mean__colour": "MeanColour"}
    put_package(tmp_path, monkeypatch, "colours", OWN, registry.ENTRY_POINTS, **points)
    with pytest.raises(XprobeError, match=f"package colours registers the encoder '{taken}'"):
        encoders.load("mean-colour")
    assert encoders.load("hog").spec.source == "builtin:hog"


FAMILY = (
    OWN
    + """
from xprobe.encoders.registry import Family
blocks = Family("blocks", "blocks_of_colour:load", has_networks=False)

def load(rest, wish):
    encoder = MeanColour()
    encoder.side = int(rest)
    return encoder
"""
)


def test_a_package_brings_a_family_with_a_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(
        tmp_path, monkeypatch, "blocks_of_colour", FAMILY, registry.ENTRY_POINTS, blocks="blocks"
    )
    assert vars(encoders.load("blocks:7"))["side"] == 7
    assert not encoders.has_network("blocks:7")
    with pytest.raises(XprobeError, match="is a Family, not a function or class that makes an"):
        encoders.load("blocks")
    with pytest.raises(XprobeError, match="has neither layers nor weights to choose"):
        encoders.load("blocks:7", layer="pooled")


TOY = """
import torch
from xprobe.encoders.tower import Tower, View

def load(rest, wish):
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(int(rest)), torch.nn.Flatten())
    view = View((8, 8), "squash", "bilinear", (0.0,) * 3, (1.0,) * 3)
    return Tower(net, f"toy:{rest}", "pooled", view, random=wish.random)
"""


def test_a_family_is_a_file_and_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[Image.Image]
) -> None:
    (tmp_path / "toy_family.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.FAMILIES, "toy", registry.Family("toy", "toy_family:load"))
    encoder = encoders.load("toy:2", precision="bf16")
    assert features(encoder, pictures).shape == (len(pictures), 12)
    assert encoders.has_network("toy:2") and encoder.reference is not None
    with pytest.raises(XprobeError, match=r"hf:.* or toy:<model>, or your own"):
        encoders.load("toy:")


def test_the_command_lists_what_packages_bring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xprobe: Callable[..., Ran]
) -> None:
    assert "from other packages" not in xprobe("encoders").out
    put_package(
        tmp_path / "package", monkeypatch, "colours", OWN, registry.ENTRY_POINTS,
        mean__colour="MeanColour",
    )  # fmt: skip
    assert "from other packages: mean-colour\n" in xprobe("encoders").out
