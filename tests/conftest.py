"""Fixtures that several test files share, and the settings of Hypothesis."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

# One thread of linear algebra, here and in whatever a test starts, said before NumPy and torch read
# it: two workers with a thread a core each wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings
from makers import MakeData, MakeManifest, Ran, SavePicture
from PIL import Image

from xprobe.cli import app as cli
from xprobe.images.manifest import Manifest
from xprobe.report.figures.drawing import Drawing
from xprobe.report.figures.plot import Plot

# The same examples in every run, nothing written, and no clock: CI machines are slow at times.
settings.register_profile("xprobe", derandomize=True, database=None, deadline=None)
settings.load_profile("xprobe")


@pytest.fixture(scope="session")
def save_picture() -> SavePicture:
    """``save_picture(path, content=None, colour=128, size_px=(12, 10))``: a small noisy picture.

    `content` decides every pixel, by default it is the path: equal content, equal bytes.
    `colour` is the mean of the red channel, size is (width, height).
    """

    def save(
        path: Path, content: str | None = None, colour: int = 128, size_px: Sequence[int] = (12, 10)
    ) -> Path:
        rng = np.random.default_rng(crc32((content or path.as_posix()).encode()))
        pixels = rng.integers(0, 256, (size_px[1], size_px[0], 3))
        pixels[..., 0] = np.clip(rng.normal(colour, 20, pixels.shape[:2]), 0, 255)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        return path

    return save


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_disks() -> Iterator[None]:
    """Nothing here is about power cuts, and all processes see what is written before it is safe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        yield


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out of reports whose words alone are tested: drawing takes the time."""

    def draw_none(plots: Iterable[Plot], folder: Path) -> list[Drawing]:
        folder.mkdir(parents=True, exist_ok=True)
        assert all(plot.key for plot in plots)
        return []

    monkeypatch.setattr("xprobe.report.write.draw_all", draw_none)


@pytest.fixture(scope="session")
def make_data_in(save_picture: SavePicture) -> MakeData:
    """``make_data_in(data, classes=("a", "b"), real=4, synthetic=8, …)``: a study's folder `data`.

    The numbers are images a class: ``real/<class>/0.png``, … and so on for `synthetic` (for each
    of `generators`; None: no folder of its own), `test` and `extra`. All pictures differ, and the
    classes differ in colour, so that a head can learn them.
    """

    def make(
        data: Path,
        classes: Sequence[str] = ("a", "b"),
        *,
        real: int = 4,
        synthetic: int = 8,
        test: int = 0,
        extra: int = 0,
        generators: Sequence[str | None] = (None,),
    ) -> Path:
        parts = {"real": real, "test": test, "extra": extra}
        parts |= {f"synthetic/{g}" if g else "synthetic": synthetic for g in generators}
        for part, n in parts.items():
            for k, label in enumerate(classes):
                for i in range(n):
                    file = f"{part}/{label}/{i}.png"
                    save_picture(data / file, file, round(255 * (k + 0.5) / len(classes)))
        return data

    return make


@pytest.fixture
def make_data(tmp_path: Path, make_data_in: MakeData) -> MakeData:
    """``make_data(classes=("a", "b"), …)``: as `make_data_in`, in a folder of the test's own.

    `name` is the folder's, for tests that need several.
    """

    def make(*classes: Sequence[str], name: str = "data", **numbers: Any) -> Path:
        return make_data_in(tmp_path / name, *classes, **numbers)

    return make


@pytest.fixture(scope="session")
def make_manifest() -> MakeManifest:
    """``make_manifest(label=["a", "b", …], source=[…], …)``: an image table without files.

    Columns that are not given are what `xprobe.images.read.read` would fill in: ids ``i0``, ``i1``,
    …, all contents differ, everything is real and to train on, every real image its own group.
    """

    def make(label: Sequence[str], **columns: Sequence[str]) -> Manifest:
        n = len(label)
        id_ = columns.get("id") or [f"i{i}" for i in range(n)]
        source = columns.get("source") or ["real"] * n
        real = [s == "real" for s in source]
        table = {
            "id": id_,
            "path": id_,
            "sha256": [f"content of {i}" for i in id_],
            "label": label,
            "source": source,
            "group": [i if r else "" for i, r in zip(id_, real, strict=True)],
            "parent": [""] * n,
            "generator": ["" if r else "default" for r in real],
            "split": ["train"] * n,
            "prompt": [""] * n,
        }
        return Manifest(**(table | columns))  # type: ignore[arg-type]  # frozen there

    return make


@pytest.fixture
def xprobe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run a command in an empty folder; nothing but a plain exit may come out of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.delenv("COLUMNS", raising=False)  # tables are as wide as in a pipe
    monkeypatch.setenv("HF_HUB_OFFLINE", "")  # restored afterwards, whatever --offline sets

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["xprobe", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capfd.readouterr()
        return Ran(int(end.value.code or 0), captured.out, captured.err)

    return run
