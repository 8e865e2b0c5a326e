"""Synthetic images beside the nearest real ones, read as their encoder read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import make_study, tiff_of
from msgspec import structs
from PIL import Image

from xprobe.images.geotiff import is_installed
from xprobe.report.figures.examples import example_plots, lacking, pairs_of
from xprobe.report.licences import Pictures
from xprobe.results.distance import Distances, Example


def document_of(*paths: Path) -> Distances:
    """A document whose examples are these images, each its own nearest real one."""
    rows = tuple(
        Example(
            encoder="clip", generator="g", class_="cat", which="closest", id=path.name,
            path=str(path), neighbour=path.name, neighbour_path=str(path), distance=0.0,
        )
        for path in paths
    )  # fmt: skip
    return Distances(
        version=1, created="", command="", fingerprint="", distances=(), leaks=(),
        leak_threshold=None, shortcuts=(), examples=rows, warnings=(),
    )  # fmt: skip


def test_pairs_without_pictures_are_told_with_the_reason(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200)).save(tmp_path / "whole.png")
    (tmp_path / "text.png").write_text("no image")
    document = document_of(*(tmp_path / f"{name}.png" for name in ("whole", "text", "gone")))
    pairs = pairs_of(document, [], [], Pictures())
    (plot,) = example_plots(pairs)
    assert [row.id for row, *_ in plot.args[0]] == ["whole.png"]
    assert lacking(pairs) == [
        "1 image is not where it was when the study was made.",
        "1 image cannot be shown: not an image, or in a format that Pillow cannot read.",
    ]


@pytest.mark.skipif(not is_installed(), reason="rasterio is not installed")
def test_thirteen_bands_are_read_by_those_of_the_encoder(tmp_path: Path) -> None:
    samples = np.zeros((13, 20, 30), dtype=np.uint16)
    samples[3] = 4000
    (tmp_path / "s2.tif").write_bytes(tiff_of(samples))
    document, study = document_of(tmp_path / "s2.tif"), make_study()
    encoder = structs.replace(study.encoder, bands=(4, 3, 2), stretch=(0, 4000))
    (pair,) = pairs_of(document, [structs.replace(study, encoder=encoder)], [], Pictures())
    assert pair.image.image is not None
    assert pair.image.image.getpixel((5, 5)) == (255, 0, 0)
    (said,) = lacking(pairs_of(document, [study], [], Pictures()))
    assert said.startswith("1 image cannot be shown: ") and "13" in said
