"""The public face: every name, nothing loaded before it is used, and old imports with a warning."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest
from makers import MakeData

import xprobe

PAGE = Path(__file__).parent.parent / "docs/reference/python.md"
HEAVY = ("numpy", "torch", "matplotlib", "msgspec", "typer", "PIL")


def in_new_process(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, xprobe\nprint([name for name in {HEAVY} if name in sys.modules])"
    assert in_new_process(code).strip() == "[]"


def test_a_light_name_loads_nothing_heavy_either() -> None:
    code = f"import sys, xprobe\nxprobe.XprobeError\nprint(set({HEAVY}) & set(sys.modules))"
    assert in_new_process(code).strip() == "set()"


@pytest.mark.parametrize("name", xprobe.__all__)
def test_every_name_is_there_and_stays_the_same(name: str) -> None:
    value = getattr(xprobe, name)
    module, _, attribute = xprobe._PLACES[name].partition(":")
    assert value is getattr(import_module(module), attribute)
    assert value.__doc__
    assert vars(xprobe)[name] is value  # the next use does not look it up


def test_lists_of_names_agree_and_type_checkers_see_the_same() -> None:
    tree = ast.parse(Path(xprobe.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == xprobe._PLACES
    assert sorted(xprobe._PLACES) == sorted(xprobe.__all__)
    assert {*xprobe.__all__, "__version__"} <= set(dir(xprobe))


def test_no_folder_takes_the_name_of_a_verb() -> None:
    below = {path.stem for path in Path(xprobe.__file__).parent.iterdir()}
    assert not below & set(xprobe.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'xprobe' has no attribute 'swep'"):
        _ = xprobe.swep  # type: ignore[attr-defined]


def test_the_package_says_that_it_is_typed() -> None:
    assert files("xprobe").joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [
        ("xprobe.estimators", "LogisticHead", "xprobe.LogisticHead"),
        ("xprobe.estimators", "LogisticHeadCV", "xprobe.LogisticHeadCV"),
        ("xprobe.estimators", "RidgeHeadCV", "xprobe.RidgeHeadCV"),
        ("xprobe.estimators", "ALPHAS", "xprobe.learners.estimators.ALPHAS"),
        ("xprobe.estimators", "C_RULES", "xprobe.learners.estimators.C_RULES"),
        ("xprobe.towers", "Encoder", "xprobe.Encoder"),
        ("xprobe.towers", "plain_spec", "xprobe.plain_spec"),
        ("xprobe.verdict", "compare", "xprobe.verdict.family.compare"),
    ],
)
def test_a_former_place_goes_on_with_a_warning(module: str, name: str, instead: str) -> None:
    place, _, attribute = instead.rpartition(".")
    space: dict[str, object] = {}
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} is gone .* use {instead}$") as w:
        exec(f"from {module} import {name}", space)
    assert space[name] is getattr(import_module(place), attribute)
    assert w[0].filename == "<string>"  # where the import stands


def test_a_former_place_has_nothing_else() -> None:
    with pytest.raises(ImportError):
        exec("from xprobe.towers import Tower", {})


def test_the_page_says_what_each_name_is() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.M)
    assert sorted(listed) == sorted(xprobe.__all__)


def test_the_example_of_the_page_runs(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_data(real=5, synthetic=10).parent)
    # Worker processes would take longer to begin than all of the work.
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    space: dict[str, object] = {}
    exec(example, space)
    assert len(space["studies"]) == 1  # type: ignore[arg-type]
    assert len(space["without_copies"]) == 30  # type: ignore[arg-type]
    assert "\n# " in capsys.readouterr().out  # the summary, after the lines of the plan
