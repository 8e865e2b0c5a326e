"""How much faster than a loop over other solvers are xprobe's heads, and are they the optimum?

Made-up features like CLIP's: class clusters, a power-law spectrum, a common mean, unit length; the
synthetic ones shifted and less spread. A study has 6 classes, 600 real and 2,400 synthetic rows,
the settings real-only, 1:1 … 1:4 and synthetic-only, 5 folds, 4 repeats (a sweep has 10) and 5
inner folds. Contenders alternate:

- ``xprobe``: `heads.solve` as `xprobe sweep` calls it, two processes; ``xprobe full``: the same,
  but every fit of the choice of C at the final tolerance too;
- ``sklearn``: a loop over LogisticRegression as it comes (lbfgs, tolerance 1e-4, float32), the best
  of two processes with one thread and one process with two; ``sklearn tight``: tolerance 1e-8,
  float64; ``LogisticRegressionCV`` on the same inner folds;
- ``torch``: a loop over torch.optim.LBFGS (strong Wolfe, history 10, gradient 1e-5).

Slow contenders fit a sample: of each setting the training rows of one inner fold, at every C
(tight: at every fifth of 45; gaps: at every seventh of 45; torch: at three, once), which gives
seconds per fit of each setting; xprobe's are those of all folds and repeats of a setting over the
fits that a loop would need. A ratio is the sum over settings of a contender's seconds over that of
xprobe: above 1, xprobe is faster.

``gap`` is (f − f*)/f* of a fit's objective in float64, f* that of scikit-learn's newton-cg at 1e-10
or xprobe's, whichever is lower; ``agreement`` the share of test labels equal to that solution's.
``peak_mib`` is the largest memory of a process of its own, imports included.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from threadpoolctl import threadpool_limits

from xprobe.cli import app
from xprobe.learners import solve as heads
from xprobe.learners.problem import Options, Pool, Problem, unit_rows

QUESTION = "How much faster than other solvers are xprobe's heads, and are they the optimum?"
RATIO = {"real-only": 0, "1:1": 1, "1:2": 2, "1:3": 3, "1:4": 4, "synthetic-only": 4}
GRIDS = {10: np.logspace(-2, 4, 10), 45: np.logspace(-6, 5, 45)}
FOLDS, REPEATS = 5, 4
PROCESSES = 2  # one with --quick: a process imports for longer than its tiny problems take
STARTED = time.perf_counter()


@dataclass
class Study:
    """Rows of a study and the problems of all repeats, by setting."""

    x: np.ndarray
    y: np.ndarray
    stratum: np.ndarray
    k: int
    problems: dict[str, list[Problem]]

    @property
    def pool(self) -> Pool:
        return Pool(self.x, self.y, self.k, self.stratum)


def features(
    n_real: int, n_synthetic: int, d: int, k: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x (n, d) of unit length, labels, and 1 for synthetic rows."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, d + 1) ** -0.7
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    common = 0.5 * rng.normal(size=d)
    centres = rng.normal(size=(k, d)) * scale**1.2 * 0.8
    shift = 0.4 * rng.normal(size=d) * scale
    parts, labels = [], []
    for n, spread, nearer, off in ((n_real, 1, 1, 0), (n_synthetic, 0.8, 0.9, 1)):
        y = np.arange(n) % k
        rows = rng.normal(size=(n, d)) * scale * spread + centres[y] * nearer + off * shift
        parts.append(rows @ basis + common)
        labels.append(y)
    x = unit_rows(np.concatenate(parts)).astype(np.float32)
    return x, np.concatenate(labels), np.repeat([0, 1], [n_real, n_synthetic])


def make_study(size: float, d: int, seed: int, repeats: int) -> Study:
    x, y, stratum = features(int(600 * size), int(2400 * size), d, 6, seed)
    rng = np.random.default_rng(seed)
    real, synthetic = np.flatnonzero(stratum == 0), np.flatnonzero(stratum == 1)
    problems: dict[str, list[Problem]] = {name: [] for name in RATIO}
    for number in range(FOLDS * repeats):
        if number % FOLDS == 0:
            fold = rng.permutation(len(real)) % FOLDS
        held = fold == number % FOLDS
        train, order = real[~held], rng.permutation(synthetic)
        own = rng.permutation(len(train)) % FOLDS

        def rows(part: np.ndarray, name: str, order: np.ndarray = order) -> np.ndarray:
            drawn = order[: RATIO[name] * len(part)]
            return np.sort(np.concatenate([part[: 0 if name == "synthetic-only" else None], drawn]))

        for name in RATIO:
            inner = tuple((rows(train[own != i], name), train[own == i]) for i in range(FOLDS))
            problems[name].append(Problem(rows(train, name), real[held], inner))
    return Study(x, y, stratum, 6, problems)


def useful_fits(problem: Problem, m: int) -> int:
    """Return how many fits a loop needs: folds that train on the same rows need one."""
    return len(problem.merged_inner()) * m + 1


def seconds_of(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def sklearn_fit(x: np.ndarray, y: np.ndarray, c: float, options: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=c, **options).fit(x, y)


def processes() -> Any:
    """Let joblib use processes of one thread each."""
    threads = 1 if PROCESSES > 1 else None
    return joblib.parallel_config("loky", n_jobs=PROCESSES, inner_max_num_threads=threads)


def sklearn_loop(
    study: Study, jobs: Sequence[tuple[np.ndarray, float]], way: str, tight: bool
) -> None:
    options = {"tol": 1e-8, "max_iter": 100_000} if tight else {}
    x = study.x.astype(np.float64) if tight else study.x
    if way == "processes":
        with processes():
            joblib.Parallel()(
                joblib.delayed(sklearn_fit)(x[rows], study.y[rows], c, options) for rows, c in jobs
            )
    else:
        with threadpool_limits(2):
            for rows, c in jobs:
                sklearn_fit(x[rows], study.y[rows], c, options)


def torch_loop(study: Study, jobs: Sequence[tuple[np.ndarray, float]]) -> None:
    import torch

    for rows, c in jobs:
        x, y = torch.from_numpy(study.x[rows]), torch.from_numpy(study.y[rows])
        w = torch.zeros(study.k, x.shape[1] + 1, requires_grad=True)
        penalty = 1 / (c * len(rows))
        optimiser = torch.optim.LBFGS(
            [w], max_iter=1000, history_size=10, tolerance_grad=1e-5, tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )  # fmt: skip

        def loss(
            x: torch.Tensor = x, y: torch.Tensor = y, w: torch.Tensor = w, λ: float = penalty
        ) -> torch.Tensor:
            w.grad = None
            z = x @ w[:, :-1].T + w[:, -1]
            value = torch.nn.functional.cross_entropy(z, y) + λ / 2 * (w[:, :-1] ** 2).sum()
            value.backward()
            return value

        optimiser.step(loss)


def solve(study: Study, problems: Sequence[Problem], options: Options) -> None:
    """Solve problems by xprobe."""
    list(heads.solve("logistic", study.pool, problems, options, workers=PROCESSES, device="cpu"))


def race(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each, alternating."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            taken[name].append(seconds_of(work))
    return {name: statistics.median(each) for name, each in taken.items()}


def race_grid(study: Study, m: int, rounds: int, way: str) -> list[dict[str, Any]]:
    """Race each setting of a study; return a row a setting, and one for all."""
    grid = tuple(GRIDS[m])
    coarse = grid if m == 10 else grid[::5]
    rows = []
    for name, problems in study.problems.items():
        train = problems[0].inner[0][0]
        jobs = {c: (train, c) for c in grid}

        def ours(full: bool, problems: list[Problem] = problems) -> None:
            options = Options(grid, full_tolerance=full)
            solve(study, problems, options)

        contenders: dict[str, Callable[[], Any]] = {
            "xprobe": lambda: ours(False),
            "xprobe full": lambda: ours(True),
            "sklearn": lambda jobs=jobs: sklearn_loop(study, list(jobs.values()), way, False),
            "sklearn tight": lambda jobs=jobs: sklearn_loop(
                study, [jobs[c] for c in coarse], way, True
            ),
        }
        taken = race(contenders, rounds)
        some = [jobs[c] for c in grid[:: m // 3]]
        taken["torch"] = seconds_of(lambda some=some: torch_loop(study, some))
        fits = sum(useful_fits(problem, m) for problem in problems)
        per_fit = {
            "xprobe": taken["xprobe"] / fits,
            "xprobe full": taken["xprobe full"] / fits,
            "sklearn": taken["sklearn"] / len(grid),
            "sklearn tight": taken["sklearn tight"] / len(coarse),
            "torch": taken["torch"] / len(some),
        }
        row = {"setting": name, "values": m, "d": study.x.shape[1], "n": len(problems[0].train)}
        rows.append(row | {f"{key} s/fit": value for key, value in per_fit.items()})
    return rows


def ratio(rows: Sequence[dict[str, Any]], slow: str, ours: str) -> float:
    return sum(row[f"{slow} s/fit"] for row in rows) / sum(row[f"{ours} s/fit"] for row in rows)


def race_cv(study: Study, rounds: int) -> float:
    """Return the ratio of LogisticRegressionCV, best of two ways, to xprobe, per problem.

    It solves one problem of each setting, xprobe all.
    """
    grid = tuple(GRIDS[10])

    def theirs(jobs: int) -> None:
        with warnings.catch_warnings(), threadpool_limits(2 // jobs):
            warnings.simplefilter("ignore")
            for problem in (own[0] for own in study.problems.values()):
                rows = np.unique(np.concatenate([problem.train, *(v for _, v in problem.inner)]))
                splits = [
                    (np.searchsorted(rows, a), np.searchsorted(rows, b))
                    for a, b in problem.merged_inner()
                ]
                LogisticRegressionCV(Cs=grid, cv=splits, n_jobs=jobs).fit(
                    study.x[rows], study.y[rows]
                )

    def ours() -> None:
        for own in study.problems.values():
            solve(study, own, Options(grid))

    contenders: dict[str, Callable[[], Any]] = {"xprobe": ours, "one": lambda: theirs(1)}
    if PROCESSES > 1:
        contenders["two"] = lambda: theirs(2)
    taken = race(contenders, rounds)
    problems = len(next(iter(study.problems.values())))
    return min(taken[name] for name in contenders if name != "xprobe") * problems / taken["xprobe"]


def objective(
    w: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, c: float
) -> tuple[float, np.ndarray]:
    """Return C·Σ CE + ‖W‖²/2 in float64, and the logits."""
    from scipy.special import logsumexp

    z = x @ w.T + b
    loss = logsumexp(z, axis=1) - z[np.arange(len(y)), y]
    return float(c * loss.sum() + 0.5 * (w**2).sum()), z


def exactness(
    study: Study, rows: np.ndarray, test: np.ndarray, grid: Sequence[float]
) -> list[dict[str, Any]]:
    """Compare each C's fit with a reference in float64: objective and test labels."""
    from xprobe.learners.logistic.head import solve_path

    x, y = study.x.astype(np.float64), study.y
    pool = study.pool
    ours = solve_path(pool, rows, tuple(grid))
    tightest = {"solver": "newton-cg", "tol": 1e-10, "max_iter": 5000}
    with processes():
        newtons = joblib.Parallel()(
            joblib.delayed(sklearn_fit)(x[rows], y[rows], c, tightest) for c in reversed(grid)
        )
    found = []
    for i, (c, newton) in enumerate(zip(grid, reversed(newtons), strict=True)):
        default = sklearn_fit(study.x[rows], y[rows], c, {})
        named = {
            "xprobe": (ours[0][i], ours[1][i]),
            "newton": (newton.coef_, newton.intercept_),
            "default": (default.coef_.astype(np.float64), default.intercept_),
        }
        value = {name: objective(*wb, x[rows], y[rows], c)[0] for name, wb in named.items()}
        best = min(value, key=lambda name: value[name])
        label = {n: (x[test] @ w.T + b).argmax(1) for n, (w, b) in named.items()}
        found.append(
            {
                "c": c,
                "gap": (value["xprobe"] - value[best]) / value[best],
                "default gap": (value["default"] - value[best]) / value[best],
                "agreement": float((label["xprobe"] == label[best]).mean()),
                "default agreement": float((label["default"] == label[best]).mean()),
            }
        )
    return found


