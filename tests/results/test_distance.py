"""Distances on disk: of the first format and of a newer xprobe."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec import structs

from xprobe.base import documents
from xprobe.results.distance import (
    Distances,
    FeatureMap,
    distance_file,
    load_distance,
    load_distances,
    save_distance,
    with_aliases,
)

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


def test_distances_of_several_folders_are_joined_and_the_newest_counts(tmp_path: Path) -> None:
    document = load_distance(GOLDEN)
    assert document is not None
    other = structs.replace(
        document, created="9999", command="xprobe distance other", fingerprint="other",
        distances=tuple(structs.replace(r, generator="other") for r in document.distances),
        leaks=(), examples=(), warnings=("w",), maps=(FeatureMap(encoder="new", points=()),),
    )  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    save_distance(one, document)
    save_distance(two, other)
    joined = load_distances([one, two])
    assert joined == load_distances([two, one])
    assert joined is not None
    assert joined.distances == other.distances + document.distances
    assert joined.leaks == document.leaks
    assert joined.maps == other.maps + document.maps
    assert joined.warnings == ("w", *document.warnings)
    assert (joined.created, joined.command) == ("9999", f"{other.command}; {document.command}")
    assert {document.fingerprint, *document.holds_for} <= {*joined.holds_for}
    save_distance(two, structs.replace(document, created="9999", warnings=()))
    again = load_distances([one, two])
    assert again is not None and again.distances == document.distances
    assert again.warnings[-1].startswith(f"{distance_file(one)}: left out for newer distances of ")
    assert load_distances([tmp_path / "none"]) is None
    assert load_distances([tmp_path / "none", one]) == document


def test_no_two_encoders_of_distances_have_the_same_alias() -> None:
    document = load_distance(GOLDEN)
    assert document is not None
    (encoder,) = {row.encoder for row in document.distances}
    assert {row.title for row in document.distances} == {encoder}
    path = "timm:vit//home/me/w.pth"
    maps = (*document.maps, *(FeatureMap(encoder=e, alias="vit", points=()) for e in (path, "b")))
    named = with_aliases(structs.replace(document, maps=maps), {encoder: "vit", path: "mine"})
    titles = {plane.encoder: plane.title for plane in named.maps}
    assert titles[path] == "mine" and len(set(titles.values())) == 3
    assert {row.title for row in named.distances} == {titles[encoder]}
    assert all(title.startswith(("vit@", "mine")) for title in titles.values())
