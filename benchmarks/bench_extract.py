"""How near to the limit of the machine does `xprobe embed` come, and how much faster is it?

    python benchmarks/bench_extract.py [--quick] [--memory 100000] [--plot FILE] [--encoders …]

Photographs (scikit-learn's two, cut, scaled and with noise) of 1024 pixels as PNG and as JPEG, of
256 and of 64 pixels as JPEG, on disk; encoders with random weights, whose speed is that of trained
ones. First the features are compared with the upstream library's on Pillow's pixels. Then the
contenders alternate in one run, each from files to features in memory or on disk, and medians are
shown:

- ``limit``: what a perfect program would take on all cores: (CPU time of decoding and resizing one
  image + CPU time of its forward pass, each measured alone in one thread) / cores. The decoder and
  the forward pass are the fastest exact ones that were found (docs/concepts/extraction.md),
  xprobe's own;
- ``xprobe``: `extract.embed_items` into a new store, receipts and checksums included;
- ``open_clip, w workers``: the loop of its README: DataLoader, its own transform, float32, batches
  of 32, as many threads as torch takes by itself;
- ``transformers``: CLIPImageProcessor and CLIPVisionModelWithProjection, batches of 32.

``wall / limit`` is 1 for a perfect program. A ratio of another tool is its seconds over xprobe's:
above 1, xprobe is faster. clip-retrieval and thingsvision pin other versions of torch and are not
measured. With a GPU xprobe computes in bf16, and the limit is the forward pass on images that are
there already, or the decoding on all cores, whichever is slower.

``--memory n``: only embed a thousand, ten thousand and n small images with a tiny encoder, each in
a new process, and show peak memory, rate at the start and at the end, and the time to the first
batch.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from racing import race

from xprobe.encoders import load as encoders
from xprobe.encoders.fast.onednn import pack
from xprobe.features import embed as extract
from xprobe.features.items import Item
from xprobe.features.store import Store
from xprobe.images.decode import decode, decode_by_pillow

QUESTION = "How near to the limit of the machine does xprobe embed come?"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
INPUTS = {"png1024": (1024, "png"), "jpg1024": (1024, "jpg"), "jpg256": (256, "jpg"),
          "jpg64": (64, "jpg")}  # fmt: skip
LIMIT = {"png1024": 1.15, "jpg1024": 1.10, "jpg256": 1.10, "jpg64": 1.10}  # asked, ViT-B/32
OPEN_CLIP = {"png1024": 1.3, "jpg1024": 1.2, "jpg256": 1.2, "jpg64": 1.2}
GFLOP = {"ViT-B-32": 8.8, "ViT-B-16": 35.1, "ViT-L-14": 162.0}  # an image, whole upstream forward
BATCH = 32
STARTED = time.perf_counter()


# --- images --------------------------------------------------------------------------------


def photographs(folder: Path, px: int, kind: str, n: int) -> list[Path]:
    """Write n pictures of px × px pixels and return their files."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(px)
    sources = [Image.fromarray(image) for image in load_sample_images().images]
    files = []
    for i in range(n):
        source = sources[i % len(sources)]
        side = int(rng.integers(200, 400))
        left, top = (int(rng.integers(0, most - side)) for most in source.size)
        box = (left, top, left + side, top + side)
        picture = np.asarray(
            source.resize((px, px), Image.Resampling.BICUBIC, box=box), dtype=float
        )
        picture += rng.normal(0, 4, picture.shape)  # as a sensor has
        file = folder / f"{px}-{i}.{kind}"
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        image.save(file, quality=90) if kind == "jpg" else image.save(file)
        files.append(file)
    return files


# --- contenders ----------------------------------------------------------------------------