def race_large(
    k: int, n: int, d: int, rounds: int, grid: Sequence[float], tight: bool
) -> dict[str, Any]:
    """Race a path over a few C on many classes or rows, two threads."""
    from xprobe.learners.logistic.head import solve_path

    x, y, stratum = features(n, 0, d, k, 1)
    study = Study(x, y, stratum, k, {})
    rows = np.arange(n)
    jobs = [(rows, c) for c in grid]
    contenders: dict[str, Callable[[], Any]] = {
        "xprobe": lambda: solve_path(study.pool, rows, tuple(grid)),
        "sklearn": lambda: sklearn_loop(study, jobs, "threads", False),
        "sklearn processes": lambda: sklearn_loop(study, jobs, "processes", False),
    }
    taken = race(contenders, rounds)
    row: dict[str, Any] = {"k": k, "n": n, "d": d, "values": len(grid), "xprobe s": taken["xprobe"]}
    row["ratio"] = min(taken["sklearn"], taken["sklearn processes"]) / taken["xprobe"]
    if tight:  # at half of the C, for its minutes
        some = tuple(grid[1::2])
        slow = seconds_of(
            lambda: sklearn_loop(study, [(rows, c) for c in some], "threads", tight=True)
        )
        row["tight ratio"] = slow / seconds_of(lambda: solve_path(study.pool, rows, some))
    return row


