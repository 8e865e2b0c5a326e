"""Which versions computed a result, and at which commit."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

import xprobe
from xprobe.results import provenance as module
from xprobe.results.provenance import provenance


def test_versions_are_those_that_run() -> None:
    versions = provenance()["versions"]
    assert versions["numpy"] == np.__version__
    assert versions["xprobe"] == xprobe.__version__
    assert versions["python"] == platform.python_version()
    json.dumps(provenance(), allow_nan=False)


@pytest.mark.parametrize("error", [OSError("no git"), subprocess.TimeoutExpired("git", 5)])
def test_a_checkout_without_a_git_that_answers_has_no_commit(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_command: object, **_options: object) -> None:
        raise error

    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(xprobe, "__file__", str(tmp_path / "xprobe/__init__.py"))
    monkeypatch.setattr(module.subprocess, "run", run)
    assert provenance()["commit"] is None


def test_a_folder_that_is_no_checkout_is_not_asked_for_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(xprobe, "__file__", str(tmp_path / "xprobe/__init__.py"))
    monkeypatch.setattr(module.subprocess, "run", lambda *command, **_: asked.append(command))
    assert provenance()["commit"] is None
    assert asked == []