def ours(files: list[Path], encoder: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = (Item(str(file), str(file)) for file in files)
        (done,) = extract.embed_items(images, {"own": encoder}, Store(folder, create=True))
        assert done.embedded == len(files)


class Files(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, files: list[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[i]))


def open_clip_loop(
    files: list[Path], model: Any, transform: Any, device: str, workers: int
) -> np.ndarray:
    loader = torch.utils.data.DataLoader(Files(files, transform), BATCH, num_workers=workers)
    with torch.inference_mode():
        found = [model(batch.to(device)).float().cpu() for batch in loader]
    return torch.cat(found).numpy()


def transformers_loop(files: list[Path], model: Any, processor: Any, device: str) -> None:
    with torch.inference_mode():
        for start in range(0, len(files), BATCH):
            pictures = [Image.open(file).convert("RGB") for file in files[start : start + BATCH]]
            batch = processor(images=pictures, return_tensors="pt").to(device)
            model(**batch).image_embeds.cpu()


def transformers_model(name: str) -> tuple[Any, Any]:
    """Return the same architecture with random weights, and its processor."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    patch = int(name.rsplit("-", 1)[1])
    size: dict[str, int] = {}
    if name.startswith("ViT-L"):
        size = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
                "num_attention_heads": 16}  # fmt: skip
    torch.manual_seed(0)
    config = CLIPVisionConfig(patch_size=patch, projection_dim=512, **size)
    return CLIPVisionModelWithProjection(config).eval(), CLIPImageProcessor()


# --- limits --------------------------------------------------------------------------------


def alone(work: Callable[[], Any], rounds: int = 5) -> float:
    """Return the median CPU seconds of some work in one thread of linear algebra."""

    def timed() -> float:
        torch.set_num_threads(1)
        start = time.thread_time()
        work()
        return time.thread_time() - start

    with ThreadPoolExecutor(1) as pool:  # a thread of its own keeps the others' number of threads
        return statistics.median(pool.submit(timed).result() for _ in range(rounds))


def decode_cpu_s(files: list[Path], encoder: Any) -> float:
    contents = [file.read_bytes() for file in files[:16]]
    return alone(lambda: [encoder.see(decode(c)) for c in contents]) / len(contents)


def forward_cpu_s(encoder: Any, n: int) -> float:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, *encoder.spec.input_px, 3), dtype=np.uint8)
    encoder.forward(pixels)
    return alone(lambda: encoder.forward(pixels)) / n


def forward_gpu_s(encoder: Any, n: int) -> float:
    """Return the seconds an image of batches that are on the device already."""
    batch = torch.zeros(n, *encoder.spec.input_px, 3, dtype=torch.uint8, device="cuda")
    with torch.inference_mode():
        for _ in range(3):  # to record it
            encoder._features(batch)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(20):
            encoder._features(batch)
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / 20 / n


def peak_gflops() -> float:
    """Return what one core does in a large matrix product, GFlop/s of CPU time.

    The faster of PyTorch's BLAS and oneDNN from weights laid out before.
    """
    a, layer = torch.randn(2048, 2048), torch.nn.Linear(2048, 2048).requires_grad_(False)
    blas = alone(lambda: a @ a)
    pack(layer, [])
    return 2 * 2048**3 / min(blas, alone(lambda: layer(a))) / 1e9


# --- the race ------------------------------------------------------------------------------


def check(
    files: list[Path], encoder: Any, model: Any, transform: Any, device: str
) -> dict[str, float]:
    """Return how far features are from the upstream library's, through embed and a store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, create=True)
        extract.embed_items([Item(str(file), str(file)) for file in files], {"own": encoder}, store)
        index = store.index(store.encoders()[0])
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        x = index.stored_rows(digests, encoder.spec.dim)[np.arange(len(files))]
    y = open_clip_loop(files, model, transform, device, 0)
    off = float(np.abs(x - y).max() / np.abs(y).max())
    cosine = float(((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)).min())
    same = all(
        np.array_equal(np.asarray(decode(c)), np.asarray(decode_by_pillow(c)))
        for c in (file.read_bytes() for file in files)
    )
    return {"largest difference": off, "least cosine": cosine, "pixels equal": float(same)}


def measured(
    name: str, kinds: list[str], n: int, rounds: int, peers: bool, device: str
) -> Iterator[dict[str, Any]]:
    """Yield a row for each kind of input of an encoder."""
    import open_clip

    on_cpu = device == "cpu"
    precision = "fp32" if on_cpu else "bf16"
    encoder = encoders.load(f"open_clip:{name}", device, precision, random_weights=True)
    encoder.reference = None  # a comparison of the first images, which has no part in a rate
    upstream = encoders.load(f"open_clip:{name}", device, random_weights=True, trainable=True)
    model = upstream.module
    size = encoder.spec.input_px[0]
    transform = open_clip.image_transform(
        size, is_train=False, mean=encoder.spec.mean, std=encoder.spec.std
    )
    if peers:
        hf_model, hf_processor = transformers_model(name)
        hf = hf_model.to(device), hf_processor

    def forward_now() -> float:
        return (forward_cpu_s if on_cpu else forward_gpu_s)(encoder, encoder.auto_batch_size)

    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            files = photographs(Path(folder), *INPUTS[kind], n)
            off = check(files[:16], encoder, model, transform, device)
            contenders: dict[str, Callable[[], Any]] = {"xprobe": partial(ours, files, encoder)}
            if peers:
                loop = partial(open_clip_loop, files, model, transform, device)
                contenders |= {f"open_clip, {w} workers": partial(loop, w) for w in (0, CORES)}
                contenders["transformers"] = partial(transformers_loop, files, *hf, device)
            before = forward_now(), decode_cpu_s(files, encoder)
            taken = race(contenders, rounds)
            after = forward_now(), decode_cpu_s(files, encoder)
            # The machine's speed drifts: the limit is that of the time of the race.
            forward, decoding = ((b + a) / 2 for b, a in zip(before, after, strict=True))
        each = (decoding + forward) / CORES if on_cpu else max(decoding / CORES, forward)
        limit = each * n
        row: dict[str, Any] = {"encoder": name, "input": kind, "n": n, "limit_s": limit, **off}
        row |= {"decode_cpu_ms": decoding * 1e3, "forward_ms": forward * 1e3}
        for who, s in taken.items():
            row[f"{who}, images/s"] = n / s
        row["wall / limit"] = taken["xprobe"] / limit
        loops = [s for who, s in taken.items() if who.startswith("open_clip")]
        if loops:
            row["× open_clip"] = min(loops) / taken["xprobe"]
            row["× transformers"] = taken["transformers"] / taken["xprobe"]
        print("; ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
                        for k, v in row.items()), flush=True)  # fmt: skip
        yield row


