"""What the tab key offers, which comes without anything heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import make_study

from xprobe.base.packed import packed
from xprobe.encoders.presets import ENCODERS, PROMPTS
from xprobe.encoders.prompts import read
from xprobe.results.study import save_study

Offered = Callable[..., list[str]]

HEAVY = "torch numpy sklearn h5py scipy msgspec pyarrow"


@pytest.fixture
def offered(tmp_path: Path) -> Offered:
    """Return what bash is offered behind the words of a command line, in a process of its own."""
    code = (
        "import sys; sys.argv = ['xprobe']\n"
        "from xprobe.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(*(set({HEAVY.split()}) & set(sys.modules)), file=sys.stderr)\n"
    )

    def offer(*words: str) -> list[str]:
        environment = os.environ | {
            "_XPROBE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["xprobe", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True,
            check=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.stderr == "\n"
        return done.stdout.split()

    return offer


def test_names_are_offered_also_in_lists(offered: Offered, tmp_path: Path) -> None:
    assert offered("embed", "--encoder", "clip-vit-b") == [
        name for name in ENCODERS if name.startswith("clip-vit-b")
    ]
    assert offered("sweep", "--heads", "logistic,t") == ["logistic,text", "logistic,text-soft"]
    assert offered("sweep", "--encoder", "ho") == ["hog"]
    for name in ("mine", "hog"):
        folder = tmp_path / f"features/{name}-0123"
        folder.mkdir(parents=True)
        (folder / "encoder.json").write_text(json.dumps({"name": name}))
    (tmp_path / "features/damaged").mkdir()
    (tmp_path / "features/damaged/encoder.json").write_text("{")
    assert offered("sweep", "--encoder", "hog,") == ["hog,mine"]


def test_generators_are_those_of_the_images(offered: Offered, tmp_path: Path) -> None:
    for place in ("real/cat", "synthetic/sd/cat", "synthetic/flux/cat", "synthetic/cat"):
        (tmp_path / "data" / place).mkdir(parents=True)
    assert offered("sweep", "--generator", "") == ["flux", "sd"]
    assert offered("scan", "data", "--generator", "sd,f") == ["sd,flux"]
    assert "imagefolder" in offered("scan", "data", "--layout", "image")
    (tmp_path / "m.csv").write_text("path,generator\na.png,\nb.png,dalle\nc.png,dalle\n")
    assert offered("embed", "m.csv", "--generator", "d") == ["dalle"]
    assert offered("embed", "none.csv", "--generator", "") == []
    named = ("--real", "r", "--synthetic", "mine=s", "--synthetic", "t")
    assert "mine" in offered("distance", *named, "--generator", "m")


def test_a_report_offers_what_its_results_have(offered: Offered, tmp_path: Path) -> None:
    assert offered("report", "--generator", "") == []
    for folder, name in (("results", "clip"), ("more", "timm:vit//home/me/w.safetensors")):
        save_study(tmp_path / folder, make_study(name, generators=("sd", name[:4])))
    (tmp_path / "results/studies/other.json").write_text("[]")
    assert offered("report", "--encoder", "") == ["clip"]
    both = ("report", "--results", "results", "--results", "more")
    assert offered(*both, "--encoder", "clip,") == ["clip,vit"]
    assert offered(*both, "--generator", "") == ["sd", "clip", "timm"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("sweep", "--device", "c"), ["cpu", "cuda"]),
        (("sweep", "--method", "l"), ["lp-ft", "lora"]),
        (("embed", "--prompts", "sat"), ["satellite", "satellite-he"]),
        (("distance", "--metrics", "mmd,fr"), ["mmd,frechet", "mmd,frechet_infinity"]),
        (("encoders", "fetch", "hog", "pix"), ["pixels"]),
    ],
)
def test_each_kind_of_name_is_offered(
    words: tuple[str, ...], names: list[str], offered: Offered
) -> None:
    assert offered(*words) == names


def test_the_names_of_prompts_are_those_that_can_be_read() -> None:
    assert [read(name).name for name in PROMPTS] == list(PROMPTS)
    file = Path(read.__globals__["_BUILT_IN"])
    classes = {file.stem for file in packed("prompts/classes/disasters-en.json").parent.iterdir()}
    assert set(json.loads(file.read_text())) | classes == set(PROMPTS)
