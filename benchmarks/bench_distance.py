"""How much faster than the separate tools are xprobe's distances, and do the values agree?

    python benchmarks/bench_distance.py [--quick] [--sizes 300 3000] [--large]

Made-up features like CLIP's (power-law spectrum, a common mean, unit length, d = 768), n real and n
synthetic rows, the synthetic ones shifted and less spread. Values are checked first; then the
contenders alternate in one run, on the same threads, and medians are shown:

- ``xprobe``: `distance.measure` of precision, recall, density, coverage, authenticity, mmd, energy,
  kid and cmmd, with one split, 20 permutations and 20 bootstrap draws: less than that no p-value
  and interval can be had, and the tools have none at all. ``defaults``: 20 splits, 1,000
  permutations, 200 draws;
- ``tools``: prdc, scikit-learn's NearestNeighbors (authenticity), torch-fidelity's polynomial and
  Gaussian MMD (kid, cmmd; float32 as they come), and MMD and energy distance in plain numpy
  float64, matrix products included; one value of each, of all n and n rows. ``tools, same sets``:
  the neighbour tools at the sizes that xprobe compares, n/2 and n/2 rows, real against synthetic
  and real against real, which is the floor; the others as before. xprobe's pass does the same
  comparisons, so this is the stricter ratio.

A ratio is seconds of the others over seconds of xprobe: above 1, xprobe is faster. ``search`` is
`neighbours.search` over what FAISS's flat index takes alone, index building included: below 1.2 is
asked. Re-summing adds up the two sides of the kernel matrix for each permutation; a few are timed.
``off`` is the largest difference of a value from the tool's in float64, over the largest term of
the difference. Tools that are not installed are replaced by their definitions, and named.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import faiss
import numpy as np
from racing import race
from sklearn.neighbors import NearestNeighbors

from xprobe.distance import exchange, kernels, neighbours, resampling
from xprobe.distance import measure as distance
from xprobe.distance.fidelity import frechet
from xprobe.distance.metrics import DISTANCES, KernelMetric, NeighbourMetric
from xprobe.learners.problem import unit_rows

QUESTION = "How much faster than the separate tools are xprobe's distances, and are they the same?"
KERNELS = tuple(name for name, row in DISTANCES.items() if isinstance(row, KernelMetric))
NEIGHBOURS = tuple(name for name, row in DISTANCES.items() if isinstance(row, NeighbourMetric))
NAMES = (*NEIGHBOURS, *KERNELS)
TOOLS = {"prdc": "prdc", "torch_fidelity": "torch-fidelity"}
MISSING = [name for module, name in TOOLS.items() if importlib.util.find_spec(module) is None]
K = 5
ASKED = {3000: 4.0, 10_000: 2.0, 20_000: 2.0}  # × the separate tools
STARTED = time.perf_counter()


def features(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return real and synthetic rows (n, d) float32 of length 1."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, d + 1) ** -0.7
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    common, shift = 0.1 * rng.normal(size=d), 0.2 * rng.normal(size=d) * scale
    real = rng.normal(size=(n, d)) * scale @ basis + common
    synthetic = (rng.normal(size=(n, d)) * scale * 0.9 + shift) @ basis + common
    return unit_rows(real).astype(np.float32), unit_rows(synthetic).astype(np.float32)


def ours(real: np.ndarray, synthetic: np.ndarray, names: Sequence[str] = NAMES) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found = distance.measure(
        real, synthetic, np.arange(len(real)), rng, metrics=names, permutations=20, splits=1,
        bootstrap=20, n_neighbors=K,
    )  # fmt: skip
    return {row.metric: row for row in found}


def split_of(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what `ours` compares in its one split: two halves of the real rows, and synthetic."""
    n, m = len(real), len(synthetic)
    count = distance.KERNEL_SPLITS if n + m <= kernels.CACHED_ROWS else 1
    stream = np.random.default_rng(0).spawn(6)[0]
    split = distance._splits(np.arange(n), m, count, stream)[0]
    return real[split.one], real[split.other], synthetic[split.synthetic - n]


