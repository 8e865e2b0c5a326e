"""Images that are read one batch ahead are those that were asked for."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import torch

from xprobe.learners.finetune.loader import Loader, as_batch


def test_images_are_read_while_others_are_used() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 5, 3), dtype=np.uint8)
    begun = [threading.Event() for _ in range(3)]

    class Watched:
        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            begun[rows[0]].set()
            return pixels[rows]

    loader = Loader(Watched(), torch.device("cpu"), ahead=True)
    batches = [np.array([i, i + 5]) for i in range(3)]
    for rows, later in pairwise([*batches, None]):
        assert rows is not None
        assert np.array_equal(loader.read(rows, later).numpy(), pixels[rows])
        assert later is None or begun[later[0]].wait(10)
    assert np.array_equal(loader.read(batches[0], batches[1]).numpy(), pixels[batches[0]])
    assert np.array_equal(loader.read(batches[2]).numpy(), pixels[batches[2]])


def test_a_batch_has_its_channels_first_in_memory() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    x = as_batch(torch.from_numpy(pixels))
    assert x.is_contiguous()
    assert np.array_equal(x.numpy(), np.moveaxis(pixels, -1, 1))