# --- memory --------------------------------------------------------------------------------

CHILD = """
import sys, time
start = time.perf_counter()
from pathlib import Path
from xprobe.features import embed as extract, items
from xprobe.images import read as manifest
from xprobe.encoders.load import load
from xprobe.features.store import Store
encoder = load("pixels")
loaded = time.perf_counter()
if sys.argv[1].endswith(".txt"):
    images = items.items_in(sys.argv[1])
else:
    images = items.items_of(manifest.read(sys.argv[1], whole=False, hashed=False))
first, marks, seen, every = [], [], [0], int(sys.argv[3]) // 20
from contextlib import contextmanager
@contextmanager
def progress(title, total):
    def advance(n):
        seen[0] += n
        if not first: first.append(time.perf_counter() - loaded)
        if seen[0] >= every * (len(marks) + 1):
            status = Path("/proc/self/status").read_text()
            rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
            marks.append((seen[0], time.perf_counter() - loaded, rss))
    yield advance
(done,) = extract.embed_items(
    images, {"pixels": encoder}, Store(sys.argv[2], create=True), progress=progress)
status = Path("/proc/self/status").read_text()
import json
print(json.dumps({"n": done.embedded, "seconds": done.seconds, "first_s": first[0], "marks": marks,
    "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024}))
"""


