"""Whether real and synthetic images can be told apart by their files, without looking at them.

A head that trains on both may learn the file format, the compression or the size instead of the
content; a gain or a loss is then partly due to the files.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from scipy.special import ndtri

from xprobe.base.arrays import Bools, Floats, Ints, Strings, frozen_strings
from xprobe.base.progress import Progress, no_progress
from xprobe.design.folds import MOST_FOLDS, count_folds, divide
from xprobe.images import contents
from xprobe.images.decode import AS_IT_IS, Reading, UnusableImageError, decode
from xprobe.images.formats import HEAD_BYTES, kind_of, opened, tiff_layout
from xprobe.images.manifest import Manifest
from xprobe.results.distance import Shortcut

Facts = dict[str, str | float]

NAMES = {
    "format": "file format",
    "width": "width",
    "height": "height",
    "aspect": "aspect ratio",
    "bytes_per_pixel": "bytes per pixel",
    "quantisation": "JPEG quantisation tables",
    "jpeg_quality": "JPEG quality",
    "subsampling": "chroma subsampling",
    "mode": "colour mode",
    "has_exif": "EXIF data",
    "has_alpha": "transparency",
    "high_frequency": "high frequencies",
    "blockiness": "JPEG blockiness",
}

ALL = "all"  # This name stands for all properties together.

_TEXT = ("format", "quantisation", "subsampling", "mode")  # These have values in words.

# A property in words is told by its most frequent values; all rarer ones count as one.
MOST_VALUES = 20

# Sides count as told apart if the interval of the AUC lies above this value.
TOLD_APART = 0.7

# The sides of the crop for high frequencies, of a JPEG block, and of the part searched for blocks.
_CROP_PX, _BLOCK_PX, _MOST_PX = 128, 8, 1024

_NOT_JPEG = ("", 0, "")  # Other formats have no tables, no quality and no subsampling.

_SAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}

# This is the luminance table of annex K of the JPEG standard, which libjpeg scales by the quality.
_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


# --- what a file says ----------------------------------------------------------------


def file_facts(path: str | Path, reading: Reading = AS_IT_IS) -> Facts:
    """Return the properties of an image file, a value for each of `NAMES`.

    ``width`` and ``height`` are pixels of the upright image, ``aspect`` their ratio.
    ``quantisation`` is a digest of the JPEG tables, ``jpeg_quality`` the libjpeg quality (1–100)
    whose luminance table is nearest; other formats have ``""`` and 0. ``high_frequency`` is the
    share of energy above a quarter of the sampling rate, in the grey centre of at most 128 x 128
    pixels. ``blockiness`` is the ratio of differences across the borders of 8-pixel blocks to other
    differences, for the position of the grid where it is largest; it is 1 without blocks.

    Raises:
        UnusableImageError: the file cannot be read, or is no image that can be used.
    """
    try:
        content = contents.read(str(path))
    except OSError as error:
        raise UnusableImageError(contents.reason_of(error), passing=True) from error
    image = decode(content, reading)
    tables, quality, sampling = _NOT_JPEG
    try:
        with opened(content) as header:
            tables, quality, sampling = _jpeg_facts(header)
            facts: Facts = {
                "format": header.format or "?",
                "mode": header.mode,
                "has_exif": "exif" in header.info,
                "has_alpha": bool(header.has_transparency_data),
            }
    except Exception as error:  # Another decoder has read what Pillow does not open.
        facts = _tiff_facts(content, error)
    grey = np.asarray(image.convert("L"), dtype=np.float64)
    facts |= {
        "width": image.width,
        "height": image.height,
        "aspect": image.width / image.height,
        "bytes_per_pixel": len(content) / (image.width * image.height),
        "quantisation": tables,
        "jpeg_quality": quality,
        "subsampling": sampling,
        "high_frequency": _high_frequency(grey),
        "blockiness": _blockiness(grey[:_MOST_PX, :_MOST_PX]),
    }
    return {name: facts[name] for name in NAMES}


def all_facts(
    paths: Sequence[str | Path],
    workers: int | None = None,
    progress: Progress = no_progress,
    reading: Reading = AS_IT_IS,
) -> list[Facts | None]:
    """Return the `file_facts` of each file, and None for a file that cannot be used."""

    def look(path: str | Path) -> Facts | None:
        try:
            return file_facts(path, reading)
        except (UnusableImageError, MemoryError):
            return None

    every = []
    with ThreadPoolExecutor(workers) as pool, progress("file facts", len(paths)) as advance:
        for facts in pool.map(look, paths):
            every.append(facts)
            advance(1)
    return every


def _tiff_facts(content: bytes, error: Exception) -> Facts:
    """Return what the header of a TIFF says that Pillow does not open.

    Raises:
        UnusableImageError: it is no TIFF; then for the same reason as `error`.
    """
    if kind_of(content[:HEAD_BYTES]) != "TIFF":
        raise UnusableImageError(f"{error}") from error
    return {"format": "TIFF", "mode": tiff_layout(content), "has_exif": False, "has_alpha": False}


def _jpeg_facts(header: Image.Image) -> tuple[str, int, str]:
    tables = getattr(header, "quantization", None)
    if not isinstance(header, JpegImagePlugin.JpegImageFile) or not tables:
        return _NOT_JPEG
    digest = hashlib.sha256(repr(sorted((k, list(v)) for k, v in tables.items())).encode())
    luminance = np.array(tables[min(tables)])
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    known = np.clip((_LUMINANCE * scale[:, None] + 50) // 100, 1, 255)
    nearest = int(quality[np.abs(known - luminance).sum(axis=1).argmin()])
    sampling = _SAMPLING.get(JpegImagePlugin.get_sampling(header), "other")
    return digest.hexdigest()[:12], nearest, sampling


def _high_frequency(grey: Floats) -> float:
    h, w = grey.shape
    side_y, side_x = min(h, _CROP_PX), min(w, _CROP_PX)
    top, left = (h - side_y) // 2, (w - side_x) // 2
    crop = grey[top : top + side_y, left : left + side_x]
    # A window hides the jump between opposite borders, which would look like detail.
    window = np.outer(np.hanning(side_y + 2)[1:-1], np.hanning(side_x + 2)[1:-1])
    power = np.abs(np.fft.fft2((crop - crop.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(side_y)[:, None], np.fft.fftfreq(side_x)[None])
    total = power.sum()
    return float(power[radius > 0.25].sum() / total) if total > 1e-6 else 0.0


def _blockiness(grey: Floats) -> float:
    ratios = []
    for axis in (0, 1):
        if grey.shape[axis] <= 2 * _BLOCK_PX:
            continue
        step = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        phase = np.arange(len(step)) % _BLOCK_PX
        means = np.bincount(phase, step, _BLOCK_PX) / np.bincount(phase, minlength=_BLOCK_PX)
        rest = (means.sum() - means.max()) / (_BLOCK_PX - 1)
        ratios.append(float((means.max() + 1e-6) / (rest + 1e-6)))
    return float(np.mean(ratios)) if ratios else 1.0


# --- whether files tell real and synthetic images apart ------------------------------


def find_shortcuts(
    manifest: Manifest, facts: Sequence[Facts | None], rng: Generator
) -> list[Shortcut]:
    """Return how well each property, and all of them together, tell each generator from real.

    A small decision tree judges one property, and a forest of them all properties together. Images
    are tested in folds that never split a group; a synthetic image is of its parent's group. The
    interval is DeLong's with groups as units (Obuchowski 1997, Biometrics 53:567). Its lower end is
    at most 0.025^(1/g) for g groups of the smaller side, since so few show no more even if they are
    separated without a fault.

    Both sides have equal shares of the classes; images beyond that are left out at random.

    Args:
        manifest: the images.
        facts: the file facts of these images, in their order; an image with None is left out.
        rng: draws the images, the folds and the seeds of trees.
    """
    if len(facts) != len(manifest):
        raise ValueError(f"{len(facts)} facts for {len(manifest)} images")
    usable = np.array([f is not None for f in facts], dtype=bool)
    group = _groups(manifest)
    shortcuts = []
    for generator in sorted(set(manifest.generator) - {""}):
        rows = np.flatnonzero(
            usable & ((manifest.source == "real") | (manifest.generator == generator))
        )
        rows = rows[
            _balance_classes(manifest.label[rows], manifest.source[rows] == "synthetic", rng)
        ]
        synthetic = np.asarray(manifest.source[rows] == "synthetic", dtype=bool)
        chosen = [facts[i] for i in rows.tolist()]
        columns = {name: [f[name] for f in chosen if f is not None] for name in NAMES}
        shortcuts += _generator_shortcuts(generator, columns, synthetic, group[rows], rng)
    return shortcuts


def _balance_classes(label: Strings, synthetic: Bools, rng: Generator) -> Ints:
    """Return positions of images that give both sides equal shares of the classes.

    Otherwise a property that goes with a class, such as the size, would tell the sides apart.
    """
    both = sorted(set(label[synthetic]) & set(label[~synthetic]))
    shared = np.isin(label.astype(str), both)
    if not both:
        return np.empty(0, dtype=np.intp)
    ratio = (synthetic & shared).sum() / (~synthetic & shared).sum()
    kept = []
    for name in both:
        real, fake = (np.flatnonzero((label == name) & side) for side in (~synthetic, synthetic))
        most_real = math.ceil(len(fake) / ratio - 1e-9)
        most_fake = math.ceil(len(real) * ratio - 1e-9)
        for side_rows, most in ((real, most_real), (fake, most_fake)):
            kept.append(side_rows if len(side_rows) <= most else rng.permutation(side_rows)[:most])
    return np.sort(np.concatenate(kept))


def _groups(manifest: Manifest) -> NDArray[Any]:
    """Return the group (n,) of each image.

    An image with a parent is in the parent's group, which bears the parent's name if the manifest
    lacks the parent. An image with neither parent nor group is a group by itself.
    """
    group_by_id = dict(zip(manifest.id, manifest.group, strict=True))
    names = []
    for i in range(len(manifest)):
        parent = manifest.parent[i] if manifest.source[i] == "synthetic" else ""
        name = group_by_id.get(parent, parent) or manifest.group[i]
        names.append(f"group {name}" if name else f"image {manifest.id[i]}")
    return frozen_strings(names)


def _generator_shortcuts(
    generator: str,
    columns: dict[str, list[Any]],
    synthetic: Bools,
    group: NDArray[Any],
    rng: Generator,
) -> list[Shortcut]:
    n_synthetic = int(synthetic.sum())
    n_real = len(synthetic) - n_synthetic

    def left_out(name: str, reason: str) -> Shortcut:
        verdict = f"{NAMES.get(name, 'all file properties together')}: left out, {reason}"
        return Shortcut(
            generator=generator, property=name, verdict=verdict, n_real=n_real,
            n_synthetic=n_synthetic,
        )  # fmt: skip

    label = frozen_strings(np.where(synthetic, "synthetic", "real").tolist())
    if not min(n_real, n_synthetic) or (k := count_folds(label, group, MOST_FOLDS)) < 2:
        reason = "fewer than two groups of real images, or of the generator's"
        return [left_out(name, reason) for name in (*NAMES, ALL)]
    fold = divide(label, group, k, rng)
    if any(len(set(synthetic[fold != i])) < 2 for i in range(k)):
        reason = "the groups leave a training part without real, or without synthetic images"
        return [left_out(name, reason) for name in (*NAMES, ALL)]
    shortcuts, parts = [], []
    for name in NAMES:
        if len(set(columns[name])) < 2:
            value = columns[name][0]
            shown = f"{value:.3g}" if isinstance(value, float) else str(value) or "none"
            shortcuts.append(left_out(name, f"it is the same everywhere ({shown})"))
            continue
        parts.append(_property_columns(name, columns[name]))
        shortcuts.append(_judge_property(generator, name, parts[-1], synthetic, group, fold, rng))
    if not parts:
        return [*shortcuts, left_out(ALL, "every one is the same everywhere")]
    together = np.hstack(parts)
    return [*shortcuts, _judge_property(generator, ALL, together, synthetic, group, fold, rng)]


def _property_columns(name: str, values: list[Any]) -> Floats:
    """Return a property as numbers (n, 1); one in words has a column for each of its values."""
    if name not in _TEXT:
        return np.array(values, dtype=np.float64)[:, None]
    known, counts = np.unique(np.array(values, dtype=str), return_counts=True)
    common = known[np.argsort(-counts, kind="stable")][:MOST_VALUES]
    return np.asarray(np.array(values, dtype=str)[:, None] == common, dtype=np.float64)


def _judge_property(
    generator: str,
    name: str,
    x: Floats,
    synthetic: Bools,
    group: NDArray[Any],
    fold: Ints,
    rng: Generator,
) -> Shortcut:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    score = np.empty(len(x))
    leaf = max(1, min(5, int(synthetic.sum()) // 5))
    for i in range(int(fold.max()) + 1):
        common = {"min_samples_leaf": leaf, "class_weight": "balanced"}
        common["random_state"] = int(rng.integers(2**31))
        model = (
            RandomForestClassifier(100, max_depth=6, **common)
            if name == ALL
            else DecisionTreeClassifier(max_depth=3, **common)
        )
        model.fit(x[fold != i], synthetic[fold != i])
        score[fold == i] = model.predict_proba(x[fold == i])[:, 1]
    auc, low, high = auc_interval(score, synthetic, group)
    words = "all file properties together" if name == ALL else f"{NAMES[name]} alone"
    verdict = f"real and generator {generator} can be told apart by {words}"
    if low > TOLD_APART:
        verdict += f" (AUC {auc:.2f})"
    else:
        doubt = "too few images to say that" if auc > TOLD_APART else "no sign that"
        verdict = f"{doubt} {verdict} (AUC {auc:.2f}, {low:.2f} to {high:.2f})"
    return Shortcut(
        generator=generator, property=name, auc=auc, low=low, high=high,
        tells_apart=low > TOLD_APART, verdict=verdict, n_real=int((~synthetic).sum()),
        n_synthetic=int(synthetic.sum()),
    )  # fmt: skip


def auc_interval(score: Floats, positive: Bools, group: NDArray[Any]) -> tuple[float, float, float]:
    """Return the area under the ROC curve and its 95 % interval, groups taken as units.

    Args:
        score: (n,) scores, higher for positive images.
        positive: (n,) whether an image is positive; both kinds must occur.
        group: (n,) groups; the images of a group depend on each other.
    """
    pos, neg = np.sort(score[positive]), np.sort(score[~positive])
    m, n = len(pos), len(neg)
    # The placement of an image is the share of the other side that it is ranked correctly
    # against; a tie counts as half.
    below = np.searchsorted(neg, score[positive], "left") + np.searchsorted(
        neg, score[positive], "right"
    )
    above = np.searchsorted(pos, score[~positive], "left") + np.searchsorted(
        pos, score[~positive], "right"
    )
    share = np.empty(len(score))
    share[positive], share[~positive] = below / (2 * n), 1 - above / (2 * m)
    auc = float(share[positive].mean())
    _, code = np.unique(group.astype(str), return_inverse=True)
    # Influences are added up by group, since real and synthetic images of a group vary together.
    weight = np.where(positive, 1 / m, 1 / n)
    total = np.bincount(code, (share - auc) * weight)
    g = len(total)
    spread = float(np.sqrt((total**2).sum() * g / max(g - 1, 1)))
    half = float(ndtri(0.975)) * spread
    fewest = min(len(set(code[positive])), len(set(code[~positive])))
    low = min(auc - half, 0.025 ** (1 / fewest))
    return auc, max(0.0, low), min(1.0, auc + half)
