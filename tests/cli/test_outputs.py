"""What commands print with --json is what docs/schema says, and no field of it is lost."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from makers import Ran, put_tile

from xprobe import demo
from xprobe.base import documents
from xprobe.design.config import Grid, SweepConfig
from xprobe.engine.execution import Execution
from xprobe.features.store import Store
from xprobe.images import read as manifests
from xprobe.study.sweep import sweep

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "schema"
GOLDEN = ROOT / "tests" / "golden"
GENERATOR = runpy.run_path(str(SCHEMA / "generate.py"))
DOCUMENTS = GENERATOR["DOCUMENTS"]

FAST = ("--ratios", "1", "--repeats", "1", "--c-grid", "1,100", "--workers", "1")
COMMANDS: dict[str, tuple[str, ...]] = {
    "scan": ("scan",),
    "encoders": ("encoders",),
    "encoders-fetch": ("encoders", "fetch", "hog"),
    "import-xbd": ("import", "xbd", "xbd", "-o", "study.csv"),
    "plan": ("plan",),
    "embed": ("embed", "--encoder", "hog", "--augment", "flip", "--views", "1"),
    "import-features": ("import-features", "own.npz", "--encoder-name", "own"),
    "sweep-dry-run": ("sweep", "--dry-run", "--encoder", "hog", *FAST),
    "sweep": ("sweep", "--encoder", "hog", "--real-curve", "3,4", *FAST),
    "distance": ("distance", "--permutations", "99"),
    "report": ("report", "--cost-real", "2", "--cost-synthetic", "0.1"),
    "demo": ("demo",),
    "store-info": ("store", "info"),
    "store-verify": ("store", "verify"),
    "store-merge": ("store", "merge", "features", "--into", "merged"),
    "store-export": ("store", "export", "hog.npz", "--encoder", "hog"),
    "store-gc": ("store", "gc"),
}


def check(name: str, document: Any) -> None:
    """Assert that a document is of its type, is what its schema says, and loses nothing."""
    Draft202012Validator(json.loads((SCHEMA / f"{name}.json").read_text())).validate(document)
    assert documents.to_json(documents.from_json(DOCUMENTS[name], document)) == document


def test_the_schemas_are_those_of_the_types() -> None:
    texts = GENERATOR["texts"]()
    assert {file.name for file in SCHEMA.glob("*.json")} == set(texts)
    for name, text in texts.items():
        schema = json.loads((SCHEMA / name).read_text())
        assert schema == json.loads(text), "run: python docs/schema/generate.py"
        Draft202012Validator.check_schema(schema)


def test_every_command_prints_a_document_of_its_type(
    make_data: Callable[..., Path], xprobe: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch,
    no_figures: None,
) -> None:  # fmt: skip
    data = make_data(real=6, synthetic=6)
    put_tile(Path("xbd"), "train", "socal-fire_00000001", "fire")
    ids = manifests.read(data).id.astype(str)
    np.savez("own.npz", id=ids, x=np.eye(len(ids), dtype=np.float32))
    monkeypatch.setattr(demo, "run", run_small_demo)
    for name, command in COMMANDS.items():
        ran = xprobe(*command, "--json")
        assert ran.code == 0, ran.err
        check(name, ran.json)
    assert COMMANDS.keys() < DOCUMENTS.keys()


def run_small_demo(folder: Path, _progress: object) -> Any:
    """Sweep over the images of the test as the demo sweeps over its own."""
    config = SweepConfig(ratios=(1,), repeats=1, c_grid=(1.0,))
    manifest = manifests.read(Path("data"))
    store, grid = Store(Path("features")), Grid(encoders=["hog"])
    return sweep(manifest, store, folder / "results", config, grid, Execution(workers=1))


# Fields that later versions added to studies and to their results; in older ones they say nothing.
STUDY_SINCE_2: dict[str, Any] = {"key": "", "hits": "", "seeds": [], "comparisons": []}
ROWS_SINCE_2: dict[str, Any] = dict.fromkeys(
    ("se", "df", "judged_low", "judged_high", "p_study_wide", "within_margin", "synthetic_units")
) | {"estimand": "images"}


def test_files_of_older_versions_are_what_the_schemas_say() -> None:
    kinds = {
        "format": "store-v1/format.json", "encoder": "store-v1/*/encoder.json",
        "receipt": "store-v1/*/receipts/*.json", "study": "results-v1/studies/*.json",
        "distance": "results-v1/distance.json",
    }  # fmt: skip
    for name, pattern in kinds.items():
        files = list(GOLDEN.glob(pattern))
        assert files
        for file in files:
            document = json.loads(file.read_text())
            if name == "encoder":  # fields that were added later are at their default
                document["spec"] |= dict.fromkeys(("activation", "codec", "resampling"), "")
                document["spec"]["resize_px"] = 0
            if name == "study":
                document |= STUDY_SINCE_2
                document["config"]["pooled"] = True
                document["results"] = [row | ROWS_SINCE_2 for row in document["results"]]
            check(name, document)
