"""Does every benchmark still run? Each with ``--quick``, one after another.

    python benchmarks/quick.py [NAME ...]

To import its libraries takes a benchmark longer than its tiny sizes do. So each runs in a forked
child of this process, which has loaded what most of them share. Without names all run but those of
which the tests run parts. Ends with 1 if any fails.
"""

from __future__ import annotations

import importlib
import multiprocessing
import runpy
import sys
import time
from pathlib import Path

# Not what reads the place of the hub's cache when it is imported: bench_presets sets it before.
SHARED = ("torch", "torchvision", "sklearn.linear_model", "scipy.stats", "h5py", "xprobe.cli.app")
TESTED = ("bench_calibration", "bench_gpu")


def run(file: Path) -> None:
    sys.argv = [str(file), "--quick"]
    runpy.run_path(str(file), run_name="__main__")


def main() -> int:
    for name in SHARED:
        importlib.import_module(name)
    files = sorted(Path(__file__).parent.glob("bench_*.py"))
    names = sys.argv[1:] or [file.stem for file in files if file.stem not in TESTED]
    failed = []
    for name in names:
        start = time.perf_counter()
        child = multiprocessing.get_context("fork").Process(
            target=run, args=(Path(__file__).with_name(f"{name}.py"),)
        )
        child.start()
        child.join()
        print(f"{name}: {time.perf_counter() - start:.0f} s, exit {child.exitcode}", flush=True)
        failed += [name] * (child.exitcode != 0)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
