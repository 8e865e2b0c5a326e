"""A wheel, unpacked where no checkout is: all that it needs lies in it, and is found there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from xprobe import __version__

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests/golden/results-v1"

# What an installed xprobe is asked.
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from PIL import Image
import xprobe
from xprobe.base.packed import packed, packed_table
from xprobe.encoders import load, prompts
from xprobe.features.decode_process import DecodeProcess, Request
from xprobe.results.provenance import provenance

encoder, place = load.load("pixels"), ("7.png", None)
Image.fromarray(np.full((4, 4, 3), 7, np.uint8)).save("7.png")
pixels = encoder.empty_batch(1)[0]
with DecodeProcess([encoder]) as process:
    (digest,) = process.digests([place])
    list(process.see([Request(place, digest, [(0, [(digest, "")])])], lambda _i, _d, f: f(pixels)))
files = [m.__file__ for name, m in sys.modules.items() if name.split(".")[0] == "xprobe"]
print(json.dumps({
    "prompts": len(prompts.read("satellite").templates),
    "words": prompts.read("disasters-zh").of_class("flooding"),
    "events": len(packed_table("events")),
    "tables": str(packed("tables/events.csv")),
    "pixels": np.unique(pixels).tolist(),
    "commit": provenance()["commit"],
    "files": files,
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by its own backend, of a copy: so nothing is written into the checkout."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("xprobe", "data/tables", "data/prompts", "tests/golden"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is unpacked in, as pip does it."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, cwd: Path, *arguments: str) -> str:
    """Run Python with the unpacked xprobe before every other one."""
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answer(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return json.loads(run(installed, tmp_path_factory.mktemp("cwd"), "-c", SCRIPT))


def names(wheel: Path) -> Iterator[PurePosixPath]:
    with zipfile.ZipFile(wheel) as archive:
        yield from map(PurePosixPath, archive.namelist())


def test_a_wheel_holds_every_file_of_the_package_and_no_tests(wheel: Path) -> None:
    package = {name for name in names(wheel) if name.parts[0] == "xprobe"}
    files = [f for f in (ROOT / "xprobe").rglob("*") if f.is_file() and f.suffix != ".pyc"]
    expected = {PurePosixPath(file.relative_to(ROOT).as_posix()) for file in files}
    tables = [f for part in ("tables", "prompts") for f in (ROOT / "data" / part).rglob("*.*")]
    expected |= {PurePosixPath("xprobe", file.relative_to(ROOT).as_posix()) for file in tables}
    assert package == expected and len(tables) > 5
    assert PurePosixPath("xprobe/py.typed") in package
    assert {name.parts[0] for name in names(wheel)} == {"xprobe", f"xprobe-{__version__}.dist-info"}
    assert not [n for n in names(wheel) if n.name.startswith(("test_", "conftest", "makers"))]


def test_nothing_comes_from_the_checkout(answer: Any, installed: Path) -> None:
    assert len(answer["files"]) > 10
    assert {Path(file).is_relative_to(installed / "xprobe") for file in answer["files"]} == {True}


def test_prompts_and_tables_are_there(answer: Any, installed: Path) -> None:
    assert answer["prompts"] == 3
    assert any("洪水" in text for text in answer["words"])
    assert answer["events"] == 19
    assert Path(answer["tables"]).is_relative_to(installed / "xprobe")


def test_the_decode_process_starts(answer: Any) -> None:
    assert answer["pixels"] == [7]


def test_only_a_checkout_has_a_commit(answer: Any) -> None:
    assert answer["commit"] is None


def test_a_checkout_has_its_commit(installed: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(installed / "xprobe", checkout / "xprobe")
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init"], ["add", "."], ["commit", "-m", "all"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    code = "from xprobe.results.provenance import provenance; print(provenance()['commit'])"
    assert run(checkout, tmp_path, "-c", code) == head.stdout


def test_the_command_line_runs_and_writes_a_report(installed: Path, tmp_path: Path) -> None:
    version = run(installed, tmp_path, "-m", "xprobe", "--version")
    assert version == f"xprobe {__version__}\n"
    study = min((GOLDEN / "studies").glob("*.json"), key=lambda file: file.stat().st_size)
    (tmp_path / "results/studies").mkdir(parents=True)
    shutil.copy(study, tmp_path / "results/studies")
    run(installed, tmp_path, "-m", "xprobe", "report")
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert "<html" in page and (tmp_path / "report/summary.md").exists()
