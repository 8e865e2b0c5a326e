"""The only source of randomness: a seed and a purpose give a generator."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.random import Generator


def stream(seed: int, *names: str | int) -> Generator:
    """Return the generator of a purpose, independent of all others and the same in every run."""
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
