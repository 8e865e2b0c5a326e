"""Does a store lose or double rows, or not open, after kills or when several work in it at once?

    python tests/faults/kill.py --gc 50 --kills 300 [--seed 0]

``--gc N``: N times `embed` works in a store of many small shards beside two `store gc` that start
up to two thirds of a second later. ``--kills N``: N times one of embed, gc, merge, sweep and report
gets SIGKILL at a random instant; after each kill the store must open and have every row that it
had, and after every tenth all commands run to their ends and must give the store, the results and
the report of a run that was never killed, to the bit.

What is not so is printed, and counted in the last line, which is JSON. Asked: 0.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from faults.forked import Child, Ended, load, make_data, run

EMBED = ["embed", "--encoder", "pixels", "--workers", "1"]
SWEEP = ["sweep", "--encoder", "pixels", "--ratios", "1", "--repeats", "1", "--c-grid", "1",
         "--workers", "1", "--json"]  # fmt: skip
COMMANDS = {
    "embed": EMBED,
    "gc": ["store", "gc"],
    "merge": ["store", "merge", "other", "--into", "features"],
    "sweep": SWEEP,
    "report": ["report"],
}
ROUND = 10


def small_shards() -> None:
    """Make many shards in a child, and let it take over the lock of a killed one soon."""
    from xprobe.base import lock
    from xprobe.features import lane

    lane.SHARD_ROWS, lane.FIRST_SHARD_S, lane.SHARD_S = 4, 0.0, 0.0
    lock.BEAT_S = 0.2


def rows_of(folder: Path, store: str = "features") -> dict[str, bytes]:
    """Return the rows of a store as it exports them; it must open."""
    ran = run(["store", "export", "x.npz", "--encoder", "pixels", "--store", store], folder)
    if ran.code:
        raise AssertionError(f"the store does not open: {ran.err.strip()[-300:]}")
    with np.load(folder / "x.npz") as arrays:
        names, x = arrays["sha256"].tolist(), arrays["x"]
    if len(set(names)) < len(names):
        raise AssertionError("doubled rows")
    return {name: row.tobytes() for name, row in zip(names, x, strict=True)}


def check(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


class Whole:
    """A folder of images, and what commands give there that nobody disturbs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        make_data(folder / "data")
        load(folder, [*EMBED, "--out", "warm"], ["store", "gc", "warm"])
        load(folder, ["store", "export", "x.npz", "--encoder", "pixels", "--store", "warm"])
        shutil.rmtree(folder / "warm")
        for store, part in (("features", "1/3"), ("other", "2/3")):
            self.do([*EMBED, "--shard", part, "--out", store])
        shutil.copytree(folder, folder.with_name("begun"))
        self.do(EMBED)
        slow = ("torch", "matplotlib.figure", "pyarrow.parquet", "jinja2")
        load(folder, SWEEP, ["report"], libraries=slow)
        shutil.rmtree(folder / "results")
        self.rows = rows_of(folder)
        self.results = json.loads(self.do(SWEEP).out)["results"]

    def do(self, arguments: list[str]) -> Ended:
        ran = run(arguments, self.folder, small_shards)
        check(ran.code == 0, ran.err)
        return ran

    def begun(self, folder: Path) -> Path:
        """Copy the images and a store of a third of them to a folder."""
        shutil.copytree(self.folder.with_name("begun"), folder)
        return folder


def beside(folder: Path, rng: np.random.Generator, whole: Whole) -> None:
    """Embed beside two that clear up."""
    starts = sorted((delay, i) for i, delay in enumerate(rng.uniform(0, 0.65, 2)))
    children = [Child(EMBED, folder, folder / ".embed", small_shards)]
    began = time.monotonic()
    for delay, i in starts:
        time.sleep(max(0.0, began + delay - time.monotonic()))
        children.append(Child(["store", "gc"], folder, folder / f".gc{i}", small_shards))
    for child in children:
        ran = child.wait()
        check(ran.code == 0, f"exit {ran.code}: {ran.err.strip()[-300:]}")
    check(run(["store", "verify"], folder).code == 0, "damaged after embed beside gc")
    check(rows_of(folder) == whole.rows, "other rows after embed beside gc")


def killed(folder: Path, rng: np.random.Generator, whole: Whole, lasts_s: dict[str, float]) -> None:
    """Kill a command at a random instant, and look at what it left."""
    before = rows_of(folder)
    name = str(rng.choice(list(COMMANDS)))
    began = time.monotonic()
    child = Child(COMMANDS[name], folder, folder / ".killed", small_shards)
    time.sleep(float(rng.uniform(0, lasts_s.get(name, 1.0))))
    child.kill()
    ran = child.wait()
    if ran.code >= 0:  # It was faster.
        lasts_s[name] = time.monotonic() - began
        is_early = "are not embedded" in ran.err or "no results" in ran.err
        check(ran.code == 0 or is_early, f"{name}: exit {ran.code}: {ran.err.strip()[-300:]}")
    else:
        lasts_s[name] = 1.1 * lasts_s.get(name, 1.0)
    after = rows_of(folder)
    check(before.items() <= after.items(), f"{name}: rows lost or changed by a kill")
    check(after.items() <= whole.rows.items(), f"{name}: strange rows after a kill")


def finish(folder: Path, whole: Whole) -> None:
    """Run all to its end, and compare it with what was never killed."""
    for name, arguments in COMMANDS.items():
        ran = run(arguments, folder, small_shards)
        check(ran.code == 0, f"{name} after kills: exit {ran.code}: {ran.err.strip()[-300:]}")
        if name == "sweep":
            check(json.loads(ran.out)["results"] == whole.results, "other results after kills")
    check(run(["store", "verify"], folder).code == 0, "damaged after kills")
    check(rows_of(folder) == whole.rows, "other rows after kills")


def trials(chosen: argparse.Namespace, work: Path) -> Iterator[tuple[str, int, str]]:
    """Yield kind, number and what is wrong, if anything is, of each trial."""
    whole = Whole(work / "whole")
    for i in range(chosen.gc):
        folder = whole.begun(work / f"gc-{i}")
        rng = np.random.default_rng([chosen.seed, 0, i])
        yield "gc", i, said(lambda f=folder, r=rng: beside(f, r, whole))  # type: ignore[misc]
        shutil.rmtree(folder)
    lasts_s: dict[str, float] = {}
    for first in range(0, chosen.kills, ROUND):
        folder = whole.begun(work / f"kills-{first}")
        for i in range(first, min(first + ROUND, chosen.kills)):
            rng = np.random.default_rng([chosen.seed, 1, i])
            yield (
                "kills",
                i,
                said(
                    lambda f=folder, r=rng: killed(f, r, whole, lasts_s)  # type: ignore[misc]
                ),
            )
        yield "finished", first, said(lambda f=folder: finish(f, whole))  # type: ignore[misc]
        shutil.rmtree(folder)


def said(trial: Callable[[], None]) -> str:
    """Return what is wrong after a trial; ``""`` if nothing is."""
    try:
        trial()
    except AssertionError as error:
        return str(error)
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gc", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        for kind, number, wrong in trials(chosen, Path(name)):
            counts.setdefault(kind, Counter())["wrong" if wrong else "right"] += 1
            if wrong:
                print(f"{kind} {number}: {wrong}", flush=True)
    print(json.dumps({kind: dict(count) for kind, count in counts.items()}))
    sys.exit(any(count["wrong"] for count in counts.values()))


if __name__ == "__main__":
    main()
