"""What does it cost a sweep to know that its features are what was written, and which way is best?

    python benchmarks/bench_store.py [--quick]

A store of made-up features in shards of 1,024 rows, as `xprobe embed` leaves it; a sweep of the
smallest size there is (one ratio, one repeat), whose share is the largest. The contenders read all
features of the study, in turns:

- ``plain``: HDF5 without any check, as a reference;
- ``sha256``: the digest of each shard against its receipt, then plain HDF5: what xprobe does;
- ``fletcher32``: shards in chunks of 64 rows with HDF5's own checksum, which HDF5 compares as it
  reads.

``share`` is the seconds that a way takes beyond those of ``plain``, over those of the sweep; asked:
2 %. ``seen`` is the part of single flipped bits, anywhere in a shard, after which reading raises or
still gives the features that were written: HDF5's checksum covers the values alone, and shards that
exist already have none.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from racing import race

from xprobe.design.config import SweepConfig
from xprobe.encoders.spec import EncoderSpec
from xprobe.engine.execution import Execution
from xprobe.features.shards import SHARD_ROWS
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest
from xprobe.study.sweep import sweep

QUESTION = "What does it cost a sweep to know that its features are what was written?"
CLASSES, ASKED = 6, 0.02


def make_store(folder: Path, n: int, d: int) -> tuple[Store, Manifest]:
    """Return a store of n images, a fifth of them real, and their table."""
    rng = np.random.default_rng(0)
    id_ = [f"{i:06}" for i in range(n)]
    is_real = np.arange(n) % 5 == 0
    label = np.arange(n) // 5 % CLASSES
    table = Manifest(
        id=id_, path=id_, sha256=[sha256(name.encode()).hexdigest() for name in id_],
        label=[f"c{k}" for k in label], source=np.where(is_real, "real", "synthetic").tolist(),
        group=np.where(is_real, id_, "").tolist(), parent=[""] * n,
        generator=np.where(is_real, "", "g").tolist(), split=["train"] * n, prompt=[""] * n,
    )  # fmt: skip
    spec = EncoderSpec(
        "learned:bench", "0" * 64, "output", d, (1, 1), "squash", "", (0.0,), (1.0,), "fp32", "1"
    )
    store = Store(folder, create=True)
    encoder = store.add_encoder("bench", spec)
    x = rng.normal(size=(n, d)) + rng.normal(size=(CLASSES, d))[label]
    for start in range(0, n, SHARD_ROWS):
        part = slice(start, start + SHARD_ROWS)
        store.write_shard(encoder, list(table.sha256[part]), x[part], {})
    return store, table


def with_fletcher32(store: Store, folder: Path) -> list[Path]:
    """Write the shards of a store once more, with HDF5's checksum, in order of name."""
    folder.mkdir()
    files = []
    for shard in sorted(store.folder.glob("*/shards/*.h5")):
        files.append(folder / shard.name)
        with h5py.File(shard) as h5, h5py.File(files[-1], "w") as new:
            for name in ("sha256", "x"):
                rows = min(64, len(h5[name]))
                new.create_dataset(
                    name, data=h5[name][:], chunks=(rows, h5[name].shape[1]), fletcher32=True
                )
    return files


def read(files: list[Path]) -> np.ndarray[Any, Any]:
    """Read all features by HDF5 alone."""
    x = []
    for file in files:
        with h5py.File(file, "r", locking=False) as h5:
            x.append(h5["x"][:])
    return np.concatenate(x)


def read_checked(store: Store) -> np.ndarray[Any, Any]:
    """Read all features as a sweep does, in the order of the shards."""
    (encoder,) = store.encoders()
    index = store.index(encoder)
    digests = []
    for shard in sorted(index.rows.shards, key=lambda shard: shard.name):
        digests += [bytes(row).hex() for row in shard.digests()]
    return index.stored_rows(digests, encoder.spec.dim)[np.arange(len(digests))]


def seen(files: list[Path], read_all: Callable[[], Any], flips: int) -> float:
    """Return the part of flipped bits that reading tells, or that change no feature."""
    rng = np.random.default_rng(1)
    expected, told = read_all(), 0
    for _ in range(flips):
        file = files[int(rng.integers(len(files)))]
        whole = file.read_bytes()
        changed = bytearray(whole)
        changed[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed)
        try:
            told += np.array_equal(read_all(), expected)
        except Exception:
            told += 1
        file.write_bytes(whole)
    return told / flips


def measured(n: int, d: int, rounds: int, flips: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, table = make_store(folder / "features", n, d)
        shards = sorted(store.folder.glob("*/shards/*.h5"))
        chunked = with_fletcher32(store, folder / "fletcher32")
        ways: dict[str, Callable[[], Any]] = {
            "plain": partial(read, shards),
            "sha256": partial(read_checked, store),
            "fletcher32": partial(read, chunked),
        }
        x = ways["plain"]()
        assert all(np.array_equal(way(), x) for way in ways.values())
        sweep_s = []
        for _ in range(rounds):
            start = time.perf_counter()
            config = SweepConfig(ratios=(1.0,), repeats=1)
            sweep(table, store, folder / "results", config, execution=Execution(workers=1))
            sweep_s.append(time.perf_counter() - start)
            shutil.rmtree(folder / "results")
        index_s = race({"index": lambda: store.index(store.encoders()[0])}, 3 * rounds)["index"]
        taken = race(ways, 5 * rounds)
        row: dict[str, Any] = {"n": n, "d": d, "sweep_s": min(sweep_s)}
        row |= {f"{way}_s": seconds for way, seconds in taken.items()}
        # The index names the shards, which the sweep reads anyway.
        row["share, sha256"] = (taken["sha256"] - index_s - taken["plain"]) / min(sweep_s)
        row["share, fletcher32"] = (taken["fletcher32"] - taken["plain"]) / min(sweep_s)
        row["seen, sha256"] = seen(shards, ways["sha256"], flips)
        row["seen, fletcher32"] = seen(chunked, ways["fletcher32"], flips)
    print("; ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="a small store, to see that it works")
    sizes = [(600, 64)] if parser.parse_args().quick else [(3_000, 512), (12_000, 1_024)]
    rounds, flips = (1, 10) if len(sizes) == 1 else (3, 200)
    rows = [measured(n, d, rounds, flips) for n, d in sizes]
    targets = []
    for row in rows:
        for way in ("sha256", "fletcher32"):
            share = row[f"share, {way}"]
            name = f"{way}, {row['n']} × {row['d']}: share of a sweep"
            targets.append(
                {"name": name, "asked": f"<= {ASKED}", "measured": share, "met": share <= ASKED}
            )
        told = row["seen, sha256"]
        targets.append(
            {"name": "sha256: flipped bits seen", "asked": ">= 1", "measured": told,
             "met": told >= 1}
        )  # fmt: skip
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ("xprobe", "h5py", "numpy")
    document = {
        "question": QUESTION,
        "machine": f"{platform.machine()}, {cores} cores",
        "versions": {name: importlib.metadata.version(name) for name in versions},
        "rows": rows,
        "targets": targets,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
