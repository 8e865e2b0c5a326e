"""How fast `embed` is, against what the GPU and the decoders can do and against a plain loop."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gpu import images
from gpu.bench import CORES, Bench, Row
from gpu.decoding import decoding
from gpu.features import network
from gpu.networks import name_of
from xprobe.encoders.base import FAST
from xprobe.encoders.fast.cuda_graphs import on_cuda
from xprobe.encoders.network import Network
from xprobe.features import embed as extract
from xprobe.features.items import Item
from xprobe.features.store import Store

# Encoder → small files: enough to fill the batches of all threads several times where it is fast,
# seconds of work where it is slow.
SMALL = {"ViT-B/32": 32_768, "ViT-L/14": 12_288, "SigLIP so400m": 4096}
LARGE = 4096  # files of 1024 pixels, where decoding is the limit
SMALLER_BATCH = 64  # of so few files, which batches of 256 for each thread would use up
# Kind of file and resampling; PNG comes early, as time may run out.
INPUTS = (("jpg256", ""), ("png1024", ""), ("jpg1024", ""), ("jpg1024", FAST))
LOOP_FILES, LOOP_BATCH = {"jpg256": 4096, "png1024": 2048, "jpg1024": 2048}, 64
MOST_ROUNDS = 3
SUSTAINED = 0.4, 0.95  # share of the images between which a rate is that of a long run


def embed(bench: Bench, what: str) -> None:
    """Race `embed` and a loop over open_clip on each kind of file."""
    precision = "bf16" if bench.has_cuda else "fp32"
    encoder = network(name_of(bench, what), bench.device, precision)
    encoder.reference = None  # a comparison of the first images, which has no part in a rate
    forward = _forward_row(bench, what, encoder)
    if bench.has_cuda:
        model = plain(encoder)
    else:  # weights that are laid out for a CPU's products cannot be copied
        model = network(name_of(bench, what), "cpu", "fp32", trainable=True).module
    rates: dict[str, list[float]] = {}  # of the loop, which has Pillow's resizing alone
    for number, (kind, resampling) in enumerate(INPUTS):
        encoder.see_through("", resampling, None)
        name = f"{what}, {kind}" + (f", {resampling} resizing" if resampling else "")
        n = SMALL[what] if kind == "jpg256" else LARGE
        seconds = (bench.left_s - 5) / (len(INPUTS) - number)
        with bench.row(f"{name}: embed") as row:
            files = images.files_of(bench, kind, 32 if bench.quick else n)
            one, every = decoding(bench, encoder, kind)
            row.values |= {"decoding, one core, images/s": one, "all cores": every}
            row.values["cores that feed this device"] = forward / one
            some = files[: 32 if bench.quick else LOOP_FILES[kind]]
            batch = SMALLER_BATCH if n == LARGE else encoder.auto_batch_size
            racers = partial(ours, files, encoder, batch), partial(loop, some, encoder, model)
            row.values |= {"images": len(files), "batch": batch}
            _race(bench, row, *racers, rates.setdefault(kind, []), seconds)
            _judge(bench, row, name, forward, every)


def _race(
    bench: Bench, row: Row, embed_all: Callable[[], Run], loop_all: Callable[[], float],
    loops: list[float], seconds: float,
) -> None:  # fmt: skip
    """Let both embed alternately, as often as there is time, and note medians.

    The rates `loops` are known of the loop, which is run for those that are missing.
    """
    runs: list[Run] = []
    start = time.perf_counter()
    for number in range(1 if bench.quick else MOST_ROUNDS):
        taken = time.perf_counter() - start
        if number and taken * (number + 1) / number > seconds:
            break
        runs.append(embed_all())
        if len(loops) <= number:
            loops.append(loop_all())
    row.values |= {
        "images/s": float(np.median([run.rate for run in runs])),
        "before the first, s": float(np.median([run.start_s for run in runs])),
        "whole, s": float(np.median([run.whole_s for run in runs])),
        "open_clip loop, images/s": float(np.median(loops)),
        "rounds": len(runs),
        "host MiB": max(run.host_mib for run in runs),
    }
    if bench.has_cuda:
        row.values["GPU MiB"] = max(run.gpu_mib for run in runs)


def _judge(bench: Bench, row: Row, name: str, forward: float, decoded: float) -> None:
    rate, limit = row.values["images/s"], min(forward, decoded)
    row.values["share of the forward pass"] = rate / forward
    row.values["share of decoding alone"] = rate / decoded
    times = rate / row.values["open_clip loop, images/s"]
    row.values["times the open_clip loop"] = times
    row.target(f"{name}: share of the smaller of forward pass and decoding", 0.85, rate / limit)
    row.target(f"{name}: times the open_clip loop", 1.5, times)


def plain(encoder: Network) -> Any:
    """Return a network as its library has it, without what xprobe leaves out of it."""
    model = deepcopy(encoder._module)
    for part in model.modules():
        part.__dict__.pop("forward", None)
    return model


# --- the forward pass ----------------------------------------------------------------------


def _forward_row(bench: Bench, what: str, encoder: Network) -> float:
    """Return the images a second of the module alone, at its best batch size."""
    with bench.row(f"{what}: forward pass alone") as row:
        rates: dict[int, float] = {}
        sizes = (64, 128, 256, 512, 1024) if bench.has_cuda else (8,)
        for size in sizes:
            try:
                rates[size] = _forward_rate(encoder, size)
            except torch.OutOfMemoryError:
                break
        if bench.has_cuda:
            torch.cuda.empty_cache()
        best = max(rates, key=lambda size: rates[size])
        row.values |= {"images/s": rates[best], "best batch": best}
        row.values |= {f"at {size}": rate for size, rate in rates.items()}
    return rates[best]


def _forward_rate(encoder: Network, size: int) -> float:
    """Return images a second of normalised images on the device, the faster of graph and eager."""
    device, dtype = encoder._device, encoder._dtype
    x = torch.randn(size, 3, *encoder.spec.input_px, device=device, dtype=dtype)
    if device.type == "cuda":
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        ways: list[Callable[[torch.Tensor], torch.Tensor]] = [encoder._module]
        encoder._module(x)
        if device.type == "cuda":
            ways.append(on_cuda(encoder._module, x))
        return size / min(_seconds_of(way, x) for way in ways)


def _seconds_of(forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> float:
    def wait() -> None:
        if x.is_cuda:
            torch.cuda.synchronize()

    forward(x)
    taken: list[float] = []
    end = time.perf_counter() + 0.4
    while len(taken) < 3 or time.perf_counter() < end:
        wait()
        start = time.perf_counter()
        for _ in range(4):
            forward(x)
        wait()
        taken.append((time.perf_counter() - start) / 4)
    return float(np.median(taken))


# --- contenders ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """How `embed` went: images a second of a long run, and what it took."""

    rate: float
    start_s: float
    whole_s: float
    host_mib: float
    gpu_mib: float


def sustained(times: Sequence[float], images: int = 1) -> float:
    """Return images a second of a long run, from when each, or each batch of so many, was done."""
    first, last = (int(share * (len(times) - 1)) for share in SUSTAINED)
    return images * (last - first) / (times[last] - times[first])


def ours(files: Sequence[Path], encoder: Network, batch: int) -> Run:
    """Embed files into a new store."""
    if encoder._device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    decoded: list[float] = []

    @contextmanager
    def progress(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        yield lambda n: decoded.extend([time.perf_counter()] * n)

    with tempfile.TemporaryDirectory() as folder, _host_memory() as host:
        start = time.perf_counter()
        (done,) = extract.embed_items(
            (Item(str(file), str(file)) for file in files), {"timed": encoder},
            Store(folder, create=True), progress=progress, batch_size=batch,
        )  # fmt: skip
        end = time.perf_counter()
    assert done.embedded == len(files), f"{done.embedded} of {len(files)}: {done.failures}"
    peak = torch.cuda.max_memory_allocated() / 2**20 if encoder._device.type == "cuda" else 0.0
    return Run(sustained(decoded), decoded[0] - start, end - start, max(host), round(peak))


@contextmanager
def _host_memory() -> Iterator[list[float]]:
    """Gather the memory of this process and those that it started, MiB, twice a second."""
    found, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            found.append(sum(map(_resident_mib, [os.getpid(), *_children(os.getpid())])))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task")
    try:
        lists = [(thread / "children").read_text() for thread in threads.iterdir()]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def _resident_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:  # it has ended
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class _Files(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, files: Sequence[Path], transform: Callable[[Any], torch.Tensor]) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[i]))


def loop(files: Sequence[Path], encoder: Network, model: Any) -> float:
    """Return the images a second of open_clip's own loop, in the encoder's precision."""
    import open_clip

    spec, device = encoder.spec, encoder._device
    transform = open_clip.image_transform(
        spec.input_px[0], is_train=False, mean=spec.mean, std=spec.std, resize_mode=spec.resize,
        interpolation=spec.interpolation,
    )  # fmt: skip
    size, on_gpu = min(LOOP_BATCH, len(files) // 8), device.type == "cuda"
    loader = torch.utils.data.DataLoader(
        _Files(files, transform), size, num_workers=CORES, pin_memory=on_gpu
    )
    found, times = [], []
    with torch.inference_mode():
        for batch in loader:
            x = batch.to(device, non_blocking=True).to(encoder._dtype)
            found.append(model(x).float().cpu())
            times.append(time.perf_counter())
    assert sum(map(len, found)) == len(files)
    return sustained(times, size)