def in_new_process(data: Path, out: Path, n: int) -> dict[str, Any]:
    command = [sys.executable, "-c", CHILD, str(data), str(out), str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def memory(n: int) -> list[dict[str, Any]]:
    """Embed a thousand, ten thousand and n small images of a list, and show memory and rates.

    And n of a folder, which is read before the first image and of which every name is kept.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        data = Path(folder) / "data"
        (data / "real/a").mkdir(parents=True)
        files = [data / f"real/a/{i}.jpg" for i in range(n)]
        for file in files:
            small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            small.resize((64, 64)).save(file)
        for size, kind in ((1000, "list"), (10_000, "list"), (n, "list"), (n, "folder")):
            given = data
            if kind == "list":
                given = Path(folder) / f"{size}.txt"
                given.write_text("".join(f"{file}\n" for file in files[:size]))
            row = {"input": kind} | in_new_process(given, Path(folder) / f"{kind}{size}", size)
            marks = row.pop("marks")
            half = len(marks) // 2
            row["rates"] = [round((b[0] - a[0]) / (b[1] - a[1])) for a, b in pairwise(marks)]
            row["rss_mib"] = [round(mark[2]) for mark in marks]
            row["first half / second half, images/s"] = (
                round(statistics.median(row["rates"][:half])),
                round(statistics.median(row["rates"][half:])),
            )
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


# --- the run -------------------------------------------------------------------------------


def target(name: str, asked: float, found: float, at_most: bool) -> dict[str, Any]:
    met = found <= asked if at_most else found >= asked
    sign = "<=" if at_most else ">="
    taken = time.perf_counter() - STARTED
    print(f"{taken:6.0f} s  {name:<52} asked {sign} {asked:<6g} measured {found:.4g}", flush=True)
    return {"name": name, "asked": f"{sign} {asked:g}", "measured": found, "met": bool(met)}


def judged(row: dict[str, Any], device: str) -> Iterator[dict[str, Any]]:
    what = f"{row['encoder']}, {row['input']}"
    if device != "cpu":
        is_bound = row["forward_ms"] * CORES > row["decode_cpu_ms"]
        asked = 0.85 if is_bound else 0.9
        yield target(f"{what}: share of the limit", asked, 1 / row["wall / limit"], False)
        if "× open_clip" in row:
            yield target(f"{what}: × the open_clip loop", 3, row["× open_clip"], False)
        return
    yield target(f"{what}: largest difference to upstream", 1e-5, row["largest difference"], True)
    if row["encoder"] == "ViT-B-32":
        yield target(f"{what}: wall / limit", LIMIT[row["input"]], row["wall / limit"], True)
    if "× open_clip" in row:
        asked = OPEN_CLIP[row["input"]] if row["encoder"] == "ViT-B-32" else 1.3
        yield target(f"{what}: × the open_clip loop", asked, row["× open_clip"], False)
        yield target(f"{what}: × the transformers loop", 1.15, row["× transformers"], False)


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw images per second of each contender, a panel an encoder."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["encoder"] for row in rows))
    figure = Figure(figsize=(3.4 * len(names) + 1, 3.4), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        own = [row for row in rows if row["encoder"] == name]
        shown = {
            "limit": [row["n"] / row["limit_s"] for row in own],
            "xprobe": [row["xprobe, images/s"] for row in own],
            "open_clip loop": [
                max(v for k, v in row.items() if k.startswith("open_clip, ")) for row in own
            ],
            "transformers loop": [row["transformers, images/s"] for row in own],
        }
        for i, (who, values) in enumerate(shown.items()):
            at = np.arange(len(own)) + 0.2 * (i - 1.5)
            ax.bar(at, values, width=0.18, label=who if ax is axes[0] else None,
                   color=("#bbbbbb", "#0072b2", "#e69f00", "#009e73")[i])  # fmt: skip
        ax.set_xticks(range(len(own)), [row["input"] for row in own])
        ax.set_title(name, loc="left", fontweight="bold", fontsize=9)
        ax.set_ylabel("images / s")
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4)
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="few images, to see that it works")
    parser.add_argument("--memory", type=int, default=0, help="only: so many small images")
    parser.add_argument("--plot", type=Path, help="draw the rates into this file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--encoders", nargs="+", default=list(GFLOP), choices=list(GFLOP))
    chosen = parser.parse_args()
    if chosen.memory:
        print(json.dumps({"question": QUESTION, "rows": memory(chosen.memory)}))
        return
    plan = {"ViT-B-32": (list(INPUTS), 256, 3), "ViT-B-16": (["jpg256"], 64, 3),
            "ViT-L-14": (["jpg256"], 32, 1)}  # fmt: skip
    if chosen.device != "cpu":
        plan = {name: (kinds, 4096, 3) for name, (kinds, _, _) in plan.items()}
    plan = {name: plan[name] for name in chosen.encoders}
    if chosen.quick:
        plan = {"ViT-S-32": (["jpg64"], 16, 1)}
    rows: list[dict[str, Any]] = []
    targets: list[dict[str, Any]] = []
    for name, (kinds, n, rounds) in plan.items():
        for row in measured(name, kinds, n, rounds, not chosen.quick, chosen.device):
            rows.append(row)
            targets += judged(row, chosen.device)
    if chosen.device == "cpu" and not chosen.quick:
        peak = peak_gflops()
        for name in plan:
            own = next(row for row in rows if row["encoder"] == name)
            share = GFLOP[name] / own["forward_ms"] * 1e3 / peak
            targets.append(target(f"{name}: share of the peak, forward pass", 0.85, share, False))
    if chosen.plot:
        plot(rows, chosen.plot)
    versions = ("xprobe", "torch", "open_clip_torch", "transformers", "Pillow", "numpy")
    document = {
        "question": QUESTION,
        "machine": f"{platform.machine()}, {CORES} cores",
        "versions": {name: importlib.metadata.version(name) for name in versions},
        "rows": rows,
        "targets": targets,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
