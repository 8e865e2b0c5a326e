"""Fingerprints of images: the low end of a small grey picture's spectrum.

What many real images share at one place, such as the black edge of a satellite's swath or a logo,
makes unlike images alike. It is masked before fingerprints are taken, so that only the rest of two
images is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from xprobe.base.arrays import Bools, Floats
from xprobe.base.progress import Progress, no_progress
from xprobe.images.decode import AS_IT_IS, Reading, UnusableImageError, decode

# A picture has sides of `SIDE` pixels; a fingerprint keeps `KEPT` frequencies of each axis.
SIDE, KEPT = 32, 16

# What this share of the real pictures has in common is masked, if it is so many of them.
COMMON_SHARE, COMMON_LEAST = 0.01, 3

# Windows of this side are compared: in photographs so many neighbours are equal by chance only
# where they are black or white.
_WINDOW = 3

# So many real pictures are enough to see what one in a hundred has.
_SAMPLE = 20_000

# The filter that makes pictures small mixes this many neighbours into the margin of what is common.
_MARGIN = 2

# A picture with a lower standard deviation, in grey levels, shows noise, which has no copies.
_LEAST_CONTRAST = 1.0

# So many pictures are transformed at a time.
_BLOCK = 4096

Pictures = NDArray[np.uint8]
"""Small grey pictures (n, 32, 32)."""


def fingerprints(
    paths: Sequence[str | Path],
    is_real: Bools,
    workers: int | None = None,
    progress: Progress = no_progress,
    reading: Reading = AS_IT_IS,
) -> NDArray[np.float32]:
    """Return the fingerprint (n, 256) of each image file, of unit length.

    It has the 16 x 16 lowest cosine coefficients of the grey image at 32 x 32 pixels, without the
    mean, times the square root of the frequency, since natural images differ least where they have
    most energy. An image of one colour, or one that cannot be used, has a row of zeros.

    Args:
        paths: the image files.
        is_real: (n,) which of them are real: what many of these share is masked in all images.
        workers: number of threads that decode; by default one a core.
        progress: shows how far the work has come.
        reading: which samples of the files are decoded.
    """
    pictures = np.zeros((len(paths), SIDE, SIDE), dtype=np.uint8)
    with ThreadPoolExecutor(workers) as pool, progress("fingerprints", len(paths)) as advance:
        for i, picture in enumerate(pool.map(partial(_small_picture, reading=reading), paths)):
            pictures[i] = picture
            advance(1)
    is_common = common_parts(pictures, is_real)
    rows = [_spectra(pictures[part], is_common[part]) for part in _blocks(len(paths))]
    return np.concatenate(rows) if rows else np.zeros((0, KEPT * KEPT), dtype=np.float32)


def mirrored(fingerprint: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the fingerprints (…, 256) of the same images flipped left to right."""
    # A flip turns the sign of cosine waves with an odd number of half periods.
    sign = np.where(np.arange(KEPT) % 2, -1, 1).astype(np.float32)
    return np.asarray(fingerprint * np.tile(sign, KEPT))


def common_parts(pictures: Pictures, is_real: Bools) -> Bools:
    """Return which pixels (n, 32, 32) show what many real pictures show at the same place.

    Equal real pictures count once, since a photograph that occurs twice is no logo.
    """
    n = len(pictures)
    mask = np.zeros(pictures.shape, dtype=bool)
    row = np.ascontiguousarray(pictures.reshape(n, SIDE * SIDE)).view(f"V{SIDE * SIDE}").ravel()
    real = np.flatnonzero(is_real)
    real = real[np.sort(np.unique(row[real], return_index=True)[1])]
    real = real[:: -(-len(real) // _SAMPLE) or 1]
    least = max(COMMON_LEAST, int(COMMON_SHARE * len(real)) + 1)
    factor = np.random.default_rng(0).integers(1, 2**63, size=_WINDOW**2, dtype=np.uint64)
    for y, x in product(range(SIDE - _WINDOW + 1), repeat=2):
        window = pictures[:, y : y + _WINDOW, x : x + _WINDOW].reshape(n, _WINDOW**2)
        code = window.astype(np.uint64) @ factor  # Sums wrap around, as those of a hash may.
        codes, counts = np.unique(code[real], return_counts=True)
        common = codes[counts >= least]
        if len(common):
            mask[np.isin(code, common), y : y + _WINDOW, x : x + _WINDOW] = True
    side = 2 * _MARGIN + 1
    return np.asarray(ndimage.binary_dilation(mask, np.ones((1, side, side), dtype=bool)))


def _small_picture(path: str | Path, reading: Reading) -> Pictures:
    try:
        small = decode(path, reading).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    except (UnusableImageError, MemoryError):
        return np.zeros((SIDE, SIDE), dtype=np.uint8)
    return np.asarray(small)


def _blocks(n: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]


def _spectra(pictures: Pictures, is_common: Bools) -> NDArray[np.float32]:
    """Return the fingerprints (n, 256) of pictures, of which common parts count as their mean."""
    rest = ~is_common
    counts = np.maximum(rest.sum(axis=(1, 2), keepdims=True), 1)
    grey = pictures.astype(np.float64)
    mean = (grey * rest).sum(axis=(1, 2), keepdims=True) / counts
    deviation = (grey - mean) * rest
    contrast = np.sqrt((deviation**2).sum(axis=(1, 2), keepdims=True) / counts)
    spectrum = WEIGHT * (COSINES @ deviation @ COSINES.T)
    length = np.linalg.norm(spectrum, axis=(1, 2), keepdims=True)
    spectrum *= (contrast >= _LEAST_CONTRAST) / np.maximum(length, 1e-12)
    return np.asarray(spectrum.reshape(len(pictures), -1), dtype=np.float32)


def _cosines() -> Floats:
    """Return the first waves (16, 32) of the orthonormal discrete cosine transform, type II."""
    k, x = np.arange(KEPT)[:, None], np.arange(SIDE)[None]
    waves = np.cos(np.pi * k * (2 * x + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves)


COSINES = _cosines()

# Every coefficient is multiplied by the square root of its frequency, which makes that of the mean
# zero.
WEIGHT = np.sqrt(np.hypot(np.arange(KEPT)[:, None], np.arange(KEPT)[None]))
