"""Figures of the calibration table, and how replications are run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import joblib
import numpy as np

SHOWN = "(shown)"
"""What is asked of a figure that is shown only."""

WORKERS = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A figure of the table.

    Attributes:
        item: what is measured.
        world: in which population.
        asked: what is asked of it, such as ``≤ 0.05``, or ``(shown)``.
        after: the figure.
        error: its Monte-Carlo standard error; 0 where it has none.
        B: number of replications.
        met: whether what is asked is met; None where nothing is asked.
        before: the same figure by the rules of version 1 of a study, where it was measured.
    """

    item: str
    world: str
    asked: str
    after: float
    error: float
    B: int
    met: bool | None
    before: float | str | None = None


@dataclass(frozen=True)
class Part:
    """A part of the table: what yields its rows, from a number of replications.

    Attributes:
        rows: yields rows, each as soon as it is measured.
        B: replications of the whole run.
        quick: replications of a run that only shows that the part works.
    """

    rows: Callable[[int], Iterable[Row]]
    B: int
    quick: int = 2


def many(work: Callable[[int], T], count: int) -> list[T]:
    """Return the results of the seeds 0 … count − 1, from two processes of one thread each.

    A few are not worth the start of a process.
    """
    if count < 4:
        return [work(seed) for seed in range(count)]
    assert os.environ.get("OMP_NUM_THREADS") == "1", "processes take the cores"
    calls = (joblib.delayed(work)(seed) for seed in range(count))
    return list(joblib.Parallel(n_jobs=WORKERS, batch_size=1 if count < 40 else 4)(calls))


def stacked(work: Callable[[int], np.ndarray], count: int) -> np.ndarray:
    """Return the results of `many` as one array (count, …)."""
    return np.stack(many(work, count))


def error_of_share(p: float, count: int) -> float:
    """Return the standard error of a share of a count; not 0 for none or all (Agresti & Coull)."""
    q = (p * count + 2) / (count + 4)
    return float(np.sqrt(q * (1 - q) / (count + 4)))


def share(
    item: str, world: str, asked: str, hit: np.ndarray, *, before: float | str | None = None
) -> Row:
    """Return the row of a share of replications.

    Args:
        item, world: as in `Row`.
        asked: ``≤`` or ``≥`` and a bound, which passes within two Monte-Carlo errors of the bound;
            or ``(shown)``.
        hit: (B,) whether it is so in a replication; or (B, n), of which each replication adds the
            mean.
        before: as in `Row`.
    """
    value = np.asarray(hit, dtype=float).reshape(len(hit), -1).mean(axis=1)
    p, B = float(value.mean()), len(value)
    error = error_of_share(p, B)
    if np.ndim(hit) > 1 and B > 1:
        error = max(float(value.std(ddof=1) / np.sqrt(B)), 1 / (B * np.size(hit[0])))
    if asked == SHOWN:
        return Row(item, world, asked, p, error, B, None, before)
    sign, bound = asked.split()
    slack = 2 * np.sqrt(float(bound) * (1 - float(bound)) / B)
    met = p <= float(bound) + slack if sign == "≤" else p >= float(bound) - slack
    return Row(item, world, asked, p, error, B, bool(met), before)


def always(item: str, world: str, is_so: bool, count: int) -> Row:
    """Return the row of what must be so every time."""
    return Row(item, world, "always", float(is_so), 0.0, count, bool(is_so))


def bounded(
    item: str, world: str, asked: str, after: float, *, error: float = 0.0, B: int = 1,
    before: float | str | None = None,
) -> Row:  # fmt: skip
    """Return the row of a figure that is no share; asked as in `share`, or ``within ±bound``."""
    if asked == SHOWN:
        return Row(item, world, asked, after, error, B, None, before)
    sign, bound = asked.replace("within ±", "within ").split()
    met = {
        "≤": after <= float(bound) + 2 * error,
        "≥": after >= float(bound) - 2 * error,
        "within": abs(after) <= float(bound) + 2 * error,
    }[sign]
    return Row(item, world, asked, after, error, B, bool(met), before)


def from_dict(row: dict[str, Any]) -> Row:
    """Return the row of a module that has dictionaries of the same meaning as its rows."""
    asked = row["asked"]
    if isinstance(asked, float):
        asked = f"≤ {asked:g}"
    return Row(
        row["item"], row["world"], asked or SHOWN, row["value"], row["mc_error"], row["B"],
        row["met"], row.get("before"),
    )  # fmt: skip


def from_dicts(rows: Iterable[dict[str, Any]]) -> Iterator[Row]:
    """Yield the rows of such a module."""
    return (from_dict(row) for row in rows)
