"""Fine-tunes: the device against the CPU, resumed, compiled, side by side; and their pace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import bench_finetune
import numpy as np
import torch

from gpu import images
from gpu.bench import Bench, Row
from gpu.features import network
from gpu.networks import name_of
from xprobe.design.config import Grid, SweepConfig
from xprobe.encoders.network import Network
from xprobe.engine.execution import Execution
from xprobe.features.config import EmbedConfig
from xprobe.features.embed import embed_all
from xprobe.features.store import Store
from xprobe.images import read
from xprobe.images.augment import Augmentation
from xprobe.learners.finetune.classifier import HeadStart
from xprobe.learners.finetune.job import Job, Outcome, Setup
from xprobe.learners.finetune.order import draw_order
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.finetune.training import fine_tune
from xprobe.results.predictions import load_predictions
from xprobe.study.sweep import sweep

K, STEPS, SIZE = 4, 6, 16
RECIPE = Recipe(method="full", batch_size=SIZE, lr=1e-4, layer_decay=1.0, epochs=2)
TF32 = "TensorFloat-32 on in convolutions, as PyTorch has it, off in products"
# Log-probabilities after six steps, which move them by one or two. AdamW's first steps are of one
# length whatever the gradient's, so where that is next to 0 rounding decides on a direction.
BOUND = {"fp32": 0.05, "bf16": 0.3}


class Study:
    """A few pictures in memory and what is trained on them."""

    def __init__(self, encoder: Network, steps: int = STEPS, size: int = SIZE) -> None:
        n, rng = 4 * size, np.random.default_rng(0)
        self.label = np.arange(n) % K
        height, width = encoder.spec.input_px
        self.pixels = rng.integers(0, 200, (n, height, width, 3), dtype=np.uint8)
        for k in range(K):  # a class has a corner of its own
            rows, columns = k // 2 * height // 2, k % 2 * width // 2
            self.pixels[self.label == k, rows : rows + height // 4, columns : columns + 8] = 255
        order = draw_order(np.arange(n), np.arange(0), steps, replace(RECIPE, batch_size=size), rng)
        validation, test = np.arange(n // 2), np.arange(n)
        weight = rng.normal(scale=0.1, size=(K, encoder.spec.dim)).astype(np.float32)
        self.head = HeadStart(weight, np.zeros(K, dtype=np.float32), unit=False)
        self.job = Job(order, self.label, np.ones(n), validation, test, K, 0, "gpu")

    def tune(
        self,
        encoder: Network,
        recipe: Recipe,
        device: str,
        place: Path,
        augmentation: Augmentation | None = None,
        **more: Any,
    ) -> Outcome:
        """Fine-tune from the encoder; without a checkpoint unless one is asked for."""
        more = {"checkpoint_s": np.inf} | more
        setup = Setup(encoder, self.head, self.pixels, self.job, recipe, device, augmentation)
        return fine_tune(setup, place, **more)


# --- checks --------------------------------------------------------------------------------


def check(bench: Bench, _argument: str) -> None:
    """Compare what short fine-tunes score with the CPU's in fp32."""
    place = bench.folder / "none.pt"
    for what in ("fine-tune", "timm CNN"):
        encoders = {device: network(name_of(bench, what), device, "fp32", trainable=True)
                    for device in dict.fromkeys(("cpu", bench.device))}  # fmt: skip
        study = Study(encoders["cpu"])
        methods = ("full", "lora") if what == "fine-tune" else ("full",)
        for method in methods:
            recipe = replace(RECIPE, method=method, start="random", precision="fp32")
            expected = study.tune(encoders["cpu"], recipe, "cpu", place).score
            for precision in ("fp32", "bf16"):
                with bench.row(f"{what}, {method}, {precision} against the CPU's fp32") as row:
                    own = replace(recipe, precision=precision)
                    outcome = study.tune(encoders[bench.device], own, bench.device, place)
                    row.values["steps"] = outcome.steps
                    compare(row, outcome.score, expected, BOUND[precision])


