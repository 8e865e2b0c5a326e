"""What does xprobe add to the time that a service of generated images takes, and to the memory?

    python benchmarks/bench_generate.py [--quick]

A server on this machine, in a process of its own, speaks a service's protocol and answers each
request 50 ms after it came, with an image of its own. The real SDK asks it for 1,000 edits, eight
at a time; every request is written down before it leaves and after its answer, each line synced to
the disk, and every image is decoded to its end, kept, and entered into the table.

``ratio`` is the wall time over that of a client that costs nothing: requests ÷ 8 × 50 ms; asked:
1.15. ``memory`` is what the process's peak grows by from the first quarter of the requests to the
last, in MiB; asked: 20. ``cpu_ms`` is the processor time of the client for a request. The server
takes processor time of the same cores.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xprobe.generation.job import Job
from xprobe.generation.plan import Order, key_of
from xprobe.generation.registry import PROVIDERS, Access
from xprobe.generation.run import generate

QUESTION = "What does xprobe add to the time and the memory that a service of images takes?"
DELAY_S, CONCURRENCY = 0.05, 8
ASKED_RATIO, ASKED_MIB = 1.15, 20.0
SERVER = Path(__file__).parent.parent / "tests" / "generation" / "server.py"


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(name: str, n: int, size_px: int) -> dict[str, Any]:
    """Ask for n edits of one image, and return what it took."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.png"
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source)
        command = [sys.executable, str(SERVER), "--protocol", name, "--delay", str(DELAY_S),
                   "--size-px", str(size_px)]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            url += {"openai": "/v1", "openrouter": "/api/v1"}.get(name, "")
            try:
                slots = threading.Semaphore(CONCURRENCY)
                access = Access("m", Path(folder), base_url=url, key="sk-none", slots=slots)
                provider = PROVIDERS[name].open(access)
                orders = [
                    Order(key_of((name, "m"), f"edit {i}", {}, "", 0), f"edit {i}", 0, "flooding",
                          path=str(source))
                    for i in range(n)
                ]  # fmt: skip
                job = Job(
                    folder=Path(folder) / "made", hosts=provider.hosts, provider=provider,
                    maker=(name, "m"), generator="m", parameters={}, concurrency=CONCURRENCY,
                )  # fmt: skip
                generate(job, orders[: n // 4])
                before, start, cpu = peak_mib(), time.perf_counter(), time.process_time()
                outcome = generate(job, orders)
                wall_s = time.perf_counter() - start
                cpu_s = time.process_time() - cpu
                assert outcome.created == n - n // 4, outcome
            finally:
                server.kill()
    asked = n - n // 4
    return {
        "provider": name, "requests": asked, "kib": round(3 * size_px**2 / 1024),
        "wall_s": round(wall_s, 2), "ratio": round(wall_s / (asked / CONCURRENCY * DELAY_S), 3),
        "cpu_ms": round(1000 * cpu_s / asked, 2), "memory": round(peak_mib() - before, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="a few requests, to see that it works")
    quick = parser.parse_args().quick
    n = 64 if quick else 1334  # A quarter of them warms up, and the rest is measured.
    rows = [run("openai", n, size_px=64)]
    if not quick:
        rows += [run(name, n, size_px=64) for name in ("openrouter", "gemini")]
        rows += [run("openai", n // 4, size_px=size_px) for size_px in (256, 724)]
    for row in rows:
        print(row)
    targets = [
        {"name": f"{row['provider']}, {row['kib']} KiB: {name}", "asked": asked,
         "measured": row[name], "met": row[name] <= asked}
        for row in rows
        for name, asked in (("ratio", ASKED_RATIO), ("memory", ASKED_MIB))
    ]  # fmt: skip
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    versions = {name: importlib.metadata.version(name) for name in ("openai", "xprobe")}
    print(json.dumps({"question": QUESTION, "machine": machine, "versions": versions,
                      "rows": rows, "targets": targets}))  # fmt: skip


if __name__ == "__main__":
    main()
