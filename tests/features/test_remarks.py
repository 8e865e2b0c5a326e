"""Features that say little are told."""

from __future__ import annotations

import numpy as np
import pytest

from xprobe.features.remarks import remarks_on

X = np.random.default_rng(0).normal(size=(6, 3))


@pytest.mark.parametrize("size", [1, 4, 6])
def test_features_that_say_little_are_told(size: int) -> None:
    def told(x: np.ndarray) -> list[str]:
        return remarks_on((x[i : i + size] for i in range(0, len(x), size)), "clip")

    assert told(X) == [] and told(X[:1]) == [] and told(X[:0]) == []
    (said,) = told(np.repeat(X[:1], 6, axis=0))
    assert "features of clip are the same for all images" in said
    (said,) = told(X * 0)
    assert "the same for all images" in said
    x = X.copy()
    x[[1, 5]] = 0
    (said,) = told(x)
    assert "features of clip are nothing but zeros for 2 of 6 images" in said
