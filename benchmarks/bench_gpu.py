"""Does xprobe compute on a GPU what it computes on a CPU, and how fast?

    python benchmarks/bench_gpu.py [--quick] [--device cpu] [--out DIR] [--only WORDS] [--limit S]

Needs no network: weights are random, at full size, and images are made here. Each part runs in a
process of its own with a time limit, first the checks, several side by side, then the measures, one
after the other. A part that raises, hangs, runs out of memory or is killed becomes a row of status
``failed`` with the last line of what it said; what needs CUDA where there is none, or time that is
not left, is ``not run``. After every part all rows are written to ``--out`` (rows.json and
table.txt, beside log.txt); last the table is printed, then one JSON line. The exit status is 1 if a
row failed.

How to read it: a *check* holds what the device computes to the CPU's fp32 or to itself, and each
bound stands beside its reason in rows.json. A *measure* fails only if it cannot be taken; what is
asked of it stands in ``targets``. Rates of `embed` and of the loop of open_clip are those of a long
run, between 40 and 95 % of the images; the seconds before the first image and those of all are
shown, too. They are compared with the bf16 forward pass alone at its best batch size, and with
decoding alone on all cores.

``--quick``: the same parts with tiny networks and few images, to see that the script works. Imports
take longest then, so that parts share processes; where one ends its process, the parts after it
begin another.
``--plant raise,hang,kill,pass``: more parts that do that, to see that the one that passes stays.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.bench import CORES, FAILED, NOT_RUN, Bench, one_line, rows_file

QUESTION = "Does xprobe compute on a GPU what it computes on a CPU, and how fast?"
LIBRARIES = ("torch", "torchvision", "timm", "open_clip_torch", "transformers", "scikit-learn",
             "numpy", "Pillow", "simplejpeg", "kornia-rs")  # fmt: skip
LEAST_S = 10  # that must be left for another part to begin


@dataclass(frozen=True)
class Part:
    """What runs in a process of its own, or shares one with others of its kind.

    Attributes:
        name: of its rows.
        function: ``module:function``, called with a `Bench` and the argument.
        argument: what it works on.
        kind: check or measure; measures run alone.
        limit_s: after so many seconds it is ended.
        environment: variables that it needs.
        shares: parts of one kind and this word share processes with ``--quick``.
    """

    name: str
    function: str
    argument: str = ""
    kind: str = "check"
    limit_s: float = 120
    environment: tuple[tuple[str, str], ...] = ()
    shares: str = "learners"


FAMILIES = ("open_clip CLIP", "open_clip SigLIP", "timm ViT", "timm CNN", "torchvision",
            "transformers")  # fmt: skip
PARTS = [
    Part("fine-tunes compiled", "gpu.finetunes:compiled", limit_s=200),
    *(Part(f"tower {family}", "gpu.features:towers", family, shares="encoders")
      for family in FAMILIES),
    Part("batches", "gpu.features:batches", shares="encoders"),
    Part("memory", "gpu.features:memory", shares="encoders"),
    Part("killed", "gpu.features:killed", shares="encoders"),
    Part("heads", "gpu.heads:check"),
    Part("fine-tunes", "gpu.finetunes:check"),
    Part("fine-tunes resumed", "gpu.finetunes:resumed"),
    Part("fine-tunes side by side", "gpu.finetunes:concurrent"),
    Part("distances", "gpu.heads:distances"),
    Part("pictures", "gpu.images:write", shares="encoders"),
    Part("embed ViT-L/14", "gpu.rates:embed", "ViT-L/14", "measure", 120, shares="encoders"),
    Part("fine-tune pace", "gpu.finetunes:pace", "", "measure", 60),
    # scikit-learn takes tensors if SciPy does.
    Part("heads pace", "gpu.heads:pace", "", "measure", 90, (("SCIPY_ARRAY_API", "1"),)),
    Part("embed ViT-B/32", "gpu.rates:embed", "ViT-B/32", "measure", 110, shares="encoders"),
    Part("sweep", "gpu.heads:sweep", "", "measure", 80),
    Part("embed SigLIP so400m", "gpu.rates:embed", "SigLIP so400m", "measure", 130,
         shares="encoders"),
]  # fmt: skip
# What parts start themselves.
HELPERS = [
    Part("embed slowly", "gpu.features:embed_slowly"),
    Part("decode alone", "gpu.decoding:decode_alone"),
    Part("train alone", "gpu.finetunes:train_alone"),
]
PLANTED = {
    what: Part(f"planted {what}", "bench_gpu:plant", what, limit_s=3 if what == "hang" else 120)
    for what in ("raise", "hang", "kill", "pass")
}


def plant(bench: Bench, what: str) -> None:
    """Go wrong after a first row, or pass."""
    with bench.row("before it goes wrong") as row:
        row.values["number"] = 1
    if what == "pass":
        return
    if what == "raise":
        raise RuntimeError("planted")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    subprocess.run(["sleep", "600"], check=True)


# --- one process ---------------------------------------------------------------------------


def run_part(chosen: argparse.Namespace, name: str, seconds: float) -> None:
    """Run one part in this process."""
    every = [*PARTS, *HELPERS, *PLANTED.values()]
    part = next(part for part in every if part.name == name)
    deadline = time.time() + seconds
    bench = Bench(part.name, part.kind, chosen.device, chosen.quick, chosen.work, deadline)
    module, _, function = part.function.partition(":")
    getattr(importlib.import_module(module), function)(bench, part.argument)


def run_parts(chosen: argparse.Namespace) -> None:
    """Run parts one after the other; note each that ended, and whether it raised."""
    for name, seconds in json.loads(chosen.parts):
        with rows_file(chosen.work, name).with_suffix(".log").open("wb") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        has_raised = False
        try:
            run_part(chosen, name, seconds)
        except Exception:
            has_raised = True
            traceback.print_exc()
        sys.stdout.flush()
        with chosen.ended.open("a") as ended:
            ended.write(f"{int(has_raised)}\n")


# --- all parts -----------------------------------------------------------------------------


@dataclass
class Running:
    """Parts under way in one process.

    Attributes:
        parts: those that have not ended; the first one runs.
        limits: the seconds after which each is ended.
        process: what runs them.
        file: where the process notes each part that ended.
        start: when the first of `parts` began.
        noted: how many have ended.
    """

    parts: list[Part]
    limits: list[float]
    process: subprocess.Popen[bytes]
    file: Path
    start: float
    noted: int = 0

    @property
    def is_over_time(self) -> bool:
        """Whether the part that runs must be ended."""
        return time.monotonic() - self.start > self.limits[0]

    def next_code(self) -> int | None:
        """Return the exit code of the part that runs, as if it were alone, once it has ended."""
        lines = self.file.read_text().splitlines() if self.file.is_file() else []
        return int(lines[self.noted]) if len(lines) > self.noted else None


class Runner:
    """Runs parts and gathers their rows."""

    def __init__(self, chosen: argparse.Namespace, work: Path) -> None:
        self.chosen, self.work = chosen, work
        self.rows: list[dict[str, Any]] = []
        self.running: list[Running] = []
        self.started = 0
        self.end = time.monotonic() + chosen.limit
        self.patience = 4 if chosen.quick else 1  # with slow machines: no figure is wanted of them
        self.machine = machine(chosen.device)

    def run(self, parts: list[Part]) -> None:
        """Run checks side by side, then each measure alone."""
        side = self.chosen.side
        for kind, at_once in (("check", side), ("measure", side if self.chosen.quick else 1)):
            waiting = self.groups([part for part in parts if part.kind == kind])
            while waiting or self.running:
                while waiting and len(self.running) < at_once:
                    self.start(waiting.pop(0), at_once)
                time.sleep(0.05)
                for running in list(self.running):
                    if rest := self.look(running):
                        waiting.insert(0, rest)
        self.write()

    def groups(self, parts: list[Part]) -> list[list[Part]]:
        """Return parts of one kind by process."""
        if not self.chosen.quick:
            return [[part] for part in parts]
        groups: dict[str, list[Part]] = {}
        for part in parts:
            groups.setdefault(part.shares, []).append(part)
        return list(groups.values())

    def start(self, parts: list[Part], side: int) -> None:
        """Start parts in a process, those for which there is time left."""
        left = self.end - time.monotonic()
        for part in parts:
            if left < min(LEAST_S, part.limit_s):
                self.rows.append(self.outcome(part, NOT_RUN, "no time was left", 0))
        parts = [part for part in parts if left >= min(LEAST_S, part.limit_s)]
        if not parts:
            return
        limits = [part.limit_s * (self.patience if part in PARTS else 1) for part in parts]
        self.started += 1
        file = self.work / f"ended-{self.started}"
        named = json.dumps(
            [(part.name, min(s, left)) for part, s in zip(parts, limits, strict=True)]
        )
        command = [sys.executable, __file__, "--parts", named, "--ended", str(file),
                   "--work", str(self.work), "--device", self.chosen.device]  # fmt: skip
        threads = str(max(1, CORES // side))
        environment = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        environment |= {key: value for part in parts for key, value in part.environment}
        if side > 1:
            environment |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
        with self.log(parts[0]).open("wb") as log:
            process = subprocess.Popen(
                command + ["--quick"] * self.chosen.quick, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True, env=os.environ | environment,
            )  # fmt: skip
        self.running.append(Running(parts, limits, process, file, time.monotonic()))
        self.shorten(self.running[-1])

    def shorten(self, running: Running) -> None:
        """Hold the part that runs to the time that is left for all."""
        running.limits[0] = min(running.limits[0], self.end - running.start)

    def look(self, running: Running) -> list[Part]:
        """Gather what has ended in a process, and end what must; return what is to begin anew."""
        has_exited = running.process.poll() is not None  # Asked first: what it noted is then whole.
        while running.parts and (code := running.next_code()) is not None:
            self.gather(running, code)
        if running.parts and (has_exited or running.is_over_time):
            code = running.process.poll()
            kill_group(running.process)
            self.gather(running, code)
        elif running.parts:
            return []
        self.running.remove(running)
        kill_group(running.process)
        return running.parts

    def gather(self, running: Running, code: int | None) -> None:
        """Take the rows of the part that ran, and write all rows so far; the next one runs."""
        part, limit = running.parts.pop(0), running.limits.pop(0)
        seconds = time.monotonic() - running.start
        running.start, running.noted = time.monotonic(), running.noted + 1
        if running.parts:
            self.shorten(running)
        file = rows_file(self.work, part.name)
        rows = list(map(json.loads, file.read_text().splitlines())) if file.is_file() else []
        self.rows += rows
        if code is None and limit < part.limit_s:
            reason = f"no time was left after {limit:.0f} s"
            self.rows.append(self.outcome(part, NOT_RUN, reason, seconds))
        elif code is None:
            reason = f"took longer than {limit:.0f} s: {self.last_line(part)}"
            self.rows.append(self.outcome(part, FAILED, reason, seconds))
        elif code != 0:
            how = signal.Signals(-code).name if code < 0 else f"exit {code}"
            reason = f"{how}: {self.last_line(part)}"
            self.rows.append(self.outcome(part, FAILED, reason, seconds))
        elif not rows:
            self.rows.append(self.outcome(part, FAILED, "left no rows", seconds))
        states = [row["status"] for row in self.rows if row["part"] == part.name]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        print(f"{seconds:6.1f} s  {part.name}: {counted}", flush=True)
        self.write()

    def outcome(self, part: Part, status: str, error: str, seconds: float) -> dict[str, Any]:
        """Return a row that a part could not write itself."""
        return {
            "part": part.name, "kind": part.kind, "name": "the part", "status": status,
            "seconds": round(seconds, 2), "bounds": {}, "notes": [], "error": error, "targets": [],
        }  # fmt: skip

    def log(self, part: Part) -> Path:
        """Return where a part's output goes."""
        return rows_file(self.work, part.name).with_suffix(".log")

    def last_line(self, part: Part) -> str:
        """Return the last line that a part wrote, the error's of one that raised."""
        log = self.log(part)
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        return one_line(next((line for line in reversed(lines) if line.strip()), "said nothing"))

    def document(self) -> dict[str, Any]:
        """Return all there is so far."""
        targets = [target for row in self.rows for target in row["targets"]]
        rows = [{k: v for k, v in row.items() if k != "targets"} for row in self.rows]
        return {"question": QUESTION, **self.machine, "rows": rows, "targets": targets}

    def write(self) -> None:
        """Write rows, table and logs whole."""
        self.chosen.out.mkdir(parents=True, exist_ok=True)
        logs = [f"=== {log.stem}\n{log.read_text(errors='replace')}"
                for log in sorted(self.work.glob("*.log"))]  # fmt: skip
        document = json.dumps(self.document(), indent=1)
        for name, text in (("rows.json", document), ("table.txt", self.table()),
                           ("log.txt", "\n".join(logs))):  # fmt: skip
            temporary = self.chosen.out / f".{name}"
            temporary.write_text(text + "\n")
            temporary.replace(self.chosen.out / name)

    def table(self) -> str:
        """Return the table: a line a row, then a line a target."""
        lines = [f"{key}: {value}" for key, value in self.machine.items()]
        known = {"part", "kind", "name", "status", "seconds", "bounds", "notes", "error", "targets"}
        for row in self.rows:
            values = ", ".join(f"{k} {shown(v)}" for k, v in row.items() if k not in known)
            said = f"  [{row['error']}]" if row["error"] else ""
            lines.append(f"{row['status']:<8} {row['part']} | {row['name']} | {values}{said}")
        for target in self.document()["targets"]:
            met = "met" if target["met"] else "MISSED"
            measured = shown(target["measured"])
            lines.append(f"{met:<8} {target['name']}: {measured} (asked {target['asked']})")
        states = [row["status"] for row in self.rows]
        counted = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
        return "\n".join([*lines, counted])


