"""Engines: every result once, arrays shared, and no process left behind."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from makers import put_traps

from xprobe.base.errors import XprobeError
from xprobe.engine import processes
from xprobe.engine.base import Advance, Engine, OneByOne, Work
from xprobe.engine.handover import read_handover, write_handover
from xprobe.engine.processes import Processes, local_engine

ENGINES = [OneByOne(), OneByOne(1), Processes(2), Processes(2, threads=1)]


def sums(x: np.ndarray) -> Work[Any, Any]:
    """Add an item to the numbers of an array, or say what is asked of the process."""

    def do(item: Any, advance: Advance) -> Any:
        if item == "wrong":
            raise XprobeError("an item that cannot be done")
        if item == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "process":
            return os.getpid(), os.environ.get("OMP_NUM_THREADS"), x.flags.writeable
        advance(1)
        return float(x.sum()) + item

    return lambda: do


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_every_item_has_one_result_under_its_number(engine: Engine) -> None:
    found = list(engine.run(sums(np.arange(4.0)), range(20)))
    assert sorted(found) == [(i, 6.0 + i) for i in range(20)]


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_no_items_are_no_work(engine: Engine) -> None:
    assert list(engine.run(sums(np.arange(4.0)), [])) == []


def test_the_next_work_is_not_taken_for_the_last_one() -> None:
    engine = Processes(2)
    for n in (3, 5):
        assert dict(engine.run(sums(np.ones(n)), [0, 1])) == {0: n, 1: n + 1}


def test_one_by_one_tells_what_was_done_and_keeps_the_order() -> None:
    told: list[int] = []
    for number, _ in OneByOne().run(sums(np.ones(2)), range(3), told.append):
        assert len(told) == number + 1


@pytest.mark.parametrize("engine", [OneByOne(), Processes(2)], ids=str)
def test_an_error_is_raised_and_the_engine_works_on(engine: Engine) -> None:
    with pytest.raises(XprobeError, match="cannot be done"):
        list(engine.run(sums(np.ones(2)), ["wrong", 1]))
    assert list(engine.run(sums(np.ones(2)), [1])) == [(0, 3.0)]


def test_a_worker_that_is_killed_is_an_error_with_its_remedy_and_the_engine_works_on() -> None:
    with pytest.raises(XprobeError, match=r"ended from outside.*run again, with fewer --workers"):
        list(Processes(2).run(sums(np.ones(2)), [1, "killed", 2, 3]))
    assert sorted(Processes(2).run(sums(np.ones(2)), [1, 2])) == [(0, 3.0), (1, 4.0)]


def test_processes_map_arrays_read_only_and_have_as_many_threads_as_asked() -> None:
    for threads in (1, 2):
        found = dict(Processes(2, threads).run(sums(np.ones(9)), ["process"] * 2))
        for pid, count, writeable in found.values():
            assert pid != os.getpid()
            assert count == str(threads)
            assert not writeable


def test_whoever_closes_the_iterator_leaves_no_process_behind() -> None:
    results = Processes(2).run(sums(np.ones(2)), ["process"] * 50)
    _, (pid, _, _) = next(results)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_items_that_were_not_sent_to_a_process_yet_are_dropped_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    monkeypatch.setattr(processes, "_AHEAD", 30)  # This is more than loky sends ahead.
    results = Processes(2).run(sums(np.ones(2)), range(90))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert raised == []


def test_processes_stay_for_the_next_work_unless_it_needs_others() -> None:
    work = sums(np.ones(2))

    def pids(engine: Processes, items: int = 8) -> set[int]:
        return {pid for _, (pid, _, _) in engine.run(work, ["process"] * items)}

    first = pids(Processes(2, 1))
    assert len(pids(Processes(2, 1)) | first) <= 2
    assert not pids(Processes(2, 2)) & first


def test_processes_find_what_can_be_imported_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(Processes(2, 1).run(sums(np.ones(2)), [0, 1]))  # these processes stay
    (tmp_path / "came_later.py").write_text("def begin():\n    return lambda item, advance: item\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    work = importlib.import_module("came_later").begin
    assert dict(Processes(2, 1).run(work, [5, 6])) == {0: 5, 1: 6}


def test_files_of_the_working_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_traps(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    found = dict(Processes(2, 3).run(sums(np.ones(2)), ["process", 1]))  # new processes
    assert found[1] == 3.0
    assert found[0][1] == "3"
    assert not (tmp_path / "ran").exists()


def test_joblib_works_beside_it() -> None:
    twice = joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-i) for i in range(4))
    assert list(Processes(2, 1).run(sums(np.ones(2)), [1])) == [(0, 3.0)]
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-i) for i in range(4)) == twice


def test_one_worker_needs_no_process() -> None:
    assert local_engine(1, 1) == OneByOne(1)
    assert local_engine(0) == OneByOne()
    assert local_engine(3, 2) == Processes(3, 2)


def test_shared_values_are_equal_and_their_arrays_are_of_the_file(tmp_path: Path) -> None:
    value = {
        "c": np.arange(12.0).reshape(3, 4), "f": np.asfortranarray(np.eye(3, dtype=np.float32)),
        "none": np.zeros((0, 5)), "text": np.array(["a", "bc"], dtype=object), "part": "plain",
    }  # fmt: skip
    write_handover(value, tmp_path)
    again = read_handover(tmp_path)
    (tmp_path / "arrays").unlink()
    assert again["part"] == "plain"
    for name in ("c", "f", "none", "text"):
        np.testing.assert_array_equal(again[name], value[name])
        assert again[name].dtype == value[name].dtype
    for name in ("c", "f"):
        assert not again[name].flags.writeable
        assert again[name].ctypes.data % 64 == 0
        assert again[name].flags.c_contiguous == value[name].flags.c_contiguous


ENDLESS = """
import os, signal, threading
from xprobe.engine.processes import Processes

def begin():
    def wait(item, advance):
        os.write(1, b"begun\\n")
        threading.Event().wait()
    return wait

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    list(Processes(2, 1).run(begin, range(2)))
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_processes_end_with_the_one_that_started_them(ending: int, tmp_path: Path) -> None:
    """Its output ends when the last process that can write to it has ended."""
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    started = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert started.stdout is not None
    try:
        assert [started.stdout.readline() for _ in range(2)] == [b"begun\n"] * 2
        if ending == signal.SIGINT:
            os.killpg(started.pid, ending)  # as a terminal does
        else:
            started.send_signal(ending)
        rest, _ = started.communicate(timeout=60)
    except BaseException:
        os.killpg(started.pid, signal.SIGKILL)
        raise
    assert rest == b""
    assert started.returncode != 0