def compare(row: Row, score: np.ndarray, expected: np.ndarray, bound: float) -> None:
    """Hold log-probabilities to others."""
    off = float(np.abs(score - expected).max())
    row.at_most("largest difference of log-probabilities", off, bound)
    row.notes.append(f"{TF32}; training moves them by one or two; where a gradient is next to 0")
    row.notes.append("rounding decides which way AdamW's first steps go, whatever its size")


class _KilledError(BaseException):
    """As by a signal."""


def resumed(bench: Bench, _argument: str) -> None:
    """Break a fine-tune off, go on from its checkpoint, and compare with one that was not."""
    encoder = network(name_of(bench, "fine-tune"), bench.device, "fp32", trainable=True)
    study = Study(encoder)

    def broken_off(n: int) -> None:
        nonlocal made
        made += n
        if made >= STEPS // 2 + 1:
            raise _KilledError

    for name, deterministic, bound in (("--deterministic", True, 0.0), ("as it is", False, 0.15)):
        with bench.row(f"resumed from a checkpoint, {name}") as row:
            recipe = replace(RECIPE, ema=0.5, deterministic=deterministic)
            augmentation = Augmentation("flip", K)
            place = bench.folder / f"resumed-{deterministic}.pt"
            arguments = (encoder, recipe, bench.device, place)
            whole = study.tune(*arguments, augmentation=augmentation)
            made = 0
            try:
                study.tune(*arguments, augmentation=augmentation, advance=broken_off,
                           checkpoint_s=0.0)  # fmt: skip
            except _KilledError:
                row.holds("broken off with a checkpoint", place.is_file())
            again = study.tune(*arguments, augmentation=augmentation)
            compare(row, again.score, whole.score, bound)
            row.notes.append(
                "the state is whole, so to the bit" if deterministic else
                "attention's gradients are summed in any order"
            )  # fmt: skip


def compiled(bench: Bench, _argument: str) -> None:
    """Compare fine-tunes by torch.compile with those without."""
    for precision in ("fp32", "bf16"):
        with bench.row(f"compiled, {precision} against eager") as row:
            bench.needs_cuda()  # on a CPU it needs a compiler of C++
            encoder = network(name_of(bench, "small"), bench.device, "fp32", trainable=True)
            study, place = Study(encoder), bench.folder / "none.pt"
            recipe = replace(RECIPE, precision=precision)
            eager = study.tune(encoder, recipe, bench.device, place).score
            own = study.tune(encoder, replace(recipe, compile=True), bench.device, place)
            row.values["gpu MiB"] = own.curve[-1]["gpu_mib"]
            compare(row, own.score, eager, BOUND[precision])


def concurrent(bench: Bench, _argument: str) -> None:
    """Sweep fine-tunes on files, one and two at a time, through the store and the pixel cache."""
    data, folder = bench.folder / "study", bench.folder
    for number in range(36):
        source = "real" if number < 12 else "synthetic"
        file = data / source / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        images.photograph(64, number).save(file)
    name = name_of(bench, "small")
    manifest = read.read(data)
    recipe = Recipe(epochs=2, batch_size=4, lr=1e-4, layer_decay=1.0, precision="fp32",
                    deterministic=True)  # fmt: skip
    config = SweepConfig(ratios=(1,), repeats=1, folds=2, inner_folds=2, recipe=recipe)
    scores: dict[int, dict[str, np.ndarray]] = {}
    with bench.row("embed, then two fine-tunes at a time against one") as row:
        options, on_device = EmbedConfig(random_weights=True), Execution(device=bench.device)
        embed_all(manifest, [name], folder / "features", options, on_device)
        for at_once in (1, 2):
            out = folder / f"results-{at_once}"
            execution = Execution(device=bench.device, concurrent=at_once)
            store = Store(folder / "features")
            sweep(manifest, store, out, config, Grid(heads=["finetune"]), execution)
            scores[at_once] = dict(_scores(out))
        row.holds("the same fine-tunes", set(scores[1]) == set(scores[2]) and bool(scores[1]))
        row.values["fine-tunes"] = 2 * len(scores[1])
        off = max(float(np.abs(scores[2][run] - own).max()) for run, own in scores[1].items())
        row.at_most("largest difference of log-probabilities", off, 1e-4)
        row.notes.append("the same kernels on a GPU; on a CPU other numbers of threads")


