"""The script that checks a GPU: parts that go wrong are rows, and leave the others intact."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "bench_gpu.py"


def run(out: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--out", str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    *_, last = done.stdout.splitlines()
    return done.returncode, json.loads(last), (out / "table.txt").read_text()


def test_parts_that_raise_hang_or_are_killed_leave_the_others_intact(tmp_path: Path) -> None:
    options = ("--plant", "raise,hang,kill,pass", "--only", "planted")
    code, document, table = run(tmp_path, *options)
    rows = {(row["part"], row["name"]): row for row in document["rows"]}
    for what, said in (
        ("raise", "exit 1: RuntimeError: planted"),
        ("hang", "took longer than 3 s: passed: before it goes wrong"),
        ("kill", "SIGKILL: passed: before it goes wrong"),
    ):
        assert rows[f"planted {what}", "before it goes wrong"]["status"] == "passed"
        assert rows[f"planted {what}", "the part"]["status"] == "failed"
        assert rows[f"planted {what}", "the part"]["error"] == said
    others = [row for row in document["rows"] if row["part"] == "planted pass"]
    assert [row["status"] for row in others] == ["passed"]
    assert code == 1
    assert json.loads((tmp_path / "rows.json").read_text()) == document
    assert all(f"{row['part']} | {row['name']}" in table for row in document["rows"])
    assert set(document) == {"question", "machine", "versions", "rows", "targets"}


@pytest.mark.long
def test_every_part_runs_that_needs_no_gpu(tmp_path: Path) -> None:
    code, document, table = run(tmp_path)
    assert code == 0, table
    assert {row["error"] for row in document["rows"] if row["status"] == "not run"} <= {
        "needs CUDA"
    }


def test_without_time_nothing_is_run_and_nothing_passed(tmp_path: Path) -> None:
    code, document, _ = run(tmp_path, "--only", "batches,sweep", "--limit", "0")
    assert [row["status"] for row in document["rows"]] == ["not run", "not run"]
    assert {row["error"] for row in document["rows"]} == {"no time was left"}
    assert code == 0
