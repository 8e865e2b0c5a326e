"""The rules of the house: imports point upstream, and each heavy library has its homes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "xprobe"

# Upstream first: a module imports only what stands before it.
ORDER = [
    "__init__", "errors", "atomic", "augment", "recipe", "types", "contents", "decoders", "images",
    "manifest", "items", "presets", "weights", "prompts", "forwards", "graphs", "packed", "towers",
    "decode_process", "floors",
    "tower_open_clip", "tower_timm", "tower_hf", "encoders", "outlines", "shards", "store",
    "upkeep", "views", "lanes", "extract", "imports", "folds", "leaks", "shortcuts",
    "problems", "kernels", "neighbours", "fidelity", "maps", "distance", "solver", "newton",
    "paths", "basis",
    "logistic", "ridge", "heads", "estimators", "metrics", "place", "design", "verdict", "worth",
    "results", "pixels", "layers", "classifier", "training", "finetune", "tested", "judge", "curve",
    "studies",
    "sweep", "estimate", "domain", "prediction", "power", "figures", "distance_figures",
    "distance_view", "study_view", "formats", "answer", "report", "demo",
    "tables", "progress", "printing", "options", "cli_store",
    "cli_encoders", "cli_plan", "cli", "__main__",
]  # fmt: skip

TOWERS = {
    "images", "weights", "towers", "forwards", "graphs", "packed", "tower_open_clip",
    "tower_timm", "tower_hf",
}  # fmt: skip
TRAINING = {"augment", "layers", "classifier", "training", "finetune"}
SOLVERS = {"solver", "newton", "paths", "basis", "logistic", "heads", "estimators"}
HOMES = {
    "h5py": {"shards"},
    "faiss": {"neighbours"},
    "matplotlib": {"figures", "distance_figures"},
    "ray": {"engine"},
    "tensorboardX": {"finetune"},
    "shapely": {"outlines"},
    "typer": {"cli", "cli_store", "cli_encoders", "cli_plan", "options"},
    "jinja2": {"report"},
    "torch": TOWERS | SOLVERS | TRAINING,
    "open_clip": {"weights", "tower_open_clip", "tower_hf"},
    "timm": {"tower_timm", "layers"},
    "torchvision": {"tower_timm", "augment"},
    "transformers": {"tower_hf"},
    "sklearn": {"newton", "estimators", "demo", "shortcuts", "fidelity", "maps"},
    "skimage": {"floors"},
    "pyarrow": {"manifest", "imports", "upkeep"},
}

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def imports_of(module: str) -> set[str]:
    """Every imported name, wherever in the file: ``xprobe.store`` and ``h5py`` alike."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_has_its_place() -> None:
    assert MODULES == sorted(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_upstream(module: str) -> None:
    own = {name.split(".")[1] for name in imports_of(module) if name.startswith("xprobe.")}
    own &= set(ORDER)
    later = {name for name in own if ORDER.index(name) >= ORDER.index(module)}
    assert not later


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_stay_in_their_homes(module: str) -> None:
    roots = {name.split(".")[0] for name in imports_of(module)}
    strangers = {root for root in roots & set(HOMES) if module not in HOMES[root]}
    assert not strangers


@pytest.mark.parametrize("module", [m for m in MODULES if m != "cli"])
def test_only_the_command_line_prints(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    calls = {
        n.func.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert "print" not in calls


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_a_screen(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.end_lineno
        and node.end_lineno - node.lineno + 1 > 80
    }  # fmt: skip
    assert not long


def test_no_module_has_a_name_that_explains_nothing() -> None:
    assert not {"utils", "util", "helpers", "common", "misc"} & set(MODULES)
