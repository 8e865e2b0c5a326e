"""Features laid out on a plane."""

from __future__ import annotations

import numpy as np
import pytest

from xprobe.distance.maps import FEWEST, lay_out


def clusters(n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(n, d)) + 30 * at for at in np.eye(3, d)])


def test_principal_axes_keep_distances_of_what_lies_in_a_plane() -> None:
    rng = np.random.default_rng(1)
    plane = rng.normal(size=(8, 2)) * (3, 1)
    x = plane @ np.linalg.qr(rng.normal(size=(5, 5)))[0][:2] + 7
    found = lay_out(x, 0)["pca"]

    def far(a: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a[:, None] - a, axis=2)

    assert far(found) == pytest.approx(far(plane), abs=1e-9)
    assert found[:, 0].var() > found[:, 1].var()


def test_neighbours_stay_neighbours_and_the_seed_decides() -> None:
    x = clusters(20, 6)
    found = lay_out(x, 0)
    cluster = np.repeat(np.arange(3), 20)
    for method in set(found) - {"pca"}:
        at = found[method]
        assert at.shape == (60, 2)
        far = np.linalg.norm(at[:, None] - at, axis=2)
        np.fill_diagonal(far, np.inf)
        assert (cluster[far.argmin(axis=1)] == cluster).all()
        assert np.array_equal(at, lay_out(x, 0)[method])


@pytest.mark.parametrize(("n", "d"), [(1, 4), (3, 1), (FEWEST - 1, 3)])
def test_few_rows_and_one_feature_have_principal_axes_alone(n: int, d: int) -> None:
    found = lay_out(np.random.default_rng(2).normal(size=(n, d)), 0)
    assert list(found) == ["pca"]
    assert found["pca"].shape == (n, 2) and np.isfinite(found["pca"]).all()


def test_equal_rows_can_be_shown() -> None:
    assert all(np.isfinite(at).all() for at in lay_out(np.ones((12, 3)), 0).values())
