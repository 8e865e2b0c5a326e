"""What every part is given, and the rows that it leaves behind."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class NotRunError(Exception):
    """A row cannot be run here; the message says why."""


@dataclass
class Row:
    """One line of the table while it is worked on.

    Attributes:
        values: what was measured, by name.
        bounds: what was asked of values, in words, by name.
        targets: what was asked of a measured speed; a target that is missed fails no row.
        notes: what the reader must know, such as why a bound is what it is.
    """

    values: dict[str, Any] = field(default_factory=dict)
    bounds: dict[str, str] = field(default_factory=dict)
    targets: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def at_least(self, name: str, value: float, asked: float) -> None:
        """Hold a value to a lower bound."""
        self._hold(name, value, f">= {asked:.9g}", value >= asked)

    def at_most(self, name: str, value: float, asked: float) -> None:
        """Hold a value to an upper bound."""
        self._hold(name, value, f"<= {asked:.3g}", value <= asked)

    def holds(self, name: str, is_true: bool) -> None:
        """Hold something to be true."""
        self._hold(name, bool(is_true), "true", bool(is_true))

    def _hold(self, name: str, value: Any, asked: str, is_met: bool) -> None:
        self.values[name], self.bounds[name] = value, asked
        if not is_met:
            self.missed.append(f"{name} {value} (asked {asked})")

    def target(self, name: str, asked: float, value: float) -> None:
        """Compare a speed with what is asked of it."""
        self.targets.append(
            {"name": name, "asked": f">= {asked:g}", "measured": value, "met": value >= asked}
        )


@dataclass(frozen=True)
class Bench:
    """What a part is given.

    Attributes:
        part: its name, and `kind`, check or measure.
        device: ``cuda`` or ``cpu``.
        quick: whether tiny networks and few images are taken.
        folder: shared by all parts; the part's rows go there, too.
        deadline: of `time.time`, when the part is ended by force.
    """

    part: str
    kind: str
    device: str
    quick: bool
    folder: Path
    deadline: float

    @property
    def has_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    @property
    def left_s(self) -> float:
        """Return the seconds until the part is ended."""
        return self.deadline - time.time()

    def needs_cuda(self) -> None:
        """Raise unless the device is a GPU."""
        if not self.has_cuda:
            raise NotRunError("needs CUDA")

    @contextmanager
    def row(self, name: str) -> Iterator[Row]:
        """Add a row; whatever goes wrong within is its outcome, and the part goes on."""
        row, start, error, status = Row(), time.perf_counter(), "", PASSED
        try:
            yield row
        except NotRunError as reason:
            status, error = NOT_RUN, str(reason)
        except Exception as problem:
            status, error = FAILED, one_line(f"{type(problem).__name__}: {problem}")
        if status == PASSED and row.missed:
            status, error = FAILED, "; ".join(row.missed)
        document = {
            "part": self.part, "kind": self.kind, "name": name, "status": status,
            "seconds": round(time.perf_counter() - start, 2), **row.values,
            "bounds": row.bounds, "notes": row.notes, "error": error, "targets": row.targets,
        }  # fmt: skip
        with rows_file(self.folder, self.part).open("a", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")
        print(f"{status}: {name} {error}", flush=True)


def rows_file(folder: Path, part: str) -> Path:
    """Return where a part leaves its rows, one a line."""
    return folder / f"{part.replace(' ', '-').replace('/', '-')}.jsonl"


def one_line(text: str, most: int = 300) -> str:
    """Return a text on one line, cut in the middle if it is long."""
    text = " ".join(text.split())
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"
