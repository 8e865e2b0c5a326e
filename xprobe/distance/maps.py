"""Features laid out in two dimensions, to be looked at: principal axes, t-SNE, UMAP. Pure."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np

from xprobe.base.arrays import Floats

FEWEST = 10  # rows that a map of neighbourhoods needs

_KEPT_AXES = 50  # of the features; the maps of neighbourhoods start from these


def lay_out(x: Floats, seed: int) -> dict[str, Floats]:
    """Return where rows (n, d) lie on a plane, (n, 2) for each method, principal axes first.

    ``pca`` keeps large distances; ``tsne`` (van der Maaten & Hinton 2008) and ``umap`` (McInnes et
    al. 2018, where umap-learn is installed) keep neighbourhoods, and their distances between
    clusters mean nothing. Those need `FEWEST` rows that differ.
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
    axes = axes * np.sign(axes.sum(axis=1, keepdims=True) + 1e-12)  # a sign of its own
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
        warnings.simplefilter("ignore")  # a seed takes one thread, which it says each time
        return np.asarray(
            umap.UMAP(n_neighbors=min(15, len(x) - 1), random_state=seed).fit_transform(x)
        )
