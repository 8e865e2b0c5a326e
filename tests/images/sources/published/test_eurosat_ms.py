"""EuroSAT in 13 bands: beside synthetic images of 13 bands, and beside pictures in RGB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from makers import FAST, Ran, SavePicture, tiff_of

Run = Callable[..., Ran]

READING = ("--bands", "4,3,2", "--stretch", "0:2750")


@pytest.fixture
def data(tmp_path: Path, save_picture: SavePicture) -> tuple[str, ...]:
    """Real images of 13 bands, and synthetic ones of 13 bands (sim) and in RGB (sd)."""
    rng = np.random.default_rng(0)
    for k, label in enumerate(("Forest", "River")):
        for i in range(12):
            for folder, n in (("real", 6), ("sim", 12)):
                if i < n:
                    file = tmp_path / folder / label / f"{label}_{i + 1}.tif"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    samples = rng.integers(0, 900, (13, 8, 8), dtype=np.uint16)
                    file.write_bytes(tiff_of(samples + np.uint16(1500 * k)))
            save_picture(tmp_path / "sd" / label / f"{i}.png")
    return ("real", "--synthetic")


def last_line(ran: Ran) -> str:
    """Return the error that a command ended with, behind what DATA was taken as."""
    assert (ran.code, ran.out) == (1, "")
    return str(ran.err.splitlines()[-1])


def test_it_is_known_and_says_what_embed_needs(xprobe: Run, data: tuple[str, ...]) -> None:
    ran = xprobe("scan", "real", "--json")
    assert "real: taken as: EuroSAT, 13 bands, 2 classes × 6\n" in ran.err
    assert "real: files of 13 bands are embedded with --bands 4,3,2 --stretch 0:2750" in ran.err
    assert ran.json["images"] == 12


def test_beside_synthetic_images_of_13_bands(xprobe: Run, data: tuple[str, ...]) -> None:
    ran = xprobe("embed", *data, "sim=sim", "--encoder", "pixels", *READING, "--json")
    (embedded,) = ran.json["encoders"]
    assert (embedded["embedded"], embedded["failed"]) == (36, 0)
    ran = xprobe("sweep", *data, "sim=sim", *FAST, "--holdout", "0.34", "--json")
    assert ran.code == 0, ran.err
    assert {row["generator"] for row in ran.json["results"]} == {None, "sim"}


def test_beside_rgb_the_error_says_the_way_out(xprobe: Run, data: tuple[str, ...]) -> None:
    ran = xprobe("embed", *data, "sd=sd", "--encoder", "pixels", *READING, "--json")
    (embedded,) = ran.json["encoders"]
    assert (embedded["embedded"], embedded["failed"]) == (12, 24)
    assert last_line(xprobe("sweep", *data, "sd=sd", *FAST, "--holdout", "0.34")) == (
        "error: none of the 24 synthetic images could be embedded with pixels; the first, "
        "synthetic/sd/Forest/0.png: 3 bands that Pillow gives, of which --bands asks for number "
        "4; render the images of more bands as RGB once, and leave --bands out "
        "(docs/guide/layouts.md, Satellite files)"
    )


def test_without_bands_no_real_image_is_embedded(xprobe: Run, data: tuple[str, ...]) -> None:
    ran = xprobe("embed", *data, "sd=sd", "--encoder", "pixels", "--json")
    (embedded,) = ran.json["encoders"]
    assert (embedded["embedded"], embedded["failed"]) == (24, 12)
    assert last_line(xprobe("sweep", *data, "sd=sd", *FAST, "--holdout", "0.34")) == (
        "error: none of the 12 real images could be embedded with pixels; the first, "
        "Forest/Forest_1.tif: 13 bands, and the file does not say which are red, green and blue; "
        "choose them, such as with --bands 3,2,1"
    )
