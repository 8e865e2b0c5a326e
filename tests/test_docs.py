"""What the documentation promises is there, and what is there is documented."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import typer.main

from xprobe.base import documents
from xprobe.cli.app import app
from xprobe.images.manifest import Manifest
from xprobe.results import study
from xprobe.results.rows import Result

ROOT = Path(__file__).parent.parent
COMMANDS = (ROOT / "docs/commands.md").read_text(encoding="utf-8")


def options() -> list[tuple[str, str]]:
    group = typer.main.get_command(app)
    return [
        (name, option)
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("-")
    ]


def section(command: str) -> str:
    return re.split(r"^## ", COMMANDS.split(f"## xprobe {command}")[1], flags=re.M)[0]


@pytest.mark.parametrize(("command", "option"), options())
def test_every_option_of_every_command_is_documented(command: str, option: str) -> None:
    assert f"`{option}" in section(command)


def test_no_documented_option_is_missing() -> None:
    known = {option for _, option in options()}
    said = set(re.findall(r"^- `(-[\w-]+)", COMMANDS, flags=re.M))
    assert said <= known


def test_every_result_field_and_manifest_column_is_documented() -> None:
    told = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert all(name in told for name in documents.field_names(Result))
    assert all(f"`{name}`" in COMMANDS for name in Manifest.columns() if name != "sha256")
    assert study.STUDY_VERSION == 1


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data/README.md"], ids=str
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [t for t in targets if not t.startswith("http")]
    assert all((page.parent / target).exists() for target in local), local


def test_the_example_of_an_own_encoder_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xprobe.encoders import load as encoders

    blocks = re.findall(r"```python\n(.*?)```", COMMANDS, flags=re.S)
    (example,) = [block for block in blocks if "(Encoder)" in block]
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    (tmp_path / "example_of_an_encoder.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    encoder = encoders.load("example_of_an_encoder:MeanColour")
    pixels = np.full((2, 32, 32, 3), 7, dtype=np.uint8)
    np.testing.assert_array_equal(encoder.forward(pixels), np.full((2, 3), 7))


def test_readme_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.index("pip install -e . && xprobe demo") < 1500
    assert "pip install -e '.[test]' && pytest" in readme