# --- the separate tools --------------------------------------------------------------------


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.maximum(out, 0, out=out)


def own_prdc(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    def radii(x: np.ndarray) -> np.ndarray:
        return np.sqrt(np.partition(squared(x, x), K, axis=1)[:, K])

    of_real, of_fake = radii(real)[:, None], radii(fake)
    across = np.sqrt(squared(real, fake))
    return {
        "precision": (across < of_real).any(0).mean(),
        "recall": (across < of_fake).any(1).mean(),
        "density": (across < of_real).sum(0).mean() / K,
        "coverage": (across.min(1) < of_real[:, 0]).mean(),
    }


def prdc(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    if "prdc" in MISSING:
        return own_prdc(real.astype(np.float64), fake.astype(np.float64))
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        found: dict[str, float] = compute_prdc(real, fake, K)
    return found


def authenticity(real: np.ndarray, fake: np.ndarray) -> float:
    index = NearestNeighbors(algorithm="brute").fit(real)
    own = index.kneighbors(n_neighbors=1)[0][:, 0]
    off, nearest = index.kneighbors(fake, n_neighbors=1)
    return float((off[:, 0] > own[nearest[:, 0]]).mean())


Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


def u_statistic(x: np.ndarray, y: np.ndarray, kernel: Kernel) -> float:
    """Return the unbiased estimate of a kernel's mean difference."""

    def within(a: np.ndarray) -> float:
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def torch_mmd(real: np.ndarray, fake: np.ndarray, kernel: str) -> float:
    """Return torch-fidelity's MMD² of all rows: 'poly' is KID's, 'rbf' with σ = 10 CMMD's."""
    if "torch-fidelity" in MISSING:
        x, y = real.astype(np.float64), fake.astype(np.float64)
        if kernel == "poly":
            return u_statistic(x, y, lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3)
        return u_statistic(x, y, lambda a, b: np.exp(squared(a, b) / -200))
    from torch_fidelity.metric_kid import kernel_mmd

    return float(kernel_mmd(real, fake, kid_kernel=kernel, kid_kernel_rbf_sigma=10.0))


def plain_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    x, y = real.astype(np.float64), fake.astype(np.float64)
    pooled = np.concatenate([x, y])
    if len(pooled) > kernels.MEDIAN_ROWS:  # the rows that xprobe draws
        stream = np.random.default_rng(0).spawn(6)[1]
        pooled = pooled[np.sort(stream.choice(len(pooled), kernels.MEDIAN_ROWS, replace=False))]
    median2 = np.median(squared(pooled, pooled)[np.triu_indices(len(pooled), 1)])
    return u_statistic(x, y, lambda a, b: np.exp(squared(a, b) / (-2 * median2)))


def plain_energy(real: np.ndarray, fake: np.ndarray) -> float:
    x, y = real.astype(np.float64), fake.astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        k = -np.sqrt(squared(a, b))
        if a is b:
            np.fill_diagonal(k, 0)
        return k

    return u_statistic(x, y, kernel)


def all_kernels(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    return {
        "kid": torch_mmd(real, fake, "poly"),
        "cmmd": 1000 * torch_mmd(real, fake, "rbf"),
        "mmd": plain_mmd(real, fake),
        "energy": plain_energy(real, fake),
    }


def all_neighbours(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    return prdc(real, fake) | {"authenticity": authenticity(real, fake)}


def their_frechet(real: np.ndarray, fake: np.ndarray) -> float:
    if "torch-fidelity" in MISSING:
        from scipy.linalg import sqrtm

        a, b = np.cov(real.T), np.cov(fake.T)
        off = real.mean(0) - fake.mean(0)
        return float(off @ off + np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b)).real)
    import torch
    from torch_fidelity import metric_fid as fid

    one, other = (fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake))
    return float(fid.fid_statistics_to_metric(one, other, False)[fid.KEY_METRIC_FID])


def resum(k: np.ndarray, sides: np.ndarray) -> list[float]:
    """Return the statistic of each column of sides by adding up its blocks of the kernel."""
    found = []
    for side in sides.T:
        a, b = np.flatnonzero(side), np.flatnonzero(side == 0)
        xx, yy, xy = (k[np.ix_(*r)].sum(dtype=np.float64) for r in ((a, a), (b, b), (a, b)))
        n, m = len(a), len(b)
        found.append(xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m))
    return found


