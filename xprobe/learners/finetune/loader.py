"""Images on their way from the pixels of a study to the device that trains on them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from xprobe.base.arrays import Ints
from xprobe.learners.finetune.job import Source


class Loader:
    """Reads batches of images; for a GPU, a thread reads the next one while it computes.

    A small network is held up by the Python thread that launches its kernels. Images that this
    thread gathers, and any value that it waits for, leave the GPU without work.
    """

    def __init__(self, pixels: Source, device: torch.device, *, ahead: bool | None = None) -> None:
        """Take the pixels and the device; `ahead` (default: on a GPU) lets a thread read."""
        self.pixels, self.device = pixels, device
        is_ahead = device.type == "cuda" if ahead is None else ahead
        self.reader = ThreadPoolExecutor(1) if is_ahead else None
        self.coming: tuple[Ints, Future[Tensor]] | None = None

    def read(self, rows: Ints, later: Ints | None = None) -> Tensor:
        """Return images (n, height, width, 3) uint8 in the memory of the host.

        Args:
            rows: the images, by row of the pixels.
            later: the rows that are probably asked for next.
        """
        if self.reader is None:
            return self._images(rows)
        if self.coming is not None and np.array_equal(rows, self.coming[0]):
            x = self.coming[1].result()
        else:
            x = self._images(rows)
        self.coming = None if later is None else (later, self.reader.submit(self._images, later))
        return x

    def _images(self, rows: Ints) -> Tensor:
        x = torch.from_numpy(self.pixels[rows])
        # The device copies from pinned memory beside its own work, and nobody waits for the copy.
        return x.pin_memory() if self.device.type == "cuda" else x

    def on_device(self, x: Tensor) -> Tensor:
        """Return images (n, height, width, 3) of the host as (n, 3, height, width) on the device.

        A GPU gets them as they are, with channels last in memory, as its convolutions want them;
        elsewhere they are contiguous.
        """
        if self.device.type == "cuda":
            return x.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        return as_batch(x).to(self.device)


def as_batch(x: Tensor) -> Tensor:
    """Return images (n, height, width, 3) as (n, 3, height, width), contiguous."""
    return x.permute(0, 3, 1, 2).contiguous()
