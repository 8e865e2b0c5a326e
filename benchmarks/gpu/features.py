"""Checks of forward passes and of `embed`, against the CPU and against themselves."""

from __future__ import annotations

import hashlib
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu import images
from gpu.bench import Bench, Row
from gpu.networks import name_of
from xprobe.base.errors import XprobeError
from xprobe.encoders.fast.cuda_graphs import on_cuda
from xprobe.encoders.load import load
from xprobe.encoders.network import Network
from xprobe.features import embed as extract
from xprobe.features.items import Item
from xprobe.features.lane import Embedded
from xprobe.features.store import Store
from xprobe.images.decode import decode

UNIT_ROUNDOFF = {"fp16": 2.0**-11, "bf16": 2.0**-8}
FP32_BOUND = 2e-5
FP32_REASON = (
    "TensorFloat-32 off; fp32 sums of a thousand products differ by their order, some 1e-6 of the "
    "largest value; TensorFloat-32 would differ by some 1e-4"
)
THREADS = 4  # of `embed` in checks, so that it decodes in processes beside it

Features = np.ndarray


# --- towers --------------------------------------------------------------------------------


def towers(bench: Bench, family: str) -> None:
    """Compare each precision of a network with the CPU's fp32, and graphs with eager passes."""
    name = name_of(bench, family)
    reference = load(name, "cpu", random_weights=True)
    n = 8 if bench.quick else 24
    pixels = np.stack([reference.see(images.photograph(256, i)) for i in range(n)])
    expected = np.concatenate([reference.forward(pixels[i : i + 8]) for i in range(0, n, 8)])
    networks: dict[str, Network] = {}
    for precision in ("bf16", "fp16"):
        with bench.row(f"{precision} loads with the CPU's weights") as row:
            encoder = network(name, bench.device, precision)
            row.holds("same weights", encoder.spec.weights == reference.spec.weights)
            row.values["d"] = encoder.spec.dim
            if isinstance(encoder.reference, Network):
                networks["fp32"] = encoder.reference
            networks[precision], encoder.reference = encoder, None
    for precision in ("fp32", "bf16", "fp16"):
        with bench.row(f"{precision} against the CPU's fp32") as row:
            found = networks[precision].forward(pixels)
            compare(row, found, expected, *bound_of(networks[precision], precision))
    for precision in ("fp32", "bf16", "fp16"):
        with bench.row(f"{precision}, graph against eager") as row:
            bench.needs_cuda()
            _compare_graph(row, networks[precision], pixels)


def network(name: str, device: str, precision: str, **options: Any) -> Network:
    """Return a network with random weights."""
    encoder = load(name, device, precision, random_weights=True, **options)
    assert isinstance(encoder, Network)
    return encoder


def bound_of(encoder: Network, precision: str) -> tuple[float, str]:
    """Return by how much features may be off, of their length, and why."""
    if precision == "fp32":
        return FP32_BOUND, FP32_REASON
    kinds = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.MultiheadAttention)
    layers = sum(isinstance(part, kinds) for part in encoder._module.modules())
    bound = UNIT_ROUNDOFF[precision] * math.sqrt(layers)
    return bound, (
        f"each of {layers} layers rounds some four times, by half a unit roundoff in the mean, "
        f"which adds up as a random walk"
    )


def compare(row: Row, found: Features, expected: Features, bound: float, reason: str) -> None:
    """Hold features (n, d) to others: least cosine, as they are and without their mean.

    Features of random weights are nearly the same for all images: without the mean, the cosine
    tells whether a row is of its own image at all.
    """
    x, y = found.astype(np.float64), expected.astype(np.float64)
    centre = y.mean(axis=0)
    length = np.linalg.norm(y, axis=1)
    spread = float((np.linalg.norm(y - centre, axis=1) / length).min())
    row.at_least("least cosine", _cosine(x, y), 1 - max(bound**2, 1e-9))
    centred = max(0.5, 1 - (bound / spread) ** 2)
    row.at_least("least cosine without the mean", _cosine(x - centre, y - centre), centred)
    row.at_most("largest difference", float(np.abs(x - y).max() / np.abs(y).max()), 2 * bound)
    row.notes.append(f"differences are shares of the largest value; {reason}")


