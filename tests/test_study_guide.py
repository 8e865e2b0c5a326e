"""The guide through the whole study of xBD, followed word for word in an empty folder.

The Chinese page has the same blocks as the English one, so that following one follows both.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from draw_map import ROOT
from makers import put_tile
from PIL import Image

ENGLISH, CHINESE = (ROOT / f"docs/guide/{name}" for name in ("study.md", "study.zh.md"))
MARK = "<!-- Here the edits are made. -->"
ENCODERS = re.compile(r"ENCODERS=[\w,-]+")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

CLASSES = {
    "earthquake": ["mexico-earthquake"],
    "fire": ["santa-rosa-wildfire", "socal-fire"],
    "flooding": ["midwest-flooding", "nepal-flooding"],
    "tsunami": ["palu-tsunami", "sunda-tsunami"],
    "volcano": ["guatemala-volcano", "lower-puna-volcano"],
    "wind": ["hurricane-michael", "moore-tornado"],
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the kind and text of each block of code, and the mark of the edits, in order."""
    text = page.read_text(encoding="utf-8")
    matches = re.finditer(rf"^```(\w+)\n(.*?)^```|^{MARK}", text, flags=re.M | re.S)
    return [(match[1] or "edits", match[2] or "") for match in matches]


def bare(text: str) -> str:
    return re.sub(r" *#.*", "", text)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each xprobe command, as the shell divides them."""
    for kind, text in blocks(page):
        for line in text.replace("\\\n", " ").splitlines() if kind == "sh" else ():
            words = shlex.split(line, comments=True)
            if words and words[0] == "xprobe":
                yield words[1:]


def test_both_languages_hold_the_same_blocks_and_options() -> None:
    english, chinese = ([(kind, bare(t)) for kind, t in blocks(p)] for p in (ENGLISH, CHINESE))
    assert english == chinese
    assert [kind for kind, _ in english].count("edits") == 1
    texts = [page.read_text(encoding="utf-8") for page in (ENGLISH, CHINESE)]
    assert set(OPTION.findall(texts[0])) == set(OPTION.findall(texts[1]))
    assert texts[0].count("\n## ") == texts[1].count("\n## ")


def test_the_options_of_every_command_exist() -> None:
    listed = (ROOT / "docs/reference/options.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (xprobe .*?)\n(.*?)(?=^## |\Z)", listed, flags=re.M | re.S))
    used = list(commands(ENGLISH))
    assert {words[0] for words in used} == {
        "import", "adopt", "scan", "embed", "sweep", "distance", "report",
    }  # fmt: skip
    for words in used:
        name = " ".join(words[: 2 if words[0] == "import" else 1])
        known = set(OPTION.findall(sections[f"xprobe {name}"].replace("[no-]", "")))
        assert {word for word in words if word.startswith("--")} <= known
    known = set(OPTION.findall(listed.replace("[no-]", "")))
    assert set(OPTION.findall(ENGLISH.read_text(encoding="utf-8"))) <= known


def picture(label: str, seed: tuple[int, ...]) -> Image.Image:
    """A noisy picture of 64 × 64 pixels in the colour of its class."""
    rng = np.random.default_rng((list(CLASSES).index(label), *seed))
    colour = 40 + 35 * np.array([seed[0] % 2 and list(CLASSES).index(label), 2, 3])
    pixels = rng.normal(colour + rng.normal(0, 25, 3), 50, (64, 64, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def put_xbd(root: Path) -> None:
    """Write a tree in xBD's official form: two damaged tiles and an undamaged one of each event."""
    for label, events in CLASSES.items():
        for i, event in enumerate(event for event in events for _ in range(3)):
            name = f"{event}_{i:08d}"
            grades = [["destroyed", "no-damage"], ["minor-damage"], ["no-damage"]][i % 3]
            put_tile(root, "train", name, label, grades)
            for after, moment in enumerate(("pre", "post")):
                file = root / "train/images" / f"{name}_{moment}_disaster.png"
                picture(label, (after, i)).save(file)


def make_edits(listed: str) -> None:
    """Write four edits of each image of a list: class, tile and file, divided by tabs."""
    for number, line in enumerate(listed.splitlines()):
        label, tile, path = line.split("\t")
        assert Path(path).is_file()
        folder = Path("made/seededit") / label
        folder.mkdir(parents=True, exist_ok=True)
        for k in range(1, 5):
            picture(label, (1, 100 + number, k)).save(folder / f"{tile}_{k}.png")


def follow(page: Path, last: str = "") -> list[str]:
    """Run the blocks of a page in the working folder, up to the first that begins with `last`.

    Two lines are not run as they stand: the install, and the encoders, of which one without
    weights takes the place. Returns what each block printed.
    """
    program = Path("bin/xprobe")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m xprobe "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent.resolve()}{os.pathsep}{os.environ['PATH']}"
    setting = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "ENCODERS": "pixels"}
    printed: list[str] = []
    for kind, text in blocks(page):
        if kind == "edits":
            make_edits(printed[-1])
        elif not (text.startswith("pip install") or ENCODERS.fullmatch(text.strip())):
            shell = [sys.executable, "-c"] if kind == "python" else ["bash", "-euc"]
            ran = subprocess.run([*shell, text], capture_output=True, text=True, env=setting)
            assert ran.returncode == 0, f"{text}\n{ran.stdout}\n{ran.stderr}"
            printed.append(ran.stdout)
        if last and text.startswith(last):
            break
    return printed


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder but for a small xBD in it, which is worked in."""
    monkeypatch.chdir(tmp_path)
    put_xbd(Path("xbd"))
    return tmp_path


def test_the_guide_leads_to_adopted_images(study: Path) -> None:
    """The first half, in seconds; the whole is run by the next test."""
    _, listed, adopted, counted = follow(ENGLISH, "xprobe scan")
    assert len(listed.splitlines()) == 22
    lines = [line.split() for line in adopted.splitlines()]
    assert ["adopted", "88"] in [line[:2] for line in lines]
    assert ["with", "parent", "88"] in [line[:3] for line in lines]
    assert "no class" not in adopted
    assert ["without", "parent", "0"] in lines and ["ambiguous", "parent", "0"] in lines
    assert "132 images" in counted


@pytest.mark.long
def test_the_guide_leads_to_what_is_handed_in(study: Path) -> None:
    printed = follow(ENGLISH)
    with Path("seeds.csv").open(encoding="utf-8", newline="") as stream:
        seeds = list(csv.DictReader(stream))
    with Path("report/results.csv").open(encoding="utf-8", newline="") as stream:
        accuracy = {
            (r["setting"], r["ratio"]): float(r["accuracy"]) for r in csv.DictReader(stream)
        }
    settings = {("real-only", ""), ("synthetic-only", ""), ("classic-overhead", "")}
    assert set(accuracy) == settings | {("mix", f"{r}.0") for r in (1, 2, 3, 4)}
    for row in seeds:
        assert float(row["mean"]) == pytest.approx(accuracy[row["setting"], row["ratio"]])
        assert float(row["std"]) > 0
    assert len(seeds) == 7 and "real-only" in printed[-2]
    for name in ("accuracy-pixels", "macro_f1-pixels", "matrix", "distance-pixels"):
        assert Path(f"report/figures/{name}.svg").is_file()
    for name in ("classes", "confusion", "distances"):
        assert Path(f"report/{name}.csv").is_file()
    assert "may not be passed on" in Path("report/index.html").read_text(encoding="utf-8")
    assert not list(Path("report/figures").glob("examples*"))
    assert Path("report-events/index.html").is_file()
