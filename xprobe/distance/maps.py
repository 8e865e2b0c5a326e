"""Features laid out on a plane for people to look at: principal axes, t-SNE, UMAP. Pure."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np

from xprobe.base.arrays import Floats

FEWEST = 10  # A map of neighbourhoods needs at least this many rows.

_KEPT_AXES = 50  # Maps of neighbourhoods are made from this many principal axes of the features.


def lay_out(x: Floats, seed: int) -> dict[str, Floats]:
    """Return where rows (n, d) lie on a plane, (n, 2) for each method, principal axes first.

    ``pca`` keeps large distances; ``tsne`` (van der Maaten & Hinton 2008) and ``umap`` (McInnes et
    al. 2018, where umap-learn is installed) keep neighbourhoods, and their distances between
    clusters mean nothing. These two need `FEWEST` rows, not all of them equal.
    """
    axes = _principal(x)
    planes = {"pca": np.pad(axes[:, :2], ((0, 0), (0, max(0, 2 - axes.shape[1]))))}
    if len(x) < FEWEST or not axes.any():
        return planes
    planes["tsne"] = _tsne(axes, seed)
    if importlib.util.find_spec("umap") is not None:
        planes["umap"] = _umap(axes, seed)
    return planes


def _principal(x: Floats) -> Floats:
    """Return x (n, d) along its largest principal axes, (n, at most `_KEPT_AXES`)."""
    x = x - x.mean(axis=0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[:_KEPT_AXES]
    # The sign of an axis is arbitrary, and is fixed here.
    axes = axes * np.sign(axes.sum(axis=1, keepdims=True) + 1e-12)
    return np.asarray(x @ axes.T)


def _tsne(x: Floats, seed: int) -> Floats:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(x) - 1) / 3)
    return np.asarray(
        TSNE(2, init="pca", perplexity=perplexity, random_state=seed).fit_transform(x)
    )


def _umap(x: Floats, seed: int) -> Floats:
    umap: Any = importlib.import_module("umap")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # UMAP warns that a seed confines it to one thread.
        return np.asarray(
            umap.UMAP(n_neighbors=min(15, len(x) - 1), random_state=seed).fit_transform(x)
        )
