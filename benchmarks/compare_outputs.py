"""Do two versions of xprobe give the same answers? Runs a study with each and compares every file.

    python benchmarks/compare_outputs.py OLD/bin/python NEW/bin/python [--work FOLDER] [--only demo]

Each Python has one version of xprobe installed. Both run the same commands in a folder of the same
path, one after the other: the demo, and a study of small pictures with all heads, fine-tunes,
alternatives, a learning curve, a distance and a report. Then every file and every output is
compared: arrays and features byte by byte, JSON documents after parsing. What a clock, a command
line or a version of a library says is left out; fields that only the newer version writes are
listed, those that it lost are differences. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VOLATILE = {
    "created", "command", "versions", "commit", "platform", "seconds", "images_per_s", "report",
    "freed_mib",
}  # fmt: skip
CLASSES, REAL, SYNTHETIC = ("bright", "dark", "grey"), 24, 30
STUDY = [
    "scan --json",
    "scan -o table.csv",
    "embed --encoder hog --augment flip,noise --views 2 --json",
    "embed --encoder timm:test_vit@32 --random-weights --json",
    "embed --encoder timm:test_vit@32 --random-weights --precision bf16 --out features-bf16 --json",
    "encoders --json",
    "plan --json",
    "plan",
    "sweep --encoder hog --heads logistic,ridge,knn --ratios 1,2 --folds 3 --repeats 2 "
    "--inner-folds 3 --allow-fewer --alternatives flip,noise,mixup --with-synthetic --json",
    "sweep --encoder hog --ratios 1 --holdout 0.4 --repeats 2 --out results-holdout --json",
    "sweep --encoder hog --ratios 1 --real-curve 6,9,14 --repeats 2 --margin 0.05 --json",
    "sweep --encoder timm:test_vit@32 --heads finetune --ratios 1 --folds 2 --finetune-repeats 2 "
    "--alternatives flip,cutmix --epochs 2 --batch-size 16 --allow-fewer --json",
    "sweep --encoder timm:test_vit@32 --heads finetune --ratios 1 --folds 2 --finetune-repeats 2 "
    "--concurrent 2 --epochs 1 --out results-beside --allow-fewer",
    "distance --permutations 99 --json",
    "report --json",
    "report --cost-real 2 --cost-synthetic 0.1 --out report-costs",
    "plan --results results --json",
    "store info --json",
    "store export features.npz --encoder hog --json",
    "store verify --json",
]
DEMO = ["demo --json"]


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--work", type=Path, help="folder to keep; default a temporary one")
    parser.add_argument("--only", choices=("demo", "study"))
    parser.add_argument("--keep", action="store_true", help="compare runs that --work already has")
    given = parser.parse_args()
    commands = {"demo": DEMO, "study": STUDY, None: [*STUDY, *DEMO]}[given.only]
    with tempfile.TemporaryDirectory() as scratch:
        work = (given.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        for name, python in (("old", given.old), ("new", given.new)):
            if given.keep and (work / name).is_dir():
                continue
            shutil.rmtree(work / name, ignore_errors=True)
            run_all(python.absolute(), work / "run", commands)
            (work / "run").rename(work / name)
        sys.exit(compare(work / "old", work / "new"))


def run_all(python: Path, folder: Path, commands: list[str]) -> None:
    """Run commands in a fresh folder; keep what each one printed."""
    shutil.rmtree(folder, ignore_errors=True)
    draw_pictures(folder / "data")
    (folder / "outputs").mkdir()
    for number, command in enumerate(commands):
        print(f"{python.parent.parent.name}: xprobe {command}", file=sys.stderr)
        done = subprocess.run(
            [str(python), "-m", "xprobe", *command.split()],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        suffix = "json" if "--json" in command else "txt"
        (folder / "outputs" / f"{number:02d}.{suffix}").write_text(done.stdout)
        (folder / "outputs" / f"{number:02d}.stderr").write_text(f"{done.stderr}{done.returncode}")


def draw_pictures(data: Path) -> None:
    """Draw real and synthetic pictures of three classes that a head can tell apart in part."""
    rng = np.random.default_rng(0)
    parts = {"real": REAL, "synthetic/near": SYNTHETIC, "synthetic/far": SYNTHETIC}
    for part, n in parts.items():
        for k, label in enumerate(CLASSES):
            folder = data / part / label
            folder.mkdir(parents=True)
            for i in range(n):
                ramp = np.sin(np.arange(40) * (0.2 + 0.1 * k) + rng.uniform(0, 6))
                base = 128 + 40 * ramp[:, None] + (30 if part.endswith("far") else 0)
                pixels = rng.normal(base[..., None] + 8 * k, 45, (40, 40, 3))
                image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                image.save(folder / f"{i:02d}.png")


def compare(old: Path, new: Path) -> int:
    """Print how two folders differ; return 1 if they do."""
    files = [
        {str(f.relative_to(root)) for f in sorted(root.rglob("*")) if f.is_file()}
        for root in (old, new)
    ]
    stores = {str(f.parent.relative_to(old)) for f in old.rglob("encoder.json")}
    # Shards hold their rows in the order in which threads ended: they are compared by content.
    # The names and records of TensorBoard's event files hold the clock: their folders are compared.
    names = [
        {str(Path(n).parent) if "tfevents" in n else n for n in part if not _is_shard(n, stores)}
        for part in files
    ]
    kinds: Counter[str] = Counter()
    wrong: list[str] = [f"only in old: {name}" for name in sorted(names[0] - names[1])]
    wrong += [f"only in new: {name}" for name in sorted(names[1] - names[0])]
    added: Counter[str] = Counter()
    for name in sorted(names[0] & names[1]):
        differences = list(differences_of(old / name, new / name, added))
        kind = "folders of events" if (old / name).is_dir() else Path(name).suffix or name
        kinds[f"{kind}: {'differ' if differences else 'equal'}"] += 1
        wrong += [f"{name}: {text}" for text in differences[:5]]
    for store in sorted(stores):
        same = rows_of(old / store) == rows_of(new / store)
        kinds[f"encoders of stores, row by row: {'equal' if same else 'differ'}"] += 1
        wrong += [] if same else [f"{store}: rows differ"]
    for kind, n in sorted(kinds.items()):
        print(f"{n:6d}  {kind}")
    for field, n in sorted(added.items()):
        print(f"new field {field} ({n} times)")
    print(*wrong, sep="\n")
    total = sum(n for kind, n in kinds.items() if kind.endswith("equal"))
    print(json.dumps({"equal": total, "different": len(wrong), "new_fields": sorted(added)}))
    return int(bool(wrong))


def _is_shard(name: str, stores: set[str]) -> bool:
    parent = Path(name).parent
    return str(parent.parent) in stores and parent.name in ("shards", "receipts")


def rows_of(encoder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Return the features of a stored encoder by content, and what could not be embedded."""
    import h5py

    rows: dict[str, bytes] = {}
    failed: list[str] = []
    for receipt in sorted((encoder / "receipts").glob("*.json")):
        about = json.loads(receipt.read_text())
        failed += [json.dumps(entry, sort_keys=True) for entry in about["failed"]]
        if about["shard"] is None:
            continue
        with h5py.File(encoder / "shards" / about["shard"]) as shard:
            pairs = zip(shard["sha256"][()], shard["x"][()], strict=True)
            rows |= {digest.tobytes().hex(): x.tobytes() for digest, x in pairs}
    return rows, sorted(failed)


