"""Encoders of somebody else: their module is looked for last, and runs only when it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.encoders.families.own import is_module
from xprobe.encoders.load import check_name, has_network, load

OWN = """
import statistics
from pathlib import Path
from xprobe.encoders.families.builtin import RawPixels
Path("ran").touch()
def make():
    assert hasattr(statistics, "fmean")
    return RawPixels()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with an own encoder, in a package, and a file named as a module."""
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sub.py").write_text(OWN)
    (tmp_path / "statistics.py").write_text("raise SystemExit('ran')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "statistics", raising=False)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_package")]:
        del sys.modules[name]


def test_a_module_of_the_working_folder_is_found_when_it_is_named(folder: Path) -> None:
    assert load("own_package.sub:make").spec.dim == 768
    assert (folder / "ran").exists()
    assert sys.path[0] != str(folder)


def test_a_name_is_checked_without_running_anything(folder: Path) -> None:
    path = list(sys.path)
    (folder / "own_package/__init__.py").write_text("raise SystemExit('ran')")
    assert is_module("own_package.sub")
    assert not is_module("no_such_package.sub")
    check_name("own_package.sub:make")
    assert not has_network("own_package.sub:make")
    assert sys.path == path
    assert "own_package" not in sys.modules


def test_a_part_of_a_package_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(XprobeError, match=r"own_package\.none:make: .*own_package\.none"):
        load("own_package.none:make")
