"""Distances on disk: of the first format and of a newer xprobe."""

from __future__ import annotations

import json
from pathlib import Path

from xprobe.base import documents
from xprobe.results.distance import Distances, load_distance, save_distance

GOLDEN = Path(__file__).parent.parent / "golden" / "results-v1"


def test_distances_are_written_again_as_they_were() -> None:
    document = load_distance(GOLDEN)
    raw = json.loads((GOLDEN / "distance.json").read_bytes())
    assert documents.to_json(document) == raw
    assert document is not None and document == documents.from_json(Distances, raw)


def test_what_a_newer_xprobe_added_is_kept(tmp_path: Path) -> None:
    raw = json.loads((GOLDEN / "distance.json").read_bytes())
    for part in (raw, raw["distances"][1], raw["maps"][0]["points"][0], raw["leak_threshold"]):
        part["newer"] = [1, {"a": None}]
    save_distance(tmp_path / "new", documents.from_json(Distances, raw))
    assert json.loads((tmp_path / "new" / "distance.json").read_bytes()) == raw
