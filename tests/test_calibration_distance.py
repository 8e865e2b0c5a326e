"""The calibration of distances still runs; its figures are those of its thousand replications."""

from __future__ import annotations

import numpy as np
import pytest
from calibration import distance


def test_the_rows_of_a_few_replications() -> None:
    rows = list(distance.rows_of(2, ("null", "gain")))
    names = {"item", "world", "asked", "before", "value", "mc_error", "B", "met"}
    assert all(set(row) == names for row in rows)
    assert len(rows) == 2 * len(distance.NULLS) + 2
    assert all(row["asked"] == 0.05 and row["B"] == 2 and 0 <= row["value"] <= 1 for row in rows)
    assert rows == list(distance.rows_of(2, ("null", "gain")))


def test_a_rate_is_met_within_two_errors_of_what_is_asked() -> None:
    assert distance.row("", "", 0.05, 0.0637, 1000)["met"]
    assert not distance.row("", "", 0.05, 0.0639, 1000)["met"]
    assert distance.row("", "", None, 1.0, 1000)["met"] is None


def test_edits_of_the_real_images_share_their_units() -> None:
    x, y, unit, other = distance.OF_REAL.draw(0)
    assert (x.shape, y.shape) == ((100, distance.D), (400, distance.D))
    assert set(unit) == set(other)
    x, _, unit, other = distance.PROMPTS.draw(0)
    assert not set(unit) & set(other) and len(set(other)) == 10
    assert np.linalg.norm(x, axis=1) == pytest.approx(1)


@pytest.mark.parametrize("world", [distance.SMALL, distance.LARGE])
def test_of_single_rows_the_test_is_the_plain_one(world: distance.World) -> None:
    shifted = distance.replace(world, shift=0.3)
    for seed in range(5):
        p = distance.plain_p(shifted, seed)
        assert shifted.measured(seed)[:, 0] == pytest.approx(p, abs=1e-9)