def shown(value: Any) -> str:
    """Return a value as the table has it."""
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0") if 0.99 < value < 1 else f"{value:.4g}"
    return str(value)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a part and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def machine(device: str) -> dict[str, Any]:
    """Return what is computed on, and by which versions."""
    import xprobe

    about = f"{platform.machine()}, {CORES} cores"
    if device.startswith("cuda"):
        query = [
            "nvidia-smi",
            "--query-gpu=name,memory.total,driver_version",
            "--format=csv,noheader",
        ]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
            about += f", {done.stdout.strip()}"
        except (OSError, subprocess.SubprocessError):
            about += ", a GPU"
    versions = {"xprobe": xprobe.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return {"machine": about, "versions": versions}


def pick_device(device: str) -> str:
    """Return the device that ``auto`` stands for."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="tiny networks, to see that it works")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of results")
    parser.add_argument("--only", default="", help="parts whose names have one of these words, a,b")
    parser.add_argument("--limit", type=float, default=480, help="seconds of all parts together")
    parser.add_argument("--side", type=int, default=0, help="checks at a time")
    parser.add_argument("--plant", default="", help="add parts that do that: raise,hang,kill,pass")
    # Of the processes that are started here.
    parser.add_argument("--part", default="", help=argparse.SUPPRESS)
    parser.add_argument("--parts", default="", help=argparse.SUPPRESS)
    parser.add_argument("--ended", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=600, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        run_part(chosen, chosen.part, chosen.seconds)
        return
    if chosen.parts:
        run_parts(chosen)
        return
    chosen.device = pick_device(chosen.device)
    chosen.side = chosen.side or max(2, min(6, CORES // 3))
    parts = [*(PLANTED[what] for what in filter(None, chosen.plant.split(","))), *PARTS]
    words = chosen.only.split(",")
    parts = [part for part in parts if any(word in part.name for word in words)]
    work = Path(tempfile.mkdtemp(prefix="xprobe-gpu-"))
    runner = Runner(chosen, work)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        runner.run(parts)
    finally:
        for running in runner.running:  # it was interrupted
            kill_group(running.process)
        pictures = work / "pictures"
        if pictures.is_file():
            shutil.rmtree(pictures.read_text(), ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)
    print(runner.table())
    print(json.dumps(runner.document()))
    sys.exit(any(row["status"] == FAILED for row in runner.rows))


if __name__ == "__main__":
    main()
