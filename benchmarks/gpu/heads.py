"""Heads, distances and whole sweeps: the same scores on the device, and how much sooner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import bench_heads
import numpy as np
import torch
from racing import race

from gpu.bench import Bench, NotRunError, Row, one_line
from xprobe.learners.kinds import kind_of
from xprobe.learners.logistic import solver
from xprobe.learners.logistic.basis import Basis
from xprobe.learners.logistic.head import solve_path
from xprobe.learners.problem import Fit, Options, Pool, Problem
from xprobe.learners.solve import make_head, solve

GRID = tuple(float(c) for c in bench_heads.GRIDS[10])


# --- checks --------------------------------------------------------------------------------


class _Read:
    """Features that are read as they are asked for, as of a store larger than memory."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.x[rows])


def check(bench: Bench, _argument: str) -> None:
    """Compare the scores and the chosen C of every head with the CPU's."""
    size, d = (0.1, 64) if bench.quick else (1, 768)
    study = bench_heads.make_study(size, d, 0, 1)
    pool = study.pool
    text = 20 * pool.rows() @ pool.rows(np.arange(study.k)).T
    worded = replace(pool, text_logits=text.astype(np.float32))
    each = 1 if bench.quick else 2
    problems = [problem for own in study.problems.values() for problem in own[:each]]
    streamed = Pool(_Read(study.x), study.y, study.k, study.stratum)
    for name, head, rows, some in (
        ("logistic, grid of C", "logistic", pool, problems),
        ("logistic from text", "text", worded, problems[:each]),
        ("logistic, features read in chunks", "logistic", streamed, problems[:each]),
        ("ridge", "ridge", pool, problems),
        ("nearest neighbours", "knn", pool, problems),
    ):
        with bench.row(name) as row:
            fits = {device: solved(head, rows, some, device) for device in ("cpu", bench.device)}
            compare(row, fits[bench.device], fits["cpu"])
            if head in ("logistic", "text"):
                hold_to_optimum(row, fits, optimum(head, rows, some))
            if head in ("ridge", "knn"):
                row.notes.append("computed on the CPU by NumPy whatever the device")


def solved(head: str, pool: Pool, problems: list[Problem], device: str) -> list[Fit]:
    """Return the fits of problems in their order."""
    found = dict(solve(head, pool, problems, Options(GRID), workers=1, device=device))
    return [found[i] for i in range(len(problems))]


def optimum(head: str, pool: Pool, problems: list[Problem]) -> list[Fit]:
    """Return the fits on the CPU to a thousandth of the solver's tolerance."""
    with mock.patch.object(solver, "TOLERANCE", solver.TOLERANCE / 1000):
        exact = make_head(kind_of(head), pool, Options(GRID), "cpu")
        return [exact.solve(problem) for problem in problems]


def hold_to_optimum(row: Row, fits: dict[str, list[Fit]], exact: list[Fit]) -> None:
    """Hold the device's scores to be about as near to the optimum as the CPU's."""
    off = {
        device: max(
            float(np.abs(a.score - b.score).max())
            for a, b in zip(some, exact, strict=True)
            if a.c == b.c
        )
        for device, some in fits.items()
    }
    row.values |= {f"to the optimum, {device}": distance for device, distance in off.items()}
    most = 3 * max(off["cpu"], 1e-4)
    row.at_most("largest distance to the optimum", max(off.values()), most)


def compare(row: Row, fits: list[Fit], expected: list[Fit]) -> None:
    """Hold labels and C to others, and note how far scores are from theirs."""
    pairs = list(zip(fits, expected, strict=True))
    row.at_least("share of equal C", float(np.mean([a.c == b.c for a, b in pairs])), 0.9)
    same = [(a, b) for a, b in pairs if a.c == b.c]
    off = max(float(np.abs(a.score - b.score).max()) for a, b in same)
    row.values["largest difference of log-probabilities"] = off
    labels = [a.score.argmax(axis=1) == b.score.argmax(axis=1) for a, b in same]
    row.at_least("share of equal labels", float(np.concatenate(labels).mean()), 0.999)
    row.values["finished elsewhere"] = sum(fit.finished for fit in fits)
    row.values["unconverged"] = sum(fit.unconverged for fit in fits)
    row.notes.append(
        "a GPU takes another way to the optimum than a CPU, so that both are held to it: at "
        "C = 10,000 the solver's tolerance leaves .005 to .016 in log-probability on a CPU; C may "
        "differ where two values hit equally many images but for one"
    )