def _scores(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for file in (folder / "predictions").rglob("*.npz"):
        loaded = load_predictions(folder, file.stem)
        assert loaded is not None
        yield file.stem, loaded[0].score


# --- measures ------------------------------------------------------------------------------


def pace(bench: Bench, _argument: str) -> None:
    """Race fine-tunes and a bare torch loop, one and two processes of each at a time."""
    script = Path(__file__).parents[1] / "bench_gpu.py"
    command = [sys.executable, str(script), "--part", "train alone", "--work", str(bench.folder),
               "--device", bench.device, "--seconds", str(bench.left_s)]  # fmt: skip
    with _jobs(command + ["--quick"] * bench.quick, 2) as jobs:
        for at_once in (1, 2):
            with bench.row(f"fine-tune, {at_once} at a time, against a bare loop") as row:
                rates: dict[str, list[float]] = {"xprobe": [], "bare": []}
                rounds = 1 if bench.quick else 3
                for number in range(rounds):
                    if number and bench.left_s < 15:
                        break
                    for who in rates:
                        asked = [_ask(job, who) for job in jobs[:at_once]]
                        rates[who].append(sum(answer()["images/s"] for answer in asked))
                medians = {who: float(np.median(own)) for who, own in rates.items()}
                row.values |= {f"{who}, images/s": rate for who, rate in medians.items()}
                row.values["rounds"] = len(rates["bare"])
                share = medians["xprobe"] / medians["bare"]
                row.values["share"] = share
                row.target(
                    f"fine-tune, {at_once} at a time: share of a bare loop's pace", 0.9, share
                )


@contextmanager
def _jobs(command: list[str], n: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that train when they are asked to."""
    pipe = subprocess.PIPE
    jobs = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(n)]
    try:
        for job in jobs:
            _answer(job)
        yield jobs
    finally:
        for job in jobs:
            job.kill()
            job.wait()


def _ask(job: subprocess.Popen[str], who: str) -> Callable[[], dict[str, float]]:
    requests = cast(IO[str], job.stdin)
    requests.write(f"{who}\n")
    requests.flush()
    return lambda: _answer(job)


def _answer(job: subprocess.Popen[str]) -> dict[str, float]:
    for line in cast(IO[str], job.stdout):
        if line.startswith("{"):
            found: dict[str, float] = json.loads(line)
            return found
    raise RuntimeError("a process that trains ended")


def train_alone(bench: Bench, _argument: str) -> None:
    """Answer each line of the standard input with the rate of a fine-tune, or of a bare loop."""
    encoder = network(name_of(bench, "fine-tune pace"), bench.device, "fp32", trainable=True)
    steps, size = (2, 8) if bench.quick else (40, 64)
    study = Study(encoder, steps, size)
    study.job = replace(study.job, validation=np.arange(0), test=np.arange(1))
    recipe = replace(RECIPE, batch_size=size)
    place = bench.folder / "none.pt"
    x = torch.from_numpy(np.moveaxis(study.pixels, -1, 1).copy())

    def seconds(who: str) -> float:
        if who == "bare":
            arguments = (encoder, study.head, x, study.job, recipe.lr, bench.device)
            return bench_finetune.bare(*arguments)
        return bench_finetune.ours(
            lambda advance: study.tune(encoder, recipe, bench.device, place, advance=advance), steps
        )

    for who in ("bare", "xprobe"):
        seconds(who)  # loads libraries and chooses kernels
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps({"images/s": steps * size / seconds(line.strip())}), flush=True)
