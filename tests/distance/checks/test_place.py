"""A head that knows the place is found out by images from before the event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xprobe.design.config import SweepConfig
from xprobe.distance.checks.place import place_share
from xprobe.images.manifest import Manifest

CONFIG = SweepConfig(inner_folds=2, c_grid=(1.0, 100.0))
N = 20  # scenes a class


def study(
    make_manifest: Callable[..., Manifest], of_place: float, of_event: float
) -> tuple[Manifest, np.ndarray]:
    """Each scene after and before; features know of its class by the place and by the event."""
    rng = np.random.default_rng(0)
    label = np.repeat(["x", "y", "x", "y"], N)
    pre = np.repeat([False, False, True, True], N)
    scene = np.tile(np.arange(2 * N), 2)
    sign = np.where(label == "x", 1.0, -1.0)
    x = 0.3 * rng.normal(size=(4 * N, 6))
    x[:, 0] += of_place * sign + 0.1 * rng.normal(size=2 * N)[scene]
    x[:, 1] += np.where(pre, 0, of_event * sign)
    x[:, 2] += 1
    table = make_manifest(
        label.tolist(), group=[f"s{i}" for i in scene],
        split=np.where(pre, "pre", "train").tolist(),
    )  # fmt: skip
    return table, x.astype(np.float32)


@pytest.mark.parametrize(
    ("of_place", "of_event", "least", "most"), [(2.0, 0.0, 0.9, 1.1), (0.0, 2.0, 0.0, 0.4)]
)
def test_the_share_is_what_the_place_explains(
    make_manifest: Any, of_place: float, of_event: float, least: float, most: float
) -> None:
    table, x = study(make_manifest, of_place, of_event)
    found = place_share(table, x, CONFIG, np.random.default_rng(1), workers=1)
    assert found is not None
    assert found.n == 2 * N
    assert found.chance == 0.5
    assert found.after > 0.9
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.before <= found.high
    assert found.share is not None
    assert least <= found.share <= most
    assert (found.low > found.chance) == (of_place > 0)


def test_without_images_from_before_there_is_nothing_to_say(make_manifest: Any) -> None:
    table, x = study(make_manifest, 1.0, 1.0)
    after = table.split == "train"
    assert place_share(table.select(after), x[after], CONFIG, np.random.default_rng(1)) is None
