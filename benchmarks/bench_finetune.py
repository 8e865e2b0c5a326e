"""How much of a bare torch loop's pace a fine-tune keeps, of the same network on decoded images.

    python benchmarks/bench_finetune.py [--quick] [--encoder timm:resnet18]

Both take the same optimiser steps on the same uint8 images, alternating; medians. Weights are
random. Timed are the steps, in which a fine-tune also reads images by row from a memory map, sets
learning rates, clips gradients and checks the loss; loading and the test are not timed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from xprobe.encoders.load import load
from xprobe.encoders.network import Network
from xprobe.learners.finetune.classifier import Classifier, HeadStart
from xprobe.learners.finetune.job import Job, Setup
from xprobe.learners.finetune.order import draw_order
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.finetune.training import fine_tune

K = 6


def bare(
    network: Network, head: HeadStart, x: torch.Tensor, job: Job, lr: float, device: str
) -> float:
    """Return the seconds of all steps."""
    model = Classifier(network, head).to(device).requires_grad_(True).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
    x, label = x.to(device), torch.from_numpy(job.label).to(device)
    start = time.perf_counter()
    for rows in torch.from_numpy(job.order).to(device):
        optimiser.zero_grad(set_to_none=True)
        precision = torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
        with precision:
            logits = model(model.normalised(x[rows]))
        functional.cross_entropy(logits.float(), label[rows], label_smoothing=0.1).backward()
        optimiser.step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ours(tune: Callable[[Callable[[int], None]], object], steps: int) -> float:
    """Return the seconds from before the first step to after the last, all work of a GPU ended."""
    at: list[float] = []

    def advance(_n: int) -> None:
        if len(at) in (0, steps) and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        at.append(time.perf_counter())

    tune(advance)
    return at[steps] - at[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny run, to see that it works")
    parser.add_argument("--encoder", default="")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = arguments.encoder or ("timm:test_resnet" if arguments.quick else "timm:resnet18")
    steps, size = (2, 8) if arguments.quick else (arguments.steps, arguments.batch_size)
    network = load(name, device, random_weights=True, trainable=True)
    assert isinstance(network, Network)
    rng = np.random.default_rng(0)
    n, (height, width) = 4 * size, network.spec.input_px
    label = np.arange(n) % K
    recipe = Recipe(method="full", batch_size=size, lr=1e-4, layer_decay=1.0)
    order = draw_order(np.arange(n), np.arange(0), steps, recipe, rng)
    none = np.arange(0)
    job = Job(order, label, np.ones(n), none, np.arange(1), K, 0, "bench")
    weight = rng.normal(scale=0.01, size=(K, network.spec.dim)).astype(np.float32)
    head = HeadStart(weight, np.zeros(K, dtype=np.float32), unit=False)
    taken: dict[str, list[float]] = {"xprobe": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "x.npy")
        np.save(file, rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8))
        pixels = np.load(file, mmap_mode="r")
        x = torch.from_numpy(np.moveaxis(pixels, -1, 1).copy())
        place = Path(folder, "c.pt")
        for _ in range(1 if arguments.quick else 5):
            taken["bare"].append(bare(network, head, x, job, recipe.lr, device))
            taken["xprobe"].append(
                ours(
                    lambda advance: fine_tune(
                        Setup(network, head, pixels, job, recipe, device), place, advance=advance
                    ),
                    steps,
                )
            )
    median = {key: statistics.median(each) for key, each in taken.items()}
    pace = {key: steps * size / seconds for key, seconds in median.items()}
    print(f"{name}, {height} px, batches of {size}, {steps} steps, {device}")
    for key, rate in pace.items():
        print(f"{key:8} {rate:8.1f} images/s")
    print(
        f"xprobe keeps {pace['xprobe'] / pace['bare']:.3f} of the bare loop's pace (asked >= 0.9)"
    )
    if device == "cuda":
        print(f"GPU memory at the most {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
