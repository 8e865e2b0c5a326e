"""How fast decoding alone is; without torch, so that a process for each core starts soon."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np

from gpu import images
from gpu.bench import CORES, Bench
from xprobe.base import documents
from xprobe.encoders.base import FAST, Encoder
from xprobe.images.decode import decode


def decoding(bench: Bench, encoder: Encoder, kind: str) -> tuple[float, float]:
    """Return images a second that one core decodes and resizes, and all cores together."""
    spec = encoder.spec
    view = [spec.input_px, spec.resize, spec.interpolation, spec.resize_px, spec.resampling]
    file = bench.folder / "decoding.json"
    known = json.loads(file.read_text()) if file.is_file() else {}
    key = json.dumps([kind, view])
    if key not in known:
        (bench.folder / "spec.pkl").write_bytes(pickle.dumps(documents.replace(spec, codec="")))
        with _decoders(bench, 1 if bench.quick else CORES) as decoders:
            known[key] = _rate(kind, decoders[:1]), _rate(kind, decoders)
        file.write_text(json.dumps(known))
    one, every = known[key]
    return one, every


@contextmanager
def _decoders(bench: Bench, cores: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that decode when they are asked to, each on one core as those of `embed`."""
    script = Path(__file__).parents[1] / "bench_gpu.py"
    command = [sys.executable, str(script), "--part", "decode alone", "--work", str(bench.folder),
               "--device", "cpu", "--seconds", "60"]  # fmt: skip
    command += ["--quick"] * bench.quick
    environment = {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1", "CUDA_VISIBLE_DEVICES": ""}
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as quiet:
        processes = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=quiet, text=True,
                             env=os.environ | environment)
            for _ in range(cores)
        ]  # fmt: skip
        try:
            for process in processes:
                cast(IO[str], process.stdout).readline()  # it is ready
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _rate(kind: str, processes: list[subprocess.Popen[str]]) -> float:
    """Return how many images a second processes decode that begin at once."""
    for number, process in enumerate(processes):
        requests = cast(IO[str], process.stdin)
        requests.write(f"{kind} {number} {len(processes)}\n")
        requests.flush()
    return sum(float(cast(IO[str], process.stdout).readline()) for process in processes)


class _Preprocessor(Encoder):
    """An encoder without its network, which only preprocesses images."""

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def decode_alone(bench: Bench, _argument: str) -> None:
    """Decode for a second whenever asked to, and print the rate."""
    encoder = _Preprocessor()
    encoder.spec = pickle.loads((bench.folder / "spec.pkl").read_bytes())
    if encoder.spec.resampling == FAST:
        import torch  # noqa: F401  # Resizing would import it while time is taken.
    print("ready", flush=True)
    for line in sys.stdin:
        kind, number, cores = line.split()
        files = sorted((images.home(bench) / kind).iterdir())[:4096][int(number) :: int(cores)]
        encoder.see(decode(files[0].read_bytes()))  # chooses a decoder
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < (0.1 if bench.quick else 1.5):
            encoder.see(decode(files[n % len(files)].read_bytes()))
            n += 1
        print(n / (time.perf_counter() - start), flush=True)
