"""The offline demonstration: a true study of handwritten digits.

Real are the scanned digits that scikit-learn brings along (Alpaydin & Kaynak 1998): 8 x 8 pixels,
each the number of black dots, 0 to 16, in a 4 x 4 block of a 32 x 32 scan. One synthetic set is
rendered from a font through the same scanning (another domain), the other drawn from a density
model fitted on digits that take no part in the study.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from xprobe.base.progress import Progress, no_progress
from xprobe.design.config import Grid, SweepConfig
from xprobe.engine.execution import Execution
from xprobe.features.config import EmbedConfig
from xprobe.features.embed import embed_all
from xprobe.features.store import Store
from xprobe.images import read as manifests
from xprobe.learners.finetune.recipe import Recipe
from xprobe.results.study import Study
from xprobe.study.sweep import sweep

PER_CLASS, SYNTHETIC_PER_CLASS, CLASSES = 100, 400, 10

IMAGES = CLASSES * (PER_CLASS + 2 * SYNTHETIC_PER_CLASS)

ENCODER = "hog"

CONFIG = SweepConfig(
    ratios=(1, 2, 4), per_class=PER_CLASS, repeats=1, inner_folds=2,
    c_grid=(1.0, 10.0, 100.0, 1000.0),
)  # fmt: skip

NETWORK = "timm:test_resnet@32"

FINE_TUNES = SweepConfig(
    ratios=(1,), per_class=PER_CLASS, pooled=False, folds=3, inner_folds=2, c_grid=CONFIG.c_grid,
    recipe=Recipe(method="full", epochs=3, batch_size=32, lr=3e-3, layer_decay=1.0),
)  # fmt: skip

ABOUT = """
Do synthetic digits help to recognise handwritten ones? 1,000 real digits (100 a class); 4,000
rendered from a font ("font") and 4,000 drawn from a density model of other real digits
("density"); encoder hog, logistic heads on real only, synthetic only and mixes 1:1 to 1:4, each
tested on real digits that it has not seen. Then the same with a small network trained from random
weights, mix 1:1, which must also beat the real digits alone trained for as many steps.
"""

CUT = """
To end in three minutes this demo takes 1 repeat of the folds instead of 10, 3 ratios instead of 4,
4 values of C instead of 10 and 2 inner folds instead of 5; fine-tunes have 3 folds instead of 5,
one ratio, no arm of both generators together and 3 epochs of a very small network. Its intervals
are wider than a full study's for that.
"""


def run(folder: Path, progress: Progress = no_progress) -> list[Study]:
    """Make the images, embed them and sweep; return the studies, which lie in `folder`/results."""
    with progress("make images", IMAGES) as advance:
        data = make_data(folder / "data", advance)
    manifest = manifests.read(data)
    features, results = folder / "features", folder / "results"
    embed_all(manifest, [ENCODER], features, progress=progress)
    embed_all(manifest, [NETWORK], features, EmbedConfig(random_weights=True), progress=progress)
    store = Store(features)
    return [
        *sweep(manifest, store, results, CONFIG, Grid(encoders=(ENCODER,)), progress=progress),
        *sweep(
            manifest, store, results, FINE_TUNES, Grid(encoders=(NETWORK,), heads=("finetune",)),
            Execution(concurrent=joblib.cpu_count()), progress=progress,
        ),
    ]  # fmt: skip


def make_data(folder: Path, advance: Callable[[int], None] = lambda _n: None) -> Path:
    """Write the images of the study below `folder`, unless a former run has; return `folder`."""
    done = folder / ".complete"
    if done.is_file():
        advance(IMAGES)
        return folder
    rng = np.random.default_rng(0)
    real, others = _real_digits(rng)
    for digit in range(CLASSES):
        _save_images(folder / "real" / str(digit), real[digit], advance)
        font = np.stack([_rendered(str(digit), rng) for _ in range(SYNTHETIC_PER_CLASS)])
        _save_images(folder / "synthetic" / "font" / str(digit), font, advance)
        density = _drawn(others[digit], rng)
        _save_images(folder / "synthetic" / "density" / str(digit), density, advance)
    done.touch()
    return folder


def _real_digits(rng: Generator) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Return, for each digit, the images (100, 8, 8) of the study and those set aside."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8)
    study, aside = [], []
    for digit in range(CLASSES):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        study.append(images[rows[:PER_CLASS]])
        aside.append(images[rows[PER_CLASS:]])
    return study, aside


def _rendered(text: str, rng: Generator) -> NDArray[Any]:
    """Return a digit of a font, (8, 8) from 0 to 16: random affine map, blur and noise, scanned."""
    canvas = Image.new("L", (64, 64))
    font = ImageFont.load_default(size=float(rng.uniform(44, 60)))
    ImageDraw.Draw(canvas).text(
        (32, 32), text, fill=255, font=font, anchor="mm", stroke_width=int(rng.integers(0, 3))
    )
    angle, shear = np.deg2rad(rng.uniform(-15, 15)), rng.uniform(-0.25, 0.25)
    scale_x, scale_y = rng.uniform(0.85, 1.15, size=2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[scale_x, shear], [0, scale_y]])
    shift = 32 - matrix @ (32 + rng.uniform(-3, 3, size=2))
    coefficients = (*matrix[0], shift[0], *matrix[1], shift[1])
    canvas = canvas.transform(
        (64, 64), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2)))).reduce(2)
    dots = np.asarray(canvas) + rng.normal(0, 25, size=(32, 32)) > 110
    return np.asarray(dots.reshape(8, 4, 8, 4).sum(axis=(1, 3)))


def _drawn(digits: NDArray[Any], rng: Generator) -> NDArray[Any]:
    """Return draws (400, 8, 8) from a kernel density fitted on digits (n, 8, 8)."""
    from sklearn.neighbors import KernelDensity

    density = KernelDensity(bandwidth=1.5).fit(digits.reshape(len(digits), -1))
    draws = density.sample(SYNTHETIC_PER_CLASS, random_state=int(rng.integers(2**31)))
    return np.asarray(np.clip(np.rint(draws), 0, 16).reshape(-1, 8, 8))


def _save_images(folder: Path, images: NDArray[Any], advance: Callable[[int], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        gray = np.rint(image * (255 / 16)).astype(np.uint8)
        Image.fromarray(gray).save(folder / f"{i:03d}.png")
    advance(len(images))
