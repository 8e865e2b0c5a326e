"""What the documentation promises is there, and what is there is documented."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from draw_map import ORDER, ROOT
from makers import make_study, written

from xprobe.base import documents
from xprobe.cli.app import COMMANDS as COMMAND_ROWS
from xprobe.cli.commands import CommandRow
from xprobe.cli.reference import page
from xprobe.images.manifest import Manifest
from xprobe.results import study
from xprobe.results.rows import Result

COMMANDS = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")


def test_options_are_listed_as_they_are_declared() -> None:
    listed = (ROOT / "docs/reference/options.md").read_text(encoding="utf-8")
    assert listed == page(), "the page itself says how it is written anew"


@pytest.mark.parametrize("row", COMMAND_ROWS, ids=lambda row: row.name)
def test_every_command_has_a_section_and_every_option_that_is_named_exists(row: CommandRow) -> None:
    listed = (ROOT / "docs/reference/options.md").read_text(encoding="utf-8")
    assert f"\n## xprobe {row.name}" in COMMANDS
    said = set(re.findall(r"`(--[a-z][a-z-]*)", COMMANDS))
    assert said - {"--help"} <= set(re.findall(r"--[a-z][a-z-]*", listed.replace("[no-]", "")))


def test_every_result_field_and_manifest_column_is_documented() -> None:
    told = (ROOT / "docs/reference/results.md").read_text(encoding="utf-8")
    assert all(name in told for name in documents.field_names(Result))
    assert all(f"`{name}`" in COMMANDS for name in Manifest.columns() if name != "sha256")
    assert f"`version` ({study.STUDY_VERSION})" in told


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "data/README.md"]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are called in links, as GitHub makes it of them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    """Return the links of a page to files, and to headings in them, that are not there."""
    broken = []
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        if not path.startswith("http") and not (
            target.exists() and (not anchor or anchor in anchors(target))
        ):
            broken.append(f"{path}#{anchor}" if anchor else path)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n[a](b.md) [b](#a-page) [c](#a-pag) [d](page.md#e) [e](http://f/#g)\n"
    )
    assert broken_links(page) == ["b.md", "#a-pag", "page.md#e"]


def test_the_index_has_every_page_on_a_line() -> None:
    lines = (ROOT / "docs/README.md").read_text(encoding="utf-8").splitlines()
    listed = [line.split("](")[1].split(")")[0] for line in lines if line.startswith("- [")]
    pages = ROOT.glob("docs/*/*.md")
    assert sorted(listed) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in pages)
    assert {Path(page).parent.as_posix() for page in listed} == {"guide", "concepts", "reference"}


def test_pages_that_the_code_names_are_there() -> None:
    files = [
        file
        for folder in ("xprobe", "tests", "benchmarks")
        for file in ROOT.glob(f"{folder}/**/*.py")
    ]
    named = {
        (file.relative_to(ROOT).as_posix(), page)
        for file in files
        for page in re.findall(r"\bdocs/[\w/]+\.(?:md|png|svg)", file.read_text(encoding="utf-8"))
    }
    assert named
    assert {(file, page) for file, page in named if not (ROOT / page).exists()} == set()


def test_contributing_has_every_folder_on_a_line() -> None:
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)(?:\.py|/)` \|", told, flags=re.M)
    assert listed == list(reversed(ORDER))
    picture = told.split("```")[3]
    assert set(re.findall(r"\b[a-z]+\b", picture)) >= set(ORDER)
    drawn = (ROOT / "docs/house.svg").read_text(encoding="utf-8")
    assert all(f">{name}<" in drawn for name in ORDER)
    assert len(told.split()) <= 900  # read in a minute or two, lists and all


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


@pytest.mark.usefixtures("no_figures")
def test_the_table_of_a_paper_has_the_numbers_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "docs/guide/own.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", guide, flags=re.S)
    _, out = written(tmp_path, make_study(generators=("sd_1", "flux"), ratios=(1, 2)))
    out.rename(tmp_path / "report")
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    table = (tmp_path / "table.tex").read_text(encoding="utf-8")
    rows = [line.split(" & ") for line in table.splitlines() if " & " in line]
    assert [row[3] for row in rows] == ["ratio", "real only", "1:1", "1:2", "1:1", "1:2"]
    assert [row[2] for row in rows[1:]] == ["", r"sd\_1", r"sd\_1", "flux", "flux"]
    assert rows[1][5] == "" and {row[5] for row in rows[2:]} == {"+5.0 [+3.0, +7.0]"}
    assert {row[6].split(" ")[0] for row in rows[2:]} == {"helps"}


def test_readme_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.index("pip install -e . && xprobe demo") < 1500
    assert "pip install -e '.[test]' && pytest" in readme