def _cosine(x: Features, y: Features) -> float:
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return float(((x * y).sum(axis=1) / lengths).min())


def _compare_graph(row: Row, encoder: Network, pixels: Features) -> None:
    """Hold graphs to eager passes, to the bit, recorded as in `embed`: by another thread."""
    x, y = (torch.from_numpy(part).to("cuda") for part in (pixels, pixels[::-1].copy()))
    with torch.inference_mode():
        on_cuda(encoder._computed, x)(x)  # says why, where `embed` would go on without a graph
        eager = encoder._computed(x), encoder._computed(y)

        def forward(batch: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode():
                return encoder._features(batch).cpu()

        for batch in (x, x):
            with ThreadPoolExecutor(1) as pool:
                pool.submit(forward, batch).result()
        replayed = forward(x), forward(y)
    row.holds("recorded", encoder._features._replay is not None)  # type: ignore[union-attr]
    same = all(torch.equal(a, b.cpu()) for a, b in zip(replayed, eager, strict=True))
    off = max(float((a - b.cpu()).abs().max()) for a, b in zip(replayed, eager, strict=True))
    row.values["largest difference"] = off
    row.holds("equal bits", same)
    row.notes.append("the same kernels in the same order")


# --- batches -------------------------------------------------------------------------------


def embedded(
    files: Sequence[Path], encoder: Network, folder: Path, **options: Any
) -> tuple[Embedded, Features]:
    """Embed files into a store, and return what was done and the features in their order."""
    store = Store(folder, create=True)
    items = [Item(str(file), str(file)) for file in files]
    options = {"workers": THREADS} | options
    (done,) = extract.embed_items(items, {"checked": encoder}, store, **options)
    return done, stored(files, encoder, store)


def stored(files: Sequence[Path], encoder: Network, store: Store) -> Features:
    """Return the features of files in a store."""
    index = store.index(store.encoders()[0])
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    rows: Features = index.stored_rows(digests, encoder.spec.dim)[np.arange(len(files))]
    return rows


def batches(bench: Bench, _argument: str) -> None:
    """Check that a feature depends neither on its place in a batch nor on a short last one."""
    encoder = network(name_of(bench, "ViT-B/32"), bench.device, "bf16")
    reference, encoder.reference = encoder.reference, None
    files = images.pictures(bench.folder / "batches", 40)
    pixels = np.stack([encoder.see(decode(file)) for file in files])
    for precision, own in (("bf16", encoder), ("fp32", reference)):
        assert isinstance(own, Network)
        with bench.row(f"{precision}: a feature's place in a batch") as row:
            order = np.random.default_rng(0).permutation(32)
            straight, mixed = own.forward(pixels[:32]), own.forward(pixels[:32][order])
            _equal(row, mixed, straight[order])
    with bench.row("a short last batch") as row:
        whole = np.concatenate([encoder.forward(pixels[:16]), encoder.forward(pixels[16:32])])
        last = encoder.forward(pixels[24:40])[8:]
        options: dict[str, Any] = {"batch_size": 16, "workers": 1}
        done, found = embedded(files, encoder, bench.folder / "short", **options)
        row.values["embedded"] = done.embedded
        _equal(row, found, np.concatenate([whole, last]))
    with bench.row("order, threads and processes that decode") as row:
        options = {"batch_size": 16}
        _, other = embedded(files[::-1], encoder, bench.folder / "threads", **options)
        _equal(row, other[::-1], found)
    with bench.row("cosine to the reference is kept") as row:
        encoder.reference = reference
        done, _ = embedded(files, encoder, bench.folder / "compared", batch_size=16)
        bound = bound_of(encoder, "bf16")[0]
        row.at_least("cosine", float(done.cosine_to_reference or 0), 1 - bound**2)


def _equal(row: Row, found: Features, expected: Features) -> None:
    row.values["largest difference"] = float(np.abs(found - expected).max())
    row.holds("equal bits", np.array_equal(found, expected))
    row.notes.append("of batches of one size a row depends on its image alone")


def memory(bench: Bench, _argument: str) -> None:
    """Embed with batches that do not fit into the memory that is allowed: they are halved."""
    with bench.row("a batch that does not fit is halved") as row:
        bench.needs_cuda()
        encoder = network(name_of(bench, "ViT-B/32"), bench.device, "fp32")
        files = images.pictures(bench.folder / "memory", 64)
        pixels = np.stack([encoder.see(decode(file)) for file in files])
        expected = encoder.forward(pixels)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        encoder.forward(np.concatenate([pixels] * 4))
        a_batch = torch.cuda.max_memory_allocated() - before  # of 256
        encoder._features._shape, encoder._features._replay = (), None  # type: ignore[union-attr]
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        allowed = torch.cuda.memory_allocated() + 3 * a_batch
        torch.cuda.set_per_process_memory_fraction(allowed / total)
        done, found = embedded(files, encoder, bench.folder / "halved", batch_size=2048)
        row.values |= {"allowed MiB": round(allowed / 2**20), "asked": done.asked_batch_size}
        row.at_most("batch size in the end", done.batch_size, 1024)
        row.values["embedded"] = done.embedded
        compare(row, found, expected, FP32_BOUND, FP32_REASON)
        row.notes.append("other batch sizes differ in their last bits")


# --- killed --------------------------------------------------------------------------------


def killed(bench: Bench, _argument: str) -> None:
    """Kill `embed` with SIGKILL between its first and its last shard, and finish it."""
    n = 60 if bench.quick else 400
    files = images.pictures(bench.folder / "killed", n)
    encoder = network(name_of(bench, "ViT-B/32"), bench.device, "bf16")
    encoder.reference = None
    _, whole = embedded(files, encoder, bench.folder / "undisturbed", batch_size=8)
    with bench.row("embed killed and run again") as row:
        store = bench.folder / "killed-store"
        before = _killed(bench, store)
        row.values["rows when it was killed"] = before
        row.holds("killed in the middle", 0 < before < n)
        done, found = embedded(files, encoder, store, batch_size=8)
        row.holds("only the rest was embedded", done.embedded == n - before)
        _equal(row, found, whole)


def _killed(bench: Bench, folder: Path) -> int:
    """Start to embed in another process, kill it after its first shard, and count the rows."""
    script = Path(__file__).parents[1] / "bench_gpu.py"
    command = [sys.executable, str(script), "--part", "embed slowly", "--work", str(bench.folder),
               "--device", bench.device, "--seconds", "90"]  # fmt: skip
    child = subprocess.Popen(command + ["--quick"] * bench.quick)
    try:
        end = time.monotonic() + 80
        while time.monotonic() < end and child.poll() is None and not _rows(folder):
            time.sleep(0.1)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    return _rows(folder)


def _rows(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    try:
        store = Store(folder)
    except XprobeError:  # it is being created
        return 0
    return sum(len(store.index(encoder).rows) for encoder in store.encoders())


def embed_slowly(bench: Bench, _argument: str) -> None:
    """Embed the pictures of `killed`, ever more slowly, so that there is time to be killed."""
    files = sorted((bench.folder / "killed").iterdir())
    encoder = network(name_of(bench, "ViT-B/32"), bench.device, "bf16")
    encoder.reference = None
    first = len(files) * 2 // 5

    def items() -> Iterator[Item]:
        for number, file in enumerate(files):
            if number == first:
                time.sleep(2.5)  # a shard is written of what is two seconds old
            elif number > first:
                time.sleep(0.1)
            yield Item(str(file), str(file))

    store = Store(bench.folder / "killed-store", create=True)
    extract.embed_items(items(), {"checked": encoder}, store, batch_size=8, workers=THREADS)