def differences_of(old: Path, new: Path, added: Counter[str]) -> Iterator[str]:
    """Yield what differs between two files, each in one line."""
    if old.is_dir():
        return
    if old.suffix == ".json":
        yield from _json(json.loads(old.read_text()), json.loads(new.read_text()), "$", added)
    elif old.suffix == ".npz":
        yield from _npz(old, new, added)
    elif old.suffix == ".csv" and old.parent.name == "fine-tunes":
        curves = [[row | {"seconds": ""} for row in csv.DictReader(f.open())] for f in (old, new)]
        if curves[0] != curves[1]:
            yield "curves differ"
    elif old.suffix in (".html", ".md", ".txt", ".stderr"):
        a, b = _without_clock(old.read_text()), _without_clock(new.read_text())
        for mine, other in zip(a, b, strict=False):
            if mine != other:
                yield f"{mine[:150]!r} became {other[:150]!r}"
        if len(a) != len(b):
            yield f"{len(a)} lines became {len(b)}"
    elif old.read_bytes() != new.read_bytes():
        yield "bytes differ"


def _without_clock(text: str) -> list[str]:
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00)?( UTC)?", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{40}\b|commit [0-9a-f]{7,}", "COMMIT", text)
    return re.sub(r"[\d.]+ (s|min|ms|images/s)\b", "SECONDS", text).splitlines()


def _json(old: Any, new: Any, where: str, added: Counter[str]) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() - VOLATILE:
            if key in new:
                yield from _json(old[key], new[key], f"{where}.{key}", added)
            else:
                yield f"{where}.{key} is gone"
        for key in new.keys() - old.keys():
            added[f"{re.sub(r'[0-9]+', 'n', where)}.{key}"] += 1
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{where}: {len(old)} entries became {len(new)}"
        for i, pair in enumerate(zip(old, new, strict=False)):
            yield from _json(*pair, f"{where}[{i}]", added)
    elif old != new or type(old) is not type(new):
        yield f"{where}: {str(old)[:80]!r} became {str(new)[:80]!r}"


def _npz(old: Path, new: Path, added: Counter[str]) -> Iterator[str]:
    parts = []
    for file in (old, new):
        with zipfile.ZipFile(file) as archive:
            parts.append({name: archive.read(name) for name in archive.namelist()})
    if parts[0].keys() != parts[1].keys():
        yield f"arrays {sorted(parts[0])} became {sorted(parts[1])}"
    for name in parts[0].keys() & parts[1].keys():
        if name == "about.npy":
            about = [str(np.load(io.BytesIO(part[name]))) for part in parts]
            yield from _json(*map(json.loads, about), "about", added)
        elif parts[0][name] != parts[1][name]:
            yield f"{name} differs"


if __name__ == "__main__":
    main()
