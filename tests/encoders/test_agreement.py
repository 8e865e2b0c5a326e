"""A view is taken if it gives the pixels of the network's own library, and only then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xprobe.base.errors import XprobeError
from xprobe.encoders.agreement import check_view, pixels_by
from xprobe.encoders.tower import View

VIEW = View((32, 32), "shortest", "bicubic", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), resize_px=40)


def test_the_pixels_are_scaled_cut_and_normalised() -> None:
    image = Image.new("RGB", (50, 80), (255, 0, 51))
    pixels = pixels_by(VIEW, image)
    assert pixels.shape == (3, 32, 32)
    np.testing.assert_allclose(pixels[:, 9, 9], [0.5 / 0.2, -0.4 / 0.3, -0.1 / 0.4], rtol=1e-5)
    np.testing.assert_array_equal(pixels_by(replace(VIEW, channels="bgr"), image), pixels[::-1])


def test_a_view_that_agrees_is_taken() -> None:
    check_view(VIEW, lambda image: pixels_by(VIEW, image), "config.json", [])


@pytest.mark.parametrize(
    "change",
    [
        {"mean": (0.5, 0.4, 0.31)},
        {"std": (0.2, 0.3, 0.4001)},
        {"resize": "squash"},
        {"resize": "crop"},
        {"resize_px": 41},
        {"interpolation": "bilinear"},
        {"channels": "bgr"},
        {"input_px": (32, 31)},
    ],
)
def test_any_field_that_differs_is_noticed(change: dict[str, Any]) -> None:
    other = replace(VIEW, **change)
    with pytest.raises(XprobeError, match=r"config.json: .*not supported \(odd_field\): pixels"):
        check_view(VIEW, lambda image: pixels_by(other, image), "config.json", ["odd_field"])


def test_an_error_of_the_library_is_passed_on_in_one_line() -> None:
    def see(_image: Image.Image) -> Any:
        raise KeyError("a field\nand a traceback")

    with pytest.raises(XprobeError, match=r"config.json: .*a field") as said:
        check_view(VIEW, see, "config.json", [])
    assert "\n" not in str(said.value)
