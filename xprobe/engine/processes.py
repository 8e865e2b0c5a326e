"""Processes on this machine, which stay for the next work and end with the one who started them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from joblib.externals.loky import as_completed, get_reusable_executor

from xprobe.engine.base import Advance, Engine, Item, OneByOne, Result, Work, ignore
from xprobe.engine.shared import read_shared, write_shared

_IDLE_S = 300  # after which a process without work ends

_WATCH_S = 1.0  # between two looks at whether the process that started this one lives

_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip


def local_engine(workers: int, threads: int = 0) -> Engine:
    """Return the engine of so many workers on this machine, each with so many threads (0: any)."""
    return OneByOne(threads) if workers < 2 else Processes(workers, threads)


@dataclass(frozen=True)
class Processes:
    """Runs items in processes, since between its operations torch needs the interpreter.

    Attributes:
        workers: how many, two or more.
        threads: of linear algebra in each; 0: as many as it would take alone.
    """

    workers: int
    threads: int = 0

    def run(
        self, work: Work[Item, Result], items: Sequence[Item], _advance: Advance = ignore
    ) -> Iterator[tuple[int, Result]]:
        """Yield as `Engine.run` does; nothing is heard of items under way."""
        with TemporaryDirectory(prefix="xprobe-", ignore_cleanup_errors=True) as folder:
            write_shared(work, Path(folder))
            executor = get_reusable_executor(
                min(self.workers, len(items)), timeout=_IDLE_S, env=self._environment(),
                initializer=_begin, initargs=(os.getpid(),),
            )  # fmt: skip
            try:
                running = {
                    executor.submit(_do, folder, item): number for number, item in enumerate(items)
                }
                for done in as_completed(list(running)):
                    yield running.pop(done), done.result()
            except BaseException:  # also an interrupt, and whoever closes the iterator
                executor.shutdown(kill_workers=True)
                raise

    def _environment(self) -> dict[str, str]:
        return {name: str(self.threads) for name in _THREADS} if self.threads else {}


_work: dict[str, Callable[[Any, Advance], Any]] = {}  # in a worker: what it does, by its folder


def _begin(parent: int) -> None:
    """Prepare a worker: an interrupt is for the process that started it, whose end is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)


def _do(folder: str, item: Any) -> Any:
    if folder not in _work:
        _work.clear()  # first, so that two works are never in memory together
        _work[folder] = read_shared(Path(folder))()
    return _work[folder](item, ignore)
