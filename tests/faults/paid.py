"""Is an image paid for twice, or lost without a word, after kills of `xprobe generate`?

    python tests/faults/paid.py --kills 100 --images 200 [--seed 0]

A server on this machine answers as OpenAI's API does, and writes down every request. `generate` is
started again and again, gets SIGKILL at a random instant, and runs to its end at last. Then each
image must be kept or listed as paid, unknown, never both and never neither, and the server must
have seen each request once at most. With ``--retry-unknown`` all images must be there then, and the
server may have seen as many further requests as were listed.

What is not so is printed, and counted in the last line, which is JSON. Asked: 0.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from faults.forked import Child, load, run
from PIL import Image

SERVER = Path(__file__).parents[1] / "generation" / "server.py"

DELAY_S = 0.2  # before the server answers


def make_study(folder: Path, n: int) -> None:
    """Make n real images of two classes."""
    rng = np.random.default_rng(0)
    for i in range(n):
        file = folder / "data" / "real" / f"{'ab'[i % 2]}" / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)
    (folder / "prompts.txt").write_text("a flood in {class}\n")


def take_over_soon() -> None:
    """Let a child take over the lock of a killed one soon."""
    from xprobe.base import lock

    lock.BEAT_S = 0.1


def command(port: int) -> list[str]:
    return [
        "generate", "--provider", "openai", "--model", "m",
        "--prompts", "prompts.txt", "--base-url", f"http://127.0.0.1:{port}/v1", "-o", "made",
        "--price", "0.01", "--max-cost", "1e6", "--yes", "--quiet",
    ]  # fmt: skip


def images_of(folder: Path) -> Counter[str]:
    """Return how many files of images have each name, in the folders of classes."""
    return Counter(file.stem for label in "ab" for file in (folder / "made" / label).glob("*.png"))


def listed(folder: Path, name: str, column: str) -> list[str]:
    """Return a column of a table that `generate` wrote; nothing without the table."""
    file = folder / "made" / name
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return [row[column] for row in csv.DictReader(stream)]


class Trial:
    """A folder in which `generate` is killed, and the log of the server that it asks."""

    def __init__(self, folder: Path, generate: list[str], log: Path) -> None:
        self.folder, self.generate, self.log = folder, generate, log
        self.wrong = 0

    def check(self, condition: bool, what: str) -> None:
        if not condition:
            self.wrong += 1
            print(what)

    def seen(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def kill_one(self, rng: random.Random) -> bool:
        """Start `generate` and kill it; return whether it was still at work."""
        before = len(self.seen())
        # Few at once, so that there is something left for the last kill.
        generate = [*self.generate, "--concurrency", str(rng.choice((1, 1, 1, 2)))]
        child = Child(generate, self.folder, self.folder / ".log", take_over_soon)
        if rng.random() < 0.75:  # The others hit what is done before the first request.
            while not child.has_ended and len(self.seen()) == before:
                time.sleep(0.005)
        time.sleep(rng.random() * 1.25 * DELAY_S)
        was_at_work = not child.has_ended
        child.kill()
        child.wait()
        return was_at_work

    def to_end(self, *options: str) -> None:
        ended = run([*self.generate, *options], self.folder, take_over_soon)
        self.check(ended.code == 0, f"a run ended with {ended.code}: {ended.err[-300:]}")

    def check_all(self, n: int) -> dict[str, int]:
        """Run to the end, and check what there is of n images; return what was counted."""
        self.to_end()
        kept, lost = images_of(self.folder), set(listed(self.folder, "failed.csv", "key"))
        self.check(max(kept.values(), default=0) <= 1, "an image is there twice")
        self.check(not kept.keys() & lost, "an image is kept, and listed as lost")
        self.check(len(kept) + len(lost) == n, f"{len(kept)} kept, {len(lost)} listed, of {n}")
        states = set(listed(self.folder, "failed.csv", "state"))
        self.check(states <= {"paid-unknown"}, f"states {states}")
        rows = listed(self.folder, "manifest.csv", "id")
        self.check(sorted(rows) == sorted(kept), "the table differs from the images")
        seen = self.seen()
        self.check(max(Counter(seen).values()) == 1, "a request was seen twice")
        self.check(len(seen) >= len(kept), f"{len(seen)} requests for {len(kept)} images")
        self.to_end("--retry-unknown")
        in_all = len(self.seen())
        self.check(len(images_of(self.folder)) == n, "not all images are there after the retry")
        self.check(n <= in_all <= n + len(lost), f"{in_all} requests, {len(lost)} were listed")
        return {"images": n, "kept": len(kept), "paid_unknown": len(lost), "seen": len(seen),
                "seen_in_all": in_all, "wrong": self.wrong}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    os.environ["OPENAI_API_KEY"] = "sk-of-no-account"
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name) / "log.tsv"
        make_study(folder, options.images)
        serving = [sys.executable, str(SERVER), "--delay", str(DELAY_S), "--log", str(log)]
        with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            trial = Trial(folder, command(int(server.stdout.readline())), log)
            try:
                load(folder, [*trial.generate, "--dry-run"])
                import openai  # noqa: F401  # The dry run asks nobody, and children need it.

                killed = sum(trial.kill_one(rng) for _ in range(options.kills))
                counts = {"kills": killed, **trial.check_all(options.images)}
            finally:
                server.kill()
    print(json.dumps(counts))
    return 1 if trial.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
