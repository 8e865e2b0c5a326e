"""A data value needs test images of two groups in every class."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from makers import make_study

from xprobe.design.setting import Setting
from xprobe.study.curve import Point, value_points


@pytest.mark.parametrize(
    ("cluster", "refused"), [((0, 0, 1, 2), "class cat are of one event"), ((0, 1, 2, 3), "")]
)
def test_a_class_of_one_event_has_no_data_value(cluster: tuple[int, ...], refused: str) -> None:
    def point(n: int) -> Point:
        block = SimpleNamespace(setting=Setting("real-only"), n_real=(2 * n,))
        study = SimpleNamespace(classes=("cat", "dog"))
        design: Any = SimpleNamespace(blocks=[block], study=study, errors_by="event")
        hits = {Setting("real-only"): np.ones((1, 4), dtype=bool)}
        return Point(design, (hits, np.array([0, 0, 1, 1]), np.array(cluster)), make_study())

    valued = value_points([point(20), point(30)], 0)
    warnings = [text for one in valued for text in one.document.warnings]
    assert len(warnings) == 2 * bool(refused)
    assert all(refused in text for text in warnings)