# --- values --------------------------------------------------------------------------------


def largest_terms(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    """Return the largest mean kernel of the three that a kernel metric is the difference of."""
    x, y = real.astype(np.float64), synthetic.astype(np.float64)
    energy = max(np.sqrt(squared(a, b)).mean() for a, b in ((x, x), (x, y), (y, y)))
    return {"mmd": 1.0, "energy": energy, "kid": 1.0, "cmmd": 1000.0}


def check(n: int, d: int) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return a row a metric, and the largest difference of each kind."""
    real, synthetic = features(n, d, 1)
    found = ours(real, synthetic)
    one, other, fake = split_of(real, synthetic)
    x, y = real.astype(np.float64), synthetic.astype(np.float64)
    rows = []
    term = largest_terms(real, synthetic)
    for name, expected in all_kernels(x, y).items():
        value = found[name].value
        off = abs(value - expected) / term[name]
        rows.append({"n": n, "metric": name, "xprobe": value, "tool": expected, "off": off})
    one, other, fake = (part.astype(np.float64) for part in (one, other, fake))
    value_and_floor = all_neighbours(one, fake), all_neighbours(one, other)
    for name in NEIGHBOURS:
        for field, expected in zip(("value", "floor"), value_and_floor, strict=True):
            value = getattr(found[name], field)
            off = abs(value - expected[name])
            row = {"n": n, "metric": f"{name} {field}", "xprobe": value, "tool": expected[name]}
            rows.append(row | {"off": off})
    value, expected = frechet(real, synthetic), their_frechet(x, y)
    term["frechet"] = x.var(0).sum() + y.var(0).sum()
    off = abs(value - expected) / term["frechet"]
    rows.append({"n": n, "metric": "frechet", "xprobe": value, "tool": expected, "off": off})
    near = neighbours.search(synthetic, real, K).distances
    expected_near = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(x).kneighbors(y)[0]
    off = float(np.abs(near - expected_near).max())
    rows.append({"n": n, "metric": "nearest distances", "off": off})
    for row in rows:
        values = " ".join(f"{row[key]:14.9g}" for key in ("xprobe", "tool") if key in row)
        print(f"n = {n:<6} {row['metric']:<20} {values:<30} off {row['off']:.1e}")
    kinds = {"kernel": KERNELS, "frechet": ("frechet",), "nearest": ("nearest",)}
    kinds["neighbour"] = NEIGHBOURS
    return rows, {
        kind: max(row["off"] for row in rows if row["metric"].split()[0] in own)
        for kind, own in kinds.items()
    }


# --- speed ---------------------------------------------------------------------------------


def race_metrics(n: int, d: int, rounds: int, defaults: bool) -> dict[str, Any]:
    real, synthetic = features(n, d, 0)
    one, other, fake = split_of(real, synthetic)
    x, y = real[: n // 2], synthetic[: n // 2]
    contenders: dict[str, Callable[[], Any]] = {
        "xprobe": lambda: ours(real, synthetic),
        "xprobe neighbours": lambda: ours(real, synthetic, NEIGHBOURS),
        "xprobe kernels": lambda: ours(real, synthetic, KERNELS),
        "neighbour tools": lambda: all_neighbours(real, synthetic),
        "neighbour tools, same sets": lambda: (
            all_neighbours(one, fake), all_neighbours(one, other)),
        "kernel tools": lambda: all_kernels(real, synthetic),
    }  # fmt: skip
    ours(x, y), all_kernels(x, y), all_neighbours(x, y)  # imports, threads
    taken = race(contenders, rounds)
    if defaults:
        start = time.perf_counter()
        group, rng = np.arange(n), np.random.default_rng(0)
        distance.measure(real, synthetic, group, rng, metrics=NAMES)
        taken["xprobe defaults"] = time.perf_counter() - start
    row: dict[str, Any] = {"what": "metrics", "n": n, "d": d} | seconds(taken)
    row["ratio"] = (taken["neighbour tools"] + taken["kernel tools"]) / taken["xprobe"]
    same = taken["neighbour tools, same sets"] + taken["kernel tools"]
    return row | {"ratio, same sets": same / taken["xprobe"]}


def race_search(n: int, d: int, rounds: int) -> dict[str, Any]:
    real, synthetic = features(n, d, 0)

    def flat() -> None:
        index = faiss.IndexFlatL2(d)
        index.add(real)
        index.search(synthetic, K)

    def sklearn() -> None:
        NearestNeighbors(n_neighbors=K, algorithm="brute").fit(real).kneighbors(synthetic)

    taken = race({"search": lambda: neighbours.search(synthetic, real, K), "faiss": flat,
                  "sklearn": sklearn}, rounds)  # fmt: skip
    row: dict[str, Any] = {"what": "search", "n": n, "d": d} | seconds(taken)
    return row | {"ratio": taken["search"] / taken["faiss"]}


def race_frechet(n: int, d: int, rounds: int) -> dict[str, Any]:
    real, synthetic = features(n, d, 0)
    taken = race({"xprobe": lambda: frechet(real, synthetic),
                  "tool": lambda: their_frechet(real, synthetic)}, rounds)  # fmt: skip
    row: dict[str, Any] = {"what": "frechet", "n": n, "d": d} | seconds(taken)
    return row | {"ratio": taken["tool"] / taken["xprobe"]}


def race_permutations(n: int, d: int, rounds: int, count: int = 1000) -> dict[str, Any]:
    """Race `count` permutations, drawing included, with re-summing; both of one kernel matrix."""
    n = min(n, kernels.CACHED_ROWS // 2)  # above it xprobe thins, too
    real, synthetic = features(n, d, 0)
    pairs = kernels.pair_up(real, synthetic, np.arange(n))
    median = kernels.median_distance(pairs, np.random.default_rng(0))
    kernel = kernels.gaussian(median, shift=0.5)
    k = kernel(pairs.tile(slice(None), slice(None)), pairs.length2[:, None], pairs.length2)
    np.fill_diagonal(k, 0)
    given = kernels.Pairs(pairs.x, pairs.length2, pairs.unit, n, k, pairs.block)

    def all_at_once() -> float:
        rngs = {name: np.random.default_rng(0) for name in ("permutations", "bootstrap")}
        again = resampling.resample(given, count, 0, rngs)
        test = again.test
        assert test is not None
        sums = kernels.add_up(
            given, {"mmd": lambda tile, *_: tile}, weight=test.weight, weighted=("mmd",)
        )["mmd"]
        return test.p(given, lambda tile, *_: tile, sums)

    few = exchange.make_test(pairs, 4, np.random.default_rng(0)).weight
    taken = race({"xprobe": all_at_once, "5 re-summed": lambda: resum(k, few)}, rounds)
    per = taken["5 re-summed"] / 5
    row: dict[str, Any] = {"what": "permutations", "n": n, "count": count} | seconds(taken)
    return row | {"ratio": (count + 1) * per / taken["xprobe"]}


def by_index(n: int, d: int) -> dict[str, Any]:
    """Time the neighbour metrics of so many rows that they go through an approximate index."""
    neighbours.EXACT_ROWS = min(neighbours.EXACT_ROWS, n // 4)
    real, synthetic = features(n, d, 0)
    start = time.perf_counter()
    found = distance.measure(
        real, synthetic, np.arange(n), np.random.default_rng(0), metrics=NEIGHBOURS,
        n_neighbors=K,
    )  # fmt: skip
    taken = time.perf_counter() - start
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for row in found:
        print(f"{row.metric:<14} {row.value:.5f}  floor {row.floor:.5f}  {row.reason}")
    print(f"{n:,} x {n:,} rows of width {d}: {taken:.0f} s, peak {peak_mib:.0f} MiB")
    return {"n": n, "d": d, "seconds": taken, "peak_mib": peak_mib, "reason": found[0].reason}


def seconds(taken: dict[str, float]) -> dict[str, float]:
    return {f"{name} s": value for name, value in taken.items()}


# --- the run -------------------------------------------------------------------------------


def at_least(name: str, asked: float, measured: float) -> dict[str, Any]:
    return shown(name, f">= {asked:g}", measured, measured >= asked)


def at_most(name: str, asked: float, measured: float) -> dict[str, Any]:
    return shown(name, f"<= {asked:g}", measured, measured <= asked)


def shown(name: str, asked: str, measured: float, met: bool) -> dict[str, Any]:
    taken = time.perf_counter() - STARTED
    print(f"{taken:6.0f} s  {name:<62} asked {asked:<9} measured {measured:.4g}", flush=True)
    return {"name": name, "asked": asked, "measured": measured, "met": bool(met)}


def measured_at(n: int, d: int, rounds: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Check and race one size; return rows and targets."""
    rows, targets = [], []
    if n <= 3000:  # float64 references of more rows take the memory of n²
        rows, off = check(n, d)
        for kind, limit in {"kernel": 1e-6, "frechet": 1e-6, "neighbour": 1e-12,
                            "nearest": 1e-5}.items():  # fmt: skip
            targets.append(at_most(f"n = {n}: off, {kind}", limit, off[kind]))
    metrics = race_metrics(n, d, rounds, defaults=n <= 3000)
    search, gaussians = race_search(n, d, rounds), race_frechet(n, d, rounds)
    permuted = race_permutations(n, d, rounds)
    for row in (metrics, search, gaussians, permuted):
        print("; ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
                        for k, v in row.items()), flush=True)  # fmt: skip
    asked = ASKED.get(n, 1.0)
    targets += [
        at_least(f"n = {n}: all metrics, × the separate tools", asked, metrics["ratio"]),
        at_least(f"n = {n}: the same on the same sets", asked, metrics["ratio, same sets"]),
        at_most(f"n = {n}: search over FAISS's flat index", 1.2, search["ratio"]),
        at_least(f"n = {n}: Fréchet, × torch-fidelity", 15 if n <= 300 else 2, gaussians["ratio"]),
        at_least(f"n = {n}: 1,000 permutations, × re-summing", 50, permuted["ratio"]),
    ]
    return [*rows, metrics, search, gaussians, permuted], targets


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 3000, 10_000])
    parser.add_argument("--large", action="store_true", help="20,000 rows a side, too")
    parser.add_argument("--million", action="store_true", help="only a million rows a side")
    chosen = parser.parse_args()
    if chosen.million:
        print(json.dumps(by_index(20_000 if chosen.quick else 1_000_000, 64)))
        return
    sizes, d, rounds = [*chosen.sizes, *[20_000] * chosen.large], 768, 3
    if chosen.quick:
        sizes, d, rounds = [100, 300], 64, 1
    if MISSING:
        print(f"not installed, their definitions in float64 are used: {', '.join(MISSING)}")
    rows: list[dict[str, Any]] = []
    targets: list[dict[str, Any]] = []
    for n in sizes:
        more = measured_at(n, d, rounds if n <= 3000 else 1)
        rows += more[0]
        targets += more[1]
    names = [name for name in ("xprobe", "numpy", "scipy", "scikit-learn", "faiss-cpu", "prdc",
                               "torch-fidelity") if name not in MISSING]  # fmt: skip
    document = {
        "question": QUESTION,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: importlib.metadata.version(name) for name in names},
        "missing": MISSING,
        "rows": rows,
        "targets": targets,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