def run_apart(arguments: Sequence[str], folder: str) -> None:
    """Run ``xprobe ARGUMENTS`` in a folder, in a process of its own."""
    command = [sys.executable, "-m", "xprobe", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def run_within(arguments: Sequence[str], folder: str) -> None:
    """Run ``xprobe ARGUMENTS`` in a folder, in this process, which has loaded most of it."""
    sys.argv = ["xprobe", *arguments]
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        app.main()


def whole_sweep(
    size: float, d: int, arguments: Sequence[str], run: Callable[[Sequence[str], str], None]
) -> float:
    """Return the seconds of `xprobe sweep` on imported features, as `run` runs it."""
    x, y, stratum = features(int(600 * size), int(2400 * size), d, 6, 0)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, (label, synthetic) in enumerate(zip(y, stratum, strict=True)):
            source = "synthetic/made" if synthetic else "real"
            paths.append(f"{source}/class {label}/{i}.png")
            file = Path(folder) / "data" / paths[-1]
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.array([[[i % 256, i // 256, 9]]], dtype=np.uint8)).save(file)
        np.savez(Path(folder) / "features.npz", id=np.array(paths), x=x)
        run(["import-features", "features.npz", "--encoder-name", "made"], folder)
        return seconds_of(lambda: run(["sweep", *arguments], folder))


class Made:
    """Features that are made as they are read: all differ, none is kept.

    Making them must cost little beside the solver: row i is a row of a table plus one of a table of
    noise, whose lengths have no common factor.
    """

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        noise = np.random.default_rng(0).normal(size=(997, x.shape[1]))
        self.noise = (0.02 * noise).astype(np.float32)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        made: np.ndarray = self.x[rows % len(self.x)]
        made += self.noise[rows % len(self.noise)]
        return made


def peak(what: str, n: int, d: int) -> None:
    """Solve one problem in this process, and print its peak memory."""
    from xprobe.learners.logistic.head import solve_path

    x, y, _ = features(min(n, 20_000), 0, d, 6, 0)
    rows = np.arange(n)
    if what == "streamed":
        pool = Pool(Made(x), y[rows % len(y)], 6)
    else:
        pool = Pool(np.tile(x, (n // len(x), 1)), y[rows % len(y)], 6)
    taken = seconds_of(lambda: solve_path(pool, rows, (1.0,)))
    print(json.dumps({"peak_mib": peak_mib(), "seconds": round(taken, 1)}))


def peak_mib() -> int | None:
    """Return the most memory this program held; getrusage also counts what started it."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) // 1024


def peak_apart(what: str, n: int, d: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--peak", what, str(n), str(d)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    size = n * d * 4 / 2**20
    return {"what": what, "n": n, "d": d, "features_mib": round(size)} | json.loads(done.stdout)


def best_way(study: Study) -> str:
    """Return how a scikit-learn loop is faster here: two processes or two threads."""
    problem = study.problems["1:2"][0]
    jobs = [(problem.train, c) for c in GRIDS[10]]
    sklearn_loop(study, jobs[:2], "processes", False)  # starts them
    taken = {
        way: seconds_of(lambda way=way: sklearn_loop(study, jobs, way, False))
        for way in ("processes", "threads")
    }
    return min(taken, key=lambda way: taken[way])


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peak", nargs=3, metavar=("WHAT", "N", "D"))
    chosen = parser.parse_args()
    if chosen.peak:
        peak(chosen.peak[0], int(chosen.peak[1]), int(chosen.peak[2]))
        return
    global PROCESSES
    PROCESSES = 1 if chosen.quick else PROCESSES
    document = quick() if chosen.quick else full()
    print(json.dumps(document))


def measure(
    size: float, dims: Sequence[int], rounds: int, values: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Race the study's grids and check exactness; return rows and targets."""
    rows: list[dict[str, Any]] = []
    targets = []
    for d in dims:
        study = make_study(size, d, d, 1 if size < 1 else REPEATS)
        if size < 1:
            few = {name: study.problems[name][:1] for name in ("real-only", "1:1", "1:2")}
            study = replace(study, problems=few)
        way = best_way(study)
        warm = study.problems["real-only"][:2]
        solve(study, warm, Options((1.0,)))
        for m in values:
            raced = race_grid(study, m, rounds if m == 10 else 1, way)
            rows += raced
            asked = {10: (7, 40), 45: (10, 60)}[m]
            name = f"d = {d}, {m} values of C: × a scikit-learn loop"
            targets.append(
                at_least(f"{name}, default", asked[0], ratio(raced, "sklearn", "xprobe"))
            )
            tight = ratio(raced, "sklearn tight", "xprobe full")
            targets.append(at_least(f"{name} at 1e-8", asked[1], tight))
            targets.append(
                at_least(
                    f"{name.split('×')[0]}× torch LBFGS", 1, ratio(raced, "torch", "xprobe full")
                )
            )
        some = study.problems if size == 1 else {"1:1": study.problems["1:1"]}
        times = race_cv(replace(study, problems=some), rounds)
        targets.append(at_least(f"d = {d}: × LogisticRegressionCV", 8, times))
        exact = []
        for name, problems in study.problems.items():
            for m in values:
                grid = GRIDS[m] if m == 10 else GRIDS[m][::7]
                part = exactness(study, problems[0].train, problems[0].test, grid)
                exact += [{"setting": name, "values": m, "d": d} | row for row in part]
        rows += exact
        targets.append(at_most(f"d = {d}: largest gap", 1e-6, max(r["gap"] for r in exact)))
        agreement = float(np.mean([r["agreement"] for r in exact]))
        targets.append(at_least(f"d = {d}: agreement of test labels", 0.999, agreement))
        worst = max(r["default gap"] for r in exact), min(r["default agreement"] for r in exact)
        print(
            f"d = {d}: scikit-learn's default has gaps to {worst[0]:.2g}, labels to {worst[1]:.3f}"
        )
    return rows, targets


def at_least(name: str, asked: float, measured: float) -> dict[str, Any]:
    return shown(name, f">= {asked:g}", measured, measured >= asked)


def at_most(name: str, asked: float, measured: float) -> dict[str, Any]:
    return shown(name, f"<= {asked:g}", measured, measured <= asked)


def shown(name: str, asked: str, measured: float, met: bool) -> dict[str, Any]:
    minutes = (time.perf_counter() - STARTED) / 60
    print(f"{minutes:5.1f} min  {name:<62} asked {asked:<9} measured {measured:.4g}", flush=True)
    return {"name": name, "asked": asked, "measured": measured, "met": met}


def full() -> dict[str, Any]:
    rows, targets = measure(1, (512, 768), 3, (10, 45))
    grid = (1e-2, 1.0, 1e2, 1e4)
    many = race_large(100, 3000, 768, 3, grid, tight=True)
    targets.append(at_least("100 classes, 3,000 rows: × default", 1.5, many["ratio"]))
    targets.append(at_least("100 classes, 3,000 rows: × tight", 5, many["tight ratio"]))
    long = race_large(6, 50_000, 768, 3, grid, tight=False)
    targets.append(at_least("50,000 rows: × default", 5, long["ratio"]))
    sweeps = [whole_sweep(1, 768, [], run_apart) for _ in range(2)]  # start-up included
    targets.append(at_most("xprobe sweep, default, d = 768, seconds", 60, min(sweeps)))
    rows += [many, long, {"what": "sweep seconds", "each": sweeps}]
    rows.append(peak_apart("memory", 40_000, 768))
    rows.append(peak_apart("streamed", 40_000, 768))
    rows.append(peak_apart("streamed", 1_000_000, 768))
    print(rows[-3:], flush=True)
    return document_of(rows, targets)


def quick() -> dict[str, Any]:
    rows, targets = measure(0.05, (32,), 1, (10,))
    rows.append(race_large(20, 200, 32, 1, (1.0, 100.0), tight=True))
    few = ["--ratios", "1", "--folds", "2", "--repeats", "1", "--c-grid", "1", "--workers", "1"]
    rows.append({"what": "sweep seconds", "each": [whole_sweep(0.05, 32, few, run_within)]})
    peak("streamed", 2_000, 32)
    return document_of(rows, targets)


def document_of(rows: list[dict[str, Any]], targets: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("xprobe", "numpy", "scipy", "scikit-learn", "torch")
    return {
        "question": QUESTION,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: importlib.metadata.version(name) for name in names},
        "rows": rows,
        "targets": targets,
    }


if __name__ == "__main__":
    main()
