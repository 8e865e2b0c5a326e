"""Processes on this machine, which stay for the next work and end with the one who started them."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker

from xprobe.base.errors import XprobeError
from xprobe.engine.base import Advance, Engine, Item, OneByOne, Result, Work, ignore
from xprobe.engine.handover import read_handover, write_handover

_IDLE_S = 300  # A process without work ends after so many seconds.

_AHEAD = 2  # So many items are sent out for each worker, so that none waits for its next one.

_WATCH_S = 1.0  # A worker looks so often whether the process that started it still lives.

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
        workers: how many processes there are, two or more.
        threads: how many threads linear algebra has in each; 0: as many as it would take alone.
    """

    workers: int
    threads: int = 0

    def run(
        self, work: Work[Item, Result], items: Sequence[Item], _advance: Advance = ignore
    ) -> Iterator[tuple[int, Result]]:
        """Yield as `Engine.run` does; nothing is heard of items under way.

        Raises:
            XprobeError: a worker was ended from outside.
        """
        if not items:
            return
        workers = min(self.workers, len(items))
        with TemporaryDirectory(prefix="xprobe-", ignore_cleanup_errors=True) as folder:
            write_handover(work, Path(folder))
            executor = _pool.take(workers, self.workers, self.threads)
            waiting = enumerate(items)
            running: dict[Future[Result], int] = {}

            def submit(most: int) -> None:
                for number, item in islice(waiting, most):
                    running[executor.submit(_do, folder, sys.path, item)] = number

            try:
                submit(_AHEAD * workers)
                while running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield running.pop(future), future.result()
                    submit(len(done))
            except BrokenProcessPool as error:
                _pool.end()
                raise XprobeError(
                    "a worker process was ended from outside, as happens where memory runs out; "
                    "what was finished is kept: run again, with fewer --workers or --concurrent"
                ) from error
            except BaseException:  # This includes interrupts and the closing of the iterator.
                _pool.end()
                raise


# Python looks for modules in the working folder first, where a file of the user's may have the name
# of one, unless this is set for the process.
_SAFE_PATH = {"PYTHONSAFEPATH": "1"}


def _start_tracker() -> None:
    """Start loky's tracker, which takes over the environment of this process, with a safe path."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ.update(_SAFE_PATH)
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]


class _Pool:
    """The processes of the last work. They start slowly, so the next work takes them if they fit.

    They are not those of `joblib.Parallel`, which cannot work with processes begun elsewhere.
    """

    def __init__(self) -> None:
        self.executor: ProcessPoolExecutor | None = None
        self.workers = self.threads = 0

    def take(self, fewest: int, most: int, threads: int) -> ProcessPoolExecutor:
        """Return processes from `fewest` to `most`, each with so many threads (0: any)."""
        if self.executor is None or self.threads != threads or not fewest <= self.workers <= most:
            if self.executor is not None:
                self.executor.shutdown()
            self.workers, self.threads = fewest, threads
            _start_tracker()
            self.executor = ProcessPoolExecutor(
                fewest, timeout=_IDLE_S, initializer=_begin, initargs=(os.getpid(),),
                env=_SAFE_PATH | (dict.fromkeys(_THREADS, str(threads)) if threads else {}),
            )  # fmt: skip
        return self.executor

    def end(self) -> None:
        """End all processes at once, whatever they do."""
        if self.executor is not None:
            # The shutdown drops all items, but not the numbers of those that wait to be sent to a
            # worker. loky's thread would look for these items, fail, and print a traceback.
            with suppress(queue.Empty):
                while True:
                    self.executor._work_ids.get_nowait()
            self.executor.shutdown(kill_workers=True)
        self.executor = None


_pool = _Pool()

# In a worker, this holds the function that it calls with each item, by the folder of the work.
_work: dict[str, Callable[[Any, Advance], Any]] = {}


def _begin(parent: int) -> None:
    """Prepare a worker: it ignores interrupts, and ends with the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)


def _do(folder: str, path: list[str], item: Any) -> Any:
    if folder not in _work:
        sys.path[:] = path  # A package of the work may have been added since the start.
        _work.clear()  # This comes first, so that two works are never in memory together.
        _work[folder] = read_handover(Path(folder))()
    return _work[folder](item, ignore)
