"""The learners by name: a row each, and rows that other packages bring."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from makers import MakeData

from xprobe.base import registry
from xprobe.base.errors import XprobeError
from xprobe.design.config import Grid, SweepConfig
from xprobe.design.setting import head_title
from xprobe.encoders import load as encoders
from xprobe.engine.execution import Execution
from xprobe.features import embed as extract
from xprobe.features.store import Store
from xprobe.images import read as manifest
from xprobe.learners.kinds import KINDS, Kind, kind_of, kind_read
from xprobe.results.predictions import load_predictions
from xprobe.study.sweep import sweep

TOY = '''
"""A head that knows the mean of each class, for a test."""

import numpy as np

from xprobe.learners.kinds import Kind
from xprobe.learners.problem import Fit, as_scores


class Centroids:
    def __init__(self, pool, options, device):
        self.pool = pool

    def solve(self, problem):
        present = self.pool.present(problem.train)
        x, y = self.pool.rows(problem.train), self.pool.y[problem.train]
        means = np.zeros((self.pool.k, x.shape[1]))
        means[present] = [x[y == c].mean(axis=0) for c in present]
        logits = 9 * self.pool.rows(problem.test) @ means.T
        return Fit(as_scores(logits, present), 1.0, False, 1)


KIND = Kind(
    "NAME", "The nearest mean.", "toy_learners:Centroids", needs_memory=True, strength="nothing"
)
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a package that brings a head of a name."""

    def install(name: str) -> None:
        site = tmp_path / "site"
        about = site / "toy_learners-1.dist-info"
        about.mkdir(parents=True)
        (site / "toy_learners.py").write_text(TOY.replace("NAME", name))
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-learners\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[xprobe.learners]\n{name} = toy_learners:KIND\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "toy_learners", raising=False)

    return install


@pytest.mark.parametrize("kind", KINDS.rows.values(), ids=lambda kind: kind.name)
def test_every_row_names_a_class_and_says_what_it_is(kind: Kind) -> None:
    assert isinstance(kind.load(), type)
    assert kind.words.endswith(".")
    assert kind_of(kind.name) is kind


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(XprobeError, match=r"unknown head 'finetun' \(did you mean finetune\?\)"):
        kind_of("finetun")
    with pytest.raises(XprobeError, match=r"unknown head 'logistics'.*known: logistic, ridge"):
        SweepConfig().of_head("logistics")


def test_built_in_heads_need_no_look_at_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(registry, "entry_points_of", refuse)
    assert [kind_of(name).name for name in KINDS.rows] == list(KINDS.rows)
    with pytest.raises(AssertionError, match="looked up"):
        KINDS.names()


def test_names_are_known_before_anything_heavy_is_imported() -> None:
    code = "import sys, xprobe.learners.kinds; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_document_of_a_head_that_is_not_installed_is_read_all_the_same() -> None:
    assert kind_read("gone").words == "gone"
    assert head_title("gone", 0.5) == "gone head, 50 % of real"
    assert kind_read("ridge") is KINDS.rows["ridge"]


@pytest.mark.parametrize("workers", [1, 2])
def test_another_package_brings_a_head(
    installed: Callable[[str], None], make_data: MakeData, tmp_path: Path, workers: int
) -> None:
    installed("centroids")
    assert KINDS.names() == [*KINDS.rows, "centroids"]
    table = manifest.read(make_data(real=6, synthetic=12))
    store, folder = Store(tmp_path / "features", create=True), tmp_path / "results"
    extract.embed(table, encoders.load("pixels"), "pixels", store)
    config = SweepConfig(ratios=(1,), repeats=1, folds=2, inner_folds=2)
    grid = Grid(heads=("centroids",))
    (study,) = sweep(table, store, folder, config, grid, Execution(workers=workers))
    assert study.config.head == "centroids"
    assert {row.head for row in study.results} == {"centroids"}
    for file in (folder / "predictions").rglob("*.npz"):
        loaded = load_predictions(folder, file.stem)
        assert loaded is not None
        score = loaded[0].score
        assert np.allclose(np.exp(score).sum(axis=1), 1, atol=1e-5)
    with pytest.raises(XprobeError, match="needs all features in memory"):
        sweep(table, store, tmp_path / "other", config, grid, Execution(1, memory_gib=0))


def test_a_package_that_takes_a_name_of_ours_is_refused(installed: Callable[[str], None]) -> None:
    installed("ridge")
    with pytest.raises(XprobeError, match="package toy-learners registers the head 'ridge'"):
        KINDS.names()
    with pytest.raises(XprobeError, match="package toy-learners registers the head 'ridge'"):
        kind_of("an unknown one")
    assert kind_of("ridge") is KINDS.rows["ridge"]
