"""What the tests of several families of encoders share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

Features = Callable[[Any, list[Image.Image]], np.ndarray]


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Odd sizes: the geometry of resizing and cutting shows in every pixel."""
    rng = np.random.default_rng(0)
    sizes = [(301, 200), (37, 90), (33, 33), (24, 130), (64, 65)]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


@pytest.fixture
def features() -> Features:
    """``features(encoder, images)``: the features (n, d) of an encoder."""
    return lambda encoder, images: encoder.forward(np.stack([encoder.see(i) for i in images]))