def distances(bench: Bench, _argument: str) -> None:
    """Compare what of `xprobe distance` runs on a GPU."""
    with bench.row("nearest neighbours of distances") as row:
        bench.needs_cuda()
        import faiss

        if not getattr(faiss, "get_num_gpus", int)():
            raise NotRunError("the FAISS that is installed computes on the CPU alone")
        from xprobe.distance.neighbours import search

        x = bench_heads.features(2000, 0, 768, 6, 0)[0]
        found = search(x[:500], x, 5)
        squared = ((x[:500, None, :256] - x[None, :, :256]) ** 2).sum(axis=2)
        squared += ((x[:500, None, 256:] - x[None, :, 256:]) ** 2).sum(axis=2)
        expected = np.sqrt(np.sort(squared, axis=1)[:, :5])
        row.at_most("largest difference", float(np.abs(found.distances - expected).max()), 1e-3)
    with bench.row("permutation test"):
        raise NotRunError("computed on the CPU by NumPy whatever the device")


# --- measures ------------------------------------------------------------------------------


def pace(bench: Bench, _argument: str) -> None:
    """Race paths over C on the CPU's cores and on the device, and scikit-learn's on the latter."""
    sizes, d = ((300, 600), 64) if bench.quick else ((3000, 50_000), 768)
    for n in sizes:
        x, y, stratum = bench_heads.features(n, 0, d, 6, 1)
        pool = Pool(x, y, 6, stratum)
        solve_path(pool, np.arange(200), (1.0,), bench.device)  # loads libraries
        for values in (10, 45):
            with bench.row(f"path over {values} values of C, {n} rows of {d}") as row:
                name = "axes and rotation on the device, s"
                row.values |= race({name: partial(Basis, pool, np.ones(n), bench.device)}, 3)
                grid = tuple(float(c) for c in bench_heads.GRIDS[values])
                found: dict[str, Any] = {}
                paths = {
                    name: partial(_keep, found, name, pool, grid, device)
                    for name, device in (("device", bench.device), ("cpu", "cpu"))
                }
                _race(bench, row, paths)
                ratio = row.values["cpu, s"] / row.values["device, s"]
                row.values["device over CPU"] = ratio
                scores = [_logits(pool, fitted) for fitted in found.values()]
                row.values["largest difference"] = float(np.abs(scores[0] - scores[1]).max())
                if n == sizes[-1]:
                    name = f"heads, {values} values of C, {n} rows: device over CPU"
                    row.target(name, 10, ratio)
                if values == 10:
                    row.values |= _scikit_learn(bench, pool, grid)


def _keep(
    found: dict[str, Any], name: str, pool: Pool, grid: tuple[float, ...], device: str
) -> None:
    found[name] = solve_path(pool, np.arange(len(pool.y)), grid, device)


def _race(bench: Bench, row: Row, contenders: dict[str, Callable[[], Any]]) -> None:
    """Note the median seconds of each, of three rounds if there is time, else of one."""
    start = time.perf_counter()
    taken = [race(contenders, 1)]
    one = time.perf_counter() - start
    while len(taken) < 3 and not bench.quick and bench.left_s > 10 + 3 * one:
        taken.append(race(contenders, 1))
    for name in contenders:
        row.values[f"{name}, s"] = float(np.median([own[name] for own in taken]))
    row.values["rounds"] = len(taken)


def _logits(pool: Pool, fitted: Any) -> np.ndarray:
    """Return the logits (m, n, k) of the first rows, less their mean over classes."""
    w, b = fitted
    logits = np.einsum("nd,mkd->mnk", pool.rows(np.arange(200)), w) + b[:, None]
    return np.asarray(logits - logits.mean(axis=2, keepdims=True))


def _scikit_learn(bench: Bench, pool: Pool, grid: tuple[float, ...]) -> dict[str, Any]:
    """Return the seconds of scikit-learn's own loop over C on tensors of the device."""
    from sklearn import config_context
    from sklearn.linear_model import LogisticRegression

    name = "scikit-learn on the device, s"
    if not bench.has_cuda:
        return {name: "not run: needs CUDA"}
    x = torch.from_numpy(pool.rows()).to(bench.device)
    y = torch.from_numpy(pool.y).to(bench.device)
    try:
        with config_context(array_api_dispatch=True):
            LogisticRegression(C=1.0).fit(x, y)
            start = time.perf_counter()
            for c in grid:
                LogisticRegression(C=c, max_iter=1000).fit(x, y)
    except Exception as error:  # what it takes depends on its version
        return {name: one_line(f"not run: {type(error).__name__}: {error}", 160)}
    return {name: time.perf_counter() - start}


def sweep(bench: Bench, _argument: str) -> None:
    """Time `xprobe sweep` at the study's size, start-up included."""
    size, d = (0.1, 64) if bench.quick else (1, 768)
    # Processes that solve heads import torch for longer than tiny heads take.
    extra = ["--repeats", "1", "--workers", "1"] if bench.quick else []
    for device in dict.fromkeys((bench.device, "cpu")):
        with bench.row(f"default sweep, {600 * size:.0f} real, {2400 * size:.0f} synthetic") as row:
            row.values["device"] = device
            row.values["s"] = bench_heads.whole_sweep(size, d, ["--device", device, *extra])
            row.notes.append(f"features of {d} values, as ViT-L/14's are after the projection")
